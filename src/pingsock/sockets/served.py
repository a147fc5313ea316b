"""A ping socket that a server of ours serves, with the methods of `socket.socket`.

Some facts about waiting for a served socket
--------------------------------------------
* Its queues are the server's. What a program may wait for is the readiness channel: a byte is in it exactly while
  data or an error waits, and the server keeps it so (see `pingsock.service.frames`).
* So `fileno()` polls readable for data and for errors alike; only a kernel's own socket can poll POLLERR. What
  poll(2) would say is told by `poll_events()`.

What this means here
--------------------
Every call is one exchange that never blocks the server. Where a kernel's socket would block, the call waits
for the readiness channel and asks again; timeouts are Python's, and SO_RCVTIMEO and SO_SNDTIMEO where none is set.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
import time
import warnings
from errno import EAGAIN, EBADF, ENOBUFS, EOPNOTSUPP
from operator import index
from socket import AF_INET, SOCK_DGRAM

from pingsock.service import frames
from pingsock.service.frames import Message, Request
from pingsock.sockets.addresses import pack_address, unpack_address
from pingsock.sockets.kernel import PROTOCOLS
from pingsock.wire import linux
from pingsock.wire.linux import MSG_DONTWAIT, MSG_ERRQUEUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any, Protocol, Self

    class Connection(Protocol):
        """How a served socket reaches its server."""

        kind: str
        readiness: socket.socket

        def exchange(self, request: Request) -> frames.Answer:
            """One request, one answer. OSError if the server is gone."""

        def close(self) -> None:
            """End the socket."""

        def abandon(self) -> None:
            """End the socket at some later time, without waiting: for finalizers."""


SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.05
"""Seconds between two tries of a send that found no room: it is the room of a device that many sockets share, so nobody
can say when there will be some for this one."""
LONGEST_POLL = 2**31 - 1
"""Milliseconds; what poll(2) takes at most."""
MAXIMUM_OPTION_SIZE = 1024
"""What getsockopt of the `socket` module allows."""
TIMEOUT_OPTIONS = {
    linux.SO_RCVTIMEO: "_receive_timeout",
    linux.SO_RCVTIMEO_NEW: "_receive_timeout",
    linux.SO_SNDTIMEO: "_send_timeout",
    linux.SO_SNDTIMEO_NEW: "_send_timeout",
}


class ServedPingSocket:
    """One served ping socket. Methods, flags, errnos and ancillary data are those of a kernel's ping socket."""

    def __init__(
        self, family: int, connection: Connection, *, kind: int = SOCK_DGRAM, proto: int | None = None
    ) -> None:
        """Opens the socket over a connection, which it then owns.

        OSError as socket(2), which refuses every `kind` but SOCK_DGRAM and every `proto` but the family's.
        """
        if proto is None:
            proto = PROTOCOLS.get(family, 0)
        self._connection = connection
        self._family = int(family)
        self._closed = False
        self._timeout: float | None = 0.0 if kind & socket.SOCK_NONBLOCK else socket.getdefaulttimeout()
        self._receive_timeout: float | None = None
        self._send_timeout: float | None = None
        try:
            self._ask(Request(frames.OPEN, self._family, kind & ~(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC), proto))
        except OSError:
            self._closed = True
            connection.close()
            raise

    # What it is

    @property
    def kind(self) -> str:
        """How it is served: "served" by the service, "embedded" by a server in this process."""
        return self._connection.kind

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return socket.AddressFamily(self._family)

    @property
    def type(self) -> int:
        """SOCK_DGRAM."""
        return socket.SOCK_DGRAM

    @property
    def proto(self) -> int:
        """IPPROTO_ICMP or IPPROTO_ICMPV6."""
        return PROTOCOLS[self._family]

    def fileno(self) -> int:
        """A descriptor that is readable exactly when data or an error waits; -1 when closed."""
        return -1 if self._closed else self._connection.readiness.fileno()

    def poll_events(self) -> int:
        """The POLL* events poll(2) would report for a kernel's socket."""
        return self._ask(Request(frames.POLL)).result

    # Exchanges

    def _ask(self, request: Request) -> frames.Answer:
        """One exchange; the answer's errno becomes an OSError. EBADF on a closed socket."""
        answer = self._exchange(request)
        if answer.errno:
            raise OSError(answer.errno, os.strerror(answer.errno))
        return answer

    def _exchange(self, request: Request) -> frames.Answer:
        if self._closed:
            raise OSError(EBADF, os.strerror(EBADF))
        try:
            _THREE_INTS.pack(request.first, request.second, request.third)
        except struct.error as error:
            raise OverflowError("signed integer is out of range") from error
        return self._connection.exchange(request)

    def _wait_readable(self, deadline: float | None) -> bool:
        """Wait until the descriptor is readable; False once the deadline, monotonic seconds, has passed."""
        poller = select.poll()
        poller.register(self._connection.readiness, select.POLLIN)
        if deadline is None:
            return bool(poller.poll())
        while (left := deadline - time.monotonic()) > 0:
            if poller.poll(min(left * 1000, LONGEST_POLL)):
                return True
        return False

    def _deadline(self, option_timeout: float | None) -> float | None:
        timeout = option_timeout if self._timeout is None else self._timeout
        return None if timeout is None else time.monotonic() + timeout

    def _give_up(self) -> OSError:
        """What a call raises whose time is over: Python's timeout, or the errno of a socket option's."""
        return OSError(EAGAIN, os.strerror(EAGAIN)) if self._timeout is None else TimeoutError("timed out")

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

    # Blocking

    def settimeout(self, timeout: float | None) -> None:
        """Seconds that calls wait; None for ever, 0 not at all. ValueError if negative."""
        if timeout is not None and not timeout >= 0:
            raise ValueError("Timeout value out of range")
        self._timeout = timeout

    def gettimeout(self) -> float | None:
        """What settimeout() set."""
        return self._timeout

    @property
    def timeout(self) -> float | None:
        """What settimeout() set."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """settimeout(None) or settimeout(0)."""
        self.settimeout(None if flag else 0.0)

    def getblocking(self) -> bool:
        """Whether calls wait at all."""
        return self._timeout != 0

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

    def close(self) -> None:
        """Idempotent; the ident is free at once."""
        if not self._closed:
            self._closed = True
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.close()

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if not getattr(self, "_closed", True):
            _warn(f"unclosed {self!r}", ResourceWarning, source=self)
            self._closed = True
            self._connection.abandon()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"fd={self.fileno()}"
        return f"<{type(self).__name__} {self.kind} {FAMILY_TEXTS.get(self._family, self._family)} {state}>"


FAMILY_TEXTS = {int(AF_INET): "IPv4", linux.AF_INET6: "IPv6"}
MAXIMUM_DATA = 65535
MAXIMUM_ITEMS = 65535
"""Control messages of one message that a frame can count."""
_ONE = frames.count_to_bytes(1)
_THREE_INTS = struct.Struct("=3i")
_TWO_INTS = struct.Struct("=2i")


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
