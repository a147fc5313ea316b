"""Packets that reach deep into the stack, and a stack to throw them at: shared by the fuzz target and the benchmark.

The packets are right replies and errors of both families, then damaged; some get their checksums put right again, since
otherwise hardly any would get past them.
"""

from __future__ import annotations

import struct

from pingsock.stack.policy import Credentials
from pingsock.stack.sockaddr import pack_in, pack_in6
from pingsock.stack.stack import Stack
from pingsock.wire import linux
from pingsock.wire.checksum import with_checksum, with_checksum6
from pingsock.wire.extensions import build_extensions
from pingsock.wire.ipv4 import IPv4Header, build_ipv4
from pingsock.wire.ipv6 import DESTINATION_OPTIONS, HOP_BY_HOP_OPTIONS, ExtensionHeader, IPv6Header, build_ipv6
from pingsock.wire.linux import AF_INET, AF_INET6
from pingsock.wire.transit import UNICAST, Outbound, Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.stack.endpoint import Endpoint

HOST4, FAR4 = bytes((10, 9, 0, 1)), bytes((10, 9, 0, 2))
HOST6, FAR6 = bytes.fromhex("20010db8000900000000000000000001"), bytes.fromhex("20010db8000900000000000000000002")
IDENTS4, IDENTS6 = (1, 2, 3, 4), (11, 12, 13, 14)
SYSCTLS = {"core.rmem_default": 212992, "core.wmem_default": 212992, "ipv4.ip_default_ttl": 64}
ACCEPT_64_BYTES = struct.pack(linux.SOCK_FILTER_LAYOUT, 0x06, 0, 0, 64)


class QuietHost:
    """A `Network` of one interface that sends nowhere."""

    def route(self, family: int, _destination: bytes, **_how: object) -> Route:
        return Route(UNICAST, HOST4 if family == AF_INET else HOST6, 2, 1500, 1500)

    def address_kind(self, _family: int, _address: bytes, _interface: int = 0) -> int:
        return UNICAST

    def interface_with(self, _family: int, _address: bytes) -> int:
        return 2

    def interface_name(self, _index: int) -> str:
        return "quiet0"

    def interface_index(self, _name: str) -> int:
        return 2

    def join_group(self, *_membership: object) -> None:
        pass

    leave_group = join_group

    def sysctl(self, name: str) -> int:
        return SYSCTLS.get(name, 0)

    def learn_path_mtu(self, _family: int, _destination: bytes, _mtu: int) -> None:
        pass

    def transmit(self, _packet: Outbound) -> None:
        pass


def make_stack() -> tuple[Stack, list[Endpoint]]:
    """Eight sockets: of each family a plain one, one with all receive options, one with a filter, one never read."""
    stack = Stack(QuietHost(), lambda limit: limit // 2)  # type: ignore[arg-type]
    endpoints = []
    for family, protocol, idents in ((AF_INET, 1, IDENTS4), (AF_INET6, 58, IDENTS6)):
        for place, ident in enumerate(idents):
            endpoint = stack.socket(family, linux.SOCK_DGRAM, protocol, Credentials())
            endpoint.bind(pack_in(bytes(4), ident) if family == AF_INET else pack_in6(bytes(16), ident))
            _set_up(endpoint, place)
            endpoints.append(endpoint)
    return stack, endpoints


def _set_up(endpoint: Endpoint, place: int) -> None:
    one = struct.pack("=i", 1)
    level = linux.SOL_IP if endpoint.family == AF_INET else linux.SOL_IPV6
    endpoint.setsockopt(level, linux.IP_RECVERR if level == linux.SOL_IP else linux.IPV6_RECVERR, one)
    if place == 1:
        four = (linux.IP_RECVTTL, linux.IP_RECVTOS, linux.IP_PKTINFO, linux.IP_RECVOPTS, linux.IP_RETOPTS)
        six = (linux.IPV6_RECVPKTINFO, linux.IPV6_RECVHOPLIMIT, linux.IPV6_RECVHOPOPTS, linux.IPV6_RECVDSTOPTS)
        for option in four if level == linux.SOL_IP else six:
            endpoint.setsockopt(level, option, one)
        rfc4884 = linux.IP_RECVERR_RFC4884 if level == linux.SOL_IP else linux.IPV6_RECVERR_RFC4884
        endpoint.setsockopt(level, rfc4884, one)
    if place == 2:
        endpoint.setsockopt(linux.SOL_SOCKET, linux.SO_ATTACH_FILTER, ACCEPT_64_BYTES)


def reply(ident: int, *, family: int = AF_INET) -> bytes:
    """A right echo reply."""
    message = struct.pack(">BBHHH", 0 if family == AF_INET else 129, 0, 0, ident, 7) + bytes(56)
    if family == AF_INET:
        return build_ipv4(IPv4Header(FAR4, HOST4), with_checksum(message))
    return build_ipv6(IPv6Header(FAR6, HOST6), with_checksum6(FAR6, HOST6, message))


def _error4(icmp_type: int, code: int, ident: int, options: bytes = b"", extension: bytes = b"") -> bytes:
    request = struct.pack(">BBHHH", 8, 0, 0, ident, 7) + bytes(92)
    quote = build_ipv4(IPv4Header(HOST4, FAR4, options=options), request)[:128].ljust(128, b"\0")
    message = bytes((icmp_type, code, 0, 0, 0, 32 if extension else 0, 5, 120)) + quote + extension
    return build_ipv4(IPv4Header(FAR4, HOST4), with_checksum(message))


def _error6(icmp_type: int, code: int, ident: int, *headers: ExtensionHeader) -> bytes:
    request = struct.pack(">BBHHH", 128, 0, 0, ident, 7) + bytes(56)
    quote = build_ipv6(IPv6Header(HOST6, FAR6), request, headers)
    message = bytes((icmp_type, code, 0, 0, 0, 0, 5, 0)) + quote
    return build_ipv6(IPv6Header(FAR6, HOST6), with_checksum6(FAR6, HOST6, message))


def seeds() -> list[bytes]:
    """Right packets of every kind the stack looks into."""
    padding = bytes((0, 0, 1, 4, 0, 0, 0, 0))
    headers = ExtensionHeader(HOP_BY_HOP_OPTIONS, padding), ExtensionHeader(DESTINATION_OPTIONS, padding)
    record_route = bytes((7, 7, 4, 0, 0, 0, 0, 0))
    extension = build_extensions([])
    found = [b"", b"\x45", b"\x60", bytes(28), bytes(48)]
    for ident4, ident6 in zip(IDENTS4, IDENTS6, strict=True):
        found += [reply(ident4), reply(ident6, family=AF_INET6)]
        found += [_error4(kind, 1, ident4) for kind in (3, 4, 5, 12)] + [_error4(3, 4, ident4), _error4(11, 0, ident4)]
        found += [_error4(11, 0, ident4, record_route, extension)]
        found += [_error6(kind, 0, ident6) for kind in (1, 2, 3, 4, 100)] + [_error6(1, 4, ident6, *headers)]
    return found


def repaired(packet: bytes) -> bytes:
    """The packet with its ICMP checksum put right, where there is one."""
    header = (packet[0] & 15) * 4 if packet and packet[0] >> 4 == 4 else 40
    if len(packet) < max(header + 4, 44) or header < 20:
        return packet
    if packet[0] >> 4 == 4:
        return packet[:header] + with_checksum(packet[header:])
    return packet[:header] + with_checksum6(packet[8:24], packet[24:40], packet[header:])


def read_some(endpoint: Endpoint) -> None:
    """One datagram and one error, if there are any, with all their ancillary data."""
    for flags in (linux.MSG_DONTWAIT, linux.MSG_ERRQUEUE):
        try:
            endpoint.recvmsg(2048, 512, flags, 1)
        except OSError:
            pass
