"""An event loop and ping sockets of our own, in which an asyncio prober runs without a kernel and without time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from pingsock.probe.aio import AsyncioProber
from pingsock.probe.clock import NEVER
from tools.fake_socket import SECOND, Clock, FakeSocket


class FakeTimer:
    def __init__(self, when: int, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Socket(FakeSocket):
    """A fake ping socket that can be opened by a prober, and closed."""

    def __init__(self, clock: Clock, family: int, number: int) -> None:
        super().__init__(clock, family)
        self.number = number
        self.closed = False

    def fileno(self) -> int:
        return self.number

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        return b"" if size else super().getsockopt(level, option)

    def is_readable(self) -> bool:
        return self.next_arrival() <= self.clock.monotonic

    def close(self) -> None:
        self.closed = True


class FakeLoop:
    """As much of an event loop as the prober uses. Time jumps to whatever comes next."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.readers: dict[int, tuple[Callable[..., None], tuple[Any, ...]]] = {}
        self.timers: list[FakeTimer] = []
        self.sockets: list[Socket] = []
        self.refused = 0
        """The errno with which sockets cannot be opened, 0 if they can."""

    def open_socket(self, family: int, *, kinds: object) -> Socket:
        if self.refused:
            raise OSError(self.refused, "")
        self.sockets.append(Socket(self.clock, family, 100 + len(self.sockets)))
        return self.sockets[-1]

    # What the prober uses

    def add_reader(self, descriptor: int, callback: Callable[..., None], *arguments: Any) -> None:
        self.readers[descriptor] = callback, arguments

    def remove_reader(self, descriptor: int) -> bool:
        return self.readers.pop(descriptor, None) is not None

    def call_later(self, seconds: float, callback: Callable[[], None]) -> FakeTimer:
        self.timers.append(FakeTimer(self.clock.monotonic + round(seconds * SECOND), callback))
        return self.timers[-1]

    # What a test does

    def live_timers(self) -> list[FakeTimer]:
        self.timers = [timer for timer in self.timers if not timer.cancelled]
        return self.timers

    def run(self, nanoseconds: int) -> None:
        """Let so much time pass."""
        until = self.clock.monotonic + nanoseconds
        while self._step(until):
            pass

    def _step(self, until: int) -> bool:
        for sock in self.sockets:
            if sock.number in self.readers and sock.is_readable():
                callback, arguments = self.readers[sock.number]
                callback(*arguments)
                return True
        timer = min(self.live_timers(), key=lambda each: each.when, default=None)
        if timer is not None and timer.when <= self.clock.monotonic:
            self.timers.remove(timer)
            timer.callback()
            return True
        return self._pass_to(min(self._next_arrival(), timer.when if timer else NEVER), until)

    def _next_arrival(self) -> int:
        return min((sock.next_arrival() for sock in self.sockets if sock.number in self.readers), default=NEVER)

    def _pass_to(self, event: int, until: int) -> bool:
        self.clock.monotonic = min(event, until)
        return event <= until


class Told:
    """What a prober delivered, and how often it took a turn."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.failures: list[Exception] = []
        self.turns = 0

    def deliver(self, happened: Any) -> None:
        self.turns += 1
        self.records += [record for _, record in happened]


@contextmanager
def prober_in(loop: FakeLoop, told: Told, **settings: Any) -> Iterator[AsyncioProber]:
    """A prober in that loop, closed in the end."""
    with mock.patch("asyncio.get_running_loop", return_value=loop):
        prober = AsyncioProber(
            told.deliver,
            told.failures.append,
            open_socket=loop.open_socket,
            clock=loop.clock.now,
            clocks=lambda: (loop.clock.now(), loop.clock.calendar()),
            **settings,
        )
    try:
        yield prober
    finally:
        prober.close()


def answer(sock: Socket, after: int) -> None:
    """Let every probe of that socket be answered so much later."""
    sock.on_send = lambda sequence: sock.reply(sequence, after)
