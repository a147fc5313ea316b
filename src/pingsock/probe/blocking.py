"""The blocking driver: one thread, poll(2), and an iterator of what happens."""

from __future__ import annotations

from select import POLLIN, poll
from time import monotonic_ns

from pingsock.probe.clock import MILLISECOND, NEVER
from pingsock.probe.prober import Prober

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any, Self

    from pingsock.probe.channel import Channel
    from pingsock.probe.engine import Happening, Lane

_LONGEST_WAIT = 3_600_000


class BlockingProber(Prober):
    """A prober that waits by itself. Use it in a `with` block, or close it."""

    def __init__(self, **settings: Any) -> None:
        """`settings` are those of `Prober`."""
        super().__init__(on_open=self._watch, **settings)
        self._poll = poll()
        self._lanes: dict[int, Lane] = {}
        self._ready: list[Lane] = []
        self._has_looked = False
        """What `_ready` says is from the wait that has just ended."""

    def _watch(self, lane: Lane, channel: Channel) -> None:
        descriptor = channel.sock.fileno()
        self._lanes[descriptor] = lane
        self._poll.register(descriptor, POLLIN)

    def happenings(self) -> Iterator[Happening]:
        """Work until nothing is left to do, and yield what happens, with the course it happens to.

        :raises NoPingSocket: no socket can be opened, of any kind and either family.
        """
        while self.engine.busy:
            yield from self.step()

    def step(self, longest: int = NEVER) -> list[Happening]:
        """One turn of work, and a wait of at most `longest` nanoseconds if nothing happened; returns what happened.

        Without `longest` there is no wait when nothing is left to do: it would never end.
        """
        wake = self.turn(self._ready if self._has_looked else self._readable(0))
        happened = self.engine.take()
        # A stream may have ended without a record.
        self._has_looked = not happened and (self.engine.busy or longest < NEVER)
        if self._has_looked:
            self._ready = self._readable(min(wake - monotonic_ns(), longest))
        return list(happened)

    def _readable(self, nanoseconds: int) -> list[Lane]:
        milliseconds = min(max(-(-nanoseconds // MILLISECOND), 0), _LONGEST_WAIT)
        return [self._lanes[descriptor] for descriptor, _ in self._poll.poll(milliseconds)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.close()
