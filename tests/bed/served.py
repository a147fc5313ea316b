"""Served sockets on the bed: the server in this process, over raw sockets or over a host of our own in memory.

The only place that knows how a server and its sockets are made.
"""

from __future__ import annotations

import abc
import contextlib
import errno
import os
import threading
from socket import SOCK_DGRAM
from typing import TYPE_CHECKING, Any, TypeVar, cast
from unittest import mock

from bed.actor import Actor, LocalActor
from bed.bed import Bed
from bed.child import Credentials
from bed.families import V4, Family
from bed.kinds import ADDRESSES, DEFAULT_ROUTERS, UNREACHABLE_PREFIXES, NetworkBed
from pingsock.link.cable import MemoryCable, memory_cable
from pingsock.link.host import HostLink
from pingsock.link.raw import RawLink
from pingsock.service.embedded import EmbeddedServer
from pingsock.sockets.served import ServedPingSocket
from pingsock.stack import policy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from bed.subject import Subject

T = TypeVar("T")

GROUP_RANGE = "ipv4.ping_group_range"
"""The stack's own; the kernel's does not count for it."""


GROUP_RANGE = "ipv4.ping_group_range"
"""To a served socket a policy of its server, whatever the kernel below says."""


def _credentials(who: Credentials) -> policy.Credentials:
    return policy.Credentials(who.uid, who.gid, who.groups, who.capable)


class ServedBed(Bed):
    """What both kinds of served socket have in common; `server` is made by the kinds."""

    server: EmbeddedServer

    @abc.abstractmethod
    def read_host_sysctl(self, name: str) -> str:
        """A setting of the host, not of the server."""

    @abc.abstractmethod
    def write_host_sysctl(self, name: str, value: str) -> None:
        """Change one."""

    def open(self, ip: Family) -> Subject:
        return cast("Subject", ServedPingSocket(ip.af, self.server.connect()))

    def open_as(self, ip: Family, who: Credentials) -> Subject:
        return cast("Subject", ServedPingSocket(ip.af, self.server.connect(_credentials(who))))

    def create(self, family: int, type_: int, protocol: int) -> Any:
        return ServedPingSocket(family, self.server.connect(), kind=type_, proto=protocol)

    def unprivileged(self, function: Callable[[Callable[[Family], Subject]], T]) -> T:
        return function(self._open_unprivileged)

    def _open_unprivileged(self, ip: Family) -> Subject:
        sock = self.open_as(ip, Credentials())
        self._opened.append(sock)
        return sock

    @contextlib.contextmanager
    def actor(self, who: Credentials) -> Iterator[Actor]:
        """In this process: sockets of a server inside a process do not survive a fork."""
        opened: list[Subject] = []

        def open_and_keep(ip: Family) -> Subject:
            opened.append(self.open_as(ip, who))
            return opened[-1]

        yield LocalActor(open_and_keep)
        for sock in opened:
            sock.close()

    def may_open(self, ip: Family, group_range: tuple[int, int], who: Credentials) -> int:
        with self.sysctl(GROUP_RANGE, "{} {}".format(*group_range)):
            try:
                self.open_as(ip, who).close()
            except OSError as err:
                return err.errno or errno.EIO
            return 0

    @contextlib.contextmanager
    def idents_taken(self, spare: Collection[int]) -> Iterator[None]:
        stack, nobody = self.server.stack, policy.Credentials()
        holders = [stack.socket(V4.af, SOCK_DGRAM, V4.protocol, nobody) for _ in range(65535)]
        for number, endpoint in enumerate(holders, 1):
            if number not in spare:
                with self.server.lock, contextlib.suppress(OSError):  # one of the bed's own holds it already
                    endpoint.bind(V4.sockaddr(V4.any, number))
        yield
        for endpoint in holders:
            with self.server.lock:
                endpoint.close()

    def proc_net(self, ip: Family) -> str:
        return self.server.proc_net_icmp() if ip is V4 else self.server.proc_net_icmp6()

    def read_sysctl(self, name: str) -> str:
        if name == GROUP_RANGE:
            return str(self.server.stack.policy.group_range)
        return self.read_host_sysctl(name)

    def write_sysctl(self, name: str, value: str) -> None:
        if name != GROUP_RANGE:
            self.write_host_sysctl(name, value)
            return
        old = self.server.stack.policy
        self.server.stack.apply_policy(old.replace(group_range=old.group_range.written(value)))


class EmbeddedBed(ServedBed, NetworkBed):
    """Served over raw sockets in the namespace of the tests."""

    kind = "embedded"

    def __init__(self) -> None:
        super().__init__()
        self.server = EmbeddedServer(RawLink.open())
        self.start_settling()

    def read_host_sysctl(self, name: str) -> str:
        return NetworkBed.read_sysctl(self, name)

    def write_host_sysctl(self, name: str, value: str) -> None:
        NetworkBed.write_sysctl(self, name, value)

    def close(self) -> None:
        self.stop_settling()
        self.server.close()
        super().close()


class MemoryBed(ServedBed):
    """Served over an IP host in memory."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        lock = threading.RLock()
        self.host = HostLink(lock=lock)
        self._near: dict[str, MemoryCable] = {}
        for name, addresses in ADDRESSES.items():
            self._near[name], self.cables[name] = memory_cable()
            self.host.add_interface(name, self._near[name], addresses)
        for router in DEFAULT_ROUTERS:
            self.host.add_route("default", router, "ps0")
        for kind, prefixes in UNREACHABLE_PREFIXES.items():
            for prefix in prefixes:
                self.host.add_route(prefix, kind=kind)
        self.server = EmbeddedServer(self.host, lock=lock)
        self.start_settling()

    @contextlib.contextmanager
    def full_queue(self) -> Iterator[None]:
        def refuse(_packet: bytes) -> None:
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

        with mock.patch.object(self._near["ps0"], "send", refuse):
            yield

    def silent_neighbours(
        self, retry_milliseconds: int = 10_000
    ) -> contextlib.AbstractContextManager[dict[Family, str]]:
        raise NotImplementedError("a layer-3 cable knows no neighbours")

    def index(self, interface: str) -> int:
        return self.host.interface_index(interface)

    def read_host_sysctl(self, name: str) -> str:
        return str(self.host.sysctl(name))

    def write_host_sysctl(self, name: str, value: str) -> None:
        self.host.set_sysctl(name, value)

    def close(self) -> None:
        self.stop_settling()
        self.server.close()
