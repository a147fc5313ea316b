"""The same calls for programs with an event loop, asyncio's or trio's: `ping`, `watch`, `ping_many`.

Which loop it is is found out when a call begins to work. Every call may be cancelled wherever it waits; what it has
opened is closed then, and nobody else notices. Objects belong to the loop they were first used in; make new ones for
another loop. They are not for other threads.

One-shot pings that run at the same time in one loop share their sockets, so a thousand of them need one descriptor.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from time import monotonic_ns

from pingsock.probe.schedule import PATIENCE
from pingsock.sockets.choose import KINDS
from pingsock.tools import intake
from pingsock.tools.aio_pinger import SharedPinger
from pingsock.tools.arguments import check_kinds, check_plan, check_probes, check_rate, flag
from pingsock.tools.echo import COUNT, INTERVAL, RATE, TIMEOUT
from pingsock.tools.loops import Waiting, first_target, running, same_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Any, Self, Unpack

    from pingsock.probe.aio import Driver, Runtime
    from pingsock.probe.engine import Happening
    from pingsock.probe.records import Record, Stray, Summary, Unresolved
    from pingsock.probe.result import PingResult
    from pingsock.probe.target import Target
    from pingsock.tools.arguments import ProbeArguments

    AnyRecord = Record | Stray | Summary | Unresolved
    Start = Callable[[Driver], None]

_HIGH_WATER, _LOW_WATER = 4096, 1024
"""Records waiting in an iterator, at which probing stops and goes on again."""


async def resolve(host: str, **probes: Unpack[ProbeArguments]) -> tuple[Target, ...]:
    """As `pingsock.resolve`; a name is looked up in a thread."""
    aim = check_probes(**probes)
    known = intake.known_target(aim, host)
    if known is not None:
        return (known,)
    return await running().in_thread(partial(intake.every_target, aim, host))


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
    runtime = running()
    target = await first_target(runtime, aim, host)
    return await SharedPinger.of((runtime.loop(), kinds)).ping(target, plan)


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
        target = await first_target(runtime, aim, host)
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
    plan = check_plan(count=count, interval=interval, timeout=timeout, retries=retries, patience_ns=PATIENCE)
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
        runtime = running()
        if self._inbox is None and not self._closed:
            start = await self._prepare(runtime)
            # Another task may have come first, or have closed it.
            if self._inbox is None and not self._closed:
                self._inbox = _Inbox(runtime, self._settings, self._untold, start)
        if self._inbox is None:
            raise StopAsyncIteration
        same_loop(self._inbox.loop, runtime)
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


class _Inbox(Waiting):
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
