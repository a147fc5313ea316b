"""Routes of a lab: shortest paths by default, and which of several equal ones a packet takes."""

from __future__ import annotations

import heapq
from hashlib import blake2b

from pingsock.lab.prefixes import Prefix, PrefixTable
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pingsock.lab.datagram import Datagram
    from pingsock.lab.links import Interface
    from pingsock.lab.nodes import Node

FORWARD = "forward"
CONNECTED = "connected"

REFUSALS: dict[str, str | None] = {
    "unreachable": "host unreachable",
    "prohibit": "prohibited",
    "reject": "net unreachable",
    "blackhole": None,
}
"""Kinds of explicit routes that lead nowhere, as ip-route(8) names them, and the error each one is answered with."""


class Way(Value):
    """Where a node sends packets for some prefix."""

    kind: str
    """FORWARD; CONNECTED: the prefix is that of a link, and the address has no owner; or a key of REFUSALS."""
    interfaces: tuple[Interface, ...] = ()
    """Equally good ones, in order of making."""


def automatic_routes(node: Node) -> PrefixTable[Way]:
    """The shortest ways from a node to every prefix of its network."""
    best: dict[Prefix, tuple[float, Way]] = {}
    for target, (cost, interfaces) in _shortest_paths(node).items():
        for prefix, connected in _prefixes_of(target):
            if target is node and not connected:
                continue
            way = Way(FORWARD, interfaces) if target is not node else Way(CONNECTED)
            best[prefix] = _better(best.get(prefix), (cost, way))
    table: PrefixTable[Way] = PrefixTable()
    for prefix, (_cost, way) in best.items():
        table[prefix] = way
    return table


def _prefixes_of(node: Node) -> Iterator[tuple[Prefix, bool]]:
    """What is reached at a node, and whether it is reached as a link's prefix rather than an address."""
    for prefix in node.addresses:
        yield (prefix if prefix.is_network else prefix.single), False
    for interface in node.interfaces:
        for prefix in interface.addresses:
            yield prefix.single, False
            if prefix.network != prefix.single:
                yield prefix.network, True


def _better(old: tuple[float, Way] | None, new: tuple[float, Way]) -> tuple[float, Way]:
    if old is None or new[0] < old[0]:
        return new
    if new[0] > old[0] or old[1].kind != FORWARD:
        return old
    return old[0], Way(FORWARD, tuple(dict.fromkeys(old[1].interfaces + new[1].interfaces)))


def _shortest_paths(start: Node) -> dict[Node, tuple[float, tuple[Interface, ...]]]:
    """Dijkstra, keeping all first interfaces that lead to a node at its least cost."""
    found: dict[Node, tuple[float, tuple[Interface, ...]]] = {start: (0.0, ())}
    waiting: list[tuple[float, int, Node]] = [(0.0, 0, start)]
    done: set[Node] = set()
    while waiting:
        cost, _, node = heapq.heappop(waiting)
        if node in done or not (node is start or node.forwards):
            continue
        done.add(node)
        for interface in node.interfaces:
            neighbour = interface.peer.node
            total = cost + interface.channel.direction.cost
            firsts = (interface,) if node is start else found[node][1]
            known = found.get(neighbour)
            if known is None or total < known[0]:
                found[neighbour] = (total, firsts)
                heapq.heappush(waiting, (total, len(waiting) + len(done), neighbour))
            elif total == known[0]:
                found[neighbour] = (total, tuple(dict.fromkeys(known[1] + firsts)))
    return found


def _addresses(datagram: Datagram) -> bytes:
    return datagram.source + datagram.destination


def _flow(datagram: Datagram) -> bytes:
    return _addresses(datagram) + bytes([datagram.protocol]) + datagram.payload[:4]


def _ident(datagram: Datagram) -> bytes:
    return _addresses(datagram) + datagram.payload[4:6]


def _sequence(datagram: Datagram) -> bytes:
    return _addresses(datagram) + datagram.payload[6:8]


MULTIPATH: dict[str, Callable[[Datagram], bytes]] = {
    "address": _addresses,
    "flow": _flow,
    "ident": _ident,
    "sequence": _sequence,
}
"""What a load-balancing router hashes. "flow" is what most do: addresses, protocol and the first four bytes behind
the IP header, which are ports, or type, code and checksum of an ICMP message."""

ROUND_ROBIN = "packet"


def _hash(key: bytes) -> int:
    # Not a CRC: the checksums of neighbouring probes differ in few bits, and those do not move all bits of a CRC.
    return int.from_bytes(blake2b(key, digest_size=4).digest(), "big")


def choose(interfaces: tuple[Interface, ...], multipath: str, datagram: Datagram, turn: int) -> Interface:
    """One of several equally good interfaces; the first unless the router spreads its load."""
    if len(interfaces) == 1 or not multipath:
        return interfaces[0]
    number = turn if multipath == ROUND_ROBIN else _hash(MULTIPATH[multipath](datagram))
    return interfaces[number % len(interfaces)]
