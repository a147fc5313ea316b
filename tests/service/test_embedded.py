"""Sockets served in the own process: closed under a waiting thread, forgotten, forked with, interrupted."""

from __future__ import annotations

import os
import select
import threading
from errno import EBADF
from typing import TYPE_CHECKING

import pytest

from pingsock.link.host import HostLink
from pingsock.service import frames
from pingsock.service.embedded import EmbeddedServer
from pingsock.service.frames import Request
from pingsock.sockets.served import ServedPingSocket
from pingsock.wire import linux
from pingsock.wire.linux import AF_INET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ECHO = bytes((8, 0, 0, 0, 0, 0, 0, 1))
ANY = ("0.0.0.0", 0)
HERE = ("127.0.0.1", 0)
PATIENCE = 5.0


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    embedded = EmbeddedServer(HostLink())
    yield embedded
    embedded.close()


def opened(server: EmbeddedServer) -> ServedPingSocket:
    sock = ServedPingSocket(AF_INET, server.connect())
    sock.bind(ANY)
    return sock


class Waiting:
    """A thread in a blocked recv."""

    def __init__(self, sock: ServedPingSocket) -> None:
        self.error: BaseException | None = None
        self._sock = sock
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        try:
            self._sock.recv(100)
        except OSError as error:
            self.error = error

    def errno(self) -> int | None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "recv still waits"
        return self.error.errno if isinstance(self.error, OSError) else None


def test_closing_a_socket_ends_a_recv_in_another_thread(server: EmbeddedServer) -> None:
    sock = opened(server)
    waiting = Waiting(sock)
    sock.close()
    assert waiting.errno() == EBADF


def test_closing_the_server_ends_a_recv() -> None:
    server = EmbeddedServer(HostLink())
    sock = opened(server)
    waiting = Waiting(sock)
    server.close()
    assert waiting.errno() == EBADF
    sock.close()


def test_an_interrupt_after_the_answer_leaves_no_byte_that_a_poll_would_see(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sock = opened(server)
    sock.sendto(ECHO, HERE)
    exchange = sock._connection.exchange

    def interrupted(request: Request) -> frames.Answer:
        exchange(request)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sock._connection, "exchange", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sock.recv(100)
    assert select.select([sock], [], [], 0)[0] == []
    sock.close()


def test_a_forgotten_socket_warns_and_gives_its_ident_back(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = threading.Event()
    monkeypatch.setattr(server, "remove", lambda _connection: removed.set())
    sock = opened(server)
    number = sock.getsockname()[1]
    held = [sock]
    del sock
    with pytest.warns(ResourceWarning, match="unclosed <ServedPingSocket"):
        held.clear()
    assert removed.wait(PATIENCE)
    assert number not in server.stack.idents.idents()


def exit_status_of_child(action: Callable[[], object]) -> int:
    """The errno with which an action fails in a child, 0 if it does not."""
    child = os.fork()
    if not child:
        status = 0
        try:
            action()
        except OSError as error:
            status = error.errno or 255
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_that_closes_its_copy_leaves_the_parents_socket_alone(server: EmbeddedServer) -> None:
    sock = opened(server)
    assert exit_status_of_child(sock.close) == 0
    sock.sendto(ECHO, HERE)
    sock.settimeout(PATIENCE)
    assert len(sock.recv(100)) == len(ECHO)
    sock.close()


def test_a_child_cannot_use_its_copy_even_if_the_lock_was_held(server: EmbeddedServer) -> None:
    sock = opened(server)
    with server.lock:
        assert exit_status_of_child(sock.getsockname) == EBADF
        assert exit_status_of_child(server.close) == 0
    sock.close()


@pytest.mark.parametrize("flag", [linux.SOF_TIMESTAMPING_TX_SCHED, linux.SOF_TIMESTAMPING_TX_HARDWARE])
def test_stamps_that_have_come_or_never_will_are_not_awaited(server: EmbeddedServer, flag: int) -> None:
    sock = opened(server)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING, flag | linux.SOF_TIMESTAMPING_SOFTWARE)
    sock.sendto(ECHO, HERE)
    assert not server.stack._awaited
    sock.close()
