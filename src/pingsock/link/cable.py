"""A layer-3 cable: whole IP packets go in at one end and come out at the other.

`TunDevice` (link.tun) is one whose far end is the kernel of a network namespace; `MemoryCable` has both ends here.
"""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol
else:
    Protocol = object


class Cable(Protocol):
    """One end of a layer-3 cable."""

    def send(self, packet: bytes) -> None:
        """Put one IP packet in. OSError (ENOBUFS, EIO) if the cable cannot take it."""

    def receive(self) -> bytes | None:
        """Take the next packet that has arrived at this end; None if there is none now."""

    def fileno(self) -> int:
        """A descriptor that polls readable when `receive` would return a packet; -1 if this end has none."""

    def close(self) -> None:
        """Give the end up; idempotent."""


class MemoryCable:
    """One end of a cable inside this process.

    A packet sent into one end is handed to the other end's `on_packet` at once, in the sender's thread, or waits for
    `receive` while `on_packet` is None.
    """

    def __init__(self) -> None:
        self.peer: MemoryCable | None = None
        self.on_packet: Callable[[bytes], None] | None = None
        self._arrived: deque[bytes] = deque()

    def send(self, packet: bytes) -> None:
        """Hand a packet to the other end; it is lost if that end was closed."""
        if self.peer is not None:
            self.peer._arrive(packet)

    def _arrive(self, packet: bytes) -> None:
        if self.on_packet is not None:
            self.on_packet(packet)
        else:
            self._arrived.append(packet)

    def receive(self) -> bytes | None:
        """The oldest packet that waits here."""
        return self._arrived.popleft() if self._arrived else None

    def fileno(self) -> int:
        """None: `on_packet` is how this end is served."""
        return -1

    def close(self) -> None:
        """Disconnect both ends; idempotent."""
        if self.peer is not None:
            self.peer.peer = None
            self.peer = None


def memory_cable() -> tuple[MemoryCable, MemoryCable]:
    """Two connected ends."""
    near, far = MemoryCable(), MemoryCable()
    near.peer, far.peer = far, near
    return near, far
