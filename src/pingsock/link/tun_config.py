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
from pingsock.wire import rtnetlink
from pingsock.wire.rtnetlink import attribute, message, messages, raise_if_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_PATIENCE = 2.0
"""Seconds."""


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
        body = rtnetlink.IFINFO.pack(0, 0, index, rtnetlink.IFF_UP if up else 0, rtnetlink.IFF_UP)
        if mtu:
            body += attribute(rtnetlink.IFLA_MTU, rtnetlink.U32.pack(mtu))
        self._request(rtnetlink.RTM_NEWLINK, 0, body)

    def add_address(self, index: int, prefix: str) -> None:
        """Give a device an address; IPv6 ones are usable at once, without duplicate address detection."""
        family, address, length = parse_prefix(prefix)
        flags = rtnetlink.IFA_F_NODAD if family == socket.AF_INET6 else 0
        body = rtnetlink.IFADDR.pack(family, length, flags, rtnetlink.RT_SCOPE_UNIVERSE, index)
        body += attribute(rtnetlink.IFA_LOCAL, address) + attribute(rtnetlink.IFA_ADDRESS, address)
        self._request(rtnetlink.RTM_NEWADDR, rtnetlink.NLM_F_CREATE | rtnetlink.NLM_F_REPLACE, body)

    def add_route(self, index: int, prefix: str, via: str | None = None) -> None:
        """Route a prefix to a device, through the router `via` or on-link."""
        family, network, length = parse_prefix(prefix)
        scope = rtnetlink.RT_SCOPE_UNIVERSE if via or family == socket.AF_INET6 else rtnetlink.RT_SCOPE_LINK
        what = rtnetlink.RT_TABLE_MAIN, rtnetlink.RTPROT_BOOT, scope, rtnetlink.RTN_UNICAST
        body = rtnetlink.RTMSG.pack(family, length, 0, 0, *what, 0)
        body += attribute(rtnetlink.RTA_DST, network) + attribute(rtnetlink.RTA_OIF, rtnetlink.U32.pack(index))
        if via:
            body += attribute(rtnetlink.RTA_GATEWAY, socket.inet_pton(family, via))
        self._request(rtnetlink.RTM_NEWROUTE, rtnetlink.NLM_F_CREATE | rtnetlink.NLM_F_REPLACE, body)

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
        body = rtnetlink.RTMSG.pack(socket.AF_INET6, 128, 0, 0, 0, 0, 0, 0, 0) + attribute(rtnetlink.RTA_DST, address)
        try:
            answer = self._ask(rtnetlink.RTM_GETROUTE, body + attribute(rtnetlink.RTA_OIF, rtnetlink.U32.pack(index)))
        except OSError:
            return False
        return bool(rtnetlink.RTMSG.unpack_from(answer)[7] == rtnetlink.RTN_LOCAL)

    def _request(self, kind: int, flags: int, body: bytes) -> None:
        self._ask(kind, body, flags | rtnetlink.NLM_F_ACK)

    def _ask(self, kind: int, body: bytes, flags: int = 0) -> bytes:
        """The body of the first message of the answer."""
        self._sequence += 1
        self._socket.send(message(kind, flags | rtnetlink.NLM_F_REQUEST, self._sequence, body))
        while True:
            answered, _, sequence, answer = next(messages(self._socket.recv(65536)))
            if sequence == self._sequence:
                break
        if answered == rtnetlink.NLMSG_ERROR:
            raise_if_error(answer)
        return answer
