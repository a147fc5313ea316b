"""Round trips on loopback through each kind of socket, side by side: kernel, embedded, and a bare raw socket.

    sudo python3 benchmarks/rtt.py [--count N] [--rounds N]

Needs root: it measures in a network namespace of its own, in which it opens the group range. Every kind sends one echo
request at a time and waits for the reply, the kinds in turn in each round. Printed are medians over the rounds of

    wall        microseconds from before the send to after the receive, as Python sees it
    kernel      microseconds between the kernel's own transmit and receive stamps, where the kind delivers both
    cpu         microseconds of this process's CPU a round trip
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import socket
import statistics
import struct
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pingsock.sockets.ancillary import CONTROL_BYTES, read_ancillary_untrusted
from pingsock.sockets.choose import open_ping_socket
from pingsock.wire.checksum import with_checksum

if TYPE_CHECKING:
    from collections.abc import Callable

CLONE_NEWNET = 0x40000000
LOOPBACK = ("127.0.0.1", 0)
DATA = bytes(56)


class Kind(Protocol):
    """One way to send an echo request and to receive its reply."""

    def round_trip(self, sequence: int) -> float | None:
        """Microseconds between the kernel's stamps, None if there are none."""


class PingSocketKind:
    """A ping socket of either kind, with transmit and receive stamps."""

    def __init__(self, kind: str) -> None:
        self._sock = open_ping_socket(kinds=(kind,))

    def round_trip(self, sequence: int) -> float | None:
        self._sock.sendto(struct.pack(">BBHHH", 8, 0, 0, 0, sequence & 0xFFFF) + DATA, LOOPBACK)
        stamps: dict[bool, int] = {}
        # A reply and its request's stamp come in either order.
        while len(stamps) < 2:
            select.select([self._sock], [], [])
            for flags in (0, socket.MSG_ERRQUEUE):
                try:
                    _data, items, _flags, _name = self._sock.recvmsg(2048, CONTROL_BYTES, flags | socket.MSG_DONTWAIT)
                except BlockingIOError:
                    continue
                stamps[flags == 0] = read_ancillary_untrusted(items).stamp or 0
        return (stamps[True] - stamps[False]) / 1000


class RawKind:
    """A raw socket as root-only tools use it: own checksum, every packet of the host read."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)

    def round_trip(self, sequence: int) -> float | None:
        request = struct.pack(">BBHHH", 8, 0, 0, os.getpid() & 0xFFFF, sequence & 0xFFFF) + DATA
        self._sock.sendto(with_checksum(request), LOOPBACK)
        while self._sock.recv(2048)[20] != 0:
            pass
        return None


KINDS: dict[str, Callable[[], Kind]] = {
    "kernel": lambda: PingSocketKind("kernel"),
    "embedded": lambda: PingSocketKind("embedded"),
    "raw": RawKind,
}


def enter_namespace() -> None:
    """Move this process into a network namespace in which everybody may open ping sockets."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise SystemExit("benchmarks/rtt.py: needs root, to make a network namespace")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")


def measure(kind: Kind, count: int) -> dict[str, float]:
    """Medians of one round of one kind, CPU as mean."""
    walls, kernels = [], []
    cpu = time.process_time()
    for sequence in range(count):
        begin = time.perf_counter()
        between_stamps = kind.round_trip(sequence)
        walls.append((time.perf_counter() - begin) * 1e6)
        if between_stamps is not None:
            kernels.append(between_stamps)
    figures = {"wall": statistics.median(walls), "cpu": (time.process_time() - cpu) / count * 1e6}
    return figures | ({"kernel": statistics.median(kernels)} if kernels else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    enter_namespace()
    kinds = {name: make() for name, make in KINDS.items()}
    time.sleep(0.01)  # stamping is switched on a moment after the first socket asks for it
    rounds = [{name: measure(kind, options.count) for name, kind in kinds.items()} for _ in range(options.rounds)]
    print(
        f"{'':<10}{'wall us':>10}{'kernel us':>11}{'cpu us':>9}{'wall ratio':>12}   medians of {options.rounds} rounds"
    )
    for name in kinds:
        median = {figure: statistics.median(each[name][figure] for each in rounds) for figure in rounds[0][name]}
        ratio = statistics.median(each[name]["wall"] / each["kernel"]["wall"] for each in rounds)
        kernel = f"{median['kernel']:.1f}" if "kernel" in median else "-"
        print(f"{name:<10}{median['wall']:>10.1f}{kernel:>11}{median['cpu']:>9.1f}{ratio:>12.2f}")
    os._exit(0)


if __name__ == "__main__":
    main()
