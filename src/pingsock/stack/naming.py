"""bind(2), connect(2) and disconnecting.

Some facts about naming ping sockets
------------------------------------
* Every call but bind takes an ident before it looks at anything else, so failed calls leave the socket bound.
* connect() filters nothing by peer: it fixes the source address, filters by it as the destination of what comes in, and
  makes hard errors visible.
* bind() and connect() of link-local addresses set the bound interface, and some failing calls leave it set.
* Disconnecting always forgets the bound interface, and whatever bind() was not given explicitly.
"""

from __future__ import annotations

from errno import (
    EACCES,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EAGAIN,
    EINVAL,
    ENETUNREACH,
    ENODEV,
)

from pingsock.stack.failure import failure
from pingsock.stack.routing import interface6, ourselves4, route4, route6, source_and_interface4
from pingsock.stack.sockaddr import (
    ANY,
    ANY4,
    ANY6,
    LOOPBACK6,
    SOCKADDR_IN6_OLD_SIZE,
    SOCKADDR_IN6_SIZE,
    SOCKADDR_IN_SIZE,
    SocketAddress,
    family_of,
    is_link_local,
    is_mapped,
    is_multicast,
    needs_scope,
    scope_for,
    unpack_in,
    unpack_in6,
)
from pingsock.wire.linux import AF_INET, AF_INET6, AF_UNSPEC
from pingsock.wire.transit import BROADCAST, LOCAL, MULTICAST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.stack.endpoint import Endpoint
    from pingsock.wire.transit import Route


def bind(endpoint: Endpoint, sockaddr: bytes) -> None:
    """bind(2). EINVAL, EAFNOSUPPORT, EADDRNOTAVAIL, ENODEV, EADDRINUSE, in the kernel's order of checks."""
    interface_before = endpoint.options.bound_interface
    name = _checked4(endpoint, sockaddr) if endpoint.family == AF_INET else _checked6(endpoint, sockaddr)
    if endpoint.ident:
        raise failure(EINVAL)
    try:
        take_ident(endpoint, name.port)
    except OSError:
        endpoint.options.bound_interface = interface_before
        raise
    endpoint.source = endpoint.receive_address = name.address
    # A later bind() to any address does not undo this.
    endpoint.address_is_bound |= any(name.address)
    endpoint.ident_is_bound = name.port != 0
    endpoint.peer = None


def take_ident(endpoint: Endpoint, ident: int) -> None:
    """Claim `ident`, or any free one for 0. EADDRINUSE."""
    if ident:
        endpoint.stack.idents.claim(endpoint, ident)
    else:
        endpoint.stack.idents.allocate(endpoint)
    endpoint.stack.idents_changed()


def take_ident_if_none(endpoint: Endpoint) -> None:
    """What send and connect do first. EAGAIN if no ident is free."""
    if not endpoint.ident:
        try:
            take_ident(endpoint, 0)
        except OSError as error:
            raise failure(EAGAIN) from error


def _checked4(endpoint: Endpoint, sockaddr: bytes) -> SocketAddress:
    if len(sockaddr) < SOCKADDR_IN_SIZE:
        raise failure(EINVAL)
    name = unpack_in(sockaddr)
    if name.family != AF_INET and (name.family != AF_UNSPEC or name.address != ANY4):
        raise failure(EAFNOSUPPORT)
    if name.address == ANY4:
        return name
    network, options = endpoint.stack.network, endpoint.options
    kind = network.address_kind(AF_INET, name.address)
    foreign_allowed = options.freebind or options.transparent or network.sysctl("ipv4.ip_nonlocal_bind")
    if kind in (MULTICAST, BROADCAST) or (kind != LOCAL and not foreign_allowed):
        raise failure(EADDRNOTAVAIL)
    return name


def _checked6(endpoint: Endpoint, sockaddr: bytes) -> SocketAddress:
    if len(sockaddr) < SOCKADDR_IN6_SIZE:
        raise failure(EINVAL)
    name = unpack_in6(sockaddr)
    if name.family != AF_INET6:
        raise failure(EAFNOSUPPORT)
    link_local = is_link_local(name.address)
    if is_multicast(name.address) or is_mapped(name.address) or (link_local and not name.scope):
        raise failure(EINVAL)
    network = endpoint.stack.network
    interface = name.scope or endpoint.options.bound_interface
    if interface:
        _require_interface(endpoint, interface)
    if name.address != ANY6 and not endpoint.may_use_foreign_source6():
        kind = network.address_kind(AF_INET6, name.address, interface if link_local else 0)
        if kind != LOCAL:
            raise failure(EADDRNOTAVAIL)
    if link_local:
        endpoint.options.bound_interface = name.scope
    return name


def _require_interface(endpoint: Endpoint, index: int) -> None:
    try:
        endpoint.stack.network.interface_name(index)
    except OSError as error:
        raise failure(ENODEV) from error


def connect(endpoint: Endpoint, sockaddr: bytes) -> None:
    """connect(2), and disconnect for the family AF_UNSPEC."""
    if len(sockaddr) < 2:
        raise failure(EINVAL)
    if family_of(sockaddr) == AF_UNSPEC:
        disconnect(endpoint)
        return
    take_ident_if_none(endpoint)
    if endpoint.family == AF_INET:
        _connect4(endpoint, sockaddr)
    else:
        _connect6(endpoint, sockaddr)


def disconnect(endpoint: Endpoint) -> None:
    """Forget peer, bound interface, and address and ident unless bind() was given them."""
    endpoint.peer = None
    endpoint.flow_label = 0
    endpoint.options.bound_interface = 0
    if not endpoint.address_is_bound:
        endpoint.source = endpoint.receive_address = ANY[endpoint.family]
    if not endpoint.ident_is_bound:
        endpoint.stack.idents.release(endpoint)
        endpoint.stack.idents_changed()


def _connect4(endpoint: Endpoint, sockaddr: bytes) -> None:
    if len(sockaddr) < SOCKADDR_IN_SIZE:
        raise failure(EINVAL)
    name = unpack_in(sockaddr)
    if name.family != AF_INET:
        raise failure(EAFNOSUPPORT)
    options = endpoint.options
    source, interface = source_and_interface4(endpoint, name.address, endpoint.source, options.bound_interface)
    destination = name.address if name.address != ANY4 else ourselves4(source)
    route = route4(endpoint, destination, source, interface, options.tos, options.mark)
    if route.kind == BROADCAST and not options.broadcast:
        raise failure(EACCES)
    _adopt_source(endpoint, route)
    endpoint.peer = name.replace(address=destination)


def _adopt_source(endpoint: Endpoint, route: Route) -> None:
    """A source that is set already stays, even if the new peer is reached by another interface."""
    if not any(endpoint.source):
        endpoint.source = route.source
    if not any(endpoint.receive_address):
        endpoint.receive_address = route.source


def _connect6(endpoint: Endpoint, sockaddr: bytes) -> None:
    if len(sockaddr) >= SOCKADDR_IN_SIZE and family_of(sockaddr) == AF_INET:
        raise failure(EAFNOSUPPORT)
    if len(sockaddr) < SOCKADDR_IN6_OLD_SIZE:
        raise failure(EINVAL)
    name = unpack_in6(sockaddr)
    if name.family != AF_INET6:
        raise failure(EAFNOSUPPORT)
    if name.address == ANY6:
        name = name.replace(address=LOOPBACK6)
    if is_mapped(name.address):
        _connect_mapped(endpoint, name)
        return
    if needs_scope(name.address):
        _bind_to_scope(endpoint, name)
    route = route6(endpoint, name.address, interface6(endpoint, name.address), 0, endpoint.options.mark)
    _adopt_source(endpoint, route)
    endpoint.peer = name
    endpoint.flow_label = name.flowinfo if endpoint.options.flow_information_send else 0


def _connect_mapped(endpoint: Endpoint, name: SocketAddress) -> None:
    if endpoint.options.v6_only:
        raise failure(ENETUNREACH)
    route = endpoint.stack.network.route(AF_INET, name.address[12:], interface=endpoint.options.bound_interface)
    _adopt_source(endpoint, route.replace(source=name.address[:12] + route.source))
    endpoint.peer = name


def _bind_to_scope(endpoint: Endpoint, name: SocketAddress) -> None:
    options = endpoint.options
    if name.scope:
        if options.bound_interface not in (0, name.scope):
            raise failure(EINVAL)
        options.bound_interface = name.scope
    elif not options.bound_interface and is_multicast(name.address):
        options.bound_interface = options.multicast_interface6
    if not options.bound_interface:
        raise failure(EINVAL)


def scope_shown(endpoint: Endpoint, address: bytes) -> int:
    """sin6_scope_id in getsockname() and getpeername()."""
    return scope_for(address, endpoint.options.bound_interface)
