"""A ledger whose probes come by the hundred, and are accounted for by the hundred.

Theory of operation
-------------------

A *group* is what one system call sent: neighbours in a block of targets, with neighbouring sequence numbers, at evenly
spaced times. Of each of its probes the ledger keeps the state, in a packed column. As long as all replies are as they
should be, and in order, nobody needs more. Otherwise the addresses are copied from the block to packed columns.

Whatever else befalls a probe (silence, an error, a second reply) is decided where all drivers' probes are decided: the
other columns are filled when somebody looks into them, and the target becomes a course of the engine, as if it had
been one from the beginning (`admit`).
"""

from __future__ import annotations

from array import array
from collections import deque
from functools import cached_property
from typing import Any, TypeVar, cast

from pingsock.probe.clock import NEVER
from pingsock.probe.ledger import Ledger
from pingsock.probe.outcome import ANSWERED, FREE, SILENT, WAITING
from pingsock.probe.records import INTERPOLATED, TO_KERNEL_STAMP
from pingsock.probe.sent_probes import SEQUENCES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pingsock.probe.batch_targets import TargetBlock
    from pingsock.probe.clock import Stepwatch
    from pingsock.probe.flow import Flow

_Fact = TypeVar("_Fact")
_NO_ADDRESS = {"I": 2**32 - 1, "Q": 2**64 - 1}
"""Broadcast and multicast addresses: nothing comes from there."""
_NEARLY_ALL, _GRACE = SEQUENCES - 12288, 4096
_FREE, _WAITING, _ANSWERED = bytes((FREE,)), bytes((WAITING,)), bytes((ANSWERED,))


class Group:
    """Probes that one system call sent. Times are monotonic nanoseconds."""

    __slots__ = ("begin", "block", "count", "deadline", "first", "has_column", "held_until", "start", "step")

    def __init__(
        self,
        block: TargetBlock,
        first: int,
        count: int,
        start: int,
        begin: int,
        step: int,
        timeout: int,
        late_window: int,
    ) -> None:
        self.block = block
        self.first = first
        """Number in the block of its first target."""
        self.count = count
        self.start = start
        """Sequence number of its first probe."""
        self.begin = begin
        """When its first probe was sent."""
        self.step = step
        """Time from one of its probes to the next."""
        self.deadline = begin + (count - 1) * step + timeout
        """When the last of its probes has waited long enough."""
        self.held_until = self.deadline + late_window
        self.has_column = False
        """The ledger has copied its addresses."""

    def number_of(self, sequence: int) -> int:
        """Number in the block of the target of one of its probes."""
        return self.first + sequence - self.start

    def sent_at(self, sequence: int) -> int:
        """When one of its probes was sent."""
        return self.begin + (sequence - self.start) * self.step


class _Column(dict[int, _Fact]):
    """A column that holds what differs from what the group says."""

    def __init__(self, of_group: Callable[[int], _Fact]) -> None:
        super().__init__()
        self._of_group = of_group

    def __missing__(self, sequence: int) -> _Fact:
        return self._of_group(sequence)


class BatchLedger(Ledger):
    """A ledger of probes sent in groups, and singly as well.

    `admit` makes a course of one probe of a group: it is called with ledger and sequence number, once, when something
    befalls the probe that is not an ordinary reply.
    """

    def __init__(
        self,
        family: int,
        stepwatch: Stepwatch,
        token: bytes,
        timeout: int,
        late_window: int,
        admit: Callable[[BatchLedger, int], Flow],
    ) -> None:
        super().__init__(family, stepwatch, token)
        self.timeout = timeout
        self._late_window = late_window
        self._admit = admit
        self._groups: dict[int, Group] = {}
        """By the sequence number of their first probe."""
        self._starts = array("H", (0,)) * SEQUENCES
        """The sequence number with which each probe's group starts; its own if it was sent singly."""
        self.probe_states = bytearray(SEQUENCES)
        self._pending: deque[Group] = deque()
        # What the class above has in lists.
        self.states = self.probe_states
        self._sparse: tuple[_Column[Any], ...] = (
            _Column(self._flow_of),
            _Column(lambda _sequence: 1),
            _Column(lambda _sequence: 0),
            _Column(self._sent_at_of),
            _Column(lambda sequence: self._sent_at_of(sequence) + self.timeout),
            _Column(self._held_until_of),
        )
        self.flows, self.numbers, self.left_at, self.sent_at, self.deadlines, self.held_until = cast(
            "Any", self._sparse
        )

    @cached_property
    def addresses(self) -> tuple[array[int], ...]:
        """Whom the probes of groups with `has_column` went to, in columns as a TargetBlock has them.

        An address of nobody if what is heard of a probe is decided by the class above.
        """
        return tuple([array(word, (0,)) * SEQUENCES for word in ("I" if self._is_ipv4 else "QQ")])

    def group_of(self, sequence: int) -> Group | None:
        """The group of a probe, None if it was sent singly."""
        return self._groups.get(self._starts[sequence])

    def groups_of(self, sequences: Sequence[int]) -> list[Group]:
        """The groups of probes, with their addresses in `addresses`; none if one of the probes was sent singly."""
        groups = [self._groups.get(start) for start in map(self._starts.__getitem__, sequences)]
        for group in set(groups):
            if group is None:
                return []
            self._copy_addresses(group)
        return cast("list[Group]", groups)

    def went_to(self, group: Group, start: int, stop: int, sources: Sequence[memoryview]) -> bool:
        """Whether these neighbours in a group went to the first of these addresses."""
        columns, first = (self.addresses, start) if group.has_column else (group.block.columns, group.number_of(start))
        last = first + stop - start
        for column, source in zip(columns, sources, strict=True):
            if column[first:last].tobytes() != source[: stop - start].tobytes():
                return False
        return True

    def _copy_addresses(self, group: Group) -> None:
        if not group.has_column:
            group.has_column = True
            for column, source in zip(self.addresses, group.block.columns, strict=True):
                column[group.start : group.start + group.count] = source[group.first : group.first + group.count]

    def _flow_of(self, sequence: int) -> Flow | None:
        if self.group_of(sequence) is None:
            return None
        flow = self.flows[sequence] = self._admit(self, sequence)
        self._mark_single(sequence)
        return flow

    def _mark_single(self, sequence: int) -> None:
        """What is heard of that probe is decided by the class above from now on."""
        group = self.group_of(sequence)
        if group is not None:
            self._copy_addresses(group)
        for column in self.addresses:
            column[sequence] = _NO_ADDRESS[column.typecode]

    def _sent_at_of(self, sequence: int) -> int:
        group = self.group_of(sequence)
        return group.sent_at(sequence) if group is not None else 0

    def _held_until_of(self, sequence: int) -> int:
        group = self.group_of(sequence)
        return group.held_until if group is not None else 0

    # Sending

    def next_sequence(self, now: int) -> int:
        """The sequence number for the next probe; -1 if there is none because it is still held."""
        return self.next_number if self.probe_states[self.next_number] == FREE else -1

    def free_from(self) -> int:
        """When `silent` will make room for `next_sequence`: monotonic nanoseconds, 0 if there is room."""
        # Of a number that is free the columns tell what some group before it would have.
        return 0 if self.probe_states[self.next_number] == FREE else super().free_from()

    def room_for_group(self, most: int) -> int:
        """How many sequence numbers in a row, beginning with the next one, are free; `most` at most."""
        states = self.probe_states[self.next_number : self.next_number + most]
        return len(states) - len(states.lstrip(_FREE))

    @property
    def free_numbers_end_soon(self) -> bool:
        """Whether the numbers are nearly used up, so that another socket may be needed."""
        return _NEARLY_ALL <= self.next_number < _NEARLY_ALL + _GRACE

    def sent_group(self, block: TargetBlock, first: int, count: int, begin: int, end: int) -> Group:
        """So many targets of the block, from number `first` on, got their probes between these times.

        Their sequence numbers were the next ones.
        """
        start = self.next_number
        stop = start + count
        step = (end - begin) // count
        group = Group(block, first, count, start, begin, step, self.timeout, self._late_window)
        self.probe_states[start:stop] = _WAITING * count
        self._starts[start:stop] = array("H", (start,)) * count
        self._groups[start] = group
        self.waiting += count
        self.next_number = stop & 0xFFFF
        self._pending.append(group)
        return group

    def answered_in_order(self, start: int, stop: int) -> None:
        """These probes were answered, as they should be."""
        self.probe_states[start:stop] = _ANSWERED * (stop - start)
        self.waiting -= stop - start
        if not self.waiting:
            self._pending.clear()

    def answered(self, sequences: list[int]) -> None:
        """These probes were answered, as they should be."""
        states = self.probe_states
        for sequence in sequences:
            states[sequence] = ANSWERED
        self.waiting -= len(sequences)

    def all_wait(self, start: int, stop: int) -> bool:
        """Whether all these probes wait for their replies."""
        return self.probe_states[start:stop] == _WAITING * (stop - start)

    def _note_whose(self, sequence: int, flow: Flow, number: int) -> None:
        self._starts[sequence] = sequence
        self._mark_single(sequence)
        super()._note_whose(sequence, flow, number)

    def round_trip(self, sequence: int, stamp: int, now: int, calendar: int) -> tuple[int, str]:
        """As for all ledgers; but when a probe of a group was sent is interpolated."""
        nanoseconds, timed = super().round_trip(sequence, stamp, now, calendar)
        interpolated = timed == TO_KERNEL_STAMP and self.group_of(sequence) is not None
        return nanoseconds, INTERPOLATED if interpolated else timed

    # Silence

    def next_deadline(self) -> int:
        """When the first of the waiting probes will have waited long enough; NEVER if none waits."""
        return min(super().next_deadline(), self._first_group_deadline())

    def _first_group_deadline(self) -> int:
        pending = self._pending
        while pending and self._waiting_in(pending[0]) < 0:
            pending.popleft()
        return pending[0].deadline if pending else NEVER

    def _waiting_in(self, group: Group, start: int = 0) -> int:
        """The first sequence number from `start` on of a probe in the group that waits; -1 if none does."""
        return self.probe_states.find(_WAITING, max(start, group.start), group.start + group.count)

    def silent(self, now: int, most: int = SEQUENCES, read_until: int = NEVER) -> list[int]:
        """As `Ledger.silent`, but groups are whole."""
        # What was decided long ago is forgotten first: what falls silent now has its record still to come.
        sent_singly = super().silent(now, most, read_until)
        expired: list[int] = []
        # Groups that have no waiting probe leave the queue even if no more is wanted: their numbers may be free now.
        while self._first_group_deadline() <= now and len(expired) < most:
            group = self._pending.popleft()
            sequence = self._waiting_in(group)
            while sequence >= 0:
                expired.append(sequence)
                self._become(sequence, SILENT)
                sequence = self._waiting_in(group, sequence + 1)
        return expired + sent_singly

    def _release(self, now: int) -> None:
        """Forget decided probes whose late window is over, as far as no older one is still held."""
        while True:
            start = self._oldest
            group = self._groups.get(start)
            if group is None:
                if not self._is_over(start, now):
                    return
                count = 1
            elif group.held_until > now or self._waiting_in(group) >= 0:
                return
            else:
                count = group.count
            self._free(start, start + count)

    def _free(self, start: int, stop: int) -> None:
        self.probe_states[start:stop] = _FREE * (stop - start)
        self._groups.pop(start, None)
        for column in self._sparse:
            if column:
                for sequence in range(start, stop):
                    column.pop(sequence, None)
        self._oldest = stop & 0xFFFF
