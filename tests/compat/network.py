"""A path of three routers to a host, behind a TUN device in a namespace of the test's own.

this host 10.0.0.1 -- 10.0.0.2 r1 10.0.1.1 -- 10.0.1.2 r2 10.0.2.1 -- 10.0.2.2 r3 10.0.3.1 -- far 192.0.2.1
          2001:db8:0:1::1 ...                                                             far 2001:db8:aaaa::1
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pingsock import lab

FAR, FAR6 = "192.0.2.1", "2001:db8:aaaa::1"
SILENT = "192.0.2.9"
UNREACHABLE = "198.51.100.1"
HOPS = ["10.0.0.2", "10.0.1.2", "10.0.2.2", FAR]
HOPS6 = ["2001:db8:0:1::2", "2001:db8:1::2", "2001:db8:2::2", FAR6]
_MINE = ["10.0.0.1/24", "2001:db8:0:1::1/64"]
_GATE = ["10.0.0.2/24", "2001:db8:0:1::2/64"]


def open_group_range() -> None:
    """Let everybody open the kernel's ping sockets in this thread's network namespace."""
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")


def path(**settings: Any) -> lab.Network:
    """`settings` are those of the links behind the first router."""
    network = lab.Network()
    for number in (1, 2, 3):
        network.router(f"r{number}", f"10.255.0.{number}", f"2001:db8:ff::{number}")
    network.host("far", FAR, FAR6)
    network.host("silent", SILENT).rule("drop")
    for number, (left, right) in enumerate((("r1", "r2"), ("r2", "r3"), ("r3", "far")), 1):
        network.link(left, right, f"10.0.{number}.0/24", f"2001:db8:{number}::/64", **settings)
    network.link("r3", "silent", "10.0.9.0/24")
    network.node("r1").route("198.51.100.0/24", via="r2")
    network.node("r2").route("198.51.100.0/24", refuse="prohibit")
    return network


def attached(network: lab.Network) -> Any:
    return lab.kernel_lab(network, "r1", *_MINE, right_addresses=_GATE)
