"""ICMPv4 messages as values (RFC 792, 950, 1191, 4884, 8335).

`parse_icmp4_untrusted` turns every well-formed message into a value and `to_bytes` turns the value into the very same
bytes. Fields the RFCs call unused are kept in `reserved`, from the high bit down, so that nothing gets lost.
"""

from __future__ import annotations

import struct

from pingsock.wire import types
from pingsock.wire.checksum import checksum_holds, with_checksum
from pingsock.wire.errors import BadPacket
from pingsock.wire.message import (
    MINIMUM_LENGTH,
    Echo,
    ExtendedEchoAnswer,
    ExtendedEchoQuery,
    message_without_checksum,
    need,
)
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Self

    from pingsock.wire.message import IcmpFields

_PAIR = struct.Struct("!HH")
_BYTES_AND_WORD = struct.Struct("!BBH")
_LONG = struct.Struct("!I")
_TIMESTAMPS = struct.Struct("!HHIII")


class _Icmp4(Value):
    def to_bytes(self: IcmpFields) -> bytes:
        """The whole message, checksum included.

        :raises BadPacket: a field is out of its range.
        """
        return with_checksum(message_without_checksum(self))


class EchoRequest(Echo, _Icmp4):
    """Asks for the data back."""

    type: ClassVar[int] = types.ICMP4_ECHO_REQUEST


class EchoReply(Echo, _Icmp4):
    """Brings a request's identifier, sequence and data back."""

    type: ClassVar[int] = types.ICMP4_ECHO_REPLY


class ExtendedEchoRequest(ExtendedEchoQuery, _Icmp4):
    """Asks for the status of an interface."""

    type: ClassVar[int] = types.ICMP4_EXTENDED_ECHO_REQUEST


class ExtendedEchoReply(ExtendedEchoAnswer, _Icmp4):
    """Tells the status of an interface."""

    type: ClassVar[int] = types.ICMP4_EXTENDED_ECHO_REPLY


class _Timestamps(_Icmp4):
    identifier: int
    sequence: int
    originate: int = 0
    """Milliseconds since midnight UT when the asker sent; the high bit marks a number on another scale."""
    receive: int = 0
    """The same when the answerer received."""
    transmit: int = 0
    """The same when the answerer sent."""
    trailer: bytes = b""
    """Bytes beyond the 20 of the message; nobody defines any."""
    code: int = 0

    def rest(self) -> bytes:
        """Identifier, sequence, three times."""
        times = (self.originate, self.receive, self.transmit)
        return _TIMESTAMPS.pack(self.identifier, self.sequence, *times) + self.trailer

    @classmethod
    def from_rest_untrusted(cls, code: int, rest: bytes) -> Self:
        """Raise BadPacket if it is cut off."""
        need("ICMP timestamp message", rest, 16)
        identifier, sequence, originate, receive, transmit = _TIMESTAMPS.unpack_from(rest)
        return cls(identifier, sequence, originate, receive, transmit, rest[16:], code)


class TimestampRequest(_Timestamps):
    """Asks for the time."""

    type: ClassVar[int] = types.ICMP4_TIMESTAMP_REQUEST


class TimestampReply(_Timestamps):
    """Tells the time."""

    type: ClassVar[int] = types.ICMP4_TIMESTAMP_REPLY


class InformationRequest(Echo, _Icmp4):
    """Asks which network this is (obsolete, RFC 6918); laid out as an echo, by definition without data."""

    type: ClassVar[int] = types.ICMP4_INFORMATION_REQUEST


class InformationReply(Echo, _Icmp4):
    """Tells by its addresses which network this is (obsolete, RFC 6918)."""

    type: ClassVar[int] = types.ICMP4_INFORMATION_REPLY


class _AddressMask(_Icmp4):
    identifier: int
    sequence: int
    mask: bytes = bytes(4)
    """Packed, 4 bytes."""
    trailer: bytes = b""
    """Bytes beyond the 12 of the message; nobody defines any."""
    code: int = 0

    def rest(self) -> bytes:
        """Identifier, sequence, mask."""
        if len(self.mask) != 4:
            raise BadPacket(f"address mask needs 4 bytes, got {len(self.mask)}")
        return _PAIR.pack(self.identifier, self.sequence) + self.mask + self.trailer

    @classmethod
    def from_rest_untrusted(cls, code: int, rest: bytes) -> Self:
        """Raise BadPacket if it is cut off."""
        need("ICMP address mask message", rest, 8)
        identifier, sequence = _PAIR.unpack_from(rest)
        return cls(identifier, sequence, rest[4:8], rest[8:], code)


class AddressMaskRequest(_AddressMask):
    """Asks for the subnet's mask (RFC 950; obsolete, RFC 6918)."""

    type: ClassVar[int] = types.ICMP4_ADDRESS_MASK_REQUEST


class AddressMaskReply(_AddressMask):
    """Tells the subnet's mask (RFC 950; obsolete, RFC 6918)."""

    type: ClassVar[int] = types.ICMP4_ADDRESS_MASK_REPLY


class DestinationUnreachable(_Icmp4):
    """A packet could not be delivered. Rest: reserved, length, next-hop MTU, body."""

    code: int
    """Why; named in `pingsock.wire.types`."""
    body: bytes = b""
    """The packet it is about, as much as came, then padding and extensions (`pingsock.wire.extensions`) if any."""
    next_hop_mtu: int = 0
    """With code 4: the largest packet that would have passed (RFC 1191); 0 from routers older than that."""
    length: int = 0
    """Length of the quoted packet in 32-bit words (RFC 4884); 0 where there are no extensions."""
    reserved: int = 0

    type: ClassVar[int] = types.ICMP4_DESTINATION_UNREACHABLE

    def rest(self) -> bytes:
        """Reserved, length, MTU, body."""
        return _BYTES_AND_WORD.pack(self.reserved, self.length, self.next_hop_mtu) + self.body

    @classmethod
    def from_rest_untrusted(cls, code: int, rest: bytes) -> Self:
        """Cannot fail with the 4 bytes every message has."""
        reserved, length, next_hop_mtu = _BYTES_AND_WORD.unpack_from(rest)
        return cls(code, rest[4:], next_hop_mtu, length, reserved)


class SourceQuench(_Icmp4):
    """Asked senders to slow down (deprecated, RFC 6633)."""

    body: bytes = b""
    """The packet it is about."""
    reserved: int = 0
    code: int = 0

    type: ClassVar[int] = types.ICMP4_SOURCE_QUENCH

    def rest(self) -> bytes:
        """Reserved, body."""
        return _LONG.pack(self.reserved) + self.body

    @classmethod
    def from_rest_untrusted(cls, code: int, rest: bytes) -> Self:
        """Cannot fail with the 4 bytes every message has."""
        return cls(rest[4:], int.from_bytes(rest[:4], "big"), code)


class Redirect(_Icmp4):
    """Another router is nearer to the destination; the packet was forwarded all the same."""

    code: int
    gateway: bytes
    """The router to use, packed, 4 bytes."""
    body: bytes = b""
    """The packet it is about."""

    type: ClassVar[int] = types.ICMP4_REDIRECT

    def rest(self) -> bytes:
        """Gateway, body."""
        if len(self.gateway) != 4:
            raise BadPacket(f"redirect needs a gateway of 4 bytes, got {len(self.gateway)}")
        return self.gateway + self.body

    @classmethod
    def from_rest_untrusted(cls, code: int, rest: bytes) -> Self:
        """Cannot fail with the 4 bytes every message has."""
        return cls(code, rest[:4], rest[4:])


class TimeExceeded(_Icmp4):
    """A packet's TTL ran out, or its fragments did not come in time. Rest: reserved, length, reserved (2), body."""

    code: int = types.TTL_EXCEEDED
    body: bytes = b""
    """The packet it is about, then padding and extensions if any."""
    length: int = 0
    """As in DestinationUnreachable."""
    reserved: int = 0
    """24 bits."""

    type: ClassVar[int] = types.ICMP4_TIME_EXCEEDED

    def rest(self) -> bytes:
        """Reserved, length, reserved, body."""
        return _BYTES_AND_WORD.pack(self.reserved >> 16, self.length, self.reserved & 0xFFFF) + self.body

    @classmethod
    def from_rest_untrusted(cls, code: int, rest: bytes) -> Self:
        """Cannot fail with the 4 bytes every message has."""
        high, length, low = _BYTES_AND_WORD.unpack_from(rest)
        return cls(code, rest[4:], length, high << 16 | low)


class ParameterProblem(_Icmp4):
    """A header or option is wrong. Rest: pointer, length, reserved, body."""

    pointer: int = 0
    """Offset of the octet at fault in the quoted packet."""
    body: bytes = b""
    """The packet it is about, then padding and extensions if any."""
    code: int = 0
    length: int = 0
    """As in DestinationUnreachable."""
    reserved: int = 0

    type: ClassVar[int] = types.ICMP4_PARAMETER_PROBLEM

    def rest(self) -> bytes:
        """Pointer, length, reserved, body."""
        return _BYTES_AND_WORD.pack(self.pointer, self.length, self.reserved) + self.body

    @classmethod
    def from_rest_untrusted(cls, code: int, rest: bytes) -> Self:
        """Cannot fail with the 4 bytes every message has."""
        pointer, length, reserved = _BYTES_AND_WORD.unpack_from(rest)
        return cls(pointer, rest[4:], code, length, reserved)


class Unknown(_Icmp4):
    """A message of any other type."""

    type: int
    code: int
    body: bytes
    """All that follows the checksum, at least 4 bytes."""

    def rest(self) -> bytes:
        """The body."""
        need(f"ICMP message of type {self.type}", self.body, 4)
        return self.body


Icmp4Message = (
    EchoRequest
    | EchoReply
    | ExtendedEchoRequest
    | ExtendedEchoReply
    | TimestampRequest
    | TimestampReply
    | InformationRequest
    | InformationReply
    | AddressMaskRequest
    | AddressMaskReply
    | DestinationUnreachable
    | SourceQuench
    | Redirect
    | TimeExceeded
    | ParameterProblem
    | Unknown
)
"""Any message; fit for isinstance and for annotations."""

_CLASSES = {
    cls.type: cls
    for cls in (
        EchoRequest,
        EchoReply,
        ExtendedEchoRequest,
        ExtendedEchoReply,
        TimestampRequest,
        TimestampReply,
        InformationRequest,
        InformationReply,
        AddressMaskRequest,
        AddressMaskReply,
        DestinationUnreachable,
        SourceQuench,
        Redirect,
        TimeExceeded,
        ParameterProblem,
    )
}


def parse_icmp4_untrusted(message: bytes, *, verify_checksum: bool = True) -> Icmp4Message:
    """The value of a whole ICMPv4 message, IP header not included.

    :raises BadPacket: shorter than 8 bytes or than its type needs, or a wrong checksum.
    """
    if len(message) < MINIMUM_LENGTH:
        raise BadPacket(f"ICMP message of {len(message)} bytes is shorter than {MINIMUM_LENGTH}")
    if verify_checksum and not checksum_holds(message):
        raise BadPacket(f"ICMP message of type {message[0]} and {len(message)} bytes has a wrong checksum")
    icmp_type, code, rest = message[0], message[1], message[4:]
    cls = _CLASSES.get(icmp_type)
    return cls.from_rest_untrusted(code, rest) if cls else Unknown(icmp_type, code, rest)
