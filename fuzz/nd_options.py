"""Neighbour discovery options of a redirect."""

from __future__ import annotations

from harness import fuzz

from pingsock.wire.errors import BadPacket
from pingsock.wire.icmp6 import nd_options_untrusted, redirected_packet_untrusted

SEEDS = [b"", bytes.fromhex("0201020304050607"), bytes.fromhex("0402000000000000 6000000000000000")]


def target(options: bytes) -> None:
    try:
        found = nd_options_untrusted(options)
    except BadPacket:
        return
    written = b"".join(bytes((kind, (len(contents) + 2) // 8)) + contents for kind, contents in found)
    assert written == options
    assert redirected_packet_untrusted(options) in options


if __name__ == "__main__":
    fuzz(target, SEEDS)
