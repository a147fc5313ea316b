"""The probes of a ping of which nothing is heard within their timeout, told when it has passed.

iputils knows no such thing: its probes wait for as long as the ping runs, and whoever reads its output finds out
himself what is missing. Here a ledger knows the deadlines, and a later reply revises what was told (`Late`).

All times are nanoseconds on the monotonic clock.
"""

from __future__ import annotations

from pingsock.probe.absence import Absences

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.probe.channel import Channel
    from pingsock.probe.ledger import Ledger
    from pingsock.probe.records import Timeout


class Silence:
    """Tells the silent probes of a ledger, and whether this process or its buffer may be to blame."""

    def __init__(self, ledger: Ledger, channel: Channel) -> None:
        self._ledger = ledger
        self._channel = channel
        self._absences = Absences()
        self._drops = 0
        self._dropped_at = 0

    def wakes(self, otherwise: int) -> int:
        """When to look again, if there is another reason to do so at `otherwise`."""
        wake = min(otherwise, self._ledger.next_deadline())
        self._absences.asks_for(wake)
        return wake

    def woken(self, now: int) -> None:
        """The wait is over."""
        self._absences.called(now)

    def is_due(self, now: int) -> bool:
        """Whether a timeout has passed, so that what arrived before is to be read first."""
        return self._ledger.next_deadline() <= now

    def records(self, now: int) -> list[Timeout]:
        """What is to be told when all that has arrived was read."""
        silent = self._ledger.silent(now)
        if silent:
            self._look_at_drops(now)
        return [self._record(sequence) for sequence in silent]

    def _look_at_drops(self, now: int) -> None:
        drops = self._channel.drops()
        if drops > self._drops:
            self._drops, self._dropped_at = drops, now

    def _record(self, sequence: int) -> Timeout:
        sent_at = self._ledger.sent_at[sequence]
        absent = self._absences.within(sent_at, self._ledger.deadlines[sequence])
        return self._ledger.silence(sequence, dropped=self._dropped_at > sent_at, absent=absent)
