"""icmplib's traceroute, without root: what routers say is read from the error queue of a ping socket."""

from __future__ import annotations

import time
from socket import AF_INET

from pingsock.compat.icmplib.checks import count_of, options_of, time_of
from pingsock.compat.icmplib.exceptions import (
    ICMPError,
    TimeExceeded,
    TimeoutExceeded,
)
from pingsock.compat.icmplib.models import Hop, ICMPRequest
from pingsock.compat.icmplib.sockets import ICMPv4Socket, ICMPv6Socket
from pingsock.compat.icmplib.utils import find
from pingsock.probe.jsonable import address_text
from pingsock.tools.arguments import integer
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.compat.icmplib.models import ICMPReply
    from pingsock.compat.icmplib.sockets import ICMPSocket
    from pingsock.probe.target import ProbeOptions


class _Route(Value):
    """How a route is asked for. Times are seconds."""

    destination: str
    options: ProbeOptions
    count: int
    interval: float
    timeout: float
    fast: bool


def traceroute(
    address: str,
    count: int = 2,
    interval: float = 0.05,
    timeout: float = 2,
    first_hop: int = 1,
    max_hops: int = 30,
    fast: bool = False,
    id: int | None = None,  # noqa: A002 - icmplib's name
    source: str | None = None,
    family: int | None = None,
    *,
    payload: bytes | None = None,
    payload_size: int = 56,
    traffic_class: int = 0,
) -> list[Hop]:
    """The routers on the way to a host, and the host, in the order of their distance. Silent ones are left out.

    :param count: requests for each distance.
    :param fast: leave a router after its first answer.
    :param interval: seconds between requests.
    :param timeout: seconds to wait for each answer.
    :param id: without effect, since the kernel chooses the identifier.
    :param family: 4 or 6, for names.
    :raises NameLookupError: the name has no address.
    :raises SocketPermissionError: no kind of ping socket can be opened here.
    :raises SocketAddressError: `source` is none of this host's addresses.
    :raises ICMPSocketError: this host does not send there.
    :raises InvalidArgument: an argument is not what it must be.
    """
    del id
    distances = range(integer("first_hop", first_hop, 1, 255), integer("max_hops", max_hops, 1, 255) + 1)
    time_of("interval", interval)
    time_of("timeout", timeout)
    options = options_of(source, payload, payload_size, None, traffic_class)
    destination = find(address, family)[0]
    route = _Route(address_text(destination.address), options, count_of(count), interval, timeout, fast)
    with (ICMPv4Socket if destination.family == AF_INET else ICMPv6Socket)(source) as sock:
        return _walk(sock, route, distances)


def _walk(sock: ICMPSocket, route: _Route, distances: range) -> list[Hop]:
    hops = []
    sequence = 0
    for distance in distances:
        hop, ends = _ask(sock, route, distance, sequence)
        sequence += route.count
        if hop.is_alive:
            hops.append(hop)
        if ends:
            break
    return hops


def _ask(sock: ICMPSocket, route: _Route, distance: int, sequence: int) -> tuple[Hop, bool]:
    """Who answers at that distance, and whether the route ends there."""
    sent, rtts, answered_by, ends = 0, [], "", False
    for number in range(route.count):
        if sequence or number:
            time.sleep(route.interval)
        request = _request(route, distance, sequence + number + 1)
        sock.send(request)
        sent += 1
        try:
            reply = sock.receive(request, route.timeout)
        except TimeoutExceeded:
            continue
        answered_by = answered_by or reply.source
        rtts.append((reply.time - request.time) * 1000)
        ends = ends or _is_end(reply)
        if route.fast and not ends:
            break
    return Hop(answered_by, sent, rtts, distance), ends


def _request(route: _Route, distance: int, sequence: int) -> ICMPRequest:
    return ICMPRequest(
        route.destination,
        0,
        sequence,
        route.options.payload or None,
        route.options.size,
        distance,
        route.options.traffic_class or 0,
    )


def _is_end(reply: ICMPReply) -> bool:
    try:
        reply.raise_for_status()
    except TimeExceeded:
        return False
    except ICMPError:
        return True
    return True
