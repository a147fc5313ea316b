"""The ledger of a ping, which may go on for weeks: it keeps nine bytes of each of the latest 65536 probes.

Theory of operation
-------------------

A ping has one flow, and sends its probes in turn: the sequence number of each is its number modulo 65536. So of the
columns of a ledger two are left, what became of a probe and when it was sent. Whose it is all have in common, and the
numbers of probes and of sends are counted back from the latest.

Transmit stamps are kept of the latest STAMPS_KEPT probes. What is heard of an older one is timed from when our own
clock said that it was sent: that is some microseconds in a time in which so many others were sent.
"""

from __future__ import annotations

from pingsock.probe.ledger import Ledger
from pingsock.probe.outcome import FREE
from pingsock.probe.sent_probes import CLOCK_ERROR, longer, new_column, size_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pingsock.probe.clock import Stepwatch
    from pingsock.probe.flow import Flow

STAMPS_KEPT = 4096
"""It divides 65536."""


class _Numbers:
    """A column with the numbers of the latest 65536 probes."""

    def __init__(self) -> None:
        self.latest = 0

    def __getitem__(self, sequence: int) -> int:
        return self.latest - ((self.latest - sequence) & 0xFFFF)


class _Stamps:
    """A column of transmit stamps, without those that are no longer kept."""

    def __init__(self, numbers: _Numbers) -> None:
        self._numbers = numbers
        self.kept = new_column("q", 0)
        """Sequence number modulo STAMPS_KEPT -> stamp."""

    def __getitem__(self, sequence: int) -> int:
        is_kept = (self._numbers.latest - sequence) & 0xFFFF < STAMPS_KEPT
        return self.kept[sequence % STAMPS_KEPT] if is_kept else 0


class PingLedger(Ledger):
    """A ledger of probes of one flow, sent in turn, for which every sender's reply counts."""

    def __init__(self, flow: Flow, stepwatch: Stepwatch, *, compared_from: int) -> None:
        super().__init__(flow.target.family, stepwatch, b"", compared_from=compared_from, any_source=True)
        self._only_flow = flow
        self._numbers = _Numbers()
        self._stamps = _Stamps(self._numbers)
        columns: tuple[Any, ...] = self._numbers, self._stamps
        self.numbers, self.left_at = columns

    def passed_over(self, sequence: int) -> None:
        """The next probe was refused by this host: the one that had its number before is no longer among the latest."""
        if sequence < len(self.states):
            self._become(sequence, FREE)

    def _note_whose(self, sequence: int, _flow: Flow, number: int) -> None:
        self._numbers.latest = number
        place = sequence % STAMPS_KEPT
        if place >= len(self._stamps.kept):
            self._stamps.kept = longer(self._stamps.kept, min(size_for(place), STAMPS_KEPT))
        self._stamps.kept[place] = 0

    def _grow(self, size: int) -> None:
        self._grow_times(size)

    def _flow(self, sequence: int) -> Flow | None:
        known = sequence < len(self.states) and self.states[sequence] != FREE
        return self._only_flow if known else None

    def left(self, key: int, stamp: int) -> None:
        """The kernel stamped the send number `key` as leaving at `stamp`. Keys of other sends are passed over."""
        behind = (self._next_key - key) & 0xFFFFFFFF
        if not 0 < behind <= STAMPS_KEPT or behind > self._next_key:
            return
        sequence, kept = (self._numbers.latest + 1 - behind) & 0xFFFF, self._stamps.kept
        is_of_it = stamp + CLOCK_ERROR >= self.sent_at[sequence] + self._stepwatch.offset
        if is_of_it and not kept[sequence % STAMPS_KEPT]:
            kept[sequence % STAMPS_KEPT] = stamp
            self.stamps_due -= 1
