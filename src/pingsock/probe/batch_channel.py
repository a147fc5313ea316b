"""A ping socket that reads hundreds of replies by one system call, and accounts for them together.

Theory of operation
-------------------

What ordinary replies look like is known beforehand, all but checksum, sequence number and time. So a whole batch is
compared with what it should be, field by field over all its messages: each comparison is one operation on two columns.
If all are equal, the batch is accounted for, again column by column.

If not, each half of it is tried alone, and so on. A single message that is not ordinary is handed to the ledger, which
decides about it as in every other driver. So an odd message costs what it costs, and not the others.
"""

from __future__ import annotations

import errno
import struct
import sys
from array import array
from operator import itemgetter
from socket import AF_INET, inet_ntop
from typing import cast

from pingsock.probe.batch_replies import Replies
from pingsock.probe.channel import Channel
from pingsock.probe.clock import SECOND, read_clocks
from pingsock.probe.outcome import ANSWERED, WAITING
from pingsock.sockets.mmsg import CONTROL_HEADER, ReceiveBatch, split_control
from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.probe.batch_ledger import BatchLedger, Group
    from pingsock.probe.clock import Stepwatch
    from pingsock.probe.ledger import Ledger
    from pingsock.probe.records import Record, Stray
    from pingsock.sockets.choose import PingSocket

CAPACITY = 256
_ECHO_REPLY = {True: 0, False: 129}
_CHECKSUM_AT, _SEQUENCE_AT = 2, 6
_ADDRESS_COLUMNS = {True: ((4, "I"),), False: ((8, "Q"), (16, "Q"))}
_WORD = struct.calcsize("@l")
_CONTROL_STRIDE = 128
"""Room for time and hop limit, and for whatever else somebody may switch on."""
_SECONDS_AT = CONTROL_HEADER
_NANOSECONDS_AT = CONTROL_HEADER + _WORD
_HOP_LIMIT_AT = 2 * CONTROL_HEADER + 2 * _WORD
_CONTROL_LENGTH = _HOP_LIMIT_AT + _WORD
_SOCKADDR = {True: struct.Struct(linux.SOCKADDR_IN_LAYOUT), False: struct.Struct(linux.SOCKADDR_IN6_LAYOUT)}
_ALL_WAITING = (WAITING,) * CAPACITY
_ROUNDS = 8
"""Batches read before it is looked whether something is due."""
_NO_CHECKSUMS = memoryview(array("H", bytes(2 * CAPACITY)))


class ReplyBuffer:
    """Buffers for a batch of replies of one length; the channels of a driver share them."""

    def __init__(self, family: int, length: int) -> None:
        self.is_ipv4 = family == AF_INET
        self.length = length
        self.batch = ReceiveBatch(family, CAPACITY, length, _CONTROL_STRIDE, _CONTROL_LENGTH)
        batch = self.batch
        self.checksums = batch.message_column(_CHECKSUM_AT, "H")
        self.sequences = batch.message_column(_SEQUENCE_AT, "H")
        self.addresses = [batch.name_column(at, kind) for at, kind in _ADDRESS_COLUMNS[self.is_ipv4]]
        self.seconds = batch.control_column(_SECONDS_AT, "l")
        self.nanoseconds = batch.control_column(_NANOSECONDS_AT, "l")
        self.hop_limits = batch.control_column(_HOP_LIMIT_AT, "i")

    def source(self, number: int) -> tuple[object, ...]:
        """Who sent one message."""
        fields = _SOCKADDR[self.is_ipv4].unpack(self.batch.name(number).ljust(28, b"\0")[: 16 if self.is_ipv4 else 28])
        if self.is_ipv4:
            return inet_ntop(AF_INET, fields[2]), 0
        return inet_ntop(linux.AF_INET6, fields[3]), 0, int.from_bytes(fields[2], "big"), fields[4]


class BatchChannel(Channel):
    """Reads replies in batches once it was told, by `expect`, what they look like."""

    def __init__(
        self,
        sock: PingSocket,
        ledger: BatchLedger,
        stepwatch: Stepwatch,
        hear: Callable[[Record | Stray], None],
        largest: int,
        hear_replies: Callable[[Replies], None],
    ) -> None:
        super().__init__(sock, cast("Ledger", ledger), stepwatch, hear, largest)
        self.batch_ledger = ledger
        self.stepwatch = stepwatch
        self.hear_replies = hear_replies
        self._buffer_of_replies: ReplyBuffer | None = None
        self._payload = b""
        self.template = b""
        self.templates = b""
        # Reading a stamp of each send costs a fifth of the rate; the times of sending are interpolated.
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING, 0)
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPNS, 1)

    def expect(self, buffer: ReplyBuffer, payload: bytes) -> None:
        """Ordinary replies from now on have this payload. The socket must have its identifier."""
        if self._buffer_of_replies is buffer and self._payload is payload:
            return
        ident = self.sock.getsockname()[1]
        kind = _ECHO_REPLY[buffer.is_ipv4]
        self._buffer_of_replies, self._payload = buffer, payload
        self.template = struct.pack(">BBHHH", kind, 0, 0, ident, 0) + payload
        self.templates = self.template.ljust(buffer.batch.stride, b"\0") * CAPACITY

    def collect(self) -> bool:
        """As `Channel.collect`, in batches."""
        buffer = self._buffer_of_replies
        if buffer is None:
            return super().collect()
        self._read_error_queue()
        for _ in range(_ROUNDS):
            try:
                count = buffer.batch.receive(self.sock.fileno(), linux.MSG_DONTWAIT)
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    return True
                self._read_error_queue()
            else:
                _Batch(self, buffer, count).accept(0, count)
                if count < CAPACITY:
                    return True
        return False


    def explains_failure(self) -> bool:
        """Read the error queue; whether an ICMP error in it is why the last call failed."""
        self._explained = False
        self._read_error_queue()
        return self._explained

    def hear_one_untrusted(
        self, message: bytes, items: list[tuple[int, int, bytes]], source: tuple[object, ...]
    ) -> None:
        """Let the ledger decide about one message."""
        self._reply_untrusted(message, items, source)


class _Batch:
    """What one call received."""

    def __init__(self, channel: BatchChannel, buffer: ReplyBuffer, count: int) -> None:
        self._channel = channel
        self._ledger = channel.batch_ledger
        self._buffer = buffer
        self.now, calendar = read_clocks()
        channel.stepwatch.show(self.now, calendar)
        self._calendar = calendar
        self._offset = calendar - self.now
        self._checksums = buffer.checksums[:count].tobytes()
        self._raw_sequences = buffer.sequences[:count].tobytes()
        numbers = array("H", self._raw_sequences)
        if sys.byteorder == "little":
            numbers.byteswap()
        self._sequences = numbers.tolist()
        self._seconds = buffer.seconds[:count].tolist()
        self._nanoseconds = buffer.nanoseconds[:count].tolist()
        self._addresses = [column[:count].tolist() for column in buffer.addresses]
        buffer.checksums[:count] = _NO_CHECKSUMS[:count]
        buffer.sequences[:count] = _NO_CHECKSUMS[:count]

    def accept(self, first: int, last: int) -> None:
        """Account for the messages from number `first` to before `last`."""
        if last - first > 1:
            if self._looks_ordinary(first, last) and self._account(first, last):
                return
            middle = (first + last) // 2
            self.accept(first, middle)
            self.accept(middle, last)
        elif last > first:
            self._accept_one(first)

    def _looks_ordinary(self, first: int, last: int) -> bool:
        batch, count = self._buffer.batch, last - first
        size, stride = batch.header_size, batch.stride
        return (
            bytes(batch.headers[first * size : last * size]) == batch.clean_headers[first * size : last * size]
            and bytes(batch.messages[first * stride : last * stride]) == self._channel.templates[: count * stride]
        )

    def _account(self, first: int, last: int) -> bool:
        """Account for these messages if each answers a waiting probe of a group in time; else say False."""
        ledger, count = self._ledger, last - first
        sequences = self._sequences[first:last]
        pick = itemgetter(*sequences)
        if pick(ledger.probe_states) != _ALL_WAITING[:count] or len(set(sequences)) != count:
            return False
        for column, sources in zip(ledger.addresses, self._addresses, strict=True):
            if pick(column) != tuple(sources[first:last]):
                return False
        times = pick(ledger.times)
        round_trips = self._round_trips(first, last, times)
        if not round_trips or max(round_trips) > ledger.timeout:
            return False
        states = ledger.probe_states
        for sequence in sequences:
            states[sequence] = ANSWERED
        ledger.waiting -= count
        self._tell(first, last, sequences, times, round_trips)
        return True

    def _round_trips(self, first: int, last: int, times: tuple[int, ...]) -> list[int]:
        """Round trips, as the ledger would compute them; none at all if that is not so simple."""
        seconds, nanoseconds = self._seconds[first:last], self._nanoseconds[first:last]
        stepped_at = self._channel.stepwatch.stepped_at
        if (
            seconds.count(seconds[0]) != len(seconds)
            or seconds[0] * SECOND + max(nanoseconds) > self._calendar
            or (stepped_at and min(times) < stepped_at)
        ):
            return []
        shift = seconds[0] * SECOND - self._offset
        round_trips = [shift + received - sent for received, sent in zip(nanoseconds, times, strict=True)]
        # A packet may leave, and be answered by this very host, a little before its interpolated time.
        if min(round_trips) < 0:
            return [nanoseconds if nanoseconds > 0 else 0 for nanoseconds in round_trips]
        return round_trips

    def _tell(
        self, first: int, last: int, sequences: list[int], times: tuple[int, ...], round_trips: list[int]
    ) -> None:
        groups = cast("tuple[Group, ...]", itemgetter(*sequences)(self._ledger.groups))
        hop_limits = bytes(self._buffer.hop_limits[first:last].tolist())
        checksums = self._checksums[2 * first : 2 * last]
        template = self._channel.template
        self._channel.hear_replies(
            Replies(groups, sequences, times, self._offset, round_trips, hop_limits, checksums, template)
        )

    def _accept_one(self, number: int) -> None:
        """Let the ledger decide about one message."""
        batch, at = self._buffer.batch, number * self._buffer.batch.stride
        for field, saved in ((_CHECKSUM_AT, self._checksums), (_SEQUENCE_AT, self._raw_sequences)):
            batch.messages[at + field : at + field + 2] = saved[2 * number : 2 * number + 2]
        items = split_control(batch.control(number))
        self._channel.hear_one_untrusted(batch.message(number), items, self._buffer.source(number))
