"""Path MTUs a host has learned from routers' reports."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MOST_PATHS = 4096
"""Destinations remembered at once; the oldest gives way."""
SMALLEST_IPV6_MTU = 1280


class PathMtuCache:
    """What is known of each destination, for a limited time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[bytes, tuple[int, bool, float]] = {}

    def get(self, destination: bytes, mtu: int) -> tuple[int, bool]:
        """The path MTU behind a device with `mtu`, and whether it was reported below the least one may use."""
        path_mtu, locked, until = self._known.get(destination, (mtu, False, 0.0))
        if until and until <= self._clock():
            del self._known[destination]
            return mtu, False
        return min(path_mtu, mtu), locked

    def learn(self, destination: bytes, reported: int, device_mtu: int, smallest: int, lifetime: float) -> None:
        """Believe a report about a path that begins with a device of `device_mtu`.

        IPv4: values below `smallest` count as that, and lock the path. IPv6: values below 1280 are ignored.
        Values that are not smaller than what is known change nothing.
        """
        current, _ = self.get(destination, device_mtu)
        if len(destination) == 16 and reported < SMALLEST_IPV6_MTU:
            return
        locked = len(destination) == 4 and reported < smallest
        mtu = min(smallest, current) if locked else reported
        if mtu > current or (mtu == current and not locked):
            return
        self._known.pop(destination, None)
        self._known[destination] = (mtu, locked, self._clock() + lifetime)
        if len(self._known) > MOST_PATHS:
            del self._known[next(iter(self._known))]
