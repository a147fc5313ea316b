"""The server's loop where the system fails it, or its own code does."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import socket
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock, call

import pytest

from pingsock.service import frames
from pingsock.service.admission import EXTRA_FOR_ADMINISTRATORS
from pingsock.service.configuration import parse_configuration
from pingsock.service.frames import Request, parse_answer_untrusted
from pingsock.service.server import ANSWERED_IN_A_TURN, REPLIES_IN_ONE_GO, Server
from pingsock.stack.endpoint import charge_for
from pingsock.wire import linux
from service.test_server_states import ECHO, QuietLink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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

    def __init__(self, path: str, link: QuietLink | None = None) -> None:
        self.path = path
        self.lines: list[str] = []
        self.listener = Listener(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen()
        permissions = parse_configuration(f"access.users = [{os.getuid()}]")
        self.server = Server(self.listener, link or QuietLink(), permissions, self.lines.append)  # type: ignore[arg-type]
        self.server.longest_turn = math.inf

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
        bench.server._serve(peer)
        bench.turns()
        channel.setblocking(False)
        with pytest.raises(BlockingIOError):
            channel.recv(100)


def test_a_turn_is_short_however_many_have_something_to_ask(bench: Bench) -> None:
    with contextlib.ExitStack() as stack:
        channels = [stack.enter_context(bench.client()) for _ in range(5)]
        bench.turns()
        for channel in channels:
            channel.send(Request(frames.POLL).to_bytes())
            channel.setblocking(False)
        bench.server.longest_turn = 0.0
        answers = []
        for _ in channels:
            bench.server.turn(0)
            answers.append([has_answer(channel) for channel in channels].count(True))
        assert answers == [1, 1, 1, 1, 1]


def has_answer(channel: socket.socket) -> bool:
    try:
        return bool(channel.recv(100))
    except BlockingIOError:
        return False


def another_is_heard(bench: Bench) -> bool:
    """Whether one more client is let in and answered, be it that they have no socket yet."""
    with bench.client() as another:
        bench.turns()
        another.send(Request(frames.POLL).to_bytes())
        bench.turns()
        return parse_answer_untrusted(another.recv(100)).errno == errno.EBADF


def test_a_closed_connection_makes_room_before_its_turn_comes(bench: Bench) -> None:
    bench.server.reload(parse_configuration(f"access.users = [{os.getuid()}]\n[quota]\nsockets = 1"))
    extra = (os.getuid() in (0, os.geteuid())) * EXTRA_FOR_ADMINISTRATORS
    with contextlib.ExitStack() as stack:
        channels = [stack.enter_context(bench.client()) for _ in range(1 + extra)]
        bench.turns()
        for channel in channels:
            channel.close()
        assert another_is_heard(bench)
        assert bench.lines == []


def test_where_all_connections_are_taken_a_closed_one_makes_room_too(bench: Bench) -> None:
    bench.server._admission.limit = 1
    with bench.client():
        bench.turns()
    assert another_is_heard(bench)
    assert bench.lines == []


def test_somebody_who_asks_for_too_much_has_not_all_their_connections_looked_at(bench: Bench) -> None:
    bench.server._admission.limit = 2
    bench.server._hang_ups = hang_ups = Mock(wraps=bench.server._hang_ups)
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(bench.client())
        bench.turns()
    assert hang_ups.register.call_count == 2
    assert hang_ups.poll.call_args_list == [call(0, 1)] * 3


def test_a_connection_whose_listener_wanted_credentials_is_served(bench: Bench) -> None:
    # As systemd makes one with PassCredentials=; each message then looks as if something had been cut off it.
    for option in (linux.SO_PASSCRED, linux.SO_PASSSEC, linux.SO_PASSPIDFD):
        with contextlib.suppress(OSError):
            bench.listener.setsockopt(linux.SOL_SOCKET, option, 1)
    with bench.client() as channel:
        channel.send(Request(frames.POLL).to_bytes())
        bench.turns()
        assert parse_answer_untrusted(channel.recv(100)).errno == errno.EBADF


class RecordingLink(QuietLink):
    """Has something to receive whenever `arrives` was called."""

    def __init__(self, events: list[str]) -> None:
        super().__init__()
        self.events = events
        self.inside, self.outside = socket.socketpair()
        self.inside.setblocking(False)

    def filenos(self) -> list[int]:
        return [self.inside.fileno()]

    def receive(self, fileno: int) -> int:
        assert fileno == self.inside.fileno()
        self.events.append("arrival")
        return len(self.inside.recv(1))

    def arrives(self) -> None:
        self.outside.send(b"\0")

    def transmit(self, packet: Any) -> None:
        super().transmit(packet)
        self.events.append("sent")
        self.arrives()

    def close(self) -> None:
        self.inside.close()
        self.outside.close()


@pytest.fixture
def events() -> list[str]:
    return []


@pytest.fixture
def linked(tmp_path: Path, events: list[str]) -> Iterator[tuple[Bench, RecordingLink]]:
    link = RecordingLink(events)
    bench = Bench(os.fspath(tmp_path / "s"), link)
    yield bench, link
    bench.server.close()


def answer_by(bench: Bench, read: Callable[[], bool]) -> None:
    for peer in bench.server._peers.values():
        peer.read = read  # type: ignore[method-assign]


def test_what_has_arrived_is_taken_before_any_request(linked: tuple[Bench, RecordingLink], events: list[str]) -> None:
    bench, link = linked
    with bench.client() as channel:
        bench.turns()

        def read() -> bool:
            events.append("request")
            return False

        answer_by(bench, read)
        channel.send(Request(frames.POLL).to_bytes())
        link.arrives()
        bench.server.turn(0)
    assert events == ["arrival", "request"]


def test_many_requests_of_one_turn_do_not_keep_the_link_waiting(
    linked: tuple[Bench, RecordingLink], events: list[str]
) -> None:
    bench, link = linked
    with contextlib.ExitStack() as stack:
        channels = [stack.enter_context(bench.client()) for _ in range(ANSWERED_IN_A_TURN + 2)]
        while len(bench.server._peers) < len(channels):
            bench.server.turn(0)

        def read() -> bool:
            events.append("request")
            if len(events) == 1:
                link.arrives()
            return True

        answer_by(bench, read)
        for channel in channels:
            channel.send(Request(frames.POLL).to_bytes())
        bench.server.turn(0)
        bench.server.turn(0)
    assert events.index("arrival") == ANSWERED_IN_A_TURN
    assert events[ANSWERED_IN_A_TURN + 1 : len(channels) + 1] == ["request", "request"]


def test_replies_are_taken_before_they_fill_the_buffer(linked: tuple[Bench, RecordingLink], events: list[str]) -> None:
    bench, _link = linked
    with contextlib.ExitStack() as stack:
        channels = [stack.enter_context(bench.client()) for _ in range(20)]
        while len(bench.server._peers) < len(channels):
            bench.server.turn(0)
        for request in (Request(frames.OPEN, 2, 2, 1), Request(frames.SEND, messages=(ECHO,) * 10)):
            for channel in channels:
                channel.send(request.to_bytes())
            bench.server.turn(0)
    runs = [len(run) for run in "".join(event[0] for event in events).split("a")]
    assert sum(runs) == 200
    assert max(runs) < REPLIES_IN_ONE_GO / charge_for(len(ECHO.data)) + 10
