"""A network namespace for tests of the library: loopback, with addresses that do not answer, or not as wished.

127.0.0.0/8, ::1    answer, but
127.0.9.1           swallows everything
127.0.9.2           says that it is prohibited (ICMP type 3, code 10)
10.9.1.0/24         is unreachable, as this host itself knows
127.255.255.255     is a broadcast address that is answered
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pingsock.probe.records import (
    IcmpError,
    Record,
    SendFailure,
    Skipped,
    Stray,
    Summary,
    Timeout,
    Unmeasured,
    Unresolved,
)
from pingsock.tools.destination import Destination, UnknownHost
from sockets_unit.private import EVERYBODY, in_private_network

T = TypeVar("T")

KINDS = ["kernel", "embedded"]
COUNTS = ("sent", "received", "late", "silent", "errors", "send_failures", "duplicates")
ALIVE, ALIVE6, SILENT, PROHIBITED, UNREACHABLE = "127.0.0.1", "::1", "127.0.9.1", "127.0.9.2", "10.9.1.1"
BROADCAST = "127.255.255.255"
_RULES = f"""table inet tests {{
    chain input {{
        type filter hook input priority 0;
        ip daddr {SILENT} drop
        ip daddr {PROHIBITED} reject with icmp type host-prohibited
    }}
}}
"""
_SYSCTLS = {"icmp_echo_ignore_broadcasts": "0", "icmp_ratelimit": "0", "icmp_msgs_per_sec": "100000"}


def inside(function: Callable[[], T], *, group_range: str = EVERYBODY) -> T:
    """The function's result in a process in such a namespace."""
    if shutil.which("nft") is None:
        pytest.skip("needs nft")

    def prepared() -> T:
        for name, setting in _SYSCTLS.items():
            place = Path("/proc/sys/net/ipv4", name)
            if place.exists():
                place.write_text(setting)
        subprocess.run(["nft", "-f", "-"], input=_RULES, text=True, check=True)
        return function()

    return in_private_network(prepared, group_range=group_range, ip="route add unreachable 10.9.1.0/24")


def descriptors() -> set[str]:
    """This process's open files, but for the directory that is read for it."""
    return {f"{number} {_link(number)}" for number in os.listdir("/proc/self/fd") if _link(number)}


def _link(number: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""


class NothingLeft:
    """A block after which neither descriptors nor threads are left that were not there before."""

    def __enter__(self) -> None:
        self._before = descriptors(), set(threading.enumerate())

    def __exit__(self, *error: object) -> None:
        gc.collect()
        descriptors_before, threads_before = self._before
        assert descriptors() == descriptors_before
        left = [thread for thread in set(threading.enumerate()) - threads_before if not _belongs_to_loop(thread)]
        assert left == []


def _belongs_to_loop(thread: threading.Thread) -> bool:
    # Threads in which others' blocking calls run are kept for the next one by whoever made them.
    return thread.name.startswith(("Trio thread", "asyncio_"))


def told(records: Iterable[Any]) -> list[Any]:
    """Records, but for what a busy machine adds to them: probes skipped because nobody let us run."""
    return [record for record in records if not isinstance(record, Skipped)]


def facts(record: Any) -> tuple[Any, ...]:
    """What a record says, without what is measured or chosen at random."""
    # Silence is silence, also while a busy machine did not let us run.
    kind = Timeout if isinstance(record, Unmeasured) else type(record)
    said: tuple[Any, ...] = (kind.__name__,)
    if isinstance(record, (Record, Summary)):
        said += (record.target.host, record.target.address)
    if isinstance(record, Record):
        said += (record.number,)
    if isinstance(record, IcmpError):
        said += (record.reporter[0], record.type, record.code)
    if isinstance(record, SendFailure):
        said += (record.errno,)
    if isinstance(record, (Unresolved, Stray)):
        said += (record.reason,)
    if isinstance(record, Summary):
        counts = record.statistics.as_dict()
        counts["silent"] = counts["timeouts"] + counts["unmeasured"]
        said += (" ".join(f"{name}={counts[name]}" for name in COUNTS if counts[name]),)
    return said


def some_names(name: str, family: int = 0) -> list[Destination]:
    """A resolver that knows one name, with two addresses."""
    if name != "two.test":
        raise UnknownHost(name, "Name or service not known")
    found = [Destination(2, ("127.0.0.5", 0), name), Destination(10, ("::1", 0, 0, 0), name)]
    return [destination for destination in found if family in (0, destination.family)]
