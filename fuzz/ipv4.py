"""IPv4 packets: any bytes parse or are a BadPacket, and what parses is written back unchanged."""

from __future__ import annotations

from harness import fuzz

from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4 import IPv4Header, build_ipv4, parse_ipv4_header_untrusted, parse_ipv4_untrusted

HERE, THERE = bytes((10, 9, 0, 1)), bytes((10, 9, 0, 2))
SEEDS = [
    build_ipv4(IPv4Header(HERE, THERE), bytes(16)),
    build_ipv4(IPv4Header(HERE, THERE, more_fragments=True, fragment_offset=1480), bytes(16)),
    build_ipv4(IPv4Header(HERE, THERE, options=bytes.fromhex("01 070704 00000000")), bytes(16)),
]


def target(packet: bytes) -> None:
    for verify in (True, False):
        try:
            parse_ipv4_header_untrusted(packet, verify_checksum=verify)
            header, payload = parse_ipv4_untrusted(packet, verify_checksum=verify)
        except BadPacket:
            continue
        written = build_ipv4(header, payload)
        assert written[:10] + written[12:] == packet[:10] + packet[12 : header.total_length]


if __name__ == "__main__":
    fuzz(target, SEEDS)
