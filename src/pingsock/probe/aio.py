"""The asyncio driver: callbacks of the event loop, and no task.

Some facts about asyncio and ping sockets
-----------------------------------------

* A selector reports a socket with something in its error queue as readable (EPOLLERR), and again at once, until the
  queue has been read. A reader that only receives is called thousands of times a second.
* A handle that was cancelled stays in the loop's heap until its time has come, or until half of the heap is such.

What this means here
--------------------

Each socket has one reader, which takes a turn of work; that reads the error queue first. There is one timer for all
probes. It is left as it is if it comes too early, since a turn with nothing to do costs less than a new timer for each
probe: a turn that comes too early sets it right.
"""

from __future__ import annotations

import asyncio

from pingsock.probe.clock import NEVER, SECOND
from pingsock.probe.prober import Prober

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from typing import Any, Protocol, TypeVar

    from pingsock.probe.channel import Channel
    from pingsock.probe.course import Course
    from pingsock.probe.engine import Engine, Happening, Lane
    from pingsock.probe.schedule import Plan
    from pingsock.probe.target import Target
    from pingsock.sockets.choose import PingSocket

    T = TypeVar("T")
    Deliver = Callable[[Iterable[Happening]], None]
    Fail = Callable[[Exception], None]

    class Driver(Protocol):
        """A prober that works in the background of an event loop, until it is closed."""

        engine: Engine

        def course(self, target: Target, plan: Plan, owner: object = None) -> Course:
            """As `Prober.course`."""

        @property
        def sockets(self) -> tuple[PingSocket, ...]:
            """Those that are open."""

        def poke(self) -> None:
            """There is something new to do."""

        def pause(self) -> None:
            """Do nothing until `resume`; what arrives waits in the sockets."""

        def resume(self) -> None:
            """Go on."""

        def close(self) -> None:
            """Close all sockets and leave nothing behind in the event loop. Idempotent."""

    class Event(Protocol):
        """Something a task can wait for, once."""

        def set(self) -> None:
            """Let go on who waits."""

        async def wait(self) -> Any:
            """Wait until it is set."""

    class Runtime(Protocol):
        """What the calls of this library need of an event loop."""

        def driver(self, deliver: Deliver, fail: Fail, **settings: Any) -> Driver:
            """A prober for the running loop, see `AsyncioProber`."""

        def event(self) -> Event:
            """An event of the running loop."""

        def loop(self) -> Hashable:
            """The running loop."""

        def thread_safe(self, function: Callable[[], None]) -> Callable[[], None]:
            """What lets the running loop call `function` soon, from any thread. It does nothing once the loop ended."""

        async def in_thread(self, function: Callable[[], T]) -> T:
            """The result of a function that blocks. Cancelled, nobody waits for it any longer."""


class AsyncioProber(Prober):
    """A prober that works in callbacks of the running event loop, from the first `poke` until it is closed."""

    def __init__(self, deliver: Deliver, fail: Fail, **settings: Any) -> None:
        """`settings` are those of `Prober`.

        `deliver` is called after each turn with what has happened; `fail`, once, with the exception that ended the
        work, after which all is closed. Neither may raise.

        :raises RuntimeError: no event loop is running.
        """
        self._loop = asyncio.get_running_loop()
        super().__init__(on_open=self._watch, **settings)
        self._deliver = deliver
        self._fail = fail
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._paused = False
        self._closed = False

    # In the event loop

    def _watch(self, lane: Lane, channel: Channel) -> None:
        self._loop.add_reader(channel.sock.fileno(), self._work, (lane,))

    def _ring(self) -> None:
        self._timer, self._timer_at = None, NEVER
        self._work(())

    def _work(self, readable: tuple[Lane, ...]) -> None:
        failure: Exception | None = None
        try:
            # Before anything is delivered, since that may bring an earlier turn, or end it all.
            self._wake_at(self.turn(readable))
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for this work and must be told
            failure = error
        self._deliver(self.engine.take())
        if failure is not None:
            self.close()
            self._fail(failure)

    def _wake_at(self, wake: int) -> None:
        if wake >= NEVER:
            self._cancel_timer()
        elif wake < self._timer_at:
            self._cancel_timer()
            self._timer_at = wake
            self._timer = self._loop.call_later(max(wake - self._clock(), 0) / SECOND, self._ring)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, NEVER

    # For whoever uses it

    @property
    def sockets(self) -> tuple[PingSocket, ...]:
        """Those that are open."""
        return tuple(channel.sock for channel in self.channels.values())

    def poke(self) -> None:
        """There is something new to do."""
        if not (self._closed or self._paused):
            self._wake_at(0)

    def pause(self) -> None:
        """Do nothing until `resume`; what arrives waits in the sockets."""
        self._paused = True
        self._cancel_timer()
        self._remove_readers()

    def resume(self) -> None:
        """Go on."""
        if self._closed or not self._paused:
            return
        self._paused = False
        for lane, channel in self.channels.items():
            self._watch(lane, channel)
        self.poke()

    def close(self) -> None:
        """Close all sockets and leave nothing behind in the event loop. Idempotent."""
        self._closed = True
        self._cancel_timer()
        self._remove_readers()
        super().close()

    def _remove_readers(self) -> None:
        for channel in self.channels.values():
            self._loop.remove_reader(channel.sock.fileno())


class AsyncioRuntime:
    """What the calls of this library need of asyncio; see `Runtime`."""

    def driver(self, deliver: Deliver, fail: Fail, **settings: Any) -> Driver:
        """A prober for the running loop."""
        return AsyncioProber(deliver, fail, **settings)

    def event(self) -> Event:
        """An event of the running loop."""
        return asyncio.Event()

    def loop(self) -> Hashable:
        """The running loop."""
        return asyncio.get_running_loop()

    def thread_safe(self, function: Callable[[], None]) -> Callable[[], None]:
        """What lets the running loop call `function` soon, from any thread."""
        loop = asyncio.get_running_loop()

        def call() -> None:
            try:
                loop.call_soon_threadsafe(function)
            except RuntimeError:
                # The loop is closed.
                pass

        return call

    async def in_thread(self, function: Callable[[], T]) -> T:
        """The result of a function that blocks."""
        return await asyncio.to_thread(function)
