"""ICMPv6 messages as values (RFC 4443, 4861 section 4.5, 4884, 8335).

As `pingsock.wire.icmp4`, but the checksum covers a pseudo-header, so that both directions need the packet's addresses
(16 bytes each; the destination is the final one where a routing header is used). Neighbour discovery other than
redirects, and multicast listener messages, parse as `Unknown`.
"""

from __future__ import annotations

import struct

from pingsock.wire import types
from pingsock.wire.checksum import icmp6_checksum_holds, with_checksum6
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

_LONG = struct.Struct("!I")

ND_OPTION_REDIRECTED_HEADER = 4
"""RFC 4861 section 4.6.3: 6 reserved bytes, then the packet the redirect is about."""


class _Icmp6(Value):
    def to_bytes(self: IcmpFields, source: bytes, destination: bytes) -> bytes:
        """The whole message, checksum included.

        :raises BadPacket: a field is out of its range, or an address is not 16 bytes.
        """
        return with_checksum6(source, destination, message_without_checksum(self))


class EchoRequest(Echo, _Icmp6):
    """Asks for the data back."""

    type: ClassVar[int] = types.ICMP6_ECHO_REQUEST


class EchoReply(Echo, _Icmp6):
    """Brings a request's identifier, sequence and data back."""

    type: ClassVar[int] = types.ICMP6_ECHO_REPLY


class ExtendedEchoRequest(ExtendedEchoQuery, _Icmp6):
    """Asks for the status of an interface."""

    type: ClassVar[int] = types.ICMP6_EXTENDED_ECHO_REQUEST


class ExtendedEchoReply(ExtendedEchoAnswer, _Icmp6):
    """Tells the status of an interface."""

    type: ClassVar[int] = types.ICMP6_EXTENDED_ECHO_REPLY


class _Extensible(_Icmp6):
    """An error that can carry extensions. Rest: length, reserved, body."""

    code: int
    body: bytes = b""
    """The packet it is about, as much as came, then padding and extensions (`pingsock.wire.extensions`) if any."""
    length: int = 0
    """Length of the quoted packet in 64-bit words (RFC 4884); 0 where there are no extensions."""
    reserved: int = 0
    """24 bits."""

    def rest(self) -> bytes:
        """Length, reserved, body."""
        if not 0 <= self.reserved <= 0xFFFFFF:
            raise BadPacket(f"reserved bits {self.reserved:#x} do not fit in 24 bits")
        return _LONG.pack(self.length << 24 | self.reserved) + self.body

    @classmethod
    def from_rest_untrusted(cls, code: int, rest: bytes) -> Self:
        """Cannot fail with the 4 bytes every message has."""
        return cls(code, rest[4:], rest[0], int.from_bytes(rest[1:4], "big"))


class DestinationUnreachable(_Extensible):
    """A packet could not be delivered."""

    type: ClassVar[int] = types.ICMP6_DESTINATION_UNREACHABLE


class TimeExceeded(_Extensible):
    """A packet's hop limit ran out, or its fragments did not come together in time."""

    type: ClassVar[int] = types.ICMP6_TIME_EXCEEDED


class PacketTooBig(_Icmp6):
    """A packet was larger than the next link's MTU."""

    mtu: int
    """32 bits."""
    body: bytes = b""
    """The packet it is about, as much as came."""
    code: int = 0

    type: ClassVar[int] = types.ICMP6_PACKET_TOO_BIG

    def rest(self) -> bytes:
        """MTU, body."""
        return _LONG.pack(self.mtu) + self.body

    @classmethod
    def from_rest_untrusted(cls, code: int, rest: bytes) -> Self:
        """Cannot fail with the 4 bytes every message has."""
        return cls(int.from_bytes(rest[:4], "big"), rest[4:], code)


class ParameterProblem(_Icmp6):
    """A header or option is wrong or unknown."""

    pointer: int
    """Offset of the octet at fault in the packet the error is about; may lie behind what was quoted. 32 bits."""
    body: bytes = b""
    """The packet it is about, as much as came."""
    code: int = 0

    type: ClassVar[int] = types.ICMP6_PARAMETER_PROBLEM

    def rest(self) -> bytes:
        """Pointer, body."""
        return _LONG.pack(self.pointer) + self.body

    @classmethod
    def from_rest_untrusted(cls, code: int, rest: bytes) -> Self:
        """Cannot fail with the 4 bytes every message has."""
        return cls(int.from_bytes(rest[:4], "big"), rest[4:], code)


class Redirect(_Icmp6):
    """Another next hop is better. Rest: reserved (4), target (16), destination (16), options."""

    target: bytes
    """The better next hop, packed; equal to `destination` if that is a neighbour."""
    destination: bytes
    """Packed."""
    options: bytes = b""
    """Neighbour discovery options; see `nd_options_untrusted`."""
    reserved: int = 0
    code: int = 0

    type: ClassVar[int] = types.ICMP6_REDIRECT

    def rest(self) -> bytes:
        """Reserved, target, destination, options."""
        if len(self.target) != 16 or len(self.destination) != 16:
            raise BadPacket(f"redirect needs addresses of 16 bytes, got {len(self.target)} and {len(self.destination)}")
        return _LONG.pack(self.reserved) + self.target + self.destination + self.options

    @classmethod
    def from_rest_untrusted(cls, code: int, rest: bytes) -> Self:
        """Raise BadPacket if it is cut off."""
        need("ICMPv6 redirect", rest, 36)
        return cls(rest[4:20], rest[20:36], rest[36:], int.from_bytes(rest[:4], "big"), code)


class Unknown(_Icmp6):
    """A message of any other type."""

    type: int
    code: int
    body: bytes
    """All that follows the checksum, at least 4 bytes."""

    def rest(self) -> bytes:
        """The body."""
        need(f"ICMPv6 message of type {self.type}", self.body, 4)
        return self.body


Icmp6Message = (
    EchoRequest
    | EchoReply
    | ExtendedEchoRequest
    | ExtendedEchoReply
    | DestinationUnreachable
    | PacketTooBig
    | TimeExceeded
    | ParameterProblem
    | Redirect
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
        DestinationUnreachable,
        PacketTooBig,
        TimeExceeded,
        ParameterProblem,
        Redirect,
    )
}


def parse_icmp6_untrusted(
    message: bytes, source: bytes = b"", destination: bytes = b"", *, verify_checksum: bool = True
) -> Icmp6Message:
    """The value of a whole ICMPv6 message, IPv6 header not included.

    The addresses are needed unless `verify_checksum` is off.

    :raises BadPacket: shorter than 8 bytes or than its type needs, or a wrong checksum.
    """
    if len(message) < MINIMUM_LENGTH:
        raise BadPacket(f"ICMPv6 message of {len(message)} bytes is shorter than {MINIMUM_LENGTH}")
    if verify_checksum and not icmp6_checksum_holds(source, destination, message):
        raise BadPacket(f"ICMPv6 message of type {message[0]} and {len(message)} bytes has a wrong checksum")
    icmp_type, code, rest = message[0], message[1], message[4:]
    cls = _CLASSES.get(icmp_type)
    return cls.from_rest_untrusted(code, rest) if cls else Unknown(icmp_type, code, rest)


def nd_options_untrusted(options: bytes) -> tuple[tuple[int, bytes], ...]:
    """Neighbour discovery options as pairs of type and contents (RFC 4861 section 4.6).

    :raises BadPacket: an option of length zero or cut off.
    """
    found = []
    while options:
        length = 8 * options[1] if len(options) >= 2 else 0
        if not 0 < length <= len(options):
            raise BadPacket(f"neighbour discovery option of length {length} in the last {len(options)} bytes")
        found.append((options[0], options[2:length]))
        options = options[length:]
    return tuple(found)


def redirected_packet_untrusted(options: bytes) -> bytes:
    """The packet quoted in the options of a redirect, padding included; b"" if it quotes none.

    :raises BadPacket: as `nd_options_untrusted`.
    """
    for option_type, contents in nd_options_untrusted(options):
        if option_type == ND_OPTION_REDIRECTED_HEADER:
            return contents[6:]
    return b""
