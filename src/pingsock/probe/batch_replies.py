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

    The targets are neighbours in a block. Iterating makes a Reply and a Summary of each.

    A packet may leave, and be answered by this very host, a little before its interpolated time. `interpolated` has
    such round trips below zero, which the records do not: there they are 0.
    """

    # Many wait to be looked at while the kernel needs the processor's caches for packets, so they should be small.
    __slots__ = (
        "_block",
        "_checksums",
        "_departures",
        "_first",
        "_hop_limits",
        "_interpolated",
        "_second",
        "_sequences",
        "_stamps",
        "_template",
    )

    def __init__(
        self,
        block: TargetBlock,
        first: int,
        sequences: Sequence[int],
        second: int,
        departures: Sequence[int],
        stamps: bytes,
        hop_limits: bytes,
        checksums: bytes,
        template: bytes,
    ) -> None:
        """The targets are those of `block` from number `first` on; all from `sequences` on are columns but two.

        Each reply was received, and its probe was sent, so many nanoseconds after `second` (realtime clock); stamps of
        receiving are 32-bit words. Hop limits and checksums are those of the replies; `template` is a reply without
        checksum and sequence number.
        """
        self._block = block
        self._first = first
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
        return self._block.target(self._first + number)

    def targets(self) -> list[Target]:
        """Who sent them."""
        return [self.target(number) for number in range(len(self))]

    def hosts(self) -> list[str]:
        """Who sent them, as text."""
        return [self._block.host(number) for number in self._numbers]

    @property
    def _numbers(self) -> range:
        """In the block, of the targets."""
        return range(self._first, self._first + len(self))

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
        return Replies, (
            self._targets_as_block(),
            0,
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
        return self._block.part(self._numbers)

    def __iter__(self) -> Iterator[Reply | Summary]:
        for number in range(len(self)):
            reply = self.reply(number)
            statistics = Statistics()
            statistics.sent += 1
            statistics.enter(reply)
            yield reply
            yield Summary(reply.target, statistics)


class ScatteredReplies(Replies):
    """Replies of targets from here and there, as they came."""

    __slots__ = ("_groups",)

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
        """As for all, but `groups` is a column, too: in which each probe was sent."""
        super().__init__(groups[0].block, 0, sequences, second, departures, stamps, hop_limits, checksums, template)
        self._groups = groups

    def target(self, number: int) -> Target:
        """Who sent one of them, counted from 0."""
        group = self._groups[number]
        return group.block.target(group.number_of(self._sequences[number]))

    def hosts(self) -> list[str]:
        """Who sent them, as text."""
        return [group.block.host(number) for group, number in self._places()]

    def _places(self) -> Iterator[tuple[Group, int]]:
        """The group of each, and the number of its target in that group's block."""
        for group, sequence in zip(self._groups, self._sequences, strict=True):
            yield group, group.number_of(sequence)

    def _targets_as_block(self) -> TargetBlock:
        block = self._groups[0].block
        if any(group.block is not block for group in set(self._groups)):
            return TargetBlock.from_targets(self.targets())
        return block.part([number for _, number in self._places()])
