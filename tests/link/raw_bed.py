"""Three hosts in network namespaces, for links that use a real kernel. The test's thread is on the first one.

    near  a0 10.50.1.1/24 fd50:1::1/64 fe80::a:1   ---  b0 10.50.1.2 fd50:1::2 fe80::b:1  router
          a1 10.50.2.1/24 fd50:2::1/64 fe80::a:2   ---  b1 10.50.2.2 fd50:2::2 fe80::b:2
                                                        b2 10.50.3.1 fd50:3::1  ---  c0 10.50.3.2 fd50:3::2  far

On `near`, 10.50.3/24 and 10.77/16 go to the router, which has no route to the latter; 10.66.1 is unreachable, 10.66.2
prohibited, 10.66.3 a blackhole, 10.66.4 has no route; fd50:3::, fd77::, fd66:1:: to fd66:4:: alike.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pingsock.wire.checksum import with_checksum, with_checksum6
from pingsock.wire.linux import AF_INET, AF_INET6

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pingsock.link.raw import RawLink

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_OWN = "/proc/thread-self/ns/net"
DEADLINE = 5.0
"""Seconds after which something that must happen has not happened."""

_NEAR = """
link add a0 address 02:00:00:00:0a:00 type veth peer name b0 address 02:00:00:00:0b:00 netns {router}
link add a1 address 02:00:00:00:0a:01 type veth peer name b1 address 02:00:00:00:0b:01 netns {router}
address add 10.50.1.1/24 broadcast 10.50.1.255 dev a0
address add fd50:1::1/64 dev a0 nodad
address add fe80::a:1/64 dev a0 nodad
address add 10.50.2.1/24 dev a1
address add fd50:2::1/64 dev a1 nodad
address add fe80::a:2/64 dev a1 nodad
link set a0 up
link set a1 up
neighbour add 10.50.1.2 lladdr 02:00:00:00:0b:00 dev a0
neighbour add fd50:1::2 lladdr 02:00:00:00:0b:00 dev a0
neighbour add fe80::b:1 lladdr 02:00:00:00:0b:00 dev a0
neighbour add 10.50.1.2 lladdr 02:00:00:00:0b:01 dev a1
neighbour add fe80::b:2 lladdr 02:00:00:00:0b:01 dev a1
neighbour add 10.50.2.2 lladdr 02:00:00:00:0b:01 dev a1
neighbour add fd50:2::2 lladdr 02:00:00:00:0b:01 dev a1
route add 10.50.3.0/24 via 10.50.1.2
route add 10.77.0.0/16 via 10.50.1.2
route add unreachable 10.66.1.0/24
route add prohibit 10.66.2.0/24
route add blackhole 10.66.3.0/24
route add fd50:3::/64 via fd50:1::2
route add fd77::/16 via fd50:1::2
route add unreachable fd66:1::/32
route add prohibit fd66:2::/32
route add blackhole fd66:3::/32
"""
_ROUTER = """
address add 10.50.1.2/24 dev b0
address add fd50:1::2/64 dev b0 nodad
address add fe80::b:1/64 dev b0 nodad
address add 10.50.2.2/24 dev b1
address add fd50:2::2/64 dev b1 nodad
address add fe80::b:2/64 dev b1 nodad
link add b2 type veth peer name c0 netns {far}
address add 10.50.3.1/24 dev b2
address add fd50:3::1/64 dev b2 nodad
link set b0 up
link set b1 up
link set b2 up
neighbour add 10.50.1.1 lladdr 02:00:00:00:0a:00 dev b0
neighbour add fd50:1::1 lladdr 02:00:00:00:0a:00 dev b0
neighbour add fe80::a:1 lladdr 02:00:00:00:0a:00 dev b0
neighbour add 10.50.2.1 lladdr 02:00:00:00:0a:01 dev b1
neighbour add fd50:2::1 lladdr 02:00:00:00:0a:01 dev b1
neighbour add fe80::a:2 lladdr 02:00:00:00:0a:01 dev b1
"""
_FAR = """
address add 10.50.3.2/24 dev c0
address add fd50:3::2/64 dev c0 nodad
link set c0 up
route add default via 10.50.3.1
route add default via fd50:3::1
"""


def packed(text: str) -> bytes:
    return socket.inet_pton(AF_INET6 if ":" in text else AF_INET, text)


def family_of(address: str) -> int:
    return AF_INET6 if ":" in address else AF_INET


def _call(name: str, *arguments: int) -> None:
    if getattr(_LIBC, name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def _new_namespace() -> int:
    """A descriptor of a fresh namespace, made by a thread that ends in it."""
    made: list[int] = []

    def make() -> None:
        with contextlib.suppress(OSError):
            _call("unshare", _CLONE_NEWNET)
            made.append(os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if not made:
        pytest.skip("needs network namespaces of its own; run as root or inside `unshare -rn`")
    return made[0]


def write_sysctl(name: str, value: str) -> None:
    """On the host the thread is on."""
    with open(f"/proc/sys/net/{name.replace('.', '/')}", "w") as file:
        file.write(value)


class Hosts:
    """The three hosts by name."""

    def __init__(self) -> None:
        self.namespaces = {name: _new_namespace() for name in ("near", "router", "far")}
        self._home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        self.enter("near")
        for name in self.namespaces:
            with self.on(name):
                self._prepare()
        for name, commands in (("near", _NEAR), ("router", _ROUTER), ("far", _FAR)):
            self.ip(name, commands.format(router=self._path("router"), far=self._path("far")))
        write_sysctl("ipv4.ping_group_range", f"{os.getegid()} {os.getegid()}")

    @staticmethod
    def _prepare() -> None:
        write_sysctl("ipv6.conf.default.accept_dad", "0")
        write_sysctl("ipv6.conf.default.addr_gen_mode", "1")
        write_sysctl("ipv4.icmp_ratelimit", "0")
        write_sysctl("ipv6.icmp.ratelimit", "0")
        write_sysctl("ipv4.ip_forward", "1")
        write_sysctl("ipv6.conf.all.forwarding", "1")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)

    def _path(self, name: str) -> str:
        return f"/proc/{os.getpid()}/fd/{self.namespaces[name]}"

    def enter(self, name: str) -> None:
        _call("setns", self.namespaces[name], _CLONE_NEWNET)

    @contextlib.contextmanager
    def on(self, name: str) -> Iterator[None]:
        """The thread is on another host meanwhile; sockets opened there stay there."""
        self.enter(name)
        try:
            yield
        finally:
            self.enter("near")

    def ip(self, name: str, commands: str) -> None:
        with self.on(name):
            subprocess.run(["ip", "-batch", "-"], input=commands, text=True, check=True, capture_output=True)

    def leave(self) -> None:
        _call("setns", self._home, _CLONE_NEWNET)
        for descriptor in (self._home, *self.namespaces.values()):
            os.close(descriptor)

    def tap(self, name: str, interface: str) -> Tap:
        """Everything that arrives at an interface of a host."""
        with self.on(name):
            return Tap(interface)


class Tap:
    """A packet socket that shows the IP packets arriving at one interface."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self._socket.bind((interface, 3))
        self._socket.settimeout(DEADLINE)

    def next(self, protocol: int, wanted: Callable[[bytes], bool] = lambda packet: True) -> bytes:
        """The next packet of an IP protocol, of either version, that is wanted."""
        while True:
            packet, address = self._socket.recvfrom(70000)
            if address[2] == socket.PACKET_OUTGOING or not packet:
                continue
            found = packet[9] if packet[0] >> 4 == 4 else packet[6]
            if found == protocol and wanted(packet):
                return packet

    def close(self) -> None:
        self._socket.close()


class Listener:
    """What a link delivers."""

    def __init__(self, link: RawLink) -> None:
        self.link = link
        self.packets: list[tuple[bytes, int, int, int]] = []
        """Packet, interface, stamp, fragment size."""
        self.stamps: list[tuple[int, int, bool, bytes]] = []
        link.attach(self)

    def deliver_untrusted(self, packet: bytes, interface: int, stamp: int, fragment_size: int = 0) -> None:
        self.packets.append((packet, interface, stamp, fragment_size))

    def transmitted(self, stamp_key: int, stamp: int, scheduled: bool, packet: bytes) -> None:
        self.stamps.append((stamp_key, stamp, scheduled, packet))

    @property
    def news(self) -> int:
        """The descriptor that wakes for news of routes and interfaces.

        It may do so at any time: of a new interface's state the kernel tells up to a second late.
        """
        return self.link._routes.fileno()

    def pump(self, timeout: float = 0.0) -> set[int]:
        """Take what waits, or comes within `timeout` seconds; which descriptors woke us."""
        poll = select.poll()
        for fileno in self.link.filenos():
            poll.register(fileno, select.POLLIN)
        ready = {fileno for fileno, _ in poll.poll(timeout * 1000)}
        for fileno in ready:
            self.link.receive(fileno)
        return ready

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, f"got only {self.packets} and {self.stamps}"
            self.pump(0.1)

    def packet(self) -> tuple[bytes, int, int, int]:
        """The next packet."""
        self.until(lambda: bool(self.packets))
        return self.packets.pop(0)


def icmp_of(packet: bytes) -> bytes:
    """The ICMP message of an IPv4 packet, or of an IPv6 one without extension headers."""
    return packet[(packet[0] & 15) * 4 :] if packet[0] >> 4 == 4 else packet[40:]


def echo_request(source: str, destination: str, ident: int = 0x4711, payload: bytes = b"payload.") -> bytes:
    rest = ident.to_bytes(2, "big") + b"\0\1" + payload
    if ":" in destination:
        return with_checksum6(packed(source), packed(destination), b"\x80\0\0\0" + rest)
    return with_checksum(b"\x08\0\0\0" + rest)
