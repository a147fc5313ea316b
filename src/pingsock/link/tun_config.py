"""Giving a network device addresses, routes and a state, in rtnetlink(7) without the `ip` program.

A message is `nlmsghdr` (length u32, type u16, flags u16, sequence u32, port u32), a family header and attributes
(length u16, type u16, value, padded to 4); numbers are in host byte order.

The socket belongs to the network namespace of the thread that opened it and stays there, so a device opened inside a
namespace can still be configured after the thread has left it.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time

from pingsock.link.prefixes import parse_prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_IFINFO = struct.Struct("=BxHiII")
"""ifinfomsg: family, device type, index, flags, mask of the flags to change."""
_IFADDR = struct.Struct("=BBBBI")
"""ifaddrmsg: family, prefix length, flags, scope, index."""
_RTMSG = struct.Struct("=BBBBBBBBI")
"""rtmsg: family, destination and source prefix length, tos, table, protocol, scope, kind, flags."""

_PATIENCE = 2.0
"""Seconds."""

_NLMSG_ERROR = 2
_RTM_NEWLINK, _RTM_NEWADDR, _RTM_NEWROUTE, _RTM_GETROUTE = 16, 20, 24, 26
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_REPLACE, _NLM_F_CREATE = 0x1, 0x4, 0x100, 0x400
_IFLA_MTU = 4
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_IFF_UP = 1
_IFA_F_NODAD = 0x02
_RTN_UNICAST, _RTN_LOCAL = 1, 2
_RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK = 254, 3, 0, 253


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


class DeviceConfigurator:
    """An rtnetlink socket in the network namespace current at its creation.

    Each method is one acknowledged request; a refusal is the kernel's OSError.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()

    def index(self, name: str) -> int:
        """Index of the device `name`; OSError ENODEV."""
        import fcntl

        request = struct.pack("16si20x", os.fsencode(name), 0)
        answer: bytes = fcntl.ioctl(self._socket, 0x8933, request)  # SIOCGIFINDEX
        return int(struct.unpack_from("i", answer, 16)[0])

    def set_link(self, index: int, *, up: bool, mtu: int = 0) -> None:
        """Switch a device on or off; `mtu` 0 leaves its MTU alone."""
        body = _IFINFO.pack(0, 0, index, _IFF_UP if up else 0, _IFF_UP)
        if mtu:
            body += _attribute(_IFLA_MTU, struct.pack("=I", mtu))
        self._request(_RTM_NEWLINK, 0, body)

    def add_address(self, index: int, prefix: str) -> None:
        """Give a device an address; IPv6 ones are usable at once, without duplicate address detection."""
        family, address, length = parse_prefix(prefix)
        flags = _IFA_F_NODAD if family == socket.AF_INET6 else 0
        body = _IFADDR.pack(family, length, flags, _RT_SCOPE_UNIVERSE, index)
        body += _attribute(_IFA_LOCAL, address) + _attribute(_IFA_ADDRESS, address)
        self._request(_RTM_NEWADDR, _NLM_F_CREATE | _NLM_F_REPLACE, body)

    def add_route(self, index: int, prefix: str, via: str | None = None) -> None:
        """Route a prefix to a device, through the router `via` or on-link."""
        family, network, length = parse_prefix(prefix)
        scope = _RT_SCOPE_UNIVERSE if via or family == socket.AF_INET6 else _RT_SCOPE_LINK
        body = _RTMSG.pack(family, length, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, scope, _RTN_UNICAST, 0)
        body += _attribute(_RTA_DST, network) + _attribute(_RTA_OIF, struct.pack("=I", index))
        if via:
            body += _attribute(_RTA_GATEWAY, socket.inet_pton(family, via))
        self._request(_RTM_NEWROUTE, _NLM_F_CREATE | _NLM_F_REPLACE, body)

    def wait_until_local(self, index: int, prefix: str) -> None:
        """Return when packets to a new IPv6 address are taken in, which the kernel arranges a moment after adding it.

        TimeoutError if that takes longer than two seconds; the device must be up.
        """
        _, address, _ = parse_prefix(prefix)
        deadline = time.monotonic() + _PATIENCE
        while not self._is_local(index, address):
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, f"{prefix} does not become usable")
            time.sleep(0.001)

    def _is_local(self, index: int, address: bytes) -> bool:
        body = _RTMSG.pack(socket.AF_INET6, 128, 0, 0, 0, 0, 0, 0, 0) + _attribute(_RTA_DST, address)
        try:
            answer = self._ask(_RTM_GETROUTE, body + _attribute(_RTA_OIF, struct.pack("=I", index)))
        except OSError:
            return False
        return bool(_RTMSG.unpack_from(answer, _HEADER.size)[7] == _RTN_LOCAL)

    def _request(self, kind: int, flags: int, body: bytes) -> None:
        self._ask(kind, body, flags | _NLM_F_ACK)

    def _ask(self, kind: int, body: bytes, flags: int = 0) -> bytes:
        """The first message of the answer, from its header on."""
        self._sequence += 1
        head = _HEADER.pack(_HEADER.size + len(body), kind, flags | _NLM_F_REQUEST, self._sequence, 0)
        self._socket.send(head + body)
        while True:
            answer = self._socket.recv(65536)
            _, answered, _, sequence, _ = _HEADER.unpack_from(answer)
            if sequence == self._sequence:
                break
        if answered == _NLMSG_ERROR:
            (number,) = struct.unpack_from("=i", answer, _HEADER.size)
            if number:
                raise OSError(-number, os.strerror(-number))
        return answer
