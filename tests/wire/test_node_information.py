from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pingsock.wire.errors import BadPacket
from pingsock.wire.node_information import (
    ADDRESSES_4,
    ADDRESSES_6,
    ALL_ADDRESSES,
    NAMES,
    NONCE,
    SUBJECT_IS_NAME,
    SUCCESS,
    TRUNCATED,
    NodeInformation,
    NodeInformationQuery,
    NodeInformationReply,
    NodeName,
    parse_addresses_untrusted,
    parse_names_untrusted,
    parse_node_information_untrusted,
)

from .strategies import address4, address6, node_information, node_names

OURS = bytes(range(1, 9))
TTL = bytes.fromhex("00000e10")


@given(node_information)
def test_a_message_survives_the_way_through_bytes(message: NodeInformation) -> None:
    assert parse_node_information_untrusted(message.to_bytes()) == message


@pytest.mark.parametrize(
    ("message", "layout"),
    [
        # Drawn by hand from the figures of RFC 4620 sections 4 and 6.
        (
            NodeInformationQuery(SUBJECT_IS_NAME, NAMES, 0, OURS, b"\4host\0\0"),
            "8b 01 0000 0002 0000 0102030405060708 04686f73740000",
        ),
        (
            NodeInformationReply(SUCCESS, ADDRESSES_4, ALL_ADDRESSES | TRUNCATED, OURS, TTL + b"\x0a\0\0\1"),
            "8c 00 0000 0004 0003 0102030405060708 00000e10 0a000001",
        ),
    ],
)
def test_layouts_are_those_of_the_rfc(message: NodeInformation, layout: str) -> None:
    packed = message.to_bytes()
    assert packed == bytes.fromhex(layout)
    assert packed[NONCE] == OURS


@given(st.binary(max_size=60))
@example(bytes((139, *bytes(15))))
def test_any_bytes_make_a_message_or_a_bad_packet(message: bytes) -> None:
    for parse in (parse_node_information_untrusted, parse_names_untrusted):
        try:
            parse(message)
        except BadPacket:
            pass


@pytest.mark.parametrize("length", range(16))
def test_a_cut_message_is_bad(length: int) -> None:
    with pytest.raises(BadPacket, match=f"of {length} bytes"):
        parse_node_information_untrusted(bytes((140, *bytes(15)))[:length])


def test_another_type_is_no_node_information() -> None:
    with pytest.raises(BadPacket, match="type 129"):
        parse_node_information_untrusted(bytes((129, *bytes(15))))


@pytest.mark.parametrize(
    "message",
    [
        NodeInformationQuery(0, NAMES, 0, bytes(7)),
        NodeInformationQuery(0, NAMES, 0, bytes(9)),
        NodeInformationQuery(0, -1, 0, OURS),
        NodeInformationReply(0, NAMES, 0x10000, OURS),
        NodeInformationReply(256, NAMES, 0, OURS),
    ],
)
def test_what_does_not_fit_cannot_be_sent(message: NodeInformation) -> None:
    with pytest.raises(BadPacket):
        message.to_bytes()


@given(st.lists(node_names, max_size=4))
def test_names_survive_the_way_through_bytes(names: list[NodeName]) -> None:
    data = TTL + b"".join(name.to_bytes() for name in names)
    assert parse_names_untrusted(data) == (tuple(names), True)


@pytest.mark.parametrize("label", [b"", 64 * b"a"])
def test_a_label_has_one_to_63_bytes(label: bytes) -> None:
    with pytest.raises(BadPacket, match=f"not {len(label)}"):
        NodeName((b"host", label)).to_bytes()


def test_a_pointer_leads_to_the_rest_of_a_name() -> None:
    names, is_all = parse_names_untrusted(TTL + b"\1a\7example\0\1b\xc0\x06")
    assert names == (NodeName((b"a", b"example")), NodeName((b"b", b"example")))
    assert is_all


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"\5ab", id="half a label"),
        pytest.param(b"\2ab", id="no end"),
        pytest.param(b"\x40", id="a length that is none"),
        pytest.param(b"\xc0\x0b", id="a pointer to itself"),
        pytest.param(b"\xff\xff", id="a pointer beyond the data"),
    ],
)
def test_of_names_with_something_else_behind_them_the_names_are_told(rest: bytes) -> None:
    assert parse_names_untrusted(TTL + b"\5first\0" + rest) == ((NodeName((b"first",)),), False)


def test_half_a_pointer_leads_nowhere() -> None:
    data = TTL + NodeName((61 * b"a", 61 * b"b", 61 * b"c", b"d")).to_bytes()
    assert data[0xC0:] == b"\0"
    names, is_all = parse_names_untrusted(data + b"\xc0")
    assert (len(names), is_all) == (1, False)


@pytest.mark.parametrize("length", range(4))
def test_names_stand_behind_a_time_to_live(length: int) -> None:
    with pytest.raises(BadPacket, match=f"in {length} bytes"):
        parse_names_untrusted(bytes(length))


@given(st.lists(address4), st.lists(address6))
def test_addresses_survive_the_way_through_bytes(addresses4: list[bytes], addresses6: list[bytes]) -> None:
    for wanted, addresses in ((ADDRESSES_4, addresses4), (ADDRESSES_6, addresses6)):
        data = b"".join(TTL + address for address in addresses)
        assert parse_addresses_untrusted(wanted, data) == (tuple(addresses), True)


@pytest.mark.parametrize("length", range(1, 8))
def test_of_addresses_with_half_a_one_behind_them_the_addresses_are_told(length: int) -> None:
    data = TTL + b"\x0a\0\0\1" + bytes(length)
    assert parse_addresses_untrusted(ADDRESSES_4, data) == ((b"\x0a\0\0\1",), False)
