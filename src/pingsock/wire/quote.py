"""The packet quoted inside an ICMP error: who sent what to whom, as far as it was quoted.

An IPv4 error need quote no more than the IP header and 8 bytes (RFC 792), newer routers quote more, and a router on the
way may have rewritten what it quotes. So, like the kernel, this believes little: lengths and checksums are reported or
ignored, not verified, and that the quote is cut off is normal.
"""

from __future__ import annotations

from pingsock.wire import ipv4, ipv6
from pingsock.wire.errors import BadPacket
from pingsock.wire.value import Value

ICMP_PROTOCOLS = frozenset({1, 58})
_NO_FRAGMENT = ipv6.FragmentInfo(0, False, 0)


class Quote(Value):
    """What can be told from a quoted packet."""

    version: int
    """4 or 6."""
    source: bytes
    destination: bytes
    protocol: int
    """Of `transport`: the upper-layer protocol, or the extension header inside which the quote ends."""
    hop_limit: int
    """TTL or hop limit on arrival at the reporter, mostly 0 or 1 in time exceeded; more tells of tunnels."""
    traffic_class: int
    total_length: int
    """Bytes of the whole packet by its own account, IP header included."""
    identification: int
    """Of the IP packet; 0 for an IPv6 packet that is not a fragment."""
    fragment_offset: int
    """In bytes. Other than 0, `transport` is not the start of a transport header."""
    transport: bytes
    """What follows the IP header and extension headers, cut off anywhere, padding behind the packet left out."""
    flow_label: int = 0
    options: bytes = b""
    """IPv4 options as they stood at the reporter: record route and timestamps so far."""

    @property
    def icmp_type(self) -> int | None:
        """Type of the quoted ICMP message; None if it is none or that byte was not quoted."""
        return self._icmp_number(0, 1)

    @property
    def icmp_code(self) -> int | None:
        """Code of the quoted ICMP message, or None."""
        return self._icmp_number(1, 2)

    @property
    def identifier(self) -> int | None:
        """Identifier of the quoted ICMP message (if its type has one), or None."""
        return self._icmp_number(4, 6)

    @property
    def sequence(self) -> int | None:
        """16 bits of sequence of the quoted ICMP message (if its type has one), or None."""
        return self._icmp_number(6, 8)

    def _icmp_number(self, start: int, end: int) -> int | None:
        is_first_part = self.version == 4 or self.fragment_offset == 0
        if self.protocol not in ICMP_PROTOCOLS or not is_first_part or len(self.transport) < end:
            return None
        return int.from_bytes(self.transport[start:end], "big")


def parse_quote4_untrusted(quoted: bytes) -> Quote:
    """The quote in an ICMPv4 error, whose 8-byte header is not included.

    As in the kernel, neither its version nor its checksum matters, and a fragment offset does not hide the ICMP header.

    :raises BadPacket: cut inside the IP header or options, or a header length of less than 20.
    """
    length = (quoted[0] & 0xF) * 4 if quoted else 0
    if not ipv4.MINIMUM_HEADER_LENGTH <= length <= len(quoted):
        raise BadPacket(f"quoted IPv4 header of {length} bytes in a quote of {len(quoted)}")
    header = ipv4.parse_ipv4_header_untrusted(bytes((0x40 | length // 4,)) + quoted[1:length], verify_checksum=False)
    end = header.total_length if header.total_length >= length else len(quoted)
    return Quote(
        4,
        header.source,
        header.destination,
        header.protocol,
        header.ttl,
        header.traffic_class,
        header.total_length,
        header.identification,
        header.fragment_offset,
        quoted[length:end],
        options=header.options,
    )


def parse_quote6_untrusted(quoted: bytes) -> Quote:
    """The quote in an ICMPv6 error, whose 8-byte header is not included. Extension headers are skipped.

    :raises BadPacket: not IPv6, or cut inside the fixed header.
    """
    header = ipv6.parse_ipv6_header_untrusted(quoted)
    end = ipv6.HEADER_LENGTH + header.payload_length if header.payload_length else len(quoted)
    upper = _upper_layer(quoted[:end], header)
    fragment = upper.fragment or _NO_FRAGMENT
    return Quote(
        6,
        header.source,
        header.destination,
        upper.protocol,
        header.hop_limit,
        header.traffic_class,
        ipv6.HEADER_LENGTH + header.payload_length,
        fragment.identification,
        fragment.offset,
        quoted[upper.offset : end],
        header.flow_label,
    )


def _upper_layer(packet: bytes, header: ipv6.IPv6Header) -> ipv6.UpperLayer:
    try:
        return ipv6.skip_extension_headers_untrusted(packet)
    except BadPacket:
        return ipv6.UpperLayer(header.next_header, ipv6.HEADER_LENGTH)
