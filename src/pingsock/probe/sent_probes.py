"""The probes that one socket sent and that are not forgotten yet: whose they are, when they left, what became of them.

Theory of operation
-------------------

A ping socket has one identifier, so what tells its probes apart is the 16-bit sequence number. There is a column for
each fact about a probe, indexed by sequence number:

    states, flows           1 and 8 bytes: what became of the probe, and whose it is
    numbers                 4 bytes; 8 once a target has had four billion probes
    sent_at, left_at        8 bytes each
    deadlines, held_until   8 bytes each; no column as long as no probe had a timeout

Columns grow as numbers are used for the first time, to two megabytes in all, or three with deadlines. They are
memoryviews, since `array` would bring `collections` to the start of every ping. A ledger that can work out whose a
probe is has its own `_note_whose` and `_grow`, and no such columns.

Numbers are handed out in turn, and none again before its late window is over: a reply can come for so long, and must
not be taken for that of the next probe. If the next number is still held, there is none (`next_sequence` is -1), and
whoever has more to send opens another socket. When the window is over the probe is forgotten, so that no more targets
are held in memory than can still be heard of.

Some facts about transmit stamps
--------------------------------

* A transmit stamp says which packet it belongs to by a 32-bit counter of the socket's sends, starting at 0 when
  SOF_TIMESTAMPING_OPT_ID is switched on. A send that fails may or may not count.
* Stamping is switched on a moment after it was asked for, so that first packets may lack a stamp.

What this means here
--------------------

The sends are counted too, and the sequence number of each of the last 65536 is kept. After a send that failed,
`forget_keys` must be called and the socket's counter started again.

All times are nanoseconds on the monotonic clock; stamps are on the realtime clock.
"""

from __future__ import annotations

from struct import calcsize

from pingsock.probe.clock import NEVER
from pingsock.probe.outcome import ANSWERED, FREE, SILENT, WAITING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterable, Iterator
    from typing import Any, Protocol

    from pingsock.probe.clock import Stepwatch
    from pingsock.probe.flow import Flow

    class Column(Protocol):
        """One whole number for each sequence number."""

        def __getitem__(self, sequence: int, /) -> int: ...

        def __setitem__(self, sequence: int, number: int, /) -> None: ...

        def __iter__(self) -> Iterator[int]: ...

        def __len__(self) -> int: ...
else:
    # `collections` brings four modules more to the start of every ping.
    from _collections import deque

SEQUENCES = 0x10000
CLOCK_ERROR = 100_000
"""Nanoseconds by which two clocks read together may be apart."""
_FEWEST = 64
"""Entries with which columns begin."""


def new_column(kind: Any, size: int, content: Iterable[int] = ()) -> Column:
    """A packed column of that format and size: that content, and zeros behind it."""
    column: memoryview = memoryview(bytearray(size * calcsize(kind))).cast(kind)
    if isinstance(content, memoryview) and content.format == kind:
        column[: len(content)] = content
    else:
        for sequence, number in enumerate(content):
            column[sequence] = number
    return column


def longer(column: Column, size: int) -> Column:
    """The same column with zeros behind it; the one given is of no more use."""
    assert isinstance(column, memoryview)
    packed, missing = column.obj, size * column.itemsize - column.nbytes
    assert isinstance(packed, bytearray)
    kind: Any = column.format
    column.release()
    # A copy instead would leave a hole behind, which the C library does not give back.
    packed += bytes(missing)
    return memoryview(packed).cast(kind)


def size_for(sequence: int) -> int:
    """How long a column is to be that needs an entry for this number."""
    return min(max(sequence + (sequence >> 3) + 1, _FEWEST), SEQUENCES)


_NO_DEADLINES: Any = range(NEVER, NEVER + SEQUENCES)
"""Stands for two columns as long as no probe has a timeout: what is in it never comes."""


class SentProbes:
    """What one socket sent, by sequence number, until nothing more can be heard of it."""

    def __init__(self, stepwatch: Stepwatch) -> None:
        self._stepwatch = stepwatch
        # The columns.
        self.states = bytearray()
        self.flows: list[Flow | None] = []
        self.numbers = new_column("I", 0)
        self.sent_at = new_column("q", 0)
        self.left_at = new_column("q", 0)
        """The kernel's transmit stamp, 0 if none came."""
        self.deadlines: Column = _NO_DEADLINES
        self.held_until: Column = _NO_DEADLINES
        self.waiting = 0
        """Probes in state WAITING."""
        self._expiring: dict[int, deque[int]] = {}
        """Timeout -> sequence numbers in the order of sending; decided ones are passed over."""
        self.next_number = 0
        """The next sequence number, whether it is free or not."""
        self._oldest = 0
        """The number in use that was sent first; FREE if none is in use."""
        self._keys = new_column("H", 0)
        """Number of the send, modulo SEQUENCES -> sequence number."""
        self._next_key = 0
        self.stamps_due = 0
        """Probes sent whose transmit stamp has not come."""

    # Sending

    def next_sequence(self, now: int) -> int:
        """The sequence number for the next probe; -1 if there is none because it is still held.

        It is free when `silent` was told that its late window is over: until then the probe may lack its outcome.
        """
        sequence = self.next_number
        if sequence < len(self.states) and self.states[sequence] != FREE and self.held_until[sequence] < NEVER:
            return -1
        return sequence

    def free_from(self) -> int:
        """When `silent` will make room for `next_sequence`: monotonic nanoseconds, 0 if there is room."""
        held_until = self.held_until[self.next_number] if self.next_number < len(self.states) else 0
        return held_until if held_until < NEVER else 0

    def sent(self, sequence: int, flow: Flow, number: int, now: int, timeout: int = 0, late_window: int = 0) -> None:
        """A probe was given to the kernel just after `now`. With `timeout` 0 it waits until its number is reused."""
        if sequence >= len(self.states):
            self._grow(size_for(sequence))
        self._note_whose(sequence, flow, number)
        self._next_key += 1
        self.stamps_due += 1
        if self.states[sequence] != WAITING:
            self.waiting += 1
        self.states[sequence] = WAITING
        self.sent_at[sequence] = now
        self.next_number = (sequence + 1) & 0xFFFF
        if timeout or self.deadlines is not _NO_DEADLINES:
            self._enter_deadline(sequence, now + timeout if timeout else NEVER, late_window)
        if timeout in self._expiring:
            self._expiring[timeout].append(sequence)
        elif timeout:
            self._expiring[timeout] = deque((sequence,))

    def _note_whose(self, sequence: int, flow: Flow, number: int) -> None:
        """Note whose probe and which send that is, the stamp of which has not come."""
        at = self._next_key % SEQUENCES
        if at >= len(self._keys):
            self._keys = longer(self._keys, size_for(at))
        self._keys[at] = sequence
        self.flows[sequence] = flow
        self.left_at[sequence] = 0
        try:
            self.numbers[sequence] = number
        except ValueError:
            self.numbers = new_column("q", len(self.numbers), self.numbers)
            self.numbers[sequence] = number

    def _enter_deadline(self, sequence: int, deadline: int, late_window: int) -> None:
        if self.deadlines is _NO_DEADLINES:
            never = [NEVER] * len(self.states)
            self.deadlines, self.held_until = (new_column("q", len(never), never) for _ in range(2))
        self.deadlines[sequence] = min(deadline, NEVER)
        self.held_until[sequence] = min(deadline + late_window, NEVER)

    def _grow(self, size: int) -> None:
        self._grow_times(size)
        self.flows += [None] * (size - len(self.flows))
        self.numbers, self.left_at = longer(self.numbers, size), longer(self.left_at, size)

    def _grow_times(self, size: int) -> None:
        self.states += bytes(size - len(self.states))
        self.sent_at = longer(self.sent_at, size)
        if self.deadlines is not _NO_DEADLINES:
            self.deadlines, self.held_until = longer(self.deadlines, size), longer(self.held_until, size)

    # What is known of a probe

    def _flow(self, sequence: int) -> Flow | None:
        if sequence >= len(self.states) or self.states[sequence] == FREE:
            return None
        return self.flows[sequence]

    def is_answered(self, sequence: int, number: int) -> bool:
        """Whether probe `number`, sent with this sequence number, has a reply."""
        known = sequence < len(self.states) and self.numbers[sequence] == number
        return known and self.states[sequence] == ANSWERED

    def _become(self, sequence: int, state: int) -> None:
        if self.states[sequence] == WAITING:
            self.waiting -= 1
        self.states[sequence] = state

    def _sent_calendar(self, sequence: int) -> int:
        return self.left_at[sequence] or self.sent_at[sequence] + self._stepwatch.offset

    # Transmit stamps

    def forget_keys(self) -> None:
        """The socket's counter of sends starts again at 0."""
        self._next_key = self.stamps_due = 0

    def left(self, key: int, stamp: int) -> None:
        """The kernel stamped the send number `key` as leaving at `stamp`. Keys of other sends are passed over."""
        behind = (self._next_key - key) & 0xFFFFFFFF
        if not 0 < behind <= SEQUENCES or behind > self._next_key:
            return
        sequence = self._keys[key % SEQUENCES]
        # After a failed send a stamp with an old key may still come; it is from before.
        if stamp + CLOCK_ERROR >= self.sent_at[sequence] + self._stepwatch.offset and not self.left_at[sequence]:
            self.left_at[sequence] = stamp
            self.stamps_due -= 1

    # Silence

    def next_deadline(self) -> int:
        """When the first of the waiting probes will have waited long enough; NEVER if none waits."""
        earliest = NEVER
        for queue in self._expiring.values():
            earliest = min(earliest, self._first_deadline(queue))
        return earliest

    def _first_deadline(self, queue: deque[int]) -> int:
        while queue and self.states[queue[0]] != WAITING:
            queue.popleft()
        return self.deadlines[queue[0]] if queue else NEVER

    def silent(self, now: int, most: int = SEQUENCES, read_until: int = NEVER) -> list[int]:
        """The waiting probes whose timeout has passed, in the order of sending; they are SILENT now.

        No more than `most` of each timeout: the others are given by the next call. All replies to waiting probes that
        had arrived by `now` were read, and all else that had arrived by `read_until`, if that is earlier.
        """
        # Not afterwards: what falls silent now has its record still to come.
        self._release(min(now, read_until))
        expired = []
        for timeout, queue in tuple(self._expiring.items()):
            left = most
            while left and self._first_deadline(queue) <= now:
                expired.append(queue.popleft())
                left -= 1
            if not queue:
                # Or whoever varies the timeout from call to call would have a queue for each he ever used.
                del self._expiring[timeout]
        for sequence in expired:
            self._become(sequence, SILENT)
        return expired

    def give_up(self, now: int) -> None:
        """No waiting probe is waited for any longer: their timeouts are over now."""
        for queue in self._expiring.values():
            for sequence in queue:
                self.deadlines[sequence] = min(self.deadlines[sequence], now)

    def _release(self, now: int) -> None:
        """Forget decided probes whose late window is over, as far as no older one is still held."""
        while self._is_over(self._oldest, now):
            self.states[self._oldest] = FREE
            self.flows[self._oldest] = None
            self._oldest = (self._oldest + 1) & 0xFFFF

    def _is_over(self, sequence: int, now: int) -> bool:
        if sequence >= len(self.states) or self.states[sequence] in (FREE, WAITING):
            return False
        return self.held_until[sequence] <= now
