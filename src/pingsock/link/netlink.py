"""Asking the kernel about routes, addresses and interfaces: rtnetlink(7), read only.

No question here needs a privilege, and the sockets stay in the network namespace they were opened in. How a message
looks is the business of `pingsock.wire.rtnetlink`.

Some facts about answers:

* A route lookup is answered with one message, in about three microseconds; a refusal carries the errno that connect(2)
  would give.
* A dump is a train of messages that ends with NLMSG_DONE; NLM_F_DUMP_INTR says that it was disturbed and may lie.
* With NETLINK_GET_STRICT_CHK the kernel dumps one routing table only; older kernels (before 4.20) send them all.
"""

from __future__ import annotations

import os
import socket
import struct

from pingsock.wire import rtnetlink
from pingsock.wire.linux import AF_INET, AF_INET6, AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, SOL_NETLINK
from pingsock.wire.rtnetlink import attribute, attributes, message, messages, number_of, raise_if_error
from pingsock.wire.value import Value

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


class Rtnetlink:
    """A socket that asks rtnetlink; each method is one question. Refusals are the kernel's OSError."""

    def __init__(self) -> None:
        self._socket = socket.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _ANSWER_TIMEOUT)
        try:
            self._socket.setsockopt(SOL_NETLINK, rtnetlink.NETLINK_GET_STRICT_CHK, 1)
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
        asked = attribute(rtnetlink.RTA_DST, destination)
        if source:
            asked += attribute(rtnetlink.RTA_SRC, source)
        if interface:
            asked += attribute(rtnetlink.RTA_OIF, rtnetlink.U32.pack(interface))
        if mark:
            asked += attribute(rtnetlink.RTA_MARK, rtnetlink.U32.pack(mark))
        # The two ECN bits take no part in routing, and the lowest one once meant "on-link only".
        header = rtnetlink.RTMSG.pack(family, bits, bits if source else 0, traffic_class & 0xFC, 0, 0, 0, 0, 0)
        return _route_answer(self._ask(rtnetlink.RTM_GETROUTE, header + asked))

    def interfaces(self) -> list[Interface]:
        """All interfaces."""
        without_statistics = rtnetlink.U32.pack(rtnetlink.RTEXT_FILTER_SKIP_STATS)
        asked = rtnetlink.IFINFO.pack(0, 0, 0, 0, 0) + attribute(rtnetlink.IFLA_EXT_MASK, without_statistics)
        return list(map(interface_of, self._dump(rtnetlink.RTM_GETLINK, asked, rtnetlink.RTM_NEWLINK)))

    def addresses(self) -> list[Address]:
        """All addresses of both families, in the kernel's order for each interface."""
        return [address for family in (AF_INET, AF_INET6) for address in self._addresses(family)]

    def _addresses(self, family: int) -> list[Address]:
        asked = rtnetlink.IFADDR.pack(family, 0, 0, 0, 0)
        found = map(_address, self._dump(rtnetlink.RTM_GETADDR, asked, rtnetlink.RTM_NEWADDR))
        # A kernel that does not know the family tells of all others.
        return [address for address in found if address.family == family]

    def local_prefixes(self, family: int) -> list[LocalPrefix]:
        """The routing table `local` of one family."""
        asked = rtnetlink.RTMSG.pack(family, 0, 0, 0, rtnetlink.RT_TABLE_LOCAL, 0, 0, 0, 0)
        entries = map(_local_prefix, self._dump(rtnetlink.RTM_GETROUTE, asked, rtnetlink.RTM_NEWROUTE))
        return [entry for entry in entries if entry is not None]

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence = self._sequence + 1 & 0xFFFFFFFF
        self._socket.send(message(kind, flags, self._sequence, body))

    def _ask(self, kind: int, body: bytes) -> bytes:
        self._send(kind, rtnetlink.NLM_F_REQUEST, body)
        while True:
            for answered, _, sequence, answer in messages(self._socket.recv(_LARGEST_ANSWER)):
                if sequence == self._sequence:
                    if answered == rtnetlink.NLMSG_ERROR:
                        raise_if_error(answer)
                    return answer

    def _dump(self, kind: int, body: bytes, wanted: int) -> list[bytes]:
        """The bodies of the answers of type `wanted`."""
        for _ in range(_DUMP_ATTEMPTS):
            found, disturbed = self._dump_once(kind, body)
            if not disturbed:
                break
        return [answer for answered, answer in found if answered == wanted]

    def _dump_once(self, kind: int, body: bytes) -> tuple[list[tuple[int, bytes]], bool]:
        self._send(kind, rtnetlink.NLM_F_REQUEST | rtnetlink.NLM_F_DUMP, body)
        found: list[tuple[int, bytes]] = []
        disturbed = False
        while True:
            for answered, flags, sequence, answer in messages(self._socket.recv(_LARGEST_ANSWER)):
                if sequence != self._sequence:
                    continue
                disturbed |= bool(flags & rtnetlink.NLM_F_DUMP_INTR)
                if answered == rtnetlink.NLMSG_DONE:
                    return found, disturbed
                if answered == rtnetlink.NLMSG_ERROR:
                    raise_if_error(answer)
                found.append((answered, answer))


def _route_answer(body: bytes) -> RouteAnswer:
    kind = rtnetlink.RTMSG.unpack_from(body)[7]
    found = attributes(body[rtnetlink.RTMSG.size :])
    metrics = attributes(found.get(rtnetlink.RTA_METRICS, b""))
    return RouteAnswer(
        kind,
        found.get(rtnetlink.RTA_PREFSRC, b""),
        number_of(found.get(rtnetlink.RTA_OIF)),
        rtnetlink.RTA_GATEWAY in found or rtnetlink.RTA_VIA in found,
        number_of(metrics.get(rtnetlink.RTAX_MTU)),
        bool(number_of(metrics.get(rtnetlink.RTAX_LOCK)) & 1 << rtnetlink.RTAX_MTU),
    )


def interface_of(body: bytes) -> Interface:
    """What RTM_NEWLINK tells."""
    index = rtnetlink.IFINFO.unpack_from(body)[2]
    found = attributes(body[rtnetlink.IFINFO.size :])
    name = os.fsdecode(found.get(rtnetlink.IFLA_IFNAME, b"").rstrip(b"\0"))
    mtu = number_of(found.get(rtnetlink.IFLA_MTU))
    ipv6 = attributes(attributes(found.get(rtnetlink.IFLA_AF_SPEC, b"")).get(AF_INET6, b""))
    settings = ipv6.get(rtnetlink.IFLA_INET6_CONF, b"")[rtnetlink.DEVCONF_MTU6 * 4 :]
    return Interface(index, name, mtu, number_of(settings) or mtu)


def _address(body: bytes) -> Address:
    family, _, flags, _, interface = rtnetlink.IFADDR.unpack_from(body)
    found = attributes(body[rtnetlink.IFADDR.size :])
    flags = number_of(found.get(rtnetlink.IFA_FLAGS)) or flags
    # On a point-to-point interface IFA_ADDRESS is the far end's.
    address = found.get(rtnetlink.IFA_LOCAL) or found.get(rtnetlink.IFA_ADDRESS, b"")
    tentative = flags & rtnetlink.IFA_F_TENTATIVE and not flags & rtnetlink.IFA_F_OPTIMISTIC
    return Address(family, address, interface, not tentative and not flags & rtnetlink.IFA_F_DADFAILED)


def _local_prefix(body: bytes) -> LocalPrefix | None:
    family, length, _, _, table, _, _, kind, _ = rtnetlink.RTMSG.unpack_from(body)
    if table != rtnetlink.RT_TABLE_LOCAL:
        return None
    found = attributes(body[rtnetlink.RTMSG.size :])
    return LocalPrefix(family, found.get(rtnetlink.RTA_DST, bytes(4 if family == AF_INET else 16)), length, kind)
