"""The server's loop where the system fails it, or its own code does."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from pingsock.service import frames
from pingsock.service.configuration import parse_configuration
from pingsock.service.frames import Request, parse_answer_untrusted
from pingsock.service.server import Server
from service.test_server_states import QuietLink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Listener(socket.socket):
    """Accepts, but for `failures` times."""

    failures = 0
    attempts = 0

    def accept(self) -> Any:
        self.attempts += 1
        if self.failures:
            self.failures -= 1
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
        return super().accept()


class Bench:
    """A server that is driven by hand."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lines: list[str] = []
        self.listener = Listener(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen()
        permissions = parse_configuration(f"access.users = [{os.getuid()}]")
        self.server = Server(self.listener, QuietLink(), permissions, self.lines.append)  # type: ignore[arg-type]

    def client(self) -> socket.socket:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel.connect(self.path)
        channel.settimeout(5)
        return channel

    def turns(self) -> None:
        for _ in range(4):
            self.server.turn(0)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(os.fspath(tmp_path / "s"))
    yield bench
    bench.server.close()


def test_a_failing_accept_pauses_and_does_not_spin(bench: Bench) -> None:
    bench.listener.failures = 1
    with bench.client() as channel:
        for _ in range(50):
            bench.server.turn(0)
            if bench.lines:
                break
        attempts = bench.listener.attempts
        bench.server.turn(0)
        assert bench.listener.attempts == attempts == 1
        assert bench.lines == ["cannot accept connections: Too many open files in system"]
        channel.send(Request(frames.POLL).to_bytes())
        while not bench.server._peers:
            bench.server.turn(None)
        bench.turns()
        assert parse_answer_untrusted(channel.recv(100)).errno == errno.EBADF


def test_what_goes_wrong_with_one_client_ends_its_connection_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench.client() as first, bench.client() as second:
        bench.turns()
        peer = next(iter(bench.server._peers.values()))
        monkeypatch.setattr(peer, "read", lambda: 1 // 0)
        for channel in (first, second):
            channel.send(Request(frames.POLL).to_bytes())
        bench.turns()
        assert len(bench.server._peers) == 1
        (line,) = bench.lines
        assert line.startswith(f"closed uid={os.getuid()} gid={os.getgid()} pid={os.getpid()}: ZeroDivisionError")
        assert parse_answer_untrusted(second.recv(100)).operation == frames.POLL
        with pytest.raises(ConnectionResetError):
            first.recv(100)


def test_nothing_is_sent_for_nobody(bench: Bench) -> None:
    with pytest.raises(PermissionError):
        bench.server._guard(None)  # type: ignore[arg-type]


def test_a_connection_that_takes_over_a_descriptor_gets_no_old_answer(bench: Bench) -> None:
    with bench.client() as channel:
        bench.turns()
        peer = next(iter(bench.server._peers.values()))
        bench.server._serve(peer, 4)  # EPOLLOUT
        bench.turns()
        channel.setblocking(False)
        with pytest.raises(BlockingIOError):
            channel.recv(100)
