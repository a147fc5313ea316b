"""Buffers of the batch driver: hundreds of probes that look alike, and the replies to them."""

from __future__ import annotations

import struct
import sys
from array import array
from socket import AF_INET, inet_ntop

from pingsock.probe.flow import control_items, socket_settings
from pingsock.probe.packed import WORD
from pingsock.probe.sent_probes import SEQUENCES
from pingsock.sockets.mmsg import CONTROL_HEADER, ReceiveBatch, SendBatch, join_control
from pingsock.wire import linux
from pingsock.wire.echo import echo_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.probe.batch_ledger import Group
    from pingsock.probe.batch_targets import TargetBlock

    ReplyBuffers = dict[tuple[int, int, int], "ReplyBuffer"]

CAPACITY = 256
CHECKSUM_AT, SEQUENCE_AT = 2, 6
_ADDRESS_COLUMNS = {AF_INET: ((4, "I"),), linux.AF_INET6: ((8, "Q"), (16, "Q"))}
"""Where the address stands in a socket address, in which words."""
_LONG = struct.calcsize("@l")
_SECONDS_AT = CONTROL_HEADER
_BIG_ENDIAN = sys.byteorder == "big"
SECONDS_OCTET = _SECONDS_AT + (_LONG - 1 if _BIG_ENDIAN else 0)
"""The lowest byte of the seconds. Where these are equal the seconds are: stamps of one batch are not minutes apart."""
_NANOSECONDS_AT = CONTROL_HEADER + _LONG + (_LONG - WORD if _BIG_ENDIAN else 0)
"""The lower 32 bits of the nanoseconds, which they fit into."""
_HOP_LIMIT_AT = 2 * CONTROL_HEADER + 2 * _LONG
_CONTROL_LENGTH = _HOP_LIMIT_AT + _LONG
_HOP_LIMIT_OCTET = _HOP_LIMIT_AT + (3 if _BIG_ENDIAN else 0)
"""The only byte of a hop limit that is not zero."""
_SOCKADDR = {True: struct.Struct(linux.SOCKADDR_IN_LAYOUT), False: struct.Struct(linux.SOCKADDR_IN6_LAYOUT)}
_LONGER_REPLY = 64
"""Room for replies that are longer than any probe; more is cut off."""


def _network_order() -> memoryview:
    numbers = array("H", range(SEQUENCES))
    if sys.byteorder == "little":
        numbers.byteswap()
    return memoryview(numbers)


SEQUENCE_NUMBERS = _network_order()
"""Every sequence number as it stands in a message."""


class ReplyBuffer:
    """Buffers for a batch of replies of `length` bytes, and room for `longest`; the channels of a driver share them."""

    def __init__(self, family: int, length: int, longest: int) -> None:
        self.is_ipv4 = family == AF_INET
        self.batch = ReceiveBatch(family, CAPACITY, length, longest + _LONGER_REPLY, _CONTROL_LENGTH)
        batch = self.batch
        self.checksums = batch.message_column(CHECKSUM_AT, "H")
        self.sequences = batch.message_column(SEQUENCE_AT, "H")
        self.addresses = [batch.name_column(at, kind) for at, kind in _ADDRESS_COLUMNS[family]]
        self.seconds = batch.control_column(_SECONDS_AT, "l")
        self.nanoseconds = batch.control_column(_NANOSECONDS_AT, "i")

    def columns(self, count: int) -> tuple[bytes, bytes, bytes]:
        """Nanoseconds of the stamps, hop limits and checksums of the first `count` messages."""
        return (
            self.nanoseconds[:count].tobytes(),
            self.batch.control_octets(_HOP_LIMIT_OCTET, count),
            self.checksums[:count].tobytes(),
        )

    def source(self, number: int) -> tuple[object, ...]:
        """Who sent one message."""
        fields = _SOCKADDR[self.is_ipv4].unpack(self.batch.name(number).ljust(28, b"\0")[: 16 if self.is_ipv4 else 28])
        if self.is_ipv4:
            return inet_ntop(AF_INET, fields[2]), 0
        return inet_ntop(linux.AF_INET6, fields[3]), 0, int.from_bytes(fields[2], "big"), fields[4]


class Profile:
    """Buffers for probes that look alike. `reply_buffers` are those there are already."""

    def __init__(self, block: TargetBlock, payload: bytes, reply_buffers: ReplyBuffers) -> None:
        target = block.target(0)
        family = block.family
        self.settings = socket_settings(target)
        self.payload = payload
        self._family = family
        self._reply_buffers = reply_buffers
        self.group: Group | None = None
        """The last group that was sent from here."""
        message = echo_request(family, 0, 0, self.payload)
        self.length = len(message)
        self.batch = SendBatch(family, CAPACITY, self.length, join_control(control_items(target)))
        self._sequences = self.batch.message_column(SEQUENCE_AT, "H")
        self._addresses = [self.batch.name_column(at, kind) for at, kind in _ADDRESS_COLUMNS[family]]
        self.batch.messages[:] = message.ljust(self.batch.stride, b"\0") * CAPACITY
        self.batch.name_column(0, "H")[:] = array("H", [family]) * CAPACITY

    def reply_buffer(self, longest: int) -> ReplyBuffer:
        """For replies to these probes, and to others of up to `longest` bytes."""
        key = self._family, self.length, longest
        if key not in self._reply_buffers:
            self._reply_buffers[key] = ReplyBuffer(*key)
        return self._reply_buffers[key]

    def fill(self, block: TargetBlock, first: int, count: int, sequence: int) -> None:
        """Prepare probes of so many targets of the block, with sequence numbers from `sequence` on."""
        self.group = None
        for column, source in zip(self._addresses, block.columns, strict=True):
            column[:count] = source[first : first + count]
        self._sequences[:count] = SEQUENCE_NUMBERS[sequence : sequence + count]
