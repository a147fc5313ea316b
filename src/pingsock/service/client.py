"""The client's half of the service: finding it, a connection for one socket, and borrowing a socket of the kernel.

Some facts about losing a server
--------------------------------
* A sequenced-packet connection whose other end is gone fails a send with EPIPE or ECONNRESET and ends a receive with
  no bytes. If the other end left something unread, the first receive fails with ECONNRESET, and only the next gives
  what it had still sent: its goodbye.
* A server that is stopped, or a machine that swaps, just does not answer.

What this means here
--------------------
A connection that has failed stays failed, with ECONNRESET or what the goodbye said, and its readiness channel hangs
up, so that whoever waits wakes and asks. An answer is waited for no longer than `PATIENCE`. Only a new socket finds a
new server.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from errno import (
    EACCES,
    EAGAIN,
    EBADF,
    ECONNREFUSED,
    ECONNRESET,
    EDEADLK,
    EMFILE,
    ENFILE,
    ENOENT,
    ENOTDIR,
    EPIPE,
    ETIMEDOUT,
)

from pingsock.service import frames
from pingsock.service.frames import Answer, Request
from pingsock.stack.failure import failure
from pingsock.wire import linux
from pingsock.wire.errors import BadPacket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SYSTEM_PATH = "/run/pingsock/pingsock.sock"
"""Where the service of a whole host listens."""
PRIVATE_NAME = "pingsock/pingsock.sock"
"""Below $XDG_RUNTIME_DIR: where a user's own service listens."""
PATH_VARIABLE = "PINGSOCK_SOCKET"
"""Environment variable that names the only path to look at."""
PATIENCE = 10
"""Seconds that one answer may take."""
KINDS = ("borrowed", "served")
"""The kinds of ping socket a service lends."""
HOLDS_FOR_ALL = frozenset((ENOENT, ENOTDIR, ECONNREFUSED, EACCES, EMFILE, ENFILE, ETIMEDOUT))
"""Errnos of a refusal that has nothing to do with what was asked for: any other socket would be refused too."""
LAST_WORDS = 3
"""Receives until a goodbye is found, if there is one: ECONNRESET may come before it, and late answers."""

_INT = struct.Struct("=i")
_TIMEVAL = struct.Struct(linux.TIMEVAL_NEW_LAYOUT)
_WITH_DESCRIPTOR = (frames.OPEN, frames.BORROW)


def service_paths(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Where a service may listen: the path $PINGSOCK_SOCKET names, or the user's own and the host's."""
    if named := environment.get(PATH_VARIABLE):
        return (named,)
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    return (*((f"{runtime}/{PRIVATE_NAME}",) if runtime.startswith("/") else ()), SYSTEM_PATH)


def connect_service(path: str | None = None) -> ServiceConnection:
    """A connection for one socket, to the service at `path` or to the first that listens where services do.

    OSError: ENOENT if there is none, ECONNREFUSED if one has left its path behind, EACCES if the path is closed to us,
    ETIMEDOUT if one listens but does not accept.
    """
    return ServiceConnection(_connected(path))


def borrow_kernel_socket(family: int, path: str | None = None) -> LentSocket:
    """A ping socket of the kernel, opened by the service and handed over.

    OSError: as `connect_service`; EACCES if the service lends us nothing, EMFILE beyond our quota, EOPNOTSUPP if it
    hands nothing over: the kernel lets it open none, or its policy needs to see every packet.
    """
    connection = connect_service(path)
    try:
        connection.ask(Request(frames.BORROW, int(family)))
    except OSError:
        connection.close()
        raise
    return LentSocket(connection)


def standing_refusal(kind: str, refusals: Iterable[tuple[str, OSError]]) -> OSError | None:
    """What the service would only repeat if it were asked for a socket of this kind; None if it may say something else.

    `refusals` are the kinds that were tried, of whatever family, and what was said to each. Asking again costs a line
    of the service's journal, or, if it does not answer, another `PATIENCE`.
    """
    for tried, refusal in refusals if kind in KINDS else ():
        if tried in KINDS and refusal.errno in HOLDS_FOR_ALL:
            return OSError(refusal.errno, refusal.strerror)
    return None


def ask_status(path: str | None = None) -> str:
    """What the service tells about itself, as JSON. OSError as `connect_service`; EACCES for who may not know."""
    connection = connect_service(path)
    try:
        return connection.ask(Request(frames.STATUS)).body.decode()
    finally:
        connection.close()


def _connected(path: str | None) -> socket.socket:
    refusal = OSError(ENOENT, "no service of ping sockets listens on this host")
    for candidate in (path,) if path is not None else service_paths():
        try:
            return _connected_to(candidate)
        except FileNotFoundError as error:
            error.strerror = f"no service of ping sockets listens at {candidate}"
            refusal = refusal if refusal.errno != ENOENT else error
        except OSError as error:
            refusal = _told_apart(error, candidate)
    raise refusal


def _told_apart(error: OSError, path: str) -> OSError:
    if error.errno == EAGAIN:
        return OSError(ETIMEDOUT, f"the service at {path} does not accept connections")
    if error.errno == ECONNREFUSED:
        return OSError(ECONNREFUSED, f"the service at {path} is gone")
    return OSError(error.errno, f"{error.strerror}: {path}")


def _connected_to(path: str) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        channel.settimeout(None)
        patience = _TIMEVAL.pack(PATIENCE, 0)
        channel.setsockopt(linux.SOL_SOCKET, linux.SO_RCVTIMEO_NEW, patience)
        channel.setsockopt(linux.SOL_SOCKET, linux.SO_SNDTIMEO_NEW, patience)
        channel.connect(path)
    except OSError:
        channel.close()
        raise
    return channel


class ServiceConnection:
    """A connection to the service, which is one ping socket. Threads take turns; a fork's child cannot use it."""

    kind = "served"

    def __init__(self, channel: socket.socket) -> None:
        """Owns the connected socket from now on."""
        self._channel = channel
        self.readiness = channel
        """The client's end of the readiness channel, from OPEN on; until then what hangs up with the server."""
        self._lent: list[int] = []
        self._lock = threading.RLock()
        self._is_asking = False
        self._process = os.getpid()
        self._number = 0
        self._loss: OSError | None = None

    def ask(self, request: Request) -> Answer:
        """As `exchange`, the answer's errno raised as OSError."""
        answer = self.exchange(request)
        if answer.errno:
            raise failure(answer.errno)
        return answer

    def exchange(self, request: Request) -> Answer:
        """One request, one answer.

        OSError: ECONNRESET (or what its goodbye said) once the service is lost, ETIMEDOUT if it does not answer, EBADF
        in a process that forked after the socket was opened, EDEADLK in a signal handler that interrupted another call
        on the same socket.
        """
        if os.getpid() != self._process:
            raise failure(EBADF)
        with self._lock:
            if self._is_asking:
                raise failure(EDEADLK)
            if self._loss is None:
                self._is_asking = True
                try:
                    return self._exchange(request)
                except BadPacket as error:
                    self._lose(OSError(ECONNRESET, f"the service of this ping socket sent nonsense ({error})"))
                except OSError as error:
                    self._lose(self._reason(error))
                finally:
                    self._is_asking = False
            assert self._loss is not None
            raise OSError(*self._loss.args) from self._loss

    def _exchange(self, request: Request) -> Answer:
        number = self._number = self._number % 0xFFFFFFFF + 1
        self._channel.send(request.replace(number=number).to_bytes())
        while (answer := self._next_answer(request.operation)).number != number:
            # Of a request that an exception tore away from its answer.
            pass
        if request.operation == frames.RECEIVE and not answer.errno:
            return _with_messages_untrusted(answer)
        return answer

    def _next_answer(self, operation: int) -> Answer:
        if operation in _WITH_DESCRIPTOR:
            # Not socket.recv_fds(), which forgets its flags in Python 3.11.
            frame, ancillary, _, _ = self._channel.recvmsg(
                frames.MAXIMUM_FRAME + 1, socket.CMSG_SPACE(_INT.size), linux.MSG_CMSG_CLOEXEC
            )
            self._take(operation, [number for item in ancillary for (number,) in _INT.iter_unpack(item[2])])
        else:
            frame = self._channel.recv(frames.MAXIMUM_FRAME + 1)
        if not frame:
            raise failure(ECONNRESET)
        answer = frames.parse_answer_untrusted(frame)
        if answer.operation == frames.GOODBYE:
            raise failure(answer.errno or ECONNRESET)
        return answer

    def _take(self, operation: int, descriptors: list[int]) -> None:
        if descriptors and operation == frames.OPEN and self.readiness is self._channel:
            self.readiness = socket.socket(fileno=descriptors.pop())
            self.readiness.setblocking(False)
        self._lent += descriptors

    def _reason(self, error: OSError) -> OSError:
        """Why the connection was lost: what the server said last, if it did."""
        if error.errno == EAGAIN:
            return OSError(ETIMEDOUT, f"the service of this ping socket has not answered for {PATIENCE} seconds")
        if error.errno not in LOST:
            return error
        for _ in range(LAST_WORDS):
            try:
                frame = self._channel.recv(frames.MAXIMUM_FRAME + 1, linux.MSG_DONTWAIT)
                answer = frames.parse_answer_untrusted(frame)
            except ConnectionResetError:
                continue
            except (OSError, BadPacket):
                break
            if answer.operation == frames.GOODBYE:
                return failure(answer.errno or ECONNRESET)
        return OSError(ECONNRESET, "the service of this ping socket has ended")

    def _lose(self, reason: OSError) -> None:
        self._loss = reason
        self._hang_up()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def lent_descriptor(self) -> int:
        """The socket that BORROW brought, which is the caller's from now on. EBADF if it brought none."""
        if not self._lent:
            raise failure(EBADF)
        return self._lent.pop()

    def lease(self) -> socket.socket:
        """What has to stay open for as long as a lent socket is used; this object is done with then."""
        return socket.socket(fileno=self._channel.detach())

    def close(self) -> None:
        """End the socket: its ident is free when this returns. Idempotent."""
        if self._loss is None and self.readiness is not self._channel and os.getpid() == self._process:
            with contextlib.suppress(OSError):
                self.exchange(Request(frames.CLOSE))
        if os.getpid() == self._process:
            self._hang_up()
        self.abandon()

    def abandon(self) -> None:
        """As `close`, without waiting for anything: for finalizers, and for the child of a fork."""
        if self._loss is None:
            self._loss = failure(EBADF)
        self._channel.close()
        self.readiness.close()
        while self._lent:
            os.close(self._lent.pop())


class LentSocket(socket.socket):
    """A ping socket of the kernel that the service opened and handed over: kernel semantics, nobody in between.

    The connection to the service is its lease: it counts against the user's quota until it is closed. Closing the
    socket closes it; whoever passes the socket on keeps `lease` open instead. Losing the service leaves the socket
    alone.
    """

    __slots__ = ("lease",)

    lease: socket.socket

    def __init__(self, connection: ServiceConnection) -> None:
        """Takes over what BORROW brought."""
        try:
            super().__init__(fileno=connection.lent_descriptor())
        except OSError:
            connection.close()
            raise
        self.lease = connection.lease()

    def close(self) -> None:
        """The socket and its lease. Idempotent."""
        super().close()
        self.lease.close()


LOST = frozenset({EBADF, ECONNRESET, EPIPE})
"""Errnos of a connection whose other end is gone, or that another thread has closed."""


def _with_messages_untrusted(answer: Answer) -> Answer:
    """The answer to a RECEIVE with its messages as values.

    :raises BadPacket: they are none, or there is none.
    """
    messages = tuple(frames.parse_messages_untrusted(answer.body))
    if not messages:
        raise BadPacket("an answer to RECEIVE without a message")
    return answer.replace(body=b"", messages=messages)
