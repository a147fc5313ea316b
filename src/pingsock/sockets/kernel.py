"""The kernel's own ping socket, as a `socket.socket`.

Some facts about ping sockets
-----------------------------

All of them can be seen on Linux 6.18.

* Permission is decided once, in socket(): the effective gid or a supplementary group must lie in
  `net.ipv4.ping_group_range` of the network namespace. Neither root nor CAP_NET_RAW overrides it, the same sysctl
  rules IPv6, and closing the range later leaves open sockets alone.
* Only echo requests and RFC 8335 extended echo requests with code 0 may be sent. The kernel writes the identifier
  and the checksum; sequence and payload go out as given.
* The identifier is the socket's "port": bind() asks for one, the first send or connect takes the next free one, even
  if that call then fails. IPv4 and IPv6 sockets of a namespace share one space of 65535.
* SO_REUSEADDR is **on** in a new socket: anybody may bind the same identifier, and the newest owner then gets all
  packets of both. Switched off on either socket, the second bind is EADDRINUSE.
* connect() does not filter senders. Every reply with the right identifier arrives, whoever sent it.
* What arrives is the ICMP message without its IP header; TTL, TOS, interface and time come as ancillary data.
* ICMP errors are seen only with IP_RECVERR (IPV6_RECVERR), or, the hard ones, on a connected socket. With it each
  error, a mere time-exceeded or redirect too, makes the **next send or receive fail once**, and poll() says ERR until
  the error queue has been read. Transmit time stamps and local EMSGSIZE wait in the same queue.

What this means here
--------------------

`KernelPingSocket` changes nothing of this: a program gets what the kernel gives, errno for errno, and one that moves
over from `socket.socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)` sees no difference. Safer first settings are the
business of whoever opens the socket for a user (`pingsock.open`).
"""

from __future__ import annotations

import os
import socket

from pingsock.sockets.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Self

PROTOCOLS = {int(socket.AF_INET): socket.IPPROTO_ICMP, int(socket.AF_INET6): socket.IPPROTO_ICMPV6}
"""The protocol of a ping socket by its address family."""


class KernelPingSocket(socket.socket):
    """A ping socket of the kernel.

    A new one is opened for `family`, AF_INET or AF_INET6; OSError as socket(2) says, EACCES outside the group range.
    With `fileno`, an open descriptor of a ping socket is taken over, whatever its family; anything else than a ping
    socket is an InvalidArgument, and the descriptor then stays the caller's.
    """

    __slots__ = ()

    kind: ClassVar[str] = "kernel"

    def __init__(self, family: int = socket.AF_INET, fileno: int | None = None) -> None:
        if fileno is not None:
            super().__init__(fileno=fileno)
            self._refuse_other_sockets()
        elif family in PROTOCOLS:
            super().__init__(family, socket.SOCK_DGRAM, PROTOCOLS[family])
        else:
            raise InvalidArgument("family", family, "AF_INET or AF_INET6")

    def _refuse_other_sockets(self) -> None:
        if self.type == socket.SOCK_DGRAM and PROTOCOLS.get(self.family) == self.proto:
            return
        found = f"{self.family!r}, {self.type!r}, protocol {self.proto}"
        raise InvalidArgument("fileno", self.detach(), f"a ping socket (it is {found})")

    def dup(self) -> Self:
        """Another object and descriptor for the same socket, with the same timeout; not inheritable."""
        # The inherited method would call the class with socket.socket's arguments.
        copy = type(self)(fileno=os.dup(self.fileno()))
        copy.settimeout(self.gettimeout())
        return copy
