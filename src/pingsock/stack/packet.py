"""A received packet as a socket keeps it until it is read."""

from __future__ import annotations

from pingsock.stack.sockaddr import scope_for
from pingsock.wire.ipv6 import skip_extension_headers_untrusted
from pingsock.wire.linux import AF_INET, AF_INET6


class Packet:
    """One IP packet, its parts cut out only when somebody asks: most readers never do."""

    __slots__ = ("data", "family", "fragment_size", "interface", "offset", "stamp")

    def __init__(self, family: int, data: bytes, offset: int, interface: int, stamp: int, fragment_size: int) -> None:
        self.family = family
        self.data = data
        """The whole packet, from its IP header."""
        self.offset = offset
        """Where the ICMP message begins."""
        self.interface = interface
        self.stamp = stamp
        """Arrival, CLOCK_REALTIME in nanoseconds; 0 unknown."""
        self.fragment_size = fragment_size

    @property
    def message(self) -> bytes:
        """The ICMP message."""
        return self.data[self.offset :]

    @property
    def source(self) -> bytes:
        """Packed address of the sender."""
        return self.data[12:16] if self.family == AF_INET else self.data[8:24]

    @property
    def destination(self) -> bytes:
        """Packed address it was sent to."""
        return self.data[16:20] if self.family == AF_INET else self.data[24:40]

    @property
    def hop_limit(self) -> int:
        """TTL or hop limit on arrival."""
        return self.data[8] if self.family == AF_INET else self.data[7]

    @property
    def traffic_class(self) -> int:
        """TOS byte or traffic class, ECN bits included."""
        return self.data[1] if self.family == AF_INET else (self.data[0] << 4 | self.data[1] >> 4) & 0xFF

    @property
    def flow_information(self) -> int:
        """IPv6 traffic class and flow label, 28 bits."""
        return int.from_bytes(self.data[:4], "big") & 0x0FFFFFFF

    @property
    def options(self) -> bytes:
        """IPv4 options."""
        return self.data[20 : (self.data[0] & 15) * 4]

    @property
    def checksum_field(self) -> int:
        """The ICMP checksum as received."""
        return int.from_bytes(self.data[self.offset + 2 : self.offset + 4], "big")

    def extension_header(self, protocol: int) -> bytes | None:
        """The first IPv6 extension header of a kind, from its next-header byte on."""
        for header in skip_extension_headers_untrusted(self.data).headers:
            if header.kind == protocol:
                return header.data
        return None

    def scope_of(self, address: bytes) -> int:
        """sin6_scope_id of an address in this packet."""
        return scope_for(address, self.interface) if self.family == AF_INET6 else 0
