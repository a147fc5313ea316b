"""Where a host in user space sends a packet, and from which address: Linux' rules for connect(2) and sendmsg(2).

Some facts about Linux' lookups:

* Own addresses win over every route, unless an interface is asked for that does not have the address.
* IPv4 with an interface but without a route takes the destination for on-link; IPv6 says ENETUNREACH.
* A refusing route (`unreachable`, `prohibit`, `blackhole`) is an answer like any other: the longest prefix wins.
"""

from __future__ import annotations

import errno

from pingsock.link import prefixes
from pingsock.link.interfaces import LOOPBACK
from pingsock.link.prefixes import no_device, os_error
from pingsock.wire.linux import AF_INET, AF_INET6
from pingsock.wire.transit import BROADCAST, LOCAL, MULTICAST, UNICAST, Route
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.link.interfaces import Interface, InterfaceAddress, Interfaces
    from pingsock.link.path_mtu import PathMtuCache

ROUTE_ERRNO = {
    "unicast": 0,
    "unreachable": errno.EHOSTUNREACH,
    "prohibit": errno.EACCES,
    "blackhole": errno.EINVAL,
    "throw": errno.ENETUNREACH,
}
"""Kinds of route, and what sending by each fails with."""


_LARGEST_IPV4_PACKET = 0xFFFF
"""What the loopback's MTU of 65536 comes to."""


class RouteEntry(Value):
    """One line of the routing table."""

    family: int
    network: bytes
    length: int
    interface: int = 0
    """Index of the interface it leads out of; 0 for kinds that refuse."""
    via: bytes = b""
    """The router's address; empty for on-link destinations."""
    source: bytes = b""
    """The source address it prefers; empty: chosen from the interface's."""
    kind: str = "unicast"
    mark: int = 0
    """Only for packets with this routing mark, and then before all unmarked routes; 0: for all."""


class PrefixTable:
    """Routes by prefix, found by the longest that matches; among equals the newest wins."""

    def __init__(self) -> None:
        self._entries: dict[tuple[int, int, int], dict[int, list[RouteEntry]]] = {}
        """(family, mark, minus the prefix length), then the prefix bits as a number."""

    @staticmethod
    def _place(entry: RouteEntry) -> tuple[tuple[int, int, int], int]:
        bits = len(entry.network) * 8
        return (entry.family, entry.mark, -entry.length), int.from_bytes(entry.network, "big") >> bits - entry.length

    def add(self, entry: RouteEntry) -> None:
        """Put a route in; one that differs in nothing is kept once."""
        table, number = self._place(entry)
        entries = self._entries.setdefault(table, {}).setdefault(number, [])
        if entry in entries:
            entries.remove(entry)
        entries.insert(0, entry)
        self._entries = dict(sorted(self._entries.items()))

    def remove(self, unwanted: Callable[[RouteEntry], bool]) -> int:
        """Take all routes out that the function says yes to; how many they were."""
        removed = 0
        for table in self._entries.values():
            for number, entries in table.items():
                kept = [entry for entry in entries if not unwanted(entry)]
                removed += len(entries) - len(kept)
                table[number] = kept
        return removed

    def find(
        self, family: int, destination: bytes, mark: int, suits: Callable[[RouteEntry], bool]
    ) -> RouteEntry | None:
        """The best suitable route among those with this mark, None if there is none."""
        number, bits = int.from_bytes(destination, "big"), len(destination) * 8
        for (its_family, its_mark, minus_length), table in self._entries.items():
            if its_family == family and its_mark == mark:
                for entry in table.get(number >> bits + minus_length, ()):
                    if suits(entry):
                        return entry
        return None


class Query(Value):
    """What a lookup is about; empty, 0 and False ask for nothing in particular."""

    family: int
    destination: bytes
    source: bytes = b""
    interface: int = 0
    mark: int = 0
    dont_route: bool = False

    def suits(self, entry: RouteEntry) -> bool:
        """Whether a route obeys the interface and on-link wishes.

        A route that refuses has no interface. In IPv4 it stands in the way of any that is asked for, in IPv6 of `lo`
        alone; `dont_route` does not exist in IPv6.
        """
        if self.family == AF_INET6:
            return not self.interface or (entry.interface or LOOPBACK) == self.interface
        if self.dont_route and (entry.via or not entry.interface):
            return False
        return not self.interface or entry.interface in (0, self.interface)

    def allows(self, interfaces: list[int]) -> bool:
        """Whether one of these interfaces will do."""
        return bool(interfaces) and (not self.interface or self.interface in interfaces)


class Hop(Value):
    """The outcome of a lookup."""

    kind: int
    interface: int
    source: bytes


class Router:
    """Finds routes for one host."""

    def __init__(self, interfaces: Interfaces, path_mtus: PathMtuCache) -> None:
        self.table = PrefixTable()
        self._interfaces = interfaces
        self._path_mtus = path_mtus

    def add_connected(self, entry: InterfaceAddress, interface: int) -> None:
        """The route to an address' own subnet."""
        if interface != LOOPBACK:
            self.table.add(RouteEntry(entry.family, entry.address, entry.length, interface))

    def route(self, query: Query) -> Route:
        """As `stack.network.Network.route`."""
        if query.interface and query.interface not in self._interfaces:
            raise no_device() if query.family == AF_INET else os_error(errno.ENETUNREACH)
        if query.source and not self._interfaces.owners(query.source):
            raise os_error(errno.ENETUNREACH)
        hop = self.hop(query)
        if query.family == AF_INET and prefixes.is_loopback(hop.source) and hop.interface != LOOPBACK:
            raise os_error(errno.EINVAL)
        mtu = self._interfaces[hop.interface].mtu
        largest = min(mtu, _LARGEST_IPV4_PACKET) if query.family == AF_INET else mtu
        path_mtu, locked = self._path_mtus.get(query.destination, largest)
        return Route(hop.kind, hop.source, hop.interface, mtu, path_mtu, locked)

    def hop(self, query: Query) -> Hop:
        """The way to a destination, whoever its source belongs to."""
        return self._hop4(query) if query.family == AF_INET else self._hop6(query)

    def _hop4(self, query: Query) -> Hop:
        if query.destination == prefixes.ANY4:
            if not query.source:
                return Hop(LOCAL, LOOPBACK, self._own_address4(query.interface))
            query = query.replace(destination=query.source)
        kind = self._interfaces.kind(query.destination)
        if kind == LOCAL and query.allows(self._interfaces.owners(query.destination)):
            home = prefixes.LOOPBACK4 if prefixes.is_loopback(query.destination) else query.destination
            return Hop(LOCAL, LOOPBACK, query.source or home)
        if kind == MULTICAST or query.destination == prefixes.LIMITED_BROADCAST:
            return self._group_hop4(query, kind)
        subnets = self._interfaces.broadcasts_on(query.destination)
        if query.allows(subnets):
            out = self._interfaces[query.interface or subnets[0]]
            return Hop(BROADCAST, out.index, query.source or self._near(out, query.destination))
        return self._table_hop4(query, UNICAST)

    def _group_hop4(self, query: Query, kind: int) -> Hop:
        """To a group or to everybody: out of the interface asked for, else of the source's, else by the table."""
        owners = self._interfaces.owners(query.source)
        if not query.interface and not owners:
            return self._table_hop4(query, kind)
        out = self._interfaces[query.interface or owners[0]]
        return Hop(kind, out.index, query.source or self._near(out, query.destination))

    def _table_hop4(self, query: Query, kind: int) -> Hop:
        try:
            entry = self._lookup(query)
        except OSError:
            if not query.interface:
                raise
            entry = RouteEntry(AF_INET, query.destination, 32, query.interface)
        return Hop(kind, entry.interface, query.source or self._source4(entry, query.destination))

    def _lookup(self, query: Query) -> RouteEntry:
        entry = self.table.find(query.family, query.destination, query.mark, query.suits) if query.mark else None
        entry = entry or self.table.find(query.family, query.destination, 0, query.suits)
        refusal = ROUTE_ERRNO[entry.kind] if entry else errno.ENETUNREACH
        if entry is None or refusal:
            raise os_error(refusal)
        return entry

    def _source4(self, entry: RouteEntry, destination: bytes) -> bytes:
        return entry.source or self._near(self._interfaces[entry.interface], entry.via or destination)

    def _own_address4(self, interface: int) -> bytes:
        """Where a packet to 0.0.0.0, which is ourselves, comes from."""
        if interface in (0, LOOPBACK):
            return prefixes.LOOPBACK4
        return self._interfaces[interface].first_address(AF_INET) or prefixes.LOOPBACK4

    def _near(self, interface: Interface, target: bytes) -> bytes:
        """The interface's address in the target's subnet, else its first, else another's, else 0.0.0.0.

        Those of `lo` are good for nothing but loopback targets.
        """
        for entry in interface.addresses:
            if entry.covers(target):
                return entry.address
        own = interface.first_address(AF_INET) if interface.index != LOOPBACK else b""
        return own or self._first_address4() or prefixes.ANY4

    def _first_address4(self) -> bytes:
        others = self._interfaces.but_loopback()
        return next((address for each in others if (address := each.first_address(AF_INET))), b"")

    def _hop6(self, query: Query) -> Hop:
        kind = self._interfaces.kind(query.destination, query.interface)
        if kind == LOCAL and query.allows(self._interfaces.owners(query.destination)):
            return Hop(LOCAL, LOOPBACK, query.source or query.destination)
        if kind == MULTICAST:
            out = self._multicast_interface6(query)
        else:
            out = self._interfaces[self._lookup(query).interface]
        kind = MULTICAST if kind == MULTICAST else UNICAST
        return Hop(kind, out.index, query.source or self._source6(out, query.destination))

    def _multicast_interface6(self, query: Query) -> Interface:
        if query.interface == LOOPBACK:
            raise os_error(errno.ENETUNREACH)
        if query.interface:
            return self._interfaces[query.interface]
        home = self._interfaces.owners(query.source) if prefixes.is_link_local(query.source) else []
        out = self._interfaces[home[0]] if home else self._interfaces.first_with(AF_INET6)
        if out is None:
            raise os_error(errno.ENETUNREACH)
        return out

    def _source6(self, out: Interface, destination: bytes) -> bytes:
        """RFC 6724 section 5, rules 1, 2, 5 and 8: the same, the right scope, the interface, the longest prefix."""
        candidates = []
        for interface in self._interfaces.but_loopback():
            for position, entry in enumerate(interface.addresses):
                address, is_out = entry.address, interface is out
                if entry.family == AF_INET6 and (is_out or not prefixes.is_link_local(address)):
                    rank = self._scope_rank(address, destination)
                    # Within its own prefix one address is as near as another; Linux then takes the newest.
                    bits = min(prefixes.common_bits(address, destination), entry.length)
                    candidates.append((address == destination, rank, is_out, bits, position, address))
        if not candidates:
            raise os_error(errno.EADDRNOTAVAIL)
        return max(candidates)[-1]

    @staticmethod
    def _scope_rank(address: bytes, destination: bytes) -> int:
        """Higher is better: the smallest scope that is at least the destination's."""
        own, needed = _scope(address), _scope(destination)
        return -own if own >= needed else own - 32


def _scope(address: bytes) -> int:
    """The scope of an IPv6 address in the numbers of RFC 4291 section 2.7; Linux gives :: the smallest."""
    if prefixes.is_multicast(address):
        return address[1] & 0xF
    if address == prefixes.ANY6:
        return 0
    return 2 if prefixes.is_link_local(address) or prefixes.is_loopback(address) else 14
