"""The answer to an extended echo request: the status of an interface (RFC 8335)."""

from __future__ import annotations

import socket

from pingsock.wire import icmp4, icmp6
from pingsock.wire.errors import BadPacket
from pingsock.wire.extensions import parse_interface_query_untrusted
from pingsock.wire.interfaces import InterfaceByAddress, InterfaceByName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.lab.datagram import Datagram
    from pingsock.lab.links import Interface
    from pingsock.lab.nodes import Node
    from pingsock.wire.interfaces import InterfaceIdentification

_NO_ERROR, _MALFORMED, _NO_SUCH_INTERFACE, _NO_SUCH_ENTRY, _SEVERAL = range(5)
_REACHABLE = 2


def extended_echo_reply(node: Node, request: Datagram, _interface: Interface) -> bytes:
    """The reply's message; the request's data come back in it, as from Linux. BadPacket."""
    asked = _parsed_untrusted(request)
    code, found, state = _found(node, asked.data, local=asked.local)
    active = found is not None and asked.local and found.up
    ipv4 = found is not None and active and bool(found.address(socket.AF_INET))
    ipv6 = found is not None and active and bool(found.address(socket.AF_INET6))
    fields = (asked.identifier, asked.sequence, code, state, active, ipv4, ipv6, asked.data)
    if request.family == socket.AF_INET:
        return icmp4.ExtendedEchoReply(*fields).to_bytes()
    return icmp6.ExtendedEchoReply(*fields).to_bytes(request.destination, request.source)


def _parsed_untrusted(request: Datagram) -> icmp4.ExtendedEchoRequest | icmp6.ExtendedEchoRequest:
    if request.family == socket.AF_INET:
        asked: object = icmp4.parse_icmp4_untrusted(request.payload)
    else:
        asked = icmp6.parse_icmp6_untrusted(request.payload, request.source, request.destination)
    if not isinstance(asked, icmp4.ExtendedEchoRequest | icmp6.ExtendedEchoRequest):
        raise BadPacket("not an extended echo request")
    return asked


def _found(node: Node, data: bytes, *, local: bool) -> tuple[int, Interface | None, int]:
    """Code, interface and neighbour state for a query."""
    try:
        query = parse_interface_query_untrusted(data)
    except BadPacket:
        return _MALFORMED, None, 0
    if local:
        found = [interface for interface in node.interfaces if _is_meant(interface, query)]
    elif isinstance(query, InterfaceByAddress):
        found = [interface for interface in node.interfaces if _is_neighbour(interface.peer, query.address)]
    else:
        return _MALFORMED, None, 0
    if not found:
        return (_NO_SUCH_INTERFACE if local else _NO_SUCH_ENTRY), None, 0
    if len(found) > 1:
        return _SEVERAL, None, 0
    return _NO_ERROR, found[0], 0 if local else _REACHABLE


def _is_meant(interface: Interface, query: InterfaceIdentification) -> bool:
    if isinstance(query, InterfaceByName):
        return interface.name.encode() == query.name
    if isinstance(query, InterfaceByAddress):
        return any(prefix.address == query.address for prefix in interface.addresses)
    return interface.index == query.index


def _is_neighbour(far_end: Interface, address: bytes) -> bool:
    return any(prefix.address == address for prefix in (*far_end.addresses, *far_end.node.addresses))
