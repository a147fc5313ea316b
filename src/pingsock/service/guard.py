"""What a service forbids of what its stack would send: kinds of message, destinations, broadcast, multicast, rate.

The stack has done everything by the time it transmits: the destination is the one the packet really goes to, whichever
way the client named it. So this is the place of a host's firewall, and like one it says EPERM; over the rate it says
ENOBUFS, as a full queue does.
"""

from __future__ import annotations

from errno import ENOBUFS, EPERM
from socket import inet_ntop

from pingsock.link.raw import RawLink
from pingsock.stack.failure import failure
from pingsock.wire.linux import AF_INET6
from pingsock.wire.transit import BROADCAST, MULTICAST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.service.configuration import Configuration
    from pingsock.service.users import User
    from pingsock.wire.transit import Outbound

_UNSPECIFIED6, _LOOPBACK6 = bytes(16), bytes(15) + b"\1"


class Forbidden(Exception):
    """A packet must not be sent."""

    errno: int
    """What its sender is told."""
    reason: str
    """What the audit is told."""

    def __init__(self, errno: int, reason: str) -> None:
        self.errno = errno
        self.reason = reason
        super().__init__(errno, reason)


class GuardedLink(RawLink):
    """A raw link that sends nothing the guard forbids. Without a guard it sends nothing at all."""

    guard: Callable[[Outbound], None] | None = None
    """Raises OSError for a packet that must not be sent."""

    def transmit(self, packet: Outbound) -> None:
        """As `RawLink.transmit`; OSError of the guard before anything is sent."""
        if self.guard is None:
            raise failure(EPERM)
        self.guard(packet)
        super().transmit(packet)


class Rules:
    """A configuration, ready to look packets up in."""

    def __init__(self, configuration: Configuration, address_kind: Callable[[int, bytes], int]) -> None:
        """`address_kind` says what an address is to this host: BROADCAST, MULTICAST or else."""
        self._configuration = configuration
        self._address_kind = address_kind
        self._forbidden_types = configuration.forbidden_types()
        self._names_destinations = configuration.destinations is not None or configuration.denied_destinations
        self._forbidden_kinds = {
            *((BROADCAST,) if not configuration.broadcast else ()),
            *((MULTICAST,) if not configuration.multicast else ()),
        }

    def check(self, packet: Outbound, user: User) -> None:
        """Let a packet of this user pass, and count it.

        :raises Forbidden: it may not pass.
        """
        if self._forbidden_types and (packet.family, packet.message[0]) in self._forbidden_types:
            raise Forbidden(EPERM, f"message type {packet.message[0]} is not permitted")
        if self._names_destinations or self._forbidden_kinds:
            self._check_destination(packet)
        if user.packet_allowance is not None and not user.packet_allowance.take():
            raise Forbidden(ENOBUFS, f"more than {user.packet_allowance.size} packets in a second")
        user.packets += 1

    def _check_destination(self, packet: Outbound) -> None:
        family, destination = packet.family, packet.destination
        if family == AF_INET6 and destination == _UNSPECIFIED6:
            # Where Linux sends what a raw socket sends there.
            destination = _LOOPBACK6
        if not self._admits(family, destination):
            raise Forbidden(EPERM, f"destination {inet_ntop(family, destination)} is not permitted")
        if self._forbidden_kinds and self._address_kind(family, destination) in self._forbidden_kinds:
            raise Forbidden(EPERM, f"{inet_ntop(family, destination)} is more than one host, which is not permitted")

    def _admits(self, family: int, destination: bytes) -> bool:
        configuration = self._configuration
        if any(prefix.contains(family, destination) for prefix in configuration.denied_destinations):
            return False
        allowed = configuration.destinations
        return allowed is None or any(prefix.contains(family, destination) for prefix in allowed)
