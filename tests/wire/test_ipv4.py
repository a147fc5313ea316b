from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4 import IPv4Header, build_ipv4, parse_ipv4_header_untrusted, parse_ipv4_untrusted
from pingsock.wire.ipv4_option_values import (
    LooseSourceRoute,
    NoOperation,
    RecordRoute,
    RouterAlert,
    Timestamp,
    TimestampEntry,
    UnknownOption,
    options_to_bytes,
    parse_options_untrusted,
)

from .strategies import ipv4_headers, ipv4_options

HERE, THERE = bytes((10, 9, 0, 1)), bytes((10, 9, 0, 2))


@given(ipv4_headers, st.binary(max_size=100), st.binary(max_size=20))
def test_a_packet_survives_the_way_through_bytes(header: IPv4Header, payload: bytes, padding: bytes) -> None:
    packet = build_ipv4(header, payload)
    assert parse_ipv4_untrusted(packet + padding) == (header.replace(total_length=len(packet)), payload)
    assert build_ipv4(*parse_ipv4_untrusted(packet)) == packet


def test_the_header_of_the_usual_textbook() -> None:
    """The worked example of the header checksum that many textbooks have."""
    packet = bytes.fromhex("4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7") + bytes(95)
    header, payload = parse_ipv4_untrusted(packet)
    assert header == IPv4Header(
        bytes((192, 168, 0, 1)), bytes((192, 168, 0, 199)), 17, dont_fragment=True, total_length=115
    )
    assert build_ipv4(header, payload) == packet


@given(st.binary(max_size=80) | st.binary(min_size=19, max_size=79).map(lambda tail: b"\x47" + tail))
def test_any_bytes_are_a_packet_or_a_bad_one(packet: bytes) -> None:
    for verify in (True, False):
        try:
            header, payload = parse_ipv4_untrusted(packet, verify_checksum=verify)
        except BadPacket:
            pass
        else:
            assert header.header_length + len(payload) == header.total_length


@pytest.mark.parametrize("length", [0, 1, 19])
def test_a_packet_shorter_than_a_header_is_bad(length: int) -> None:
    with pytest.raises(BadPacket, match=f"{length} bytes"):
        parse_ipv4_header_untrusted(b"\x45" * length)


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [(0, 0x65, "version 6"), (0, 0x44, "16 bytes"), (0, 0x48, "32 bytes"), (8, 63, "checksum"), (10, 0xFF, "checksum")],
)
def test_a_header_that_is_wrong_is_bad(place: int, value: int, complaint: str) -> None:
    packet = bytearray(build_ipv4(IPv4Header(HERE, THERE), b"12345678"))
    packet[place] = value
    with pytest.raises(BadPacket, match=complaint):
        parse_ipv4_untrusted(bytes(packet))


@pytest.mark.parametrize("total_length", [0, 19, 29])
def test_a_total_length_that_cannot_be_is_bad(total_length: int) -> None:
    packet = IPv4Header(HERE, THERE, total_length=total_length).to_bytes() + bytes(8)
    with pytest.raises(BadPacket, match=f"total length {total_length} "):
        parse_ipv4_untrusted(packet)


def test_the_fragment_word_has_three_flags_and_an_offset_in_units_of_eight() -> None:
    fields = {"dont_fragment": 0x4000, "more_fragments": 0x2000, "reserved": 0x8000}
    for field, bit in fields.items():
        packed = IPv4Header(HERE, THERE, fragment_offset=1480).replace(**{field: True}).to_bytes()
        assert packed[6:8] == (bit | 185).to_bytes(2, "big")


def test_fragments_are_told_by_flag_or_offset() -> None:
    assert IPv4Header(HERE, THERE, more_fragments=True).is_fragment
    assert IPv4Header(HERE, THERE, fragment_offset=8).is_fragment
    assert not IPv4Header(HERE, THERE, dont_fragment=True).is_fragment


@pytest.mark.parametrize(
    "header",
    [
        IPv4Header(HERE, b"abc"),
        IPv4Header(HERE, THERE, ttl=256),
        IPv4Header(HERE, THERE, protocol=-1),
        IPv4Header(HERE, THERE, fragment_offset=4),
        IPv4Header(HERE, THERE, fragment_offset=65536),
        IPv4Header(HERE, THERE, options=b"\1"),
        IPv4Header(HERE, THERE, options=bytes(44)),
        IPv4Header(HERE, THERE, identification=65536),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_not_sent(header: IPv4Header) -> None:
    with pytest.raises(BadPacket):
        build_ipv4(header, b"")


def test_the_largest_packet_has_65535_bytes() -> None:
    assert len(build_ipv4(IPv4Header(HERE, THERE), bytes(65515))) == 65535
    with pytest.raises(BadPacket, match="65536"):
        build_ipv4(IPv4Header(HERE, THERE), bytes(65516))


@given(ipv4_options)
def test_options_survive_the_way_through_values(options: bytes) -> None:
    try:
        values = parse_options_untrusted(options)
    except BadPacket:
        return
    assert b"".join(value.to_bytes() for value in values) == options


def test_options_are_read_as_what_they_are() -> None:
    packed = bytes.fromhex("01 070b08 0a090001 00000000 94040000 830708 0a090002 8204abcd")
    assert parse_options_untrusted(packed) == (
        NoOperation(),
        RecordRoute(HERE + bytes(4), 8),
        RouterAlert(0),
        LooseSourceRoute(THERE, 8),
        UnknownOption(0x82, b"\xab\xcd"),
    )


def test_a_record_route_tells_used_from_free_slots() -> None:
    route = RecordRoute(HERE + THERE + bytes(4), 12)
    assert route.used == (HERE, THERE)
    assert route.free == (bytes(4),)
    assert RecordRoute(HERE, 99).used == (HERE,)
    assert RecordRoute(HERE, 0).used == ()
    assert len(RecordRoute.empty().to_bytes()) == 39


def test_a_source_route_is_made_of_its_hops() -> None:
    assert LooseSourceRoute.of([HERE, THERE]).to_bytes() == bytes((131, 11, 4)) + HERE + THERE


def test_a_timestamp_tells_who_wrote_what() -> None:
    (stamps,) = parse_options_untrusted(bytes.fromhex("4414 0d 21 0a090001 0000abcd 0000000000000000"))
    assert stamps == Timestamp(HERE + bytes.fromhex("0000abcd") + bytes(8), 1, 13, 2)
    assert isinstance(stamps, Timestamp)
    assert stamps.used == (TimestampEntry(HERE, 0xABCD),)
    assert Timestamp(bytes.fromhex("0000abcd00000000"), pointer=9).used == (TimestampEntry(b"", 0xABCD),)
    assert Timestamp.prespecified([HERE, THERE]).to_bytes() == (
        bytes((68, 20, 5, 3)) + HERE + bytes(4) + THERE + bytes(4)
    )
    assert [len(Timestamp.empty(flag).to_bytes()) for flag in (0, 1)] == [40, 36]


def test_options_are_padded_for_the_header() -> None:
    assert options_to_bytes([NoOperation(), RecordRoute.empty(1)]) == bytes.fromhex("01 070704 00000000")
    assert options_to_bytes([RecordRoute.empty(1)]) == bytes.fromhex("070704 00000000 00")


@pytest.mark.parametrize(
    "option",
    [
        RecordRoute(bytes(256)),
        RecordRoute(b"", 256),
        Timestamp(b"", 16),
        Timestamp(b"", overflow=16),
        RouterAlert(65536),
        UnknownOption(256),
    ],
    ids=repr,
)
def test_an_option_that_does_not_fit_is_not_sent(option: RecordRoute | Timestamp | RouterAlert | UnknownOption) -> None:
    with pytest.raises(BadPacket):
        option.to_bytes()
