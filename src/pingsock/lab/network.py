"""A network that does not exist: nodes, links, and a clock that is handed in."""

from __future__ import annotations

import heapq
import random
from collections import Counter

from pingsock.lab.attach import Attachment
from pingsock.lab.errors import LabError
from pingsock.lab.links import Channel, Direction, Interface, Link, direction_with
from pingsock.lab.nodes import Host, Node, Router
from pingsock.lab.options import Options
from pingsock.lab.prefixes import Prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, TypeVar

    from pingsock.link.cable import Cable

    AnyNode = TypeVar("AnyNode", bound=Node)

    Observer = Callable[[float, Interface, bytes], None]


class Network:
    """Nodes, links and the events between them; deterministic, without I/O and without a clock.

    Time comes in through `run_until` and is monotonic seconds. All chances are drawn from generators seeded with
    `seed` and the name of the link or rule, so that a change in one place leaves the others as they were.
    `epoch` is the Unix time at monotonic 0, for what tells the time of day.
    """

    def __init__(self, seed: int = 0, epoch: float = 0.0) -> None:
        self.seed = seed
        self.epoch = epoch
        self.now = 0.0
        self.nodes: dict[str, Node] = {}
        self.links: list[Link] = []
        self.attachments: list[Attachment] = []
        self.drops: Counter[tuple[str, str]] = Counter()
        """How many packets ended where and why: (name of node, reason)."""
        self.observers: list[Observer] = []
        """Called with time, sending interface and packet for each packet put on a link, whether it arrives or not."""
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._scheduled = 0
        self._running = False

    # Building.

    def host(self, name: str, *addresses: str, **options: Any) -> Host:
        """A node that answers and does not forward. Options as in `Options`; LabError.

        An address is text; a whole network ("10.9.0.0/16") makes the host answer for every address in it.
        """
        return self._add(Host(self, name, _prefixes(addresses), Options().changed(options, name)))

    def router(self, name: str, *addresses: str, **options: Any) -> Router:
        """A node that forwards. Options as in `Options`; LabError."""
        return self._add(Router(self, name, _prefixes(addresses), Options().changed(options, name)))

    def link(
        self,
        left: str | Node,
        right: str | Node,
        *subnets: str,
        left_addresses: Iterable[str] = (),
        right_addresses: Iterable[str] = (),
        forward: Mapping[str, float] | None = None,
        backward: Mapping[str, float] | None = None,
        **both: float,
    ) -> Link:
        """Connect two nodes. LabError.

        Without addresses the link is unnumbered and its ends speak with their nodes' addresses. Each of the
        `subnets` gives both ends one: the first two hosts of the prefix, left first. Settings are those of
        `Direction`: `both` ways, and over them `forward` from left to right and `backward`.
        """
        nodes = self.node(left), self.node(right)
        where = f"link {nodes[0].name} - {nodes[1].name}"
        base = direction_with(Direction(), dict(both), where)
        pairs = [_two_hosts(subnet) for subnet in subnets]
        ends = [
            self._interface(node, peer, [*_prefixes(written), *(pair[side] for pair in pairs)], direction)
            for side, (node, peer, written, direction) in enumerate(
                (
                    (nodes[0], nodes[1], left_addresses, direction_with(base, dict(forward or {}), where)),
                    (nodes[1], nodes[0], right_addresses, direction_with(base, dict(backward or {}), where)),
                )
            )
        ]
        made = Link(ends[0], ends[1])
        self.links.append(made)
        self.forget_routes()
        return made

    def attach(
        self,
        cable: Cable,
        node: str | Node,
        *addresses: str,
        name: str = "",
        clock: Callable[[], float] | None = None,
        **settings: Any,
    ) -> Attachment:
        """Connect a node to whatever is at the far end of a cable, which has these `addresses`. LabError.

        `settings` are those of `link`; the node's own addresses on this link are `right_addresses`. `clock` tells
        the time when a packet comes out of a memory cable; without it that is the time last given to `run_until`.
        """
        settings.setdefault("mtu", getattr(cable, "mtu", 1500))
        attached = Attachment(self, name or f"cable{len(self.attachments) + 1}", _prefixes(addresses), cable, clock)
        self._add(attached)
        self.attachments.append(attached)
        self.link(attached, node, **settings)
        attached.connect()
        return attached

    def detach(self, attached: Attachment) -> None:
        """Undo `attach`; the cable stays open and its packets are taken by nobody."""
        attached.disconnect()
        self.attachments.remove(attached)
        del self.nodes[attached.name]
        for interface in attached.interfaces:
            interface.up = False
            interface.peer.node.interfaces.remove(interface.peer)
        self.links = [link for link in self.links if link.left.node is not attached]
        self.forget_routes()

    def node(self, name: str | Node) -> Node:
        """A node by its name. LabError."""
        if isinstance(name, Node):
            return name
        if name not in self.nodes:
            raise LabError(f"there is no node {name!r}; there is {', '.join(self.nodes) or 'none at all'}")
        return self.nodes[name]

    def forget_routes(self) -> None:
        """Work all automatic routes out again before they are needed; the network does so itself after changes."""
        for node in self.nodes.values():
            node.forget_routes()

    def random_for(self, name: str) -> random.Random:
        """A generator of its own for one named part."""
        return random.Random(f"{self.seed}/{name}")

    def _add(self, node: AnyNode) -> AnyNode:
        if node.name in self.nodes:
            raise LabError(f"there already is a node {node.name!r}")
        self.nodes[node.name] = node
        return node

    def _interface(self, node: Node, peer: Node, addresses: list[Prefix], direction: Direction) -> Interface:
        used = {interface.name for interface in node.interfaces}
        names = (peer.name if number == 1 else f"{peer.name}.{number}" for number in range(1, len(used) + 2))
        name = next(name for name in names if name not in used)
        channel = Channel(direction, self.random_for(f"{node.name}>{name}"))
        interface = Interface(node, name, len(node.interfaces) + 1, addresses, channel)
        node.interfaces.append(interface)
        return interface

    # Running.

    def schedule(self, at: float, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function at a time; one that has passed is now. Equal times keep their order."""
        self._scheduled += 1
        heapq.heappush(self._events, (max(at, self.now), self._scheduled, function, arguments))

    def next_event(self) -> float | None:
        """When something will happen by itself; None if nothing will."""
        return self._events[0][0] if self._events else None

    def run_until(self, now: float) -> None:
        """Let everything happen that is due at `now`, monotonic seconds, what it causes included.

        Called from within (a packet handed to a memory cable came back at once) it returns at once, and the outer
        call does the work. An earlier time than the last counts as the last.
        """
        if self._running:
            return
        self._running = True
        try:
            while self._events and self._events[0][0] <= now:
                at, _, function, arguments = heapq.heappop(self._events)
                self.now = max(self.now, at)
                function(*arguments)
            self.now = max(self.now, now)
        finally:
            self._running = False

    def carry(self, interface: Interface, packet: bytes) -> None:
        """Put a packet on the link of an interface."""
        for observe in self.observers:
            observe(self.now, interface, packet)
        if not (interface.up and interface.peer.up):
            self.drop(interface.node, "link down")
            return
        if len(packet) > interface.mtu:
            self.drop(interface.node, "too big")
            return
        arrivals = interface.channel.arrivals(self.now, len(packet))
        if not arrivals:
            self.drop(interface.node, "lost")
        for at in arrivals:
            self.schedule(at, interface.peer.node.receive, packet, interface.peer)

    def milliseconds_of_day(self, offset: float = 0.0) -> int:
        """Milliseconds since midnight UT, on a clock that is `offset` seconds ahead."""
        return int((self.epoch + self.now + offset) * 1000) % 86_400_000

    def drop(self, node: Node, reason: str) -> None:
        """Note that a packet ended at a node."""
        self.drops[node.name, reason] += 1


def _prefixes(texts: Iterable[str]) -> list[Prefix]:
    return [Prefix.parse(text) for text in texts]


def _two_hosts(subnet: str) -> tuple[Prefix, Prefix]:
    prefix = Prefix.parse(subnet).network
    bits = len(prefix.address) * 8
    if prefix.length == bits:
        raise LabError(f"{subnet!r} has no room for the two ends of a link")
    # RFC 3021 and RFC 6164: a network of two addresses has no address of its own to spare.
    start = int.from_bytes(prefix.address, "big") + (prefix.length < bits - 1)
    first, second = (Prefix(number.to_bytes(bits // 8, "big"), prefix.length) for number in (start, start + 1))
    return first, second
