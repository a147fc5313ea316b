"""The probes of one socket that were sent: when, and how long their replies took.

Some facts about the three clocks of a round trip
-------------------------------------------------

* The kernel stamps a reply as it arrives and, if asked, a probe as it leaves, both on CLOCK_REALTIME.
* CLOCK_REALTIME can be set. CLOCK_MONOTONIC cannot, but no stamp is ever on it.
* A transmit stamp says which probe it belongs to by a counter of the socket's sends, starting at 0 when
  SOF_TIMESTAMPING_OPT_ID is switched on. A send that fails may or may not count.
* Stamping is switched on a moment after it was asked for, so that first packets may lack a stamp.

What this means here
--------------------

The best figure is the receive stamp minus the transmit stamp. It is taken if both exist and it is not longer than the
time that passed on our monotonic clock. Next comes the monotonic clock, less the time the reply waited to be read
(real time now minus the receive stamp, no more than all the time there was). Nothing is ever read from a payload.
After a send that failed, `forget_keys` must be called and the socket's counter started again.
"""

from __future__ import annotations

from pingsock.tools.records import BETWEEN_KERNEL_STAMPS, BY_OUR_CLOCK, TO_KERNEL_STAMP


class _Departure:
    __slots__ = ("answered", "kernel", "monotonic", "realtime")

    def __init__(self, monotonic: int, realtime: int) -> None:
        self.monotonic = monotonic
        self.realtime = realtime
        self.kernel = 0
        self.answered = False


class Flight:
    """Departures by sequence number, the last 65536 of them. All times are nanoseconds."""

    def __init__(self) -> None:
        self._by_sequence: dict[int, _Departure] = {}
        self._by_key: dict[int, _Departure] = {}
        self._next_key = 0

    def sent(self, sequence: int, monotonic: int, realtime: int) -> None:
        """A probe was given to the kernel; the times are from just before."""
        departure = _Departure(monotonic, realtime)
        self._by_sequence[sequence & 0xFFFF] = departure
        self._by_key[self._next_key & 0xFFFFFFFF] = departure
        self._next_key += 1
        self._by_key.pop((self._next_key - 0x10000) & 0xFFFFFFFF, None)

    def forget_keys(self) -> None:
        """The socket's counter of sends starts again at 0."""
        self._by_key.clear()
        self._next_key = 0

    def left(self, key: int, stamp: int) -> None:
        """The kernel stamped the send number `key` as leaving at `stamp`. Keys of other sends are passed over."""
        departure = self._by_key.pop(key, None)
        if departure is not None and stamp >= departure.realtime:
            departure.kernel = stamp

    def knows(self, sequence: int) -> bool:
        """Whether a probe with this number was sent."""
        return sequence in self._by_sequence

    def answer(self, sequence: int) -> bool:
        """Note that a known probe was answered. False if it had been before."""
        departure = self._by_sequence[sequence]
        first = not departure.answered
        departure.answered = True
        return first

    def round_trip(self, sequence: int, stamp: int, monotonic: int, realtime: int) -> tuple[int, str]:
        """How long a reply that is read now took, and how that was measured.

        `stamp` is the kernel's receive stamp, 0 if there is none; the others are the clocks now.
        """
        departure = self._by_sequence[sequence]
        elapsed = monotonic - departure.monotonic
        if stamp and departure.kernel and 0 <= stamp - departure.kernel <= elapsed:
            return stamp - departure.kernel, BETWEEN_KERNEL_STAMPS
        if stamp:
            return elapsed - min(max(realtime - stamp, 0), elapsed), TO_KERNEL_STAMP
        return elapsed, BY_OUR_CLOCK
