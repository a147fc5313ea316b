"""Served sockets on the bed: the server in this process, over raw sockets or over a host of our own in memory.

The only place that knows how a server and its sockets are made.
"""

from __future__ import annotations

import contextlib
import errno
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from bed.bed import Bed
from bed.child import Credentials
from bed.families import V4, Family
from bed.kinds import ADDRESSES, DEFAULT_ROUTERS, UNREACHABLE_PREFIXES, NetworkBed
from pingsock.link.cable import memory_cable
from pingsock.service.embedded import EmbeddedServer
from pingsock.sockets.served import ServedPingSocket
from pingsock.stack.policy import GroupRange

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from bed.subject import Subject

T = TypeVar("T")


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

    def may_open(self, ip: Family, group_range: tuple[int, int], who: Credentials) -> int:
        stack = self.server.stack
        before = stack.policy
        stack.apply_policy(before.replace(group_range=GroupRange(*group_range)))
        try:
            self.open_as(ip, who).close()
        except OSError as err:
            return err.errno or errno.EIO
        finally:
            stack.apply_policy(before)
        return 0

    @contextlib.contextmanager
    def idents_taken(self, spare: Collection[int]) -> Iterator[None]:
        holders = [self.open(V4) for _ in range(1, 65536 - len(spare))]
        for sock, number in zip(holders, sorted(set(range(1, 65536)) - set(spare)), strict=False):
            with contextlib.suppress(OSError):  # one of the bed's own holds it already
                sock.bind(V4.name_of(V4.any, number))
        yield
        for sock in holders:
            sock.close()

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


class MemoryBed(ServedBed):
    """Served over an IP host in memory."""

    kind = "memory"

    def __init__(self) -> None:
        from pingsock.link.host import HostLink

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

    def read_sysctl(self, name: str) -> str:
        return str(self.host.sysctl(name))

    def write_sysctl(self, name: str, value: str) -> None:
        self.host.set_sysctl(name, value)

    def close(self) -> None:
        self.stop_settling()
        self.server.close()
