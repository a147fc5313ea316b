"""Packets per second through the user-space stack: sending, delivering and reading, on one core.

    python3 benchmarks/stack.py [--sockets N] [--packets N] [--rounds N]

The yardstick beside it is the kernel's own ping socket on loopback driven from Python one datagram a call, when one can
be opened here (net.ipv4.ping_group_range), since that is what a program would use instead.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import struct
import time
from typing import TYPE_CHECKING

from pingsock.stack.policy import Credentials
from pingsock.stack.sockaddr import pack_in
from pingsock.stack.stack import Stack
from pingsock.wire.checksum import internet_checksum
from pingsock.wire.transit import UNICAST, Outbound, Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.stack.endpoint import Endpoint

HOST, FAR = bytes((10, 9, 0, 1)), bytes((10, 9, 0, 2))
SYSCTLS = {"core.rmem_default": 212992, "core.wmem_default": 212992, "ipv4.ip_default_ttl": 64}


class FlatNetwork:
    """One interface, everything on link, packets counted and forgotten."""

    def __init__(self) -> None:
        self.sent = 0
        self._route = Route(UNICAST, HOST, 2, 1500, 1500)

    def route(self, _family: int, _destination: bytes, **_how: object) -> Route:
        return self._route

    def address_kind(self, _family: int, _address: bytes, _interface: int = 0) -> int:
        return UNICAST

    def sysctl(self, name: str) -> int:
        return SYSCTLS.get(name, 0)

    def transmit(self, _packet: Outbound) -> None:
        self.sent += 1


def reply(ident: int, sequence: int) -> bytes:
    """An IPv4 echo reply of 56 data bytes."""
    message = struct.pack(">BBHHH", 0, 0, 0, ident, sequence) + bytes(56)
    message = message[:2] + internet_checksum(message).to_bytes(2, "big") + message[4:]
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(message), 0, 0, 64, 1, 0, FAR, HOST) + message


def rate(work: Callable[[], int]) -> float:
    """Packets a second of CPU."""
    begin = time.process_time()
    return work() / (time.process_time() - begin)


def make_endpoints(stack: Stack, count: int) -> list[Endpoint]:
    endpoints = []
    for _ in range(count):
        endpoint = stack.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP, Credentials())
        endpoint.bind(pack_in(bytes(4), 0))
        endpoints.append(endpoint)
    return endpoints


def measure(sockets: int, packets: int) -> dict[str, float]:
    stack = Stack(FlatNetwork(), lambda limit: limit // 2)  # type: ignore[arg-type]
    endpoints = make_endpoints(stack, sockets)
    replies = [reply(endpoint.ident, number) for number, endpoint in enumerate(endpoints)]
    request, to = struct.pack(">BBHHH", 8, 0, 0, 0, 1) + bytes(56), pack_in(FAR)

    def send() -> int:
        for number in range(packets):
            endpoints[number % sockets].sendmsg(request, to)
        return packets

    def deliver() -> int:
        for number in range(packets):
            stack.deliver_untrusted(replies[number % sockets], 2, 1)
            if number % 128 == 127:
                drain()
        return packets

    def drain() -> None:
        for endpoint in endpoints:
            endpoint.charged = 0
            endpoint.queue.clear()

    def deliver_and_read() -> int:
        for number in range(packets):
            stack.deliver_untrusted(replies[number % sockets], 2, 1)
            endpoints[number % sockets].recvmsg(2048, 0, 0, 1)
        return packets

    return {"send": rate(send), "deliver": rate(deliver), "deliver and read": rate(deliver_and_read)}


def kernel_round_trips(packets: int) -> float | None:
    """Round trips a second of CPU over the kernel's ping socket, None if there is none."""
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    except OSError:
        return None
    request, to = struct.pack(">BBHHH", 8, 0, 0, 0, 1) + bytes(56), ("127.0.0.1", 0)

    def ping() -> int:
        for _ in range(packets):
            sock.sendto(request, to)
            sock.recv(2048)
        return packets

    with sock:
        return rate(ping)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=16)
    parser.add_argument("--packets", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rounds = []
    for _ in range(options.rounds):
        figures: dict[str, float | None] = dict(measure(options.sockets, options.packets))
        figures["kernel round trip"] = kernel_round_trips(options.packets)
        rounds.append(figures)
    print(f"medians of {options.rounds} rounds, {options.sockets} sockets")
    for name in rounds[0]:
        rates = [figures[name] for figures in rounds]
        known = [value for value in rates if value is not None]
        text = f"{statistics.median(known):>10,.0f} a second of CPU" if known else "not possible here"
        print(f"{name:<20}{text}")


if __name__ == "__main__":
    main()
