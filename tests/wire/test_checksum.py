from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.wire.checksum import (
    checksum_after_change,
    checksum_holds,
    icmp6_checksum,
    icmp6_checksum_holds,
    internet_checksum,
    with_checksum,
    with_checksum6,
)
from pingsock.wire.errors import BadPacket

ADDRESSES6 = st.binary(min_size=16, max_size=16)


def sum_word_by_word(data: bytes) -> int:
    """The definition in RFC 1071 section 1, step by step."""
    total = 0
    for high, low in zip(data[::2], data[1::2] + b"\0", strict=False):
        total += high << 8 | low
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def test_the_example_of_rfc_1071_section_3() -> None:
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2


@pytest.mark.parametrize("data", [b"", b"\0", bytes(8), bytes(65535)])
def test_zeros_sum_to_zero_and_never_hold(data: bytes) -> None:
    assert internet_checksum(data) == 0xFFFF
    assert not checksum_holds(data)


@pytest.mark.parametrize("data", [b"\xff\xff", b"\xff\xff" * 9, b"\x00\x01\xff\xfe"])
def test_the_other_zero_of_ones_complement_gives_a_zero_field(data: bytes) -> None:
    assert internet_checksum(data) == 0


@given(st.binary(max_size=300))
def test_every_length_agrees_with_the_definition(data: bytes) -> None:
    assert internet_checksum(data) == sum_word_by_word(data)


@given(st.binary(min_size=1, max_size=64), st.integers(0, 64))
def test_a_trailing_zero_on_odd_data_changes_nothing(data: bytes, zeros: int) -> None:
    odd = data if len(data) & 1 else data[:-1] + b""
    if odd:
        assert internet_checksum(odd) == internet_checksum(odd + b"\0" + bytes(2 * zeros))


@given(st.binary(min_size=4, max_size=200))
def test_a_message_holds_once_its_field_is_made_right_whatever_it_held(message: bytes) -> None:
    right = with_checksum(message)
    assert right[:2] + right[4:] == message[:2] + message[4:]
    assert checksum_holds(right)
    assert with_checksum(right) == right


@given(ADDRESSES6, ADDRESSES6, st.binary(min_size=4, max_size=200))
def test_an_icmp6_message_holds_between_its_addresses(source: bytes, destination: bytes, message: bytes) -> None:
    right = with_checksum6(source, destination, message)
    assert icmp6_checksum_holds(source, destination, right)
    length = len(message).to_bytes(4, "big")
    flat = source + destination + length + b"\0\0\0\x3a" + right[:2] + b"\0\0" + right[4:]
    assert icmp6_checksum(source, destination, right[:2] + b"\0\0" + right[4:]) == sum_word_by_word(flat)


@given(st.binary(min_size=3, max_size=90), st.integers(0, 89), st.integers(1, 255))
def test_a_changed_byte_is_noticed(message: bytes, place: int, change: int) -> None:
    right = bytearray(with_checksum(message + b"\1"))
    right[place % len(right)] ^= change
    assert not checksum_holds(bytes(right))


@given(st.binary(min_size=4, max_size=60), st.integers(0, 20), st.binary(min_size=2, max_size=2))
def test_an_incremental_update_equals_a_new_sum(message: bytes, word: int, new: bytes) -> None:
    message = with_checksum(message + bytes(len(message) & 1) + b"\1\1")
    place = 4 + 2 * word % (len(message) - 4)
    if not any(message[:2]):
        message = with_checksum(b"\x08" + message[1:])
    changed = with_checksum(message[:place] + new + message[place + 2 :])
    updated = checksum_after_change(int.from_bytes(message[2:4], "big"), message[place : place + 2], new)
    assert updated.to_bytes(2, "big") == changed[2:4]


def test_the_example_of_rfc_1624_section_4() -> None:
    assert checksum_after_change(0xDD2F, b"\x55\x55", b"\x32\x85") == 0x0000


@pytest.mark.parametrize("length", range(4))
def test_a_message_without_a_checksum_field_is_refused(length: int) -> None:
    with pytest.raises(BadPacket, match=f"of {length} bytes"):
        with_checksum(bytes(length))
    with pytest.raises(BadPacket, match=f"of {length} bytes"):
        with_checksum6(bytes(16), bytes(16), bytes(length))


def test_addresses_of_the_wrong_length_are_refused() -> None:
    with pytest.raises(BadPacket, match="got 4 and 16"):
        with_checksum6(bytes(4), bytes(16), bytes(8))
