"""What a router does with packets for others, and the errors it sends about them (RFC 1812, RFC 8200, RFC 4443)."""

from __future__ import annotations

import socket

from pingsock.lab.behaviours import Emission
from pingsock.lab.extensions import extension_structure
from pingsock.lab.icmp_errors import Quote, error_datagram, fault_for, may_be_answered
from pingsock.lab.routing import CONNECTED, FORWARD, REFUSALS
from pingsock.wire import types
from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4 import MINIMUM_HEADER_LENGTH
from pingsock.wire.ipv4_options import record_arrival

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.lab.datagram import Datagram
    from pingsock.lab.links import Interface
    from pingsock.lab.nodes import Node
    from pingsock.lab.routing import Way

_SMALLEST_MTU: dict[int, int] = {socket.AF_INET: 68, socket.AF_INET6: 1280}


def forwarded(node: Node, datagram: Datagram, interface: Interface) -> list[Emission]:
    """The packet, one hop older, on its way out; or the error about it."""
    if node.options.hidden:
        older = datagram
    elif datagram.hop_limit <= 1:
        return complain(node, datagram, interface, "time exceeded")
    else:
        older = datagram.replace(hop_limit=datagram.hop_limit - 1)
    way = node.way(datagram.destination)
    if way is None or way.kind != FORWARD:
        return _refused(node, datagram, interface, way)
    leaving = node.leaving(older)
    if leaving is None:
        return node.nothing("no route")
    if older.size > leaving.mtu and (older.dont_fragment or older.family == socket.AF_INET6):
        if node.options.black_hole:
            return node.nothing("black hole")
        return complain(node, datagram, interface, "too big", mtu=leaving.mtu, leaving=leaving)
    return _with_options(node, older, interface, leaving)


def _with_options(node: Node, datagram: Datagram, interface: Interface, leaving: Interface) -> list[Emission]:
    if not datagram.options or datagram.family == socket.AF_INET6:
        return [Emission(datagram, interface=leaving)]
    address = leaving.address(socket.AF_INET) or node.address(socket.AF_INET)
    try:
        options = record_arrival(datagram.options, address, node.network.milliseconds_of_day())
    except BadPacket:
        return complain(node, datagram, interface, "parameter problem", pointer=MINIMUM_HEADER_LENGTH)
    return [Emission(datagram.replace(options=options), interface=leaving)]


def _refused(node: Node, datagram: Datagram, interface: Interface, way: Way | None) -> list[Emission]:
    if way is None:
        return complain(node, datagram, interface, "net unreachable")
    if way.kind == CONNECTED:
        late = node.options.neighbour_timeout
        return [emission.later(late) for emission in complain(node, datagram, interface, "host unreachable")]
    fault = REFUSALS[way.kind]
    return complain(node, datagram, interface, fault) if fault else node.nothing("blackhole route")


def complain(
    node: Node,
    about: Datagram,
    interface: Interface,
    name: str,
    *,
    mtu: int = 0,
    pointer: int = 0,
    leaving: Interface | None = None,
) -> list[Emission]:
    """The error `name` of FAULTS about a packet that came in by `interface`, if it may be sent."""
    node.network.drop(node, name)
    fault = fault_for(name, about.family, mtu=mtu, pointer=pointer)
    options = node.options
    if options.silent or not may_be_answered(about, fault.type):
        return []
    source = node.error_source(about, interface)
    if not source:
        return node.nothing("no address for an error")
    if not node.limiter.take(node.network.now):
        return node.nothing("error rate limit")
    made = error_datagram(
        fault,
        about,
        source,
        quote=Quote(options.quote),
        extensions=extension_structure(node, about, interface, leaving),
        rfc4884=options.rfc4884,
        hop_limit=options.hop_limit,
        identification=node.next_identification(),
    )
    return [Emission(made, options.error_delay)]


def learn_path_mtu(node: Node, report: Datagram) -> None:
    """Lower the path MTU of a destination of the node's own packets, if that is what an error addressed to it says."""
    too_big = (types.ICMP6_PACKET_TOO_BIG,) if report.family == socket.AF_INET6 else (3, types.FRAGMENTATION_NEEDED)
    if (report.type, report.code)[: len(too_big)] != too_big:
        return
    at = 24 if report.family == socket.AF_INET6 else 16
    quoted = report.payload[8:]
    size = len(report.source)
    destination = quoted[at : at + size]
    if len(destination) == size and node.owns(quoted[at - size : at]):
        told = report.payload[4:8] if report.family == socket.AF_INET6 else report.payload[6:8]
        mtu = max(int.from_bytes(told, "big"), _SMALLEST_MTU[report.family])
        node.path_mtu[destination] = min(mtu, node.path_mtu.get(destination, mtu))
