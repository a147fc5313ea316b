from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any
from unittest import mock

import pytest

import pingsock
from pingsock import InvalidArgument, NoPingSocket, PingerClosed, PingsockError, Reply, Summary, UnknownHost, aio
from pingsock.probe.prober import Prober
from pingsock.sockets.choose import open_ping_socket
from pingsock.tools import aio as module
from pingsock.tools.aio_pinger import SharedPinger
from tools.small_network import (
    ALIVE,
    ALIVE6,
    BROADCAST,
    KINDS,
    PROHIBITED,
    SILENT,
    UNREACHABLE,
    NothingLeft,
    descriptors,
    facts,
    inside,
    some_names,
    told,
)

QUICK: Any = {"interval": 0.02, "timeout": 0.2}
HOSTS: list[Any] = [
    ALIVE,
    ALIVE6,
    SILENT,
    PROHIBITED,
    UNREACHABLE,
    "no.test",
    "two.test",
    "not a host",
    None,
    BROADCAST,
]


class Loop:
    """An event loop library, as far as these tests need it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, function: Callable[[], Awaitable[Any]]) -> Any:
        """The result of a coroutine function; nothing may be left in the loop, nor anywhere else."""
        with NothingLeft():
            return self._run_asyncio(function) if self.name == "asyncio" else self._run_trio(function)

    def _run_asyncio(self, function: Callable[[], Awaitable[Any]]) -> Any:
        complaints: list[dict[str, Any]] = []

        async def main() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _loop, context: complaints.append(context))
            selected = len(loop._selector.get_map())  # type: ignore[attr-defined]
            result = await function()
            # The handle that is being run may hold the last task, and with it the frames of its exception.
            await asyncio.sleep(0)
            gc.collect()
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert len(loop._selector.get_map()) == selected  # type: ignore[attr-defined]
            assert [timer for timer in loop._scheduled if not timer.cancelled()] == []  # type: ignore[attr-defined]
            return result

        result = asyncio.run(main(), debug=True)
        assert complaints == []
        return result

    def _run_trio(self, function: Callable[[], Awaitable[Any]]) -> Any:
        trio = sys.modules["trio"]

        async def main() -> Any:
            before = trio.lowlevel.current_statistics().tasks_living
            result = await function()
            gc.collect()
            await trio.testing.wait_all_tasks_blocked()
            assert trio.lowlevel.current_statistics().tasks_living == before
            return result

        return trio.run(main)

    async def sleep(self, seconds: float) -> None:
        await (asyncio.sleep if self.name == "asyncio" else sys.modules["trio"].sleep)(seconds)

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await self.sleep(0.001)

    async def together(self, *functions: Callable[[], Awaitable[Any]]) -> list[Any]:
        """The results of coroutine functions that run at the same time."""
        if self.name == "asyncio":
            return await asyncio.gather(*(function() for function in functions))
        results: list[Any] = [None] * len(functions)

        async def keep(at: int, function: Callable[[], Awaitable[Any]]) -> None:
            results[at] = await function()

        async with sys.modules["trio"].open_nursery() as nursery:
            for at, function in enumerate(functions):
                nursery.start_soon(keep, at, function)
        return results

    async def cancelled_after(self, seconds: float, function: Callable[[], Awaitable[Any]]) -> None:
        """Run a coroutine function and cancel it."""
        if self.name == "trio":
            with sys.modules["trio"].move_on_after(seconds) as scope:
                await function()
            assert scope.cancelled_caught
            return
        task = asyncio.ensure_future(function())
        await asyncio.sleep(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.fixture(params=["asyncio", "trio"])
def loop(request: pytest.FixtureRequest) -> Loop:
    if request.param == "trio":
        pytest.importorskip("trio", reason="needs trio: install the extra test")
        import trio.testing  # noqa: F401 - so that the forked processes need not import it
    return Loop(request.param)


@pytest.fixture(params=KINDS)
def kinds(request: pytest.FixtureRequest) -> list[str]:
    return [request.param]


async def collected(records: aio.RecordStream) -> list[Any]:
    return [record async for record in records]


# One host


@pytest.mark.parametrize("host", [ALIVE, ALIVE6])
def test_a_host_that_answers(loop: Loop, kinds: list[str], host: str) -> None:
    result = inside(lambda: loop.run(lambda: aio.ping(host, count=3, **QUICK, kinds=kinds)))
    assert result.is_alive
    assert [type(record) for record in told(result.records)] == [Reply] * 3
    assert json.loads(json.dumps(pingsock.jsonable(result)))["received"] == 3


@pytest.mark.parametrize("host", [SILENT, PROHIBITED, UNREACHABLE])
def test_a_ping_tells_what_the_blocking_one_tells(loop: Loop, host: str) -> None:
    def both() -> tuple[list[Any], list[Any]]:
        blocking = pingsock.ping(host, count=2, **QUICK)
        other = loop.run(lambda: aio.ping(host, count=2, **QUICK))
        assert blocking.reason == other.reason
        return [*map(facts, told(blocking.records))], [*map(facts, told(other.records))]

    blocking, other = inside(both)
    assert blocking == other


def test_many_pings_at_once_share_a_socket(loop: Loop, kinds: list[str]) -> None:
    async def many() -> tuple[int, set[int]]:
        opened: set[int] = set()

        async def one(number: int) -> bool:
            alive = (await aio.ping(f"127.0.1.{number}", count=2, **QUICK, kinds=kinds)).is_alive
            opened.add(len(descriptors()))
            return alive

        results = await loop.together(*(lambda number=number: one(number) for number in range(1, 201)))
        return sum(results), opened

    alive, opened = inside(lambda: loop.run(many))
    assert alive == 200
    # All of them, and at the very last the one that closed the socket.
    assert len(opened) <= 2


def test_a_cancelled_ping_disturbs_nobody(loop: Loop, kinds: list[str]) -> None:
    async def three() -> list[bool]:
        async def one(host: str) -> bool:
            return (await aio.ping(host, count=5, **QUICK, kinds=kinds)).is_alive

        results = await loop.together(
            lambda: one("127.0.0.2"),
            lambda: loop.cancelled_after(0.03, lambda: aio.ping(ALIVE, count=100, kinds=kinds)),
            lambda: loop.cancelled_after(0.03, lambda: aio.ping(SILENT, timeout=60, kinds=kinds)),
            lambda: one("127.0.0.3"),
        )
        return [result for result in results if result is not None]

    assert inside(lambda: loop.run(three)) == [True, True]


def test_cancelled_at_any_moment_nothing_is_left(loop: Loop) -> None:
    async def cancelled() -> None:
        for milliseconds in (0, 0.5, 1, 2, 3, 5, 10):
            for function in (
                lambda: aio.ping(ALIVE, count=1000, interval=0.001),
                lambda: aio.ping("two.test", count=1000, interval=0.001),
                lambda: collected(aio.watch(ALIVE, interval=0.001)),
                lambda: collected(aio.ping_many(["two.test", SILENT], timeout=60)),
            ):
                await loop.cancelled_after(milliseconds / 1000, function)

    def run() -> None:
        with (
            mock.patch("pingsock.tools.intake.resolve", some_names),
            mock.patch("pingsock.tools.names.resolve", some_names),
        ):
            loop.run(cancelled)
        assert SharedPinger._present == {}

    inside(run)


def test_names_are_looked_up_in_a_thread(loop: Loop) -> None:
    async def named() -> list[str]:
        result = await aio.ping("two.test", count=1, timeout=1)
        with pytest.raises(UnknownHost, match=r"no\.test"):
            await aio.ping("no.test")
        with pytest.raises(UnknownHost, match=r"no\.test"):
            await anext(aio.watch("no.test"))
        return [result.target.address[0], *(target.address[0] for target in await aio.resolve("two.test"))]

    with mock.patch("pingsock.tools.intake.resolve", some_names):
        assert inside(lambda: loop.run(named)) == ["127.0.0.5", "127.0.0.5", "::1"]


def test_where_no_socket_can_be_opened_every_call_says_so(loop: Loop) -> None:
    async def refused() -> None:
        kernel = ["kernel"]
        async with aio.Pinger(kinds=kernel) as pinger:
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: aio.ping(ALIVE, kinds=kernel),
                lambda: anext(aio.watch(ALIVE, kinds=kernel)),
                lambda: anext(aio.ping_many([ALIVE], kinds=kernel)),
                lambda: pinger.ping(ALIVE),
                lambda: anext(pinger),
                lambda: pinger.add(ALIVE),
            ]
            for call in calls:
                with pytest.raises(NoPingSocket, match="kernel: Permission denied"):
                    await call()

    inside(lambda: loop.run(refused), group_range="1 0")


def test_pings_that_follow_a_failed_one_do_not_share_its_fate(loop: Loop) -> None:
    """However closely they follow: there may always be somebody who has not yet noticed the failure."""

    async def cured() -> list[bool]:
        opens, wrongs = [False], []

        def perhaps(*given: Any, **settings: Any) -> Any:
            if not opens[0]:
                raise NoPingSocket([("kernel", OSError(1, "not yet"))])
            return open_ping_socket(*given, **settings)

        async def stubborn() -> bool:
            for _ in range(10):
                try:
                    return (await aio.ping(ALIVE, count=1, timeout=5)).is_alive
                except NoPingSocket as refused:
                    wrongs.append(refused)
                    opens[0] = True
            return False

        defaults = {**(Prober.__init__.__kwdefaults__ or {}), "open_socket": perhaps}
        with mock.patch.object(Prober.__init__, "__kwdefaults__", defaults):
            alive = await loop.together(*[stubborn] * 5)
        assert len(wrongs) == 5
        return alive

    assert inside(lambda: loop.run(cured)) == [True] * 5
    assert SharedPinger._present == {}


# Iterators


def test_watching_goes_on_until_it_is_left(loop: Loop, kinds: list[str]) -> None:
    async def left() -> list[type]:
        kinds_of: list[type] = []
        async for record in aio.watch(ALIVE, interval=0.005, timeout=0.2, kinds=kinds):
            kinds_of.append(type(record))
            if len(kinds_of) == 5:
                break
        async with aio.watch(ALIVE6, interval=0.005, timeout=0.2, kinds=kinds) as records:
            kinds_of.append(type(await anext(records)))
        await records.aclose()
        assert await collected(records) == []
        return kinds_of

    assert Reply in inside(lambda: loop.run(left))


def test_ping_many_tells_what_the_blocking_one_tells(loop: Loop, kinds: list[str]) -> None:
    settings: Any = {"count": 2, "all_addresses": True, "kinds": kinds, "interval": 0.05, "timeout": 0.5}

    def both() -> tuple[list[Any], list[Any]]:
        with mock.patch("pingsock.tools.names.resolve", some_names):
            blocking = [*map(facts, told(pingsock.ping_many(HOSTS, **settings)))]
            other = [*map(facts, told(loop.run(lambda: collected(aio.ping_many(HOSTS, **settings)))))]
        return sorted(blocking, key=repr), sorted(other, key=repr)

    blocking, other = inside(both)
    assert blocking == other


def test_an_iterator_that_nobody_reads_waits(loop: Loop) -> None:
    async def slow() -> tuple[int, int, Counter[str]]:
        records = aio.ping_many((f"127.0.{n >> 7}.{n & 127 | 128}" for n in range(4000)), rate=0, timeout=5)
        seen = Counter([type(await anext(records)).__name__])
        inbox = records._inbox
        assert inbox is not None
        await loop.until(lambda: len(inbox._records) >= module._HIGH_WATER)
        waiting = len(inbox._records)
        await loop.sleep(0.1)
        waiting_later = len(inbox._records)
        seen.update([type(record).__name__ async for record in records])
        return waiting, waiting_later, seen

    waiting, waiting_later, seen = inside(lambda: loop.run(slow))
    assert waiting == waiting_later
    assert module._HIGH_WATER <= waiting < module._HIGH_WATER + 1000
    assert seen["Summary"] == 4000
    # Loopback answers before anybody reads, and the sockets keep it.
    assert seen["Reply"] == 4000


def test_what_reading_the_hosts_raises_comes_out(loop: Loop) -> None:
    class Broken(Exception):
        pass

    def hosts() -> Iterator[str]:
        yield ALIVE
        raise Broken

    async def broken() -> None:
        with pytest.raises(Broken):
            await collected(aio.ping_many(hosts()))

    inside(lambda: loop.run(broken))


def test_waiting_for_a_record_may_be_given_up_and_begun_again(loop: Loop) -> None:
    async def twice() -> list[type]:
        async with aio.watch(SILENT, interval=0.2, timeout=0.1) as records:
            await loop.cancelled_after(0.02, lambda: anext(records))
            return [type(await anext(records)), type(await anext(records))]

    assert inside(lambda: loop.run(twice)) == [pingsock.Timeout] * 2


def test_no_hosts_no_records(loop: Loop) -> None:
    assert inside(lambda: loop.run(lambda: collected(aio.ping_many([])))) == []


def test_only_hosts_without_address(loop: Loop) -> None:
    records = inside(lambda: loop.run(lambda: collected(aio.ping_many([""] * 300))))
    assert [type(record) for record in records] == [pingsock.Unresolved] * 300


def test_an_iterator_never_begun_needs_no_loop() -> None:
    with NothingLeft():
        aio.watch(ALIVE).close()
        aio.ping_many([ALIVE]).close()
        aio.Pinger().close()


# A Pinger


def test_targets_come_and_go_while_it_runs(loop: Loop, kinds: list[str]) -> None:
    async def gone() -> tuple[int, int, list[str]]:
        async with aio.Pinger(kinds=kinds) as pinger:
            first = await pinger.add(ALIVE, **QUICK)
            second = await pinger.add(ALIVE6, **QUICK)
            await loop.until(lambda: second.statistics.received >= 2)
            summary = pinger.remove(second)
            received = first.statistics.received
            await loop.until(lambda: first.statistics.received >= received + 3)
            assert pinger.remove(second) == summary
            assert isinstance(first.latest, Reply)
            with pytest.raises(InvalidArgument, match=r"^watched"):
                pinger.remove(None)  # type: ignore[arg-type] # that is the point
            kinds_open = [sock.kind for sock in pinger.sockets]
            return summary.statistics.received, second.statistics.received, kinds_open

    at_removal, afterwards, kinds_open = inside(lambda: loop.run(gone))
    assert at_removal == afterwards >= 2
    assert kinds_open == kinds * 2


def test_one_shots_and_records_go_their_own_ways(loop: Loop) -> None:
    async def both() -> tuple[int, set[str]]:
        async with aio.Pinger() as pinger:
            await pinger.add("127.0.0.2", **QUICK)
            results = await loop.together(*[lambda: pinger.ping(ALIVE, count=2, **QUICK)] * 20)
            hosts = set()
            async for record in pinger:
                assert not isinstance(record, pingsock.Stray)
                hosts.add(record.target.host)
                if isinstance(record, Reply) and record.number >= 3:
                    break
            return sum(len(result.records) for result in results), hosts

    records, hosts = inside(lambda: loop.run(both))
    assert records >= 40
    assert hosts == {"127.0.0.2"}


def test_a_slow_consumer_costs_old_records_and_no_statistics(loop: Loop) -> None:
    async def slow() -> tuple[int, int, int]:
        async with aio.Pinger(backlog=5) as pinger:
            watched = await pinger.add(ALIVE, interval=0.005, timeout=0.5, count=30)
            await loop.until(lambda: watched.is_over)
            return watched.statistics.received, len(pinger.take()), pinger.dropped

    received, kept, dropped = inside(lambda: loop.run(slow))
    assert (received, kept) == (30, 5)
    # Its summary is one too, and on a busy machine there are some of probes skipped.
    assert kept + dropped >= 31


def test_between_probes_nothing_turns(loop: Loop) -> None:
    async def idle() -> list[int]:
        turns = []
        async with aio.Pinger() as pinger:
            for host in (ALIVE, PROHIBITED, UNREACHABLE):
                watched = await pinger.add(host, interval=0.001, timeout=0.1, count=1)
                await loop.until(lambda: watched.is_over)  # noqa: B023 - called at once
            assert pinger._work is not None
            # Each of them has left something in the sockets' queues; a reader that misses it would be called for ever.
            with mock.patch.object(pinger._work.driver, "turn", wraps=pinger._work.driver.turn) as turn:  # type: ignore[attr-defined]
                await loop.sleep(0.3)
                turns.append(turn.call_count)
        return turns

    assert inside(lambda: loop.run(idle))[0] <= 2


def test_closing_tells_whoever_waits(loop: Loop) -> None:
    async def closed() -> list[Any]:
        pinger = aio.Pinger()
        await pinger.add(SILENT, interval=60)

        async def iterate() -> list[Any]:
            return [record async for record in pinger]

        async def ping() -> str:
            with pytest.raises(PingerClosed):
                await pinger.ping(SILENT, timeout=60)
            return "pinged"

        async def close() -> None:
            await loop.until(lambda: pinger._work and pinger._work.desk.calls)
            await pinger.aclose()
            pinger.close()

        said = await loop.together(iterate, iterate, ping, close)
        with pytest.raises(PingerClosed):
            await pinger.add(ALIVE)
        return said

    assert inside(lambda: loop.run(closed)) == [[], [], "pinged", None]


def test_an_exception_in_the_block_closes_it(loop: Loop) -> None:
    class Broken(Exception):
        pass

    async def broken() -> None:
        with suppress(Broken):
            async with aio.Pinger() as pinger:
                await pinger.add(ALIVE, **QUICK)
                async for _ in pinger:
                    raise Broken

    inside(lambda: loop.run(broken))


def test_forgotten_it_closes_and_says_so(loop: Loop) -> None:
    async def forgotten() -> None:
        pinger = aio.Pinger()
        await pinger.ping(ALIVE, count=1, timeout=1)
        with pytest.warns(ResourceWarning, match="unclosed <pingsock.tools.aio_pinger.Pinger"):
            del pinger

    inside(lambda: loop.run(forgotten))


def test_one_loop_after_the_other(loop: Loop) -> None:
    def several() -> list[bool]:
        return [loop.run(lambda: aio.ping(ALIVE, count=1, timeout=1)).is_alive for _ in range(3)]

    assert inside(several) == [True] * 3


def test_an_object_of_another_loop_is_refused() -> None:
    async def begin(pinger: aio.Pinger, records: aio.RecordStream) -> None:
        await pinger.ping(ALIVE, count=1, timeout=1)
        await anext(records)

    async def go_on(pinger: aio.Pinger, records: aio.RecordStream) -> None:
        calls: list[Callable[[], Awaitable[object]]] = [lambda: pinger.ping(ALIVE), lambda: anext(records)]
        for call in calls:
            with pytest.raises(PingsockError, match="another event loop"):
                await call()

    def both() -> None:
        pinger, records = aio.Pinger(), aio.watch(ALIVE)
        with NothingLeft():
            asyncio.run(begin(pinger, records))
            asyncio.run(go_on(pinger, records))
            pinger.close()
            records.close()

    inside(both)


def test_outside_a_loop_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        aio.ping(ALIVE).send(None)


def test_many_targets_cost_one_timer_and_no_task() -> None:
    async def many() -> tuple[int, int, int]:
        async with aio.Pinger() as pinger:
            watched = [await pinger.add(f"127.0.{n >> 7}.{n & 127 | 128}", interval=0.5, timeout=1) for n in range(300)]
            await Loop("asyncio").until(lambda: all(each.latest for each in watched))
            loop = asyncio.get_running_loop()
            timers = [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
            return len(timers), len(asyncio.all_tasks()), len(pinger.sockets)

    timers, tasks, sockets = inside(lambda: asyncio.run(many()))
    assert (timers <= 1, tasks, sockets) == (True, 1, 1)


def test_a_summary_is_the_last_of_a_target(loop: Loop) -> None:
    records = inside(lambda: loop.run(lambda: collected(aio.ping_many([ALIVE], count=3, **QUICK))))
    assert [type(record) for record in told(records)] == [Reply, Reply, Reply, Summary]
