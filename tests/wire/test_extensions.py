from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.wire import icmp4, icmp6
from pingsock.wire.checksum import with_checksum
from pingsock.wire.errors import BadPacket
from pingsock.wire.extensions import (
    ExtensionObject,
    MplsLabel,
    MplsLabelStack,
    UnknownObject,
    build_extensions,
    extend4,
    extend6,
    interface_query,
    parse_extensions_untrusted,
    parse_interface_query_untrusted,
    split_extensions,
)
from pingsock.wire.interfaces import (
    INCOMING,
    NEXT_HOP,
    InterfaceByAddress,
    InterfaceByIndex,
    InterfaceByName,
    InterfaceInformation,
    parse_interface_identification_untrusted,
    parse_interface_information_untrusted,
)

from .strategies import extension_objects

STACK = MplsLabelStack((MplsLabel(16, 0, False, 1), MplsLabel(0xABCDE, 5, True, 254)))


@given(st.lists(extension_objects, max_size=5).map(tuple))
def test_objects_survive_the_way_through_bytes(objects: tuple[ExtensionObject, ...]) -> None:
    assert parse_extensions_untrusted(build_extensions(objects)) == objects


def test_a_label_stack_is_laid_out_as_in_rfc_4950() -> None:
    assert build_extensions([STACK])[:2] == b"\x20\0"
    assert build_extensions([STACK])[4:] == bytes.fromhex("000c 01 01 00010001 abcdebfe")


@pytest.mark.parametrize(
    ("information", "packed"),
    [
        # The figures of RFC 5837 section 4: c-type, then index, address, name, MTU.
        (InterfaceInformation(INCOMING, index=15), "02 08 0000000f"),
        (InterfaceInformation(NEXT_HOP, address=bytes((192, 0, 2, 1))), "02 c4 0001 0000 c0000201"),
        (InterfaceInformation(INCOMING, name=b"fe0"), "02 02 04 666530"),
        (InterfaceInformation(INCOMING, name=b"eth0"), "02 02 08 65746830 000000"),
        (
            InterfaceInformation(INCOMING, 15, bytes((192, 0, 2, 1)), b"fe0", 1500),
            "02 0f 0000000f 0001 0000 c0000201 04 666530 000005dc",
        ),
    ],
)
def test_interface_information_is_laid_out_as_in_rfc_5837(information: InterfaceInformation, packed: str) -> None:
    assert build_extensions([information])[6:] == bytes.fromhex(packed)


@pytest.mark.parametrize(
    ("interface", "packed"),
    [
        # The figures of RFC 8335 section 2.1.
        (InterfaceByName(b"eth0"), "03 01 65746830"),
        (InterfaceByName(b"tun12"), "03 01 74756e3132 000000"),
        (InterfaceByIndex(7), "03 02 00000007"),
        (InterfaceByAddress(bytes((192, 0, 2, 1))), "03 03 0001 04 00 c0000201"),
        (InterfaceByAddress(bytes(15) + b"\1"), f"03 03 0002 10 00 {'00' * 15}01"),
    ],
)
def test_an_interface_is_asked_for_as_in_rfc_8335(
    interface: InterfaceByName | InterfaceByIndex | InterfaceByAddress, packed: str
) -> None:
    query = interface_query(interface)
    assert query[6:] == bytes.fromhex(packed)
    assert interface_query(parse_interface_query_untrusted(query)) == query


@pytest.mark.parametrize(
    "objects",
    [(), (STACK,), (InterfaceByIndex(1), InterfaceByIndex(2)), (UnknownObject(3, 4, b"abcd"),)],
    ids=["none", "another class", "two", "unknown c-type"],
)
def test_a_query_that_is_not_one_interface_is_malformed(objects: tuple[ExtensionObject, ...]) -> None:
    with pytest.raises(BadPacket):
        parse_interface_query_untrusted(build_extensions(objects))


@given(st.binary(max_size=200))
def test_any_bytes_are_objects_or_a_bad_packet(data: bytes) -> None:
    for parse in (
        lambda: parse_extensions_untrusted(data),
        lambda: parse_extensions_untrusted(b"\x20\0\0\0" + data),
        lambda: parse_interface_query_untrusted(b"\x20\0\0\0" + data),
        lambda: parse_interface_information_untrusted(data[0] if data else 0, data[1:]),
        lambda: parse_interface_identification_untrusted(3, data),
    ):
        try:
            parse()
        except BadPacket:
            pass


@given(st.integers(1, 3), st.integers(0, 255), st.binary(max_size=40))
def test_known_objects_with_contents_that_do_not_fit_are_kept(class_number: int, c_type: int, payload: bytes) -> None:
    structure = build_extensions([UnknownObject(class_number, c_type, payload)])
    (found,) = parse_extensions_untrusted(structure)
    if isinstance(found, UnknownObject):
        assert build_extensions([found]) == structure
    else:
        assert (found.class_number, found.c_type & 0xCF) == (class_number, c_type & 0xCF)


def test_a_wrong_checksum_is_bad_and_a_zero_one_was_never_made() -> None:
    structure = build_extensions([STACK])
    broken = structure[:-1] + b"\0"
    with pytest.raises(BadPacket, match="checksum"):
        parse_extensions_untrusted(broken)
    assert len(parse_extensions_untrusted(broken, verify_checksum=False)) == 1
    assert parse_extensions_untrusted(structure[:2] + b"\0\0" + structure[4:]) == (STACK,)


@pytest.mark.parametrize("structure", ["", "20", "200000", "10000000", "20000000 0003 0101", "20000000 0009 0101 00"])
def test_a_structure_that_is_wrong_is_bad(structure: str) -> None:
    with pytest.raises(BadPacket):
        parse_extensions_untrusted(bytes.fromhex(structure))


@given(st.binary(min_size=28, max_size=1020))
def test_an_error_gives_back_its_quote_and_its_objects(quoted: bytes) -> None:
    body, length = extend4(quoted, [STACK])
    unpadded, structure = split_extensions(icmp4.TimeExceeded(0, body, length))
    assert unpadded.startswith(quoted)
    assert len(unpadded) == max(128, len(quoted) + -len(quoted) % 4)
    assert parse_extensions_untrusted(structure) == (STACK,)
    body, length = extend6(quoted, [STACK])
    unpadded, structure = split_extensions(icmp6.TimeExceeded(0, body, length))
    assert unpadded.startswith(quoted)
    assert len(unpadded) == max(128, len(quoted) + -len(quoted) % 8)
    assert parse_extensions_untrusted(structure) == (STACK,)


@pytest.mark.parametrize("length", [0, 1, 31, 37, 255])
def test_a_length_that_cannot_be_means_that_all_is_quote(length: int) -> None:
    body, _ = extend4(bytes(128), [STACK])
    assert split_extensions(icmp4.DestinationUnreachable(3, body, 0, length)) == (body, b"")


def test_routers_older_than_rfc_4884_are_understood_when_asked_to() -> None:
    body, _ = extend4(bytes(100), [STACK])
    error = icmp4.TimeExceeded(0, body)
    assert split_extensions(error) == (body, b"")
    assert split_extensions(error, without_length=True) == (body[:128], body[128:])
    assert split_extensions(icmp6.TimeExceeded(0, body), without_length=True) == (body[:128], body[128:])


def test_a_long_quote_is_not_taken_for_extensions() -> None:
    for tail in (b"", b"\x20\0\0\0", b"\x20\0\0\0" + bytes(4), with_checksum(b"\x10\0\0\0" + bytes(4))):
        error = icmp4.TimeExceeded(0, bytes(128) + tail)
        assert split_extensions(error, without_length=True) == (error.body, b"")


@pytest.mark.parametrize(
    "extension",
    [
        MplsLabelStack((MplsLabel(1 << 20),)),
        MplsLabelStack((MplsLabel(1, 8),)),
        InterfaceInformation(4),
        InterfaceInformation(0, index=1 << 32),
        InterfaceInformation(0, address=bytes(6)),
        InterfaceInformation(0, name=bytes(64)),
        InterfaceByIndex(-1),
        InterfaceByAddress(bytes(5)),
        InterfaceByAddress(bytes(256), 9),
        UnknownObject(256, 0),
        UnknownObject(9, 0, bytes(65532)),
    ],
    ids=lambda extension: repr(extension)[:60],
)
def test_what_does_not_fit_is_not_sent(extension: ExtensionObject) -> None:
    with pytest.raises(BadPacket):
        build_extensions([extension])


def test_more_quote_than_the_length_can_count_is_refused() -> None:
    with pytest.raises(BadPacket, match="1020"):
        extend4(bytes(1021), [STACK])
    with pytest.raises(BadPacket, match="2040"):
        extend6(bytes(2041), [STACK])
