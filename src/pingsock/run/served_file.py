"""A served socket as an unmodified program has it: the server's socket, and what the kernel keeps beside a socket."""

from __future__ import annotations

import os
import select
import struct
from collections import deque
from errno import EAGAIN
from select import POLLERR, POLLIN

from pingsock.run.channel import ReadinessChannel
from pingsock.service import frames
from pingsock.service.frames import Message, Request
from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pingsock.run.channel import Borrow
    from pingsock.sockets.served_descriptor import Connection

READABLE = POLLIN | POLLERR
_ONE = frames.count_to_bytes(1)


class ServedFile:
    """One socket, however many descriptors and processes share it."""

    def __init__(self, connection: Connection, family: int, kind: int, protocol: int) -> None:
        """Opens the socket over a connection, which it then owns. OSError as socket(2)."""
        self.family = family
        self.nonblocking = bool(kind & os.O_NONBLOCK)
        """O_NONBLOCK of the open file, which all its descriptors share."""
        self.receive_timeout: float | None = None
        self.send_timeout: float | None = None
        self.connection = connection
        self.last_thread = 0
        """Which called last, and so most likely still has a descriptor."""
        self._given_back: dict[int, deque[Message]] = {0: deque(), linux.MSG_ERRQUEUE: deque()}
        try:
            self.ask(Request(frames.OPEN, family, linux.SOCK_DGRAM, protocol))
            self.channel = ReadinessChannel()
        except BaseException:
            connection.close()
            raise
        if self.nonblocking and self.channel.program_end is not None:
            self.channel.program_end.setblocking(False)

    def close(self) -> None:
        """End the socket."""
        self.channel.close()
        self.connection.close()

    def ask(self, request: Request) -> frames.Answer:
        """One exchange with the server, which never waits; the answer's errno becomes an OSError."""
        answer = self.connection.exchange(request)
        if answer.errno:
            raise OSError(answer.errno, os.strerror(answer.errno))
        return answer

    # Messages

    def send(self, messages: Sequence[Message], flags: int) -> tuple[int, bool]:
        """Send; how many went, and whether the first waits for room. OSError if the first is refused."""
        answer = self.connection.exchange(Request(frames.SEND, flags, messages=tuple(messages)))
        if not answer.errno:
            return answer.result, False
        if answer.flags & frames.NO_ROOM:
            return 0, True
        raise OSError(answer.errno, os.strerror(answer.errno))

    def receive(self, flags: int, size: int, control_size: int) -> Message:
        """The next message. OSError EAGAIN if there is none."""
        given_back = self._given_back[flags & linux.MSG_ERRQUEUE]
        if given_back:
            message = given_back[0] if flags & linux.MSG_PEEK else given_back.popleft()
            return _fitted(message, size)
        messages = self.ask(Request(frames.RECEIVE, flags, size, control_size, _ONE)).messages
        if not messages:
            raise OSError(EAGAIN, os.strerror(EAGAIN))
        return messages[0]

    def give_back(self, message: Message, flags: int) -> None:
        """Keep a message that was received but could not be delivered: the next call gets it."""
        if not flags & linux.MSG_PEEK:
            self._given_back[flags & linux.MSG_ERRQUEUE].appendleft(message)

    # Readiness

    @property
    def is_readable(self) -> bool:
        """Whether data or an error waits."""
        return any(self._given_back.values()) or self.server_says_readable

    @property
    def server_says_readable(self) -> bool:
        """Whether the server's readiness channel is readable."""
        poller = select.poll()
        poller.register(self.connection.readiness, POLLIN)
        return bool(poller.poll(0))

    def events(self) -> int:
        """POLLIN and POLLERR, as poll(2) would report them."""
        kept = POLLIN if self._given_back[0] else 0
        kept |= POLLERR if self._given_back[linux.MSG_ERRQUEUE] else 0
        if not self.server_says_readable:
            return kept
        try:
            return kept | self.ask(Request(frames.POLL)).result & READABLE
        except OSError:
            # The server is gone: whoever waits shall call, and hear of it.
            return READABLE

    def settle(self, borrow: Borrow) -> None:
        """Let the program's descriptor show what there is now."""
        events = self.events()
        if events != self.channel.shown:
            self.channel.show(events, borrow)

    # Options the kernel's own file system layer would obey

    def note_option(self, level: int, option: int, content: bytes) -> None:
        """Remember an option the server has accepted, if it is about waiting."""
        if level != linux.SOL_SOCKET:
            return
        if option in (linux.SO_RCVTIMEO, linux.SO_RCVTIMEO_NEW):
            self.receive_timeout = _seconds(content)
        elif option in (linux.SO_SNDTIMEO, linux.SO_SNDTIMEO_NEW):
            self.send_timeout = _seconds(content)


def _fitted(message: Message, size: int) -> Message:
    if len(message.data) <= size:
        return message
    return message.replace(data=message.data[:size], flags=message.flags | linux.MSG_TRUNC)


def _seconds(content: bytes) -> float | None:
    seconds, microseconds = struct.unpack_from(linux.TIMEVAL_NEW_LAYOUT, content)
    if seconds < 0:
        return 0.0
    return seconds + microseconds / 1e6 or None
