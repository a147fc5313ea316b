"""IPv4 headers (RFC 791; traffic class as in RFC 2474 and 3168)."""

from __future__ import annotations

import struct

from pingsock.wire.checksum import checksum_holds, internet_checksum
from pingsock.wire.errors import BadPacket
from pingsock.wire.value import Value

MINIMUM_HEADER_LENGTH = 20
MAXIMUM_OPTIONS_LENGTH = 40
MAXIMUM_PACKET_LENGTH = 65535

_FIXED = struct.Struct("!BBHHHBBH4s4s")
_RESERVED, _DONT_FRAGMENT, _MORE_FRAGMENTS = 0x8000, 0x4000, 0x2000


class IPv4Header(Value):
    """All fields of a header but version, header length and checksum, which follow from the others."""

    source: bytes
    destination: bytes
    protocol: int = 1
    ttl: int = 64
    traffic_class: int = 0
    """The TOS byte: DSCP in the upper 6 bits, ECN in the lower 2."""
    identification: int = 0
    dont_fragment: bool = False
    more_fragments: bool = False
    fragment_offset: int = 0
    """In bytes, a multiple of 8."""
    options: bytes = b""
    """Padded to a multiple of 4, at most 40 bytes; see `pingsock.wire.ipv4_options`."""
    total_length: int = 0
    """Bytes of header and payload; `build_ipv4` works it out."""
    reserved: bool = False
    """The flag bit nobody may set."""

    @property
    def header_length(self) -> int:
        """In bytes, options included."""
        return MINIMUM_HEADER_LENGTH + len(self.options)

    @property
    def is_fragment(self) -> bool:
        """Whether this is part of a packet only."""
        return self.more_fragments or self.fragment_offset > 0

    def to_bytes(self) -> bytes:
        """The header, checksum included.

        :raises BadPacket: a field is out of its range.
        """
        try:
            head = self._fixed_part(0) + self.options
            return self._fixed_part(internet_checksum(head)) + self.options
        except struct.error as error:
            raise BadPacket(f"{self!r} cannot be sent: {error}") from error

    def _fixed_part(self, checksum: int) -> bytes:
        return _FIXED.pack(
            0x40 | self._length_in_words(),
            self.traffic_class,
            self.total_length,
            self.identification,
            self._fragment_word(),
            self.ttl,
            self.protocol,
            checksum,
            _address(self.source),
            _address(self.destination),
        )

    def _length_in_words(self) -> int:
        if len(self.options) % 4 or len(self.options) > MAXIMUM_OPTIONS_LENGTH:
            raise BadPacket(f"IPv4 options of {len(self.options)} bytes; a multiple of 4 up to 40 is needed")
        return self.header_length // 4

    def _fragment_word(self) -> int:
        if self.fragment_offset % 8 or not 0 <= self.fragment_offset <= 0x1FFF * 8:
            raise BadPacket(f"fragment offset {self.fragment_offset}; a multiple of 8 up to 65528 is needed")
        flags = (
            self.reserved and _RESERVED,
            self.dont_fragment and _DONT_FRAGMENT,
            self.more_fragments and _MORE_FRAGMENTS,
        )
        return sum(flags) | self.fragment_offset // 8


def _address(address: bytes) -> bytes:
    if len(address) != 4:
        raise BadPacket(f"IPv4 address of {len(address)} bytes")
    return address


def parse_ipv4_header_untrusted(packet: bytes, *, verify_checksum: bool = True) -> IPv4Header:
    """The header at the start of `packet`, of which the payload may be cut off, as in quotes.

    :raises BadPacket: not IPv4, cut inside the header, or (unless `verify_checksum` is off) a wrong checksum.
    """
    length = _header_length_untrusted(packet)
    if verify_checksum and not checksum_holds(packet[:length]):
        raise BadPacket("IPv4 header with a wrong checksum")
    _, traffic_class, total, identification, fragment, ttl, protocol, _, source, destination = _FIXED.unpack_from(
        packet
    )
    return IPv4Header(
        source,
        destination,
        protocol,
        ttl,
        traffic_class,
        identification,
        bool(fragment & _DONT_FRAGMENT),
        bool(fragment & _MORE_FRAGMENTS),
        (fragment & 0x1FFF) * 8,
        packet[MINIMUM_HEADER_LENGTH:length],
        total,
        bool(fragment & _RESERVED),
    )


def _header_length_untrusted(packet: bytes) -> int:
    if len(packet) < MINIMUM_HEADER_LENGTH:
        raise BadPacket(f"IPv4 packet of {len(packet)} bytes is shorter than its header of 20")
    version, length = packet[0] >> 4, (packet[0] & 0xF) * 4
    if version != 4 or length < MINIMUM_HEADER_LENGTH or length > len(packet):
        raise BadPacket(f"IP version {version} with a header of {length} bytes in a packet of {len(packet)}")
    return length


def parse_ipv4_untrusted(packet: bytes, *, verify_checksum: bool = True) -> tuple[IPv4Header, bytes]:
    """Header and payload of a whole packet; bytes beyond its total length, as Ethernet pads them on, are left out.

    :raises BadPacket: as for the header, or a total length less than the header's or more than there is.
    """
    header = parse_ipv4_header_untrusted(packet, verify_checksum=verify_checksum)
    if not header.header_length <= header.total_length <= len(packet):
        raise BadPacket(
            f"IPv4 total length {header.total_length} with a header of {header.header_length} bytes"
            f" in a packet of {len(packet)}"
        )
    return header, packet[header.header_length : header.total_length]


def build_ipv4(header: IPv4Header, payload: bytes) -> bytes:
    """A whole packet; its total length is worked out here.

    :raises BadPacket: a field out of range, or more than 65535 bytes in all.
    """
    total = header.header_length + len(payload)
    if total > MAXIMUM_PACKET_LENGTH:
        raise BadPacket(f"IPv4 packet of {total} bytes; the most is {MAXIMUM_PACKET_LENGTH}")
    return header.replace(total_length=total).to_bytes() + payload
