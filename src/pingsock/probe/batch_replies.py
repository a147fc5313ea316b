"""Many ordinary replies as columns, which become records when they are looked at."""

from __future__ import annotations

from array import array
from operator import sub

from pingsock.probe.batch_targets import TargetBlock
from pingsock.probe.clock import SECOND
from pingsock.probe.packed import subtract_range
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
        receiving are 32-bit words. Hop limits and checksums are those of the replies; `template` is a reply without
        checksum and sequence number.
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
            departures = self._departures
            if isinstance(departures, range):
                self._interpolated = subtract_range(self._stamps, departures)
            else:
                self._interpolated = list(map(sub, memoryview(self._stamps).cast("i").tolist(), departures))
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

    def __reduce__(self) -> tuple[type[Replies], tuple[object, ...]]:
        # Columns, and of the blocks no more than the targets in question.
        sequences, departures = self._sequences, self._departures
        return MovedReplies, (
            self._targets_as_block(),
            sequences if isinstance(sequences, range) else array("H", sequences),
            self._second,
            departures if isinstance(departures, range) else array("q", departures),
            self._stamps,
            self._hop_limits,
            self._checksums,
            self._template,
        )

    def _targets_as_block(self) -> TargetBlock:
        """Each target at the number of its reply."""
        first, last = self._groups[0], self._groups[-1]
        if any(group.block is not first.block for group in set(self._groups)):
            return TargetBlock.from_targets(self.targets())
        if isinstance(self._sequences, range):
            start, end = first.number_of(self._sequences[0]), last.number_of(self._sequences[-1]) + 1
            # Targets of a block are probed in their order: as many as there are replies are neighbours.
            if end - start == len(self):
                return first.block.part(range(start, end))
        numbered = zip(self._groups, self._sequences, strict=True)
        return first.block.part([group.number_of(sequence) for group, sequence in numbered])

    def __iter__(self) -> Iterator[Reply | Summary]:
        for number in range(len(self)):
            reply = self.reply(number)
            statistics = Statistics()
            statistics.sent += 1
            statistics.enter(reply)
            yield reply
            yield Summary(reply.target, statistics)


class MovedReplies(Replies):
    """Replies that another process has received: with their targets, and not the groups they were probed in."""

    __slots__ = ("_block",)

    def __init__(
        self,
        block: TargetBlock,
        sequences: Sequence[int],
        second: int,
        departures: Sequence[int],
        stamps: bytes,
        hop_limits: bytes,
        checksums: bytes,
        template: bytes,
    ) -> None:
        """As for all, but `block` holds the targets, in the order of their replies."""
        super().__init__((), sequences, second, departures, stamps, hop_limits, checksums, template)
        self._block = block

    def target(self, number: int) -> Target:
        """Who sent one of them, counted from 0."""
        return self._block.target(number)

    def hosts(self) -> list[str]:
        """Who sent them, as text."""
        return [self._block.host(number) for number in range(len(self))]

    def _targets_as_block(self) -> TargetBlock:
        return self._block
