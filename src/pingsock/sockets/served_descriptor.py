"""What a descriptor is to a socket of the kernel, for a served one: it is opened, asked, waited for and closed.

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
import time
import warnings
from errno import EAGAIN, EBADF
from socket import AF_INET, SOCK_DGRAM

from pingsock.service import frames
from pingsock.service.frames import Request
from pingsock.sockets.kernel import PROTOCOLS
from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Protocol, Self

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


LONGEST_POLL = 2**31 - 1
"""Milliseconds; what poll(2) takes at most."""
FAMILY_TEXTS = {int(AF_INET): "IPv4", linux.AF_INET6: "IPv6"}
_THREE_INTS = struct.Struct("=3i")


class ServedDescriptor:
    """One served socket from its opening to its end, whatever is called on it in between."""

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

    def _deadline(self, option_timeout: float | None) -> float | None:
        timeout = option_timeout if self._timeout is None else self._timeout
        return None if timeout is None else time.monotonic() + timeout

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

    def _give_up(self) -> OSError:
        """What a call raises whose time is over: Python's timeout, or the errno of a socket option's."""
        return OSError(EAGAIN, os.strerror(EAGAIN)) if self._timeout is None else TimeoutError("timed out")

    # End

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
