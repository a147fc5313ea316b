"""The probes of one socket: matched with what is heard of them, and decided.

Theory of operation
-------------------

A ping socket has one identifier, so what tells its probes apart is the 16-bit sequence number. The ledger has a column
for each fact about a probe, indexed by sequence number:

    states, flows           1 and 8 bytes: what became of the probe, and whose it is
    numbers                 4 bytes; 8 once a target has had four billion probes
    sent_at, left_at        8 bytes each
    deadlines, held_until   8 bytes each; no column as long as no probe had a timeout

Columns double as numbers are used for the first time, so a short ping costs a few kilobytes, and one that goes on for
ever two megabytes. They are memoryviews, since `array` would bring `collections` to the start of every ping.

Numbers are handed out in turn, and none again before its late window is over: a reply can come for so long, and must
not be taken for that of the next probe. If the next number is still held, there is none (`next_sequence` is -1), and
whoever has more to send opens another socket. When the window is over the probe is forgotten, so that no more targets
are held in memory than can still be heard of; what comes then is a stray.

Some facts about transmit stamps
--------------------------------

* A transmit stamp says which packet it belongs to by a 32-bit counter of the socket's sends, starting at 0 when
  SOF_TIMESTAMPING_OPT_ID is switched on. A send that fails may or may not count.
* It is queued before the packet reaches the wire, so it can be read before the reply.
* Stamping is switched on a moment after it was asked for, so that first packets may lack a stamp.

What this means here
--------------------

A round trip is the receive stamp minus the transmit stamp, if both exist, no clock was set in between, and it is not
longer than the time that passed on our monotonic clock. Next comes the monotonic clock, less the time the reply waited
to be read (realtime now minus the receive stamp). Nothing is ever read from a payload. After a send that failed,
`forget_keys` must be called and the socket's counter started again.

All times are nanoseconds; `now` is on the monotonic clock, `calendar` on the realtime clock.
"""

from __future__ import annotations

from _socket import AF_INET
from struct import calcsize

from pingsock.probe import outcome
from pingsock.probe.outcome import ANSWERED, ERRED, FREE, SILENT, WAITING
from pingsock.probe.records import (
    BETWEEN_KERNEL_STAMPS,
    BY_OUR_CLOCK,
    NO_ECHO_REPLY,
    OTHER_SOURCE,
    OTHER_TOKEN,
    TO_KERNEL_STAMP,
    UNKNOWN_SEQUENCE,
    Duplicate,
    IcmpError,
    Stray,
)
from pingsock.wire.echo import parse_echo_untrusted
from pingsock.wire.errors import BadPacket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterable, Iterator
    from typing import Any, Protocol

    from pingsock.probe.clock import Stepwatch
    from pingsock.probe.flow import Flow
    from pingsock.probe.records import EchoReply, Note, Timeout
    from pingsock.probe.target import SocketAddress, Target
    from pingsock.sockets.ancillary import ExtendedError

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
NEVER = 2**63 - 1
_CLOCK_ERROR = 100_000
"""Nanoseconds by which two clocks read together may be apart."""
_ICMP_HEADER = 8
_REQUEST, _REPLY = {True: 8, False: 128}, {True: 0, False: 129}
_FEWEST = 64
"""Entries with which columns begin."""


def _column(kind: Any, size: int, content: Iterable[int] = ()) -> Column:
    """A packed column of that format and size: that content, and zeros behind it."""
    column: memoryview = memoryview(bytearray(size * calcsize(kind))).cast(kind)
    if isinstance(content, memoryview) and content.format == kind:
        column[: len(content)] = content
    else:
        for sequence, number in enumerate(content):
            column[sequence] = number
    return column


def _longer(column: Column, size: int) -> Column:
    assert isinstance(column, memoryview)
    return _column(column.format, size, column)


def _size_for(sequence: int) -> int:
    """How long a column is to be that needs an entry for this number."""
    return max(1 << sequence.bit_length(), _FEWEST)


_NO_DEADLINES: Any = range(NEVER, NEVER + SEQUENCES)
"""Stands for two columns as long as no probe has a timeout: what is in it never comes."""


class Ledger:
    """What one socket sent, and what was heard of it.

    `token` begins the payload of every genuine reply; b"" if the probes carry none. The payload is compared with what
    was sent from byte `compared_from` on. With `any_source` replies count whoever sent them, with a mark, and whatever
    their code, as for iputils.
    """

    def __init__(
        self,
        family: int,
        stepwatch: Stepwatch,
        token: bytes,
        *,
        compared_from: int = 0,
        any_source: bool = False,
    ) -> None:
        self._is_ipv4 = family == AF_INET
        self._reply_type = _REPLY[self._is_ipv4]
        self._stepwatch = stepwatch
        self._token = token
        self._compared_from = compared_from
        self._any_source = any_source
        # The columns.
        self.states: Column = bytearray()
        self.flows: list[Flow | None] = []
        self.numbers = _column("I", 0)
        self.sent_at = _column("q", 0)
        self.left_at = _column("q", 0)
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
        self._keys = _column("H", 0)
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
        at = self._next_key % SEQUENCES
        if at >= len(self._keys):
            self._keys = _longer(self._keys, _size_for(at))
        self._keys[at] = sequence
        self._next_key += 1
        self.stamps_due += 1
        self._enter(sequence, flow, number, now, timeout, late_window)
        if timeout in self._expiring:
            self._expiring[timeout].append(sequence)
        elif timeout:
            self._expiring[timeout] = deque((sequence,))

    def _enter(self, sequence: int, flow: Flow, number: int, now: int, timeout: int, late_window: int) -> None:
        if sequence >= len(self.states):
            self._grow(_size_for(sequence))
        if self.states[sequence] != WAITING:
            self.waiting += 1
        self.states[sequence] = WAITING
        self.flows[sequence] = flow
        self.sent_at[sequence] = now
        self.left_at[sequence] = 0
        try:
            self.numbers[sequence] = number
        except ValueError:
            self.numbers = _column("q", len(self.numbers), self.numbers)
            self.numbers[sequence] = number
        if timeout or self.deadlines is not _NO_DEADLINES:
            self._enter_deadline(sequence, now + timeout if timeout else NEVER, late_window)
        self.next_number = (sequence + 1) & 0xFFFF

    def _enter_deadline(self, sequence: int, deadline: int, late_window: int) -> None:
        if self.deadlines is _NO_DEADLINES:
            never = [NEVER] * len(self.states)
            self.deadlines, self.held_until = (_column("q", len(never), never) for _ in range(2))
        self.deadlines[sequence] = min(deadline, NEVER)
        self.held_until[sequence] = min(deadline + late_window, NEVER)

    def _grow(self, size: int) -> None:
        self.flows += [None] * (size - len(self.flows))
        self.states = bytearray(self.states).ljust(size, b"\0")
        self.numbers = _longer(self.numbers, size)
        self.sent_at, self.left_at = _longer(self.sent_at, size), _longer(self.left_at, size)
        if self.deadlines is not _NO_DEADLINES:
            self.deadlines, self.held_until = _longer(self.deadlines, size), _longer(self.held_until, size)

    def is_answered(self, sequence: int, number: int) -> bool:
        """Whether probe `number`, sent with this sequence number, has a reply."""
        known = sequence < len(self.states) and self.numbers[sequence] == number
        return known and self.states[sequence] == ANSWERED

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
        if stamp + _CLOCK_ERROR >= self.sent_at[sequence] + self._stepwatch.offset and not self.left_at[sequence]:
            self.left_at[sequence] = stamp
            self.stamps_due -= 1

    # Hearing

    def reply_untrusted(
        self, message: bytes, source: SocketAddress, stamp: int, hop_limit: int, now: int, calendar: int
    ) -> EchoReply | Stray:
        """A message was read at `now`; the kernel had stamped it `stamp` (0: it did not)."""
        sequence, reason = self._match_untrusted(message, source)
        if reason:
            return Stray(sequence, source, message, reason)
        round_trip, timed = self.round_trip(sequence, stamp, now, calendar)
        return self._answer(sequence, message, source, hop_limit, round_trip, timed)

    def _match_untrusted(self, message: bytes, source: SocketAddress) -> tuple[int, str]:
        """The sequence number, and why the message is no reply to one of our probes."""
        try:
            kind, code, _, sequence = parse_echo_untrusted(message)
        except BadPacket:
            return 0, NO_ECHO_REPLY
        if kind != self._reply_type or (code and not self._any_source):
            return sequence, NO_ECHO_REPLY
        flow = self._flow(sequence)
        if flow is None:
            return sequence, UNKNOWN_SEQUENCE
        if self._is_foreign(source, flow.target) and not self._any_source:
            return sequence, OTHER_SOURCE
        if not message.startswith(self._token, _ICMP_HEADER) and self._is_without_token(message, flow):
            return sequence, OTHER_TOKEN
        return sequence, ""

    @staticmethod
    def _is_foreign(source: SocketAddress, target: Target) -> bool:
        """Whether another host than the target sent it, and none that answers in its place."""
        return source != target.address and not (target.answered_by_others or _same(source, target.address))

    def _is_without_token(self, message: bytes, flow: Flow) -> bool:
        return message[_ICMP_HEADER : _ICMP_HEADER + len(self._token)] != self._token[: len(flow.payload)]

    def _flow(self, sequence: int) -> Flow | None:
        if sequence >= len(self.states) or self.states[sequence] == FREE:
            return None
        return self.flows[sequence]

    def round_trip(self, sequence: int, stamp: int, now: int, calendar: int) -> tuple[int, str]:
        """How long a reply that is read now took, and how that was measured."""
        sent_at, left = self.sent_at[sequence], self.left_at[sequence]
        elapsed = now - sent_at
        if not stamp or sent_at < self._stepwatch.stepped_at:
            return elapsed, BY_OUR_CLOCK
        if left and 0 <= stamp - left <= elapsed:
            return stamp - left, BETWEEN_KERNEL_STAMPS
        return elapsed - min(max(calendar - stamp, 0), elapsed), TO_KERNEL_STAMP

    def _answer(
        self, sequence: int, message: bytes, source: SocketAddress, hop_limit: int, round_trip: int, timed: str
    ) -> EchoReply:
        state, flow, sent_at = self.states[sequence], self.flows[sequence], self.sent_at[sequence]
        assert flow is not None
        if state == WAITING:
            self.waiting -= 1
        self.states[sequence] = ANSWERED
        received, sent = message[_ICMP_HEADER:], flow.payload
        return outcome.of_reply(state, late=sent_at + round_trip > self.deadlines[sequence])(
            flow.target,
            self.numbers[sequence],
            sequence,
            self.left_at[sequence] or sent_at + self._stepwatch.offset,
            source,
            message,
            hop_limit,
            round_trip,
            timed,
            self._any_source and self._is_foreign(source, flow.target),
            len(received) < len(sent),
            -1 if received == sent else self._altered_at(received, sent),
            outcome.REVISED[state],
        )

    def take_back(self, reply: EchoReply) -> None:
        """A reply turned out not to be genuine: its probe is what it was before."""
        if isinstance(reply, Duplicate):
            return
        state = outcome.BEFORE[reply.revises]
        self.states[reply.sequence] = state
        if state == WAITING:
            self.waiting += 1

    def _become(self, sequence: int, state: int) -> None:
        if self.states[sequence] == WAITING:
            self.waiting -= 1
        self.states[sequence] = state

    def _sent_calendar(self, sequence: int) -> int:
        return self.left_at[sequence] or self.sent_at[sequence] + self._stepwatch.offset

    def _altered_at(self, received: bytes, sent: bytes) -> int:
        size, start = min(len(received), len(sent)), self._compared_from
        if received[start:size] == sent[start:size]:
            return -1
        return next(at for at in range(start, size) if received[at] != sent[at])

    def reported_untrusted(
        self, quote: bytes, destination: SocketAddress, entry: ExtendedError, stamp: int, now: int, calendar: int
    ) -> IcmpError | Note | None:
        """An ICMP error about what begins with `quote`, sent to `destination`, was read at `now`.

        None if that is about none of our probes. The kernel had stamped the error `stamp` (0: it did not).
        """
        try:
            kind, _, _, sequence = parse_echo_untrusted(quote)
        except BadPacket:
            return None
        flow = self._flow(sequence)
        if flow is None or kind != _REQUEST[self._is_ipv4] or not _same(destination, flow.target.address):
            return None
        # Old routers quote no more than the ICMP header.
        quoted = quote[_ICMP_HEADER : _ICMP_HEADER + len(self._token)]
        if not self._token[: len(flow.payload)].startswith(quoted):
            return None
        return self._report(sequence, flow, entry, self.round_trip(sequence, stamp, now, calendar))

    def _report(self, sequence: int, flow: Flow, entry: ExtendedError, round_trip: tuple[int, str]) -> IcmpError | Note:
        state = self.states[sequence]
        kind = outcome.of_error(state, entry.type, is_ipv4=self._is_ipv4)
        reporter = (entry.offender, 0) if self._is_ipv4 else (entry.offender, 0, 0, entry.offender_scope)
        common = (
            flow.target,
            self.numbers[sequence],
            sequence,
            self._sent_calendar(sequence),
            reporter,
            entry.type,
            entry.code,
            entry.info,
            *round_trip,
        )
        if kind is not IcmpError:
            return kind(*common)
        self._become(sequence, ERRED)
        return IcmpError(*common, outcome.REVISED[state])

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

    def silence(self, sequence: int, *, dropped: bool, absent: int) -> Timeout:
        """The record of a silent probe; see `pingsock.probe.outcome`."""
        flow = self.flows[sequence]
        assert flow is not None
        waited = self.deadlines[sequence] - self.sent_at[sequence]
        kind = outcome.of_silence(dropped=dropped, absent=absent, waited=waited)
        return kind(flow.target, self.numbers[sequence], sequence, self._sent_calendar(sequence), waited)


def _same(left: SocketAddress, right: SocketAddress) -> bool:
    """Whether two socket addresses are one host; a scope that is not told (0) fits any."""
    if left[0] != right[0]:
        return False
    return len(left) < 4 or len(right) < 4 or left[3] == right[3] or not (left[3] and right[3])
