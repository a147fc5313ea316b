"""What becomes of an embedded server that cannot go on: it ends, and says why, and nobody waits for it for ever."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from errno import EIO, EMFILE
from typing import TYPE_CHECKING

import pytest

from pingsock.link.host import HostLink
from pingsock.link.raw import RawLink
from pingsock.service import shared
from pingsock.service.embedded import EmbeddedServer
from pingsock.sockets.served import ServedPingSocket
from pingsock.stack.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 5.0


class BreakableLink(HostLink):
    """A host with one descriptor to wait for; `break_down` makes reading it fail."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = socket.socketpair()
        self.closed = False
        self.event: float | None = None
        self.ran = threading.Event()

    def break_down(self) -> None:
        self.far.send(b"\0")

    def filenos(self) -> list[int]:
        return [self.near.fileno()]

    def receive(self, fileno: int) -> None:
        raise OSError(EMFILE, "the link broke")

    def next_event(self) -> float | None:
        return self.event

    def run(self, now: float) -> None:
        super().run(now)
        if self.event is not None and now >= self.event:
            self.event = None
            self.ran.set()

    def close(self) -> None:
        super().close()
        self.closed = True
        self.near.close()
        self.far.close()


@pytest.fixture
def link() -> BreakableLink:
    return BreakableLink()


@pytest.fixture
def server(link: BreakableLink) -> Iterator[EmbeddedServer]:
    serving = EmbeddedServer(link)
    yield serving
    serving.close()


def opened(server: EmbeddedServer) -> ServedPingSocket:
    sock = ServedPingSocket(socket.AF_INET, server.connect())
    sock.bind(("0.0.0.0", 0))
    return sock


def wait_until_ended(server: EmbeddedServer) -> None:
    server._thread.join(PATIENCE)
    assert not server._thread.is_alive()


def test_a_blocked_recv_ends_with_the_reason_when_the_link_breaks(server: EmbeddedServer, link: BreakableLink) -> None:
    with opened(server) as sock:
        sock.settimeout(PATIENCE)
        link.break_down()
        with pytest.raises(OSError, match=r"has stopped \(OSError: .*the link broke\)") as caught:
            sock.recv(100)
    assert caught.value.errno == EIO
    assert isinstance(caught.value.__cause__, OSError)


def test_every_socket_is_woken_and_fails_when_the_thread_meets_the_failure(
    server: EmbeddedServer, link: BreakableLink
) -> None:
    socks = [opened(server) for _ in range(3)]
    link.break_down()
    wait_until_ended(server)
    readable = select.select(socks, [], [], PATIENCE)[0]
    assert len(readable) == 3
    for sock in socks:
        with pytest.raises(OSError, match="the link broke"):
            sock.getsockname()
        sock.close()


def test_a_call_that_meets_the_failure_first_ends_the_server(server: EmbeddedServer, link: BreakableLink) -> None:
    sock = opened(server)
    with server.lock:  # so that the thread cannot be first
        link.break_down()
        with pytest.raises(OSError, match="the link broke"):
            sock.getsockname()
    wait_until_ended(server)
    assert link.closed
    sock.close()


def test_a_failed_server_has_given_everything_up_and_may_be_closed(server: EmbeddedServer, link: BreakableLink) -> None:
    link.break_down()
    wait_until_ended(server)
    assert link.closed
    server.close()
    server.close()


def test_sockets_of_a_server_that_failed_can_be_closed_and_forgotten(
    server: EmbeddedServer, link: BreakableLink
) -> None:
    closed, held = opened(server), [opened(server)]
    link.break_down()
    wait_until_ended(server)
    closed.close()
    with pytest.warns(ResourceWarning, match="unclosed <ServedPingSocket"):
        held.clear()


def test_an_interrupt_is_no_failure(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(server) as sock:
        with monkeypatch.context() as patch:
            patch.setattr(server, "_arrivals", InterruptedPoll())
            with pytest.raises(KeyboardInterrupt):
                sock.getsockname()
        assert sock.getsockname()[1]


class InterruptedPoll:
    def poll(self, _timeout: float) -> list[tuple[int, int]]:
        raise KeyboardInterrupt


def test_a_server_that_cannot_start_closes_its_link(link: BreakableLink) -> None:
    with pytest.raises(ValueError, match="no such pair"):
        EmbeddedServer(link, Policy(pairs=frozenset({"no such pair"})))
    assert link.closed


def test_a_server_without_a_thread_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot_start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(threading.Thread, "start", cannot_start)
    with pytest.raises(RuntimeError, match="new thread"):
        EmbeddedServer(BreakableLink())
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_next_socket_of_a_process_gets_a_new_server(monkeypatch: pytest.MonkeyPatch) -> None:
    links = [BreakableLink(), BreakableLink()]
    waiting = iter(links)
    monkeypatch.setattr(RawLink, "open", lambda: next(waiting))
    old = ServedPingSocket(socket.AF_INET, shared.connect_embedded())
    failed = shared._shared.server
    assert failed is not None
    links[0].break_down()
    wait_until_ended(failed)
    new = ServedPingSocket(socket.AF_INET, shared.connect_embedded())
    old.close()
    assert new.getsockname() == ("0.0.0.0", 0)
    new.close()
    assert [link.closed for link in links] == [True, True]


def test_a_first_socket_that_cannot_be_made_leaves_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    link = BreakableLink()

    def no_descriptor_left() -> None:
        raise OSError(EMFILE, os.strerror(EMFILE))

    monkeypatch.setattr(RawLink, "open", lambda: link)
    monkeypatch.setattr(shared, "own_credentials", no_descriptor_left)
    with pytest.raises(OSError, match="Too many open files"):
        shared.connect_embedded()
    assert link.closed


def test_the_thread_heeds_a_timer_that_a_call_moves_nearer(server: EmbeddedServer, link: BreakableLink) -> None:
    with opened(server) as sock:
        link.event = time.monotonic() + 3600
        sock.getsockname()
        link.event = time.monotonic()
        sock.getsockname()
        assert link.ran.wait(PATIENCE)
