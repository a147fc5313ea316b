"""The host's routes, addresses and interfaces, as a stack asks for them, with the kernel's answers kept a while.

What is kept is dropped when the kernel tells of any change. Routes are dropped after a second at the latest, too: path
MTUs that the kernel learns and a few settings change without notice. Addresses are asked for once more a second after a
change, and interfaces once and for all: see `news`.
"""

from __future__ import annotations

import errno
import time
from math import inf

from pingsock.link.netlink import Address, Interface, RouteAnswer, Rtnetlink
from pingsock.link.news import News
from pingsock.link.path_mtu import PathMtuCache
from pingsock.link.prefixes import ANY4, is_link_local, is_multicast, no_device, os_error
from pingsock.wire.linux import AF_INET, AF_INET6
from pingsock.wire.transit import BROADCAST, LOCAL, MULTICAST, UNICAST, Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LIFETIME = 1.0
"""Seconds an answer is believed."""
MOST_ROUTES = 4096
"""Answers kept at once."""

_LARGEST_IPV4_PACKET = 0xFFFF
_ANY_MTU = 0x7FFFFFFF
_KINDS = {LOCAL, BROADCAST, MULTICAST}


def _no_source(family: int) -> bytes:
    """What a host without an address for a destination sends from: an IPv6 socket cannot, an IPv4 one uses 0.0.0.0."""
    if family == AF_INET6:
        raise os_error(errno.EADDRNOTAVAIL)
    return ANY4


class AddressBook:
    """What kinds of addresses this host has, made from dumps of the kernel's tables."""

    def __init__(self, kernel: Rtnetlink) -> None:
        self.addresses: list[Address] = kernel.addresses()
        self._usable = {(entry.address, entry.interface) for entry in self.addresses if entry.usable}
        self._ipv6 = {address for address, _ in self._usable if len(address) == 16}
        self._whole: dict[bytes, int] = {}
        self._prefixes: list[tuple[int, int, int]] = []
        for prefix in kernel.local_prefixes(AF_INET):
            if prefix.length == 32:
                self._whole.setdefault(prefix.address, prefix.kind)
            else:
                shift = 32 - prefix.length
                self._prefixes.append((shift, int.from_bytes(prefix.address, "big") >> shift, prefix.kind))
        self._prefixes.sort()

    def kind(self, family: int, address: bytes, interface: int) -> int:
        """LOCAL, BROADCAST, MULTICAST or UNICAST."""
        return self._kind6(address, interface) if family == AF_INET6 else self._kind4(address)

    def _kind4(self, address: bytes) -> int:
        if address in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
            return BROADCAST
        if is_multicast(address):
            return MULTICAST
        kind = self._whole.get(address)
        if kind is None:
            kind = self._kind_by_prefix(int.from_bytes(address, "big"))
        return kind if kind in _KINDS else UNICAST

    def _kind_by_prefix(self, number: int) -> int:
        return next((kind for shift, bits, kind in self._prefixes if number >> shift == bits), UNICAST)

    def _kind6(self, address: bytes, interface: int) -> int:
        if is_multicast(address):
            return MULTICAST
        if interface and is_link_local(address):
            return LOCAL if (address, interface) in self._usable else UNICAST
        return LOCAL if address in self._ipv6 else UNICAST


class RouteTable:
    """Routes, addresses and interfaces of the network namespace it was made in.

    Needs no privilege, and after its creation opens no file and no socket. Errors are OSError with the errno that
    connect(2) gives.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._news = News()
        self._kernel = Rtnetlink()
        self._path_mtus = PathMtuCache(clock)
        self._routes: dict[tuple[object, ...], tuple[Route, float]] = {}
        self._led: dict[tuple[object, ...], tuple[bool, float]] = {}
        self._interfaces: dict[int, Interface] | None = None
        self._book: AddressBook | None = None
        self._book_until = 0.0
        self._settled_from = clock() + LIFETIME
        self.is_told_of_news = False
        """Somebody watches `fileno` and calls `refresh` in time, so that no question need look for news first."""

    def close(self) -> None:
        """Idempotent."""
        self._kernel.close()
        self._news.close()

    def fileno(self) -> int:
        """Readable when something has changed; call `refresh` then."""
        return self._news.fileno()

    def refresh(self) -> None:
        """Drop what is kept if the kernel has told of a change."""
        if self._news.wait():
            self._settled_from = self._clock() + LIFETIME
            if not self._news.read({} if self._interfaces is None else self._interfaces):
                self._interfaces = None
            self._forget_answers()

    def _look_for_news(self) -> None:
        if not self.is_told_of_news:
            self.refresh()

    def flush(self) -> None:
        """Drop what is kept, but not the learned path MTUs."""
        self._interfaces = None
        self._forget_answers()

    def _forget_answers(self) -> None:
        self._forget_routes()
        self._book = None

    def _forget_routes(self) -> None:
        self._routes.clear()
        self._led.clear()

    def route(
        self,
        family: int,
        destination: bytes,
        *,
        source: bytes = b"",
        interface: int = 0,
        traffic_class: int = 0,
        mark: int = 0,
        dont_route: bool = False,
    ) -> Route:
        """As `stack.network.Network.route`."""
        self._look_for_news()
        key = (family, destination, source, interface, traffic_class, mark, dont_route)
        known = self._routes.get(key)
        if known is not None and known[1] > self._clock():
            return known[0]
        answer = self._ask(
            family, destination, source=source, interface=interface, traffic_class=traffic_class, mark=mark
        )
        if dont_route and answer.gateway and family == AF_INET:
            raise os_error(errno.ENETUNREACH)
        route = self._route(family, destination, source, answer)
        if len(self._routes) >= MOST_ROUTES:
            self._forget_routes()
        self._routes[key] = (route, self._clock() + LIFETIME)
        return route

    def _ask(
        self, family: int, destination: bytes, *, source: bytes, interface: int, traffic_class: int, mark: int
    ) -> RouteAnswer:
        source = source if any(source) else b""
        if family == AF_INET6 and source and self._address_book().kind(family, source, 0) != LOCAL:
            raise os_error(errno.ENETUNREACH)  # IPv4 lookups check this themselves
        if family == AF_INET6 and interface and not self.source_leads(destination, source, interface, mark):
            source = b""
        return self._kernel.route(
            family, destination, source=source, interface=interface, traffic_class=traffic_class, mark=mark
        )

    def source_leads(self, destination: bytes, source: bytes, interface: int, mark: int = 0) -> bool:
        """Whether the IPv6 route from `source` leaves by `interface`; True also if there is no route from it at all.

        The kernel takes the interface of a lookup for a wish if a source is named, and answers with a route by another
        one where there is none by this; for an order if none is. Where this is False, nobody may name the source. Where
        it is True one should, since rules may choose a routing table by the source.
        """
        self._look_for_news()
        key = (destination, source, interface, mark)
        known = self._led.get(key)
        if known is not None and known[1] > self._clock():
            return known[0]
        leads = self._leads(destination, source, interface, mark)
        if len(self._led) >= MOST_ROUTES:
            self._forget_routes()
        self._led[key] = (leads, self._clock() + LIFETIME)
        return leads

    def _leads(self, destination: bytes, source: bytes, interface: int, mark: int) -> bool:
        try:
            answer = self._kernel.route(
                AF_INET6, destination, source=source, interface=interface, traffic_class=0, mark=mark
            )
        except OSError:
            return True
        return answer.interface == interface

    def _route(self, family: int, destination: bytes, source: bytes, answer: RouteAnswer) -> Route:
        kind = MULTICAST if is_multicast(destination) else answer.kind
        mtu, path_mtu, locked = self._mtus(family, destination, answer)
        if not any(source):
            source = answer.source or _no_source(family)
        return Route(kind if kind in _KINDS else UNICAST, source, answer.interface, mtu, path_mtu, locked)

    def _mtus(self, family: int, destination: bytes, answer: RouteAnswer) -> tuple[int, int, bool]:
        """MTU of the interface, MTU of the path, and whether the latter is locked."""
        device = self.interface(answer.interface)
        mtu = device.mtu6 if family == AF_INET6 else device.mtu
        path_mtu, locked = self._path_mtus.get(destination, min(mtu, answer.mtu or mtu))
        locked = locked or answer.mtu_locked
        return mtu, min(path_mtu, _LARGEST_IPV4_PACKET) if family == AF_INET else path_mtu, locked

    def learn_path_mtu(self, destination: bytes, mtu: int, *, smallest: int, lifetime: float) -> None:
        """A believable report said `mtu`; it holds for `lifetime` seconds. For `smallest` see `PathMtuCache.learn`."""
        self._path_mtus.learn(destination, mtu, _ANY_MTU, smallest, lifetime)
        self._forget_routes()

    def address_kind(self, family: int, address: bytes, interface: int = 0) -> int:
        """As `stack.network.Network.address_kind`."""
        self._look_for_news()
        return self._address_book().kind(family, address, interface)

    def interface(self, index: int) -> Interface:
        """The interface with that index; ENODEV."""
        try:
            return self._all_interfaces()[index]
        except KeyError:
            raise no_device() from None

    def interface_index(self, name: str) -> int:
        """Index of an interface; ENODEV."""
        self._look_for_news()
        for interface in self._all_interfaces().values():
            if interface.name == name:
                return interface.index
        raise no_device()

    def interface_name(self, index: int) -> str:
        """Name of an interface; ENODEV."""
        self._look_for_news()
        return self.interface(index).name

    def interface_address(self, family: int, interface: int) -> bytes:
        """The first address of that family on an interface, b"" if it has none; ENODEV."""
        self._look_for_news()
        self.interface(interface)
        for entry in self._address_book().addresses:
            if entry.interface == interface and entry.family == family and entry.usable:
                return entry.address
        return b""

    def interface_with(self, family: int, address: bytes) -> int:
        """Index of the interface that has an address, 0 if none has."""
        self._look_for_news()
        for entry in self._address_book().addresses:
            if entry.address == address and entry.family == family:
                return entry.interface
        return 0

    def all_addresses(self, family: int) -> frozenset[bytes]:
        """Every address of this host."""
        self._look_for_news()
        return frozenset(entry.address for entry in self._address_book().addresses if entry.family == family)

    def _all_interfaces(self) -> dict[int, Interface]:
        if self._interfaces is None:
            self._interfaces = {interface.index: interface for interface in self._kernel.interfaces()}
        return self._interfaces

    def _address_book(self) -> AddressBook:
        now = self._clock()
        if self._book is None or self._book_until <= now:
            self._book = AddressBook(self._kernel)
            # Some changes are told a moment before they are made.
            self._book_until = now + LIFETIME if now < self._settled_from else inf
        return self._book
