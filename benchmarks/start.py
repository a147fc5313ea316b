"""The start of one ping: `pingsock ping -c 1 127.0.0.1` beside the same Python doing nothing, and beside iputils.

    python3 benchmarks/start.py [--rounds 30]

Prints medians of interleaved rounds in milliseconds: user and system time of the whole process, and its ratio to the
bare interpreter's, which is to be below 2; as root, in a network namespace of its own, also the time from starting the
process until its echo request leaves. The interpreter is the one that runs this script; modules are compiled first.
Where ping sockets are closed to the caller it measures the embedded socket, and says so.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time

from bed import Capture, enter_namespace, installed_environment, pingsock_command

TARGET = ["-c", "1", "127.0.0.1"]


Times = tuple[float, float]
"""Milliseconds of CPU; until the first echo request left, 0 if that is not known."""


def run(command: list[str], environment: dict[str, str], capture: Capture | None) -> Times:
    """The times of one run of `command`, children included."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.time_ns()
    done = subprocess.run(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    left = capture.first_request() if capture is not None else 0
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1e3 * cpu, (left - begin) / 1e6 if left else 0.0


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
    capture = None
    if os.geteuid() == 0:
        enter_namespace()
        capture = Capture("lo")
    measured: dict[str, list[Times]] = {name: [] for name in commands()}
    for _ in range(rounds):
        for name, command in commands().items():
            measured[name].append(run(command, environment, capture))
    bare = next(iter(measured.values()))
    print(f"{rounds} interleaved rounds, {sys.executable} {sys.version.split()[0]}, {kind_of_socket()} socket")
    for name, times in measured.items():
        ratio = statistics.median(one / zero for (one, _), (zero, _) in zip(times, bare, strict=True))
        cpu, until_sent = (statistics.median(column) for column in zip(*times, strict=True))
        sent = f"   first echo request after {until_sent:6.2f} ms" if until_sent else ""
        print(f"{name:<28}{cpu:8.2f} ms CPU {ratio:6.2f} x{sent}")


def kind_of_socket() -> str:
    """Which kind of ping socket is measured."""
    from pingsock.sockets.choose import open_ping_socket

    with open_ping_socket() as sock:
        return sock.kind


if __name__ == "__main__":
    main()
