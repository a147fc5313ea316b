"""Many ordinary replies as columns, which become records when they are looked at."""

from __future__ import annotations

from operator import sub

from pingsock.probe.clock import SECOND
from pingsock.probe.records import INTERPOLATED, Reply, Summary
from pingsock.probe.statistics import Statistics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pingsock.probe.batch_ledger import Group
    from pingsock.probe.target import Target


class Replies:
    """Replies to the only probes of as many targets: in time, from the right address, with the right payload.

    Iterating makes a Reply and a Summary of each.

    A packet may leave, and be answered by this very host, a little before its interpolated time. `interpolated` has
    such round trips below zero, which the records do not: there they are 0.
    """

    __slots__ = (
        "_checksums",
        "_departures",
        "_groups",
        "_hop_limits",
        "_interpolated",
        "_second",
        "_sequences",
        "_stamps",
        "_template",
    )

    def __init__(
        self,
        groups: Sequence[Group],
        sequences: Sequence[int],
        second: int,
        departures: Sequence[int],
        stamps: bytes,
        hop_limits: bytes,
        checksums: bytes,
        template: bytes,
    ) -> None:
        """All but `second` and `template` are columns.

        Each reply was received, and its probe was sent, so many nanoseconds after `second` (realtime clock); stamps of
        receiving are C longs. Hop limits and checksums are those of the replies; `template` is a reply without checksum
        and sequence number.
        """
        self._groups = groups
        self._sequences = sequences
        self._second = second
        self._departures = departures
        self._stamps = stamps
        self._hop_limits = hop_limits
        self._checksums = checksums
        self._template = template
        self._interpolated: list[int] | None = None

    @property
    def interpolated(self) -> list[int]:
        """Round trips, nanoseconds."""
        if self._interpolated is None:
            self._interpolated = list(map(sub, memoryview(self._stamps).cast("l").tolist(), self._departures))
        return self._interpolated

    def __len__(self) -> int:
        return len(self._hop_limits)

    def target(self, number: int) -> Target:
        """Who sent one of them, counted from 0."""
        group = self._groups[number]
        return group.block.target(group.number_of(self._sequences[number]))

    def targets(self) -> list[Target]:
        """Who sent them."""
        return [self.target(number) for number in range(len(self))]

    def hosts(self) -> list[str]:
        """Who sent them, as text."""
        return [
            group.block.host(group.number_of(sequence))
            for group, sequence in zip(self._groups, self._sequences, strict=True)
        ]

    def message(self, number: int) -> bytes:
        """One ICMP message as received."""
        template = self._template
        checksum = self._checksums[2 * number : 2 * number + 2]
        return template[:2] + checksum + template[4:6] + self._sequences[number].to_bytes(2, "big") + template[8:]

    def reply(self, number: int) -> Reply:
        """One reply as a record."""
        target = self.target(number)
        return Reply(
            target,
            1,
            self._sequences[number],
            self._second * SECOND + self._departures[number],
            target.address,
            self.message(number),
            self._hop_limits[number],
            max(self.interpolated[number], 0),
            INTERPOLATED,
        )

    def __iter__(self) -> Iterator[Reply | Summary]:
        for number in range(len(self)):
            reply = self.reply(number)
            statistics = Statistics()
            statistics.sent += 1
            statistics.enter(reply)
            yield reply
            yield Summary(reply.target, statistics)
