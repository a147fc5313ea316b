"""IPv6 packets and their extension headers."""

from __future__ import annotations

from harness import fuzz

from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv6 import (
    ROUTING,
    ExtensionHeader,
    FragmentInfo,
    IPv6Header,
    build_ipv6,
    parse_ipv6_untrusted,
    skip_extension_headers_untrusted,
)

HEADER = IPv6Header(bytes(15) + b"\1", bytes(15) + b"\2")
SEEDS = [
    build_ipv6(HEADER, bytes(16)),
    build_ipv6(HEADER, bytes(16), [ExtensionHeader(ROUTING, bytes((0, 2)) + bytes(22))]),
    build_ipv6(HEADER.replace(next_header=44), FragmentInfo(1448, True, 1).to_bytes(58) + bytes(16)),
    build_ipv6(HEADER.replace(next_header=51), bytes((0, 4)) + bytes(22) + bytes(16)),
]


def target(packet: bytes) -> None:
    try:
        upper = skip_extension_headers_untrusted(packet)
        assert upper.offset == 40 + sum(len(header.data) for header in upper.headers) <= len(packet)
        header, payload = parse_ipv6_untrusted(packet)
    except BadPacket:
        return
    assert build_ipv6(header, payload) == packet[: 40 + header.payload_length]


if __name__ == "__main__":
    fuzz(target, SEEDS)
