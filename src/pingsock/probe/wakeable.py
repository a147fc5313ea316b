"""A blocking driver that other threads can wake, and that waits apart from its work: a lock need not be held then."""

from __future__ import annotations

import os
import threading
from select import POLLIN
from time import monotonic_ns

from pingsock.probe.blocking import BlockingProber
from pingsock.probe.clock import MILLISECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pingsock.probe.engine import Happening, Lane
    from pingsock.sockets.choose import PingSocket

LONGEST_WAIT = 3_600_000
"""Milliseconds of one wait."""
_ALL_WAKES = 1 << 16
"""Bytes a pipe holds."""


class WakeableProber(BlockingProber):
    """A blocking prober whose wait ends when somebody calls `wake`, from any thread."""

    def __init__(self, **settings: Any) -> None:
        """`settings` are those of `Prober`."""
        super().__init__(**settings)
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._poll.register(self._reader, POLLIN)
        self._wakes_at = 0
        # So that nobody writes to a descriptor that was closed meanwhile and is another file by now.
        self._writing = threading.Lock()

    @property
    def sockets(self) -> tuple[PingSocket, ...]:
        """Those that are open."""
        return tuple(channel.sock for channel in self.channels.values())

    def work(self) -> list[Happening]:
        """One turn; returns what happened.

        :raises NoPingSocket: no socket can be opened, of any kind and either family.
        """
        ready, self._ready = self._ready, []
        self._wakes_at = self.turn(ready)
        return list(self.engine.take())

    def wait(self) -> None:
        """Until something arrived, the next turn is due, or somebody calls `wake`."""
        self._ready = self._readable(self._wakes_at - monotonic_ns())

    def look(self) -> None:
        """See what arrived, without waiting."""
        self._ready = self._readable(0)

    def wake(self) -> None:
        """End the present wait, or else the next one. It may be closed already."""
        with self._writing:
            if self._writer < 0:
                return
            try:
                os.write(self._writer, b"!")
            except BlockingIOError:
                # It is full of such bytes.
                pass

    def _readable(self, nanoseconds: int) -> list[Lane]:
        milliseconds = min(max(-(-nanoseconds // MILLISECOND), 0), LONGEST_WAIT)
        ready = [descriptor for descriptor, _ in self._poll.poll(milliseconds)]
        if self._reader in ready:
            ready.remove(self._reader)
            os.read(self._reader, _ALL_WAKES)
        return [self._lanes[descriptor] for descriptor in ready]

    def close(self) -> None:
        """Close all sockets. Idempotent."""
        super().close()
        with self._writing:
            reader, writer, self._reader, self._writer = self._reader, self._writer, -1, -1
        for descriptor in (reader, writer):
            if descriptor >= 0:
                os.close(descriptor)
