"""Asking the kernel about routes, addresses and interfaces: rtnetlink(7), read only.

A message is `nlmsghdr` (length u32, type u16, flags u16, sequence u32, port u32), a family header, and attributes
(length u16, type u16, value, padded to 4); numbers are in host byte order. No question here needs a privilege, and the
sockets stay in the network namespace they were opened in.

Some facts about answers:

* A route lookup is answered with one message, in about three microseconds; a refusal carries the errno that connect(2)
  would give.
* A dump is a train of messages that ends with NLMSG_DONE; NLM_F_DUMP_INTR says that it was disturbed and may lie.
* With NETLINK_GET_STRICT_CHK the kernel dumps one routing table only; older kernels (before 4.20) send them all.
"""

from __future__ import annotations

import os
import select
import socket
import struct

from pingsock.wire.linux import AF_INET, AF_INET6, AF_NETLINK, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW, SOL_NETLINK
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_IFINFO = struct.Struct("=BxHiII")
"""ifinfomsg: family, device type, index, flags, mask of changed flags."""
_IFADDR = struct.Struct("=BBBBI")
"""ifaddrmsg: family, prefix length, flags, scope, index."""
_RTMSG = struct.Struct("=BBBBBBBBI")
"""rtmsg: family, destination and source prefix length, tos, table, protocol, scope, kind, flags."""
_U32 = struct.Struct("=I")

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP_INTR, _NLM_F_DUMP = 0x1, 0x10, 0x300
_NETLINK_GET_STRICT_CHK = 12
_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR = 20, 21, 22
_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 24, 25, 26
_IFLA_IFNAME, _IFLA_MTU, _IFLA_AF_SPEC, _IFLA_EXT_MASK = 3, 4, 26, 29
_RTEXT_FILTER_SKIP_STATS = 8
_IFLA_INET6_CONF = 2
_DEVCONF_MTU6 = 2
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_IFA_F_OPTIMISTIC, _IFA_F_DADFAILED, _IFA_F_TENTATIVE = 0x04, 0x08, 0x40
_RTA_DST, _RTA_SRC, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_METRICS = 1, 2, 4, 5, 7, 8
_RTA_TABLE, _RTA_MARK, _RTA_VIA = 15, 16, 18
_RTAX_LOCK, _RTAX_MTU = 1, 2
_RT_TABLE_LOCAL = 255
_TYPE_MASK = 0x3FFF
"""Without the bits that say nested and network byte order."""

_NEWS_GROUPS = sum(1 << group - 1 for group in (1, 5, 7, 8, 9, 11, 12, 19, 32))
"""Link; IPv4 address, route, rule; IPv6 address, route, interface, rule; next hop."""

_DUMP_ATTEMPTS = 4
_ANSWER_TIMEOUT = struct.pack("@ll", 2, 0)
_LARGEST_ANSWER = 1 << 16


class Interface(Value):
    """One network interface."""

    index: int
    name: str
    mtu: int
    mtu6: int
    """MTU for IPv6, which a router advertisement or an administrator may have lowered; `mtu` if it has no IPv6."""


class Address(Value):
    """One address of this host."""

    family: int
    address: bytes
    interface: int
    usable: bool
    """False while duplicate address detection runs or after it failed."""


class LocalPrefix(Value):
    """One entry of the table of local addresses."""

    family: int
    address: bytes
    length: int
    kind: int
    """LOCAL, BROADCAST, MULTICAST... of `wire.transit`."""


class RouteAnswer(Value):
    """What the kernel says about one destination."""

    kind: int
    source: bytes
    """Preferred source; empty if the one asked with stands."""
    interface: int
    gateway: bool
    """Whether the packet goes to a router."""
    mtu: int
    """MTU set on the route or learned for the destination; 0 if neither."""
    mtu_locked: bool
    """Path MTU discovery is off for this destination."""


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in `data` by type; the last of several with one type."""
    found = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            break
        found[kind & _TYPE_MASK] = data[at + 4 : at + length]
        at += length + 3 & ~3
    return found


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, sequence and body of each message of one datagram."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            break
        yield kind, flags, sequence, data[at + _HEADER.size : at + length]
        at += length + 3 & ~3


def _raise_if_error(body: bytes) -> None:
    (negative,) = struct.unpack_from("=i", body)
    if negative:
        raise OSError(-negative, os.strerror(-negative))


class Rtnetlink:
    """A socket that asks rtnetlink; each method is one question. Refusals are the kernel's OSError."""

    def __init__(self) -> None:
        self._socket = socket.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _ANSWER_TIMEOUT)
        try:
            self._socket.setsockopt(SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        except OSError:
            pass  # an older kernel: `local_prefixes` sorts out what it did not ask for
        self._sequence = 0

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()

    def route(
        self, family: int, destination: bytes, *, source: bytes, interface: int, traffic_class: int, mark: int
    ) -> RouteAnswer:
        """The route to `destination`; empty or zero means not given."""
        bits = len(destination) * 8
        asked = attribute(_RTA_DST, destination)
        if source:
            asked += attribute(_RTA_SRC, source)
        if interface:
            asked += attribute(_RTA_OIF, _U32.pack(interface))
        if mark:
            asked += attribute(_RTA_MARK, _U32.pack(mark))
        # The two ECN bits take no part in routing, and the lowest one once meant "on-link only".
        header = _RTMSG.pack(family, bits, bits if source else 0, traffic_class & 0xFC, 0, 0, 0, 0, 0)
        return _route_answer(self._ask(_RTM_GETROUTE, header + asked))

    def interfaces(self) -> list[Interface]:
        """All interfaces."""
        asked = _IFINFO.pack(0, 0, 0, 0, 0) + attribute(_IFLA_EXT_MASK, _U32.pack(_RTEXT_FILTER_SKIP_STATS))
        return [_interface(body) for kind, body in self._dump(_RTM_GETLINK, asked) if kind == _RTM_NEWLINK]

    def addresses(self) -> list[Address]:
        """All addresses of both families, in the kernel's order for each interface."""
        asked = _IFADDR.pack(0, 0, 0, 0, 0)
        return [_address(body) for kind, body in self._dump(_RTM_GETADDR, asked) if kind == _RTM_NEWADDR]

    def local_prefixes(self, family: int) -> list[LocalPrefix]:
        """The routing table `local` of one family."""
        asked = _RTMSG.pack(family, 0, 0, 0, _RT_TABLE_LOCAL, 0, 0, 0, 0)
        entries = (_local_prefix(body) for kind, body in self._dump(_RTM_GETROUTE, asked) if kind == _RTM_NEWROUTE)
        return [entry for entry in entries if entry is not None]

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence = self._sequence + 1 & 0xFFFFFFFF
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0) + body)

    def _ask(self, kind: int, body: bytes) -> bytes:
        self._send(kind, _NLM_F_REQUEST, body)
        while True:
            for answered, _, sequence, answer in _messages(self._socket.recv(_LARGEST_ANSWER)):
                if sequence == self._sequence:
                    if answered == _NLMSG_ERROR:
                        _raise_if_error(answer)
                    return answer

    def _dump(self, kind: int, body: bytes) -> list[tuple[int, bytes]]:
        for _ in range(_DUMP_ATTEMPTS):
            found, disturbed = self._dump_once(kind, body)
            if not disturbed:
                break
        return found

    def _dump_once(self, kind: int, body: bytes) -> tuple[list[tuple[int, bytes]], bool]:
        self._send(kind, _NLM_F_REQUEST | _NLM_F_DUMP, body)
        found: list[tuple[int, bytes]] = []
        disturbed = False
        while True:
            for answered, flags, sequence, answer in _messages(self._socket.recv(_LARGEST_ANSWER)):
                if sequence != self._sequence:
                    continue
                disturbed |= bool(flags & _NLM_F_DUMP_INTR)
                if answered == _NLMSG_DONE:
                    return found, disturbed
                if answered == _NLMSG_ERROR:
                    _raise_if_error(answer)
                found.append((answered, answer))


def _route_answer(body: bytes) -> RouteAnswer:
    kind = _RTMSG.unpack_from(body)[7]
    found = attributes(body[_RTMSG.size :])
    metrics = attributes(found.get(_RTA_METRICS, b""))
    return RouteAnswer(
        kind,
        found.get(_RTA_PREFSRC, b""),
        _number(found.get(_RTA_OIF)),
        _RTA_GATEWAY in found or _RTA_VIA in found,
        _number(metrics.get(_RTAX_MTU)),
        bool(_number(metrics.get(_RTAX_LOCK)) & 1 << _RTAX_MTU),
    )


def _number(value: bytes | None) -> int:
    return int(_U32.unpack_from(value)[0]) if value else 0


def _interface(body: bytes) -> Interface:
    index = _IFINFO.unpack_from(body)[2]
    found = attributes(body[_IFINFO.size :])
    name = os.fsdecode(found.get(_IFLA_IFNAME, b"").rstrip(b"\0"))
    mtu = _number(found.get(_IFLA_MTU))
    ipv6 = attributes(attributes(found.get(_IFLA_AF_SPEC, b"")).get(AF_INET6, b""))
    settings = ipv6.get(_IFLA_INET6_CONF, b"")[_DEVCONF_MTU6 * 4 :]
    return Interface(index, name, mtu, _number(settings) or mtu)


def _address(body: bytes) -> Address:
    family, _, flags, _, interface = _IFADDR.unpack_from(body)
    found = attributes(body[_IFADDR.size :])
    flags = _number(found.get(_IFA_FLAGS)) or flags
    # On a point-to-point interface IFA_ADDRESS is the far end's.
    address = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS, b"")
    tentative = flags & _IFA_F_TENTATIVE and not flags & _IFA_F_OPTIMISTIC
    return Address(family, address, interface, not tentative and not flags & _IFA_F_DADFAILED)


def _local_prefix(body: bytes) -> LocalPrefix | None:
    family, length, _, _, table, _, _, kind, _ = _RTMSG.unpack_from(body)
    if table != _RT_TABLE_LOCAL:
        return None
    found = attributes(body[_RTMSG.size :])
    return LocalPrefix(family, found.get(_RTA_DST, bytes(4 if family == AF_INET else 16)), length, kind)


class News:
    """A socket on which the kernel tells that links, addresses, routes or rules have changed."""

    def __init__(self) -> None:
        self._socket = socket.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
        self._socket.bind((0, _NEWS_GROUPS))
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        self._poll = poll.poll

    def fileno(self) -> int:
        """Readable when `arrived` would be True."""
        return self._socket.fileno()

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()

    def arrived(self) -> bool:
        """Whether anything has changed since the last call; a quarter of a microsecond if not."""
        if not self._poll(0):
            return False
        while True:
            try:
                self._socket.recv(1)
            except BlockingIOError:
                return True
            except OSError:
                pass  # ENOBUFS: news were lost, which is news
