"""A host in user space on a TUN device, and Debian's ping on the kernel's side of it."""

from __future__ import annotations

import select
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from link.harness import Recorder, echo4, ip, outbound
from link.private_network import private_network
from pingsock.link.host import HostLink
from pingsock.link.tun import TunDevice

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["private_network"]
pytestmark = [
    pytest.mark.usefixtures("private_network"),
    pytest.mark.skipif(not shutil.which("ping"), reason="needs ping (iputils)"),
]

KERNEL = ["10.9.0.1/24", "2001:db8:9::1/64", "fe80::1/64"]
HOST = ["10.9.0.2/24", "2001:db8:9::2/64", "fe80::2/64"]


class Neighbours:
    def __init__(self) -> None:
        self.device = TunDevice("eth0")
        self.device.configure(KERNEL)
        self.host = HostLink()
        self.receiver = Recorder()
        self.host.attach(self.receiver)
        self.host.add_interface("eth0", self.device, HOST)

    def ping(self, *arguments: str) -> str:
        process = subprocess.Popen(["ping", "-c1", "-W5", *arguments], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        while not select.select([process.stdout], [], [], 0)[0] or process.poll() is None:
            readable, _, _ = select.select(self.host.filenos(), [], [], 0.02)
            for fileno in readable:
                self.host.receive(fileno)
        text = process.stdout.read()
        process.stdout.close()
        assert process.wait() == 0, text
        return text

    def receive_one(self) -> bytes:
        while not self.receiver.delivered:
            assert select.select(self.host.filenos(), [], [], 10)[0], "no reply"
            self.host.receive(self.host.filenos()[0])
        return self.receiver.packets[0]


@pytest.fixture
def neighbours(private_network: None) -> Iterator[Neighbours]:
    made = Neighbours()
    yield made
    made.host.close()


@pytest.mark.parametrize("destination", ["10.9.0.2", "2001:db8:9::2", "fe80::2%eth0"])
@pytest.mark.parametrize("size", ["0", "56", "1452", "1473", "20000", "65507"])
def test_packets_of_every_size_are_answered_unchanged(neighbours: Neighbours, destination: str, size: str) -> None:
    text = neighbours.ping("-s", size, destination)
    assert "1 received" in text
    assert "wrong data" not in text


def test_record_route_comes_back_with_both_hosts_twice(neighbours: Neighbours) -> None:
    text = neighbours.ping("-R", "10.9.0.2")
    assert [line.split()[-1] for line in text.splitlines() if "\t" in line] == [
        "10.9.0.1",
        "10.9.0.2",
        "10.9.0.2",
        "10.9.0.1",
    ]


@pytest.mark.parametrize("kind", [["tsonly"], ["tsandaddr"], ["tsprespec", "10.9.0.2"]])
def test_timestamps_come_back_filled(neighbours: Neighbours, kind: list[str]) -> None:
    text = neighbours.ping("-T", kind[0], "10.9.0.2", *kind[1:])
    assert "TS:" in text
    assert "absolute" in text
    assert text.count("\n\t") == {"tsonly": 3, "tsandaddr": 3, "tsprespec": 0}[kind[0]]


def test_it_pings_the_kernel(neighbours: Neighbours) -> None:
    for source, destination in [("10.9.0.2", "10.9.0.1"), ("2001:db8:9::2", "2001:db8:9::1"), ("fe80::2", "fe80::1")]:
        neighbours.receiver.delivered.clear()
        neighbours.host.transmit(outbound(source, destination, interface=2))
        reply = neighbours.receive_one()
        assert ip(destination) + ip(source) in reply
        assert reply.endswith(b"\x12\x34\0\1data")


def test_the_kernel_puts_its_fragments_together(neighbours: Neighbours) -> None:
    packet = outbound("10.9.0.2", "10.9.0.1", echo4(8, bytes(range(256)) * 50), fragment_size=600)
    neighbours.host.transmit(packet)
    reply = neighbours.receive_one()
    assert reply[28:] == packet.message[8:]
    assert neighbours.receiver.delivered[0][3] in range(1477, 1501)
