"""A stack on a host that keeps what is sent, for rules that need no network."""

from __future__ import annotations

import struct
from errno import ENODEV
from typing import TYPE_CHECKING

from pingsock.stack.policy import Credentials, Policy
from pingsock.stack.sockaddr import pack_in
from pingsock.stack.stack import Stack
from pingsock.wire import linux
from pingsock.wire.checksum import with_checksum
from pingsock.wire.ipv4 import IPv4Header, build_ipv4
from pingsock.wire.linux import AF_INET
from pingsock.wire.transit import UNICAST, Outbound, Route

if TYPE_CHECKING:
    from pingsock.stack.endpoint import Endpoint

HOST, FAR = bytes((10, 9, 0, 1)), bytes((10, 9, 0, 2))
HOST6 = bytes.fromhex("20010db8000900000000000000000001")
SYSCTLS = {"core.rmem_default": 212992, "core.wmem_default": 212992, "ipv4.ip_default_ttl": 64}


class QuietHost:
    """One interface; `sent` holds what left."""

    def __init__(self) -> None:
        self.sent: list[Outbound] = []

    def route(self, family: int, _destination: bytes, **_how: object) -> Route:
        return Route(UNICAST, HOST if family == AF_INET else HOST6, 2, 1500, 1500)

    def address_kind(self, _family: int, _address: bytes, _interface: int = 0) -> int:
        return UNICAST

    def interface_name(self, index: int) -> str:
        raise OSError(ENODEV, f"no interface {index}")

    def sysctl(self, name: str) -> int:
        return SYSCTLS.get(name, 0)

    def transmit(self, packet: Outbound) -> None:
        self.sent.append(packet)


def make_stack(policy: Policy | None = None) -> tuple[Stack, QuietHost]:
    host = QuietHost()
    return Stack(host, lambda limit: limit // 3, policy), host  # type: ignore[arg-type]


def open_v4(stack: Stack, *, uid: int = 1000, ident: int | None = None) -> Endpoint:
    endpoint = stack.socket(AF_INET, linux.SOCK_DGRAM, linux.IPPROTO_ICMP, Credentials(uid=uid, gid=uid))
    if ident is not None:
        endpoint.bind(pack_in(bytes(4), ident))
    return endpoint


def arriving(icmp_type: int, ident: int, *, code: int = 0, rest: bytes = bytes(12)) -> bytes:
    """An IPv4 packet to the host with an ICMP message that has an ident."""
    message = struct.pack(">BBHHH", icmp_type, code, 0, ident, 1) + rest
    return build_ipv4(IPv4Header(FAR, HOST), with_checksum(message))


def error_about(request_type: int, ident: int, *, icmp_type: int = 3, code: int = 1) -> bytes:
    """An IPv4 packet to the host with an ICMP error that quotes one of its requests."""
    request = struct.pack(">BBHHH", request_type, 0, 0, ident, 1) + bytes(12)
    quote = build_ipv4(IPv4Header(HOST, FAR), request)
    return build_ipv4(IPv4Header(FAR, HOST), with_checksum(bytes((icmp_type, code)) + bytes(6) + quote))
