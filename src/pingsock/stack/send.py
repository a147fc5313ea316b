"""sendmsg(2): the checks in the kernel's order, the rewriting of the message, and the sending itself.

Some facts about sending through ping sockets
---------------------------------------------
* The ident is taken before anything is checked.
* Ident and checksum are always rewritten; everything else goes out as given.
* A packet that is too big is refused before a pending error is reported; a pending error is reported, once, before the
  packet is sent, and then nothing is sent.
* IPv4 and IPv6 differ in much: each has its own order of checks below.
* Most messages are like the one before: same destination, same length, nothing changed in between.

What this means here
--------------------
A socket remembers the last packet it sent, with the route it took. What is like it is sent like it: of all checks only
those remain whose answer may have changed by itself.
"""

from __future__ import annotations

from errno import (
    EACCES,
    EAFNOSUPPORT,
    EDESTADDRREQ,
    EINVAL,
    EMSGSIZE,
    ENOBUFS,
    EOPNOTSUPP,
    EPIPE,
)
from functools import partial

from pingsock.stack import naming
from pingsock.stack.ancillary_send import SendSettings, apply
from pingsock.stack.errorqueue import ErrorEntry
from pingsock.stack.failure import failure
from pingsock.stack.pathmtu import MODES, mtu_for, sets_dont_fragment
from pingsock.stack.routing import interface6, ourselves4, route4, route6, source_and_interface4
from pingsock.stack.sockaddr import (
    ANY4,
    SOCKADDR_IN6_SIZE,
    SOCKADDR_IN_SIZE,
    is_mapped,
    is_multicast,
    needs_scope,
    pack_in,
    pack_in6,
    scope_for,
    unpack_in,
    unpack_in6,
)
from pingsock.wire import linux
from pingsock.wire.checksum import icmp6_checksum, internet_checksum
from pingsock.wire.ipv4_options import (
    STRICT_SOURCE_ROUTE,
    first_hop,
    has_source_route,
    split_options_untrusted,
)
from pingsock.wire.linux import AF_INET, AF_INET6, MSG_DONTROUTE, MSG_OOB, MSG_PROBE, SOL_IP, SOL_IPV6
from pingsock.wire.transit import BROADCAST, MULTICAST, Outbound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pingsock.stack.endpoint import Endpoint
    from pingsock.stack.sockaddr import SocketAddress
    from pingsock.wire.transit import Route

    Item = tuple[int, int, bytes]

MINIMUM_LENGTH = 8
MAXIMUM_LENGTH = 65535
LARGEST_REMEMBERED = 2048
"""Bytes of message; larger ones take long anyhow, and nobody's account is charged for what is remembered."""
IPV4_HEADER = 20
IPV6_HEADER = 40
MAXIMUM_IPV4_PACKET = 65535
MAXIMUM_IPV6_PAYLOAD = 65535
WRITE_SHUTDOWN = 2
FLOW_LABEL = 0xFFFFF
AUTOMATIC_LABEL = -1


class Sent:
    """A small packet that went without ancillary data, and what it depended on."""

    __slots__ = ("flags", "length", "packet", "route", "route_again", "sockaddr")

    def __init__(
        self,
        sockaddr: bytes | None,
        flags: int,
        length: int,
        route_again: Callable[[], Route],
        route: Route,
        packet: Outbound,
    ) -> None:
        self.sockaddr = sockaddr
        self.flags = flags
        self.length = length
        self.route_again = route_again
        self.route = route
        self.packet = packet

    def is_like(self, sockaddr: bytes | None, flags: int, length: int) -> bool:
        """Whether a message without ancillary data goes the same way. The calls that change a socket forget this."""
        same = self.length == length and self.sockaddr == sockaddr and self.flags == flags
        # A route that is still the same object vouches for the host's settings too: see `Network.route`.
        return same and self.route_again() is self.route


def _remembered(sent: Sent, items: Iterable[Item]) -> Sent | None:
    return None if items or sent.length > LARGEST_REMEMBERED else sent


def send(endpoint: Endpoint, data: bytes, sockaddr: bytes | None, items: Iterable[Item], flags: int) -> int:
    """Send one message; returns its length."""
    naming.take_ident_if_none(endpoint)
    _check_message(endpoint, data, flags)
    sent = endpoint.sent
    if sent is not None and not items and sent.is_like(sockaddr, flags, len(data)):
        _check_may_leave(endpoint)
        packet = sent.packet
        message = _on_the_wire(endpoint, data, packet.source, packet.destination)
        _transmit(endpoint, packet.carrying(message, _stamp_key(endpoint, packet.stamp_flags, None)))
    elif endpoint.family == AF_INET:
        _send4(endpoint, data, sockaddr, items, flags)
    else:
        _send6(endpoint, data, sockaddr, items, flags)
    return len(data)


def _check_message(endpoint: Endpoint, data: bytes, flags: int) -> None:
    if len(data) > MAXIMUM_LENGTH:
        raise failure(EMSGSIZE)
    if len(data) < MINIMUM_LENGTH:
        raise failure(EINVAL)
    if flags & MSG_OOB:
        raise failure(EOPNOTSUPP)
    if data[1] or data[0] not in endpoint.stack.pairs.requests[endpoint.family]:
        raise failure(EINVAL)


def _destination(endpoint: Endpoint, sockaddr: bytes | None) -> SocketAddress:
    if sockaddr is None:
        if endpoint.peer is None:
            raise failure(EDESTADDRREQ)
        return endpoint.peer
    is_v4 = endpoint.family == AF_INET
    if len(sockaddr) < (SOCKADDR_IN_SIZE if is_v4 else SOCKADDR_IN6_SIZE):
        raise failure(EINVAL)
    name = unpack_in(sockaddr) if is_v4 else unpack_in6(sockaddr)
    if name.family != endpoint.family:
        raise failure(EAFNOSUPPORT)
    return name


def _check_may_leave(endpoint: Endpoint) -> None:
    if endpoint.pending_error:
        raise failure(endpoint.take_pending_error())
    if endpoint.shutdown_state & WRITE_SHUTDOWN:
        raise failure(EPIPE)


def _stamp_key(endpoint: Endpoint, flags: int, number: int | None) -> int:
    return endpoint.stack.expect_stamp(endpoint, number, flags) if flags else 0


def _on_the_wire(endpoint: Endpoint, data: bytes, source: bytes, destination: bytes) -> bytes:
    """The message with the socket's ident and the checksum that goes with it."""
    head, tail = data[:2], endpoint.ident.to_bytes(2, "big") + data[6:]
    message = head + b"\0\0" + tail
    is_v4 = endpoint.family == AF_INET
    checksum = internet_checksum(message) if is_v4 else icmp6_checksum(source, destination, message)
    return head + checksum.to_bytes(2, "big") + tail


def _transmit(endpoint: Endpoint, packet: Outbound) -> None:
    try:
        endpoint.stack.network.transmit(packet)
    except OSError as error:
        # A full device queue is reported for IPv4 only.
        if error.errno != ENOBUFS or endpoint.family == AF_INET:
            raise


# IPv4


def _send4(endpoint: Endpoint, data: bytes, sockaddr: bytes | None, items: Iterable[Item], flags: int) -> None:
    destination = _destination(endpoint, sockaddr).address
    settings = SendSettings(endpoint)
    if items:
        apply(endpoint, settings, items, SOL_IP)
    strict = _check_source_route(settings.ip_options, destination)
    route_again, destination = _way4(endpoint, settings, destination, bool(flags & MSG_DONTROUTE) or strict)
    route = route_again()
    if route.kind == BROADCAST and not endpoint.options.broadcast:
        raise failure(EACCES)
    if flags & MSG_PROBE:
        return
    _check_size4(endpoint, settings, route, destination, len(data))
    _check_may_leave(endpoint)
    packet = _packet4(endpoint, settings, route, destination, data)
    endpoint.sent = _remembered(Sent(sockaddr, flags, len(data), route_again, route, packet), items)
    _transmit(endpoint, packet)


def _check_source_route(options: bytes, destination: bytes) -> bool:
    """Is there a strict source route? EINVAL for one of either kind towards 0.0.0.0."""
    if not options or not has_source_route(options):
        return False
    if destination == ANY4:
        raise failure(EINVAL)
    return any(option[0] == STRICT_SOURCE_ROUTE for option in split_options_untrusted(options))


def _way4(
    endpoint: Endpoint, settings: SendSettings, destination: bytes, dont_route: bool
) -> tuple[Callable[[], Route], bytes]:
    """What finds the route, and where the packet really goes."""
    source, settings.interface = source_and_interface4(endpoint, destination, settings.source, settings.interface)
    if destination == ANY4:
        destination = ourselves4(source)
    towards = first_hop(settings.ip_options, destination)[0] if settings.ip_options else destination
    find = partial(route4, endpoint, towards, source, settings.interface, settings.tos, settings.mark, dont_route)
    return find, destination


def _check_size4(endpoint: Endpoint, settings: SendSettings, route: Route, destination: bytes, length: int) -> None:
    mode = MODES[endpoint.options.path_mtu_discovery]
    mtu = mtu_for(mode, route)
    packet_length = IPV4_HEADER + len(settings.ip_options) + length
    if packet_length > (MAXIMUM_IPV4_PACKET if mode.fragments else mtu):
        if endpoint.options.receive_errors:
            port = endpoint.peer.port if endpoint.peer else 0
            _queue_too_big(endpoint, mtu - len(settings.ip_options), pack_in(destination, port), packet_length)
        raise failure(EMSGSIZE)


def _queue_too_big(endpoint: Endpoint, mtu: int, name: bytes, length: int) -> None:
    entry = ErrorEntry(EMSGSIZE, linux.SO_EE_ORIGIN_LOCAL, info=mtu, name=name)
    endpoint.queue_error(entry, min(length, 64))


def _hop_limit4(endpoint: Endpoint, settings: SendSettings, route: Route) -> int:
    options = endpoint.options
    if settings.ttl:
        return settings.ttl
    if route.kind == MULTICAST:
        return options.multicast_ttl
    return options.ttl if options.ttl != -1 else endpoint.stack.network.sysctl("ipv4.ip_default_ttl")


def _packet4(endpoint: Endpoint, settings: SendSettings, route: Route, destination: bytes, data: bytes) -> Outbound:
    options = endpoint.options
    mode = MODES[options.path_mtu_discovery]
    packet_length = IPV4_HEADER + len(settings.ip_options) + len(data)
    return Outbound(
        AF_INET,
        route.source,
        destination,
        _on_the_wire(endpoint, data, route.source, destination),
        hop_limit=_hop_limit4(endpoint, settings, route),
        traffic_class=settings.tos,
        options=settings.ip_options,
        dont_fragment=sets_dont_fragment(mode, packet_length, route),
        fragment_size=mtu_for(mode, route) if mode.fragments else 0,
        interface=settings.interface,
        dont_route=bool(options.dont_route),
        multicast_loop=bool(options.multicast_loop),
        mark=settings.mark,
        priority=settings.priority,
        transparent=bool(options.transparent),
        stamp_flags=settings.stamp_flags,
        stamp_key=_stamp_key(endpoint, settings.stamp_flags, settings.stamp_number),
    )


# IPv6


def _send6(endpoint: Endpoint, data: bytes, sockaddr: bytes | None, items: Iterable[Item], flags: int) -> None:
    name = _destination(endpoint, sockaddr)
    settings = SendSettings(endpoint)
    settings.interface = _interface6(endpoint, name, named=sockaddr is not None)
    if sockaddr is None:
        settings.flow_information = endpoint.flow_label
    elif endpoint.options.flow_information_send:
        settings.flow_information = name.flowinfo
    if items:
        apply(endpoint, settings, items, SOL_IPV6)
    route_again = partial(route6, endpoint, name.address, settings.interface, settings.traffic_class, settings.mark)
    route = route_again()
    _check_size6(endpoint, settings, route, name.address, data)
    _check_may_leave(endpoint)
    packet = _packet6(endpoint, settings, route, name.address, data)
    endpoint.sent = _remembered(Sent(sockaddr, flags, len(data), route_again, route, packet), items)
    _transmit(endpoint, packet)


def _interface6(endpoint: Endpoint, name: SocketAddress, named: bool) -> int:
    scoped = needs_scope(name.address)
    interface = interface6(endpoint, name.address, name.scope if named and scoped else 0)
    bound = endpoint.options.bound_interface
    if (scoped and not interface) or is_mapped(name.address) or (bound and interface != bound):
        raise failure(EINVAL)
    return interface


def _check_size6(endpoint: Endpoint, settings: SendSettings, route: Route, destination: bytes, data: bytes) -> None:
    mode = MODES[endpoint.options.path_mtu_discovery6]
    mtu = mtu_for(mode, route)
    whole = not mode.fragments or bool(settings.dont_fragment6)
    limit = mtu - IPV6_HEADER if whole else MAXIMUM_IPV6_PAYLOAD
    if len(data) > limit:
        if endpoint.options.receive_errors6:
            scope = scope_for(destination, route.interface)
            name = pack_in6(destination, data[0] << 8 | data[1], scope=scope)
            _queue_too_big(endpoint, mtu, name, len(data))
        raise failure(EMSGSIZE)


def _hop_limit6(endpoint: Endpoint, settings: SendSettings, destination: bytes) -> int:
    options = endpoint.options
    if settings.hop_limit != -1:
        return settings.hop_limit
    if is_multicast(destination):
        return options.multicast_hops if options.multicast_hops != -1 else 1
    return options.hop_limit if options.hop_limit != -1 else endpoint.stack.network.sysctl("ipv6.conf.all.hop_limit")


def _flow_label6(endpoint: Endpoint, settings: SendSettings) -> int:
    label = settings.flow_information & FLOW_LABEL
    if label or not endpoint.options.auto_flow_label:
        return label
    return AUTOMATIC_LABEL


def _packet6(endpoint: Endpoint, settings: SendSettings, route: Route, destination: bytes, data: bytes) -> Outbound:
    options = endpoint.options
    mode = MODES[options.path_mtu_discovery6]
    return Outbound(
        AF_INET6,
        route.source,
        destination,
        _on_the_wire(endpoint, data, route.source, destination),
        hop_limit=_hop_limit6(endpoint, settings, destination),
        traffic_class=settings.traffic_class,
        flow_label=_flow_label6(endpoint, settings),
        fragment_size=mtu_for(mode, route) if mode.fragments and not settings.dont_fragment6 else 0,
        interface=settings.interface or scope_for(destination, route.interface),
        multicast_loop=bool(options.multicast_loop6),
        mark=settings.mark,
        priority=settings.priority,
        transparent=endpoint.may_use_foreign_source6(),
        stamp_flags=settings.stamp_flags,
        stamp_key=_stamp_key(endpoint, settings.stamp_flags, settings.stamp_number),
    )
