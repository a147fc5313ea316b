"""The same calls for programs with an event loop, asyncio's or trio's: `ping`, `watch`, `ping_many` and `Pinger`.

Which loop it is is found out when a call begins to work. Every call may be cancelled wherever it waits; what it has
opened is closed then, and nobody else notices. Objects belong to the loop they were first used in; make new ones for
another loop. They are not for other threads.

One-shot pings that run at the same time in one loop share their sockets, so a thousand of them need one descriptor.
"""

from __future__ import annotations

import sys
import warnings
from collections import deque
from contextlib import nullcontext
from functools import partial
from time import monotonic_ns

from pingsock.sockets.choose import KINDS
from pingsock.sockets.errors import PingsockError
from pingsock.tools import intake
from pingsock.tools.arguments import check_backlog, check_kinds, check_plan, check_probes, check_rate, flag
from pingsock.tools.desk import BACKLOG, Call, Desk, PingerClosed, Watched
from pingsock.tools.echo import COUNT, INTERVAL, RATE, TIMEOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
    from types import TracebackType
    from typing import Any, Self, Unpack

    from pingsock.probe.aio import Driver, Event, Runtime
    from pingsock.probe.engine import Happening
    from pingsock.probe.records import Record, Stray, Summary, Unresolved
    from pingsock.probe.result import PingResult
    from pingsock.probe.schedule import Plan
    from pingsock.probe.target import Target
    from pingsock.sockets.choose import PingSocket
    from pingsock.tools.arguments import Aim, ProbeArguments

    AnyRecord = Record | Stray | Summary | Unresolved
    Start = Callable[[Driver], None]

_HIGH_WATER, _LOW_WATER = 4096, 1024
"""Records waiting in an iterator, at which probing stops and goes on again."""


def _runtime() -> Runtime:
    """That of the running loop. RuntimeError if there is none."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        from pingsock.probe.trio import TrioRuntime

        return TrioRuntime()
    from pingsock.probe.aio import AsyncioRuntime

    return AsyncioRuntime()


async def _first_target(runtime: Runtime, aim: Aim, host: str | Target) -> Target:
    known = intake.known_target(aim, host)
    if known is not None:
        return known
    return await runtime.in_thread(partial(intake.first_target, aim, host))


async def resolve(host: str, **probes: Unpack[ProbeArguments]) -> tuple[Target, ...]:
    """As `pingsock.resolve`; a name is looked up in a thread."""
    aim = check_probes(**probes)
    known = intake.known_target(aim, host)
    if known is not None:
        return (known,)
    return await _runtime().in_thread(partial(intake.every_target, aim, host))


# One host, once


async def ping(
    host: str | Target,
    *,
    count: int = COUNT,
    interval: float = INTERVAL,
    timeout: float = TIMEOUT,  # noqa: ASYNC109 - of a probe, not of the call
    kinds: Sequence[str] = KINDS,
    **probes: Unpack[ProbeArguments],
) -> PingResult:
    """As `pingsock.ping`; a name is looked up in a thread."""
    plan = check_plan(count=count, interval=interval, timeout=timeout)
    aim, kinds = check_probes(**probes), check_kinds(kinds)
    runtime = _runtime()
    target = await _first_target(runtime, aim, host)
    with _SharedPinger.of((runtime.loop(), kinds)) as pinger:
        return await pinger._call(target, plan)


class _SharedPinger:
    """The Pinger that all one-shot pings of a loop use; it is closed when the last of them has ended."""

    _present: dict[Hashable, _SharedPinger] = {}  # noqa: RUF012 - it is the one place that all of them share

    def __init__(self, key: tuple[Hashable, tuple[str, ...]]) -> None:
        self._key = key
        self._pinger = Pinger(kinds=key[1])
        self._users = 0

    @classmethod
    def of(cls, key: tuple[Hashable, tuple[str, ...]]) -> _SharedPinger:
        """That of a loop and these kinds of socket. One that has failed is for nobody but those who wait for it."""
        shared = cls._present.get(key)
        if shared is None or shared._has_failed:
            shared = cls._present[key] = cls(key)
        return shared

    @property
    def _has_failed(self) -> bool:
        work = self._pinger._work
        return work is not None and work.desk.failure is not None

    def __enter__(self) -> Pinger:
        self._users += 1
        return self._pinger

    def __exit__(self, _kind: object, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self._users -= 1
        if self._users:
            return
        self._pinger.close()
        if self._present.get(self._key) is self:
            del self._present[self._key]


# Iterators


def watch(
    host: str | Target,
    *,
    interval: float = INTERVAL,
    timeout: float = TIMEOUT,
    kinds: Sequence[str] = KINDS,
    **probes: Unpack[ProbeArguments],
) -> RecordStream:
    """As `pingsock.watch`: an asynchronous iterator of records as they come, without end."""
    plan = check_plan(count=0, interval=interval, timeout=timeout, endless=True)
    aim, kinds = check_probes(**probes), check_kinds(kinds)
    intake.known_target(aim, host)

    async def prepare(runtime: Runtime) -> Start:
        target = await _first_target(runtime, aim, host)
        return lambda driver: driver.engine.add(driver.course(target, plan), monotonic_ns())

    return RecordStream(prepare, {"kinds": kinds, "summaries": False})


def ping_many(
    hosts: Iterable[str | Target],
    *,
    count: int = 1,
    retries: int = 0,
    interval: float = INTERVAL,
    timeout: float = TIMEOUT,
    rate: float = RATE,
    all_addresses: bool = False,
    kinds: Sequence[str] = KINDS,
    **probes: Unpack[ProbeArguments],
) -> RecordStream:
    """As `pingsock.ping_many`: an asynchronous iterator of records as they come.

    `hosts` is a plain iterable, read in the event loop: one that blocks holds up the loop.
    """
    plan = check_plan(count=count, interval=interval, timeout=timeout, retries=retries)
    settings = {"rate": check_rate(rate), "kinds": check_kinds(kinds)}
    every = flag("all_addresses", all_addresses)
    hosts_in = intake.Intake(hosts, check_probes(**probes), plan, all_addresses=every)

    async def prepare(runtime: Runtime) -> Start:
        return partial(_feed, runtime, hosts_in)

    return RecordStream(prepare, settings, untold=hosts_in.untold, on_close=hosts_in.close)


def _feed(runtime: Runtime, hosts: intake.Intake, driver: Driver) -> None:
    def look() -> None:
        driver.engine.look_again()
        driver.poke()

    hosts.on_answer = runtime.thread_safe(look)
    driver.engine.feed(hosts.courses(driver.course))


class RecordStream:
    """An asynchronous iterator of records. Closing or forgetting it closes its sockets, and so does `async with`.

    While 4096 records wait to be taken nothing is sent, and what arrives waits in the sockets; what was due then is
    `Skipped`, silence in that time `Unmeasured`.
    """

    def __init__(
        self,
        prepare: Callable[[Runtime], Awaitable[Start]],
        settings: dict[str, Any],
        *,
        untold: Callable[[], list[Unresolved]] = list,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        """`prepare` returns what gives a driver, made with `settings`, its work. `untold` are further records."""
        self._prepare = prepare
        self._settings = settings
        self._untold = untold
        self._on_close = on_close
        self._inbox: _Inbox | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyRecord:
        """The next record.

        :raises StopAsyncIteration: there are no more, or it was closed.
        :raises UnknownHost: the only host has no address.
        :raises NoPingSocket: no kind of socket can be opened here.
        """
        runtime = _runtime()
        if self._inbox is None and not self._closed:
            start = await self._prepare(runtime)
            # Another task may have come first, or have closed it.
            if self._inbox is None and not self._closed:
                self._inbox = _Inbox(runtime, self._settings, self._untold, start)
        if self._inbox is None:
            raise StopAsyncIteration
        _same_loop(self._inbox.loop, runtime)
        return await self._inbox.get()

    def close(self) -> None:
        """Close all sockets; no more records come. Idempotent."""
        self._closed = True
        if self._inbox is not None:
            self._inbox.close()
        self._on_close()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _kind: object, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class _Waiting:
    """Tasks that wait for something to arrive."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.loop = runtime.loop()
        self._event: Event | None = None

    async def arrival(self) -> None:
        """Wait for the next `ring`."""
        if self._event is None:
            self._event = self.runtime.event()
        await self._event.wait()

    def ring(self) -> None:
        """Let all who wait look again."""
        event, self._event = self._event, None
        if event is not None:
            event.set()


class _Inbox(_Waiting):
    """The records of one iterator, and the driver they come from. It knows nothing of the iterator."""

    def __init__(
        self, runtime: Runtime, settings: dict[str, Any], untold: Callable[[], list[Unresolved]], start: Start
    ) -> None:
        super().__init__(runtime)
        self._untold = untold
        self._records: deque[AnyRecord] = deque()
        self._failure: Exception | None = None
        self._ended = False
        self._full = False
        self._driver = runtime.driver(self._deliver, self._fail, **settings)
        start(self._driver)
        self._driver.poke()

    def _deliver(self, happened: Iterable[Happening]) -> None:
        untold = self._untold()
        self._records.extend(untold)
        self._records.extend(record for _, record in happened)
        if not self._driver.engine.busy:
            self._end()
        elif len(self._records) >= _HIGH_WATER:
            self._full = True
            self._driver.pause()
        elif untold:
            self._driver.engine.look_again()
            self._driver.poke()
        if self._records:
            self.ring()

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._driver.close()
        self.ring()

    def close(self) -> None:
        """Close all sockets and forget the records."""
        self._records.clear()
        self._end()

    async def get(self) -> AnyRecord:
        """The next record; waits for it."""
        while not self._records:
            if self._ended:
                failure, self._failure = self._failure, None
                raise failure or StopAsyncIteration
            await self.arrival()
        record = self._records.popleft()
        if self._full and len(self._records) <= _LOW_WATER:
            self._full = False
            self._driver.engine.look_again()
            self._driver.resume()
        return record


def _same_loop(loop: Hashable, runtime: Runtime) -> None:
    if loop != runtime.loop():
        raise PingsockError("this object belongs to another event loop; make a new one")


# Many hosts, for long


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
        runtime = _runtime()
        if self._work is None:
            if self._closed:
                raise PingerClosed
            self._work = _Work(runtime, self._settings, self._backlog)
        _same_loop(self._work.loop, runtime)
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
        watched = Watched(await _first_target(work.runtime, check_probes(**probes), host), nullcontext())
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
        target = await _first_target(self._started().runtime, check_probes(**probes), host)
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


class _Work(_Waiting):
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
