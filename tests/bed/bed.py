"""The host under test, with the far ends of its cables in the hands of the tests.

    ps0  10.9.0.1/24 (and 10.9.0.3), 2001:db8:9::1/64 (and ::3), fe80::9:1/64; default routes lead out of here
    ps1  10.8.0.1/24, 2001:db8:8::1/64, fe80::8:1/64
    lo   127.0.0.1/8, ::1/128

Prefixes that cannot be reached: 10.66.1 (unreachable), 10.66.2 (prohibit), 10.66.3 (blackhole), 10.66.4 (no route),
and 2001:db8:66:1 to 4 alike. The default routes are in `kinds`.

Nothing here waits for time to pass. Whether something does *not* arrive is decided after `settle`: a marker goes the
same way and is seen at the other end first.
"""

from __future__ import annotations

import abc
import contextlib
import errno
import fcntl
import select
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from bed import packets
from bed.families import FAMILIES, V4, V6, Family, family_of
from bed.packets import Seen, parse
from pingsock.wire import linux

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from contextlib import AbstractContextManager

    from bed.actor import Actor
    from bed.child import Credentials
    from bed.subject import Subject
    from pingsock.link.cable import Cable

T = TypeVar("T")

DEADLINE = 3.0
"""Seconds after which something that must happen has not happened."""
INTERFACES = ("ps0", "ps1")
WRONG = 0xBAD0
"""An ident no socket under test ever has."""


@dataclass(frozen=True)
class Received:
    """What one recvmsg returned."""

    data: bytes
    ancillary: list[tuple[int, int, bytes]]
    flags: int
    name: Any

    def item(self, level: int, kind: int) -> bytes | None:
        """The contents of one ancillary item."""
        return next((content for lev, typ, content in self.ancillary if (lev, typ) == (level, kind)), None)

    @property
    def kinds(self) -> list[tuple[int, int]]:
        return [(level, kind) for level, kind, _ in self.ancillary]


@dataclass(frozen=True)
class QueuedError:
    """One entry of the error queue, taken apart."""

    data: bytes
    name: Any
    flags: int
    errno: int
    origin: int
    type: int
    code: int
    info: int
    ee_data: int
    offender: tuple[int, str, int, int]
    """Family, address, port and scope."""
    ancillary: list[tuple[int, int, bytes]]


class Bed(abc.ABC):
    """One host under test. The kinds differ in who the host is and how its sockets are made."""

    kind: str

    def __init__(self) -> None:
        self.cables: dict[str, Cable] = {}
        self._barriers: dict[Family, Subject] = {}
        self._barrier_idents: dict[Family, int] = {}
        self._opened: list[Subject] = []
        self._marker = 0

    # What a kind provides.

    @abc.abstractmethod
    def open(self, ip: Family) -> Subject:
        """A new socket of this kind."""

    @abc.abstractmethod
    def create(self, family: int, type_: int, protocol: int) -> Any:
        """What socket(2) would do with these three numbers."""

    @abc.abstractmethod
    def index(self, interface: str) -> int:
        """An interface's index, lo too."""

    @abc.abstractmethod
    def read_sysctl(self, name: str) -> str:
        """A setting below `net`, like "ipv4.ip_default_ttl"."""

    @abc.abstractmethod
    def write_sysctl(self, name: str, value: str) -> None:
        """Change a setting."""

    @abc.abstractmethod
    def unprivileged(self, function: Callable[[Callable[[Family], Subject]], T]) -> T:
        """The function's result, called with something that opens sockets of a user without capabilities.

        The result must be picklable; an OSError comes through.
        """

    @abc.abstractmethod
    def actor(self, who: Credentials) -> AbstractContextManager[Actor]:
        """Somebody with sockets of their own; in a process of their own where the kind allows that."""

    @abc.abstractmethod
    def may_open(self, ip: Family, group_range: tuple[int, int], who: Credentials) -> int:
        """0, or the errno with which somebody is refused a socket under this group range."""

    def ioctl(self, sock: Subject, number: int) -> bytes:
        """ioctl(2) with an int for its argument."""
        return fcntl.ioctl(sock.fileno(), number, bytes(4))

    @abc.abstractmethod
    def proc_net(self, ip: Family) -> str:
        """The text of /proc/net/icmp or icmp6."""

    @abc.abstractmethod
    def full_queue(self) -> AbstractContextManager[None]:
        """The queue of ps0's cable takes no more packets, for a while."""

    @abc.abstractmethod
    def silent_neighbours(self, retry_milliseconds: int = 10_000) -> AbstractContextManager[dict[Family, str]]:
        """A third interface for a while, of a link layer that asks for its neighbours in vain.

        Gives the addresses of neighbours that never answer; `silent_host` has the host's own there.
        """

    silent_host: ClassVar[dict[Family, str]] = {V4: "10.7.0.1", V6: "2001:db8:17::1"}

    @abc.abstractmethod
    def idents_taken(self, spare: Collection[int]) -> AbstractContextManager[None]:
        """All idents but these are held by other sockets, each shareable, for a while."""

    @abc.abstractmethod
    def close(self) -> None:
        """Take the host away."""

    # Sockets.

    def socket(self, ip: Family = V4, *, bound: str | None = None, ident: int = 0) -> Subject:
        """A new socket, closed after the test; bound at once if an address is given."""
        sock = self.open(ip)
        self._opened.append(sock)
        if bound is not None:
            sock.bind(ip.name_of(bound, ident))
        return sock

    def bound(self, ip: Family = V4, address: str | None = None, *, recverr: bool = False) -> Subject:
        """A socket that owns an ident, by default for any address."""
        sock = self.socket(ip, bound=ip.any if address is None else address)
        if recverr:
            self.set_recverr(sock)
        return sock

    def connected(self, ip: Family = V4, peer: str | None = None, *, port: int = 9, recverr: bool = False) -> Subject:
        sock = self.socket(ip)
        sock.connect(ip.name_of(peer or ip.far, port))
        if recverr:
            self.set_recverr(sock)
        return sock

    def close_last(self) -> None:
        """Close the socket opened last."""
        self._opened.pop().close()

    def set_recverr(self, sock: Subject) -> None:
        ip = family_of(sock.family)
        sock.setsockopt(ip.level, ip.recverr, 1)

    # The cables.

    def inject(self, packet: bytes, interface: str = "ps0") -> None:
        """Let the host receive an IP packet."""
        self.cables[interface].send(packet)

    def sent(self, count: int = 0, interface: str = "ps0") -> list[Seen]:
        """All packets the host has sent since the last call, at least `count` of them."""
        deadline = time.monotonic() + DEADLINE
        seen: list[Seen] = []
        while True:
            seen += self._drain(interface)
            if len(seen) >= count:
                return seen
            left = deadline - time.monotonic()
            assert left > 0, f"the host sent {len(seen)} packets instead of {count}: {seen}"
            descriptor = self.cables[interface].fileno()
            select.select([descriptor] if descriptor >= 0 else [], [], [], min(left, 0.05))

    def _drain(self, interface: str) -> list[Seen]:
        cable = self.cables[interface]
        raw = iter(cable.receive, None)
        return [seen for seen in map(parse, raw) if not seen.noise]

    def one_sent(self, interface: str = "ps0") -> Seen:
        """The only packet the host has sent."""
        seen = self.sent(1, interface)
        assert len(seen) == 1, seen
        return seen[0]

    def nothing_sent(self, interface: str = "ps0") -> bool:
        self.settle()
        return self.sent(interface=interface) == []

    def settle(self) -> None:
        """Return when everything injected before has been dealt with."""
        for ip in self._barriers:
            assert self._marker_arrives(ip, DEADLINE), f"the bed did not settle: an {ip} marker never arrived"

    def _marker_arrives(self, ip: Family, patience: float) -> bool:
        self._marker += 1
        payload = b"settled %d" % self._marker
        marker = packets.echo(ip.reply, self._barrier_idents[ip], payload=payload)
        self.inject(packets.packet(ip, ip.far, ip.host, marker))
        barrier = self._barriers[ip]
        while select.select([barrier], [], [], patience)[0]:
            if barrier.recv(2048)[8:] == payload:
                return True
        return False

    def start_settling(self) -> None:
        """Open the sockets `settle` needs, and have arriving packets stamped from now on."""
        for ip in FAMILIES:
            barrier = self.open(ip)
            barrier.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPNS, 1)
            barrier.bind(ip.name_of(ip.host))
            barrier.setsockopt(linux.SOL_SOCKET, linux.SO_REUSEADDR, 0)
            self._barriers[ip] = barrier
            self._barrier_idents[ip] = barrier.getsockname()[1]
        for ip in FAMILIES:
            self._wait_until_reached(ip)

    def _wait_until_reached(self, ip: Family) -> None:
        """A kernel takes a moment until a new interface receives."""
        tries = int(DEADLINE / 0.05)
        assert any(self._marker_arrives(ip, 0.05) for _ in range(tries)), f"nothing reaches the host over {ip}"

    def reset(self) -> None:
        """Between tests: close what the test opened, forget what was sent."""
        for sock in self._opened:
            sock.close()
        self._opened.clear()
        if self._barriers:
            self.settle()
        for interface in INTERFACES:
            self._drain(interface)

    def stop_settling(self) -> None:
        for barrier in self._barriers.values():
            barrier.close()
        self._barriers.clear()

    @contextlib.contextmanager
    def sysctl(self, name: str, value: int | str) -> Iterator[None]:
        """A setting of the host changed for a while."""
        old = self.read_sysctl(name)
        self.write_sysctl(name, str(value))
        try:
            yield
        finally:
            self.write_sysctl(name, old)

    # Packets for a socket.

    def reply(
        self,
        sock: Subject,
        payload: bytes = b"reply",
        *,
        type_: int | None = None,
        code: int = 0,
        ident: int | None = None,
        sequence: int = 1,
        source: str | None = None,
        destination: str | None = None,
        interface: str = "ps0",
        **header: object,
    ) -> bytes:
        """Inject an echo reply for a socket; the ICMP message that was sent to it."""
        ip = family_of(sock.family)
        source, destination = source or ip.far, destination or ip.host
        message = packets.echo(
            ip.reply if type_ is None else type_,
            sock.getsockname()[1] if ident is None else ident,
            sequence,
            payload,
            code,
        )
        whole = packets.packet(ip, source, destination, message, **header)  # type: ignore[arg-type]
        self.inject(whole, interface)
        return packets.parse(whole).message

    def reply_to(self, request: Seen, **how: Any) -> bytes:
        """Inject the answer to an echo request that was sent; the ICMP message."""
        message = packets.icmp(
            how.pop("type_", request.ip.reply), how.pop("code", 0), request.message[4:8], request.payload
        )
        whole = packets.packet(
            request.ip, how.pop("source", request.destination), how.pop("destination", request.source), message, **how
        )
        self.inject(whole)
        return packets.parse(whole).message

    def quote(self, sock: Subject, *, destination: str | None = None, payload: bytes = b"quoted", **how: Any) -> bytes:
        """The IP packet of an echo request of a socket, as a router would quote it."""
        ip = family_of(sock.family)
        message = packets.echo(
            how.pop("type_", ip.request),
            how.pop("ident", None) or sock.getsockname()[1],
            how.pop("sequence", 1),
            payload,
            how.pop("code", 0),
        )
        return packets.packet(ip, how.pop("source", ip.host), destination or ip.addressee, message, **how)

    def in_state(self, ip: Family, state: str) -> Subject:
        """A new socket that is "fresh", "bound" or "connected"."""
        if state == "bound":
            return self.bound(ip)
        return self.connected(ip) if state == "connected" else self.socket(ip)

    def error(
        self,
        sock: Subject,
        type_: int,
        code: int = 0,
        rest: bytes | int = 0,
        *,
        quote: bytes | None = None,
        reporter: str | None = None,
        destination: str | None = None,
        interface: str = "ps0",
        **header: object,
    ) -> bytes:
        """Inject an ICMP error about an echo request of a socket, and let it be dealt with; the quoted IP packet.

        `rest` is the 32-bit field behind the checksum.
        """
        ip = family_of(sock.family)
        quote = self.quote(sock) if quote is None else quote
        field = rest.to_bytes(4, "big") if isinstance(rest, int) else rest
        message = packets.icmp(type_, code, field, quote)
        whole = packets.packet(ip, reporter or ip.router, destination or ip.host, message, **header)  # type: ignore[arg-type]
        self.inject(whole, interface)
        self.settle()
        return quote

    def hard_error(self, sock: Subject, **how: Any) -> bytes:
        """Inject a port unreachable: ECONNREFUSED."""
        return self.error(sock, *family_of(sock.family).port_unreachable, **how)

    def soft_error(self, sock: Subject, **how: Any) -> bytes:
        """Inject a time exceeded: EHOSTUNREACH."""
        return self.error(sock, *family_of(sock.family).time_exceeded, **how)

    # Reading, without ever waiting for what does not come.

    def take(self, sock: Subject, size: int = 65536, ancillary_size: int = 0, flags: int = 0) -> Received:
        """The next datagram."""
        self.settle()
        self.wait_for(sock)
        return Received(*sock.recvmsg(size, ancillary_size, flags | linux.MSG_DONTWAIT))

    def wait_for(self, sock: Subject) -> None:
        """Wait until the socket has something to read."""
        assert select.select([sock], [], [], DEADLINE)[0], "nothing arrived"

    def nothing_arrived(self, sock: Subject) -> bool:
        """Whether the socket has neither a datagram nor a pending error."""
        self.settle()
        try:
            return not sock.recv(65536, linux.MSG_DONTWAIT | linux.MSG_PEEK)
        except BlockingIOError:
            return True

    def arrived(self, sock: Subject) -> bool:
        """Whether a datagram waits; takes it."""
        self.settle()
        try:
            sock.recv(65536, linux.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def take_entry(self, sock: Subject, size: int = 65536, ancillary_size: int = 1024) -> Received:
        """The next entry of the error queue; BlockingIOError if there is none."""
        self.settle()
        return Received(*sock.recvmsg(size, ancillary_size, linux.MSG_ERRQUEUE | linux.MSG_DONTWAIT))

    def take_error(self, sock: Subject, size: int = 65536) -> QueuedError:
        """The next entry of the error queue, taken apart."""
        ip = family_of(sock.family)
        entry = self.take_entry(sock, size)
        content = entry.item(ip.level, ip.recverr)
        assert content is not None, entry.ancillary
        number, origin, type_, code, _, info, data = struct.unpack_from("=I4B2I", content)
        return QueuedError(
            entry.data,
            entry.name,
            entry.flags,
            number,
            origin,
            type_,
            code,
            info,
            data,
            packets.sockaddr_name(content[16:]),
            entry.ancillary,
        )

    def queue_empty(self, sock: Subject) -> bool:
        """Whether the error queue holds nothing; takes an entry if it does."""
        try:
            self.take_entry(sock)
        except BlockingIOError:
            return True
        return False

    def pending_error(self, sock: Subject) -> int:
        """SO_ERROR, which clears it."""
        self.settle()
        return int(sock.getsockopt(linux.SOL_SOCKET, linux.SO_ERROR))

    def poll(self, sock: Subject) -> int:
        """The poll mask when everything has arrived."""
        self.settle()
        return sock.poll_events()


def errno_of(call: Callable[..., object], *arguments: Any) -> int:
    """0 if the call works, else the errno it fails with."""
    try:
        call(*arguments)
    except OSError as err:
        return err.errno or errno.EIO
    return 0


def errno_name(number: int) -> str:
    """The name of an errno, "OK" for 0."""
    return errno.errorcode.get(number, str(number)) if number else "OK"


def outcome(call: Callable[..., object], *arguments: Any) -> str:
    """ "OK", or the name of the errno the call fails with."""
    return errno_name(errno_of(call, *arguments)).replace("ENOTSUP", "EOPNOTSUPP")


def request(ip: Family, payload: bytes = b"", *, sequence: int = 1, type_: int | None = None, code: int = 0) -> bytes:
    """An echo request as a program hands it to the socket: ident and checksum blank."""
    return packets.echo(ip.request if type_ is None else type_, 0, sequence, payload, code)


__all__ = [
    "DEADLINE",
    "FAMILIES",
    "V4",
    "V6",
    "WRONG",
    "Bed",
    "QueuedError",
    "Received",
    "errno_of",
    "outcome",
    "request",
]
