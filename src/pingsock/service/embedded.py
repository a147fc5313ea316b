"""The server inside the calling process: a stack over a link, driven by one thread.

Calls on a socket run in the caller's thread, under the server's lock, as they would in a kernel; the thread only waits
for packets and timers. After a fork the child has no such thread: sockets must be opened after forking. What it
inherited fails with EBADF, and closing it gives up the child's descriptors only; the parent's sockets notice nothing.

A link that fails, or code of ours, ends the server: it gives everything up, blocked calls wake, and every call on its
sockets fails with EIO, which names the cause. A socket that could wait for ever would be worse.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections import deque
from errno import EBADF, EIO

from pingsock.service.session import Session
from pingsock.stack.failure import failure
from pingsock.stack.policy import Credentials
from pingsock.stack.procfs import proc_net_icmp, proc_net_icmp6
from pingsock.stack.stack import Stack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Protocol

    from pingsock.service.frames import Answer, Request
    from pingsock.stack.network import Network, Receiver
    from pingsock.stack.policy import Policy

    class Link(Network, Protocol):
        """A network that can be waited for."""

        def attach(self, receiver: Receiver) -> None:
            """Say who gets what arrives."""

        def update_idents(self, idents: Collection[int]) -> None:
            """The idents that have sockets; packets for others need not be delivered."""

        def want_types(self, replies: Mapping[int, Collection[int]]) -> None:
            """The types of replies, by family, that sockets may get."""

        def filenos(self) -> list[int]:
            """The descriptors to wait for."""

        def receive(self, fileno: int) -> int | None:
            """Take what is ready at a descriptor and deliver it."""

        def next_event(self) -> float | None:
            """Monotonic seconds at which `run` wants to be called.

            If that comes nearer by itself, not in a call of the server's, one of the descriptors must say so.
            """

        def run(self, now: float) -> None:
            """Do what is due."""

        def close(self) -> None:
            """Give everything up."""


MOST_SIGNALS = 64
"""Bytes in a readiness channel: one, and one more for each exception that came between two steps of the server."""


def random_below(limit: int) -> int:
    """A number from 0 to `limit` - 1 nobody can foretell."""
    return int.from_bytes(os.urandom(8), "big") % limit


def own_credentials() -> Credentials:
    """Of this process. A process that may open raw sockets is taken as capable."""
    return Credentials(os.geteuid(), os.getegid(), tuple(os.getgroups()), capable=True)


class EmbeddedServer:
    """Serves ping sockets to its own process over one link."""

    def __init__(self, link: Link, policy: Policy | None = None, lock: threading.RLock | None = None) -> None:
        """Takes the link over and closes it in the end.

        A link that delivers from other threads (a `HostLink` on a memory cable) takes `lock` itself; give it here too.
        ValueError if the policy names an unknown message pair; the link is closed then too.
        """
        self.lock = lock or threading.RLock()
        self.failure: Exception | None = None
        """Why the server stopped by itself."""
        self._link = link
        self._filenos: list[int] = []
        self._arrivals = select.poll()
        self._waits_until: float | None = None
        self._stopping = False
        self._process = os.getpid()
        self._connections: set[EmbeddedConnection] = set()
        self._abandoned: deque[EmbeddedConnection] = deque()
        self._thread = threading.Thread(target=self._run, name="pingsock-embedded", daemon=True)
        try:
            self.stack = Stack(link, random_below, policy)
            self._attach()
            self._wake_reader, self._wake_writer = socket.socketpair()
        except BaseException:
            link.close()
            raise
        self._wake_writer.setblocking(False)
        try:
            self._thread.start()
        except BaseException:
            self._close_descriptors()
            raise

    def _attach(self) -> None:
        link = self._link
        link.attach(self.stack)
        self.stack.on_idents_changed = link.update_idents
        link.update_idents(self.stack.idents.idents())
        link.want_types(self.stack.pairs.replies)
        self._filenos = link.filenos()
        for fileno in self._filenos:
            self._arrivals.register(fileno, select.POLLIN)

    def connect(self, credentials: Credentials | None = None) -> EmbeddedConnection:
        """A connection for one socket, on behalf of `credentials` (this process unless given)."""
        return EmbeddedConnection(self, credentials or own_credentials())

    def add(self, connection: EmbeddedConnection) -> None:
        """Remember a connection until it is closed."""
        self._connections.add(connection)

    def remove(self, connection: EmbeddedConnection) -> None:
        """Forget a connection that is closed."""
        self._connections.discard(connection)

    @property
    def is_inherited(self) -> bool:
        """Whether this is a copy that a fork made: another process has the thread, and shares the descriptors."""
        return os.getpid() != self._process

    def apply_policy(self, policy: Policy) -> None:
        """Let another policy rule from now on. ValueError if it names an unknown message pair."""
        with self.lock:
            self.stack.apply_policy(policy)
            self._link.want_types(self.stack.pairs.replies)

    def proc_net_icmp(self) -> str:
        """The text /proc/net/icmp would have."""
        with self.lock:
            return proc_net_icmp(self.stack.idents)

    def proc_net_icmp6(self) -> str:
        """The text /proc/net/icmp6 would have."""
        with self.lock:
            return proc_net_icmp6(self.stack.idents)

    def close(self) -> None:
        """Stop the thread, end all connections, whose blocked calls then fail, and close the link. Idempotent."""
        if self._stopping:
            return
        self._stopping = True
        if self.is_inherited:
            # No lock: it may have been held when the process forked.
            self._close_descriptors()
            return
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._give_up()

    def _give_up(self) -> None:
        self._stopping = True
        # The link need not follow what is about to end, and one that has failed could not.
        self.stack.on_idents_changed = None
        for connection in tuple(self._connections):
            connection.end()
        with self.lock:
            self._close_descriptors()
        self._close_abandoned()

    def _close_descriptors(self) -> None:
        self._filenos = []
        self._wake_reader.close()
        self._wake_writer.close()
        self._link.close()

    def abandon(self, connection: EmbeddedConnection) -> None:
        """Close a connection soon, in the thread: a finalizer may run anywhere, and must not take a lock."""
        if self._stopping:
            connection.readiness.close()
        else:
            self._abandoned.append(connection)
            self._wake()

    def _close_abandoned(self) -> None:
        while self._abandoned:
            self._abandoned.popleft().close()

    def take_arrivals(self) -> None:
        """Deliver what has arrived but the thread has not come to yet; the caller holds the lock.

        In a kernel a call sees everything that arrived before it. Here the thread may be waiting for Python's
        interpreter lock, for as long as 5 ms, while its packets wait in the raw sockets.

        OSError EIO if the server has failed, or does now.
        """
        if self._filenos and self.failure is None:
            try:
                for fileno, _events in self._arrivals.poll(0):
                    self._link.receive(fileno)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is not the caller's
                self.failure = error
                self._wake()
        if self.failure is not None:
            raise _stopped(self.failure) from self.failure

    def heed_timers(self) -> None:
        """Let the thread wake earlier if the link's timer has come nearer; the caller holds the lock."""
        event = self._link.next_event()
        if event is not None and (self._waits_until is None or event < self._waits_until):
            self._waits_until = event
            self._wake()

    def _wake(self) -> None:
        try:
            self._wake_writer.send(b"\0")
        except OSError:
            pass  # full: the thread will wake anyway; closed: it has ended

    def _run(self) -> None:
        try:
            self._serve()
        except Exception as error:  # noqa: BLE001 - every call on a socket says what it was
            self.failure = error
        if self.failure is not None:
            self._give_up()

    def _serve(self) -> None:
        poller = select.poll()
        poller.register(self._wake_reader, select.POLLIN)
        for fileno in self._filenos:
            poller.register(fileno, select.POLLIN)
        ready: list[int] = []
        while True:
            milliseconds = self._work(ready)
            self._close_abandoned()
            # Asked after the wake-up was taken, for another comes with each change.
            if self._stopping or self.failure is not None:
                return
            ready = [fileno for fileno, _events in poller.poll(milliseconds)]

    def _work(self, ready: list[int]) -> float | None:
        """Do what there is to do, under the lock taken once; milliseconds until there is more by itself."""
        with self.lock:
            for fileno in ready:
                if fileno in self._filenos:
                    self._link.receive(fileno)
                else:
                    self._wake_reader.recv(64)
            self._link.run(time.monotonic())
            event = self._waits_until = self._link.next_event()
        return None if event is None else max(0.0, (event - time.monotonic()) * 1000)


def _stopped(failure: Exception) -> OSError:
    cause = f"{type(failure).__name__}: {failure}"
    return OSError(EIO, f"the server of this ping socket has stopped ({cause}); close the socket and open another")


class EmbeddedConnection:
    """A client's connection to the server in its own process: the same requests as across processes."""

    kind = "embedded"

    def __init__(self, server: EmbeddedServer, credentials: Credentials) -> None:
        self._server = server
        self.readiness, self._signals = socket.socketpair()
        self.readiness.setblocking(False)
        self._session = Session(server.stack, credentials, time.time_ns, self._signal, self._drain)
        server.add(self)

    def _signal(self) -> None:
        self._signals.send(b"\0")

    def _drain(self) -> None:
        try:
            self.readiness.recv(MOST_SIGNALS)
        except BlockingIOError:
            pass  # an exception came before the byte did

    def exchange(self, request: Request) -> Answer:
        """One request, one answer.

        EBADF in a process that forked after the socket was opened; EIO once the server has failed.
        """
        if self._server.is_inherited:
            raise failure(EBADF)
        with self._server.lock:
            self._server.take_arrivals()
            answer = self._session.handle(request)
            self._server.heed_timers()
            return answer

    def close(self) -> None:
        """End the socket. Idempotent."""
        self.end()
        self.readiness.close()

    def end(self) -> None:
        """End the socket as the server does: the client's descriptor hangs up, so that whoever waits for it wakes."""
        if not self._server.is_inherited:
            with self._server.lock:
                self._session.close()
            self._server.remove(self)
        self._signals.close()

    def abandon(self) -> None:
        """As `close`, for a finalizer: at some later time, without waiting for anything."""
        if self._server.is_inherited:
            self.close()
        else:
            self._server.abandon(self)
