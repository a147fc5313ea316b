"""When a ping sends and when it ends, as iputils decides it. No clock in here: `now` is an argument.

All times are nanoseconds on the monotonic clock.

Some facts about iputils' rules
-------------------------------

* `-c N` alone: N probes are sent; it ends when N replies and errors have come, or after a last wait that is chosen when
  the last probe has left: the linger time if nothing was ever received, else twice the longest round trip, at least
  one interval.
* `-w S`: it ends after S seconds, whatever was heard, and at once with any ICMP error. With `-c N` it goes on sending
  until N replies have come. Probes this host refused to send end it neither way, as the refusal may pass.
* Interval 0: the next probe leaves as soon as the latest was answered, or 10 ms after it.
* `-l N` (preload): N probes may be sent ahead of their time.

What this means here
--------------------

The next sending time is the last one plus the interval, not "now plus the interval", so a second stays a second
however long a wake-up takes. On a busy host a process may be kept waiting for longer than an interval: iputils then
leaves out probes. Here all that were due in the last two seconds are made up for, ten at most, so that a ping which was
stopped does not flood when it goes on. Nothing is made up for where no answer could come between two that leave
together, but should: where it is told before each probe whether the one before has an answer, and where the interval is
the round trip so that no more than one probe is under way.
"""

from __future__ import annotations

from pingsock.probe.clock import MILLISECOND, NEVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.probe.tally import Tally

_SHORTEST_LAST_WAIT = 100_000_000
"""A round trip is measured between the kernel's stamps, so it says nothing of how long a reply waits to be read."""
_PAUSE = 10 * MILLISECOND
"""Between probes with interval 0 and no reply, and before sending is tried again on a full buffer."""
_LONGEST_PAUSE = 500 * MILLISECOND
_MADE_UP_FOR = 2000 * MILLISECOND
_MOST_MADE_UP = 10


class Schedule:
    """Sending times and the end of one ping.

    `count` 0 is no limit, `deadline` 0 none; `linger` 0 waits for ever. `preload` probes may be ahead of their time.
    Unless `ends_with_error`, ICMP errors do not end a ping with a deadline. Unless it `makes_up` for late probes, the
    next one leaves an interval after a late one.
    """

    def __init__(
        self,
        count: int,
        interval: int,
        deadline: int,
        linger: int,
        preload: int = 1,
        *,
        ends_with_error: bool = True,
        makes_up: bool = True,
    ) -> None:
        self._count = count
        self.interval = interval
        """May be changed by `adapt`."""
        self._preload = preload
        self._deadline = deadline
        self._linger = linger
        self._ends_with_error = ends_with_error
        self._makes_up = makes_up
        self._due = 0
        self._last_sent = 0
        self._postponed_for = 0
        self._ends = NEVER
        self._lingering = False

    def start(self, now: int) -> None:
        """The first probe is due now, and the deadline counts from now."""
        self._due = now - self._ahead()
        if self._deadline:
            self._ends = now + self._deadline

    def next_send(self, tally: Tally) -> int:
        """When the next probe is due; NEVER if all have been sent."""
        if self._all_sent(tally):
            return NEVER
        if not self.interval and tally.under_way >= self._preload:
            return max(self._due, self._last_sent + _PAUSE)
        return self._due

    def sent(self, now: int, tally: Tally) -> None:
        """A probe left, or was refused for good; `tally` counts it already."""
        self._last_sent = now
        self._postponed_for = 0
        self._due += self.interval
        if self._due < now:
            self._due = max(self._due, now - self._behind())
        if self._all_sent(tally) and not self._lingering:
            self._lingering = True
            self._ends = min(self._ends, self._last_wait_ends(now, tally))

    def adapt(self, interval: int) -> None:
        """From now on the interval is this, counted from the last probe, late as it may have been."""
        self._due = self._last_sent + interval
        self.interval = interval

    def _ahead(self) -> int:
        """How far ahead of its time a probe may leave."""
        return (self._preload - 1) * self.interval

    def _behind(self) -> int:
        """How late the probe after one that leaves now may have been due; below zero, it is due so much later."""
        if not self.interval:
            return 0
        if not self._makes_up:
            return self._ahead() or -self.interval
        made_up = min(_MADE_UP_FOR // self.interval, _MOST_MADE_UP)
        return max(made_up - 1, self._preload - 1) * self.interval

    def postpone(self, now: int, buffer_full: bool) -> bool:
        """Sending was not possible now. False if it has not been for the linger time, and is to be given up.

        A full socket buffer (`buffer_full`) empties soon; a full device queue or neighbour table is asked less often.
        """
        if buffer_full:
            self._due = now + _PAUSE
            return True
        pause = min(max(self.interval // 2, _PAUSE), _LONGEST_PAUSE)
        self._postponed_for += pause
        self._due = now + pause
        return not self._linger or self._postponed_for < self._linger

    def wakes(self, tally: Tally) -> int:
        """The next time something is to be done without being asked."""
        return min(self.next_send(tally), self._ends)

    def finished(self, now: int, tally: Tally) -> bool:
        """Whether it is over."""
        if not (self._count or self._deadline):
            return now >= self._ends
        ending_errors = tally.reported_errors if self._ends_with_error else 0
        told = ending_errors if self._deadline else tally.errors
        if self._count and tally.received + told >= self._count:
            return True
        return now >= self._ends or bool(self._deadline and ending_errors)

    def waited_in_vain(self, now: int) -> bool:
        """Whether all probes were sent and the last wait is over."""
        return self._lingering and now >= self._ends

    def _all_sent(self, tally: Tally) -> bool:
        return 0 < self._count <= tally.transmitted and not self._deadline

    def _last_wait_ends(self, now: int, tally: Tally) -> int:
        if tally.received:
            return now + max(2000 * tally.round_trips.maximum, self.interval, _SHORTEST_LAST_WAIT)
        return now + self._linger if self._linger else NEVER
