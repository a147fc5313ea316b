"""Socket addresses as the system calls carry them: `struct sockaddr_in` and `struct sockaddr_in6` to values and back.

The stack takes and gives the bytes themselves, because several rules are about their length and family field, and
because a program served from outside hands over exactly these bytes.
"""

from __future__ import annotations

import struct
from functools import lru_cache

from pingsock.wire.linux import AF_INET, AF_INET6, SOCKADDR_IN6_LAYOUT, SOCKADDR_IN_LAYOUT
from pingsock.wire.value import Value

ANY4 = bytes(4)
ANY6 = bytes(16)
LOOPBACK4 = bytes((127, 0, 0, 1))
LOOPBACK6 = bytes(15) + b"\x01"
ANY = {AF_INET: ANY4, AF_INET6: ANY6}
LOOPBACK = {AF_INET: LOOPBACK4, AF_INET6: LOOPBACK6}

SOCKADDR_IN_SIZE = 16
SOCKADDR_IN6_SIZE = 28
SOCKADDR_STORAGE_SIZE = 128
SOCKADDR_IN6_OLD_SIZE = 24
"""Without sin6_scope_id (RFC 2133); connect(2) and bind(2) of IPv6 still know it."""

_FAMILY = struct.Struct("=H")
_SOCKADDR_IN = struct.Struct(SOCKADDR_IN_LAYOUT)
_SOCKADDR_IN6 = struct.Struct(SOCKADDR_IN6_LAYOUT)


class SocketAddress(Value):
    """One decoded socket address."""

    family: int
    address: bytes
    port: int = 0
    flowinfo: int = 0
    """IPv6 traffic class and flow label, host order."""
    scope: int = 0


def family_of(sockaddr: bytes) -> int:
    """The family field; `sockaddr` has at least two bytes."""
    return int(_FAMILY.unpack_from(sockaddr)[0])


@lru_cache(maxsize=4096)
def unpack_in(sockaddr: bytes) -> SocketAddress:
    """Of at least 16 bytes."""
    family, port, address = _SOCKADDR_IN.unpack_from(sockaddr)
    return SocketAddress(family, address, int.from_bytes(port, "big"))


def unpack_in6(sockaddr: bytes) -> SocketAddress:
    """Of at least 24 bytes; without the last four the scope is 0."""
    family, port, flowinfo, address, scope = _SOCKADDR_IN6.unpack_from(sockaddr.ljust(SOCKADDR_IN6_SIZE, b"\0"))
    return SocketAddress(family, address, int.from_bytes(port, "big"), int.from_bytes(flowinfo, "big"), scope)


@lru_cache(maxsize=4096)
def pack_in(address: bytes, port: int = 0) -> bytes:
    """A `struct sockaddr_in`."""
    return _SOCKADDR_IN.pack(AF_INET, port.to_bytes(2, "big"), address)


def pack_in6(address: bytes, port: int = 0, flowinfo: int = 0, scope: int = 0) -> bytes:
    """A `struct sockaddr_in6`."""
    return _SOCKADDR_IN6.pack(AF_INET6, port.to_bytes(2, "big"), flowinfo.to_bytes(4, "big"), address, scope)


def is_multicast(address: bytes) -> bool:
    """An IPv4 (224/4) or IPv6 (ff00::/8) group."""
    return address[0] >> 4 == 14 if len(address) == 4 else address[0] == 0xFF


def is_link_local(address: bytes) -> bool:
    """An IPv6 unicast address of fe80::/10."""
    return address[0] == 0xFE and address[1] & 0xC0 == 0x80


def needs_scope(address: bytes) -> bool:
    """An IPv6 address that means nothing without an interface: link-local, or a group of interface or link scope."""
    return is_link_local(address) or (address[0] == 0xFF and address[1] & 0x0F in (1, 2))


def is_mapped(address: bytes) -> bool:
    """An IPv4-mapped IPv6 address, ::ffff:a.b.c.d."""
    return address.startswith(b"\0" * 10 + b"\xff\xff")


def scope_for(address: bytes, interface: int) -> int:
    """What sin6_scope_id shows for an address that was seen on an interface."""
    return interface if needs_scope(address) else 0
