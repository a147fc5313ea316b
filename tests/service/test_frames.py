"""Frames: what is written is read back, and nothing a stranger sends gets further than `BadPacket`."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.service import frames
from pingsock.service.frames import Answer, Message, Request
from pingsock.wire.errors import BadPacket

numbers = st.integers(-(2**31), 2**31 - 1)
items = st.lists(st.tuples(numbers, numbers, st.binary(max_size=40)), max_size=4).map(tuple)
messages = st.builds(
    Message, st.binary(max_size=100), items, st.integers(0, 2**32 - 1), st.one_of(st.none(), st.binary(max_size=128))
)


@given(
    st.builds(Request, st.sampled_from(sorted(frames.OPERATIONS)), numbers, numbers, numbers, st.binary(max_size=99))
)
def test_a_request_is_read_as_it_was_written(request: Request) -> None:
    assert frames.parse_request_untrusted(request.to_bytes()) == request


@given(
    st.builds(
        Answer,
        st.sampled_from(sorted(frames.OPERATIONS)),
        st.integers(0, 2**32 - 1),
        numbers,
        st.integers(0, 255),
        st.binary(max_size=99),
    )
)
def test_an_answer_is_read_as_it_was_written(answer: Answer) -> None:
    assert frames.parse_answer_untrusted(answer.to_bytes()) == answer


@given(st.lists(messages, max_size=5))
def test_messages_are_read_as_they_were_written(sent: list[Message]) -> None:
    assert frames.parse_messages_untrusted(frames.messages_to_bytes(sent)) == sent


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_a_bad_packet(data: bytes) -> None:
    parsers = (
        frames.parse_request_untrusted,
        frames.parse_answer_untrusted,
        frames.parse_messages_untrusted,
        frames.parse_count_untrusted,
    )
    for parse in parsers:
        with contextlib.suppress(BadPacket):
            parse(data)


@given(messages, st.data())
def test_a_cut_message_is_a_bad_packet(message: Message, data: st.DataObject) -> None:
    whole = message.to_bytes()
    with pytest.raises(BadPacket):
        frames.parse_messages_untrusted(whole[: data.draw(st.integers(1, len(whole) - 1))])


def test_more_messages_than_a_frame_may_hold_are_refused() -> None:
    body = frames.messages_to_bytes([Message(b"")] * (frames.MAXIMUM_MESSAGES + 1))
    with pytest.raises(BadPacket, match="more than 1024"):
        frames.parse_messages_untrusted(body)


@pytest.mark.parametrize("count", [0, frames.MAXIMUM_MESSAGES + 1])
def test_a_receive_asks_for_a_possible_number(count: int) -> None:
    with pytest.raises(BadPacket, match=str(count)):
        frames.parse_count_untrusted(frames.count_to_bytes(count))


def test_a_frame_too_long_is_refused() -> None:
    with pytest.raises(BadPacket, match="needed"):
        frames.parse_request_untrusted(Request(frames.SEND, body=bytes(frames.MAXIMUM_FRAME)).to_bytes())
