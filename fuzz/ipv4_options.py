"""IPv4 options: judged, filled, routed by and turned without surprises, and values that lose nothing."""

from __future__ import annotations

from harness import fuzz

from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4_option_values import parse_options_untrusted
from pingsock.wire.ipv4_options import (
    fill_outgoing,
    first_hop,
    has_source_route,
    options_for_reply,
    pad_options,
    record_arrival,
    validate_options,
)

HERE, THERE = bytes((10, 9, 0, 1)), bytes((10, 9, 0, 2))
SEEDS = [
    b"",
    bytes.fromhex("01 070b04 0000000000000000"),
    bytes.fromhex("44 0c 05 01 0000000000000000"),
    bytes.fromhex("44 0c 05 f3 0a090001 00000000"),
    bytes.fromhex("83 0b 04 0a090003 0a090002"),
    bytes.fromhex("89 07 08 0a090003 94040000 00"),
]


def target(options: bytes) -> None:
    has_source_route(options)
    for step in (_values, _way_out, _way_in, _unchecked_reply, _unchecked_sending):
        try:
            step(options)
        except BadPacket:
            pass


def _values(options: bytes) -> None:
    assert b"".join(value.to_bytes() for value in parse_options_untrusted(options)) == options


def _way_out(options: bytes) -> None:
    valid = validate_options(options)
    assert validate_options(valid) == valid
    assert len(valid) == len(pad_options(options)) <= 40
    hop, routed = first_hop(valid, THERE)
    assert len(hop) == 4
    assert len(fill_outgoing(routed, HERE, 1 << 33, local=[THERE])) == len(valid)


def _way_in(options: bytes) -> None:
    arrived = record_arrival(options, HERE, 1, local=[THERE])
    assert len(arrived) == len(options)
    assert len(options_for_reply(arrived, THERE, HERE)) <= len(pad_options(options))


def _unchecked_reply(options: bytes) -> None:
    options_for_reply(options, THERE, HERE)


def _unchecked_sending(options: bytes) -> None:
    first_hop(fill_outgoing(options, HERE, 1), THERE)


if __name__ == "__main__":
    fuzz(target, SEEDS)
