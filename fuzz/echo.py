"""The quick echo parser."""

from __future__ import annotations

from harness import fuzz

from pingsock.wire.echo import parse_echo_untrusted
from pingsock.wire.errors import BadPacket

SEEDS = [b"", bytes.fromhex("0800f7fb00010003"), bytes.fromhex("8100000012345678") + bytes(56)]


def target(message: bytes) -> None:
    try:
        icmp_type, code, identifier, sequence = parse_echo_untrusted(message)
    except BadPacket:
        assert len(message) < 8
        return
    numbers = bytes((icmp_type, code)) + identifier.to_bytes(2, "big") + sequence.to_bytes(2, "big")
    assert numbers == message[:2] + message[4:8]


if __name__ == "__main__":
    fuzz(target, SEEDS)
