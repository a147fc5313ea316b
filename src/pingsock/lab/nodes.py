"""Nodes of a lab: what a host or router does with a packet that arrives."""

from __future__ import annotations

from pingsock.lab.actions import make_action
from pingsock.lab.answers import answer
from pingsock.lab.behaviours import Case, Emission, Match, Rule
from pingsock.lab.datagram import Datagram, parse_datagram_untrusted
from pingsock.lab.errors import LabError
from pingsock.lab.forwarding import complain, forwarded, learn_path_mtu
from pingsock.lab.limits import TokenBucket
from pingsock.lab.options import FROM_INCOMING, FROM_NODE, FROM_OUTGOING, Options
from pingsock.lab.prefixes import Prefix, PrefixTable, is_multicast, pack_address
from pingsock.lab.reassembly import Reassembly
from pingsock.lab.routing import FORWARD, REFUSALS, Way, automatic_routes, choose
from pingsock.wire.errors import BadPacket

TYPE_CHECKING = False
if TYPE_CHECKING:
    import random
    from collections.abc import Iterable
    from typing import Any

    from pingsock.lab.links import Interface
    from pingsock.lab.network import Network


class Node:
    """Something with addresses that packets pass through or end at. Made by `Network.host` and `Network.router`."""

    forwards = False
    """Whether packets for others go on."""

    def __init__(self, network: Network, name: str, addresses: list[Prefix], options: Options) -> None:
        self.network = network
        self.name = name
        self.addresses = addresses
        """A prefix with host bits, or of full length, is one address; a whole network means every address in it."""
        self.options = options
        self.interfaces: list[Interface] = []
        self.rules: list[Rule] = []
        self.random: random.Random = network.random_for(name)
        self.path_mtu: dict[bytes, int] = {}
        self._explicit: PrefixTable[Way] = PrefixTable()
        self._automatic: PrefixTable[Way] | None = None
        self._owned: PrefixTable[bool] | None = None
        self.limiter = TokenBucket(options.error_rate, options.error_burst)
        self._reassembly = Reassembly(self)
        self._turn = 0
        self._identification = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    # How it is set up.

    def configure(self, **options: Any) -> None:
        """Change options from now on, as in `Options`. LabError."""
        self.options = self.options.changed(options, self.name)
        self.limiter = TokenBucket(self.options.error_rate, self.options.error_burst)

    def rule(self, *actions: Any, **match: Any) -> Rule:
        """Add a rule: packets that `match` (see `behaviours.Match`) get these actions. The first that fits counts."""
        where = f"rule {len(self.rules) + 1} of {self.name}"
        made = [make_action(action, where) for action in actions]
        random = self.network.random_for(where)
        added = Rule(Match.make(match, where), made, random)
        self.rules.append(added)
        return added

    def route(self, prefix: str, *, via: str | Node | Iterable[str | Node] = (), refuse: str = "") -> None:
        """Overrule the automatic routes for a prefix and all that is inside it, but not this node's own addresses.

        `via` names neighbours (several: load is spread by the option `multipath`); `refuse` is a key of
        `routing.REFUSALS`. LabError.
        """
        if refuse:
            if refuse not in REFUSALS:
                raise LabError(f"{self.name}: cannot refuse with {refuse!r}; there is {', '.join(REFUSALS)}")
            way = Way(refuse)
        else:
            names = [via] if isinstance(via, str | Node) else list(via)
            way = Way(FORWARD, tuple(self.interface_to(name) for name in names))
            if not names:
                raise LabError(f"{self.name}: the route to {prefix} needs via or refuse")
        self._explicit[Prefix.parse(prefix)] = way

    def refused_prefixes(self) -> list[Prefix]:
        """Prefixes of explicit routes that lead nowhere."""
        return [prefix for prefix, way in self._explicit if way.kind in REFUSALS]

    def interface_to(self, neighbour: str | Node) -> Interface:
        """The first interface whose link leads to a neighbour. LabError."""
        node = self.network.node(neighbour)
        for interface in self.interfaces:
            if interface.peer.node is node:
                return interface
        raise LabError(f"{self.name} has no link to {node.name}")

    def forget_routes(self) -> None:
        """Work the automatic routes out again before the next packet."""
        self._automatic = self._owned = None

    # What it knows.

    def owns(self, address: bytes) -> bool:
        """Whether packets to this address end here."""
        if self._owned is None:
            self._owned = PrefixTable()
            for prefix in self.addresses:
                self._owned[prefix if prefix.is_network else prefix.single] = True
            for interface in self.interfaces:
                for prefix in interface.addresses:
                    self._owned[prefix.single] = True
        return self._owned.get(address) is not None

    def way(self, destination: bytes) -> Way | None:
        """The route to an address; None if there is none."""
        if self._automatic is None:
            self._automatic = automatic_routes(self)
        return self._explicit.get(destination) or self._automatic.get(destination)

    def address(self, family: int) -> bytes:
        """The node's own address of a family, or that of its first interface with one; b"" if it has none."""
        for prefix in self.addresses:
            if prefix.family == family:
                return prefix.first_address
        return next((found for interface in self.interfaces if (found := interface.address(family))), b"")

    def error_source(self, datagram: Datagram, interface: Interface) -> bytes:
        """The address an error about a packet that came in by `interface` is sent from."""
        family = datagram.family
        if self.owns(datagram.destination):
            return datagram.destination
        wanted = self.options.reply_from
        if wanted == FROM_INCOMING:
            return interface.address(family) or self.address(family)
        if wanted == FROM_OUTGOING:
            way = self.way(datagram.source)
            leaving = way.interfaces[0].address(family) if way and way.interfaces else b""
            return leaving or self.address(family)
        if wanted == FROM_NODE:
            return self.address(family)
        fixed = pack_address(wanted)
        return fixed if len(fixed) == len(datagram.source) else self.address(family)

    def next_identification(self) -> int:
        """Identification of the next packet of its own."""
        self._identification = (self._identification + 1) & 0xFFFF
        return self._identification

    # What it does.

    def receive(self, packet: bytes, interface: Interface) -> None:
        """A packet has arrived."""
        try:
            datagram = parse_datagram_untrusted(packet)
        except BadPacket:
            self.network.drop(self, "malformed")
            return
        case = Case(self, interface, datagram)
        rule = next((rule for rule in self.rules if rule.matches(case)), None)
        if rule is not None:
            rule.apply(case)
        self.emit(case.emissions, interface)

    def usual(self, datagram: Datagram, interface: Interface) -> list[Emission]:
        """What goes out because of a packet, if no rule says otherwise."""
        if is_multicast(datagram.destination):
            return self.nothing("multicast")
        if self.owns(datagram.destination):
            return self._arrived(datagram, interface)
        if self.forwards:
            return forwarded(self, datagram, interface)
        return self.nothing("not ours")

    def _arrived(self, datagram: Datagram, interface: Interface) -> list[Emission]:
        whole = self._reassembly.add(datagram, interface) if datagram.is_fragment else datagram
        if whole is None:
            return []
        learn_path_mtu(self, whole)
        return answer(self, whole, interface)

    def nothing(self, reason: str) -> list[Emission]:
        """No packets, and a note why."""
        self.network.drop(self, reason)
        return []

    def complain(self, about: Datagram, interface: Interface, fault: str) -> list[Emission]:
        """The error of FAULTS this node sends about a packet that came in by `interface`, if it sends one."""
        return complain(self, about, interface, fault)

    def emit(self, emissions: Iterable[Emission], interface: Interface) -> None:
        """Let packets leave at their times; bytes without an interface leave by `interface`."""
        for emission in emissions:
            if emission.delay > 0:
                self.network.schedule(self.network.now + emission.delay, self._transmit, emission, interface)
            else:
                self._transmit(emission, interface)

    def send(self, packet: bytes) -> None:
        """Send an IP packet of its own making, any bytes with a readable header, by its routes. BadPacket."""
        self._send_datagram(parse_datagram_untrusted(packet), None)

    def _transmit(self, emission: Emission, interface: Interface) -> None:
        if isinstance(emission.packet, bytes):
            self.network.carry(emission.interface or interface, emission.packet)
        else:
            self._send_datagram(emission.packet, emission.interface)

    def _send_datagram(self, datagram: Datagram, interface: Interface | None) -> None:
        if interface is None:
            if self.owns(datagram.destination):
                if self.interfaces:
                    self.network.schedule(self.network.now, self.receive, datagram.packet, self.interfaces[0])
                return
            interface = self.leaving(datagram)
        if interface is None:
            self.network.drop(self, "no route")
            return
        try:
            packets = self._fitting(datagram, interface)
        except ValueError:
            # A rule has made it longer than IP allows, or its headers leave no room for fragments.
            self.network.drop(self, "cannot be sent")
            return
        for packet in packets:
            self.network.carry(interface, packet)

    def leaving(self, datagram: Datagram) -> Interface | None:
        """The interface a packet leaves by; None if no route has one."""
        way = self.way(datagram.destination)
        if way is None or not way.interfaces:
            return None
        self._turn += len(way.interfaces) > 1
        return choose(way.interfaces, self.options.multipath, datagram, self._turn)

    def _fitting(self, datagram: Datagram, interface: Interface) -> list[bytes]:
        limit = interface.mtu
        if self.owns(datagram.source):
            limit = min(limit, self.path_mtu.get(datagram.destination, limit))
        if datagram.size <= limit:
            return [datagram.packet]
        if datagram.dont_fragment:
            self.network.drop(self, "too big")
            return []
        return datagram.fragments(limit, self.next_identification())


class Host(Node):
    """An end of the network: answers, never forwards."""


class Router(Node):
    """Forwards packets, and answers those to itself."""

    forwards = True
