"""What the Pingers for threads and for event loops have in common: targets come and go, records are kept in order.

Nothing in here waits or locks; whoever uses it does.
"""

from __future__ import annotations

from collections import deque
from time import monotonic_ns

from pingsock.probe.records import Outcome, Summary
from pingsock.probe.result import PingResult
from pingsock.probe.schedule import spread
from pingsock.probe.statistics import Statistics
from pingsock.sockets.errors import InvalidArgument, PingsockError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from pingsock.probe.course import Course
    from pingsock.probe.engine import Engine, Happening
    from pingsock.probe.records import Record, Stray
    from pingsock.probe.schedule import Plan
    from pingsock.probe.target import Target

BACKLOG = 10_000
"""Records that wait to be taken, unless told otherwise."""


class PingerClosed(PingsockError):
    """The Pinger was closed, before the call or while it waited."""

    def __init__(self) -> None:
        super().__init__("this Pinger is closed")


class Watched:
    """A target that a Pinger probes, until it is removed or its probes are all decided."""

    __slots__ = ("_course", "_lock", "latest", "target")

    def __init__(self, target: Target, lock: AbstractContextManager[object]) -> None:
        self.target = target
        self.latest: Outcome | None = None
        """The newest outcome of one of its probes; None as long as there is none."""
        self._lock = lock
        self._course: Course | None = None

    @property
    def statistics(self) -> Statistics:
        """All that became of its probes so far: a copy, which stays as it is."""
        copy = Statistics()
        with self._lock:
            if self._course is not None:
                copy.merge(self._course.statistics)
        return copy

    @property
    def is_over(self) -> bool:
        """Whether it is probed no more."""
        return self._course is None or self._course.ended

    def __repr__(self) -> str:
        return f"<Watched {self.target.host} {self.target.address[0]}>"


class Call:
    """A target that somebody waits for."""

    __slots__ = ("complete", "course", "done", "records")

    def __init__(self, done: Callable[[], object]) -> None:
        self.done = done
        """Called when all its probes are decided, or nothing will come any more."""
        self.records: list[Record] = []
        self.course: Course | None = None
        self.complete = False
        """Whether all its probes are decided."""

    def result(self) -> PingResult:
        """What came of it."""
        assert self.course is not None
        return PingResult(self.course.target, self.course.statistics, tuple(self.records))


class Backlog:
    """Records that wait to be taken. When it is full the oldest is dropped, and counted."""

    def __init__(self, most: int) -> None:
        self._records: deque[Record | Stray | Summary] = deque(maxlen=most)
        self._most = most
        self.dropped = 0
        """Records nobody took in time. The statistics have what they said."""

    def put(self, record: Record | Stray | Summary) -> None:
        """One more."""
        self.dropped += len(self._records) == self._most
        self._records.append(record)

    def take(self) -> Record | Stray | Summary:
        """The oldest. IndexError if there is none."""
        return self._records.popleft()

    def take_all(self) -> list[Record | Stray | Summary]:
        """All there are, oldest first."""
        taken = list(self._records)
        self._records.clear()
        return taken

    def __len__(self) -> int:
        return len(self._records)


class Desk:
    """The targets of one Pinger, and the records on their way from its prober to whoever wants them."""

    def __init__(self, engine: Engine, make_course: Callable[..., Course], backlog: int) -> None:
        self._engine = engine
        self._make_course = make_course
        self._positions = 0
        self.backlog = Backlog(backlog)
        self.calls: set[Call] = set()
        self.watched: set[Watched] = set()
        self.failure: Exception | None = None
        """Why nothing more can be done."""

    def open(self) -> None:
        """Raise what ended all this, if anything did."""
        if self.failure is not None:
            raise self.failure

    def watch(self, watched: Watched, plan: Plan) -> None:
        """Begin to probe a target again and again, at some time within its first interval."""
        self.open()
        watched._course = self._make_course(watched.target, plan, watched)
        self.watched.add(watched)
        self._engine.add(watched._course, monotonic_ns() + spread(self._positions, plan.interval_ns))
        self._positions += 1

    def remove(self, watched: Watched) -> Summary:
        """Probe a target no more. InvalidArgument if it was never probed here."""
        course = watched._course if isinstance(watched, Watched) else None
        if course is None or (watched not in self.watched and not course.ended):
            raise InvalidArgument("watched", watched, "what add() of this Pinger returned")
        # If it is over too: what is returned here stays as it is, whatever arrives late.
        self._engine.remove(course)
        self.watched.discard(watched)
        return Summary(course.target, course.statistics)

    def call(self, call: Call, target: Target, plan: Plan) -> None:
        """Begin to probe a target at once, for somebody who waits."""
        self.open()
        call.course = self._make_course(target, plan, call)
        self.calls.add(call)
        self._engine.add(call.course, monotonic_ns())

    def hang_up(self, call: Call) -> None:
        """Nobody waits any longer. Idempotent."""
        self.calls.discard(call)
        if call.course is not None:
            # If it is over too: its result stays as it is, whatever arrives late.
            self._engine.remove(call.course)

    def deliver(self, happened: Iterable[Happening]) -> None:
        """Hand over what happened."""
        for course, record in happened:
            owner = course.owner if course is not None else None
            if isinstance(owner, Call):
                self._tell_call(owner, record)
            else:
                self._tell_all(owner, record)

    def _tell_call(self, call: Call, record: Record | Stray | Summary) -> None:
        if isinstance(record, Summary):
            self.calls.discard(call)
            call.complete = True
            call.done()
        else:
            call.records.append(record)  # type: ignore[arg-type] # a course has no Strays

    def _tell_all(self, watched: object, record: Record | Stray | Summary) -> None:
        if isinstance(watched, Watched):
            if isinstance(record, Outcome):
                watched.latest = record
            elif isinstance(record, Summary):
                self.watched.discard(watched)
        self.backlog.put(record)

    def end(self, failure: Exception) -> None:
        """Nothing more will come; this is why. Whoever waits is told."""
        self.failure = self.failure or failure
        calls, self.calls = self.calls, set()
        for call in calls:
            call.done()
