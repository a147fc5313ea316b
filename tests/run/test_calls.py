"""A call that a signal ends while the server is asked writes nothing to the program's memory, here our own."""

from __future__ import annotations

import ctypes
import struct
import threading
from typing import TYPE_CHECKING, cast

import pytest

from pingsock.run.call import Call, Void
from pingsock.run.calls.table import HANDLERS
from pingsock.run.seccomp import Notification
from pingsock.service.frames import Answer, Message

if TYPE_CHECKING:
    from pingsock.run.served_file import ServedFile

SIZE = 16
NAME = bytes(16)


class Server:
    """A served socket that answers everything, and the call's end while it does."""

    nonblocking = False
    receive_timeout = None

    def __init__(self, *, in_time: bool) -> None:
        self.in_time = in_time
        self.call_waits = True
        self.given_back: list[Message] = []

    def _answer(self) -> None:
        self.call_waits = self.in_time

    def ask(self, _request: object) -> Answer:
        self._answer()
        return Answer(0, body=b"\x02\0\0\0")

    def receive(self, _flags: int, _size: int, _control_size: int) -> Message:
        self._answer()
        return Message(b"received", (), 0, NAME)

    def send(self, messages: list[Message], _flags: int) -> tuple[int, bool]:
        self._answer()
        return len(messages), False

    def give_back(self, message: Message, _flags: int) -> None:
        self.given_back.append(message)


class Program:
    """Memory that holds what the calls need, and can be compared with what it was."""

    def __init__(self) -> None:
        self._memory = ctypes.create_string_buffer(256)
        self._at = ctypes.addressof(self._memory)
        vector = struct.pack("=2Q", self.data, SIZE)
        header = struct.pack("=QI4xQQQQi4xI4x", self.name, SIZE, self.vector, 1, 0, 0, -1, 77)
        content = bytes(32) + vector + header + struct.pack("=I", SIZE)
        ctypes.memmove(self._memory, content, len(content))
        self.before = self._memory.raw

    @property
    def is_changed(self) -> bool:
        return self._memory.raw != self.before

    @property
    def data(self) -> int:
        return self._at

    @property
    def name(self) -> int:
        return self._at + 16

    @property
    def vector(self) -> int:
        return self._at + 32

    @property
    def header(self) -> int:
        return self._at + 48

    @property
    def length(self) -> int:
        return self._at + 48 + 64

    def arguments(self, name: str) -> tuple[int, ...]:
        return {
            "recvfrom": (self.data, SIZE, 0, self.name, self.length),
            "read": (self.data, SIZE, 0, 0, 0),
            "readv": (self.vector, 1, 0, 0, 0),
            "recvmsg": (self.header, 0, 0, 0, 0),
            "recvmmsg": (self.header, 1, 0, 0, 0),
            "sendmmsg": (self.header, 1, 0, 0, 0),
            "getsockname": (self.name, self.length, 0, 0, 0),
            "getpeername": (self.name, self.length, 0, 0, 0),
            "getsockopt": (0, 0, self.data, self.length, 0),
        }[name]


NAMES = ["recvfrom", "read", "readv", "recvmsg", "recvmmsg", "sendmmsg", "getsockname", "getpeername", "getsockopt"]
"""Calls that write to memory."""


def called(name: str, program: Program, server: Server) -> Call:
    notification = Notification(1, threading.get_native_id(), 0, 0, (800, *program.arguments(name)))
    file = cast("ServedFile", server)
    return Call(notification, name, file, lambda _notification: server.call_waits, lambda: pytest.fail("borrowed"))


@pytest.mark.parametrize("name", NAMES)
def test_a_call_that_waits_is_told_what_there_is(name: str) -> None:
    program, server = Program(), Server(in_time=True)
    HANDLERS[name](called(name, program, server))

    assert program.is_changed


@pytest.mark.parametrize("name", [name for name in NAMES if name != "sendmmsg"])
def test_a_call_that_has_ended_meanwhile_writes_nothing(name: str) -> None:
    program, server = Program(), Server(in_time=False)
    call = called(name, program, server)
    with pytest.raises(Void):
        HANDLERS[name](call)
    call.roll_back()

    assert not program.is_changed
    assert len(server.given_back) == name.startswith(("re",))


def test_what_was_sent_meanwhile_counts_as_sent() -> None:
    program, server = Program(), Server(in_time=False)

    assert HANDLERS["sendmmsg"](called("sendmmsg", program, server)) == 1
    assert not program.is_changed
