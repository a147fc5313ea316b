"""ICMPv6 messages: any bytes parse or are a BadPacket, and what parses is written back unchanged."""

from __future__ import annotations

from harness import fuzz

from pingsock.wire import icmp6
from pingsock.wire.errors import BadPacket

HERE, THERE = bytes(15) + b"\1", bytes(15) + b"\2"
SEEDS = [
    icmp6.EchoRequest(1, 2, bytes(16)).to_bytes(HERE, THERE),
    icmp6.ExtendedEchoReply(1, 2).to_bytes(HERE, THERE),
    icmp6.DestinationUnreachable(4, bytes(48)).to_bytes(HERE, THERE),
    icmp6.PacketTooBig(1280, bytes(48)).to_bytes(HERE, THERE),
    icmp6.ParameterProblem(40, bytes(48)).to_bytes(HERE, THERE),
    icmp6.Redirect(HERE, THERE, bytes.fromhex("0201020304050607 0402000000000000 6000000000000000")).to_bytes(
        HERE, THERE
    ),
    icmp6.Unknown(135, 0, bytes(20)).to_bytes(HERE, THERE),
]


def target(message: bytes) -> None:
    try:
        icmp6.parse_icmp6_untrusted(message, HERE, THERE)
    except BadPacket:
        pass
    try:
        parsed = icmp6.parse_icmp6_untrusted(message, verify_checksum=False)
    except BadPacket:
        return
    written = parsed.to_bytes(HERE, THERE)
    assert written[:2] + written[4:] == message[:2] + message[4:]
    assert icmp6.parse_icmp6_untrusted(written, HERE, THERE) == parsed


if __name__ == "__main__":
    fuzz(target, SEEDS)
