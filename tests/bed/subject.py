"""The socket under test: the interface the tests use, and the kernel's ping socket behind it."""

from __future__ import annotations

import ctypes
import os
import select
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, overload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bed.families import Family

Ancillary = Iterable[tuple[int, int, bytes]]


class Subject(Protocol):
    """What a socket under test can do: methods of `socket.socket`, and the same calls with a raw sockaddr."""

    @property
    def family(self) -> int: ...
    def bind(self, address: Any, /) -> None: ...
    def connect(self, address: Any, /) -> None: ...
    def connect_ex(self, address: Any, /) -> int: ...
    def send(self, data: Any, flags: int = 0, /) -> int: ...
    def sendto(self, data: Any, *flags_and_address: Any) -> int: ...
    def sendmsg(
        self, buffers: Iterable[Any], ancdata: Iterable[Any] = (), flags: int = 0, address: Any = None, /
    ) -> int: ...
    def recv(self, size: int, flags: int = 0, /) -> bytes: ...
    def recvfrom(self, size: int, flags: int = 0, /) -> tuple[bytes, Any]: ...
    def recvmsg(
        self, size: int, ancillary_size: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]: ...
    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int: ...
    def getsockname(self) -> Any: ...
    def getpeername(self) -> Any: ...
    @overload
    def getsockopt(self, level: int, option: int, /) -> int: ...
    @overload
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...
    def setsockopt(self, level: int, option: int, value: Any, /) -> None: ...
    def settimeout(self, value: float | None, /) -> None: ...
    def setblocking(self, flag: bool, /) -> None: ...
    def shutdown(self, how: int, /) -> None: ...
    def listen(self, backlog: int = 0, /) -> None: ...
    def accept(self) -> Any: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...
    def bind_sockaddr(self, sockaddr: bytes, /) -> None: ...
    def connect_sockaddr(self, sockaddr: bytes, /) -> None: ...
    def sendmsg_sockaddr(
        self, buffers: Sequence[bytes], ancdata: Ancillary, flags: int, sockaddr: bytes | None, /
    ) -> int: ...
    def poll_events(self) -> int: ...


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("name_size", ctypes.c_uint32),
        ("iovecs", ctypes.POINTER(_Iovec)),
        ("iovec_count", ctypes.c_size_t),
        ("control", ctypes.c_char_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Cmsghdr(ctypes.Structure):
    _fields_ = (("length", ctypes.c_size_t), ("level", ctypes.c_int), ("type", ctypes.c_int))


_libc = ctypes.CDLL(None, use_errno=True)

_POLL_ALL = (
    select.POLLIN
    | select.POLLPRI
    | select.POLLOUT
    | select.POLLRDNORM
    | select.POLLRDBAND
    | select.POLLWRNORM
    | select.POLLRDHUP
)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _control(ancdata: Ancillary) -> bytes:
    control = b""
    for level, kind, content in ancdata:
        header = bytes(_Cmsghdr(ctypes.sizeof(_Cmsghdr) + len(content), level, kind))
        control += header + content + bytes(-len(content) % ctypes.sizeof(ctypes.c_size_t))
    return control


class KernelSubject(socket.socket):
    """The kernel's ping socket: the oracle."""

    def __init__(self, ip: Family) -> None:
        super().__init__(ip.af, socket.SOCK_DGRAM, ip.protocol)

    def bind_sockaddr(self, sockaddr: bytes) -> None:
        _checked(_libc.bind(self.fileno(), sockaddr, len(sockaddr)))

    def connect_sockaddr(self, sockaddr: bytes) -> None:
        _checked(_libc.connect(self.fileno(), sockaddr, len(sockaddr)))

    def sendmsg_sockaddr(self, buffers: Sequence[bytes], ancdata: Ancillary, flags: int, sockaddr: bytes | None) -> int:
        iovecs = (_Iovec * len(buffers))(*[_Iovec(buffer, len(buffer)) for buffer in buffers])
        control = _control(ancdata)
        message = _Msghdr(sockaddr, len(sockaddr or b""), iovecs, len(buffers), control or None, len(control), 0)
        return _checked(_libc.sendmsg(self.fileno(), ctypes.byref(message), flags))

    def poll_events(self) -> int:
        """The mask poll(2) gives now."""
        poller = select.poll()
        poller.register(self.fileno(), _POLL_ALL)
        return next((events for _, events in poller.poll(0)), 0)
