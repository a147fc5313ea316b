"""What may follow the quoted packet in an ICMP error: extension objects (RFC 4884).

    an error's body:   quoted packet, zeros   | extension structure
                       `length` words         | version 2 (4 bits), reserved (12), checksum (16), objects
    one object:        length (16, of the whole object), class (8), c-type (8), payload

The length field of the error counts 32-bit words in ICMPv4 and 64-bit words in ICMPv6, and at least 128 bytes are
quoted in front of a structure. Routers older than RFC 4884 send the structure behind exactly 128 bytes and no length.

Known objects: MPLS label stacks (RFC 4950), interface information (RFC 5837), interface identification (RFC 8335, also
the whole contents of an extended echo request).
"""

from __future__ import annotations

from pingsock.wire import icmp4, icmp6
from pingsock.wire.checksum import checksum_holds, with_checksum
from pingsock.wire.errors import BadPacket
from pingsock.wire.interfaces import (
    INTERFACE_IDENTIFICATION,
    INTERFACE_INFORMATION,
    InterfaceByAddress,
    InterfaceByIndex,
    InterfaceByName,
    InterfaceInformation,
    parse_interface_identification_untrusted,
    parse_interface_information_untrusted,
)
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import ClassVar

    from pingsock.wire.interfaces import InterfaceIdentification

VERSION = 2
MPLS_LABEL_STACK = 1
"""Object class of RFC 4950; its one c-type, the incoming stack, is 1 too."""
MINIMUM_QUOTE_LENGTH = 128

ExtensibleError = (
    icmp4.DestinationUnreachable
    | icmp4.TimeExceeded
    | icmp4.ParameterProblem
    | icmp6.DestinationUnreachable
    | icmp6.TimeExceeded
)
"""Errors that have a length field."""

_ERRORS4 = (icmp4.DestinationUnreachable, icmp4.TimeExceeded, icmp4.ParameterProblem)


class MplsLabel(Value):
    """One entry of a label stack: label (20 bits), traffic class (3), bottom of stack (1), TTL (8)."""

    label: int
    traffic_class: int = 0
    """Once called EXP."""
    bottom: bool = False
    ttl: int = 0

    def to_bytes(self) -> bytes:
        """The 4 bytes.

        :raises BadPacket: a field is out of its range.
        """
        if not (0 <= self.label < 1 << 20 and 0 <= self.traffic_class < 8 and 0 <= self.ttl < 256):
            raise BadPacket(f"{self!r} does not fit in 20, 3, 1 and 8 bits")
        return (self.label << 12 | self.traffic_class << 9 | self.bottom << 8 | self.ttl).to_bytes(4, "big")


class MplsLabelStack(Value):
    """The labels a packet arrived with at the router that reports, outermost first."""

    labels: tuple[MplsLabel, ...]

    class_number: ClassVar[int] = MPLS_LABEL_STACK
    c_type: ClassVar[int] = 1

    def payload(self) -> bytes:
        """The entries, 4 bytes each."""
        return b"".join(label.to_bytes() for label in self.labels)


class UnknownObject(Value):
    """An object of another class, or of a known one with contents that do not fit it."""

    class_number: int
    c_type: int
    data: bytes = b""

    def payload(self) -> bytes:
        """The contents as they came."""
        return self.data


ExtensionObject = (
    MplsLabelStack | InterfaceInformation | InterfaceByName | InterfaceByIndex | InterfaceByAddress | UnknownObject
)


def split_extensions(error: ExtensibleError, *, without_length: bool = False) -> tuple[bytes, bytes]:
    """The quoted packet, padding included, and the extension structure, b"" if there is none, of an error's body.

    As in the kernel, a length of less than 128 bytes or of all there is means none. `without_length` also accepts,
    where the length is 0, what routers older than RFC 4884 send (its section 5.5): a structure behind exactly 128
    bytes, of version 2 and with a checksum that holds. Cannot fail.
    """
    length = error.length * (4 if isinstance(error, _ERRORS4) else 8)
    if MINIMUM_QUOTE_LENGTH <= length < len(error.body):
        return error.body[:length], error.body[length:]
    structure = error.body[MINIMUM_QUOTE_LENGTH:]
    if without_length and not error.length and _looks_like_extensions(structure):
        return error.body[:MINIMUM_QUOTE_LENGTH], structure
    return error.body, b""


def _looks_like_extensions(structure: bytes) -> bool:
    return len(structure) >= 8 and structure[0] >> 4 == VERSION and checksum_holds(structure)


def parse_extensions_untrusted(structure: bytes, *, verify_checksum: bool = True) -> tuple[ExtensionObject, ...]:
    """The objects of an extension structure. A checksum of zero means that the sender made none.

    :raises BadPacket: a version other than 2, a wrong checksum, or an object that is cut off.
    """
    if len(structure) < 4 or structure[0] >> 4 != VERSION:
        raise BadPacket(
            f"ICMP extension structure of {len(structure)} bytes, starting {structure[:1].hex() or 'nowhere'}"
        )
    if verify_checksum and structure[2:4] != b"\0\0" and not checksum_holds(structure):
        raise BadPacket("ICMP extension structure with a wrong checksum")
    found, rest = [], structure[4:]
    while rest:
        length = int.from_bytes(rest[:2], "big")
        if not 4 <= length <= len(rest):
            raise BadPacket(f"ICMP extension object of length {length} in the last {len(rest)} bytes")
        found.append(_object(rest[2], rest[3], rest[4:length]))
        rest = rest[length:]
    return tuple(found)


def _object(class_number: int, c_type: int, payload: bytes) -> ExtensionObject:
    parse = _PARSERS.get(class_number)
    try:
        return parse(c_type, payload) if parse else UnknownObject(class_number, c_type, payload)
    except BadPacket:
        return UnknownObject(class_number, c_type, payload)


def _parse_mpls_untrusted(c_type: int, payload: bytes) -> MplsLabelStack:
    if c_type != MplsLabelStack.c_type or len(payload) % 4:
        raise BadPacket(f"MPLS object of c-type {c_type} with {len(payload)} bytes")
    words = [int.from_bytes(payload[place : place + 4], "big") for place in range(0, len(payload), 4)]
    return MplsLabelStack(
        tuple(MplsLabel(word >> 12, word >> 9 & 7, bool(word >> 8 & 1), word & 0xFF) for word in words)
    )


_PARSERS: dict[int, Callable[[int, bytes], ExtensionObject]] = {
    MPLS_LABEL_STACK: _parse_mpls_untrusted,
    INTERFACE_INFORMATION: parse_interface_information_untrusted,
    INTERFACE_IDENTIFICATION: parse_interface_identification_untrusted,
}


def build_extensions(objects: Iterable[ExtensionObject]) -> bytes:
    """An extension structure, checksum included.

    :raises BadPacket: a field is out of its range.
    """
    return with_checksum(bytes((VERSION << 4, 0, 0, 0)) + b"".join(map(_object_to_bytes, objects)))


def _object_to_bytes(extension: ExtensionObject) -> bytes:
    payload = extension.payload()
    try:
        return (4 + len(payload)).to_bytes(2, "big") + bytes((extension.class_number, extension.c_type)) + payload
    except (OverflowError, ValueError) as error:
        raise BadPacket(f"{extension!r} cannot be sent: {error}") from error


def extend4(quoted: bytes, objects: Iterable[ExtensionObject]) -> tuple[bytes, int]:
    """Body and length field of an ICMPv4 error that quotes a packet and carries objects.

    :raises BadPacket: more than the 1020 bytes the length field can count, or an object out of range.
    """
    return _extend(quoted, objects, 4)


def extend6(quoted: bytes, objects: Iterable[ExtensionObject]) -> tuple[bytes, int]:
    """As `extend4`, for ICMPv6; up to 2040 bytes."""
    return _extend(quoted, objects, 8)


def _extend(quoted: bytes, objects: Iterable[ExtensionObject], unit: int) -> tuple[bytes, int]:
    short = max(MINIMUM_QUOTE_LENGTH - len(quoted), 0)
    padded = quoted + bytes(short or -len(quoted) % unit)
    if len(padded) // unit > 0xFF:
        raise BadPacket(f"{len(quoted)} quoted bytes; the most in front of extensions is {0xFF * unit}")
    return padded + build_extensions(objects), len(padded) // unit


def interface_query(interface: InterfaceIdentification) -> bytes:
    """The data of an extended echo request that asks about an interface (RFC 8335 section 2).

    :raises BadPacket: a field is out of its range.
    """
    return build_extensions((interface,))


def parse_interface_query_untrusted(data: bytes) -> InterfaceIdentification:
    """The interface an extended echo request asks about.

    :raises BadPacket: not exactly one well-formed identification; the answer is then code 1, malformed query.
    """
    objects = parse_extensions_untrusted(data)
    if len(objects) == 1 and isinstance(objects[0], InterfaceByName | InterfaceByIndex | InterfaceByAddress):
        return objects[0]
    raise BadPacket(f"extended echo request with {len(objects)} objects; one interface identification is needed")
