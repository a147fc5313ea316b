"""Thousands of hosts pinged every second for a minute: what it costs, idle and on a host with a load average of 80.

    sudo python3 benchmarks/monitor.py [--hosts 1000 10000] [--seconds 60] [--shards 1 8] [--load 80]

Needs root, for a network namespace, and stress-ng. The hosts are 127.0.0.0/8: the kernel answers within microseconds,
so what a round trip is reported to have taken is its error. Conditions: idle; the load in a scheduling group (session)
of its own, as another service would be; the load in the same group. A shard is a process with its part of the hosts:
one that needs more than its share of a core starves beside 80 others in the same group, several have as many shares.

Printed for each: echoes sent and not sent of those due, lost, in per cent; the share of one core all shards took;
microseconds of round trip at the 50th and 99th percentile; MiB (PSS) of all shards together; the time the last shard
needed longer than the plan.
"""

from __future__ import annotations

import argparse
import itertools
import os
import pickle
import time

from bed import addresses, enter_namespace, load, proportional_set_size
from pingsock.probe.blocking import BlockingProber
from pingsock.probe.histogram import Histogram
from pingsock.probe.records import Reply, Skipped
from pingsock.probe.schedule import Plan, spread
from pingsock.probe.target import Target
from pingsock.wire.linux import AF_INET

SECOND = 1_000_000_000


def watch(hosts: list[str], seconds: int) -> dict[str, object]:
    """One shard: every host once a second; its counts, its round trips, and its memory at the end."""
    plan = Plan(count=seconds, interval_ns=SECOND, timeout_ns=SECOND)
    round_trips, counts = Histogram(), {"answered": 0, "skipped": 0, "other": 0}
    begin = time.monotonic_ns()
    cpu = time.process_time()
    with BlockingProber(summaries=False) as prober:
        for index, host in enumerate(hosts):
            course = prober.course(Target(host, AF_INET, (host, 0)), plan)
            prober.engine.add(course, begin + spread(index, SECOND))
        for _, record in prober.happenings():
            if isinstance(record, Reply):
                counts["answered"] += 1
                round_trips.add(record.round_trip_ns)
            elif isinstance(record, Skipped):
                counts["skipped"] += record.count
            else:
                counts["other"] += 1
    overrun = (time.monotonic_ns() - begin) / SECOND - seconds
    return counts | {
        "round_trips": round_trips,
        "cpu": time.process_time() - cpu,
        "memory": proportional_set_size(),
        "overrun": overrun,
    }


def start_shard(hosts: list[str], seconds: int) -> tuple[int, int]:
    """Fork a shard; its process and the pipe its result will come from."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(watch(hosts, seconds), pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    return child, reader


def run(hosts: list[str], seconds: int, shards: int) -> dict[str, float]:
    """All shards to their end, and their figures together."""
    started = [start_shard(hosts[shard::shards], seconds) for shard in range(shards)]
    results = []
    for child, reader in started:
        with os.fdopen(reader, "rb") as pipe:
            results.append(pickle.loads(pipe.read()))
        os.waitpid(child, 0)
    round_trips = Histogram()
    for result in results:
        round_trips.merge(result["round_trips"])
    due = len(hosts) * seconds
    answered, skipped = sum(r["answered"] for r in results), sum(r["skipped"] for r in results)
    return {
        "unsent %": 100 * skipped / due,
        "lost %": 100 * (due - skipped - answered) / due,
        "core %": 100 * sum(r["cpu"] for r in results) / seconds,
        "us a host": 1e6 * sum(r["cpu"] for r in results) / due,
        "rtt p50 us": (round_trips.percentile(50) or 0) / 1000,
        "rtt p99 us": (round_trips.percentile(99) or 0) / 1000,
        "MiB": sum(r["memory"] for r in results),
        "late s": max(r["overrun"] for r in results),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--load", type=int, default=80)
    options = parser.parse_args()
    enter_namespace()
    conditions = {
        "idle": (0, False),
        f"load {options.load}, other group": (options.load, True),
        f"load {options.load}, same group": (options.load, False),
    }
    shown = False
    for condition, (processes, own_group) in conditions.items():
        with load(processes, own_group=own_group):
            for hosts, shards in itertools.product(options.hosts, options.shards):
                figures = run(addresses("127.1.0.1", hosts), options.seconds, shards)
                if not shown:
                    print(f"{'':<44}" + "".join(f"{name:>12}" for name in figures), flush=True)
                    shown = True
                label = f"{condition}, {hosts} hosts, {shards} shard{'s' * (shards > 1)}"
                print(f"{label:<44}" + "".join(f"{figure:>12.4g}" for figure in figures.values()), flush=True)


if __name__ == "__main__":
    main()
