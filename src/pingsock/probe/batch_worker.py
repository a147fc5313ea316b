"""A process of a batch run: it gets targets by a socket, probes them, and tells what happens (`batch_messages`).

It works as one thread does: the prober takes targets when it has room for them. What it has to tell waits while nobody
reads it; meanwhile it listens, so that neither end ever waits for the other to read first.
"""

from __future__ import annotations

import socket
from collections import deque
from itertools import count
from select import POLLIN, POLLOUT, poll
from time import monotonic_ns

from pingsock.probe.batch import BatchProber
from pingsock.probe.batch_messages import (
    BEGIN,
    ENDED,
    FAILED,
    HAPPENED,
    HOLD,
    ITEM,
    WANTED,
    frame,
    take_messages,
)
from pingsock.probe.clock import MILLISECOND
from pingsock.sockets.errors import PingsockError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pingsock.probe.batch_targets import TargetBlock
    from pingsock.probe.course import Course
    from pingsock.probe.remote_courses import RemoteHappening
    from pingsock.probe.target import Target

_PATIENCE = 20 * MILLISECOND
"""After which it is looked whether the run is held, or over."""
_READ_AT_ONCE = 1 << 18


class _RunIsOverError(Exception):
    """Nobody wants to know any more."""


class Worker:
    """One process at work."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._poll = poll()
        self._received = bytearray()
        self._items: deque[TargetBlock | Target] = deque()
        self._no_more = False
        self._held = False
        self._beginning: list[Any] | None = None
        """Plan, and settings of the prober."""
        self._prober: BatchProber | None = None
        self._numbers = count(1)

    def run(self) -> None:
        """Until all is told, or nobody wants to know any more."""
        try:
            while self._beginning is None:
                self._wait(POLLIN)
                self._listen()
            plan, settings = self._beginning
            with BatchProber(self._stream(), plan, **settings) as self._prober:
                self._work(self._prober)
            self._send(ENDED)
        except _RunIsOverError:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised in the process that iterates
            self._send(FAILED, _portable(error))

    def _work(self, prober: BatchProber) -> None:
        prober.hold(self._held)
        while prober.engine.busy:
            self._listen()
            happenings = prober.step(_PATIENCE)
            if happenings:
                self._send(HAPPENED, (monotonic_ns(), [self._remote(*happening) for happening in happenings]))

    def _remote(self, course: Course | None, what: Any) -> RemoteHappening:
        if course is None:
            return 0, False, what
        if course.owner is None:
            course.owner = next(self._numbers)
        assert isinstance(course.owner, int)
        return course.owner, course.ended, what

    def _stream(self) -> Iterator[TargetBlock | Target]:
        while True:
            while not self._items:
                if self._no_more:
                    return
                self._wait(POLLIN)
                self._listen()
            item = self._items.popleft()
            self._send(WANTED)
            yield item

    # Talking

    def _listen(self) -> None:
        """Do what the run has asked for by now."""
        if self._read():
            for message in take_messages(self._received):
                self._obey(*message)

    def _obey(self, kind: int, content: Any) -> None:
        if kind == BEGIN:
            *self._beginning, self._held = content
        elif kind == ITEM:
            self._items.append(content)
        elif kind == HOLD:
            self._held = content
            if self._prober is not None:
                self._prober.hold(content)
        else:
            self._no_more = True

    def _send(self, kind: int, content: object = None) -> None:
        message = memoryview(frame(kind, content))
        while message:
            try:
                message = message[self._sock.send(message) :]
            except BlockingIOError:
                self._wait(POLLIN | POLLOUT)
                self._listen()
            except ConnectionError:
                raise _RunIsOverError from None

    def _wait(self, events: int) -> None:
        self._poll.register(self._sock, events)
        self._poll.poll()

    def _read(self) -> bool:
        """Read what is there; whether there was anything."""
        try:
            chunk = self._sock.recv(_READ_AT_ONCE)
        except BlockingIOError:
            return False
        except ConnectionError:
            chunk = b""
        if not chunk:
            raise _RunIsOverError
        self._received += chunk
        return True


def _portable(error: BaseException) -> BaseException:
    """The exception, with a note of where it was raised if that is no news for users only."""
    if not isinstance(error, PingsockError):
        from traceback import format_exc

        error.add_note(f"In a process of a batch run:\n{format_exc()}")
    return error


def main(descriptor: int) -> None:
    """Work for whoever has the other end of this socket."""
    with socket.socket(fileno=descriptor) as sock:
        try:
            Worker(sock).run()
        except _RunIsOverError:
            # While it was being told of a failure.
            pass
