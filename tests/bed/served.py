"""Served sockets on the bed: the server in this process, over raw sockets or over a host of our own in memory.

The only place that knows how a server and its sockets are made.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from bed.bed import Bed, errno_of
from bed.child import Credentials
from bed.families import V4, Family
from bed.kinds import ADDRESSES, DEFAULT_ROUTERS, UNREACHABLE_PREFIXES, NetworkBed
from pingsock.link.cable import memory_cable
from pingsock.link.host import HostLink
from pingsock.service.embedded import EmbeddedServer, own_credentials
from pingsock.sockets.served import ServedPingSocket
from pingsock.stack.sockaddr import pack_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from bed.subject import Subject

T = TypeVar("T")


GROUP_RANGE = "ipv4.ping_group_range"
"""The stack's own; the kernel's does not count for it."""


class ServedBed(Bed):
    """What both kinds of served socket have in common; `server` is made by the kinds."""

    server: EmbeddedServer

    def open(self, ip: Family) -> Subject:
        return ServedPingSocket(ip.af, self.server.connect())

    def open_as(self, ip: Family, who: Credentials) -> Subject:
        return ServedPingSocket(ip.af, self.server.connect(credentials=who))

    def create(self, family: int, type_: int, protocol: int) -> Any:
        return ServedPingSocket(family, self.server.connect(), kind=type_, proto=protocol)

    def unprivileged(self, function: Callable[[Callable[[Family], Subject]], T]) -> T:
        return function(self._open_unprivileged)

    def _open_unprivileged(self, ip: Family) -> Subject:
        sock = self.open_as(ip, Credentials())
        self._opened.append(sock)
        return sock

    def read_sysctl(self, name: str) -> str:
        if name == GROUP_RANGE:
            return str(self.server.stack.policy.group_range)
        return super().read_sysctl(name)

    def write_sysctl(self, name: str, value: str) -> None:
        if name != GROUP_RANGE:
            super().write_sysctl(name, value)
            return
        policy = self.server.stack.policy
        self.server.stack.apply_policy(policy.replace(group_range=policy.group_range.written(value)))

    def may_open(self, ip: Family, group_range: tuple[int, int], who: Credentials) -> int:
        with self.sysctl(GROUP_RANGE, "{} {}".format(*group_range)):
            return errno_of(lambda: self.open_as(ip, who).close())

    @contextlib.contextmanager
    def idents_taken(self, spare: Collection[int]) -> Iterator[None]:
        # Straight from the stack: 65,535 clients would need as many descriptors.
        stack = self.server.stack
        holders = []
        with self.server.lock:
            for ident in sorted(set(range(1, 65536)) - set(spare) - stack.idents.idents()):
                holder = stack.socket(V4.af, socket.SOCK_DGRAM, V4.protocol, own_credentials())
                holder.bind(pack_in(bytes(4), ident))
                holders.append(holder)
        yield
        with self.server.lock:
            for holder in holders:
                holder.close()

    def proc_net(self, ip: Family) -> str:
        return self.server.proc_net_icmp() if ip is V4 else self.server.proc_net_icmp6()


class EmbeddedBed(ServedBed, NetworkBed):
    """Served over raw sockets in the namespace of the tests."""

    kind = "embedded"

    def __init__(self) -> None:
        from pingsock.link.raw import RawLink

        super().__init__()
        self.server = EmbeddedServer(RawLink.open())
        self.start_settling()

    def close(self) -> None:
        self.stop_settling()
        self.server.close()
        super().close()


UNNEEDED = "always"
"""Reads a setting a kernel needs for what a host in memory always does."""


class MemoryHost(Bed):
    """The settings of a host in memory."""

    host: HostLink

    def read_sysctl(self, name: str) -> str:
        try:
            return str(self.host.sysctl(name))
        except KeyError:
            return UNNEEDED

    def write_sysctl(self, name: str, value: str) -> None:
        if self.read_sysctl(name) != UNNEEDED:
            self.host.set_sysctl(name, value)


class MemoryBed(ServedBed, MemoryHost):
    """Served over an IP host in memory."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        lock = threading.RLock()
        self.host = HostLink(lock=lock)
        for name, addresses in ADDRESSES.items():
            near, self.cables[name] = memory_cable()
            # Of equal addresses a host prefers the oldest of IPv4 and the newest of IPv6.
            four, six = (tuple(a for a in addresses if (":" in a) == v6) for v6 in (False, True))
            self.host.add_interface(name, near, four + six[::-1])
        for router in DEFAULT_ROUTERS:
            self.host.add_route("default", via=router, interface="ps0")
        for kind, prefixes in UNREACHABLE_PREFIXES.items():
            for prefix in prefixes:
                self.host.add_route(prefix, kind=kind)
        self.server = EmbeddedServer(self.host, lock=lock)
        self.start_settling()

    def index(self, interface: str) -> int:
        return self.host.interface_index(interface)

    def close(self) -> None:
        self.stop_settling()
        self.server.close()
