"""One ping socket of the kernel's at work: what its receive buffer holds, and what fails a send."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from bed.namespace import NoNamespace, entered
from pingsock import lab
from pingsock.probe.blocking import BlockingProber
from pingsock.probe.channel import Channel
from pingsock.probe.clock import MILLISECOND, Stepwatch
from pingsock.probe.flow import Flow, charge
from pingsock.probe.ledger import Ledger
from pingsock.probe.records import Duplicate, EchoReply, Record, Stray, Summary
from pingsock.probe.schedule import Plan
from pingsock.probe.target import ProbeOptions
from pingsock.sockets.choose import open_ping_socket
from pingsock.wire import linux
from probe.lab_bench import Bench, target_at

if TYPE_CHECKING:
    from collections.abc import Iterator

MINE, GATE = ["10.0.0.1/24"], ["10.0.0.2/24"]


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    try:
        with entered():
            # In a namespace of one's own only; the initial one keeps what it has.
            with open("/proc/sys/net/ipv4/ping_group_range", "w") as file:
                file.write(f"{os.getegid()} {os.getegid()}")
            yield
    except (NoNamespace, OSError) as err:
        pytest.skip(f"no namespace with ping sockets: {err}")


def network() -> lab.Network:
    made = lab.Network(seed=1)
    made.router("r1", "10.255.0.1")
    made.host("far", "192.0.2.0/24")
    made.link("r1", "far", "10.0.1.0/24", delay=0.005)
    far = made.node("far")
    far.rule({"do": "error", "fault": "host unreachable"}, destination="192.0.2.1")
    far.rule("drop", destination="192.0.2.2")
    far.rule({"do": "duplicate", "copies": 1}, destination="192.0.2.3")
    return made


def test_a_stamp_is_charged_no_more_than_is_reckoned() -> None:
    with open_ping_socket(socket.AF_INET, kinds=("kernel",)) as sock:
        stepwatch = Stepwatch()
        channel = Channel(sock, Ledger(2, stepwatch, b""), stepwatch, lambda _: None, 56)
        flow = Flow(target_at("127.0.0.1"), bytes(56))
        for sequence in range(10):
            assert channel.send(flow, sequence, flow.payload) == 0
        held = struct.unpack("9I", sock.getsockopt(linux.SOL_SOCKET, linux.SO_MEMINFO, 36))[0]
        assert held <= 10 * (charge(56) + charge(0))
        assert channel.reserve(1, 56, 64) == channel.reserve(1, 56) - 64


def test_an_error_that_found_no_room_fails_no_probe_to_somebody_else() -> None:
    with (
        lab.kernel_lab(network(), "r1", *MINE, right_addresses=GATE) as thread,
        open_ping_socket(socket.AF_INET, kinds=("kernel",)) as sock,
    ):
        stepwatch = Stepwatch()
        channel = Channel(sock, Ledger(2, stepwatch, b""), stepwatch, lambda _: None, 56)
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_RCVBUF, 2304)
        loop, unreachable = (Flow(target_at(address), bytes(56)) for address in ("127.0.0.1", "192.0.2.1"))
        for sequence in range(20):
            assert channel.send(loop, sequence, loop.payload) == 0
        assert channel.send(unreachable, 20, unreachable.payload) == 0
        while sock.getsockopt(linux.SOL_SOCKET, linux.SO_ERROR) == 0:
            # Reading the option takes the error away: the next one is for the channel.
            pass
        assert channel.send(unreachable, 21, unreachable.payload) == 0
        wait_for_errors(thread, 2)
        assert channel.send(loop, 22, loop.payload) == 0


def wait_for_errors(thread: lab.LabThread, count: int) -> None:
    """Until that many errors have gone out, and the kernel has had them."""
    with open("/proc/self/net/snmp") as file:
        while True:
            file.seek(0)
            names, numbers = (line.split() for line in file.read().splitlines() if line.startswith("Icmp:"))
            if int(numbers[names.index("InDestUnreachs")]) >= count:
                return
            thread.do(lambda: None)


@pytest.mark.parametrize("address", ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"])
def test_kernel_sockets_tell_what_served_ones_tell(address: str) -> None:
    plan = Plan(count=3, interval_ns=20 * MILLISECOND, timeout_ns=200 * MILLISECOND)
    with (
        lab.kernel_lab(network(), "r1", *MINE, right_addresses=GATE),
        BlockingProber(kinds=("kernel",)) as prober,
    ):
        prober.engine.add(prober.course(target_at(address), plan), 0)
        by_kernel = [shape(record) for _, record in prober.happenings() if not is_last_duplicate(record, plan)]
    with Bench(network(), "r1", *MINE) as bench:
        bench.add(address, plan)
        by_us = [shape(record) for record in bench.run() if not is_last_duplicate(record, plan)]
    assert sorted(map(str, by_kernel)) == sorted(map(str, by_us))


def is_last_duplicate(record: Record | Stray | Summary, plan: Plan) -> bool:
    """What is told of it depends on whether it came before everything was over."""
    return isinstance(record, Duplicate) and record.number == plan.count


def shape(record: Record | Stray | Summary) -> object:
    """All of a record but its times, and what a socket chooses by itself."""
    if isinstance(record, Summary):
        return record.statistics.as_dict()["sent"], record.statistics.as_dict()["lost"]
    told = {"kind": type(record).__name__, **record.as_dict()}
    for field in ("sent", "round_trip_ns", "timed", "message", "waited_ns"):
        told.pop(field, None)
    if isinstance(record, EchoReply):
        told["length"] = len(record.message)
    return told


def test_large_probes_have_sockets_of_their_own_so_that_small_ones_keep_their_room() -> None:
    def settings(size: int) -> object:
        return Flow(target_at("192.0.2.1", options=ProbeOptions(size=size)), b"").settings

    assert settings(56) == settings(0) == settings(100)
    assert len({settings(size) for size in (100, 600, 1400, 2800, 65507)}) == 5
