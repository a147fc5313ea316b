"""Pinging hosts from a plain program: `ping` one, `watch` one without end, `ping_many`.

The probing is done by the thread that calls, while it waits for the next record: there is no other thread, but for
names that are looked up. While the caller does something else nothing is sent, and nothing is called lost: what was
due then is `Skipped`, silence in that time `Unmeasured`.
"""

from __future__ import annotations

from time import monotonic_ns

from pingsock.probe.records import Summary
from pingsock.probe.result import PingResult
from pingsock.probe.schedule import PATIENCE
from pingsock.probe.wakeable import WakeableProber
from pingsock.sockets.choose import KINDS
from pingsock.tools.arguments import check_kinds, check_plan, check_probes, check_rate, flag
from pingsock.tools.intake import Intake, every_target, first_target, known_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from typing import Unpack

    from pingsock.probe.records import Record, Stray, Unresolved
    from pingsock.probe.schedule import Plan
    from pingsock.probe.target import Target
    from pingsock.tools.arguments import Aim, ProbeArguments

COUNT = 4
INTERVAL = 1.0
TIMEOUT = 2.0
RATE = 1000.0
"""Probes a second that `ping_many` sends at most, unless told otherwise."""


def resolve(host: str, **probes: Unpack[ProbeArguments]) -> tuple[Target, ...]:
    """Every address of a host, in the resolver's order, as targets that all calls take in place of a host.

    `probes` are the keyword arguments of `check_probes`. Blocks while a name is looked up.

    :raises UnknownHost: the name has no address (of that family).
    :raises InvalidArgument: an argument is not what it must be.
    """
    return every_target(check_probes(**probes), host)


def ping(
    host: str | Target,
    *,
    count: int = COUNT,
    interval: float = INTERVAL,
    timeout: float = TIMEOUT,
    kinds: Sequence[str] = KINDS,
    **probes: Unpack[ProbeArguments],
) -> PingResult:
    """Ping a host `count` times, each `interval` seconds; a reply after `timeout` seconds is late.

    `probes` are the keyword arguments of `check_probes`. A Target is taken as it is, whatever they say.

    :raises InvalidArgument: an argument is not what it must be.
    :raises UnknownHost: the name has no address (of that family).
    :raises NoPingSocket: no kind of socket can be opened here.
    """
    aim, plan, kinds = _checked(host, check_plan(count=count, interval=interval, timeout=timeout), kinds, probes)
    target = first_target(aim, host)
    with WakeableProber(kinds=kinds) as prober:
        course = prober.course(target, plan)
        prober.engine.add(course, monotonic_ns())
        records = tuple(record for owner, record in prober.happenings() if owner and not isinstance(record, Summary))
    return PingResult(target, course.statistics, records)  # type: ignore[arg-type] # a course's records are Records


def watch(
    host: str | Target,
    *,
    interval: float = INTERVAL,
    timeout: float = TIMEOUT,
    kinds: Sequence[str] = KINDS,
    **probes: Unpack[ProbeArguments],
) -> Generator[Record | Stray, None, None]:
    """Ping a host each `interval` seconds, without end: an iterator of records as they come.

    Closing it, or leaving a loop over it, closes the socket. Arguments and exceptions are those of `ping`; the name is
    looked up with the first record.
    """
    plan = check_plan(count=0, interval=interval, timeout=timeout, endless=True)
    aim, plan, kinds = _checked(host, plan, kinds, probes)
    return _watch(host, aim, plan, kinds)


def _watch(host: str | Target, aim: Aim, plan: Plan, kinds: Sequence[str]) -> Generator[Record | Stray, None, None]:
    target = first_target(aim, host)
    with WakeableProber(kinds=kinds, summaries=False) as prober:
        prober.engine.add(prober.course(target, plan), monotonic_ns())
        for _, record in prober.happenings():
            yield record  # type: ignore[misc] # no Summary was asked for


def _checked(
    host: str | Target, plan: Plan, kinds: Sequence[str], probes: ProbeArguments
) -> tuple[Aim, Plan, tuple[str, ...]]:
    aim = check_probes(**probes)
    known_target(aim, host)
    return aim, plan, check_kinds(kinds)


def ping_many(
    hosts: Iterable[str | Target],
    *,
    count: int = 1,
    retries: int = 0,
    interval: float = INTERVAL,
    timeout: float = TIMEOUT,
    rate: float = RATE,
    all_addresses: bool = False,
    kinds: Sequence[str] = KINDS,
    **probes: Unpack[ProbeArguments],
) -> Generator[Record | Stray | Summary | Unresolved, None, None]:
    """Ping any number of hosts: an iterator of records as they come, for each target ending with its `Summary`.

    `hosts` is read as there is time and room, so it may be a generator of millions; that it blocks holds up everything.
    What cannot be a host, or has no address, is an `Unresolved` and costs only itself.

    :param count: probes of each target
    :param retries: further probes, one at a time, of a target none of whose probes were answered
    :param rate: probes a second at most, over all targets; 0 is no limit
    :param all_addresses: ping every address of a name, each a target of its own; else the first

    Other arguments and exceptions are those of `ping`, but UnknownHost, which does not occur. What reading `hosts`
    raises comes out as it is.
    """
    plan = check_plan(count=count, interval=interval, timeout=timeout, retries=retries, patience_ns=PATIENCE)
    aim, rate = check_probes(**probes), check_rate(rate)
    flag("all_addresses", all_addresses)
    prober_settings = {"rate": rate, "kinds": check_kinds(kinds)}
    return _Many(hosts, aim, plan, all_addresses, prober_settings).records()


class _Many:
    """One call of `ping_many`."""

    def __init__(
        self,
        hosts: Iterable[str | Target],
        aim: Aim,
        plan: Plan,
        all_addresses: bool,
        settings: dict[str, object],
    ) -> None:
        self._intake = Intake(hosts, aim, plan, all_addresses=all_addresses)
        self._settings = settings

    def records(self) -> Generator[Record | Stray | Summary | Unresolved, None, None]:
        try:
            with WakeableProber(**self._settings) as prober:
                self._intake.on_answer = prober.wake
                prober.engine.feed(self._intake.courses(prober.course))
                while prober.engine.busy:
                    yield from self._step(prober)
        finally:
            self._intake.close()

    def _step(self, prober: WakeableProber) -> Generator[Record | Stray | Summary | Unresolved, None, None]:
        prober.engine.look_again()
        happened = prober.work()
        untold = self._intake.untold()
        if happened or untold:
            yield from untold
            yield from (record for _, record in happened)
            prober.look()
        elif prober.engine.busy:
            prober.wait()
