"""Thousands of hosts pinged every second for a minute: what it costs, idle and on a host with a load average of 80.

    sudo python3 benchmarks/monitor.py [--hosts 1000 10000] [--seconds 60] [--hosts-a-shard 10000 625] [--load 80]

Needs root, for a network namespace, and stress-ng. The hosts are 127.0.0.0/8: the kernel answers within microseconds,
so what a round trip is reported to have taken is its error. Conditions: idle; the load in a scheduling group (session)
of its own, as another service would be; the load in the same group.

A shard is a process with its part of the hosts, no more than `--hosts-a-shard`. One that needs more than its share of a
core starves beside 80 others in the same group; S shards have S shares, S / (80 + S) of all cores. Every shard stops
when the time is up and a patience of two seconds more, whatever it has done by then, and one that does not is killed.

Printed for each: echoes not sent of those due, and lost of those sent, in per cent; the share of one core all shards
took, and microseconds an echo; microseconds of round trip at the 50th and 99th percentile; MiB (PSS) of all shards
together; milliseconds an echo left after it was due, at the 50th and 99th percentile and at most (one that is a whole
interval late is skipped and counts as not sent); the seconds the last shard needed longer than the plan; and shards
that had to be killed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import pickle
import select
import signal
import time
from typing import Any

from bed import addresses, enter_namespace, load, proportional_set_size
from pingsock.probe.blocking import BlockingProber
from pingsock.probe.clock import read_clocks
from pingsock.probe.histogram import Histogram
from pingsock.probe.records import Reply
from pingsock.probe.schedule import Plan, spread
from pingsock.probe.target import Target
from pingsock.wire.linux import AF_INET

SECOND = 1_000_000_000
PATIENCE = 2 * SECOND
"""After its time a shard may still send what is late, and wait for replies."""
CLOCK_ERROR = SECOND // 1000
"""By which an echo may seem to leave before it was due, since two clocks were compared at the beginning only."""
PREPARATION, KILLED_AFTER = 60.0, 30.0
"""Seconds in which all shards must be ready to start, and by which one may be late to end."""


class Shard:
    """A process that watches its part of the hosts. It begins when it is told to."""

    def __init__(self, hosts: list[str], seconds: int) -> None:
        self._reader, writer = os.pipe()
        reader, self._starter = os.pipe()
        self._child = os.fork()
        if not self._child:
            status = 1
            try:
                work(hosts, seconds, reader, writer)
                status = 0
            finally:
                os._exit(status)
        os.close(reader)
        os.close(writer)

    def wait_until_ready(self, until: float) -> None:
        """SystemExit if it is not by then."""
        if not self._readable(until) or os.read(self._reader, 1) != b"r":
            raise SystemExit(f"a shard was not ready within {PREPARATION} seconds")

    def start(self, begin: int) -> None:
        """Let it begin at that monotonic time."""
        os.write(self._starter, begin.to_bytes(8, "big"))

    def result(self, until: float) -> dict[str, Any] | None:
        """What it found out; None if that is not known by then."""
        content = b""
        while self._readable(until):
            piece = os.read(self._reader, 1 << 16)
            if not piece:
                found: dict[str, Any] = pickle.loads(content)
                return found
            content += piece
        return None

    def end(self) -> None:
        """Kill it if it has not ended, and bury it."""
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)
        os.close(self._reader)
        os.close(self._starter)

    def _readable(self, until: float) -> bool:
        return bool(select.select([self._reader], [], [], max(until - time.monotonic(), 0))[0])


def work(hosts: list[str], seconds: int, starter: int, results: int) -> None:
    """A shard's life."""
    plan = Plan(count=seconds, interval_ns=SECOND, timeout_ns=SECOND)
    with BlockingProber(summaries=False) as prober:
        courses = [prober.course(Target(host, AF_INET, (host, 0)), plan) for host in hosts]
        os.write(results, b"r")
        begin = int.from_bytes(os.read(starter, 8), "big")
        now, calendar = read_clocks()
        for index, course in enumerate(courses):
            due = begin + spread(index, SECOND)
            course.owner = due + calendar - now
            prober.engine.add(course, due)
        found = watch(prober, begin + seconds * SECOND)
    statistics = [course.statistics for course in courses]
    found["sent"] = sum(each.sent for each in statistics)
    found["lost"] = found["sent"] - sum(each.received + each.in_flight for each in statistics)
    with os.fdopen(results, "wb") as pipe:
        pickle.dump(found, pipe)


def watch(prober: BlockingProber, end: int) -> dict[str, Any]:
    """Work until all is done, or the time and the patience are over."""
    round_trips, delays = Histogram(), Histogram()
    cpu = time.process_time()
    while prober.engine.busy and (left := end + PATIENCE - time.monotonic_ns()) > 0:
        for course, record in prober.step(left):
            if isinstance(record, Reply) and course is not None and isinstance(course.owner, int):
                round_trips.add(record.round_trip_ns)
                delays.add(max((record.sent - course.owner + CLOCK_ERROR) % SECOND - CLOCK_ERROR, 0))
    return {
        "round_trips": round_trips,
        "delays": delays,
        "cpu": time.process_time() - cpu,
        "memory": proportional_set_size(),
        "overrun": max(time.monotonic_ns() - end, 0) / SECOND,
    }


def run(hosts: list[str], seconds: int, count: int) -> dict[str, float]:
    """So many shards to their end, and their figures together."""
    shards = [Shard(hosts[number::count], seconds) for number in range(count)]
    try:
        until = time.monotonic() + PREPARATION
        for shard in shards:
            shard.wait_until_ready(until)
        begin = time.monotonic() + 1
        for shard in shards:
            shard.start(int(begin * SECOND))
        until = begin + seconds + PATIENCE / SECOND + KILLED_AFTER
        results = [result for shard in shards if (result := shard.result(until)) is not None]
    finally:
        for shard in shards:
            shard.end()
    return figures(results, len(hosts) * seconds, seconds) | {"killed": count - len(results)}


def figures(results: list[dict[str, Any]], due: int, seconds: int) -> dict[str, float]:
    """What is printed, but for the shards that have no result."""
    round_trips, delays = Histogram(), Histogram()
    for result in results:
        round_trips.merge(result["round_trips"])
        delays.merge(result["delays"])
    sent = sum(result["sent"] for result in results)
    cpu = sum(result["cpu"] for result in results)
    return {
        "unsent %": 100 * (due - sent) / due,
        "lost %": 100 * sum(result["lost"] for result in results) / max(sent, 1),
        "core %": 100 * cpu / seconds,
        "us an echo": 1e6 * cpu / max(sent, 1),
        "rtt p50 us": (round_trips.percentile(50) or 0) / 1e3,
        "rtt p99 us": (round_trips.percentile(99) or 0) / 1e3,
        "MiB": sum(result["memory"] for result in results),
        "delay p50 ms": (delays.percentile(50) or 0) / 1e6,
        "p99 ms": (delays.percentile(99) or 0) / 1e6,
        "most ms": delays.maximum / 1e6,
        "late s": max((result["overrun"] for result in results), default=float("nan")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--hosts-a-shard", type=int, nargs="+", default=[10_000, 625])
    parser.add_argument("--load", type=int, default=80)
    parser.add_argument("--conditions", nargs="+", choices=["idle", "other", "same"], default=["idle", "other", "same"])
    options = parser.parse_args()
    enter_namespace()
    conditions = {
        "idle": ("idle", 0, False),
        "other": (f"load {options.load}, other group", options.load, True),
        "same": (f"load {options.load}, same group", options.load, False),
    }
    shown = False
    for name in options.conditions:
        condition, processes, own_group = conditions[name]
        with load(processes, own_group=own_group):
            for hosts, most in itertools.product(options.hosts, options.hosts_a_shard):
                shards = -(-hosts // most)
                found = run(addresses("127.1.0.1", hosts), options.seconds, shards)
                if not shown:
                    print(f"{'':<46}" + "".join(f"{name:>13}" for name in found), flush=True)
                    shown = True
                label = f"{condition}, {hosts} hosts, {shards} shard{'s' * (shards > 1)}"
                print(f"{label:<46}" + "".join(f"{figure:>13.4g}" for figure in found.values()), flush=True)


if __name__ == "__main__":
    main()
