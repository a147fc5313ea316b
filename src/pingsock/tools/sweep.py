"""Many targets, each once: who answers, and what the others say instead.

    for result in sweep("192.0.2.0/24", "www.example.com"):
        print(result.target.host, result.state, result.reason)

Some facts about sweeping
-------------------------

* A receive buffer of the usual size holds 256 replies; what comes beyond is gone without a trace. Who sends faster
  than buffers are emptied finds hosts down that are up.
* A full neighbour table refuses to send (ENOBUFS) beyond some 1000 hosts on one link. Whoever takes that for silence
  finds three quarters of a /20 down.
* A name server that does not answer holds its caller up for seconds, in which nothing is read.

What this means here
--------------------

What is under way never exceeds what the buffers hold. What was not sent, or not measured, is never called unreachable.
Names are looked up by threads, and their targets take their turn when they are known. A list without names goes through
the batch driver, which never makes an object of a target before it has its reply.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from time import monotonic

from pingsock.probe.batch_replies import Replies
from pingsock.probe.clock import MILLISECOND, SECOND
from pingsock.probe.records import (
    EchoReply,
    IcmpError,
    Outcome,
    Overflow,
    SendFailure,
    Summary,
    Timeout,
    Unmeasured,
    Unresolved,
)
from pingsock.probe.schedule import PATIENCE, Plan
from pingsock.sockets.choose import KINDS
from pingsock.sockets.errors import InvalidArgument
from pingsock.tools.arguments import check_kinds, check_plan, check_probes, check_rate, check_target, flag, integer
from pingsock.tools.names import Resolver
from pingsock.tools.sweep_feed import BlockFeed, CourseFeed, Watch, has_batch_calls
from pingsock.tools.sweep_results import ALIVE, STATES, Finished, Progress, SweepResult, state_of
from pingsock.tools.targets import TargetList

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self, TypeVar, Unpack

    from pingsock.probe.course import Course
    from pingsock.probe.engine import Happening
    from pingsock.probe.records import Record, Stray
    from pingsock.probe.target import Target
    from pingsock.tools.arguments import ProbeArguments

    T = TypeVar("T")
    Told = SweepResult | Unresolved | Record | Stray | Replies

RATE = 1000.0
"""Probes a second, unless more are asked for: some 0.7 Mbit/s."""
TIMEOUT = 0.5
RETRIES = 3
"""As fping's, of targets that are sent one probe."""
MOST_JOBS = 64
_LONGEST_STEP = SECOND
_LONGEST_TELLING = 0.02
"""Seconds after which the sockets are looked after again, however much there is to tell."""
_MOST_UNTOLD = 64
"""Happenings, of which one may stand for hundreds of replies; beyond, no more targets begin until they are told."""
_WEIGHTS = (IcmpError, SendFailure, Timeout, Overflow, Unmeasured)
"""What is heard instead of a reply, what tells most first."""
_WHILE_NAMES_ARE_OUT = 10 * MILLISECOND


def sweep_plan(
    *,
    count: object = 1,
    retries: object = None,
    timeout: object = TIMEOUT,
    interval: object = 1.0,
    rate: object = RATE,
) -> Plan:
    """A plan for a sweep.

    :param count: probes of each target
    :param retries: further ones, one by one, if none of these was answered; 3 if `count` is 1, else 0
    :param timeout: seconds to wait for each reply
    :param interval: seconds from one probe of a target to its next; a retry leaves when the probe before has timed out
    :param rate: probes a second over all targets; 0 is no limit
    :raises InvalidArgument: one of these is out of range
    """
    if retries is None:
        retries = RETRIES if count == 1 else 0
    plan = check_plan(count=count, interval=interval, timeout=timeout, retries=retries)
    spacing = plan.interval_ns if plan.count > 1 else plan.timeout_ns
    return plan.replace(interval_ns=spacing, rate=check_rate(rate), patience_ns=PATIENCE)


def sweep(
    *targets: str,
    exclude: Iterable[str] = (),
    seed: int | None = None,
    whole_prefixes: bool = False,
    every_address: bool = False,
    count: int = 1,
    retries: int | None = None,
    timeout: float = TIMEOUT,
    interval: float = 1.0,
    rate: float = RATE,
    kinds: Sequence[str] = KINDS,
    **probes: Unpack[ProbeArguments],
) -> Iterator[SweepResult | Unresolved]:
    """What becomes of each target, as it is decided: addresses, prefixes, ranges and names (`target_specs`).

    :param exclude: what to leave out, of the same forms
    :param seed: probe in the random order that this number decides, else in the order given
    :param whole_prefixes: network and broadcast addresses of prefixes too
    :param every_address: all addresses of a name, not the first alone
    :param probes: see `check_probes`; for the other arguments `sweep_plan`
    :raises InvalidArgument: at once, and nothing was sent
    :raises NoPingSocket: while iterating
    """
    plan = sweep_plan(count=count, retries=retries, timeout=timeout, interval=interval, rate=rate)
    aim = check_probes(**probes)
    kinds = check_kinds(kinds)
    chosen = TargetList.of(
        *targets,
        exclude=exclude,
        family=aim.family,
        options=aim.options,
        whole_prefixes=flag("whole_prefixes", whole_prefixes),
        seed=seed,
    )
    return _results(Sweep(chosen, plan, kinds=kinds, every_address=flag("every_address", every_address)), chosen)


def _results(sweep: Sweep, targets: TargetList) -> Iterator[SweepResult | Unresolved]:
    with targets, sweep:
        for told in sweep:
            if isinstance(told, (SweepResult, Unresolved)):
                yield told


class Sweep:
    """A sweep at work. Iterate, or call `step` again and again until `is_over`; use it in a `with` block, or close it.

    A target counts as done when what comes after its result is asked for.
    """

    def __init__(
        self,
        targets: TargetList | Iterable[Target],
        plan: Plan | None = None,
        *,
        kinds: Sequence[str] = KINDS,
        every_address: bool = False,
        finished: Finished | None = None,
        with_records: bool = False,
        whole_replies: bool = False,
        jobs: int = 1,
        processes: int = 1,
    ) -> None:
        """`finished` are positions of a list to leave out.

        `jobs` threads, or so many `processes`, share the work if there are no names; of use with `whole_replies`.

        A target that is none is refused when its turn comes, and ends the sweep.

        `with_records` yields all records beside the results. `whole_replies` yields `Replies` as they come: many
        targets that are alive, with no result of each.
        """
        self.finished = _made_by_hand("finished", finished, Finished) or Finished()
        self._total = targets.count if isinstance(targets, TargetList) else None
        self._earlier = len(self.finished)
        self._with_records = with_records
        self._whole_replies = whole_replies
        self._counts = dict.fromkeys((*STATES, "done", "unresolved", "probes"), 0)
        self._began = monotonic()
        self._ended: float | None = None
        self._over: bool | None = None
        self._untold: deque[Happening | tuple[Watch, Record | Summary]] = deque()
        self._feed = _feed(
            targets,
            _made_by_hand("plan", plan, Plan) or sweep_plan(),
            self.finished,
            check_kinds(kinds),
            flag("every_address", every_address),
            *_check_workers(jobs, processes),
        )

    @property
    def is_over(self) -> bool:
        """Whether everything is told; as it was when the sweep was closed."""
        if self._over is None:
            return not self._feed.busy and not self._untold
        return self._over

    @property
    def progress(self) -> Progress:
        """How far it is."""
        elapsed = (self._ended or monotonic()) - self._began
        return Progress(total=self._total, earlier=self._earlier, elapsed=elapsed, **self._counts)

    def __iter__(self) -> Iterator[Told]:
        """:raises NoPingSocket: no socket can be opened, of any kind and either family.

        :raises LostProcess: one of the processes has been killed.
        """
        while not self.is_over:
            yield from self.step(_LONGEST_STEP)

    def step(self, longest: int) -> Iterator[Told]:
        """One turn of work, with a wait of at most `longest` nanoseconds in it; what happened.

        :raises NoPingSocket: no socket can be opened, of any kind and either family.
        :raises LostProcess: one of the processes has been killed.
        """
        self._feed.hold(len(self._untold) > _MOST_UNTOLD)
        for position, unresolved in self._feed.look():
            if unresolved is not None:
                self._counts["unresolved"] += 1
                yield unresolved
            self._finish(position)
        if self._untold:
            longest = 0
        elif self._feed.is_waiting:
            longest = min(longest, _WHILE_NAMES_ARE_OUT)
        self._untold.extend(self._feed.step(longest))
        until = monotonic() + _LONGEST_TELLING
        while self._untold:
            yield from self._tell(*self._untold.popleft())
            if monotonic() > until:
                break
        if self.is_over:
            self._ended = self._ended or monotonic()

    def _finish(self, position: int | None) -> None:
        if position is not None:
            self.finished.add(position)
            self._counts["done"] += 1

    def _tell(self, owner: Course | Watch | None, record: Record | Stray | Summary | Replies) -> Iterator[Told]:
        if isinstance(record, Replies):
            if self._whole_replies:
                yield from self._tell_whole(record)
            else:
                # One by one: there may be hundreds, and whoever takes them may be slow.
                self._untold.extendleft(reversed(list(_with_watches(record))))
        elif isinstance(record, Summary):
            assert owner is not None
            yield from self._tell_result(record, _watch_of(owner))
        else:
            if owner is not None and isinstance(record, Outcome):
                _note(_watch_of(owner), record)
            if self._with_records:
                yield record

    def _tell_whole(self, replies: Replies) -> Iterator[Told]:
        self._counts[ALIVE] += len(replies)
        self._counts["probes"] += len(replies)
        yield replies
        watch = Watch()
        for target in replies.targets():
            self._finish(self._feed.ended(target, watch))

    def _tell_result(self, summary: Summary, watch: Watch) -> Iterator[Told]:
        statistics = summary.statistics
        result = SweepResult(summary.target, statistics, state_of(statistics), watch.reply, watch.failure)
        self._counts[result.state] += 1
        self._counts["probes"] += statistics.sent
        yield result
        self._finish(self._feed.ended(summary.target, watch))

    def close(self) -> None:
        """Close the sockets, end the threads and processes, stop looking up names. Idempotent."""
        self._over = self.is_over
        self._feed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.close()


def _made_by_hand(name: str, given: T | None, kind: type[T]) -> T | None:
    if given is not None and not isinstance(given, kind):
        raise InvalidArgument(name, given, f"a {kind.__name__}, or None")
    return given


def _check_workers(jobs: object, processes: object) -> tuple[int, int]:
    threads, others = integer("jobs", jobs, 1, MOST_JOBS), integer("processes", processes, 1, MOST_JOBS)
    if threads > 1 and others > 1:
        raise InvalidArgument("processes", processes, "1 where there are several jobs")
    return threads, others


def _feed(
    targets: TargetList | Iterable[Target],
    plan: Plan,
    finished: Finished,
    kinds: Sequence[str],
    every_address: bool,
    jobs: int,
    processes: int,
) -> BlockFeed | CourseFeed:
    """Addresses by the hundred where that is possible; names, and all else, one by one."""
    if not isinstance(targets, TargetList):
        checked = map(check_target, _targets_of(targets))
        if has_batch_calls():
            return BlockFeed(checked, finished, plan, kinds, jobs, processes)
        return CourseFeed(checked, lambda _name, _found: [], finished, plan, kinds, Resolver())
    if targets.only_addresses and has_batch_calls():
        return BlockFeed(targets.blocks(finished.mark), finished, plan, kinds, jobs, processes)
    resolver = Resolver(targets.family, every_address=every_address)
    items = targets.targets(finished.mark)
    return CourseFeed(items, targets.targets_of, finished, plan, kinds, resolver)


def _targets_of(given: Iterable[Target]) -> Iterator[Target]:
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise InvalidArgument("targets", given, "a TargetList or an iterable of Targets")
    return iter(given)


def _with_watches(replies: Replies) -> Iterator[tuple[Watch, Record | Summary]]:
    watch = Watch()
    for record in replies:
        yield watch, record
        if isinstance(record, Summary):
            watch = Watch()


def _watch_of(owner: Course | Watch) -> Watch:
    if isinstance(owner, Watch):
        return owner
    watch = owner.owner
    if not isinstance(watch, Watch):
        watch = owner.owner = Watch()
    return watch


def _note(watch: Watch, outcome: Outcome) -> None:
    """Keep the first reply, and the weightiest of what came instead, of equal ones the last."""
    if isinstance(outcome, EchoReply):
        watch.reply = watch.reply or outcome
    elif watch.failure is None or _WEIGHTS.index(type(outcome)) <= _WEIGHTS.index(type(watch.failure)):
        watch.failure = outcome


__all__ = ["Finished", "Progress", "Sweep", "SweepResult", "TargetList", "Unresolved", "sweep", "sweep_plan"]
