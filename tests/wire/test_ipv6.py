from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv6 import (
    AUTHENTICATION,
    DESTINATION_OPTIONS,
    FRAGMENT,
    HOP_BY_HOP_OPTIONS,
    ICMPV6,
    ROUTING,
    ExtensionHeader,
    FragmentInfo,
    IPv6Header,
    UpperLayer,
    build_ipv6,
    parse_ipv6_header_untrusted,
    parse_ipv6_untrusted,
    skip_extension_headers_untrusted,
)

from .strategies import extension_headers, ipv6_headers

HERE, THERE = bytes(15) + b"\1", bytes(15) + b"\2"
HEADER = IPv6Header(HERE, THERE)


@given(ipv6_headers, st.binary(max_size=100), st.binary(max_size=20))
def test_a_packet_survives_the_way_through_bytes(header: IPv6Header, payload: bytes, padding: bytes) -> None:
    packet = build_ipv6(header, payload)
    assert parse_ipv6_untrusted(packet + padding) == (header.replace(payload_length=len(payload)), payload)
    assert build_ipv6(*parse_ipv6_untrusted(packet)) == packet


def test_the_layout_is_that_of_rfc_8200() -> None:
    packed = IPv6Header(HERE, THERE, 58, 64, 0xB8, 0x12345, 16).to_bytes()
    assert packed == bytes.fromhex("6b812345 0010 3a 40") + HERE + THERE


@given(extension_headers, st.binary(min_size=8, max_size=40))
def test_extension_headers_are_chained_and_skipped(extensions: list[ExtensionHeader], payload: bytes) -> None:
    packet = build_ipv6(HEADER, payload, extensions)
    upper = skip_extension_headers_untrusted(packet)
    assert upper.protocol == ICMPV6
    assert packet[upper.offset :] == payload
    assert [header.kind for header in upper.headers] == [header.kind for header in extensions]
    assert [header.data[1:] for header in upper.headers] == [header.data[1:] for header in extensions]


def test_lengths_are_counted_in_each_header_s_own_unit() -> None:
    extensions = [
        ExtensionHeader(HOP_BY_HOP_OPTIONS, bytes((0, 0)) + bytes(6)),
        ExtensionHeader(ROUTING, bytes((0, 2)) + bytes(22)),
        ExtensionHeader(AUTHENTICATION, bytes((0, 4)) + bytes(22)),
        ExtensionHeader(DESTINATION_OPTIONS, bytes((0, 1)) + bytes(14)),
    ]
    assert skip_extension_headers_untrusted(build_ipv6(HEADER, b"", extensions)).offset == 40 + 8 + 24 + 24 + 16


def test_the_first_fragment_shows_its_upper_layer_and_later_ones_do_not() -> None:
    destination_options = bytes((ICMPV6, 0)) + bytes(6)
    for offset, end in ((0, 56), (1448, 48)):
        fragment = FragmentInfo(offset, True, 0xABCD0123)
        packed = fragment.to_bytes(DESTINATION_OPTIONS)
        packet = build_ipv6(HEADER.replace(next_header=FRAGMENT), packed + destination_options + b"12345678")
        upper = skip_extension_headers_untrusted(packet)
        assert (upper.offset, upper.fragment) == (end, fragment)
        assert upper.protocol == (DESTINATION_OPTIONS if offset else ICMPV6)


@pytest.mark.parametrize("protocol", [6, 17, 50, 58, 59, 135, 255])
def test_anything_that_is_no_extension_header_ends_the_chain(protocol: int) -> None:
    packet = build_ipv6(HEADER.replace(next_header=protocol), b"\0" * 8)
    assert skip_extension_headers_untrusted(packet) == UpperLayer(protocol, 40)


@given(st.binary(max_size=100) | st.binary(min_size=39, max_size=120).map(lambda tail: b"\x60" + tail))
def test_any_bytes_are_a_packet_or_a_bad_one(packet: bytes) -> None:
    for parse in (parse_ipv6_untrusted, parse_ipv6_header_untrusted, skip_extension_headers_untrusted):
        try:
            parse(packet)
        except BadPacket:
            pass


@pytest.mark.parametrize("kept", range(40, 64))
def test_a_chain_cut_inside_an_extension_header_is_bad(kept: int) -> None:
    whole = build_ipv6(HEADER, b"", [ExtensionHeader(ROUTING, bytes((0, 2)) + bytes(22))])
    with pytest.raises(BadPacket, match="extension header 43"):
        skip_extension_headers_untrusted(whole[:kept])


def test_what_is_not_ipv6_is_bad() -> None:
    with pytest.raises(BadPacket, match="39 bytes"):
        parse_ipv6_header_untrusted(b"\x60" * 39)
    with pytest.raises(BadPacket, match="version 4"):
        parse_ipv6_header_untrusted(b"\x45" * 40)
    with pytest.raises(BadPacket, match="payload length 9"):
        parse_ipv6_untrusted(HEADER.replace(payload_length=9).to_bytes() + bytes(8))


@pytest.mark.parametrize(
    "header",
    [
        IPv6Header(HERE, bytes(4)),
        IPv6Header(HERE, THERE, hop_limit=256),
        IPv6Header(HERE, THERE, traffic_class=256),
        IPv6Header(HERE, THERE, flow_label=1 << 20),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_not_sent(header: IPv6Header) -> None:
    with pytest.raises(BadPacket):
        build_ipv6(header, b"")


def test_a_fragment_header_that_does_not_fit_is_not_sent() -> None:
    for wrong in (FragmentInfo(4, False, 0), FragmentInfo(65536, False, 0), FragmentInfo(0, False, 1 << 32)):
        with pytest.raises(BadPacket):
            wrong.to_bytes(58)


def test_the_largest_payload_has_65535_bytes() -> None:
    assert len(build_ipv6(HEADER, bytes(65535))) == 65575
    with pytest.raises(BadPacket, match="65536"):
        build_ipv6(HEADER, bytes(65536))
