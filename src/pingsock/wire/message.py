"""The parts of ICMP messages that ICMPv4 and ICMPv6 share: how a message becomes bytes, echo and extended echo.

Every ICMP message is type, code, checksum, and the rest: at least 4 bytes, whose meaning the type decides. A message
class knows its rest (`rest`, `from_rest_untrusted`); the checksum is the business of `pingsock.wire.icmp4` and `icmp6`.
"""

from __future__ import annotations

import struct

from pingsock.wire.errors import BadPacket
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol, Self

    class IcmpFields(Protocol):
        """What every message has."""

        @property
        def type(self) -> int:
            """ICMP type."""

        @property
        def code(self) -> int:
            """ICMP code."""

        def rest(self) -> bytes:
            """All that follows the checksum."""


MINIMUM_LENGTH = 8
"""No ICMP message is shorter; hosts drop what is."""

_HEADER = struct.Struct("!BBH")
_PAIR = struct.Struct("!HH")
_EXTENDED = struct.Struct("!HBB")


def message_without_checksum(message: IcmpFields) -> bytes:
    """A whole message whose checksum field is zero.

    :raises BadPacket: a field is out of its range.
    """
    try:
        return _HEADER.pack(message.type, message.code, 0) + message.rest()
    except (struct.error, OverflowError) as error:
        raise BadPacket(f"{message!r} cannot be sent: {error}") from error


def need(name: str, rest: bytes, length: int) -> None:
    """Raise BadPacket unless a message's rest has at least `length` bytes."""
    if len(rest) < length:
        raise BadPacket(f"{name} of {len(rest) + 4} bytes is shorter than its fixed part of {length + 4}")


class Echo(Value):
    """Fields of echo requests and replies (RFC 792, RFC 4443 section 4)."""

    identifier: int
    sequence: int
    data: bytes = b""
    code: int = 0

    def rest(self) -> bytes:
        """Identifier, sequence, data."""
        return _PAIR.pack(self.identifier, self.sequence) + self.data

    @classmethod
    def from_rest_untrusted(cls, code: int, rest: bytes) -> Self:
        """Cannot fail with the 4 bytes every message has."""
        identifier, sequence = _PAIR.unpack_from(rest)
        return cls(identifier, sequence, rest[4:], code)


class ExtendedEchoQuery(Value):
    """Fields of an extended echo request (RFC 8335 section 2): identifier, sequence, 7 reserved bits, L bit, data."""

    identifier: int
    sequence: int
    """8 bits, unlike that of echo."""
    local: bool = True
    """The L bit: the probed interface is on the node that is asked, not on a neighbour of it."""
    data: bytes = b""
    """The extension structure that names the interface; see `pingsock.wire.interfaces`."""
    reserved: int = 0
    code: int = 0

    def rest(self) -> bytes:
        """Identifier, sequence, flags, data."""
        return _EXTENDED.pack(self.identifier, self.sequence, self.reserved << 1 | bool(self.local)) + self.data

    @classmethod
    def from_rest_untrusted(cls, code: int, rest: bytes) -> Self:
        """Cannot fail with the 4 bytes every message has."""
        identifier, sequence, flags = _EXTENDED.unpack_from(rest)
        return cls(identifier, sequence, bool(flags & 1), rest[4:], flags >> 1, code)


class ExtendedEchoAnswer(Value):
    """Fields of an extended echo reply (RFC 8335 section 3): identifier, sequence, status byte, data.

    Status byte, from the high bit: state (3), reserved (2), active, IPv4, IPv6.
    """

    identifier: int
    sequence: int
    code: int = 0
    """What became of the query; named in `pingsock.wire.types`."""
    state: int = 0
    """State of the neighbour entry when the L bit was clear; named in `pingsock.wire.types`."""
    active: bool = False
    """The interface is up. With it the two below say which IP versions run on it."""
    ipv4: bool = False
    ipv6: bool = False
    data: bytes = b""
    """RFC 8335 defines none; hosts give the request's back."""
    reserved: int = 0

    def rest(self) -> bytes:
        """Identifier, sequence, status, data."""
        bits = bool(self.active) << 2 | bool(self.ipv4) << 1 | bool(self.ipv6)
        status = self.state << 5 | self.reserved << 3 | bits
        return _EXTENDED.pack(self.identifier, self.sequence, status) + self.data

    @classmethod
    def from_rest_untrusted(cls, code: int, rest: bytes) -> Self:
        """Cannot fail with the 4 bytes every message has."""
        identifier, sequence, status = _EXTENDED.unpack_from(rest)
        active, ipv4, ipv6 = bool(status & 4), bool(status & 2), bool(status & 1)
        return cls(identifier, sequence, code, status >> 5, active, ipv4, ipv6, rest[4:], status >> 3 & 3)
