"""A sweep of 65,536 hosts, as whole processes: `pingsock sweep` beside fping and icmplib; and the cost of more hosts.

    sudo python3 benchmarks/sweep.py [--hosts 65536] [--rounds 5] [--flat 1000 10000 100000 1000000]

Needs root, for a network namespace. The hosts are 127.0.0.0/8, where the kernel answers for each: hosts/s is what the
tools and the kernel's half of the work allow, and a host without a reply is a false loss, of which there must be none.
fping is Debian's over a raw socket (its ping sockets ignore all replies), as fast as it goes; icmplib is
`async_multiping` with 1,000 tasks, if it is installed. Printed are medians over the rounds. `--flat` then sweeps
growing numbers of hosts and prints microseconds of CPU a host, the start of Python taken off, and MiB resident at the
peak.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import sys
from functools import partial
from typing import TYPE_CHECKING

from bed import address, addresses, enter_namespace, in_child, interleaved, run_command, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FIRST = "127.1.0.0"
OURS = [sys.executable, "-m", "pingsock", "sweep", "--rate", "0", "--retries", "0", "--all-addresses", "--alive"]


def figures(usage: dict[str, float], alive: int, hosts: int) -> dict[str, float]:
    """The line of one run."""
    return {
        "hosts/s": hosts / usage["wall"],
        "us CPU a host": 1e6 * usage["cpu"] / hosts,
        "peak MiB": usage["peak"],
        "false losses": hosts - alive,
    }


def alive_in(lines: Iterable[str]) -> int:
    """How many addresses are listed; what is said beside them is not counted."""
    return sum(line.startswith("127.") for line in lines)


def sweep(hosts: int, *options: str) -> dict[str, float]:
    """`pingsock sweep`, which prints who is alive."""
    command = [*OURS, *options, "--no-progress", f"{FIRST}-{address(FIRST, hosts - 1)}"]
    return figures(*run_command(command, alive_in), hosts)


def fping(hosts: int) -> dict[str, float]:
    """Debian's fping over a raw socket."""
    command = ["fping", "-a", "-i", "0", "-r", "0", "-g", FIRST, address(FIRST, hosts - 1)]
    return figures(*run_command(command, alive_in), hosts)


def multiping(hosts: int) -> int:
    """Icmplib's alive hosts."""
    from icmplib import async_multiping

    work = async_multiping(addresses(FIRST, hosts), count=1, timeout=1, concurrent_tasks=1000, privileged=False)
    return sum(host.is_alive for host in asyncio.run(work))


def icmplib(hosts: int) -> dict[str, float]:
    """icmplib.async_multiping."""
    usage, alive = in_child(multiping, hosts)
    return figures(usage, alive, hosts)


def contenders(hosts: int) -> dict[str, Callable[[], dict[str, float]]]:
    """Everyone who can be run here."""
    runs: dict[str, Callable[[], dict[str, float]]] = {
        "pingsock sweep": partial(sweep, hosts),
        "pingsock sweep --jobs 2": partial(sweep, hosts, "--jobs", "2"),
    }
    if shutil.which("fping"):
        runs["fping, raw"] = partial(fping, hosts)
    try:
        import icmplib as _installed  # noqa: F401 - only whether it is there
    except ImportError:
        print("icmplib is not installed: left out")
    else:
        runs["icmplib async_multiping"] = partial(icmplib, hosts)
    return runs


def flat(numbers: list[int], rounds: int) -> None:
    """Print what a host costs among so many."""
    start = statistics.median(sweep(1)["us CPU a host"] for _ in range(rounds))
    for hosts in numbers:
        runs = [sweep(hosts) for _ in range(rounds)]
        cpu = statistics.median(run["us CPU a host"] for run in runs) - start / hosts
        peak, lost = statistics.median(run["peak MiB"] for run in runs), max(run["false losses"] for run in runs)
        print(f"{hosts:>10} hosts {cpu:>8.2f} us CPU a host {peak:>8.1f} MiB {lost:>6.0f} false losses", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=65_536)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--flat", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    options = parser.parse_args()
    enter_namespace()
    runs = contenders(options.hosts)
    print(f"{options.hosts} hosts of 127.0.0.0/8, whole processes, medians of {options.rounds} rounds")
    yardstick = "fping, raw" if "fping, raw" in runs else "pingsock sweep"
    print(table(interleaved(runs, options.rounds), yardstick, "hosts/s"))
    flat(options.flat, 3)


if __name__ == "__main__":
    main()
