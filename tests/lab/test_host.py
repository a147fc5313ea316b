"""The stack in a lab: a HostLink at the end of a memory cable, sockets above it."""

from __future__ import annotations

import select
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from lab.bench import path
from pingsock import lab
from pingsock.lab.datagram import parse_datagram_untrusted
from pingsock.service.embedded import EmbeddedServer
from pingsock.sockets.served import ServedPingSocket
from pingsock.wire.echo import echo_request
from pingsock.wire.icmp4 import EchoRequest
from pingsock.wire.linux import IP_RECVERR, MSG_ERRQUEUE
from pingsock.wire.transit import Outbound

if TYPE_CHECKING:
    from collections.abc import Iterator

FAR = "192.0.2.1"


class Collector:
    """A stack that only listens."""

    def __init__(self) -> None:
        self.arrived: list[tuple[int, lab.Datagram]] = []

    def deliver_untrusted(self, packet: bytes, _interface: int, stamp: int, _fragment_size: int = 0) -> None:
        self.arrived.append((stamp, parse_datagram_untrusted(packet)))

    def transmitted(self, stamp_key: int, stamp: int, scheduled: bool, packet: bytes) -> None:
        pass


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def realtime_ns(self) -> int:
        return round(self.now * 1e9)


def quiet_path(delay: float) -> lab.Network:
    network = path(2, delay=delay).network
    network.detach(network.attachments[0])
    return network


def request(host: lab.LabHost, sequence: int, hop_limit: int = 64) -> Outbound:
    target = socket.inet_aton(FAR)
    source = host.route(socket.AF_INET, target).source
    message = EchoRequest(7, sequence, b"data").to_bytes()
    return Outbound(socket.AF_INET, source, target, message, hop_limit)


def test_a_host_link_is_driven_with_its_lab_by_a_clock_of_the_test() -> None:
    clock, collector = Clock(), Collector()
    host = lab.LabHost(quiet_path(0.25), "r1", "10.0.0.1/24", monotonic=clock.monotonic, realtime_ns=clock.realtime_ns)
    host.attach(collector)
    host.transmit(request(host, 1))
    host.transmit(request(host, 2, hop_limit=1))
    assert [datagram.type for _, datagram in collector.arrived] == [11]
    while (event := host.next_event()) is not None:
        clock.now = event
        host.run(event)
    assert [(stamp, datagram.type) for stamp, datagram in collector.arrived][1:] == [(1001_000_000_000, 0)]
    host.close()
    host.close()
    assert host.network.attachments == []


def test_sending_wakes_a_driver_that_waits() -> None:
    host = lab.LabHost(quiet_path(0.25), "r1", "10.0.0.1/24", monotonic=lambda: 0.0)
    (fileno,) = host.filenos()
    assert not select.select([fileno], [], [], 0)[0]
    host.transmit(request(host, 1))
    assert select.select([fileno], [], [], 0)[0]
    host.receive(fileno)
    assert select.select([fileno], [], [], 0)[0], "one thread's receive must not put another to sleep"
    host.run(0.0)
    assert not select.select([fileno], [], [], 0)[0]
    host.close()


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    host = lab.LabHost(quiet_path(0.01), "r1", "10.0.0.1/24")
    serving = EmbeddedServer(host, lock=host.lock)
    yield serving
    serving.close()


def test_sockets_can_be_opened_in_a_lab(server: EmbeddedServer) -> None:
    with ServedPingSocket(socket.AF_INET, server.connect()) as sock:
        sock.settimeout(10.0)
        sock.sendto(echo_request(socket.AF_INET, 0, 5, b"data"), (FAR, 0))
        reply, (address, _) = sock.recvfrom(100)
    assert (reply[0], struct.unpack("!H", reply[6:8]), reply[8:], address) == (0, (5,), b"data", FAR)


def test_routers_report_to_sockets_in_a_lab(server: EmbeddedServer) -> None:
    with ServedPingSocket(socket.AF_INET, server.connect()) as sock:
        sock.settimeout(10.0)
        sock.setsockopt(socket.SOL_IP, IP_RECVERR, 1)
        sock.setsockopt(socket.SOL_IP, socket.IP_TTL, 2)
        sock.sendto(echo_request(socket.AF_INET, 0, 5, b"data"), (FAR, 0))
        with pytest.raises(OSError, match="No route to host"):
            sock.recv(100)
        _, ((_, _, content),), _, _ = sock.recvmsg(100, 512, MSG_ERRQUEUE)
    assert socket.inet_ntoa(content[20:24]) == "10.0.1.2"
