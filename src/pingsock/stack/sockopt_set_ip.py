"""setsockopt(2) at SOL_IP: the options that do more than keep a number, one function each."""

from __future__ import annotations

import struct
from errno import EADDRNOTAVAIL, EINVAL, EPERM

from pingsock.stack.failure import failure
from pingsock.stack.memberships import join4, leave4
from pingsock.stack.routing import existing_interface
from pingsock.stack.sockopt_value import integer
from pingsock.wire import linux
from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4_options import has_source_route, validate_options
from pingsock.wire.linux import AF_INET, SOL_IP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.stack.endpoint import Endpoint
    from pingsock.stack.sockopt_value import Setter

CLASS_PRIORITY = (0, 0, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4)
"""Packet priority by the four bits of the IPv4 TOS above the lowest (linux/pkt_sched.h)."""


def _set_ttl(endpoint: Endpoint, value: bytes) -> None:
    ttl = integer(SOL_IP, value)
    if not value or not (ttl == -1 or 1 <= ttl <= 255):
        raise failure(EINVAL)
    endpoint.options.ttl = ttl


def _set_tos(endpoint: Endpoint, value: bytes) -> None:
    tos = integer(SOL_IP, value) & 0xFF
    endpoint.options.tos = tos
    endpoint.options.priority = CLASS_PRIORITY[tos >> 1 & 15]


def _set_ip_options(endpoint: Endpoint, value: bytes) -> None:
    endpoint.options.ip_options = checked_ip_options(endpoint, value)


def checked_ip_options(endpoint: Endpoint, value: bytes) -> bytes:
    """IPv4 options padded for the header: EINVAL if malformed, EPERM for a source route without the capability."""
    try:
        padded = validate_options(value, privileged=endpoint.credentials.capable)
    except BadPacket as error:
        raise failure(EINVAL) from error
    if has_source_route(padded) and not endpoint.credentials.capable:
        raise failure(EPERM)
    return padded


def _set_receive_errors(endpoint: Endpoint, value: bytes) -> None:
    endpoint.options.receive_errors = int(integer(SOL_IP, value) != 0)
    if not endpoint.options.receive_errors:
        endpoint.purge_errors()


def _set_transparent(endpoint: Endpoint, value: bytes) -> None:
    if not value:
        raise failure(EINVAL)
    transparent = int(integer(SOL_IP, value) != 0)
    if transparent and not endpoint.credentials.capable:
        raise failure(EPERM)
    endpoint.options.transparent = transparent


def _set_multicast_interface(endpoint: Endpoint, value: bytes) -> None:
    if len(value) < 4:
        raise failure(EINVAL)
    address, index = value[:4], 0
    if len(value) >= 8:
        address = value[4:8]
    if len(value) >= 12:
        index = int(struct.unpack_from("=i", value, 8)[0])
    options = endpoint.options
    if not index and address == bytes(4):
        options.multicast_interface, options.multicast_source = 0, bytes(4)
        return
    index = existing_interface(endpoint, index, EADDRNOTAVAIL) if index else _interface_with(endpoint, address)
    if options.bound_interface not in (0, index):
        raise failure(EINVAL)
    options.multicast_interface, options.multicast_source = index, address


def _interface_with(endpoint: Endpoint, address: bytes) -> int:
    index = endpoint.stack.network.interface_with(AF_INET, address)
    if not index:
        raise failure(EADDRNOTAVAIL)
    return index


def unicast_interface_setter(field: str) -> Setter:
    """The setter of IP_UNICAST_IF and IPV6_UNICAST_IF: an index in network byte order, 0 for none."""

    def setter(endpoint: Endpoint, value: bytes) -> None:
        if len(value) != 4:
            raise failure(EINVAL)
        index = int.from_bytes(value, "big")
        if index:
            existing_interface(endpoint, index, EADDRNOTAVAIL)
            if endpoint.options.bound_interface:
                raise failure(EINVAL)
        setattr(endpoint.options, field, index)

    return setter


def _refuse_router_alert(_endpoint: Endpoint, _value: bytes) -> None:
    raise failure(EINVAL)


IP_SETTERS: dict[int, Setter] = {
    linux.IP_TTL: _set_ttl,
    linux.IP_TOS: _set_tos,
    linux.IP_OPTIONS: _set_ip_options,
    linux.IP_RECVERR: _set_receive_errors,
    linux.IP_TRANSPARENT: _set_transparent,
    linux.IP_MULTICAST_IF: _set_multicast_interface,
    linux.IP_UNICAST_IF: unicast_interface_setter("unicast_interface"),
    linux.IP_ROUTER_ALERT: _refuse_router_alert,
    linux.IP_ADD_MEMBERSHIP: join4,
    linux.IP_DROP_MEMBERSHIP: leave4,
}
