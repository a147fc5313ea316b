"""A ping socket that a server of ours serves, with the methods of `socket.socket`.

Each call becomes a request to the server and its answer what a kernel's socket returns. What all of them share, the
exchange, waiting and the end, is `pingsock.sockets.served_descriptor`.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from errno import ENOBUFS, EOPNOTSUPP
from operator import index

from pingsock.service import frames
from pingsock.service.frames import Message, Request
from pingsock.sockets.addresses import pack_address, unpack_address
from pingsock.sockets.served_descriptor import ServedDescriptor
from pingsock.wire import linux
from pingsock.wire.linux import MSG_DONTWAIT, MSG_ERRQUEUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.05
"""Seconds between two tries of a send that found no room: it is the room of a device that many sockets share, so nobody
can say when there will be some for this one."""
MAXIMUM_OPTION_SIZE = 1024
"""What getsockopt of the `socket` module allows."""
TIMEOUT_OPTIONS = {
    linux.SO_RCVTIMEO: "_receive_timeout",
    linux.SO_RCVTIMEO_NEW: "_receive_timeout",
    linux.SO_SNDTIMEO: "_send_timeout",
    linux.SO_SNDTIMEO_NEW: "_send_timeout",
}
MAXIMUM_DATA = 65535
MAXIMUM_ITEMS = 65535
"""Control messages of one message that a frame can count."""
_ONE = frames.count_to_bytes(1)
_TWO_INTS = struct.Struct("=2i")


class ServedPingSocket(ServedDescriptor):
    """One served ping socket. Methods, flags, errnos and ancillary data are those of a kernel's ping socket."""

    # Names

    def bind(self, address: Any) -> None:
        """bind(2): the port is the ident."""
        self.bind_sockaddr(pack_address(self._family, address))

    def bind_sockaddr(self, sockaddr: bytes) -> None:
        """bind(2) with the bytes of a socket address."""
        self._ask(Request(frames.BIND, body=sockaddr))

    def connect(self, address: Any) -> None:
        """connect(2): fix source and peer."""
        self.connect_sockaddr(pack_address(self._family, address))

    def connect_sockaddr(self, sockaddr: bytes) -> None:
        """connect(2) with the bytes of a socket address; the family AF_UNSPEC disconnects."""
        self._ask(Request(frames.CONNECT, body=sockaddr))

    def connect_ex(self, address: Any) -> int:
        """As connect(), the errno returned."""
        try:
            self.connect(address)
        except OSError as error:
            if error.errno is None or isinstance(error, socket.gaierror):
                raise
            return error.errno
        return 0

    def getsockname(self) -> Any:
        """getsockname(2): receive address and ident."""
        return unpack_address(self._ask(Request(frames.GETSOCKNAME)).body)

    def getpeername(self) -> Any:
        """getpeername(2)."""
        return unpack_address(self._ask(Request(frames.GETPEERNAME)).body)

    def listen(self, _backlog: int = 0) -> None:
        """EOPNOTSUPP, as on any datagram socket."""
        raise OSError(EOPNOTSUPP, os.strerror(EOPNOTSUPP))

    def accept(self) -> None:
        """EOPNOTSUPP, as on any datagram socket."""
        raise OSError(EOPNOTSUPP, os.strerror(EOPNOTSUPP))

    # Options

    def setsockopt(self, level: int, option: int, value: Any, size: int | None = None) -> None:
        """setsockopt(2): an int, bytes, or None with a size."""
        if value is None:
            content = bytes(size or 0)
        elif isinstance(value, int):
            content = _c_int(value)
        else:
            content = bytes(value)[: frames.MAXIMUM_VALUE]
        if level == linux.SOL_SOCKET and option == linux.SO_ATTACH_FILTER:
            # Costs a tenth of a ping's start, which never comes here.
            from pingsock.service.calls import own_memory
            from pingsock.wire.bpf import taken_from

            content = taken_from(content, own_memory)
        self._ask(Request(frames.SETSOCKOPT, level, option, body=content))
        if level == linux.SOL_SOCKET and option in TIMEOUT_OPTIONS:
            setattr(self, TIMEOUT_OPTIONS[option], _timeout_seconds(content))

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        """getsockopt(2): an int, or bytes if a size is given."""
        if size < 0 or size > MAXIMUM_OPTION_SIZE:
            raise OSError("getsockopt buflen out of range")
        content = self._ask(Request(frames.GETSOCKOPT, level, option, size or 4)).body
        return content if size else int.from_bytes(content.ljust(4, b"\0"), sys.byteorder, signed=True)

    # Sending

    def send(self, data: Any, flags: int = 0) -> int:
        """send(2) to the connected peer."""
        return self.sendmsg_sockaddr((data,), (), flags, None)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """As send(): a datagram goes whole or not at all."""
        self.send(data, flags)

    def sendto(self, data: Any, *arguments: Any) -> int:
        """sendto(data[, flags], address)."""
        if not 1 <= len(arguments) <= 2:
            raise TypeError(f"sendto() takes 2 or 3 arguments ({len(arguments) + 1} given)")
        flags = arguments[0] if len(arguments) == 2 else 0
        return self.sendmsg_sockaddr((data,), (), flags, pack_address(self._family, arguments[-1]))

    def sendmsg(
        self, buffers: Iterable[Any], ancillary: Iterable[Any] = (), flags: int = 0, address: Any = None
    ) -> int:
        """sendmsg(2) with ancillary data (level, type, content)."""
        sockaddr = None if address is None else pack_address(self._family, address)
        return self.sendmsg_sockaddr(buffers, ancillary, flags, sockaddr)

    def sendmsg_sockaddr(
        self, buffers: Iterable[Any], ancillary: Iterable[Any], flags: int, sockaddr: bytes | None
    ) -> int:
        """sendmsg(2) with the bytes of a socket address."""
        data = b"".join(buffers)
        if len(data) > MAXIMUM_DATA:
            # Refused by its length alone; the frame need not carry what no socket takes.
            data = data[: MAXIMUM_DATA + 1]
        flags = index(flags)
        items = _control_messages(ancillary)
        message = Message(data, items, 0, sockaddr)
        if items and message.size > frames.MAXIMUM_MESSAGE:
            raise OSError(ENOBUFS, os.strerror(ENOBUFS))
        request = Request(frames.SEND, flags, messages=(message,))
        deadline = self._deadline(self._send_timeout)
        waits = not flags & MSG_DONTWAIT and self._timeout != 0
        pause = SHORTEST_PAUSE
        while (answer := self._exchange(request)).errno:
            if not (answer.flags & frames.NO_ROOM and waits):
                raise OSError(answer.errno, os.strerror(answer.errno))
            if deadline is not None and time.monotonic() >= deadline:
                raise self._give_up()
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return len(data)

    # Receiving

    def recvmsg(self, size: int, control_size: int = 0, flags: int = 0) -> tuple[bytes, list[Any], int, Any]:
        """recvmsg(2): data, ancillary data, msg_flags, address."""
        if size < 0 or control_size < 0:
            raise ValueError("negative buffer size in recvmsg()")
        message = self._receive(size, control_size, flags)
        return message.data, list(message.items), message.flags, unpack_address(message.address)

    def recvmsg_many(
        self, count: int, size: int, control_size: int = 0, flags: int = 0
    ) -> list[tuple[bytes, list[Any], int, Any]]:
        """As recvmsg(), of all that waits but at most `count` messages, in one exchange. It never blocks.

        BlockingIOError if nothing waits. An error that is pending is raised by the call that meets it first.
        """
        if size < 0 or control_size < 0 or count < 1:
            raise ValueError("negative buffer size or no message in recvmsg_many()")
        asked = frames.count_to_bytes(min(count, frames.MAXIMUM_MESSAGES))
        request = Request(frames.RECEIVE, index(flags) | MSG_DONTWAIT, min(size, 2**31 - 1), control_size, asked)
        return [
            (message.data, list(message.items), message.flags, unpack_address(message.address))
            for message in self._ask(request).messages
        ]

    def recv(self, size: int, flags: int = 0) -> bytes:
        """recv(2)."""
        if size < 0:
            raise ValueError("negative buffersize in recv")
        return self._receive(size, 0, flags).data

    def recvfrom(self, size: int, flags: int = 0) -> tuple[bytes, Any]:
        """recvfrom(2)."""
        if size < 0:
            raise ValueError("negative buffersize in recvfrom")
        message = self._receive(size, 0, flags)
        return message.data, unpack_address(message.address)

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """recv(2) into a buffer; the bytes stored."""
        return self.recvfrom_into(buffer, size, flags)[0]

    def recvfrom_into(self, buffer: Any, size: int = 0, flags: int = 0) -> tuple[int, Any]:
        """recvfrom(2) into a buffer."""
        view = _writable(buffer)
        if size < 0 or size > len(view):
            raise ValueError("buffer too small for requested bytes" if size > 0 else "negative buffersize")
        message = self._receive(size or len(view), 0, flags)
        view[: len(message.data)] = message.data
        return len(message.data), unpack_address(message.address)

    def recvmsg_into(
        self, buffers: Iterable[Any], control_size: int = 0, flags: int = 0
    ) -> tuple[int, list[Any], int, Any]:
        """recvmsg(2), the data scattered over buffers."""
        views = [_writable(buffer) for buffer in buffers]
        data, items, message_flags, address = self.recvmsg(sum(map(len, views)), control_size, flags)
        at = 0
        for view in views:
            part = data[at : at + len(view)]
            view[: len(part)] = part
            at += len(part)
        return len(data), items, message_flags, address

    def _receive(self, size: int, control_size: int, flags: int) -> Message:
        flags = index(flags)
        waits = not (flags & (MSG_DONTWAIT | MSG_ERRQUEUE) or self._timeout == 0)
        # A Python timeout makes the descriptor non-blocking, which a socket shut down for reading can tell.
        asked = flags if waits and self._timeout is None else flags | MSG_DONTWAIT
        request = Request(frames.RECEIVE, asked, min(size, 2**31 - 1), min(control_size, 2**31 - 1), _ONE)
        deadline = self._deadline(self._receive_timeout)
        while True:
            try:
                return self._ask(request).messages[0]
            except BlockingIOError:
                if not waits:
                    raise
            if not self._wait_readable(deadline):
                raise self._give_up()

    # End

    def shutdown(self, how: int) -> None:
        """shutdown(2): ENOTCONN without a peer, and yet it takes effect."""
        self._ask(Request(frames.SHUTDOWN, how))


def _c_int(number: int) -> bytes:
    try:
        return struct.pack("=i", number)
    except struct.error as error:
        # As the `socket` module, which then looks for a buffer.
        raise TypeError(f"{number} is no C int, and no bytes-like object") from error


def _control_messages(ancillary: Iterable[Any]) -> tuple[tuple[int, int, bytes], ...]:
    """OverflowError for a level or type that is no C int, ENOBUFS for more than a message can have."""
    items = []
    for level, kind, content in ancillary:
        try:
            _TWO_INTS.pack(level, kind)
        except struct.error as error:
            raise OverflowError("signed integer is out of range") from error
        items.append((level, kind, bytes(content)))
    if len(items) > MAXIMUM_ITEMS:
        raise OSError(ENOBUFS, os.strerror(ENOBUFS))
    return tuple(items)


def _writable(buffer: Any) -> memoryview:
    view = memoryview(buffer)
    if view.readonly:
        raise TypeError(f"read-write bytes-like object expected, not {type(buffer).__name__}")
    return view.cast("B")


def _timeout_seconds(content: bytes) -> float | None:
    seconds, microseconds = struct.unpack_from(linux.TIMEVAL_NEW_LAYOUT, content)
    if seconds < 0:
        return 0.0
    return seconds + microseconds / 1e6 or None
