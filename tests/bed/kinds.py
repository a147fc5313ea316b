"""The kinds of socket under test, and how each is made."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bed.actor import Actor, remote_actor
from bed.bed import DEADLINE, Bed, errno_of
from bed.child import Credentials, allow_descriptors, holding, in_child
from bed.families import LINK_LOCAL, V4, V6, Family
from bed.namespace import run_ip
from bed.subject import KernelSubject, Subject
from pingsock.link.tun import TunDevice

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

T = TypeVar("T")

SOCKETS_PER_CHILD = 3000
"""Fits the limit of descriptors an ordinary process may raise its own to."""

ADDRESSES = {
    "ps0": ("10.9.0.1/24", "10.9.0.3/24", "2001:db8:9::3/64", "2001:db8:9::1/64", f"{LINK_LOCAL['ps0']}/64"),
    "ps1": ("10.8.0.1/24", "2001:db8:8::1/64", f"{LINK_LOCAL['ps1']}/64"),
}
"""In the order they are given to the host: as source it prefers the oldest IPv4 and the newest IPv6 address."""
DEFAULT_ROUTERS = (V4.router, V6.router)
"""Both on ps0."""
UNREACHABLE_PREFIXES = {
    "unreachable": ("10.66.1.0/24", "2001:db8:66:1::/64"),
    "prohibit": ("10.66.2.0/24", "2001:db8:66:2::/64"),
    "blackhole": ("10.66.3.0/24", "2001:db8:66:3::/64"),
    "throw": ("10.66.4.0/24", "2001:db8:66:4::/64"),
}
"""Route kinds; `throw` means the table has no route, in spite of the default one."""
SYSCTLS = {
    "ipv4.conf.all.rp_filter": "0",
    "ipv4.conf.default.rp_filter": "0",
    "ipv4.icmp_ratelimit": "0",
    "ipv6.icmp.ratelimit": "0",
    "ipv6.conf.default.accept_dad": "0",
    "ipv6.conf.default.accept_ra": "0",
    "ipv6.conf.default.addr_gen_mode": "1",
    "ipv6.conf.default.router_solicitations": "0",
}
IPV6_ADDRESSES = "/proc/thread-self/net/if_inet6"
TENTATIVE = 0x40


def _sysctl_path(name: str) -> Path:
    return Path("/proc/sys/net", *name.split("."))


class KernelNetwork:
    """ps0 and ps1 as TUN devices of the network namespace this process is in."""

    def __init__(self) -> None:
        for name, value in SYSCTLS.items():
            with contextlib.suppress(FileNotFoundError):
                _sysctl_path(name).write_text(value)
        self._open_widest_range()
        self.devices = {name: TunDevice(name) for name in ADDRESSES}
        run_ip("\n".join(self._commands()))
        self._wait_for_addresses()

    @staticmethod
    def _open_widest_range() -> None:
        with contextlib.suppress(OSError):  # in a user namespace only mapped ids can be named
            _sysctl_path("ipv4.ping_group_range").write_text("0 2147483647")
            return
        _sysctl_path("ipv4.ping_group_range").write_text("0 0")

    @staticmethod
    def _commands() -> Iterator[str]:
        for name, addresses in ADDRESSES.items():
            yield f"link set {name} up"
            for address in addresses:
                yield f"addr add {address} dev {name}" + (" nodad" if ":" in address else " broadcast +")
        for router in DEFAULT_ROUTERS:
            yield f"route add default via {router} dev ps0"
        for kind, prefixes in UNREACHABLE_PREFIXES.items():
            for prefix in prefixes:
                yield f"route add {kind} {prefix}"

    @staticmethod
    def _wait_for_addresses() -> None:
        """Until no IPv6 address is tentative, so that each can be a source."""
        deadline = time.monotonic() + DEADLINE
        while any(int(line.split()[4], 16) & TENTATIVE for line in Path(IPV6_ADDRESSES).read_text().splitlines()):
            assert time.monotonic() < deadline, "IPv6 addresses stay tentative"

    def close(self) -> None:
        for device in self.devices.values():
            device.close()
        run_ip("\n".join(f"route del {kind} {p}" for kind, prefixes in UNREACHABLE_PREFIXES.items() for p in prefixes))


class NetworkBed(Bed):
    """A host that is the kernel of a network namespace."""

    def __init__(self) -> None:
        super().__init__()
        self._network = KernelNetwork()
        self.cables = dict(self._network.devices)

    def index(self, interface: str) -> int:
        return socket.if_nametoindex(interface)

    def read_sysctl(self, name: str) -> str:
        return _sysctl_path(name).read_text().strip()

    def write_sysctl(self, name: str, value: str) -> None:
        _sysctl_path(name).write_text(value)

    @contextlib.contextmanager
    def full_queue(self) -> Iterator[None]:
        """A queue too short for any packet."""
        subprocess.run(["tc", "qdisc", "replace", "dev", "ps0", "root", "bfifo", "limit", "1"], check=True)
        try:
            yield
        finally:
            subprocess.run(["tc", "qdisc", "del", "dev", "ps0", "root"], check=True)

    @contextlib.contextmanager
    def silent_neighbours(self, retry_milliseconds: int = 10_000) -> Iterator[dict[Family, str]]:
        """An Ethernet whose other end never answers."""
        commands = [
            "link add psv type veth peer name psv-far",
            "link set psv up",
            "link set psv-far up",
            f"addr add {self.silent_host[V4]}/24 dev psv",
            f"addr add {self.silent_host[V6]}/64 dev psv nodad",
        ]
        run_ip("\n".join(commands))
        for version in ("ipv4", "ipv6"):
            self.write_sysctl(f"{version}.neigh.psv.retrans_time_ms", str(retry_milliseconds))
        try:
            yield {V4: "10.7.0.2", V6: "2001:db8:17::2"}
        finally:
            run_ip("link del psv")

    def close(self) -> None:
        self.stop_settling()
        self._network.close()


class KernelBed(NetworkBed):
    """The kernel's own ping sockets."""

    kind = "kernel"

    def __init__(self) -> None:
        super().__init__()
        self.start_settling()

    def open(self, ip: Family) -> Subject:
        return KernelSubject(ip)

    def create(self, family: int, type_: int, protocol: int) -> Any:
        return socket.socket(family, type_, protocol)

    def unprivileged(self, function: Callable[[Callable[[Family], Subject]], T]) -> T:
        return in_child(lambda: function(self.open), Credentials())

    def actor(self, who: Credentials) -> contextlib.AbstractContextManager[Actor]:
        return remote_actor(self.open, who)

    def may_open(self, ip: Family, group_range: tuple[int, int], who: Credentials) -> int:
        with self.sysctl("ipv4.ping_group_range", "{} {}".format(*group_range)):
            return in_child(lambda: errno_of(self._open_and_close, ip), who)

    @contextlib.contextmanager
    def idents_taken(self, spare: Collection[int]) -> Iterator[None]:
        wanted = sorted(set(range(1, 65536)) - set(spare))
        with contextlib.ExitStack() as stack:
            for at in range(0, len(wanted), SOCKETS_PER_CHILD):
                stack.enter_context(holding(partial(self._bind_all, wanted[at : at + SOCKETS_PER_CHILD])))
            yield

    @staticmethod
    def _bind_all(idents: list[int]) -> list[Subject]:
        allow_descriptors(len(idents) + 1000)
        holders: list[Subject] = [KernelSubject(V4) for _ in idents]
        for sock, number in zip(holders, idents, strict=True):
            with contextlib.suppress(OSError):  # one of the bed's own holds it already
                sock.bind(V4.name_of(V4.any, number))
        return holders

    def _open_and_close(self, ip: Family) -> None:
        self.open(ip).close()

    def proc_net(self, ip: Family) -> str:
        return Path("/proc/thread-self/net", "icmp" if ip is V4 else "icmp6").read_text()


def _embedded() -> Bed:
    from bed.served import EmbeddedBed

    return EmbeddedBed()


def _memory() -> Bed:
    from bed.served import MemoryBed

    return MemoryBed()


def _served() -> Bed:
    from bed.across import ServiceBed

    return ServiceBed()


KINDS: dict[str, Callable[[], Bed]] = {
    "kernel": KernelBed,
    "embedded": _embedded,
    "served": _served,
    "memory": _memory,
}
NEEDS_NAMESPACE = {"kernel", "embedded", "served"}
