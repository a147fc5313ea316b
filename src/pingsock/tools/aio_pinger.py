"""A Pinger for programs with an event loop; and the one that all one-shot pings of a loop share."""

from __future__ import annotations

import warnings
from contextlib import nullcontext

from pingsock.sockets.choose import KINDS
from pingsock.tools.arguments import check_backlog, check_kinds, check_plan, check_probes, check_rate
from pingsock.tools.desk import BACKLOG, Call, Desk, PingerClosed, Watched
from pingsock.tools.echo import COUNT, INTERVAL, TIMEOUT
from pingsock.tools.loops import Waiting, first_target, running, same_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence
    from types import TracebackType
    from typing import Any, Self, Unpack

    from pingsock.probe.aio import Runtime
    from pingsock.probe.engine import Happening
    from pingsock.probe.records import Record, Stray, Summary
    from pingsock.probe.result import PingResult
    from pingsock.probe.schedule import Plan
    from pingsock.probe.target import Target
    from pingsock.sockets.choose import PingSocket
    from pingsock.tools.arguments import ProbeArguments


class Pinger:
    """As `pingsock.Pinger`, in callbacks of the event loop: no thread, no task for each target.

    Use it in an `async with` block. Iterating yields the records of all targets as they come, with a Summary when a
    target has ended or was removed, and ends when the Pinger is closed.
    """

    def __init__(self, *, rate: float = 0.0, backlog: int = BACKLOG, kinds: Sequence[str] = KINDS) -> None:
        """`rate` is the probes a second over all targets at most, 0 is no limit.

        :raises InvalidArgument: an argument is not what it must be.
        """
        self._settings = {"rate": check_rate(rate), "kinds": check_kinds(kinds)}
        self._backlog = check_backlog(backlog)
        self._work: _Work | None = None
        self._closed = False

    def _started(self) -> _Work:
        """What does the work, in the running loop."""
        runtime = running()
        if self._work is None:
            if self._closed:
                raise PingerClosed
            self._work = _Work(runtime, self._settings, self._backlog)
        same_loop(self._work.loop, runtime)
        return self._work

    # Targets

    async def add(
        self,
        host: str | Target,
        *,
        interval: float = INTERVAL,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - of a probe, not of the call
        count: int = 0,
        **probes: Unpack[ProbeArguments],
    ) -> Watched:
        """As `pingsock.Pinger.add`; a name is looked up in a thread."""
        plan = check_plan(count=count, interval=interval, timeout=timeout, endless=True)
        work = self._started()
        watched = Watched(await first_target(work.runtime, check_probes(**probes), host), nullcontext())
        work.desk.watch(watched, plan)
        work.driver.poke()
        return watched

    def remove(self, watched: Watched) -> Summary:
        """As `pingsock.Pinger.remove`."""
        work = self._started()
        summary = work.desk.remove(watched)
        work.driver.poke()
        return summary

    async def ping(
        self,
        host: str | Target,
        *,
        count: int = COUNT,
        interval: float = INTERVAL,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - of a probe, not of the call
        **probes: Unpack[ProbeArguments],
    ) -> PingResult:
        """As `pingsock.Pinger.ping`; a name is looked up in a thread."""
        plan = check_plan(count=count, interval=interval, timeout=timeout)
        target = await first_target(self._started().runtime, check_probes(**probes), host)
        return await self._call(target, plan)

    async def _call(self, target: Target, plan: Plan) -> PingResult:
        work = self._started()
        event = work.runtime.event()
        call = Call(event.set)
        try:
            work.desk.call(call, target, plan)
            work.driver.poke()
            await event.wait()
        finally:
            work.desk.hang_up(call)
        if not call.complete:
            work.desk.open()
        return call.result()

    # Records

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Record | Stray | Summary:
        """The next record; waits for it.

        :raises StopAsyncIteration: the Pinger is closed, and all records were taken.
        :raises NoPingSocket: no kind of socket can be opened here.
        """
        if self._work is None and self._closed:
            raise StopAsyncIteration
        work = self._started()
        while not work.desk.backlog:
            if isinstance(work.desk.failure, PingerClosed):
                raise StopAsyncIteration
            work.desk.open()
            await work.arrival()
        return work.desk.backlog.take()

    def take(self) -> list[Record | Stray | Summary]:
        """All records that wait, oldest first; does not wait itself."""
        return self._work.desk.backlog.take_all() if self._work is not None else []

    @property
    def dropped(self) -> int:
        """Records that nobody took before the backlog was full."""
        return self._work.desk.backlog.dropped if self._work is not None else 0

    @property
    def sockets(self) -> tuple[PingSocket, ...]:
        """The sockets below, as they are now, e.g. to set an option this library has no name for."""
        return self._work.driver.sockets if self._work is not None else ()

    # The end

    def close(self) -> None:
        """Close all sockets; whoever waits is told. Idempotent."""
        self._closed = True
        if self._work is not None:
            self._work.close()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()

    async def __aenter__(self) -> Self:
        self._started()
        return self

    async def __aexit__(self, _kind: object, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        work = getattr(self, "_work", None)
        if work is not None and work.desk.failure is None:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            work.close()


class _Work(Waiting):
    """A Pinger's driver and desk. It knows nothing of the Pinger, which can be forgotten therefore."""

    def __init__(self, runtime: Runtime, settings: dict[str, Any], backlog: int) -> None:
        super().__init__(runtime)
        self.driver = runtime.driver(self._deliver, self._end, **settings)
        self.desk = Desk(self.driver.engine, self.driver.course, backlog)

    def _deliver(self, happened: Iterable[Happening]) -> None:
        self.desk.deliver(happened)
        if self.desk.backlog:
            self.ring()

    def _end(self, failure: Exception) -> None:
        self.desk.end(failure)
        self.ring()

    def close(self) -> None:
        """Close all sockets; whoever waits is told. Idempotent."""
        self.driver.close()
        self._end(PingerClosed())


class SharedPinger:
    """The Pinger that all one-shot pings of a loop use; it is closed when the last of them has ended."""

    _present: dict[Hashable, SharedPinger] = {}  # noqa: RUF012 - it is the one place that all of them share

    def __init__(self, key: tuple[Hashable, tuple[str, ...]]) -> None:
        self._key = key
        self._pinger = Pinger(kinds=key[1])
        self._users = 0

    @classmethod
    def of(cls, key: tuple[Hashable, tuple[str, ...]]) -> SharedPinger:
        """That of a loop and these kinds of socket. One that has failed is for nobody but those who wait for it."""
        shared = cls._present.get(key)
        if shared is None or shared._has_failed:
            shared = cls._present[key] = cls(key)
        return shared

    @property
    def _has_failed(self) -> bool:
        work = self._pinger._work
        return work is not None and work.desk.failure is not None

    async def ping(self, target: Target, plan: Plan) -> PingResult:
        """What comes of it."""
        self._users += 1
        try:
            return await self._pinger._call(target, plan)
        finally:
            self._users -= 1
            self._perhaps_close()

    def _perhaps_close(self) -> None:
        if self._users:
            return
        self._pinger.close()
        if self._present.get(self._key) is self:
            del self._present[self._key]
