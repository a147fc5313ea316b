"""The client's half of the service, against services that answer, lie, hang up or keep silent."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pingsock.run.sources import Sources
from pingsock.service import client, frames
from pingsock.service.client import borrow_kernel_socket, connect_service, service_paths
from pingsock.service.frames import Answer, Message, Request
from pingsock.sockets.choose import choose
from pingsock.sockets.diagnosis import diagnose, diagnose_refusals
from pingsock.sockets.errors import NoPingSocket
from pingsock.sockets.served import ServedPingSocket
from pingsock.wire.linux import AF_INET, AF_INET6
from service.scripted import Far, scripted_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from service.scripted import Script

POLL = Request(frames.POLL)


def errno_of(call: Callable[..., object], *arguments: object) -> int:
    """The errno a call fails with."""
    try:
        call(*arguments)
    except OSError as error:
        return error.errno or 0
    return 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "service.sock"


def opens(far: Far) -> socket.socket:
    """Answers OPEN; the server's end of the readiness channel."""
    theirs, ours = socket.socketpair()
    with theirs:
        far.answer(far.request(), descriptor=theirs.fileno(), result=1)
    return ours


def closes(far: Far) -> None:
    far.answer(far.request())
    assert far.channel.recv(1) == b""


def test_the_named_path_is_the_only_one() -> None:
    assert service_paths({"PINGSOCK_SOCKET": "/a", "XDG_RUNTIME_DIR": "/b"}) == ("/a",)


def test_a_private_service_comes_before_that_of_the_host() -> None:
    assert service_paths({"XDG_RUNTIME_DIR": "/b"}) == ("/b/pingsock/pingsock.sock", "/run/pingsock/pingsock.sock")
    assert service_paths({"XDG_RUNTIME_DIR": "b"}) == service_paths({}) == ("/run/pingsock/pingsock.sock",)


def test_no_service_is_enoent_and_one_left_behind_econnrefused(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no service of ping sockets listens at"):
        connect_service(str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
    with pytest.raises(ConnectionRefusedError, match="is gone"):
        connect_service(str(path))


def test_a_readable_channel_is_the_descriptor_of_the_socket(path: Path) -> None:
    def script(far: Far) -> None:
        with opens(far) as signals:
            signals.send(b"\0")
            closes(far)

    with scripted_service(path, script) as name, ServedPingSocket(AF_INET, connect_service(name)) as sock:
        assert sock.kind == "served"
        assert select.select([sock], [], [], 5)[0]
        assert not os.get_inheritable(sock.fileno())


def lost_at_once(_far: Far) -> None:
    pass


def lost_with_a_request_unread(far: Far) -> None:
    assert far.channel.recv(1, socket.MSG_PEEK)


def says_nonsense(far: Far) -> None:
    far.request()
    far.send(b"nonsense")


def says_nothing_in_a_receive(far: Far) -> None:
    far.answer(far.request())


LOSSES: dict[str, tuple[Script, Request, int]] = {
    "at once": (lost_at_once, POLL, errno.ECONNRESET),
    "unread": (lost_with_a_request_unread, POLL, errno.ECONNRESET),
    "nonsense": (says_nonsense, POLL, errno.ECONNRESET),
    "no message": (says_nothing_in_a_receive, Request(frames.RECEIVE), errno.ECONNRESET),
    "goodbye": (lambda far: far.send(Answer(frames.GOODBYE, errno.EMFILE).to_bytes()), POLL, errno.EMFILE),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losing_the_service_is_an_error_that_stays(path: Path, name: str) -> None:
    script, request, expected = LOSSES[name]
    with scripted_service(path, script) as at:
        connection = connect_service(at)
        for _ in range(2):
            assert errno_of(connection.exchange, request) == expected
        assert select.select([connection.readiness], [], [], 5)[0]
        connection.close()


def test_a_goodbye_is_found_behind_the_reset_that_hides_it(path: Path) -> None:
    def script(far: Far) -> None:
        far.channel.recv(1, socket.MSG_PEEK)
        far.send(Answer(frames.GOODBYE, errno.EMFILE).to_bytes())

    with scripted_service(path, script) as at:
        connection = connect_service(at)
        assert errno_of(connection.exchange, POLL) == errno.EMFILE
        connection.close()


def test_a_receive_that_waits_wakes_when_the_service_is_lost(path: Path) -> None:
    def script(far: Far) -> None:
        with opens(far):
            far.answer(far.request(), errno=errno.EAGAIN)

    with scripted_service(path, script) as at, ServedPingSocket(AF_INET, connect_service(at)) as sock:
        assert errno_of(sock.recv, 100) == errno.ECONNRESET


def test_a_service_that_does_not_answer_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PATIENCE", 1)

    def script(far: Far) -> None:
        far.request()
        assert far.channel.recv(1) == b""

    with scripted_service(path, script) as at:
        connection = connect_service(at)
        with pytest.raises(TimeoutError, match="has not answered"):
            connection.exchange(POLL)
        connection.close()


@contextlib.contextmanager
def silent_service(path: Path) -> Iterator[Callable[[], int]]:
    """Listens and never answers. Gives a function that counts who has connected."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, contextlib.ExitStack() as accepted:
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)
        channels: list[socket.socket] = []

        def count() -> int:
            with contextlib.suppress(BlockingIOError):
                while True:
                    channels.append(accepted.enter_context(listener.accept()[0]))
            return len(channels)

        yield count


@pytest.fixture
def impatient(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PATIENCE", 1)
    monkeypatch.setenv(client.PATH_VARIABLE, str(path))


@pytest.mark.usefixtures("impatient")
def test_a_silent_service_is_asked_once_for_all_kinds_and_families(path: Path) -> None:
    with silent_service(path) as connections:
        with pytest.raises(NoPingSocket) as refused:
            choose(AF_INET, kinds=client.KINDS)
        with pytest.raises(NoPingSocket) as refused6:
            choose(AF_INET6, kinds=client.KINDS, earlier=refused.value.refusals)
        diagnosis = diagnose_refusals(AF_INET6, refused6.value.refusals)
        assert connections() == 1

    assert [error.errno for _, error in refused6.value.refusals] == [errno.ETIMEDOUT] * 2
    assert "does not answer" in diagnosis.short()
    assert str(refused6.value).count("the service of this ping socket has not answered") == 2


@pytest.mark.usefixtures("impatient")
def test_a_silent_service_is_asked_once_in_a_whole_diagnosis(path: Path) -> None:
    with silent_service(path) as connections:
        kinds = [kind for kind in diagnose().kinds if kind.name in client.KINDS]
        assert connections() == 1
    assert [kind.errno for kind in kinds] == [errno.ETIMEDOUT] * 4


@pytest.mark.usefixtures("impatient")
def test_a_silent_service_is_asked_once_for_a_program(path: Path) -> None:
    with silent_service(path) as connections:
        with pytest.raises(NoPingSocket, match="has not answered"):
            Sources(str(path), client.KINDS).find(AF_INET)
        assert connections() == 1


def test_what_another_kind_may_get_is_asked_for() -> None:
    hands_nothing_over = [("borrowed", OSError(errno.EOPNOTSUPP, ""))]
    assert client.standing_refusal("served", hands_nothing_over) is None
    not_let_in = [("borrowed", OSError(errno.EACCES, "no"))]
    repeated = client.standing_refusal("served", not_let_in)
    assert repeated is not None
    assert (repeated.errno, repeated.strerror) == (errno.EACCES, "no")
    assert client.standing_refusal("embedded", not_let_in) is None
    assert client.standing_refusal("served", [("kernel", OSError(errno.EACCES, ""))]) is None


def test_an_answer_that_an_exception_came_before_is_not_taken_for_the_next(path: Path) -> None:
    def script(far: Far) -> None:
        first = far.request()
        far.answer(first, result=1)
        far.answer(far.request(), result=2)
        assert far.channel.recv(1) == b""

    with scripted_service(path, script) as at:
        connection = connect_service(at)
        connection._channel.send(POLL.replace(number=77).to_bytes())
        assert connection.exchange(POLL).result == 2
        connection.close()


def test_a_received_message_comes_as_a_value(path: Path) -> None:
    message = Message(b"reply", ((0, 2, b"1234"),), 0, None)

    def script(far: Far) -> None:
        far.answer(far.request(), result=1, body=message.to_bytes())
        assert far.channel.recv(1) == b""

    with scripted_service(path, script) as at:
        connection = connect_service(at)
        assert connection.exchange(Request(frames.RECEIVE)).messages == (message,)
        connection.close()


def test_a_child_of_a_fork_can_close_but_not_use_the_socket(path: Path) -> None:
    def script(far: Far) -> None:
        with opens(far):
            far.answer(far.request(), result=4)
            closes(far)

    with scripted_service(path, script) as at, ServedPingSocket(AF_INET, connect_service(at)) as sock:
        connection = sock._connection
        connection._process = -1  # type: ignore[attr-defined]
        with pytest.raises(OSError, match="Bad file descriptor"):
            sock.poll_events()
        connection._process = os.getpid()  # type: ignore[attr-defined]
        assert sock.poll_events() == 4


def test_a_lent_socket_keeps_its_lease_until_it_is_closed(path: Path) -> None:
    def script(far: Far) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lent:
            far.answer(far.request(), descriptor=lent.fileno())
        assert far.channel.recv(1) == b""

    with scripted_service(path, script) as at:
        sock = borrow_kernel_socket(AF_INET, at)
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_DGRAM)
        assert sock.lease.fileno() >= 0
        assert not os.get_inheritable(sock.fileno())
        sock.close()
        assert sock.lease.fileno() == sock.fileno() == -1


def test_a_service_that_lends_nothing_says_why(path: Path) -> None:
    with scripted_service(path, lambda far: far.answer(far.request(), errno=errno.EOPNOTSUPP)) as at:
        assert errno_of(borrow_kernel_socket, AF_INET, at) == errno.EOPNOTSUPP


def test_a_descriptor_nobody_asked_for_is_not_kept(path: Path) -> None:
    def script(far: Far) -> None:
        request = far.request()
        for number in (0, request.number):
            far.answer(request, descriptor=far.channel.fileno(), number=number)

    before = len(os.listdir("/proc/self/fd"))
    with scripted_service(path, script) as at:
        connection = connect_service(at)
        connection.exchange(POLL)
        connection.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_signal_handler_cannot_break_into_a_call_on_the_same_socket(path: Path) -> None:
    def script(far: Far) -> None:
        first = far.request()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        assert told.wait(5)
        far.answer(first, result=3)
        assert far.channel.recv(1) == b""

    said: list[int] = []
    told = threading.Event()

    def handle(_number: int, _frame: object) -> None:
        said.append(errno_of(connection.exchange, POLL))
        told.set()

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with scripted_service(path, script) as at:
            connection = connect_service(at)
            assert connection.exchange(POLL).result == 3
            connection.close()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert said == [errno.EDEADLK]
