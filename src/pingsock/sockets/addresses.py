"""Socket addresses as Python programs write them, to the bytes of the system calls and back.

The tuples, the names they may hold and the errors for bad ones are those of the `socket` module.
"""

from __future__ import annotations

import socket
from socket import AF_INET, SOCK_DGRAM, inet_ntop, inet_pton
from struct import Struct

from pingsock.wire.linux import AF_INET6, SOCKADDR_IN6_LAYOUT, SOCKADDR_IN_LAYOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SOCKADDR_IN = Struct(SOCKADDR_IN_LAYOUT)
_SOCKADDR_IN6 = Struct(SOCKADDR_IN6_LAYOUT)

FAMILY_NAMES = {int(AF_INET): "AF_INET", AF_INET6: "AF_INET6"}
MAXIMUM_FLOWINFO = 0xFFFFF
MAXIMUM_SCOPE = 0xFFFFFFFF


def pack_address(family: int, address: Any) -> bytes:
    """(host, port) of IPv4, (host, port[, flowinfo[, scope]]) of IPv6. TypeError, OverflowError, socket.gaierror."""
    name = FAMILY_NAMES[family]
    if not isinstance(address, tuple):
        raise TypeError(f"{name} address must be tuple, not {type(address).__name__}")
    if family == AF_INET:
        if len(address) != 2:
            raise TypeError("AF_INET address must be a pair (host, port)")
        return _SOCKADDR_IN.pack(AF_INET, _port(address[1]), inet_pton(AF_INET, _resolve(family, address[0])[0]))
    if not 2 <= len(address) <= 4:
        raise TypeError("AF_INET6 address must be a tuple (host, port[, flowinfo[, scopeid]])")
    flowinfo, scope = (*address[2:], 0, 0)[:2]
    if not 0 <= flowinfo <= MAXIMUM_FLOWINFO:
        raise OverflowError("flowinfo must be 0-1048575.")
    if not 0 <= scope <= MAXIMUM_SCOPE:
        raise OverflowError(f"scope id must be 0-{MAXIMUM_SCOPE}, not {scope}")
    host, scope_of_name = _resolve(family, address[0])
    packed = inet_pton(AF_INET6, host)
    return _SOCKADDR_IN6.pack(AF_INET6, _port(address[1]), flowinfo.to_bytes(4, "big"), packed, scope or scope_of_name)


def _port(port: int) -> bytes:
    if not isinstance(port, int):
        raise TypeError(f"'{type(port).__name__}' object cannot be interpreted as an integer")
    if not 0 <= port <= 0xFFFF:
        raise OverflowError("port must be 0-65535.")
    return port.to_bytes(2, "big")


def _resolve(family: int, host: Any) -> tuple[str, int]:
    """A host as a numeric address, and the scope a "%interface" named."""
    if isinstance(host, (bytes, bytearray)):
        host = host.decode("ascii")
    if not isinstance(host, str):
        raise TypeError(f"str, bytes or bytearray expected, not {type(host).__name__}")
    if not host:
        return ("0.0.0.0", 0) if family == AF_INET else ("::", 0)
    if host == "<broadcast>" and family == AF_INET:
        return "255.255.255.255", 0
    try:
        inet_pton(family, host)
    except OSError:
        found = socket.getaddrinfo(host, None, family, SOCK_DGRAM)[0][4]
        return str(found[0]).split("%")[0], int(found[-1]) if family == AF_INET6 else 0
    return host, 0


def unpack_address(sockaddr: bytes | None) -> Any:
    """The tuple the `socket` module would give for a socket address, None for none."""
    if not sockaddr:
        return None
    if len(sockaddr) == _SOCKADDR_IN.size:
        _family, port, address = _SOCKADDR_IN.unpack(sockaddr)
        return inet_ntop(AF_INET, address), int.from_bytes(port, "big")
    _family, port, flowinfo, address, scope = _SOCKADDR_IN6.unpack(sockaddr)
    return inet_ntop(AF_INET6, address), int.from_bytes(port, "big"), int.from_bytes(flowinfo, "big"), scope
