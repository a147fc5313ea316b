from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.wire import rtnetlink
from pingsock.wire.rtnetlink import attribute, attributes, message, messages, number_of, raise_if_error

_values = st.dictionaries(st.integers(0, 0x3FFF), st.binary(max_size=20))
_padded = st.binary(max_size=20).map(lambda body: body + bytes(-len(body) % 4))


@given(_values)
def test_attributes_survive_the_way_through_bytes(values: dict[int, bytes]) -> None:
    assert attributes(b"".join(attribute(kind, value) for kind, value in values.items())) == values


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 2**32 - 1), _padded)))
def test_messages_survive_the_way_through_bytes(sent: list[tuple[int, int, int, bytes]]) -> None:
    assert list(messages(b"".join(message(*each) for each in sent))) == sent


@given(st.binary(max_size=80))
def test_any_bytes_have_an_end(data: bytes) -> None:
    assert len(list(messages(data))) <= len(data) // rtnetlink.HEADER.size
    assert len(attributes(data)) <= len(data) // 4


def test_bits_beside_the_type_do_not_count() -> None:
    assert attributes(attribute(0x8000 | 26, b"nested")) == {26: b"nested"}


def test_attributes_that_lie_about_their_length_end_the_walk() -> None:
    assert attributes(attribute(1, b"abc") + struct.pack("=HH", 3, 2) + b"rest") == {1: b"abc"}
    assert attributes(b"\0") == {}


def test_a_message_that_lies_about_its_length_ends_the_walk() -> None:
    lying = struct.pack("=IHHII", 15, 16, 0, 1, 0)
    assert list(messages(message(16, 0, 1, b"") + lying)) == [(16, 0, 1, b"")]


def test_an_error_is_an_os_error_and_an_acknowledgement_none() -> None:
    raise_if_error(struct.pack("=i", 0))
    with pytest.raises(OSError, match="Operation not permitted") as raised:
        raise_if_error(struct.pack("=i", -errno.EPERM))
    assert raised.value.errno == errno.EPERM


def test_a_number_that_is_not_there_is_0() -> None:
    assert (number_of(rtnetlink.U32.pack(1500)), number_of(None), number_of(b"")) == (1500, 0, 0)
