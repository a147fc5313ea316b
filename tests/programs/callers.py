"""Programs that run ping and read what it prints: how they call it, and what they look for.

Each reader is the rule of one program, written anew: text (and exit status) in, what the program makes of it out.
"""

from __future__ import annotations

import re
from typing import NamedTuple

ROUND_TRIPS = re.compile(r"(\d+\.\d+)/(\d+\.\d+)/(\d+\.\d+)/(\d+\.\d+)")


class Misunderstood(Exception):
    """The program could not make sense of what was printed."""


class RoundTrips(NamedTuple):
    """Milliseconds."""

    least: float
    average: float
    greatest: float
    deviation: float


def _round_trips(text: str, pattern: re.Pattern[str] = ROUND_TRIPS) -> RoundTrips | None:
    found = pattern.search(text)
    return RoundTrips(*map(float, found.groups())) if found else None


class Telegraf(NamedTuple):
    """The input plugin `ping` with `method = "exec"`."""

    ttl: int
    transmitted: int
    received: int
    round_trips: RoundTrips | None


def telegraf_arguments(
    host: str, *, count: int = 1, interval: float = 0, timeout: float = 0, deadline: int = 0, interface: str = ""
) -> list[str]:
    """Numbers as Go prints floats with no more digits than needed."""
    words = ["-c", str(count), "-n", "-s", "16"]
    for letter, value in (("-i", interval), ("-W", timeout), ("-w", deadline)):
        words += [letter, f"{value:g}"] if value else []
    words += ["-I", interface] if interface else []
    return [*words, host]


def read_by_telegraf(out: str, status: int) -> Telegraf:
    """Status 1 is a host that did not answer; everything else but 0 is a failure of the program."""
    if status not in (0, 1):
        raise Misunderstood(f"exit status {status}")
    ttl = re.search(r"ttl=(\d+)", out)
    counts = [line for line in out.splitlines() if "transmitted" in line and "received" in line]
    if not counts:
        raise Misunderstood("no line with the counts")
    transmitted, received = (int(part.split(" ")[0]) for part in counts[0].split(", ")[:2])
    return Telegraf(
        int(ttl[1]) if ttl else -1,
        transmitted,
        received,
        _round_trips(out, re.compile(rf"min/avg/max/mdev = {ROUND_TRIPS.pattern} ms")),
    )


def home_assistant_arguments(host: str, count: int = 5) -> list[str]:
    """The integration `ping` where it cannot open sockets itself."""
    return ["-n", "-q", "-c", str(count), "-W1", host]


def read_by_home_assistant(out: str, status: int) -> RoundTrips | None:
    """The last line only; None is a host that is away."""
    if status > 1:
        raise Misunderstood(f"exit status {status}")
    return _round_trips(out.rstrip("\n").rpartition("\n")[2])


class NodePing(NamedTuple):
    """What node-ping, and Uptime Kuma's fork of it, gathers. Times in milliseconds."""

    address: str
    times: list[float]
    loss_percent: float
    round_trips: RoundTrips | None


def node_ping_arguments(host: str, *, timeout: int = 2, count: int = 1, source: str = "") -> list[str]:
    return ["-n", "-W", str(timeout), "-c", str(count), *(["-I", source] if source else []), host]


def read_by_node_ping(out: str, _status: int) -> NodePing:
    """Header, body and footer are told apart by what their lines look like."""
    header, *lines = out.splitlines()
    address = re.search(r"\(([^()\s]+)\)", header)
    if address is None:
        raise Misunderstood(f"a header without an address: {header!r}")
    times = [float(found[1]) for line in lines if (found := re.search(r"time=([\d.]+) *ms", line))]
    footer = [line for line in lines if "packet loss" in line]
    if not footer:
        raise Misunderstood("no line with the loss")
    loss = re.search(r"([\d.]+)%", footer[0])
    assert loss is not None
    return NodePing(address[1], times, float(loss[1]), _round_trips(lines[-1]))


def gping_arguments(host: str, interface: str = "") -> list[str]:
    return ["-O", "-i0.2", *([f"-I{interface}"] if interface else []), host]


def gping_accepts(version: str) -> bool:
    """What `ping -V` printed on standard output tells gping which ping it has before it."""
    return "iputils" in version


def read_by_gping(line: str) -> float | None:
    """Milliseconds of one line; None if no reply came; Misunderstood for a line it passes over."""
    if line.startswith("64 bytes from"):
        found = re.search(r"time=(\d+(?:\.\d+)?) ms", line)
        if found is None:
            raise Misunderstood(line)
        return float(found[1])
    if "no answer yet" in line:
        return None
    raise Misunderstood(line)
