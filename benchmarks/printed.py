"""How true the round trips are that a ping prints: beside a capture, idle and with all cores busy.

    sudo python3 benchmarks/printed.py [--count 50] [--rounds 4] [--hogs 8] [--interpreter /usr/bin/python3]

Needs root, for network namespaces and a TUN device, a C compiler, and stress-ng. Two namespaces are joined by a veth
pair: in the other one the kernel answers at once, or passes what it gets on to a program that answers 2 ms later (see
`yardstick/delayed_echo.c`). A packet socket on the near end keeps requests and replies with the kernel's stamps; it is
read when a run is over, so it takes part in nothing. `pingsock ping`, iputils' and fping run in turn, so many probes
each round. Over all rounds are printed, in microseconds, the median, 5th and 95th percentile, least and largest of what
was printed less what was captured, and the ratio of the median to iputils'.

A bias of some microseconds below zero is the capture's own: a packet passes its tap before the driver's stamp.
Rounding is part of the errors: half of 10 us from 1 ms on, and half of 100 from 10 ms on, where hogs delay the
answering program.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from bed import (
    Capture,
    Paths,
    build,
    enclose,
    enter_namespace,
    installed_environment,
    load,
    percentile,
    pingsock_command,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NEAR, FAR, BEHIND_FAR = "198.51.100.1", "198.51.100.2", "10.0.0.1"
PEERS = {"replies at once": FAR, "replies after 2 ms": BEHIND_FAR}
DELAY_MS = 2
INTERVAL_MS = 20
_PING_LINE = re.compile(r"icmp_seq=(\d+) ttl=\d+ time=([\d.]+) ms")
_FPING_LINE = re.compile(r"\[(\d+)\], \d+ bytes, ([\d.]+) ms")

Contender = tuple[list[str], re.Pattern[str], int]
"""A command, its lines, and the number it gives to its first probe."""


def start_far_side(responder: str) -> None:
    """A process in a namespace at the other end of a veth pair, which answers for PEERS."""
    ready, moved = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        enter_namespace()
        os.write(ready[1], b".")
        os.read(moved[0], 1)
        _run("address", "add", f"{FAR}/30", "dev", "far")
        _run("link", "set", "far", "up")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        Paths(responder, DELAY_MS, DELAY_MS)
        os.write(ready[1], b".")
        signal.pause()
    os.read(ready[0], 1)
    _run("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(child))
    _run("address", "add", f"{NEAR}/30", "dev", "near")
    _run("link", "set", "near", "up")
    _run("route", "add", f"{BEHIND_FAR}/32", "via", FAR)
    os.write(moved[1], b".")
    os.read(ready[0], 1)


def _run(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def contenders(host: str, count: int, interpreter: str) -> dict[str, Contender]:
    """Whose output is measured, by name."""
    arguments = ["-c", str(count), "-i", str(INTERVAL_MS / 1000), host]
    found: dict[str, Contender] = {
        "pingsock": (pingsock_command("ping", *arguments, interpreter=interpreter), _PING_LINE, 1)
    }
    if iputils := shutil.which("ping"):
        found["iputils"] = ([iputils, *arguments], _PING_LINE, 1)
    if fping := shutil.which("fping"):
        found["fping"] = ([fping, "-C", str(count), "-p", str(INTERVAL_MS), host], _FPING_LINE, 0)
    return found


def errors(contender: Contender, capture: Capture, environment: dict[str, str]) -> list[float]:
    """Microseconds by which each printed round trip was longer than the captured one."""
    command, line, first = contender
    capture.round_trips()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    captured = capture.round_trips()
    printed = {int(number) - first: float(milliseconds) for number, milliseconds in line.findall(done.stdout)}
    if not printed:
        raise SystemExit(f"{' '.join(command)} printed no round trip: {done.stderr or done.stdout}")
    return [1000 * printed[at] - took / 1000 for at, took in enumerate(captured) if at in printed and took >= 0]


def measured(run: Callable[[str], dict[str, Contender]], rounds: int, environment: dict[str, str]) -> None:
    """Run all contenders in turn and print a table for each peer."""
    capture = Capture("near")
    for peer, host in PEERS.items():
        found = run(host)
        collected: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(rounds):
            for name, contender in found.items():
                collected[name] += errors(contender, capture, environment)
        show(peer, collected)


def show(peer: str, collected: dict[str, list[float]]) -> None:
    """A line each contender."""
    yardstick = percentile(collected.get("iputils", []), 50)
    print(
        f"{peer:<22}"
        + "".join(f"{name:>10}" for name in ("probes", "median", "p5", "p95", "least", "largest", "ratio"))
    )
    for name, values in collected.items():
        figures = [percentile(values, 50), percentile(values, 5), percentile(values, 95), min(values), max(values)]
        cells = "".join(f"{figure:>+10.1f}" for figure in figures)
        print(f"  {name:<20}{len(values):>10}{cells}{figures[0] / yardstick:>10.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--hogs", type=int, default=8)
    parser.add_argument("--interpreter", default="/usr/bin/python3")
    options = parser.parse_args()
    environment = installed_environment(options.interpreter)
    responder = build("delayed_echo")
    enclose()
    start_far_side(responder)
    for host in PEERS.values():
        # The neighbours are found now, and time stamping is on for everybody from now on.
        subprocess.run(["ping", "-q", "-c", "3", "-i", "0.2", host], check=True, stdout=subprocess.DEVNULL)
    for hogs in (0, options.hogs):
        with load(hogs, own_group=False):
            print(f"{hogs} other processes compute" if hogs else "idle", flush=True)
            measured(lambda host: contenders(host, options.count, options.interpreter), options.rounds, environment)


if __name__ == "__main__":
    main()
