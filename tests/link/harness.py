"""A host in memory whose cables and clocks are in the hands of the test."""

from __future__ import annotations

import random
from typing import Any

from pingsock.link.cable import MemoryCable, memory_cable
from pingsock.link.host import HostLink
from pingsock.link.prefixes import parse_address
from pingsock.wire.checksum import with_checksum, with_checksum6
from pingsock.wire.ipv4 import IPv4Header, build_ipv4, parse_ipv4_untrusted
from pingsock.wire.ipv6 import IPv6Header, build_ipv6
from pingsock.wire.linux import AF_INET, AF_INET6
from pingsock.wire.transit import Outbound

NOW = 1_700_000_000_123_000_000
"""CLOCK_REALTIME in nanoseconds, 22:13:20.123 UT."""
MIDNIGHT_MS = 80_000_123


def ip(text: str) -> bytes:
    return parse_address(text)


def echo4(kind: int = 8, payload: bytes = b"data", code: int = 0, ident: int = 0x1234, sequence: int = 1) -> bytes:
    return with_checksum(bytes([kind, code, 0, 0]) + ident.to_bytes(2, "big") + sequence.to_bytes(2, "big") + payload)


def packet4(source: str, destination: str, message: bytes | None = None, **header: Any) -> bytes:
    return build_ipv4(IPv4Header(ip(source), ip(destination), **header), echo4() if message is None else message)


def packet6(source: str, destination: str, message: bytes | None = None, **header: Any) -> bytes:
    plain = bytes([128, 0, 0, 0]) + b"\x12\x34\0\1data" if message is None else message
    return build_ipv6(
        IPv6Header(ip(source), ip(destination), **header), with_checksum6(ip(source), ip(destination), plain)
    )


def outbound(source: str, destination: str, message: bytes | None = None, **options: Any) -> Outbound:
    family = AF_INET6 if ":" in destination else AF_INET
    if message is None:
        plain = b"\x80\0\0\0\x12\x34\0\1data"
        message = echo4() if family == AF_INET else with_checksum6(ip(source), ip(destination), plain)
    return Outbound(family, ip(source), ip(destination), message, options.pop("hop_limit", 64), **options)


class Recorder:
    """A receiver that keeps what it is handed."""

    def __init__(self) -> None:
        self.delivered: list[tuple[bytes, int, int, int]] = []
        self.stamps: list[tuple[int, int, bool, bytes]] = []

    def deliver_untrusted(self, packet: bytes, interface: int, stamp: int, fragment_size: int = 0) -> None:
        self.delivered.append((packet, interface, stamp, fragment_size))

    def transmitted(self, stamp_key: int, stamp: int, scheduled: bool, packet: bytes) -> None:
        self.stamps.append((stamp_key, stamp, scheduled, packet))

    @property
    def packets(self) -> list[bytes]:
        return [packet for packet, *_ in self.delivered]


class Bench:
    """A host with two cables.

    eth0 (index 2) 10.9.0.1/24, 2001:db8:9::1/64, fe80::1/64, default routes by .254 and ::fe;
    eth1 (index 3) 10.8.0.1/24, 2001:db8:8::1/64, fe80::2/64
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.receiver = Recorder()
        self.host = HostLink(realtime_ns=lambda: NOW, monotonic=lambda: self.now, random=random.Random(7))
        near, self.far = memory_cable()
        self.host.add_interface("eth0", near, ["10.9.0.1/24", "2001:db8:9::1/64", "fe80::1/64"])
        near, self.far1 = memory_cable()
        self.host.add_interface("eth1", near, ["10.8.0.1/24", "2001:db8:8::1/64", "fe80::2/64"])
        self.host.add_route("default", via="10.9.0.254")
        self.host.add_route("default", via="2001:db8:9::fe")
        self.host.attach(self.receiver)

    def inject(self, *packets: bytes, cable: MemoryCable | None = None) -> None:
        for packet in packets:
            (cable or self.far).send(packet)

    def sent(self, cable: MemoryCable | None = None) -> list[bytes]:
        return list(iter((cable or self.far).receive, None))

    def one_sent(self, cable: MemoryCable | None = None) -> bytes:
        (packet,) = self.sent(cable)
        return packet

    def one_reply4(self) -> tuple[IPv4Header, bytes]:
        return parse_ipv4_untrusted(self.one_sent())
