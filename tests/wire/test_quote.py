from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.wire import icmp4, icmp6
from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4 import IPv4Header, build_ipv4
from pingsock.wire.ipv6 import FRAGMENT, ROUTING, ExtensionHeader, FragmentInfo, IPv6Header, build_ipv6
from pingsock.wire.quote import Quote, parse_quote4_untrusted, parse_quote6_untrusted

from .strategies import ipv4_headers, ipv6_headers

HERE, THERE = bytes((10, 9, 0, 1)), bytes((10, 9, 0, 2))
HERE6, THERE6 = bytes(15) + b"\1", bytes(15) + b"\2"
PROBE = icmp4.EchoRequest(0x1234, 7, bytes(range(56))).to_bytes()
PROBE6 = icmp6.EchoRequest(0x1234, 7, bytes(range(56))).to_bytes(HERE6, THERE6)


def test_a_quoted_probe_tells_all_of_itself() -> None:
    header = IPv4Header(HERE, THERE, 1, 1, 0xB8, 0x4242, dont_fragment=True)
    quote = parse_quote4_untrusted(build_ipv4(header, PROBE))
    assert quote == Quote(4, HERE, THERE, 1, 1, 0xB8, 84, 0x4242, 0, PROBE)
    assert (quote.icmp_type, quote.icmp_code, quote.identifier, quote.sequence) == (8, 0, 0x1234, 7)


def test_eight_bytes_of_icmp_are_enough() -> None:
    quote = parse_quote4_untrusted(build_ipv4(IPv4Header(HERE, THERE), PROBE)[:28])
    assert (quote.identifier, quote.sequence, quote.total_length) == (0x1234, 7, 84)


def test_what_was_not_quoted_is_none() -> None:
    for kept, known in ((20, (None, None, None, None)), (21, (8, None, None, None)), (26, (8, 0, 0x1234, None))):
        quote = parse_quote4_untrusted(build_ipv4(IPv4Header(HERE, THERE), PROBE)[:kept])
        assert (quote.icmp_type, quote.icmp_code, quote.identifier, quote.sequence) == known


def test_padding_behind_a_short_packet_is_not_part_of_it() -> None:
    packet = build_ipv4(IPv4Header(HERE, THERE), PROBE[:12])
    assert parse_quote4_untrusted(packet + bytes(128 - len(packet))).transport == PROBE[:12]
    packet6 = build_ipv6(IPv6Header(HERE6, THERE6), PROBE6[:12])
    assert parse_quote6_untrusted(packet6 + bytes(128 - len(packet6))).transport == PROBE6[:12]


def test_a_mangled_quote_is_still_read() -> None:
    """The kernel checks neither version, checksum, total length nor fragment offset of a quote."""
    packet = bytearray(build_ipv4(IPv4Header(HERE, THERE), PROBE))
    packet[0] = 0x05
    packet[2:4] = b"\0\0"
    packet[6:8] = b"\x00\xb9"
    quote = parse_quote4_untrusted(bytes(packet))
    assert (quote.identifier, quote.total_length, quote.fragment_offset) == (0x1234, 0, 1480)


def test_another_protocol_has_no_icmp_numbers() -> None:
    quote = parse_quote4_untrusted(build_ipv4(IPv4Header(HERE, THERE, 17), PROBE))
    assert quote.icmp_type is quote.icmp_code is quote.identifier is quote.sequence is None
    assert quote.transport == PROBE


def test_quoted_options_are_kept() -> None:
    quote = parse_quote4_untrusted(build_ipv4(IPv4Header(HERE, THERE, options=b"\x94\4\0\0"), PROBE))
    assert quote.options == b"\x94\4\0\0"
    assert quote.identifier == 0x1234


@pytest.mark.parametrize("quoted", [b"", b"\x45" + bytes(18), b"\x44" + bytes(30), b"\x46" + bytes(22)])
def test_a_quote_cut_inside_its_header_is_bad(quoted: bytes) -> None:
    with pytest.raises(BadPacket, match="quoted IPv4 header"):
        parse_quote4_untrusted(quoted)


def test_a_quoted_probe_tells_all_of_itself_on_ipv6() -> None:
    header = IPv6Header(HERE6, THERE6, 58, 1, 0xB8, 0xABCDE)
    quote = parse_quote6_untrusted(build_ipv6(header, PROBE6))
    assert quote == Quote(6, HERE6, THERE6, 58, 1, 0xB8, 104, 0, 0, PROBE6, 0xABCDE)
    assert (quote.icmp_type, quote.icmp_code, quote.identifier, quote.sequence) == (128, 0, 0x1234, 7)


def test_extension_headers_in_a_quote_are_skipped() -> None:
    routing = ExtensionHeader(ROUTING, bytes((0, 0)) + bytes(6))
    fragment = ExtensionHeader(FRAGMENT, FragmentInfo(0, True, 99).to_bytes(0))
    quote = parse_quote6_untrusted(build_ipv6(IPv6Header(HERE6, THERE6), PROBE6, [routing, fragment]))
    assert (quote.protocol, quote.identifier, quote.identification) == (58, 0x1234, 99)


def test_a_later_fragment_shows_no_icmp_on_ipv6() -> None:
    fragment = ExtensionHeader(FRAGMENT, FragmentInfo(1448, True, 99).to_bytes(0))
    quote = parse_quote6_untrusted(build_ipv6(IPv6Header(HERE6, THERE6), PROBE6, [fragment]))
    assert (quote.protocol, quote.fragment_offset, quote.identifier) == (58, 1448, None)


def test_a_quote_that_ends_inside_an_extension_header_names_that() -> None:
    routing = ExtensionHeader(ROUTING, bytes((0, 2)) + bytes(22))
    quote = parse_quote6_untrusted(build_ipv6(IPv6Header(HERE6, THERE6), PROBE6, [routing])[:50])
    assert (quote.protocol, quote.identifier, len(quote.transport)) == (ROUTING, None, 10)


@given(ipv4_headers, st.binary(max_size=60), st.integers(0, 120))
def test_a_quote_may_be_cut_anywhere_behind_its_header(header: IPv4Header, payload: bytes, kept: int) -> None:
    packet = build_ipv4(header, payload)[:kept]
    if len(packet) < header.header_length:
        with pytest.raises(BadPacket):
            parse_quote4_untrusted(packet)
    else:
        quote = parse_quote4_untrusted(packet)
        assert (quote.source, quote.destination) == (header.source, header.destination)
        assert payload.startswith(quote.transport)


@given(ipv6_headers, st.binary(max_size=60), st.integers(0, 100))
def test_a_quote_may_be_cut_anywhere_behind_its_header_on_ipv6(header: IPv6Header, payload: bytes, kept: int) -> None:
    packet = build_ipv6(header, payload)[:kept]
    if kept < 40:
        with pytest.raises(BadPacket):
            parse_quote6_untrusted(packet)
    else:
        quote = parse_quote6_untrusted(packet)
        assert (quote.source, quote.destination) == (header.source, header.destination)


@given(st.binary(max_size=120) | st.binary(min_size=39, max_size=120).map(lambda tail: b"\x60" + tail))
def test_any_bytes_are_a_quote_or_a_bad_packet(quoted: bytes) -> None:
    for parse in (parse_quote4_untrusted, parse_quote6_untrusted):
        try:
            quote = parse(quoted)
        except BadPacket:
            continue
        assert quote.icmp_type is None or quote.icmp_type == quote.transport[0]
