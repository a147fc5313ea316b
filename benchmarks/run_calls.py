"""What `pingsock run` adds to system calls: those on ping sockets, and all others.

    python3 benchmarks/run_calls.py [--rounds 5]

benchmarks/yardstick/runcalls.c runs on a ping socket of the kernel, and through `pingsock run` with its sockets served
by the supervisor itself, served by a service, and handed over by a service. Each round runs all of them in turn;
printed is the least of all rounds, in nanoseconds, for whatever else runs on a machine only adds. As root, in a
network namespace of its own; round trips are to 127.0.0.1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bed import SOURCE, build, enter_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN, CLOSED, FOR_SERVICE = "0 2147483647", "1 0", "64990 64990"
COMMAND = [sys.executable, "-c", "from pingsock.cli.main import run; run()"]
RANGE = Path("/proc/sys/net/ipv4/ping_group_range")
CONFIGURATION = '[access]\ngroup_range = "0 4294967294"\n[permit]\nhand_over = {}\nowner_exclusive_idents = false\n'


@contextmanager
def service(directory: str, name: str, hand_over: str) -> Iterator[str]:
    """A service as a user of its own; where it listens."""
    configuration, path = Path(directory, f"{name}.toml"), str(Path(directory, name))
    configuration.write_text(CONFIGURATION.format(hand_over))
    words = [*COMMAND, "serve", "--config", str(configuration), "--socket", path, "--user=64990:64990"]
    with subprocess.Popen(words, env=environment(), stderr=subprocess.DEVNULL) as process:
        try:
            while not os.path.exists(path):
                time.sleep(0.01)
            yield path
        finally:
            process.terminate()


def environment() -> dict[str, str]:
    """For our own commands."""
    return os.environ | {"PYTHONPATH": str(SOURCE)}


def measure(words: list[str], groups: str) -> dict[str, float]:
    """What the program printed, with ping sockets of the kernel open to these groups."""
    RANGE.write_text(groups)
    text = subprocess.run(words, env=environment(), check=True, stdout=subprocess.PIPE, text=True).stdout
    return {name: float(number) for name, number in (line.split() for line in text.splitlines())}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    enter_namespace()
    program = build("runcalls")
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="pingsock-benchmark-"))
        os.chmod(directory, 0o755)
        RANGE.write_text(FOR_SERVICE)
        handing = stack.enter_context(service(directory, "handing", "true"))
        serving = stack.enter_context(service(directory, "serving", "false"))
        contenders = {
            "kernel": ([program], OPEN),
            "embedded": ([*COMMAND, "run", "-S", "/nowhere", program], CLOSED),
            "served": ([*COMMAND, "run", "-S", serving, program], CLOSED),
            "borrowed": ([*COMMAND, "run", "-S", handing, program], FOR_SERVICE),
        }
        results: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, (words, groups) in contenders.items():
                results[name].append(measure(words, groups))
    print(f"{'':<16}" + "".join(f"{name:>12}" for name in results))
    for call in results["kernel"][0]:
        figures = [min(each[call] for each in of_one) for of_one in results.values()]
        print(f"{call:<16}" + "".join(f"{figure:>12.0f}" for figure in figures))


if __name__ == "__main__":
    main()
