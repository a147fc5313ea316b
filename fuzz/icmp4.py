"""ICMPv4 messages: any bytes parse or are a BadPacket, and what parses is written back unchanged."""

from __future__ import annotations

from harness import fuzz

from pingsock.wire import icmp4
from pingsock.wire.errors import BadPacket

SEEDS = [
    icmp4.EchoRequest(1, 2, bytes(16)).to_bytes(),
    icmp4.ExtendedEchoRequest(1, 2, True, bytes.fromhex("2000000000080302 00000001")).to_bytes(),
    icmp4.ExtendedEchoReply(1, 2).to_bytes(),
    icmp4.TimestampRequest(1, 2).to_bytes(),
    icmp4.AddressMaskReply(1, 2, b"\xff\xff\xff\0").to_bytes(),
    icmp4.DestinationUnreachable(4, bytes(28), 1400).to_bytes(),
    icmp4.SourceQuench(bytes(28)).to_bytes(),
    icmp4.Redirect(1, bytes(4), bytes(28)).to_bytes(),
    icmp4.TimeExceeded(0, bytes(28)).to_bytes(),
    icmp4.ParameterProblem(20, bytes(28)).to_bytes(),
    icmp4.Unknown(9, 0, bytes(4)).to_bytes(),
]


def target(message: bytes) -> None:
    try:
        icmp4.parse_icmp4_untrusted(message)
    except BadPacket:
        pass
    try:
        parsed = icmp4.parse_icmp4_untrusted(message, verify_checksum=False)
    except BadPacket:
        return
    written = parsed.to_bytes()
    assert written[:2] + written[4:] == message[:2] + message[4:]
    assert icmp4.parse_icmp4_untrusted(written) == parsed


if __name__ == "__main__":
    fuzz(target, SEEDS)
