"""Buffers for many packets, over UDP sockets, which need no permission; the calls are the same."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from array import array
from collections.abc import Iterator

import pytest

from pingsock.sockets import mmsg
from pingsock.sockets.mmsg import (
    MessageImage,
    NoBatchCalls,
    ReceiveBatch,
    SendBatch,
    join_control,
    require_batch_calls,
    split_control,
)
from pingsock.wire import linux

FAMILIES = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
LONGER = 128
TTL_LENGTH = 24
"""Control data of one int."""


@pytest.fixture(params=FAMILIES, ids=["v4", "v6"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    family = request.param
    left, right = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
    try:
        for sock in (left, right):
            sock.bind((FAMILIES[family], 0))
            sock.setblocking(False)
    except OSError as error:
        pytest.skip(f"needs {FAMILIES[family]}: {error}")
    yield left, right
    left.close()
    right.close()


def batch_to(receiver: socket.socket, count: int, length: int, control: bytes = b"") -> SendBatch:
    """Messages of which number n is full of the byte n, to one receiver."""
    batch = SendBatch(receiver.family, count, length, control)
    address, port = receiver.getsockname()[:2]
    packed = socket.inet_pton(receiver.family, address)
    if receiver.family == socket.AF_INET:
        name = struct.pack("=H2s4s8x", receiver.family, port.to_bytes(2, "big"), packed)
    else:
        name = struct.pack("=H2s4x16s4x4x", receiver.family, port.to_bytes(2, "big"), packed)
    for number in range(count):
        batch.names[number * batch.name_stride : (number + 1) * batch.name_stride] = name
        batch.messages[number * batch.stride : number * batch.stride + length] = bytes([number]) * length
    return batch


def test_messages_arrive_as_they_were_sent(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    assert batch_to(receiver, 10, 13).send(sender.fileno(), 2, 7) == 7
    received = ReceiveBatch(receiver.family, 16, 13, 13 + LONGER, 0)
    assert received.receive(receiver.fileno(), 0) == 7
    assert [received.message(number) for number in range(7)] == [bytes([number]) * 13 for number in range(2, 9)]
    port = sender.getsockname()[1]
    assert {struct.unpack_from("!H", received.name(number), 2)[0] for number in range(7)} == {port}
    assert received.are_ordinary(0, 7)


def test_columns_are_fields_of_all_messages(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    batch = batch_to(receiver, 4, 16)
    batch.message_column(6, "H")[:3] = array("H", [700, 800, 900])
    batch.send(sender.fileno(), 0, 3)
    received = ReceiveBatch(receiver.family, 4, 16, 16 + LONGER, 0)
    received.receive(receiver.fileno(), 0)
    assert received.message_column(6, "H")[:3].tolist() == [700, 800, 900]
    assert received.message_column(0, "B")[:3].tolist() == [0, 1, 2]


@pytest.mark.parametrize(("length", "kept"), [(9, 9), (5, 5), (136, 136), (20_000, 136)])
def test_messages_of_another_length(pair: tuple[socket.socket, socket.socket], length: int, kept: int) -> None:
    sender, receiver = pair
    received = ReceiveBatch(receiver.family, 4, 8, 8 + LONGER, 0)
    for _ in range(2):
        batch_to(receiver, 2, length).send(sender.fileno(), 0, 2)
        assert received.receive(receiver.fileno(), 0) == 2
        assert not received.are_ordinary(0, 2)
        assert received.message(1) == b"\1" * kept


def test_a_longer_message_leaves_nothing_behind(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    received = ReceiveBatch(receiver.family, 4, 8, 8 + LONGER, 0)
    for length in (100, 8):
        batch_to(receiver, 1, length).send(sender.fileno(), 0, 1)
        received.receive(receiver.fileno(), 0)
        assert received.message(0) == bytes(length)
    batch = batch_to(receiver, 1, 8)
    batch.send(sender.fileno(), 0, 1)
    received.receive(receiver.fileno(), 0)
    assert received.are_like(MessageImage(received, b""), 0, 1)


def test_messages_are_compared_with_what_they_should_be(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    batch = batch_to(receiver, 4, 8)
    for number, message in enumerate((b"sameness", b"samEness", b"sameness", b"otherone")):
        batch.messages[8 * number : 8 * number + 8] = message
    batch.send(sender.fileno(), 0, 4)
    received = ReceiveBatch(receiver.family, 4, 8, 8 + LONGER, 0)
    received.receive(receiver.fileno(), 0)
    image = MessageImage(received, b"sameness")
    assert received.are_like(image, 0, 1)
    assert not received.are_like(image, 0, 2)
    image.column(3, "B")[1] = ord("E")
    assert received.are_like(image, 0, 3)
    assert received.are_like(image, 1, 2)
    assert not received.are_like(image, 0, 4)


def test_all_answer_if_they_come_from_where_requests_went_and_are_what_they_should_be(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    sender, receiver = pair
    batch_to(receiver, 3, 8).send(sender.fileno(), 0, 3)
    received = ReceiveBatch(receiver.family, 3, 8, 8 + LONGER, 0)
    received.receive(receiver.fileno(), 0)
    requests, image = batch_to(sender, 5, 8), MessageImage(received, bytes(8))
    requests.names[:8] = bytes(8)
    for at in range(8):
        image.column(at, "B")[:] = memoryview(bytes(range(3)))
    assert received.all_answer(requests, 1, image, 3)
    assert not received.all_answer(requests, 0, image, 3)
    assert not received.all_answer(requests, 1, MessageImage(received, b"otherone"), 1)
    image.column(3, "B")[2] = ord("E")
    assert received.all_answer(requests, 1, image, 2)
    assert not received.all_answer(requests, 1, image, 3)


def test_a_message_of_another_length_answers_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    batch_to(receiver, 1, 7).send(sender.fileno(), 0, 1)
    received = ReceiveBatch(receiver.family, 1, 8, 8 + LONGER, 0)
    received.receive(receiver.fileno(), 0)
    assert received.are_like(image := MessageImage(received, bytes(8)), 0, 1)
    assert not received.all_answer(batch_to(sender, 1, 8), 0, image, 1)


def test_room_is_the_same_after_messages_of_any_kind(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    received = ReceiveBatch(receiver.family, 4, 8, 8 + LONGER, 0)
    for length, ordinary in ((8, True), (3, False), (8, True), (200, False), (8, True), (8, True)):
        batch_to(receiver, 3, length).send(sender.fileno(), 0, 3)
        assert received.receive(receiver.fileno(), 0) == 3
        assert received.are_ordinary(0, 3) is ordinary
        assert received.message(2) == b"\2" * min(length, 8 + LONGER)


def test_control_data_goes_and_comes(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    level, item, wanted = {
        socket.AF_INET: (linux.SOL_IP, linux.IP_TTL, linux.IP_RECVTTL),
        socket.AF_INET6: (linux.SOL_IPV6, linux.IPV6_HOPLIMIT, linux.IPV6_RECVHOPLIMIT),
    }[receiver.family]
    receiver.setsockopt(level, wanted, 1)
    control = join_control([(level, item, struct.pack("=i", 77))])
    batch_to(receiver, 3, 8, control).send(sender.fileno(), 0, 3)
    received = ReceiveBatch(receiver.family, 4, 8, 8 + LONGER, TTL_LENGTH)
    received.receive(receiver.fileno(), 0)
    assert received.are_ordinary(0, 3)
    assert received.control_column(mmsg.CONTROL_HEADER, "i")[:3].tolist() == [77] * 3
    octets = [received.control_octets(mmsg.CONTROL_HEADER + at, 3) for at in range(4)]
    assert octets[:: 1 if sys.byteorder == "little" else -1] == [b"MMM", bytes(3), bytes(3), bytes(3)]
    assert split_control(received.control(2)) == [(level, item, struct.pack("=i", 77))]


def test_control_data_that_is_missing_is_not_ordinary(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    batch_to(receiver, 1, 8).send(sender.fileno(), 0, 1)
    received = ReceiveBatch(receiver.family, 4, 8, 8 + LONGER, TTL_LENGTH)
    received.receive(receiver.fileno(), 0)
    assert not received.are_ordinary(0, 1)
    assert received.control(0) == b""


def test_errors_have_their_numbers(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    received = ReceiveBatch(receiver.family, 4, 8, 8 + LONGER, 0)
    with pytest.raises(BlockingIOError) as empty:
        received.receive(receiver.fileno(), linux.MSG_DONTWAIT)
    assert empty.value.errno == errno.EAGAIN
    with pytest.raises(OSError, match=os.strerror(errno.EMSGSIZE)) as too_long:
        batch_to(receiver, 1, 65536).send(sender.fileno(), 0, 1)
    assert too_long.value.errno == errno.EMSGSIZE


def test_control_items_survive_packing_and_a_cut() -> None:
    items = [(1, 2, b"abc"), (3, 4, b""), (5, 6, b"12345678")]
    packed = join_control(items)
    assert split_control(packed) == items
    assert split_control(packed[:-9]) == items[:2]
    assert split_control(bytes(40)) == []


def test_a_system_without_the_calls_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare:
        def __init__(self, *_arguments: object, **_options: object) -> None: ...

    monkeypatch.setattr(mmsg, "_functions", {})
    monkeypatch.setattr("ctypes.CDLL", Bare)
    with pytest.raises(NoBatchCalls, match="sendmmsg"):
        require_batch_calls()
    with pytest.raises(NoBatchCalls, match="sendmmsg"):
        SendBatch(socket.AF_INET, 1, 8)
    with pytest.raises(NoBatchCalls, match="recvmmsg"):
        ReceiveBatch(socket.AF_INET, 1, 8, 8, 0)
