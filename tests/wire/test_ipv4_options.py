from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4_options import (
    fill_outgoing,
    first_hop,
    has_source_route,
    options_for_reply,
    pad_options,
    record_arrival,
    split_options_untrusted,
    validate_options,
)

from .strategies import address4, ipv4_options

HERE, FIRST, SECOND, THERE = (bytes((10, 9, 0, last)) for last in (1, 2, 3, 4))
NOON = 12 * 3600 * 1000


def test_record_route_is_filled_once_by_the_sender_and_once_by_the_receiver() -> None:
    fresh = validate_options(bytes((7, 11, 4)) + bytes(8))
    sent = fill_outgoing(fresh, HERE, NOON)
    assert sent == bytes((7, 11, 8)) + HERE + bytes(4) + b"\0"
    arrived = record_arrival(sent, THERE, NOON)
    assert arrived == bytes((7, 11, 12)) + HERE + THERE + b"\0"
    assert record_arrival(arrived, FIRST, NOON) == arrived


def test_a_timestamp_takes_the_time_alone() -> None:
    assert fill_outgoing(bytes((68, 8, 5, 0)) + bytes(4), HERE, NOON) == bytes((68, 8, 9, 0)) + NOON.to_bytes(4, "big")


def test_a_timestamp_takes_address_and_time() -> None:
    sent = fill_outgoing(bytes((68, 12, 5, 1)) + bytes(8), HERE, NOON)
    assert sent == bytes((68, 12, 13, 1)) + HERE + NOON.to_bytes(4, "big")


def test_a_prespecified_timestamp_waits_for_the_host_it_names() -> None:
    fresh = bytes((68, 12, 5, 3)) + THERE + bytes(4)
    assert fill_outgoing(fresh, HERE, NOON) == fresh
    assert fill_outgoing(fresh, HERE, NOON, local=[THERE])[2] == 13
    assert record_arrival(fresh, THERE, NOON) == bytes((68, 12, 13, 3)) + THERE + NOON.to_bytes(4, "big")


@pytest.mark.parametrize("address", ["00000000", "7f000005", "e0000001", "ffffffff"])
def test_a_prespecified_slot_of_no_host_s_alone_is_everybody_s(address: str) -> None:
    fresh = bytes((68, 12, 5, 3)) + bytes.fromhex(address) + bytes(4)
    assert fill_outgoing(fresh, HERE, NOON)[2] == 13


def test_hosts_that_find_no_room_are_counted_up_to_fifteen() -> None:
    full = bytes((68, 8, 9, 0)) + bytes(4)
    for count in range(1, 16):
        full = record_arrival(full, HERE, NOON)
        assert full[3] == count << 4
    with pytest.raises(BadPacket, match="overflow"):
        record_arrival(full, HERE, NOON)


@pytest.mark.parametrize("kind", [131, 137])
def test_a_source_route_goes_to_its_first_hop_and_ends_with_the_destination(kind: int) -> None:
    options = validate_options(bytes((kind, 11, 4)) + FIRST + SECOND)
    assert has_source_route(options)
    assert first_hop(options, THERE) == (FIRST, bytes((kind, 11, 4)) + SECOND + THERE + b"\0")


def test_without_a_source_route_the_destination_is_the_first_hop() -> None:
    assert first_hop(b"\x94\4\0\0", THERE) == (THERE, b"\x94\4\0\0")
    assert not has_source_route(b"\x94\4\0\0")
    assert not has_source_route(b"\x83")


def test_a_finished_source_route_is_reversed_for_the_reply() -> None:
    arrived = b"\1" + bytes((131, 11, 12)) + FIRST + SECOND
    assert options_for_reply(arrived, HERE) == bytes((131, 11, 4)) + SECOND + FIRST + b"\0"


def test_a_route_that_begins_with_its_source_is_reversed_without_it() -> None:
    arrived = b"\1" + bytes((137, 11, 12)) + HERE + SECOND
    assert options_for_reply(arrived, HERE) == bytes((137, 7, 4)) + SECOND + b"\0"
    assert options_for_reply(bytes((137, 7, 8)) + HERE, HERE) == b""


def test_replies_carry_record_route_then_timestamp_and_nothing_else() -> None:
    recorded = bytes((7, 7, 8)) + HERE
    stamped = bytes((68, 8, 9, 0)) + bytes(4)
    assert options_for_reply(b"\1" + stamped + b"\x94\4\0\0" + recorded) == recorded + stamped + b"\0"


def test_options_longer_than_forty_bytes_are_refused() -> None:
    assert validate_options(b"\1" * 40) == b"\1" * 40
    with pytest.raises(BadPacket, match="41"):
        validate_options(b"\1" * 41)


def test_padding_is_end_of_list() -> None:
    assert pad_options(b"\1") == b"\1\0\0\0"
    assert validate_options(b"\1\0\7") == b"\1\0\0\0"


@given(ipv4_options | st.binary(max_size=60), address4, st.integers(0, 1 << 40))
def test_any_bytes_are_options_or_a_bad_packet(options: bytes, address: bytes, now: int) -> None:
    has_source_route(options)
    for judge in (split_options_untrusted, validate_options, lambda o: validate_options(o, privileged=False)):
        try:
            judge(options)
        except BadPacket:
            pass
    try:
        valid = validate_options(options)
    except BadPacket:
        pass
    else:
        hop, routed = first_hop(valid, THERE)
        assert len(hop) == 4
        assert len(fill_outgoing(routed, address, now)) == len(valid)
    for use in (
        lambda o: fill_outgoing(o, address, now),
        lambda o: first_hop(o, THERE),
        lambda o: options_for_reply(o, THERE, address),
    ):
        try:
            use(options)
        except BadPacket:
            pass
    try:
        arrived = record_arrival(options, address, now)
        assert len(arrived) == len(options)
        assert len(options_for_reply(arrived, THERE, address)) <= len(pad_options(options))
    except BadPacket:
        pass
