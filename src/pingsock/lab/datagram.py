"""An IP packet of either version, as far as a lab's nodes care."""

from __future__ import annotations

from pingsock.lab.prefixes import family_of
from pingsock.link.fragments import fragment_ipv4, fragment_ipv6
from pingsock.wire.checksum import ICMP6_PROTOCOL, with_checksum, with_checksum6
from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4 import MINIMUM_HEADER_LENGTH, IPv4Header, build_ipv4, parse_ipv4_untrusted
from pingsock.wire.ipv6 import (
    HEADER_LENGTH,
    IPv6Header,
    build_ipv6,
    parse_ipv6_untrusted,
    skip_extension_headers_untrusted,
)
from pingsock.wire.value import Value

ICMP4_PROTOCOL = 1


class Datagram(Value):
    """One IP packet."""

    source: bytes
    destination: bytes
    protocol: int
    """What the payload is: the protocol, or the last next header."""
    payload: bytes
    hop_limit: int = 64
    traffic_class: int = 0
    identification: int = 0
    """Of IPv4; IPv6 has its own in the fragment header."""
    dont_fragment: bool = False
    more_fragments: bool = False
    offset: int = 0
    """Of the payload within the unfragmented one, bytes."""
    flow_label: int = 0
    options: bytes = b""
    """IPv4 options, or the IPv6 extension headers between header and payload."""
    first_header: int = -1
    """Number of the first IPv6 extension header; -1 if there is none."""

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return family_of(self.destination)

    @property
    def is_fragment(self) -> bool:
        """Whether it is a part of a larger packet."""
        return self.more_fragments or self.offset > 0

    @property
    def is_icmp(self) -> bool:
        """Whether an ICMP header of the packet's own IP version can be read from the payload."""
        protocol = ICMP4_PROTOCOL if len(self.source) == 4 else ICMP6_PROTOCOL
        return self.protocol == protocol and not self.offset and len(self.payload) >= 8

    @property
    def type(self) -> int:
        """ICMP type; -1 if it is no ICMP."""
        return self.payload[0] if self.is_icmp else -1

    @property
    def code(self) -> int:
        """ICMP code; -1 if it is no ICMP."""
        return self.payload[1] if self.is_icmp else -1

    @property
    def ident(self) -> int:
        """Bytes 4 and 5 of the ICMP message, the identifier of those that have one; -1 if it is no ICMP."""
        return int.from_bytes(self.payload[4:6], "big") if self.is_icmp else -1

    @property
    def sequence(self) -> int:
        """Bytes 6 and 7 of the ICMP message, the sequence of those that have one; -1 if it is no ICMP."""
        return int.from_bytes(self.payload[6:8], "big") if self.is_icmp else -1

    @property
    def size(self) -> int:
        """Bytes of IP packet."""
        fixed = MINIMUM_HEADER_LENGTH if len(self.source) == 4 else HEADER_LENGTH
        return fixed + len(self.options) + len(self.payload)

    @property
    def packet(self) -> bytes:
        """The bytes on the wire; the IPv4 header checksum is right, those inside the payload are as they are."""
        return self._ipv4_packet() if len(self.source) == 4 else self._ipv6_packet()

    def sealed(self) -> Datagram:
        """Itself with the checksum of its ICMP message made right."""
        if not self.is_icmp:
            return self
        if len(self.source) == 4:
            return self.replace(payload=with_checksum(self.payload))
        return self.replace(payload=with_checksum6(self.source, self.destination, self.payload))

    def fragments(self, size: int, identification: int) -> list[bytes]:
        """Its packets on a link of that MTU; `identification` is for IPv6. ValueError if nothing would fit."""
        if len(self.source) == 4:
            return fragment_ipv4(self.packet, size)
        return fragment_ipv6(self.packet, size, identification)

    def _ipv4_packet(self) -> bytes:
        header = IPv4Header(
            self.source,
            self.destination,
            self.protocol,
            self.hop_limit,
            self.traffic_class,
            self.identification,
            self.dont_fragment,
            self.more_fragments,
            self.offset,
            self.options,
        )
        return build_ipv4(header, self.payload)

    def _ipv6_packet(self) -> bytes:
        first = self.protocol if self.first_header < 0 else self.first_header
        header = IPv6Header(self.source, self.destination, first, self.hop_limit, self.traffic_class, self.flow_label)
        return build_ipv6(header, self.options + self.payload)


def parse_datagram_untrusted(packet: bytes) -> Datagram:
    """A whole IP packet; bytes behind its length are ignored. BadPacket."""
    version = packet[0] >> 4 if packet else 0
    if version == 4:
        return _parse_ipv4(packet)
    if version == 6:
        return _parse_ipv6(packet)
    raise BadPacket(f"IP version is {version}, not 4 or 6")


def _parse_ipv4(packet: bytes) -> Datagram:
    header, payload = parse_ipv4_untrusted(packet)
    return Datagram(
        header.source,
        header.destination,
        header.protocol,
        payload,
        header.ttl,
        header.traffic_class,
        header.identification,
        header.dont_fragment,
        header.more_fragments,
        header.fragment_offset,
        0,
        header.options,
    )


def _parse_ipv6(packet: bytes) -> Datagram:
    header, chain = parse_ipv6_untrusted(packet)
    upper = skip_extension_headers_untrusted(packet[: HEADER_LENGTH + len(chain)])
    length = upper.offset - HEADER_LENGTH
    fragment = upper.fragment
    return Datagram(
        header.source,
        header.destination,
        upper.protocol,
        chain[length:],
        header.hop_limit,
        header.traffic_class,
        0,
        False,
        fragment is not None and fragment.more,
        fragment.offset if fragment is not None else 0,
        header.flow_label,
        chain[:length],
        header.next_header if length else -1,
    )
