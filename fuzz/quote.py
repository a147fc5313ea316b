"""Packets quoted inside ICMP errors."""

from __future__ import annotations

from harness import fuzz

from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4 import IPv4Header, build_ipv4
from pingsock.wire.ipv6 import ROUTING, ExtensionHeader, IPv6Header, build_ipv6
from pingsock.wire.quote import parse_quote4_untrusted, parse_quote6_untrusted

ECHO = bytes.fromhex("0800000012340007")
HEADER6 = IPv6Header(bytes(15) + b"\1", bytes(15) + b"\2")
SEEDS = [
    build_ipv4(IPv4Header(bytes(4), bytes(4)), ECHO),
    build_ipv4(IPv4Header(bytes(4), bytes(4), options=bytes.fromhex("94040000")), ECHO) + bytes(96),
    build_ipv6(HEADER6, ECHO),
    build_ipv6(HEADER6, ECHO, [ExtensionHeader(ROUTING, bytes((0, 2)) + bytes(22))]),
]


def target(quoted: bytes) -> None:
    for parse in (parse_quote4_untrusted, parse_quote6_untrusted):
        try:
            quote = parse(quoted)
        except BadPacket:
            continue
        assert quote.transport in quoted
        assert (quote.sequence is None) or (quote.identifier is not None and quote.icmp_code is not None)


if __name__ == "__main__":
    fuzz(target, SEEDS)
