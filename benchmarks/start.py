"""CPU time of one ping: `pingsock ping -c 1 127.0.0.1` beside the same Python doing nothing, and beside iputils.

    python3 benchmarks/start.py [--rounds 30]

Prints medians of interleaved rounds in milliseconds of user and system time, and the ratio to the bare interpreter,
which is to be below 2. The interpreter is the one that runs this script; modules are compiled first. Where ping
sockets are closed to the caller it measures the embedded socket, and says so.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys

from bed import installed_environment, pingsock_command

TARGET = ["-c", "1", "127.0.0.1"]


def cpu_milliseconds(command: list[str], environment: dict[str, str]) -> float:
    """User and system time of one run of `command`, children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def commands() -> dict[str, list[str]]:
    """What is measured, by name; the first is the measure of the others."""
    found = {
        "python3 -c pass": [sys.executable, "-c", "pass"],
        "python3 -c 'import socket'": [sys.executable, "-c", "import socket"],
        "pingsock ping -c 1": pingsock_command("ping", *TARGET),
    }
    iputils = shutil.which("ping")
    if iputils:
        found["iputils ping -c 1"] = [iputils, *TARGET]
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="rounds, at least 20 (default 30)")
    rounds = max(parser.parse_args().rounds, 20)
    environment = installed_environment()
    measured: dict[str, list[float]] = {name: [] for name in commands()}
    for _ in range(rounds):
        for name, command in commands().items():
            measured[name].append(cpu_milliseconds(command, environment))
    bare = next(iter(measured.values()))
    print(f"{rounds} interleaved rounds, {sys.executable} {sys.version.split()[0]}, {kind_of_socket()} socket")
    for name, times in measured.items():
        ratio = statistics.median(one / zero for one, zero in zip(times, bare, strict=True))
        print(f"{name:<28}{statistics.median(times):8.2f} ms {ratio:8.2f} x")


def kind_of_socket() -> str:
    """Which kind of ping socket is measured."""
    from pingsock.sockets.choose import open_ping_socket

    with open_ping_socket() as sock:
        return sock.kind


if __name__ == "__main__":
    main()
