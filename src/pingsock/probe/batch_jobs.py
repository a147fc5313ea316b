"""A batch run over several threads: targets from one stream, results in one iterator.

Threads suffice, though one interpreter runs them: while a system call sends or receives hundreds of packets no
interpreter lock is held, and that is four fifths of the time.

Some facts about threads here
-----------------------------

* Ping sockets that several threads share are slower than one thread alone. So each has its own, with its own ledger.
* A target belongs to the thread that took it from the stream.
* Interrupts reach the main thread only.

What this means here
--------------------

A thread takes targets from the stream under a lock. What it finds out goes to one queue; if that is full, because
nobody looks at the results, the threads wait. They never wait longer than `_PATIENCE` without asking whether they
shall stop, so closing the run ends them soon, whatever was going on.
"""

from __future__ import annotations

from collections import deque
from threading import Condition, Lock, Thread

from pingsock.probe.batch import BatchProber
from pingsock.probe.batch_replies import Replies
from pingsock.probe.clock import MILLISECOND, SECOND
from pingsock.sockets.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Any, Self

    from pingsock.probe.batch_targets import TargetBlock
    from pingsock.probe.engine import Happening
    from pingsock.probe.records import Record, Stray, Summary
    from pingsock.probe.schedule import Plan
    from pingsock.probe.target import Target

    Result = Record | Stray | Summary

_PATIENCE = 20 * MILLISECOND
_QUEUED = 256
"""Lists of results that may wait to be looked at."""


class _Stream:
    """An iterator that threads may share."""

    def __init__(self, targets: Iterable[Target | TargetBlock]) -> None:
        self._targets = iter(targets)
        self._lock = Lock()

    def __iter__(self) -> Iterator[Target | TargetBlock]:
        return self

    def __next__(self) -> Target | TargetBlock:
        with self._lock:
            return next(self._targets)


class _Results:
    """A bounded queue of lists, from several threads to one."""

    def __init__(self, writers: int) -> None:
        self.stopped = False
        self._lists: deque[list[Happening]] = deque()
        self._failure: BaseException | None = None
        self._writers = writers
        self._changed = Condition()

    def put(self, results: list[Happening]) -> None:
        """Enter a list; waits while there is no room."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._lists) < _QUEUED or self.stopped)
            self._lists.append(results)
            self._changed.notify_all()

    def finish(self, failure: BaseException | None) -> None:
        """A writer has ended."""
        with self._changed:
            self._writers -= 1
            self._failure = self._failure or failure
            self._changed.notify_all()

    def stop(self) -> None:
        """No more is wanted."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()

    @property
    def expected(self) -> bool:
        """Whether there are lists, or writers left that may enter some."""
        with self._changed:
            return bool(self._writers or self._lists or self._failure)

    def take(self, patience: float | None = None) -> list[list[Happening]]:
        """All that is there, at least one list; nothing when all writers have ended. Raises what ended one.

        Nothing, too, after `patience` seconds without a list.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._lists or self._failure or not self._writers, patience)
            if self._failure:
                raise self._failure
            taken = list(self._lists)
            self._lists.clear()
            self._changed.notify_all()
            return taken


class BatchRun:
    """Probes all targets of a stream by one plan, over `jobs` threads; iterate once to make it go on.

    Yields `Replies`, each standing for many replies, and the records of everything else, as soon as they are known;
    `records` yields records only. Use it in a `with` block, or close it: then nothing of it is left, no thread and no
    descriptor. `settings` are those of `Prober`.

    :raises NoBatchCalls: there is no sendmmsg(2) here.
    :raises NoPingSocket: while iterating; no socket can be opened.
    :raises InvalidArgument: `jobs` is not a number from 1.
    """

    def __init__(self, targets: Iterable[Target | TargetBlock], plan: Plan, *, jobs: int = 1, **settings: Any) -> None:
        if not isinstance(jobs, int) or jobs < 1:
            raise InvalidArgument("jobs", jobs, "a number from 1")
        stream = _Stream(targets) if jobs > 1 else targets
        share = plan.replace(rate=plan.rate / jobs)
        self._probers = [BatchProber(stream, share, **settings) for _ in range(jobs)]
        self._threads: list[Thread] = []
        self._results = _Results(jobs)

    def __iter__(self) -> Iterator[Replies | Result]:
        steps = self._threaded_steps() if len(self._probers) > 1 else self._steps()
        try:
            for happenings in steps:
                for _, what in happenings:
                    yield what
        finally:
            self.close()

    def records(self) -> Iterator[Result]:
        """The same, with the records of ordinary replies."""
        for what in self:
            if isinstance(what, Replies):
                yield from what
            else:
                yield what

    def _steps(self) -> Iterator[list[Happening]]:
        prober = self._probers[0]
        while prober.engine.busy:
            yield prober.step()

    def _threaded_steps(self) -> Iterator[list[Happening]]:
        self._start_threads()
        while lists := self._results.take():
            yield from lists

    def _start_threads(self) -> None:
        for number, prober in enumerate(self._probers[len(self._threads) :]):
            thread = Thread(target=self._work, args=(prober,), name=f"pingsock-batch-{number}")
            self._threads.append(thread)
            thread.start()

    @property
    def busy(self) -> bool:
        """Whether `step` has anything more to tell."""
        return self._probers[0].engine.busy if len(self._probers) == 1 else self._results.expected

    def step(self, longest: int) -> list[Happening]:
        """What happens next, with its courses, as from the `step` of a prober; waits `longest` nanoseconds at most."""
        if len(self._probers) == 1:
            return self._probers[0].step(longest)
        self._start_threads()
        return [happening for happenings in self._results.take(longest / SECOND) for happening in happenings]

    def hold(self, held: bool) -> None:
        """Begin no more targets while `held`."""
        for prober in self._probers:
            prober.hold(held)

    def _work(self, prober: BatchProber) -> None:
        failure = None
        try:
            with prober:
                while prober.engine.busy and not self._results.stopped:
                    happenings = prober.step(_PATIENCE)
                    if happenings:
                        self._results.put(happenings)
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that iterates
            failure = error
        self._results.finish(failure)

    def close(self) -> None:
        """End it now. Idempotent."""
        self._results.stop()
        for thread in self._threads:
            thread.join()
        for prober in self._probers:
            prober.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.close()
