"""Somebody with sockets of their own, perhaps another user in another process."""

from __future__ import annotations

import contextlib
import os
import traceback
from multiprocessing.connection import Connection, Pipe
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from bed.child import FailedInChild, become, fork
from bed.families import family_of
from pingsock.wire import linux

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bed.child import Credentials
    from bed.families import Family
    from bed.subject import Subject

Found = tuple[str, bytes]
""""reply" or "error", and the ICMP message: the one that arrived, or the one quoted."""


class Actor(Protocol):
    """Holds numbered sockets with Recverr on."""

    def open(self, ip: Family) -> tuple[int, int]:
        """A new bound socket: its number and its ident."""

    def send(self, number: int, message: bytes, address: tuple[Any, ...]) -> None:
        """Send; pending errors are taken first, and kept for `collect`."""

    def collect(self, number: int) -> list[Found]:
        """All that has come to a socket since the last call."""


class LocalActor:
    """An actor in the calling process."""

    def __init__(self, opened: Callable[[Family], Subject]) -> None:
        self._opened = opened
        self._sockets: list[Subject] = []
        self._found: list[list[Found]] = []

    def open(self, ip: Family) -> tuple[int, int]:
        sock = self._opened(ip)
        sock.setsockopt(ip.level, ip.recverr, 1)
        sock.bind(ip.name_of(ip.any))
        self._sockets.append(sock)
        self._found.append([])
        return len(self._sockets) - 1, sock.getsockname()[1]

    def send(self, number: int, message: bytes, address: tuple[Any, ...]) -> None:
        self._read(number)
        self._sockets[number].sendto(message, address)

    def collect(self, number: int) -> list[Found]:
        self._read(number)
        found, self._found[number] = self._found[number], []
        return found

    def _read(self, number: int) -> None:
        """The error queue first, so that no pending error is left."""
        sock = self._sockets[number]
        for kind, flags in (("error", linux.MSG_ERRQUEUE), ("reply", 0)):
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._found[number].append((kind, sock.recv(65536, flags | linux.MSG_DONTWAIT)))


class RemoteActor:
    """An actor in a child process, as another user."""

    def __init__(self, opened: Callable[[Family], Subject], who: Credentials) -> None:
        self._pipe, far = Pipe()
        self._pid = fork()
        if self._pid == 0:
            self._pipe.close()
            _act(far, opened, who)
        far.close()

    def open(self, ip: Family) -> tuple[int, int]:
        answer: tuple[int, int] = self._ask("open", ip.af)
        return answer

    def send(self, number: int, message: bytes, address: tuple[Any, ...]) -> None:
        self._ask("send", number, message, address)

    def collect(self, number: int) -> list[Found]:
        answer: list[Found] = self._ask("collect", number)
        return answer

    def close(self) -> None:
        self._pipe.close()
        os.waitpid(self._pid, 0)

    def _ask(self, *request: Any) -> Any:
        self._pipe.send(request)
        failure, answer = self._pipe.recv()
        if failure:
            raise FailedInChild(failure)
        return answer


def _act(pipe: Connection, opened: Callable[[Family], Subject], who: Credentials) -> NoReturn:
    become(who)
    actor = LocalActor(opened)
    with contextlib.suppress(EOFError):
        while True:
            pipe.send(_obey(actor, pipe.recv()))
    os._exit(0)


def _obey(actor: LocalActor, request: tuple[Any, ...]) -> tuple[str, Any]:
    method, *arguments = request
    if method == "open":
        arguments = [family_of(arguments[0])]
    try:
        return "", getattr(actor, method)(*arguments)
    except Exception:
        return traceback.format_exc(), None


@contextlib.contextmanager
def remote_actor(opened: Callable[[Family], Subject], who: Credentials) -> Iterator[Actor]:
    actor = RemoteActor(opened, who)
    try:
        yield actor
    finally:
        actor.close()
