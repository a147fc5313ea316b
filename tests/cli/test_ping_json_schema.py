"""Every object of many kinds of runs has the keys and the types that docs/ping-json.md tells, and no others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.ping_network import PingNetwork, ping_network

DOCUMENT = (Path(__file__).parents[2] / "docs" / "ping-json.md").read_text()
PROBES = {"reply", "late", "duplicate", "corrupted", "icmp_error", "note", "send_failure"}
PROBES |= {"timeout", "overflow", "unmeasured"}
TABLE = """
schema family size number sequence bytes: int
icmp_type icmp_code errno: int
transmitted sent received late timeouts errors overflows unmeasured in_flight send_failures lost: int
duplicates strays notes corrupted reordered skipped altered exit_status: int
time waited loss_percent interval elapsed: int float
count deadline timeout sent_at hop_limit round_trip altered_at mtu pointer loss: int float None
minimum mean maximum deviation smoothed jitter: int float None
percentile_50 percentile_90 percentile_95 percentile_99: int float None
type program version host address asks socket reporter message ip_options: str
reason errno_name gateway time_iso: str
source interface timed revises icmp_type_name icmp_code_name: str None
is_alive: bool
other_source truncated: bool int
answer: dict None
limits_exceeded histogram: list
"""
"""Key -> the types its value may have, in whatever object it is; `other_source` is a number in a summary."""
KNOWN = {each.__name__: each for each in (bool, int, float, str, list, dict)} | {"None": type(None)}
TYPES = {
    key: {KNOWN[name] for name in line.partition(":")[2].split()}
    for line in TABLE.strip().splitlines()
    for key in line.partition(":")[0].split()
}


RUNS = {
    "IPv4": "-c 2 -i .2 10.77.2.2",
    "IPv6": "-c 1 fd77:2::2",
    "a name": "-c 1 server.test",
    "errors": "-c 2 -i .2 10.77.3.1",
    "errors about IPv6": "-c 1 fd77:3::3",
    "too big": "-c 1 -M do -s 1450 -W 1 10.77.2.2",
    "too big for this host": "-c 1 -M do -s 2000 10.77.2.2",
    "out of hops": "-c 1 -t 1 10.77.2.2",
    "silence": "-c 2 -i .2 -O -W .2 10.77.3.99",
    "refused": "-c 1 -W .2 -I 10.77.1.2 10.77.7.1",
    "route": "-R -c 1 10.77.2.2",
    "times": "-T tsandaddr -c 1 10.77.2.2",
    "device": "-I far -c 1 fd77:2::2",
    "all displays": "-a -D -f -v -A -n -3 -p ff -c 2 -i .2 10.77.2.2",
    "quiet": "-q -c 1 10.77.2.2",
    "iso times": "--time iso -c 1 10.77.2.2",
    "percentiles": "--percentiles -c 5 -i .01 10.77.2.2",
    "no percentiles": "--percentiles -c 1 10.77.3.1",
    "limits": "--max-loss 0 --max-rtt 0 -c 1 10.77.2.2",
    "deadline": "-w 1 -i .3 10.77.2.2",
    "no timeout": "-W 0 -c 1 10.77.2.2",
    "small": "-s 0 -c 1 10.77.2.2",
    "raw": "-e 0 -c 1 10.77.2.2",
    "raw, errors": "-e 0 -c 1 -W .3 10.77.3.1",
    "embedded": "--socket embedded -c 1 fd77:2::2",
    "until down": "--until-down=2 -i .2 10.77.3.1",
    "timestamp": "--timestamp -c 1 10.77.2.2",
    "information": "--info -c 1 -W .3 10.77.2.2",
    "mask": "--mask -c 1 -W .3 10.77.2.2",
    "probe": "--probe lo -c 1 -W .3 10.77.2.2",
    "node information": "-N name -c 1 -W .3 fd77:2::2",
}


@pytest.fixture(scope="module")
def network() -> Iterator[PingNetwork]:
    with ping_network("pingschema") as network:
        yield network


def section(heading: str) -> str:
    """The text below a heading, up to the next one."""
    found = re.search(rf"^##+ {heading}\n(.*?)(?=^##|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


def rows(text: str) -> tuple[set[str], set[str]]:
    """The keys the first table tells of: those that are always there, and those that are only sometimes."""
    always: set[str] = set()
    sometimes: set[str] = set()
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    for names, content in re.findall(r"^\| (`[^|]*`) \| (.*) \|$", table[0] if table else "", re.MULTILINE):
        keys = {name if name[0] != "_" else f"percentile{name}" for name in re.findall(r"`(\w+)`", names)}
        is_rare = re.search(r"\bonly\b|not in duplicates|^with `", content) is not None
        (sometimes if is_rare else always).update(keys)
    return always, sometimes


def keys_of(kind: str) -> tuple[set[str], set[str]]:
    """Those of one type."""
    headings = [heading for heading in re.findall(r"^##+ (.*)$", DOCUMENT, re.MULTILINE) if f"`{kind}`" in heading]
    tables = [rows(section("Every object"))]
    if kind in PROBES:
        tables.append(rows(section("Of a probe")))
    tables += [rows(section(heading)) for heading in headings]
    always: set[str] = set().union(*(each for each, _ in tables))
    sometimes: set[str] = set().union(*(each for _, each in tables))
    return always | SPOKEN.get(kind, set()), sometimes | RARELY_SPOKEN.get(kind, set())


SPOKEN: dict[str, set[str]] = {
    "send_failure": {"errno", "errno_name", "reason"},
    "socket_failure": {"errno", "errno_name", "reason"},
    "timeout": {"waited"},
    "overflow": {"waited"},
    "unmeasured": {"waited"},
    "unanswered": {"host", "address", "sequence"},
}
"""What sentences tell of, not tables."""
RARELY_SPOKEN = {"send_failure": {"mtu"}}


def complaints(told: dict[str, Any]) -> list[str]:
    """What is wrong with an object."""
    always, sometimes = keys_of(told["type"])
    found = [f"no {key}" for key in always - told.keys()]
    found += [f"{key} is not documented" for key in told.keys() - always - sometimes]
    return found + [f"{key} is {value!r}" for key, value in told.items() if type(value) not in TYPES[key]]


@pytest.mark.parametrize("run", RUNS)
def test_every_object_is_as_documented(network: PingNetwork, run: str) -> None:
    result = network.run("ours", ["--json", *RUNS[run].split()])
    told = [json.loads(line) for line in result.out.splitlines()]

    assert [each["type"] for each in told][:: len(told) - 1] == ["start", "summary"], result.err
    assert [(each["type"], wrong) for each in told if (wrong := complaints(each))] == []
    assert told[-1]["exit_status"] == result.status


def test_every_spoken_key_is_in_the_document() -> None:
    for kind, keys in [*SPOKEN.items(), *RARELY_SPOKEN.items()]:
        assert all(f"`{key}`" in DOCUMENT for key in keys), kind
