"""Memory of one ping among many: `pingsock ping` beside a bare interpreter, and beside iputils.

    sudo python3 benchmarks/memory.py [--processes 200] [--interpreter /usr/bin/python3] [--probes 9000]

Needs root, for namespaces. So many processes of each kind run at once, in turn, as an ordinary user; the pings ask
127.0.0.1 every 0.2 s. When all have sent for some seconds, printed in MiB are the median and the largest PSS (what
processes share, as the text of the interpreter, counted in proportion), and what the machine has less available, for
each process: with its kernel stack, page tables and socket. The last column is the ratio to the bare interpreter.
Aimed at are 4.5 MiB of PSS.

With --probes they ask as often as users may, and are looked at when they have sent so many probes each. That is what a
ping needs which has run for long: it remembers the latest 65536.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bed import (
    available_memory,
    enclose,
    installed_environment,
    pingsock_command,
    proportional_set_size,
    start_as_nobody,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = "127.0.0.1"
INTERVAL, SHORTEST_INTERVAL = "0.2", "0.002"
SETTLING = 5.0
FIGURES = ("PSS median", "PSS largest", "available")


def commands(interpreter: str, interval: str) -> Iterator[tuple[str, list[str]]]:
    """What is measured, by name; the first is the measure of the others, and sends nothing."""
    yield "python3 -I -S", [interpreter, "-I", "-S", "-c", "import time; time.sleep(3600)"]
    yield "pingsock ping", pingsock_command("ping", "-i", interval, TARGET, interpreter=interpreter)
    iputils = shutil.which("ping")
    if iputils:
        yield "iputils ping", [iputils, "-i", interval, TARGET]


def requests_sent() -> int:
    """ICMP echo requests that left in this network namespace."""
    lines = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("IcmpMsg:")]
    return sum(int(count) for name, count in zip(*lines, strict=True) if name == "OutType8") if lines else 0


def memory(command: list[str], processes: int, environment: dict[str, str], probes: int) -> list[float]:
    """The FIGURES of so many processes, all alive at once, which have sent so many probes each."""
    due = requests_sent() + processes * probes
    before = available_memory()
    running = [
        start_as_nobody(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(processes)
    ]
    time.sleep(SETTLING)
    while requests_sent() < due and all(process.poll() is None for process in running):
        time.sleep(0.1)
    taken = (before - available_memory()) / processes
    sizes = [proportional_set_size(process.pid) for process in running]
    ended = [process.poll() for process in running if process.poll() is not None]
    for process in running:
        process.kill()
        process.wait()
    if ended:
        raise SystemExit(f"{len(ended)} of {processes} ended: {' '.join(command)}, status {ended[0]}")
    return [statistics.median(sizes), max(sizes), taken]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=200)
    parser.add_argument("--interpreter", default="/usr/bin/python3")
    parser.add_argument("--probes", type=int, default=0)
    options = parser.parse_args()
    environment = installed_environment(options.interpreter)
    enclose()
    print(f"{options.processes} processes of each, {options.interpreter}, MiB each")
    print(f"{'':<18}" + "".join(f"{name:>14}" for name in FIGURES) + f"{'PSS ratio':>14}", flush=True)
    bare = 0.0
    interval = SHORTEST_INTERVAL if options.probes else INTERVAL
    for name, command in commands(options.interpreter, interval):
        figures = memory(command, options.processes, environment, options.probes if bare else 0)
        bare = bare or figures[0]
        cells = "".join(f"{figure:>14.2f}" for figure in figures)
        print(f"{name:<18}{cells}{figures[0] / bare:>14.2f}", flush=True)


if __name__ == "__main__":
    main()
