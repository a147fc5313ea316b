"""IPv6 headers and the chain of extension headers behind them (RFC 8200, RFC 4302).

Walked over, as Linux does: hop-by-hop options, routing, fragment, destination options, authentication. Anything else,
"no next header" (59) and encrypted payload (50) included, ends the chain as the upper-layer protocol.
"""

from __future__ import annotations

import struct

from pingsock.wire.errors import BadPacket
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

HEADER_LENGTH = 40
FRAGMENT_HEADER_LENGTH = 8
MAXIMUM_PAYLOAD_LENGTH = 65535

HOP_BY_HOP_OPTIONS = 0
ROUTING = 43
FRAGMENT = 44
AUTHENTICATION = 51
ICMPV6 = 58
NO_NEXT_HEADER = 59
DESTINATION_OPTIONS = 60
EXTENSION_HEADERS = frozenset({HOP_BY_HOP_OPTIONS, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS})

_FIXED = struct.Struct("!IHBB16s16s")
_FRAGMENT = struct.Struct("!BBHI")


class IPv6Header(Value):
    """All fields of the fixed header but the version."""

    source: bytes
    destination: bytes
    next_header: int = ICMPV6
    hop_limit: int = 64
    traffic_class: int = 0
    flow_label: int = 0
    """20 bits."""
    payload_length: int = 0
    """Bytes behind the fixed header, extension headers included; `build_ipv6` works it out."""

    def to_bytes(self) -> bytes:
        """The 40 bytes.

        :raises BadPacket: a field is out of its range.
        """
        if not (0 <= self.traffic_class <= 0xFF and 0 <= self.flow_label <= 0xFFFFF):
            raise BadPacket(
                f"traffic class {self.traffic_class:#x} and flow label {self.flow_label:#x} need 8 and 20 bits"
            )
        if len(self.source) != 16 or len(self.destination) != 16:
            raise BadPacket(f"IPv6 addresses of {len(self.source)} and {len(self.destination)} bytes")
        first = 6 << 28 | self.traffic_class << 20 | self.flow_label
        try:
            return _FIXED.pack(
                first, self.payload_length, self.next_header, self.hop_limit, self.source, self.destination
            )
        except struct.error as error:
            raise BadPacket(f"{self!r} cannot be sent: {error}") from error


class ExtensionHeader(Value):
    """One extension header as it stands in the packet."""

    kind: int
    """HOP_BY_HOP_OPTIONS, ROUTING, FRAGMENT, AUTHENTICATION or DESTINATION_OPTIONS."""
    data: bytes
    """All of it: the next-header byte, the length byte, the rest."""


class FragmentInfo(Value):
    """Contents of a fragment header."""

    offset: int
    """In bytes, a multiple of 8."""
    more: bool
    identification: int

    def to_bytes(self, next_header: int) -> bytes:
        """The 8-byte fragment header.

        :raises BadPacket: a field is out of its range.
        """
        if self.offset % 8 or not 0 <= self.offset <= 0xFFF8:
            raise BadPacket(f"fragment offset {self.offset}; a multiple of 8 up to 65528 is needed")
        try:
            return _FRAGMENT.pack(next_header, 0, self.offset | self.more, self.identification)
        except struct.error as error:
            raise BadPacket(f"{self!r} cannot be sent: {error}") from error


class UpperLayer(Value):
    """What lies behind the extension headers."""

    protocol: int
    """Upper-layer protocol."""
    offset: int
    """Where it begins, in bytes from the start of the packet."""
    fragment: FragmentInfo | None = None
    """Of the last fragment header. With an offset other than 0, what is at `offset` is not the protocol's header."""
    headers: tuple[ExtensionHeader, ...] = ()
    """The extension headers passed, in their order."""


def parse_ipv6_header_untrusted(packet: bytes) -> IPv6Header:
    """The fixed header at the start of `packet`, of which the payload may be cut off, as in quotes.

    :raises BadPacket: not IPv6, or fewer than 40 bytes.
    """
    if len(packet) < HEADER_LENGTH:
        raise BadPacket(f"IPv6 packet of {len(packet)} bytes is shorter than its header of {HEADER_LENGTH}")
    first, payload_length, next_header, hop_limit, source, destination = _FIXED.unpack_from(packet)
    if first >> 28 != 6:
        raise BadPacket(f"IP version {first >> 28} where 6 was expected")
    return IPv6Header(source, destination, next_header, hop_limit, first >> 20 & 0xFF, first & 0xFFFFF, payload_length)


def parse_ipv6_untrusted(packet: bytes) -> tuple[IPv6Header, bytes]:
    """Fixed header and payload, extension headers included, of a whole packet; bytes beyond its length are left out.

    :raises BadPacket: as for the header, or a payload length of more than there is. Jumbograms (RFC 2675) have length
        0 and come out without payload.
    """
    header = parse_ipv6_header_untrusted(packet)
    end = HEADER_LENGTH + header.payload_length
    if end > len(packet):
        raise BadPacket(f"IPv6 payload length {header.payload_length} in a packet of {len(packet)} bytes")
    return header, packet[HEADER_LENGTH:end]


def skip_extension_headers_untrusted(packet: bytes) -> UpperLayer:
    """Find the upper-layer protocol of a packet that may be cut off behind its extension headers.

    The walk stops behind a fragment header of offset other than 0: more headers are only in the first fragment.

    :raises BadPacket: not IPv6, or cut inside the fixed or an extension header.
    """
    protocol, offset = parse_ipv6_header_untrusted(packet).next_header, HEADER_LENGTH
    fragment: FragmentInfo | None = None
    headers: list[ExtensionHeader] = []
    while protocol in EXTENSION_HEADERS and not (fragment and fragment.offset):
        data = _extension_header_untrusted(protocol, packet[offset:])
        headers.append(ExtensionHeader(protocol, data))
        if protocol == FRAGMENT:
            fragment = _fragment_info(data)
        protocol, offset = data[0], offset + len(data)
    return UpperLayer(protocol, offset, fragment, tuple(headers))


def _extension_header_untrusted(kind: int, rest: bytes) -> bytes:
    if len(rest) < 8:
        raise BadPacket(f"IPv6 extension header {kind} cut to {len(rest)} bytes")
    length = _extension_header_length(kind, rest[1])
    if length > len(rest):
        raise BadPacket(f"IPv6 extension header {kind} of {length} bytes cut to {len(rest)}")
    return rest[:length]


def _extension_header_length(kind: int, length_field: int) -> int:
    if kind == FRAGMENT:
        return FRAGMENT_HEADER_LENGTH
    if kind == AUTHENTICATION:
        return (length_field + 2) * 4
    return (length_field + 1) * 8


def _fragment_info(data: bytes) -> FragmentInfo:
    _, _, word, identification = _FRAGMENT.unpack(data)
    return FragmentInfo(word & 0xFFF8, bool(word & 1), identification)


def build_ipv6(header: IPv6Header, payload: bytes, extension_headers: Iterable[ExtensionHeader] = ()) -> bytes:
    """A whole packet. `header.next_header` names the payload; the extension headers are chained in front of it.

    :raises BadPacket: a field out of range, or more than 65535 bytes behind the fixed header.
    """
    next_header, chain = header.next_header, payload
    for extension in reversed(list(extension_headers)):
        chain = bytes((next_header,)) + extension.data[1:] + chain
        next_header = extension.kind
    if len(chain) > MAXIMUM_PAYLOAD_LENGTH:
        raise BadPacket(f"IPv6 payload of {len(chain)} bytes; the most is {MAXIMUM_PAYLOAD_LENGTH}")
    return header.replace(next_header=next_header, payload_length=len(chain)).to_bytes() + chain
