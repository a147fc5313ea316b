"""A batch run over several threads or processes: targets from one stream, results in one iterator.

Some facts about threads here
-----------------------------

* Threads gain something, though one interpreter runs them: while a system call sends or receives hundreds of packets
  no interpreter lock is held, and that is most of the time. Processes have an interpreter each.
* Ping sockets that several workers share are slower than one worker alone. So each has its own, with its own ledger.
* A target belongs to the worker that took it from the stream.
* Interrupts reach the main thread only.

What this means here
--------------------

A thread takes targets from the stream under a lock: for its own prober, or for the process that it looks after
(`batch_processes`). What is found out goes to one queue; if that is full, because nobody looks at the results, the
threads wait. They never wait longer than `PATIENCE` without asking whether they shall stop, or are woken, so closing
the run ends them soon, whatever was going on, an interrupt included.
"""

from __future__ import annotations

from threading import Thread

from pingsock.probe.batch import BatchProber
from pingsock.probe.batch_replies import Replies
from pingsock.probe.batch_sharing import Results, Stream
from pingsock.probe.clock import MILLISECOND, SECOND
from pingsock.sockets.errors import InvalidArgument
from pingsock.sockets.mmsg import require_batch_calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType
    from typing import Any, Self

    from pingsock.probe.batch_processes import ProcessWorker
    from pingsock.probe.batch_targets import TargetBlock
    from pingsock.probe.engine import Happening
    from pingsock.probe.records import Record, Stray, Summary
    from pingsock.probe.schedule import Plan
    from pingsock.probe.target import Target

    Result = Record | Stray | Summary

PATIENCE = 20 * MILLISECOND


class ThreadWorker:
    """A prober that works in the thread that calls `work`, or step by step."""

    def __init__(self, prober: BatchProber) -> None:
        self.prober = prober

    def start(self) -> None:
        """Nothing has to be there beforehand."""

    def work(self, results: Results) -> None:
        """Until all is done, or nobody wants to know any more."""
        with self.prober as prober:
            while prober.engine.busy and not results.stopped:
                happenings = prober.step(PATIENCE)
                if happenings:
                    results.put(happenings)

    def hold(self, held: bool) -> None:
        """Begin no more targets while `held`."""
        self.prober.hold(held)

    def interrupt(self) -> None:
        """It asks by itself."""

    def close(self) -> None:
        """Close the sockets. Idempotent."""
        self.prober.close()


class BatchRun:
    """Probes all targets of a stream by one plan, over `jobs` threads or so many `processes`.

    Iterate once to make it go on. Yields `Replies`, each standing for many replies, and the records of everything else,
    as soon as they are known; `records` yields records only. Those of one target come in their order. Use it in a
    `with` block, or close it: then nothing of it is left, no thread, no process and no descriptor.

    The plan's rate is that of all workers together, each of which has an equal share. `settings` are those of `Prober`;
    for processes `kinds`, `in_flight` and `summaries` only.

    :raises NoBatchCalls: there is no sendmmsg(2) here.
    :raises NoPingSocket: while iterating; no socket can be opened.
    :raises LostProcess: while iterating; one of the processes has been killed.
    :raises InvalidArgument: `jobs` or `processes` is not a number from 1, or both are above.
    """

    def __init__(
        self,
        targets: Iterable[Target | TargetBlock],
        plan: Plan,
        *,
        jobs: int = 1,
        processes: int = 1,
        **settings: Any,
    ) -> None:
        _check_numbers(jobs, processes)
        require_batch_calls()
        share = plan.replace(rate=plan.rate / max(jobs, processes))
        self._sole: BatchProber | None = None
        """The prober that needs no thread."""
        self._workers = self._make_workers(targets, share, jobs, processes, settings)
        self._threads: list[Thread] = []
        self._results = Results(len(self._workers))

    def _make_workers(
        self, targets: Iterable[Target | TargetBlock], plan: Plan, jobs: int, processes: int, settings: dict[str, Any]
    ) -> Sequence[ThreadWorker | ProcessWorker]:
        if processes > 1:
            # Imported by those who want it.
            from pingsock.probe.batch_processes import process_workers

            return process_workers(targets, plan, processes, settings)
        stream = Stream(targets) if jobs > 1 else targets
        workers = [ThreadWorker(BatchProber(stream, plan, **settings)) for _ in range(jobs)]
        self._sole = workers[0].prober if jobs == 1 else None
        return workers

    def __iter__(self) -> Iterator[Replies | Result]:
        steps = self._steps(self._sole) if self._sole else self._threaded_steps()
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

    def _steps(self, prober: BatchProber) -> Iterator[list[Happening]]:
        while prober.engine.busy:
            # Nothing wakes it when the run is no longer held.
            yield prober.step(PATIENCE)

    def _threaded_steps(self) -> Iterator[list[Happening]]:
        self._start()
        while lists := self._results.take():
            yield from lists

    def _start(self) -> None:
        if self._threads:
            return
        for worker in self._workers:
            worker.start()
        for number, worker in enumerate(self._workers):
            # A program that an exception ends, with the run not closed, shall not wait for it.
            thread = Thread(target=self._work, args=(worker,), name=f"pingsock-batch-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def busy(self) -> bool:
        """Whether `step` has anything more to tell."""
        return self._sole.engine.busy if self._sole else self._results.expected

    def step(self, longest: int) -> list[Happening]:
        """What happens next, with its courses, as from the `step` of a prober; waits `longest` nanoseconds at most."""
        if self._sole:
            return self._sole.step(longest)
        self._start()
        return [happening for happenings in self._results.take(longest / SECOND) for happening in happenings]

    def hold(self, held: bool) -> None:
        """Begin no more targets while `held`."""
        for worker in self._workers:
            worker.hold(held)

    def _work(self, worker: ThreadWorker | ProcessWorker) -> None:
        failure = None
        try:
            worker.work(self._results)
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that iterates
            failure = error
        self._results.finish(failure)

    def close(self) -> None:
        """End it now. Idempotent."""
        self._results.stop()
        for worker in self._workers:
            worker.interrupt()
        for thread in self._threads:
            thread.join()
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.close()


def _check_numbers(jobs: int, processes: int) -> None:
    for name, number in (("jobs", jobs), ("processes", processes)):
        if not isinstance(number, int) or number < 1:
            raise InvalidArgument(name, number, "a number from 1")
    if jobs > 1 and processes > 1:
        raise InvalidArgument("processes", processes, "1 where there are several jobs")
