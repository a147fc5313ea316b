"""Multicast memberships of a ping socket: the options that join groups and leave them.

Some facts about memberships
----------------------------
* A group is joined on one interface. Without an index it is that of an address (IPv4 only), else the route's.
* IPv4 does not ask whether what is left is a group; IPv6 does, and without an index leaves the group wherever it was
  joined.
"""

from __future__ import annotations

import struct
from errno import EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENODEV

from pingsock.stack.failure import failure
from pingsock.stack.routing import existing_interface
from pingsock.stack.sockaddr import is_multicast
from pingsock.wire import linux
from pingsock.wire.linux import AF_INET, AF_INET6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.stack.endpoint import Endpoint

    Membership = tuple[int, bytes, int]
    """Family, group, interface."""


def _group4(endpoint: Endpoint, value: bytes) -> tuple[bytes, bytes, int]:
    """Group, address of an interface, and that interface's index, 0 if there is none."""
    if len(value) < 8:
        raise failure(EINVAL)
    group, address = value[:4], value[4:8]
    index = int(struct.unpack_from("=i", value, 8)[0]) if len(value) >= 12 else 0
    if not index and address != bytes(4):
        index = endpoint.stack.network.interface_with(AF_INET, address)
    elif not index:
        index = _interface_towards(endpoint, AF_INET, group)
    return group, address, index


def _membership4(endpoint: Endpoint, value: bytes) -> tuple[bytes, int]:
    group, _address, index = _group4(endpoint, value)
    if not is_multicast(group):
        raise failure(EINVAL)
    if not index:
        raise failure(ENODEV)
    return group, existing_interface(endpoint, index, ENODEV)


def _group6(value: bytes) -> tuple[bytes, int]:
    if len(value) < 20:
        raise failure(EINVAL)
    group, index = struct.unpack_from(linux.IPV6_MREQ_LAYOUT, value)
    if not is_multicast(group):
        raise failure(EINVAL)
    return group, index


def _membership6(endpoint: Endpoint, value: bytes) -> tuple[bytes, int]:
    group, index = _group6(value)
    index = index or _interface_towards(endpoint, AF_INET6, group)
    if not index:
        raise failure(ENODEV)
    return group, existing_interface(endpoint, index, ENODEV)


def _interface_towards(endpoint: Endpoint, family: int, group: bytes) -> int:
    try:
        return endpoint.stack.network.route(family, group).interface
    except OSError:
        return 0


def join4(endpoint: Endpoint, value: bytes) -> None:
    """IP_ADD_MEMBERSHIP: `struct ip_mreq` or `ip_mreqn`. EINVAL, ENODEV, EADDRINUSE."""
    _join(endpoint, (AF_INET, *_membership4(endpoint, value)))


def join6(endpoint: Endpoint, value: bytes) -> None:
    """IPV6_ADD_MEMBERSHIP: `struct ipv6_mreq`. EINVAL, ENODEV, EADDRINUSE."""
    _join(endpoint, (AF_INET6, *_membership6(endpoint, value)))


def _join(endpoint: Endpoint, membership: Membership) -> None:
    if membership in endpoint.options.memberships:
        raise failure(EADDRINUSE)
    endpoint.stack.network.join_group(*membership)
    endpoint.options.memberships.add(membership)


def leave4(endpoint: Endpoint, value: bytes) -> None:
    """IP_DROP_MEMBERSHIP. EINVAL, ENODEV, EADDRNOTAVAIL."""
    group, address, index = _group4(endpoint, value)
    if not index and address == bytes(4):
        raise failure(ENODEV)
    _leave(endpoint, (AF_INET, group, index))


def leave6(endpoint: Endpoint, value: bytes) -> None:
    """IPV6_DROP_MEMBERSHIP. EINVAL, EADDRNOTAVAIL."""
    group, index = _group6(value)
    joined = endpoint.options.memberships
    if not index:
        index = min((key[2] for key in joined if key[:2] == (AF_INET6, group)), default=0)
    _leave(endpoint, (AF_INET6, group, index))


def _leave(endpoint: Endpoint, membership: Membership) -> None:
    if membership not in endpoint.options.memberships:
        raise failure(EADDRNOTAVAIL)
    endpoint.stack.network.leave_group(*membership)
    endpoint.options.memberships.remove(membership)
