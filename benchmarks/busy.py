"""How true round trips stay while the program does something else: a busy event loop, a busy second thread.

    sudo python3 benchmarks/busy.py [--count 200] [--rounds 5]

Needs root, for a network namespace and a TUN device in it, and a C compiler for the far end (see `paths.py`). One host
20 ms away is pinged every 10 ms, in an event loop that is idle; in one where another task computes for 5 ms again and
again; and in one whose process has a second thread that computes all the time. The error of a round trip is what was
reported less what the far end logged. Beside ours runs icmplib's `async_ping`, if it is installed. Printed are medians
over the rounds of microseconds: the median error, the 95th percentile and the worst.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bed import Paths, build, enter_namespace, in_child, interleaved, percentile, table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Ping = Callable[[int], Awaitable[list[float]]]

HOST = "10.0.0.1"
SLICE = 0.005
INTERVAL = 0.01


def compute(seconds: float) -> None:
    """Keep the interpreter busy."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@asynccontextmanager
async def idle() -> AsyncIterator[None]:
    """Nothing else to do."""
    yield


@asynccontextmanager
async def busy_loop() -> AsyncIterator[None]:
    """Another task computes in slices."""

    async def work() -> None:
        while True:
            compute(SLICE)
            await asyncio.sleep(0)

    task = asyncio.ensure_future(work())
    try:
        yield
    finally:
        task.cancel()


@asynccontextmanager
async def busy_thread() -> AsyncIterator[None]:
    """Another thread computes all the time."""
    stopping = threading.Event()

    def work() -> None:
        while not stopping.is_set():
            compute(SLICE)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


CONDITIONS = {"idle": idle, "busy loop": busy_loop, "busy thread": busy_thread}


async def ours(count: int) -> list[float]:
    """Nanoseconds, as pingsock reports them."""
    from pingsock import aio

    result = await aio.ping(HOST, count=count, interval=INTERVAL, timeout=1.0)
    return [seconds * 1e9 for seconds in result.round_trips]


async def icmplib(count: int) -> list[float]:
    """Nanoseconds, as icmplib reports them."""
    from icmplib import async_ping

    result = await async_ping(HOST, count=count, interval=INTERVAL, timeout=1, privileged=False)
    return [milliseconds * 1e6 for milliseconds in result.rtts]


def under(condition: str, ping: Ping, count: int) -> list[float]:
    """Ping under that condition."""

    async def run() -> list[float]:
        async with CONDITIONS[condition]():
            return await ping(count)

    return asyncio.run(run())


def measured(condition: str, ping: Ping, count: int, responder: str) -> dict[str, float]:
    """One run over a fresh path; the errors of its round trips."""
    paths = Paths(responder, 20, 21)
    try:
        usage, reported = in_child(under, condition, ping, count)
    finally:
        # In the order of sending; both sides have one entry a probe.
        took = list(paths.stop().values())
    errors = [(mine - its) / 1000 for mine, its in zip(reported, took, strict=False)]
    return {
        "answers": len(reported),
        "error_p50": percentile(errors, 50),
        "error_p95": percentile(errors, 95),
        "error_max": max(errors),
        "cpu": usage["cpu"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    enter_namespace()
    responder = build("delayed_echo")
    pings: dict[str, Ping] = {"pingsock": ours}
    try:
        import icmplib as _installed  # noqa: F401 - only whether it is there
    except ImportError:
        print("icmplib is not installed: left out")
    else:
        pings["icmplib"] = icmplib
    runs = {
        f"{name}, {condition}": lambda condition=condition, ping=ping: measured(
            condition, ping, options.count, responder
        )
        for condition in CONDITIONS
        for name, ping in pings.items()
    }
    print(f"{options.count} probes to a host 20 ms away, medians of {options.rounds} rounds, errors in us")
    print(table(interleaved(runs, options.rounds), "pingsock, idle", "cpu"))


if __name__ == "__main__":
    main()
