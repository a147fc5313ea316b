"""Which source, interface and route a socket's options ask for, for connecting and for sending alike."""

from __future__ import annotations

from pingsock.stack.failure import failure
from pingsock.stack.sockaddr import ANY4, ANY6, LOOPBACK4, is_multicast
from pingsock.wire.linux import AF_INET, AF_INET6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.stack.endpoint import Endpoint
    from pingsock.wire.transit import Route


def source_and_interface4(endpoint: Endpoint, destination: bytes, source: bytes, interface: int) -> tuple[bytes, int]:
    """Source and interface towards an IPv4 destination: those given, else the options for its kind."""
    options = endpoint.options
    if is_multicast(destination):
        return (source if source != ANY4 else options.multicast_source), interface or options.multicast_interface
    return source, interface or options.unicast_interface


def ourselves4(source: bytes) -> bytes:
    """What 0.0.0.0 stands for as a destination: our own address, if we have one already."""
    return source if source != ANY4 else LOOPBACK4


def route4(
    endpoint: Endpoint,
    destination: bytes,
    source: bytes,
    interface: int,
    traffic_class: int,
    mark: int,
    dont_route: bool = False,
) -> Route:
    """The IPv4 route; a transparent socket may have a foreign source."""
    options = endpoint.options
    foreign = bool(options.transparent) and source != ANY4
    route = endpoint.stack.network.route(
        AF_INET,
        destination,
        source=b"" if foreign or source == ANY4 else source,
        interface=interface,
        traffic_class=traffic_class,
        mark=mark,
        dont_route=dont_route or bool(options.dont_route),
    )
    return route.replace(source=source) if foreign else route


def interface6(endpoint: Endpoint, destination: bytes, scope: int = 0) -> int:
    """The interface an IPv6 packet must leave by, 0 for any."""
    options = endpoint.options
    interface = scope or options.bound_interface or options.sticky_interface
    if interface:
        return interface
    return options.multicast_interface6 if is_multicast(destination) else options.unicast_interface6


def route6(endpoint: Endpoint, destination: bytes, interface: int, traffic_class: int, mark: int) -> Route:
    """The IPv6 route with the socket's own source, which may be foreign where it could be bound."""
    source = endpoint.source
    foreign = source != ANY6 and endpoint.may_use_foreign_source6()
    route = endpoint.stack.network.route(
        AF_INET6,
        destination,
        source=b"" if foreign or source == ANY6 else source,
        interface=interface,
        traffic_class=traffic_class,
        mark=mark,
    )
    return route.replace(source=source) if foreign else route


def existing_interface(endpoint: Endpoint, index: int, missing: int) -> int:
    """The index itself; OSError with the errno `missing` if there is no such interface."""
    try:
        endpoint.stack.network.interface_name(index)
    except OSError as error:
        raise failure(missing) from error
    return index
