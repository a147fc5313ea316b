from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterable
from itertools import chain, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.probe.delays import Delays
from pingsock.probe.histogram import RELATIVE_ERROR
from pingsock.probe.records import (
    ICMP_ERROR,
    TIMEOUT,
    Duplicate,
    EchoReply,
    IcmpError,
    Late,
    Note,
    Overflow,
    Reply,
    SendFailure,
    Skipped,
    Stray,
    Summary,
    Timeout,
    Unmeasured,
    Unresolved,
)
from pingsock.probe.round_trips import RoundTrips
from pingsock.probe.statistics import Statistics
from pingsock.probe.target import Target

MILLISECOND = 1_000_000
TARGET = Target("host.test", 2, ("192.0.2.1", 0))


# Round trips in detail


def delays_of(column: Iterable[int]) -> Delays:
    delays = Delays()
    for each in column:
        delays.add(each)
    return delays


columns = st.lists(st.integers(0, 10**10), max_size=60)


@given(columns.filter(bool))
def test_mean_and_deviation_in_nanoseconds_are_exact(column: list[int]) -> None:
    delays = delays_of(column)
    squares = len(column) * sum(each * each for each in column) - sum(column) ** 2

    assert delays.mean == sum(column) // len(column)
    assert delays.deviation == math.isqrt(squares // len(column) ** 2)


@given(columns)
def test_jitter_is_the_estimate_of_rfc_3550(column: list[int]) -> None:
    jitter = 0.0
    for before, after in pairwise(column):
        jitter += (abs(after - before) - jitter) / 16

    assert delays_of(column).jitter == pytest.approx(jitter, abs=2)


def test_jitter_of_equal_round_trips_is_zero() -> None:
    assert delays_of([MILLISECOND] * 9).jitter == 0


@given(columns, columns)
def test_merged_round_trips_are_those_of_all_but_for_what_depends_on_order(one: list[int], other: list[int]) -> None:
    merged, whole = delays_of(one), delays_of(one + other)
    merged.merge(delays_of(other))

    for figure in ("count", "minimum", "mean", "maximum", "deviation", "histogram"):
        assert getattr(merged, figure) == getattr(whole, figure)
    parts = [delays_of(column) for column in (one, other) if column]
    for figure in ("jitter", "smoothed"):
        of_parts = [getattr(part, figure) for part in parts] or [0]
        assert min(of_parts) - 1 <= getattr(merged, figure) <= max(of_parts) + 1


def test_the_jitter_of_a_single_reply_does_not_dilute_that_of_many() -> None:
    many, one = delays_of([10, 1000, 10, 1000]), delays_of([500])
    jitter = many.jitter
    many.merge(one)

    assert many.jitter == jitter


def test_nanoseconds_do_not_merge_with_another_unit() -> None:
    with pytest.raises(TypeError, match="RoundTrips"):
        Delays().merge(RoundTrips())


# One target


def echo(kind: type[EchoReply], number: int, round_trip_ns: int = MILLISECOND, **more: Any) -> Any:
    return kind(TARGET, number, number & 0xFFFF, 1, TARGET.address, b"", 64, round_trip_ns, "kernel", **more)


def icmp_error(number: int, revises: str = "") -> IcmpError:
    return IcmpError(TARGET, number, number & 0xFFFF, 1, ("192.0.2.9", 0), 3, 1, 0, revises=revises)


def silence(kind: type[Timeout], number: int) -> Timeout:
    return kind(TARGET, number, number & 0xFFFF, 1, 1000 * MILLISECOND)


NOTE = Note(TARGET, 1, 1, 1, ("192.0.2.9", 0), 5, 1, 0)
STRAY = Stray(7, ("192.0.2.7", 0), b"", "sequence number of no probe")


def after(*records: Any) -> Statistics:
    statistics = Statistics()
    for record in records:
        statistics.enter(record)
    return statistics


def counts(statistics: Statistics) -> dict[str, int]:
    """Those that are not 0."""
    told = statistics.as_dict()
    return {name: count for name, count in told.items() if type(count) is int and count}


def test_nothing_at_all_is_neither_lost_nor_alive() -> None:
    statistics = Statistics()

    assert counts(statistics) == {}
    assert statistics.loss is None
    assert not statistics.is_alive
    assert statistics.mean is None
    assert statistics.percentile(50) is None


def test_no_statistics_are_falsy() -> None:
    assert Statistics()
    assert after(silence(Timeout, 1))


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([echo(Reply, 1)], {"sent": 1, "received": 1}),
        ([echo(Late, 1)], {"sent": 1, "late": 1}),
        ([icmp_error(1)], {"sent": 1, "errors": 1, "lost": 1}),
        ([silence(Timeout, 1)], {"sent": 1, "timeouts": 1, "lost": 1}),
        ([silence(Overflow, 1)], {"sent": 1, "overflows": 1}),
        ([silence(Unmeasured, 1)], {"sent": 1, "unmeasured": 1}),
        ([SendFailure(TARGET, 1, 0, 0, 1)], {"send_failures": 1}),
        ([Skipped(TARGET, 0, 0, 0, 7)], {"skipped": 7}),
        ([echo(Reply, 1), echo(Duplicate, 1)], {"sent": 1, "received": 1, "duplicates": 1}),
        ([NOTE], {"notes": 1}),
        ([STRAY, Summary(TARGET, Statistics()), Unresolved("nobody.test", "not known")], {}),
        # Revisions
        ([icmp_error(1), echo(Reply, 1, revises=ICMP_ERROR)], {"sent": 1, "received": 1}),
        ([icmp_error(1), echo(Late, 1, revises=ICMP_ERROR)], {"sent": 1, "late": 1}),
        ([silence(Timeout, 1), echo(Late, 1, revises=TIMEOUT)], {"sent": 1, "late": 1}),
        ([silence(Timeout, 1), echo(Reply, 1, revises=TIMEOUT)], {"sent": 1, "received": 1}),
        ([silence(Overflow, 1), echo(Late, 1, revises=TIMEOUT)], {"sent": 1, "late": 1}),
        ([silence(Unmeasured, 1), echo(Late, 1, revises=TIMEOUT)], {"sent": 1, "late": 1}),
        ([silence(Timeout, 1), icmp_error(1, TIMEOUT)], {"sent": 1, "errors": 1, "lost": 1}),
        (
            [silence(Unmeasured, 1), icmp_error(1, TIMEOUT), echo(Late, 1, revises=ICMP_ERROR)],
            {"sent": 1, "late": 1},
        ),
        (
            [silence(Overflow, 1), silence(Timeout, 2), echo(Late, 2, revises=TIMEOUT)],
            {"sent": 2, "late": 1, "overflows": 1},
        ),
    ],
)
def test_each_outcome_is_counted_where_it_belongs(records: list[Any], expected: dict[str, int]) -> None:
    assert counts(after(*records)) == expected


def test_probes_without_an_outcome_are_in_flight() -> None:
    statistics = Statistics()
    statistics.sent = 3
    statistics.enter(silence(Timeout, 1))
    statistics.enter(echo(Late, 1, revises=TIMEOUT))
    statistics.enter(echo(Reply, 2))

    assert (statistics.sent, statistics.in_flight, statistics.loss) == (3, 1, 0)


def test_loss_is_of_what_could_be_measured() -> None:
    statistics = after(
        echo(Reply, 1),
        echo(Late, 2),
        silence(Timeout, 3),
        icmp_error(4),
        silence(Overflow, 5),
        silence(Unmeasured, 6),
        SendFailure(TARGET, 7, 0, 0, 1),
        Skipped(TARGET, 0, 0, 0, 20),
    )
    statistics.sent += 5

    assert statistics.loss == 0.5


def test_only_an_answer_in_time_is_a_sign_of_life() -> None:
    assert after(silence(Timeout, 1), echo(Reply, 2)).is_alive
    assert not after(echo(Late, 1)).is_alive


def test_replies_that_are_not_as_they_should_be_are_received_and_marked() -> None:
    statistics = after(
        echo(Reply, 1, altered_at=20), echo(Reply, 2, truncated=True), echo(Late, 3, other_source=True), echo(Reply, 4)
    )

    expected = {"sent": 4, "received": 3, "late": 1, "altered": 1, "truncated": 1, "other_source": 1}
    assert counts(statistics) == expected


@pytest.mark.parametrize(
    ("numbers", "reordered"), [([1, 2, 3], 0), ([1, 3, 2, 4], 1), ([5, 1, 2, 3, 4], 4), ([3, 2, 1], 2), ([1, 4, 9], 0)]
)
def test_a_reply_is_reordered_if_a_newer_probe_was_answered_before(numbers: list[int], reordered: int) -> None:
    assert after(*[echo(Reply, number) for number in numbers]).reordered == reordered


def test_duplicates_are_neither_reordered_nor_timed() -> None:
    statistics = after(echo(Reply, 1), echo(Reply, 2), echo(Duplicate, 1, 900 * MILLISECOND))

    assert statistics.reordered == 0
    assert statistics.maximum == 0.001


def test_times_are_seconds_and_late_ones_are_among_them() -> None:
    statistics = after(*[echo(Reply, number, number * MILLISECOND) for number in range(1, 4)])
    statistics.enter(echo(Late, 4, 1200 * MILLISECOND))

    assert (statistics.minimum, statistics.mean, statistics.maximum) == (0.001, 0.3015, 1.2)
    assert statistics.deviation == pytest.approx(
        math.sqrt((0.3005**2 + 0.2995**2 + 0.2985**2 + 0.8985**2) / 4), rel=1e-6
    )
    assert statistics.jitter == pytest.approx((0.001 * (15 / 16) + 0.001) / 16 * (15 / 16) + 1.197 / 16, rel=1e-6)
    assert statistics.smoothed == pytest.approx(0.151189453, rel=1e-6)
    assert statistics.percentile(100) == 1.2
    assert statistics.percentile(50) == pytest.approx(0.002, rel=RELATIVE_ERROR)


def test_an_instant_reply_is_no_missing_time() -> None:
    statistics = after(echo(Reply, 1, 0))

    assert (statistics.minimum, statistics.mean, statistics.percentile(99)) == (0.0, 0.0, 0.0)


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(TypeError, match="str is no record"):
        Statistics().enter("reply")  # type: ignore[arg-type]


def test_uncertain_outcomes_are_remembered_as_long_as_a_reply_can_come() -> None:
    statistics = Statistics()
    for number in range(1, 0x10002):
        statistics.enter(silence(Overflow, number))
    statistics.enter(echo(Late, 0x10001, revises=TIMEOUT))
    statistics.enter(echo(Late, 2, revises=TIMEOUT))

    assert (statistics.overflows, statistics.late, statistics.timeouts) == (0x10001 - 2, 2, 0)


def _stories() -> st.SearchStrategy[list[list[Any]]]:
    """What may be heard of one probe, by the rule of `pingsock.probe.outcome`; the probe's number comes later."""
    silent = st.sampled_from([Timeout, Overflow, Unmeasured])
    answer = st.tuples(st.sampled_from([Reply, Late]), st.integers(0, 10**10))
    story = st.tuples(st.none() | silent, st.booleans(), st.none() | answer, st.integers(0, 2))
    return st.lists(story.map(list), max_size=30)


def _records(number: int, story: list[Any]) -> list[Any]:
    silent, erred, answer, copies = story
    records: list[Any] = []
    state = ""
    if silent:
        records.append(silence(silent, number))
        state = TIMEOUT
    if erred:
        records.append(icmp_error(number, state))
        state = ICMP_ERROR
    if answer:
        records.append(echo(answer[0], number, answer[1], revises=state))
        records += [echo(Duplicate, number)] * copies
    return records


@given(_stories(), st.randoms(use_true_random=False))
def test_every_probe_is_in_exactly_one_count(stories: list[list[Any]], random: Any) -> None:
    statistics = Statistics()
    waiting = [_records(number, story) for number, story in enumerate(stories, 1)]
    statistics.sent = len(stories)
    while any(waiting):
        statistics.enter(random.choice([records for records in waiting if records]).pop(0))
        by_outcome = statistics.received + statistics.late + statistics.timeouts + statistics.errors
        assert by_outcome + statistics.overflows + statistics.unmeasured + statistics.in_flight == len(stories)

    final = [records for number, story in enumerate(stories, 1) if (records := _records(number, story))]
    expected = [next(r for r in reversed(records) if type(r) is not Duplicate) for records in final]
    assert statistics.sent == len(stories)
    assert statistics.in_flight == len(stories) - len(final)
    assert statistics.received == sum(type(record) is Reply for record in expected)
    assert statistics.late == sum(type(record) is Late for record in expected)
    assert statistics.errors == sum(type(record) is IcmpError for record in expected)
    assert statistics.overflows == sum(type(record) is Overflow for record in expected)
    assert statistics.unmeasured == sum(type(record) is Unmeasured for record in expected)
    times = statistics.delays.count if statistics.delays else 0
    assert times == statistics.received + statistics.late


@given(_stories(), st.integers(0, 30))
def test_merging_is_entering_all(stories: list[list[Any]], cut: int) -> None:
    by_probe = [_records(number, story) for number, story in enumerate(stories, 1)]
    parts = [after(*chain(*probes)) for probes in (by_probe[:cut], by_probe[cut:])]
    whole = after(*chain(*by_probe))
    parts[0].merge(parts[1])

    for figure, content in parts[0].as_dict().items():
        if figure not in ("jitter", "smoothed"):
            assert (figure, content) == (figure, whole.as_dict()[figure])


@given(_stories())
def test_they_travel_between_processes_and_as_json(stories: list[list[Any]]) -> None:
    statistics = after(*[record for number, story in enumerate(stories, 1) for record in _records(number, story)])

    assert pickle.loads(pickle.dumps(statistics)) == statistics
    assert json.loads(json.dumps(statistics.as_dict())) == statistics.as_dict()


def test_equal_figures_are_equal_statistics() -> None:
    assert after(echo(Reply, 1)) == after(echo(Reply, 1))
    assert after(echo(Reply, 1)) != after(echo(Reply, 1, 2 * MILLISECOND))
    assert Statistics() != 0


def test_they_print_what_there_is() -> None:
    assert repr(Statistics()) == "<Statistics of nothing>"
    assert repr(after(echo(Reply, 1))) == "<Statistics sent=1 received=1>"
