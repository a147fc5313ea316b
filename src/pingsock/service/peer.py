"""One connection at the server: reads its requests, has them done, and sends the answers.

Some facts about what a client can do to its connection
-------------------------------------------------------
* Send descriptors along: see `pingsock.service.rights`.
* Send a frame longer than any: it comes cut to the size of the buffer, and so is seen to be too long.
* Send a frame of no bytes: it looks like the end.
* Never read its answers: then the connection has no room for more, and no more of its requests are read.
* Anything to its end of the readiness channel, which is its own: make it block, take bytes out, shut it down.

What this means here
--------------------
Nothing on a connection waits, every call on the readiness channel says so itself, and what fails there is the client's
own loss. The server keeps the client's end too, to take its byte out again.
"""

from __future__ import annotations

import socket
import struct
import time
from array import array
from errno import EBADF, EIO, EISCONN, ENOMEM, ERANGE

from pingsock.service import frames
from pingsock.service.calls import getsockopt
from pingsock.service.frames import Answer, Request, parse_request_untrusted
from pingsock.service.rights import brings_rights, close_untrusted, may_bring_rights, want_no_credentials
from pingsock.service.session import Session
from pingsock.stack.failure import failure
from pingsock.wire import linux
from pingsock.wire.errors import BadPacket
from pingsock.wire.linux import MSG_DONTWAIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from pingsock.service.audit import Caller
    from pingsock.service.users import User
    from pingsock.stack.stack import Stack

    class Host(Protocol):
        """What a connection asks of its server. Each raises OSError for what is refused."""

        def stack_for(self, peer: Peer) -> Stack:
            """The stack that serves this client's socket."""

        def lend(self, peer: Peer, family: int) -> socket.socket:
            """A socket of the kernel for this client."""

        def status_for(self, peer: Peer) -> bytes:
            """What the service tells this client about itself."""


MOST_INSTRUCTIONS = 256
"""Of a socket filter; beyond it ENOMEM, as beyond a kernel's net.core.optmem_max. Each takes half a microsecond of
everybody's time for each packet: the 4,096 a kernel takes at most would be 2 ms."""
MOST_SIGNALS = 64
"""Bytes taken out of a readiness channel at once."""

_buffer = memoryview(bytearray(frames.MAXIMUM_FRAME + 1))


class Peer:
    """A client, from the server's side."""

    def __init__(self, channel: socket.socket, caller: Caller, user: User, host: Host) -> None:
        """Owns the connection from now on."""
        self.channel = channel
        self.caller = caller
        self.user = user
        self.is_lease = False
        self.unsent = b""
        """An answer there was no room for."""
        self._host = host
        self._may_bring_rights = may_bring_rights(channel)
        if self._may_bring_rights:
            want_no_credentials(channel)
        self._session: Session | None = None
        self._signals: socket.socket | None = None
        self._readiness: socket.socket | None = None

    def read(self) -> bool:
        """Answer one request; False when the connection is over."""
        try:
            if self._may_bring_rights and brings_rights(self.channel):
                return False
            length = self.channel.recv_into(_buffer)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return length > 0 and self._answer(_buffer[:length].tobytes())

    def _answer(self, frame: bytes) -> bool:
        try:
            request = parse_request_untrusted(frame)
            if (special := SPECIAL.get(request.operation)) is not None:
                return special(self, request)
            if self._session is None:
                return self._send(_refusal(request, failure(EBADF)))
            return self._send_frame(self._session.handle(request).to_bytes())
        except BadPacket:
            return False

    def flush(self) -> bool:
        """There may be room again; False when the connection is over."""
        unsent, self.unsent = self.unsent, b""
        return self._send_frame(unsent)

    def _send(self, answer: Answer, carried: socket.socket | None = None) -> bool:
        return self._send_frame(answer.to_bytes(), carried)

    def _send_frame(self, frame: bytes, carried: socket.socket | None = None) -> bool:
        try:
            if carried is None:
                self.channel.send(frame)
            else:
                descriptors = array("i", [carried.fileno()])
                self.channel.sendmsg([frame], [(linux.SOL_SOCKET, linux.SCM_RIGHTS, descriptors)])
        except BlockingIOError:
            if carried is not None:
                return False
            self.unsent = frame
        except OSError:
            return False
        return True

    # What needs more than a socket

    def _open(self, request: Request) -> bool:
        try:
            if self._session is None:
                self._start_session()
        except OSError as error:
            return self._send(_refusal(request, error))
        assert self._session is not None
        answer = self._session.handle(request)
        return self._send(answer, None if answer.errno else self._readiness)

    def _start_session(self) -> None:
        if self.is_lease:
            raise failure(EISCONN)
        stack = self._host.stack_for(self)
        self._signals, self._readiness = socket.socketpair()
        # What a client writes into its end is refused there and then.
        self._signals.shutdown(socket.SHUT_RD)
        credentials = self.caller.credentials()
        self._session = Session(stack, credentials, time.time_ns, self._signal, self._drain, self.user.account)

    def _signal(self) -> None:
        assert self._signals is not None
        try:
            self._signals.send(b"\0", MSG_DONTWAIT)
        except OSError:
            pass  # the client has shut its end down

    def _drain(self) -> None:
        assert self._readiness is not None
        try:
            self._readiness.recv(MOST_SIGNALS, MSG_DONTWAIT)
        except OSError:
            pass  # the client has taken the byte itself

    def _set_option(self, request: Request) -> bool:
        is_filter = (request.first, request.second) == (linux.SOL_SOCKET, linux.SO_ATTACH_FILTER)
        if is_filter and len(request.body) > MOST_INSTRUCTIONS * struct.calcsize(linux.SOCK_FILTER_LAYOUT):
            return self._send(_refusal(request, failure(ENOMEM)))
        return self._send(_refusal(request, failure(EBADF)) if self._session is None else self._session.handle(request))

    def _borrow(self, request: Request) -> bool:
        try:
            if self.is_lease or self._session is not None:
                raise failure(EISCONN)
            with self._host.lend(self, request.first) as lent:
                self.is_lease = True
                return self._send(Answer(frames.BORROW, number=request.number), lent)
        except OSError as error:
            return self._send(_refusal(request, error))

    def _status(self, request: Request) -> bool:
        try:
            body = self._host.status_for(self)
        except OSError as error:
            return self._send(_refusal(request, error))
        return self._send(Answer(frames.STATUS, body=body, number=request.number))

    def end(self) -> None:
        """The connection is over: its ident is free, its readiness channel hangs up. Idempotent."""
        if self._session is not None:
            self._session.close()
        close_untrusted(self.channel)
        for each in (self._signals, self._readiness):
            if each is not None:
                each.close()


def _refusal(request: Request, error: OSError) -> Answer:
    return Answer(request.operation, error.errno or EIO, -1, number=request.number)


SPECIAL = {
    frames.OPEN: Peer._open,
    frames.SETSOCKOPT: Peer._set_option,
    frames.BORROW: Peer._borrow,
    frames.STATUS: Peer._status,
}


def say_goodbye(channel: socket.socket, errno: int) -> None:
    """End a connection nothing was read from, and say why."""
    try:
        channel.send(Answer(frames.GOODBYE, errno).to_bytes(), MSG_DONTWAIT)
    except OSError:
        pass
    close_untrusted(channel)


def peer_credentials(channel: socket.socket) -> tuple[int, int, int, tuple[int, ...]]:
    """pid, uid, gid and supplementary groups of whoever connected, as they were then."""
    ucred = channel.getsockopt(linux.SOL_SOCKET, linux.SO_PEERCRED, struct.calcsize(linux.UCRED_LAYOUT))
    pid, uid, gid = struct.unpack(linux.UCRED_LAYOUT, ucred)
    try:
        groups = channel.getsockopt(linux.SOL_SOCKET, linux.SO_PEERGROUPS, LARGEST_OPTION)
    except OSError as error:
        if error.errno != ERANGE:
            raise
        groups = getsockopt(channel.fileno(), linux.SOL_SOCKET, linux.SO_PEERGROUPS, 4 * MOST_GROUPS)
    return pid, uid, gid, struct.unpack(f"={len(groups) // 4}I", groups)


LARGEST_OPTION = 1024
"""Bytes that Python's getsockopt takes."""
MOST_GROUPS = 65536
"""Supplementary groups of one process (linux/limits.h, NGROUPS_MAX)."""
