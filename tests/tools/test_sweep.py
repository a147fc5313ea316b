"""A sweep as a library call: results, states, positions, and going on after an end in the middle."""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from itertools import islice
from pathlib import Path
from socket import AF_INET, AF_INET6, SO_SNDBUF, SOL_SOCKET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.probe.batch_replies import Replies
from pingsock.probe.batch_targets import TargetBlock
from pingsock.probe.records import IcmpError, Overflow, Reply, SendFailure, Timeout, Unmeasured, Unresolved
from pingsock.probe.schedule import PATIENCE
from pingsock.probe.statistics import Statistics
from pingsock.probe.target import Target
from pingsock.sockets.errors import InvalidArgument
from pingsock.sockets.mmsg import NoBatchCalls
from pingsock.tools import sweep as sweep_module
from pingsock.tools import sweep_feed
from pingsock.tools.sweep import Sweep, SweepResult, sweep, sweep_plan
from pingsock.tools.sweep_feed import useful_workers
from pingsock.tools.sweep_positions import Positions
from pingsock.tools.sweep_results import (
    ALIVE,
    UNMEASURED,
    UNREACHABLE,
    UNSENT,
    Finished,
    Progress,
    state_of,
)
from pingsock.tools.targets import TargetList
from sockets_unit.private import EVERYBODY, in_private_network

TARGET = Target("10.0.0.1", AF_INET, ("10.0.0.1", 0))
FAST = sweep_plan(retries=0, timeout=0.2, rate=0)
ROUTES = "route add unreachable 10.9.9.0/24\nroute add blackhole 10.9.8.0/24\n"


def probed(*records: object) -> Statistics:
    statistics = Statistics()
    for record in records:
        statistics.enter(record)  # type: ignore[arg-type]
    return statistics


REPLY = Reply(TARGET, 1, 1, 1, TARGET.address, b"", 64, 1000, "kernel")
ERROR = IcmpError(TARGET, 1, 1, 1, ("10.0.0.2", 0), 3, 1, 0)
SILENCE = Timeout(TARGET, 1, 1, 1, 10)
OVERFLOW = Overflow(TARGET, 1, 1, 1, 10)
STOPPED = Unmeasured(TARGET, 1, 1, 1, 10)
REFUSED = SendFailure(TARGET, 1, 0, 0, 105)


@pytest.mark.parametrize(
    ("records", "state"),
    [
        ([REPLY], ALIVE),
        ([SILENCE, REPLY], ALIVE),
        ([SILENCE], UNREACHABLE),
        ([ERROR], UNREACHABLE),
        ([OVERFLOW, SILENCE], UNREACHABLE),
        ([OVERFLOW], UNMEASURED),
        ([STOPPED, OVERFLOW], UNMEASURED),
        ([REFUSED, STOPPED], UNMEASURED),
        ([REFUSED, REFUSED], UNSENT),
    ],
)
def test_only_what_was_lost_beyond_doubt_is_unreachable(records: list[object], state: str) -> None:
    assert state_of(probed(*records)) == state


def test_a_result_is_true_whatever_it_says() -> None:
    result = SweepResult(TARGET, probed(SILENCE), UNREACHABLE, None, SILENCE)
    assert result
    assert not result.is_alive
    assert result.answered_by is None
    assert "no reply" in result.reason


# Positions


@given(st.permutations(range(40)), st.integers(0, 20))
def test_what_is_finished_is_known_whatever_the_order(order: list[int], mark: int) -> None:
    finished = Finished(mark)
    done = set(range(mark))
    for position in order:
        if position not in finished:
            finished.add(position)
        done.add(position)
        assert [position in finished for position in range(45)] == [position in done for position in range(45)]
        assert len(finished) == len(done)
        again = Finished(finished.mark, finished.beyond)
        assert (again.mark, again.beyond) == (finished.mark, finished.beyond)
    assert (finished.mark, finished.beyond) == (40, set())


numbers = st.lists(st.integers(0, 5), max_size=8)


@given(st.lists(st.tuples(numbers, st.booleans()), max_size=5))
def test_each_position_is_taken_once_however_often_an_address_is_under_way(
    groups: list[tuple[list[int], bool]],
) -> None:
    positions = Positions()
    entered: list[Target] = []
    for group, as_block in groups:
        for family, text in ((AF_INET, "10.0.0.{}"), (AF_INET6, "fd00::{}")):
            targets = [target_at(family, text.format(number)) for number in group]
            if as_block and targets:
                positions.enter_block(TargetBlock.from_targets(targets), len(entered))
            else:
                for offset, target in enumerate(targets):
                    positions.enter(target, len(entered) + offset)
            entered += targets
    assert len(positions) == len(entered)
    taken = [positions.take(target) for target in reversed(entered)]
    assert sorted(taken) == list(range(len(entered)))
    assert all(entered[position] == target for position, target in zip(taken, reversed(entered), strict=True))
    assert len(positions) == 0


def target_at(family: int, text: str) -> Target:
    return Target(text, family, (text, 0) if family == AF_INET else (text, 0, 0, 0))


def test_progress_tells_how_long_it_will_take() -> None:
    progress = Progress(100, 20, 40, 30, 5, 3, 2, 0, 80, 4.0)
    assert (progress.open, progress.rate, progress.remaining_time) == (40, 20.0, 4.0)
    unknown = progress.replace(total=None)
    assert (unknown.open, unknown.remaining_time) == (None, None)


# Sweeping


def states(*specs: str, **settings: object) -> dict[str, str]:
    found = {}
    for result in sweep(*specs, **{"retries": 0, "timeout": 0.2, "rate": 0, **settings}):  # type: ignore[arg-type]
        if isinstance(result, Unresolved):
            found[result.host] = "unresolved"
        else:
            found[result.target.host] = result.state
    return found


def test_states_of_addresses_names_and_what_this_host_refuses() -> None:
    specs = ("127.0.0.1", "::1", "localhost", "nobody.invalid", "10.9.9.1", "10.9.8.1", "10.1.1.1")
    found = in_private_network(lambda: states(*specs, family=0), group_range=EVERYBODY, ip=ROUTES)
    assert found == {
        "127.0.0.1": ALIVE,
        "::1": ALIVE,
        "localhost": ALIVE,
        "nobody.invalid": "unresolved",
        "10.9.9.1": UNSENT,
        "10.9.8.1": UNSENT,
        "10.1.1.1": UNSENT,
    }


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("seed", [None, 3])
def test_every_address_has_one_result_by_either_driver(
    batch: bool, seed: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pingsock.tools.sweep.has_batch_calls", lambda: batch)

    def run() -> Counter[str]:
        with TargetList.of("127.0.0.0/22", "127.0.3.200", "::1", seed=seed) as targets, Sweep(targets, FAST) as work:
            return Counter(str(told.target.host) for told in work if isinstance(told, SweepResult))

    found = in_private_network(run, group_range=EVERYBODY)
    assert found.pop("127.0.3.200") == 2
    assert set(found.values()) == {1}
    assert len(found) == 1022


@pytest.mark.parametrize(("jobs", "processes"), [(1, 1), (3, 1), (1, 2)])
def test_whole_replies_over_several_threads_or_processes_finish_every_position(jobs: int, processes: int) -> None:
    def run() -> tuple[Counter[str], int, int, int]:
        told: Counter[str] = Counter()
        with TargetList.of("127.0.0.0/20", "127.0.3.200", "10.9.9.1") as targets:
            with Sweep(targets, FAST, whole_replies=True, jobs=jobs, processes=processes) as work:
                for each in work:
                    if isinstance(each, Replies):
                        told.update(target.host for target in each.targets())
                    elif isinstance(each, SweepResult):
                        told[each.target.host] += 1
            return told, len(work.finished), work.progress.alive, work.progress.unsent

    found, done, alive, unsent = in_private_network(run, group_range=EVERYBODY, ip=ROUTES)
    assert found.pop("127.0.3.200") == 2
    assert (len(found), set(found.values())) == (4094, {1})
    assert (done, alive, unsent) == (4096, 4095, 1)


@pytest.mark.parametrize("names", [(), ("localhost",)])
def test_between_results_the_sockets_are_looked_after_however_slowly_they_are_taken(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "_LONGEST_TELLING", -1.0)

    def run() -> tuple[int, int, int]:
        told, together, untold = 0, 0, 0
        with TargetList.of("127.0.0.0/19", *names) as targets, Sweep(targets, FAST) as work:
            while not work.is_over:
                results = list(work.step(0))
                told += len(results)
                together = max(together, len(results))
                untold = max(untold, len(work._untold))
        return told, together, untold

    told, together, untold = in_private_network(run, group_range=EVERYBODY)
    assert told == 8190 + len(names)
    assert together == 1
    # No more begins until they are told.
    assert untold < 2500


@pytest.mark.parametrize(("rate", "threads"), [(0.0, 8), (0.5, 1), (1000.0, 1), (120_000.0, 3), (1e9, 8)])
def test_a_rate_is_shared_by_no_more_workers_than_it_needs(rate: float, threads: int) -> None:
    assert useful_workers(8, rate) == threads


@pytest.mark.parametrize("jobs", [0, 65, "2", True])
def test_the_number_of_threads_is_checked(jobs: object) -> None:
    with TargetList.of("127.0.0.1") as targets, pytest.raises(InvalidArgument, match="jobs"):
        Sweep(targets, FAST, jobs=jobs)  # type: ignore[arg-type]


@pytest.mark.parametrize(("processes", "jobs"), [(0, 1), (65, 1), ("2", 1), (True, 1), (2, 2)])
def test_the_number_of_processes_is_checked_also_where_none_would_be_started(processes: object, jobs: int) -> None:
    slow = sweep_plan(rate=10)
    with TargetList.of("localhost") as targets, pytest.raises(InvalidArgument, match="processes"):
        Sweep(targets, slow, jobs=jobs, processes=processes)  # type: ignore[arg-type]


def test_results_over_several_processes_are_those_of_one() -> None:
    plan = sweep_plan(retries=0, timeout=5, rate=0)

    def run(processes: int) -> dict[str, tuple[str, str, int]]:
        targets = TargetList.of("127.0.0.0/22", "10.9.9.0/28", "::1", seed=5)
        with targets, Sweep(targets, plan, processes=processes) as work:
            results = [told for told in work if isinstance(told, SweepResult)]
        return {each.target.host: (each.state, each.reason, each.statistics.sent) for each in results}

    one, two = in_private_network(lambda: (run(1), run(2)), group_range=EVERYBODY, ip=ROUTES)
    assert one == two
    assert Counter(state for state, *_ in one.values()) == {ALIVE: 1022 + 1, UNSENT: 14}


@pytest.mark.parametrize("names", [(), ("localhost", "nobody.invalid")])
@pytest.mark.parametrize("seed", [None, 11])
def test_a_sweep_that_goes_on_loses_nothing_and_repeats_nothing(names: tuple[str, ...], seed: int | None) -> None:
    def run() -> tuple[Counter[str], int, int]:
        told: Counter[str] = Counter()
        finished, runs = Finished(), 0
        with TargetList.of("127.0.0.0/24", "127.0.0.5-20", *names, seed=seed) as targets:
            while len(finished) < targets.count:
                runs += 1
                with Sweep(targets, FAST, finished=Finished(finished.mark, finished.beyond)) as work:
                    # What is asked for but the last counts as done.
                    for each in islice((one for one in work if isinstance(one, (SweepResult, Unresolved))), 60):
                        told[each.host if isinstance(each, Unresolved) else each.target.host] += 1
                        last = each
                    finished = work.finished
                    if len(finished) < sum(told.values()):
                        told[last.host if isinstance(last, Unresolved) else last.target.host] -= 1
            return told, runs, targets.count

    told, runs, count = in_private_network(run, group_range=EVERYBODY)
    assert sum(told.values()) == count
    assert {host for host, times in told.items() if times == 2} == {f"127.0.0.{number}" for number in range(5, 21)}
    assert all(times in (1, 2) for times in told.values())
    assert runs > 3


def test_targets_stream_in_from_any_iterable() -> None:
    def run() -> tuple[int, int]:
        asked = 0

        def stream() -> object:
            nonlocal asked
            for number in range(10**9):
                asked += 1
                host = f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
                yield Target(host, AF_INET, (host, 0))

        with Sweep(stream(), FAST) as work:  # type: ignore[arg-type]
            found = list(islice((told for told in work if isinstance(told, SweepResult)), 2000))
        return len(found), asked

    found, asked = in_private_network(run, group_range=EVERYBODY)
    assert found == 2000
    assert asked < 2000 + 20_000


def test_nothing_is_left_of_a_sweep_that_is_given_up() -> None:
    def run() -> tuple[int, int, int, int]:
        next(sweep("127.0.0.1"))
        files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
        for specs in (("127.0.0.0/16",), ("localhost", "127.0.0.0/16")):
            results = sweep(*specs, rate=0)
            next(results)
            results.close()  # type: ignore[attr-defined]
        for jobs, processes in ((2, 1), (1, 2)):
            targets = TargetList.of("127.0.0.0/16")
            with targets, Sweep(targets, FAST, jobs=jobs, processes=processes) as work:
                next(iter(work))
            assert not work.is_over
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                thread.join(30)
        return files, threads, len(os.listdir("/proc/self/fd")), threading.active_count()

    files, threads, files_after, threads_after = in_private_network(run, group_range=EVERYBODY)
    assert (files_after, threads_after) == (files, threads)


def test_records_come_with_the_results_if_they_are_wanted() -> None:
    def run() -> list[str]:
        with TargetList.of("127.0.0.1", "127.0.0.2") as targets, Sweep(targets, FAST, with_records=True) as work:
            return sorted(type(told).__name__ for told in work)

    assert in_private_network(run, group_range=EVERYBODY) == ["Reply", "Reply", "SweepResult", "SweepResult"]


def test_an_address_that_is_excluded_is_not_probed_by_its_name_either() -> None:
    found = in_private_network(
        lambda: states("localhost", "127.0.0.2", exclude=["127.0.0.1", "::1"]), group_range=EVERYBODY
    )
    assert found == {"127.0.0.2": ALIVE}


@pytest.mark.parametrize(
    ("specs", "settings"),
    [
        (["10.0.0.300"], {}),
        (["10.0.0.1"], {"exclude": ["x y"]}),
        (["10.0.0.1"], {"count": 0}),
        (["10.0.0.1"], {"count": 1.5}),
        (["10.0.0.1"], {"retries": -1}),
        (["10.0.0.1"], {"timeout": 0}),
        (["10.0.0.1"], {"timeout": float("nan")}),
        (["10.0.0.1"], {"interval": float("inf")}),
        (["10.0.0.1"], {"rate": -1}),
        (["10.0.0.1"], {"seed": -1}),
        (["10.0.0.1"], {"seed": 1.5}),
        (["10.0.0.1"], {"seed": True}),
        (["10.0.0.1"], {"seed": "1"}),
        (["10.0.0.1"], {"exclude": "10.0.0.1"}),
        (["10.0.0.1"], {"exclude": None}),
        (["10.0.0.1"], {"exclude": b"10"}),
        (["10.0.0.1"], {"exclude": [7]}),
        ([None], {}),
        ([7], {}),
        (["\ud800"], {}),
        (["10.0.0.1"], {"family": []}),
        (["10.0.0.1"], {"kinds": ["none"]}),
        (["10.0.0.1"], {"size": 65508}),
        (["10.0.0.1"], {"ttl": 0}),
        (["10.0.0.1"], {"source": "x"}),
        (["10.0.0.1"], {"interface": "nothere0"}),
        (["10.0.0.1"], {"every_address": 1}),
    ],
)
def test_bad_arguments_are_refused_at_the_call(specs: Any, settings: Any) -> None:
    with pytest.raises(InvalidArgument):
        sweep(*specs, **settings)


@pytest.mark.parametrize("name", ["targets", "plan", "kinds", "every_address", "finished"])
@pytest.mark.parametrize("given", [5, True, "127.0.0.1"], ids=repr)
def test_arguments_of_another_type_are_refused_at_the_call(name: str, given: Any) -> None:
    if (name, given) == ("every_address", True):
        given = "yes"
    with TargetList.of("127.0.0.1") as targets, pytest.raises(InvalidArgument):
        Sweep(**{"targets": targets, name: given})


def test_no_host_is_left_unsent_because_neighbours_take_their_time() -> None:
    assert sweep_plan().patience_ns == PATIENCE


def test_retries_are_for_single_probes_and_follow_the_timeout() -> None:
    assert sweep_plan().retries == 3
    assert sweep_plan(count=2).retries == 0
    assert sweep_plan(count=2, retries=1).retries == 1
    assert sweep_plan(timeout=0.25).interval_ns == 250_000_000
    assert sweep_plan(count=2, interval=2).interval_ns == 2_000_000_000


@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
def test_sockets_have_room_for_packets_that_wait_for_neighbours(family: int) -> None:
    def run() -> int:
        with sweep_feed.open_roomy(family, kinds=("kernel",)) as sock:
            return int(sock.getsockopt(SOL_SOCKET, SO_SNDBUF))

    assert in_private_network(run, group_range=EVERYBODY) == 2 * 212_992


def test_batch_calls_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sweep_feed.has_batch_calls() is True

    def none() -> None:
        raise NoBatchCalls("none here")

    monkeypatch.setattr(sweep_feed, "require_batch_calls", none)
    assert sweep_feed.has_batch_calls() is False


def test_the_examples_of_the_documentation_run() -> None:
    document = Path(__file__).parents[2] / "docs" / "sweep.md"
    examples = re.findall(r"(?s)```python\n(.*?)```", document.read_text())
    assert len(examples) == 3
    for example in examples:
        in_private_network(lambda: exec(example, {}), group_range=EVERYBODY)  # noqa: B023 - called at once
