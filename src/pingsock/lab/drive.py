"""A network as a part of somebody else's poll loop."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pingsock.lab.network import Network


class Driver:
    """A network as a part of a poll loop, which asks four things of it.

    Wait until a descriptor of `filenos` is readable or `next_event` has come; call `receive` for each readable
    one, then `run` with the monotonic time. Cables in memory need no descriptor: their packets are in the network
    before `send` returns.
    """

    def __init__(self, network: Network, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.network = network
        self._monotonic = monotonic

    def filenos(self) -> Sequence[int]:
        """Descriptors to poll for reading."""
        return [number for attached in self.network.attachments if (number := attached.cable.fileno()) >= 0]

    def receive(self, fileno: int) -> None:
        """Take what a descriptor has. OSError of the cable."""
        for attached in self.network.attachments:
            if attached.cable.fileno() == fileno:
                attached.pump(self._monotonic())

    def next_event(self) -> float | None:
        """Monotonic time at which `run` must be called at the latest; None if there is none."""
        return self.network.next_event()

    def run(self, now: float) -> None:
        """Let everything happen that is due."""
        self.network.run_until(now)
