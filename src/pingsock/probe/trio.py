"""The trio driver: one system task for each prober, which waits for all its sockets at once.

Some facts about trio and epoll
-------------------------------

* A task waits for one descriptor at a time.
* An epoll descriptor is itself readable when one of the descriptors in it is, errors included (epoll(7)).

What this means here
--------------------

The sockets are in an epoll of their own, and the task waits for that. Whoever has something new to do cancels the wait.
"""

from __future__ import annotations

from select import EPOLLIN, epoll

import trio

from pingsock.probe.clock import NEVER, SECOND
from pingsock.probe.prober import Prober

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Any, TypeVar

    from pingsock.probe.aio import Deliver, Driver, Event, Fail
    from pingsock.probe.channel import Channel
    from pingsock.probe.engine import Lane
    from pingsock.sockets.choose import PingSocket

    T = TypeVar("T")


class TrioProber(Prober):
    """A prober that works in a task of its own, from the first `poke` until it is closed or the run ends."""

    def __init__(self, deliver: Deliver, fail: Fail, **settings: Any) -> None:
        """As `AsyncioProber`; RuntimeError outside a trio run."""
        super().__init__(on_open=self._watch, **settings)
        self._deliver = deliver
        self._fail = fail
        self._lanes: dict[int, Lane] = {}
        self._wait = trio.CancelScope()
        self._poked = False
        self._paused = False
        self._closed = False
        self._epoll = epoll()
        try:
            trio.lowlevel.spawn_system_task(self._run, name="pingsock prober")
        except BaseException:
            self._epoll.close()
            raise

    # In its task

    def _watch(self, lane: Lane, channel: Channel) -> None:
        descriptor = channel.sock.fileno()
        self._lanes[descriptor] = lane
        self._epoll.register(descriptor, EPOLLIN)

    async def _run(self) -> None:
        try:
            wake = NEVER
            while not self._closed:
                await self._sleep(wake)
                wake = NEVER if self._closed or self._paused else self._work()
        finally:
            self.close()

    async def _sleep(self, wake: int) -> None:
        """Until `wake`, until something arrived or somebody pokes."""
        seconds = (wake - self._clock()) / SECOND if wake < NEVER else float("inf")
        with trio.CancelScope(deadline=trio.current_time() + seconds) as self._wait:
            if self._poked or self._closed:
                await trio.lowlevel.checkpoint()
            elif self._paused:
                await trio.sleep_forever()
            else:
                await self._something_arrived()
        self._poked = False

    async def _something_arrived(self) -> None:
        try:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
        except trio.ClosedResourceError:
            # Closed meanwhile; `_run` sees that.
            pass

    def _work(self) -> int:
        failure: Exception | None = None
        wake = NEVER
        try:
            wake = self.turn([self._lanes[descriptor] for descriptor, _ in self._epoll.poll(0)])
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for this work and must be told
            failure = error
        self._deliver(self.engine.take())
        if failure is not None:
            self.close()
            self._fail(failure)
        return wake

    # For whoever uses it

    @property
    def sockets(self) -> tuple[PingSocket, ...]:
        """Those that are open."""
        return tuple(channel.sock for channel in self.channels.values())

    def poke(self) -> None:
        """There is something new to do."""
        if not self._paused:
            self._poked = True
            self._wait.cancel()

    def pause(self) -> None:
        """Do nothing until `resume`; what arrives waits in the sockets."""
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        if self._paused:
            self._paused = False
            self.poke()

    def close(self) -> None:
        """Close all sockets and end the task. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._wait.cancel()
        super().close()
        try:
            trio.lowlevel.notify_closing(self._epoll.fileno())
        except RuntimeError:
            # Outside the run, whose end has taken the task with it.
            pass
        self._epoll.close()


class TrioRuntime:
    """What the calls of this library need of trio; see `pingsock.probe.aio.Runtime`."""

    def driver(self, deliver: Deliver, fail: Fail, **settings: Any) -> Driver:
        """A prober for the present run."""
        return TrioProber(deliver, fail, **settings)

    def event(self) -> Event:
        """An event of the present run."""
        return trio.Event()

    def loop(self) -> Hashable:
        """The present run."""
        return trio.lowlevel.current_trio_token()

    def thread_safe(self, function: Callable[[], None]) -> Callable[[], None]:
        """What lets the present run call `function` soon, from any thread."""
        token = trio.lowlevel.current_trio_token()

        def call() -> None:
            try:
                token.run_sync_soon(function)
            except trio.RunFinishedError:
                pass

        return call

    async def in_thread(self, function: Callable[[], T]) -> T:
        """The result of a function that blocks."""
        return await trio.to_thread.run_sync(function, abandon_on_cancel=True)
