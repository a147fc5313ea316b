"""Where the ping sockets of an unmodified program come from: the ways of this host, best first.

The settings of `pingsock.sockets.first_settings` are for our own code; a program gets its socket as socket(2) makes it.
"""

from __future__ import annotations

import socket
from errno import EACCES, ETIMEDOUT

from pingsock.service.client import borrow_kernel_socket, connect_service, standing_refusal
from pingsock.sockets.errors import NoPingSocket
from pingsock.wire.linux import AF_INET, AF_INET6, IPPROTO_ICMP, IPPROTO_ICMPV6, SOCK_DGRAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from pingsock.service.client import LentSocket
    from pingsock.sockets.served_descriptor import Connection

PROTOCOLS = {AF_INET: IPPROTO_ICMP, AF_INET6: IPPROTO_ICMPV6}

Source: TypeAlias = "LentSocket | Connection | None"
"""A socket of the kernel that the service lends; a connection for a served one; None: the kernel itself gives one."""


def _from_kernel(family: int, _path: str | None) -> Source:
    # Ours is closed again: the program's call is let through, and it gets one of its own.
    socket.socket(family, SOCK_DGRAM, PROTOCOLS[family]).close()
    return None


def _borrowed(family: int, path: str | None) -> Source:
    return borrow_kernel_socket(family, path)


def _served(_family: int, path: str | None) -> Source:
    return connect_service(path)


def _embedded(_family: int, _path: str | None) -> Source:
    # Imported only here: without CAP_NET_RAW there is no need for the stack.
    from pingsock.service.shared import connect_embedded

    return connect_embedded()


WAYS: dict[str, Callable[[int, str | None], Source]] = {
    "kernel": _from_kernel,
    "borrowed": _borrowed,
    "served": _served,
    "embedded": _embedded,
}
"""All ways, best first."""


class Sources:
    """Finds a socket for each call, in the same order every time: a service may come and go."""

    def __init__(self, path: str | None = None, ways: tuple[str, ...] = tuple(WAYS)) -> None:
        """`path`: where the service listens, None for where services do."""
        self._path = path
        self._ways = ways

    def find(self, family: int) -> tuple[str, Source]:
        """The first way that works, by name, and what it gave.

        :raises NoPingSocket: none works, with the reason for each.
        """
        refusals: list[tuple[str, OSError]] = []
        for way in self._ways:
            repeated = standing_refusal(way, refusals)
            if repeated is not None and repeated.errno == ETIMEDOUT:
                refusals.append((way, repeated))
                continue
            try:
                return way, WAYS[way](family, self._path)
            except OSError as error:
                refusals.append((way, error))
        raise NoPingSocket(refusals)

    def check(self) -> str:
        """The way an IPv4 socket would come by now; nothing stays open. NoPingSocket if there is none."""
        way, source = self.find(AF_INET)
        if source is not None:
            source.close()
        return way


def errno_of(refusal: NoPingSocket) -> int:
    """What socket(2) says to a program that gets none: the kernel's own word, if it was asked."""
    return next((error.errno for way, error in refusal.refusals if way == "kernel" and error.errno), EACCES)
