"""A lab with one end of a memory cable in the test's hand, and a clock that only the test moves."""

from __future__ import annotations

import itertools
import struct
from typing import Any, NamedTuple

from pingsock import lab
from pingsock.lab.datagram import ICMP4_PROTOCOL, parse_datagram_untrusted
from pingsock.lab.prefixes import address_text, pack_address
from pingsock.link.cable import memory_cable
from pingsock.wire.checksum import ICMP6_PROTOCOL, checksum_holds, icmp6_checksum_holds

ME, ME6 = "198.51.100.1", "2001:db8:ffff::1"
GATE, GATE6 = "198.51.100.2/24", "2001:db8:ffff::2/64"


class Arrival(NamedTuple):
    at: float
    datagram: lab.Datagram

    @property
    def source(self) -> str:
        return address_text(self.datagram.source)

    @property
    def kind(self) -> tuple[int, int]:
        return self.datagram.type, self.datagram.code

    @property
    def word(self) -> int:
        return int.from_bytes(self.datagram.payload[4:8], "big")

    @property
    def body(self) -> bytes:
        return self.datagram.payload[8:]

    @property
    def microseconds(self) -> int:
        return round(self.at * 1e6)

    @property
    def intact(self) -> bool:
        message = self.datagram
        if len(message.source) == 4:
            return checksum_holds(message.payload)
        return icmp6_checksum_holds(message.source, message.destination, message.payload)


class Bench:
    """The test sits at ME (and ME6), attached to the node `gate`."""

    def __init__(self, network: lab.Network, gate: str, **settings: Any) -> None:
        self.network = network
        self.near, far = memory_cable()
        self.attachment = network.attach(far, gate, ME, ME6, right_addresses=[GATE, GATE6], **settings)

    def send(self, datagram: lab.Datagram) -> None:
        self.near.send(datagram.packet)

    def icmp(self, destination: str, kind: int, code: int, rest: bytes, **fields: Any) -> None:
        target = pack_address(destination)
        protocol = ICMP6_PROTOCOL if len(target) == 16 else ICMP4_PROTOCOL
        source = pack_address(ME6 if len(target) == 16 else ME)
        message = bytes([kind, code, 0, 0]) + rest
        self.send(lab.Datagram(source, target, protocol, message, **fields).sealed())

    def ping(self, destination: str, sequence: int = 1, *, ident: int = 7, data: bytes = bytes(56), **ip: Any) -> None:
        kind = 128 if ":" in destination else 8
        self.icmp(destination, kind, 0, struct.pack("!HH", ident, sequence) + data, **ip)

    def until(self, end: float) -> list[Arrival]:
        """Everything that arrives up to a time, event by event."""
        arrivals = self.waiting()
        while (at := self.network.next_event()) is not None and at <= end:
            self.network.run_until(at)
            arrivals += self.waiting()
        self.network.run_until(end)
        return arrivals

    def waiting(self) -> list[Arrival]:
        arrivals = []
        while (packet := self.near.receive()) is not None:
            arrivals.append(Arrival(self.network.now, parse_datagram_untrusted(packet)))
        return arrivals

    def answer(self, destination: str, sequence: int = 1, **ip: Any) -> Arrival:
        """The one packet an echo request brings within a hundred seconds."""
        self.ping(destination, sequence, **ip)
        (arrival,) = self.until(self.network.now + 100.0)
        return arrival


def path(routers: int = 3, *, seed: int = 0, host: dict[str, Any] | None = None, **settings: Any) -> Bench:
    """gate = r1 - r2 - ... - far; every link has a subnet 10.0.N.0/24 and 2001:db8:N::/64."""
    network = lab.Network(seed=seed)
    for number in range(1, routers + 1):
        network.router(f"r{number}", f"10.255.0.{number}", f"2001:db8:ff::{number}")
    network.host("far", "192.0.2.1", "2001:db8:aaaa::1", **(host or {}))
    names = [*(f"r{number}" for number in range(1, routers + 1)), "far"]
    for number, (left, right) in enumerate(itertools.pairwise(names), 1):
        network.link(left, right, f"10.0.{number}.0/24", f"2001:db8:{number}::/64", **settings)
    return Bench(network, "r1")


def beside(**host: Any) -> tuple[Bench, lab.Host]:
    """The test directly beside one host, 192.0.2.1 and 2001:db8:aaaa::1."""
    network = lab.Network()
    target = network.host("far", "192.0.2.1", "2001:db8:aaaa::1", **host)
    return Bench(network, "far"), target
