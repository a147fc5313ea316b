"""What a sweep says of each target, how far it is, and which of its targets are done."""

from __future__ import annotations

from pingsock.probe.result import Result, explain
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pingsock.probe.records import EchoReply, Outcome
    from pingsock.probe.statistics import Statistics
    from pingsock.probe.target import SocketAddress

ALIVE = "alive"
"""A probe was answered, in time or late."""
UNREACHABLE = "unreachable"
"""No probe was answered, and at least one was lost beyond doubt: silence, or an ICMP error."""
UNMEASURED = "unmeasured"
"""No probe was answered, but that says nothing: our receive buffer overflowed, or this process did not run."""
UNSENT = "unsent"
"""This host refused to send every probe."""
UNRESOLVED = "unresolved"
"""A name that was not found; no state, as it has no result."""
STATES = (ALIVE, UNREACHABLE, UNMEASURED, UNSENT)


def state_of(statistics: Statistics) -> str:
    """What the probes of a target say of it."""
    if statistics.received or statistics.late:
        return ALIVE
    if statistics.lost:
        return UNREACHABLE
    return UNMEASURED if statistics.overflows or statistics.unmeasured or statistics.skipped else UNSENT


class SweepResult(Result):
    """All that became of one target of a sweep. True whatever it says: look at its `state`."""

    state: str
    """One of STATES."""
    reply: EchoReply | None = None
    """The first reply."""
    failure: Outcome | None = None
    """The weightiest thing that was heard instead of a reply: ICMP error, refusal to send, silence of some kind."""

    @property
    def is_alive(self) -> bool:
        """Whether a probe was answered, in time or late."""
        return self.state == ALIVE

    @property
    def answered_by(self) -> SocketAddress | None:
        """Who sent the first reply."""
        return self.reply.source if self.reply else None

    @property
    def reason(self) -> str:
        """Who said what, or what happened, if anything but replies; in words."""
        return explain(self.failure) if self.failure else ""


class Progress(Value):
    """How far a sweep is. Targets done in an earlier run that it goes on from are in `earlier` only."""

    total: int | None
    """Targets of the whole sweep, a name being one whatever number of addresses it has; None if not known."""
    earlier: int
    done: int
    alive: int
    unreachable: int
    unmeasured: int
    unsent: int
    unresolved: int
    probes: int
    """Probes sent to targets that are done."""
    elapsed: float
    """Seconds."""

    @property
    def open(self) -> int | None:
        """Targets that are not done; None if not known."""
        return None if self.total is None else max(self.total - self.earlier - self.done, 0)

    @property
    def rate(self) -> float:
        """Probes a second."""
        return self.probes / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def remaining_time(self) -> float | None:
        """Seconds until the end if it goes on like this; None if not known."""
        if self.open is None or not self.done:
            return None
        return self.elapsed * self.open / self.done


class Finished:
    """Positions that are done: all up to a mark, and some beyond. Memory grows with those beyond only."""

    def __init__(self, mark: int = 0, beyond: Iterable[int] = ()) -> None:
        self.mark = mark
        """All positions before this one are done."""
        self.beyond = {position for position in beyond if position >= mark}
        self._close_up()

    def add(self, position: int) -> None:
        """Note that a position is done."""
        self.beyond.add(position)
        if position == self.mark:
            self._close_up()

    def _close_up(self) -> None:
        while self.mark in self.beyond:
            self.beyond.remove(self.mark)
            self.mark += 1

    def __contains__(self, position: int) -> bool:
        return position < self.mark or position in self.beyond

    def __len__(self) -> int:
        return self.mark + len(self.beyond)
