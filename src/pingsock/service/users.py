"""What one user has of a service, and what is left of their quotas."""

from __future__ import annotations

from pingsock.stack.account import Account

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pingsock.service.configuration import Configuration

MOST_IDLE = 1024
"""Users remembered without a connection: for their counters, and so that nobody gains packets by coming back."""


class Allowance:
    """So many events a time, with a whole time's worth at once: a token bucket."""

    __slots__ = ("_clock", "_period", "_tokens", "_until", "size")

    def __init__(self, size: int, period: float, clock: Callable[[], float]) -> None:
        """`size` events every `period` seconds."""
        self.size = size
        self._period = period
        self._clock = clock
        self._tokens = float(size)
        self._until = clock()

    def take(self) -> bool:
        """Whether one more event is allowed now."""
        now = self._clock()
        self._tokens = min(self.size, self._tokens + (now - self._until) * self.size / self._period)
        self._until = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class User:
    """One user id: connections, queued bytes, packets, counters."""

    def __init__(self, uid: int, configuration: Configuration, clock: Callable[[], float]) -> None:
        self.uid = uid
        self.account = Account(configuration.queued_bytes)
        self.connections = 0
        self.lent = 0
        """Connections that are leases of handed-over sockets."""
        self.packets = 0
        self.refusals = 0
        self.packet_allowance: Allowance | None = None
        self.audit_allowance = Allowance(0, 60.0, clock)
        self.lines_missing = 0
        """Refusals since the last line of the audit, without a line of their own."""
        self.obey(configuration, clock)

    def obey(self, configuration: Configuration, clock: Callable[[], float]) -> None:
        """Go by other quotas from now on; an allowance of the same size stays as far spent as it is."""
        self.account.limit = configuration.queued_bytes
        if configuration.refusals_per_minute != self.audit_allowance.size:
            self.audit_allowance = Allowance(configuration.refusals_per_minute, 60.0, clock)
        rate = configuration.packets_per_second
        if rate != (self.packet_allowance.size if self.packet_allowance else 0):
            self.packet_allowance = Allowance(rate, 1.0, clock) if rate else None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "uid": self.uid,
            "connections": self.connections,
            "handed_over": self.lent,
            "queued_bytes": self.account.queued,
            "packets": self.packets,
            "refusals": self.refusals,
        }


class Users:
    """All users a service has seen lately."""

    def __init__(self, configuration: Configuration, clock: Callable[[], float]) -> None:
        self._configuration = configuration
        self._clock = clock
        self._users: dict[int, User] = {}

    def __getitem__(self, uid: int) -> User:
        """The user with this id, made if need be."""
        user = self._users.get(uid)
        if user is None:
            if len(self._users) >= MOST_IDLE:
                self._forget_idle()
            user = self._users[uid] = User(uid, self._configuration, self._clock)
        return user

    def _forget_idle(self) -> None:
        self._users = {uid: user for uid, user in self._users.items() if user.connections}

    def obey(self, configuration: Configuration) -> None:
        """Let other quotas rule from now on."""
        self._configuration = configuration
        for user in self._users.values():
            user.obey(configuration, self._clock)

    def by_packets(self) -> list[User]:
        """Everybody, the busiest first."""
        return sorted(self._users.values(), key=lambda user: -user.packets)
