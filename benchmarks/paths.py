"""Ten thousand hosts at once, 20 to 200 ms away: how long it takes, what it costs, and how true the round trips are.

    sudo python3 benchmarks/paths.py [--hosts 10000] [--rounds 5]

Needs root, for a network namespace and a TUN device in it, and a C compiler for the far end, which delays each reply by
what depends on its address and logs how long that really took. The error of a round trip is what was reported less what
the log says, so the few microseconds of TUN and kernel are in it. Beside ours run Debian's fping as root and, if they
are installed, icmplib's `async_multiping`. Printed are medians over the rounds: seconds of wall and CPU time, MiB
resident, hosts without a reply, microseconds of error.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
from typing import TYPE_CHECKING

from bed import Paths, addresses, build, enter_namespace, in_child, interleaved, percentile, run_command, table
from pingsock.probe.blocking import BlockingProber
from pingsock.probe.records import Reply
from pingsock.probe.schedule import Plan
from pingsock.probe.target import Target
from pingsock.wire.linux import AF_INET

if TYPE_CHECKING:
    from collections.abc import Callable

    Reported = dict[str, float]

TIMEOUT = 1.0


def blocking(hosts: list[str]) -> Reported:
    """Our blocking driver; address -> nanoseconds."""
    plan = Plan(timeout_ns=int(TIMEOUT * 1e9))
    with BlockingProber() as prober:
        prober.engine.feed(prober.course(Target(host, AF_INET, (host, 0)), plan) for host in hosts)
        return {
            record.target.host: record.round_trip_ns for _, record in prober.happenings() if isinstance(record, Reply)
        }


def asynchronous(hosts: list[str]) -> Reported:
    """Our asyncio driver."""
    from pingsock import aio

    async def run() -> Reported:
        records = aio.ping_many(hosts, timeout=TIMEOUT, rate=0)
        return {record.target.host: record.round_trip_ns async for record in records if isinstance(record, Reply)}

    return asyncio.run(run())


def batch(hosts: list[str]) -> Reported:
    """Our batch driver."""
    from pingsock.probe.batch_jobs import BatchRun

    plan = Plan(timeout_ns=int(TIMEOUT * 1e9))
    targets = (Target(host, AF_INET, (host, 0)) for host in hosts)
    with BatchRun(targets, plan) as run:
        return {record.target.host: record.round_trip_ns for record in run.records() if isinstance(record, Reply)}


def icmplib(hosts: list[str]) -> Reported:
    """Icmplib, all hosts at once."""
    from icmplib import async_multiping

    results = asyncio.run(
        async_multiping(hosts, count=1, timeout=TIMEOUT, concurrent_tasks=len(hosts), privileged=False)
    )
    return {host.address: host.avg_rtt * 1e6 for host in results if host.is_alive}


def fping(hosts: list[str]) -> tuple[dict[str, float], Reported]:
    """Debian's fping over a raw socket, as fast as it goes."""
    command = ["fping", "-q", "-C", "1", "-i", "0", "-t", str(int(TIMEOUT * 1000)), "-B", "1", "-r", "0", *hosts]
    usage, text = run_command(command, lambda output: output.read())
    found = re.findall(r"^(\S+)\s*: ([\d.]+)$", text, re.MULTILINE)
    return usage, {host: float(milliseconds) * 1e6 for host, milliseconds in found}


def measured(run: Callable[[], tuple[dict[str, float], Reported]], responder: str, hosts: int) -> dict[str, float]:
    """One run over fresh paths, with the errors of its round trips."""
    paths = Paths(responder, 20, 200)
    try:
        usage, reported = run()
    finally:
        took = {address: nanoseconds for (address, _), nanoseconds in paths.stop().items()}
    errors = [(round_trip - took[host]) / 1000 for host, round_trip in reported.items()]
    return usage | {
        "silent": hosts - len(reported),
        "error_p50": percentile(errors, 50),
        "error_p99": percentile(errors, 99),
    }


def contenders(responder: str, hosts: list[str]) -> dict[str, Callable[[], dict[str, float]]]:
    """Everyone who can be run here."""
    works = {"pingsock, blocking": blocking, "pingsock, asyncio": asynchronous, "pingsock, batch": batch}
    try:
        import icmplib as _installed  # noqa: F401 - only whether it is there
    except ImportError:
        print("icmplib is not installed: left out")
    else:
        works["icmplib async_multiping"] = icmplib
    runs = {name: lambda work=work: in_child(work, hosts) for name, work in works.items()}
    if shutil.which("fping"):
        runs["fping, raw"] = lambda: fping(hosts)
    return {name: lambda run=run: measured(run, responder, len(hosts)) for name, run in runs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    enter_namespace()
    runs = contenders(build("delayed_echo"), addresses("10.0.0.1", options.hosts))
    yardstick = "fping, raw" if "fping, raw" in runs else "pingsock, blocking"
    print(f"{options.hosts} hosts at once, 20-200 ms away, medians of {options.rounds} rounds")
    print(table(interleaved(runs, options.rounds), yardstick, "wall"))


if __name__ == "__main__":
    main()
