"""When probes leave: without drift, evenly, in turn, and no faster than allowed."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.probe.clock import MILLISECOND, NEVER, SECOND, Stepwatch
from pingsock.probe.course import Course
from pingsock.probe.engine import Engine
from pingsock.probe.ledger import Ledger
from pingsock.probe.records import Reply, Skipped
from pingsock.probe.schedule import Agenda, Pace, Plan, skipped_intervals, spread
from pingsock.probe.sent_probes import SEQUENCES
from pingsock.wire import linux
from probe.lab_bench import EPOCH, target_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START = 3 * SECOND


class Sender:
    """An engine on one endless socket, on which each probe is answered at once. Wake-ups are as late as a test says."""

    def __init__(self, rate: float = 0.0, *, room: int = SEQUENCES) -> None:
        self.now = START
        self.stepwatch = Stepwatch()
        self.stepwatch.show(self.now, self.now + EPOCH)
        self.engine = Engine(rate=rate, summaries=False)
        ledger = Ledger(linux.AF_INET, self.stepwatch, b"")
        self.settings = Course(target_at("192.0.2.1"), Plan(), b"").settings
        self.lane = self.engine.add_lane(self.settings, ledger, room, 0)
        self.sent: list[tuple[int, Course]] = []
        self.skipped: Counter[Course] = Counter()

    def add(self, plan: Plan, after: int = 0) -> Course:
        course = Course(target_at("192.0.2.1"), plan, b"")
        self.engine.add(course, self.now + after)
        return course

    def run(self, until: int, late: Callable[[], int] = lambda: 0) -> None:
        while self.engine.busy and self.now < until:
            self.engine.advance(self.now)
            while (departure := self.engine.departure(self.now)) is not None:
                self.engine.sent(departure, self.now)
                self.sent.append((self.now, departure[1]))
                self._answer(departure[2])
            for course, record in self.engine.take():
                if isinstance(record, Skipped) and course is not None:
                    self.skipped[course] += record.count
            self.now = max(self.engine.wakes_at(self.now), self.now) + late()

    def _answer(self, sequence: int) -> None:
        message = bytes([0] * 6) + sequence.to_bytes(2, "big")
        record = self.lane.ledger.reply_untrusted(message, ("192.0.2.1", 0), 0, 64, self.now, self.now + EPOCH)
        assert isinstance(record, Reply)
        self.engine.heard(self.lane, record)

    def times(self, course: Course) -> list[int]:
        return [at - START for at, sent in self.sent if sent is course]


PLAN = Plan(count=0, interval_ns=10 * MILLISECOND, timeout_ns=MILLISECOND, late_window_ns=MILLISECOND)


def lateness() -> Iterator[int]:
    """Wake-ups up to 0.9 milliseconds late, unevenly."""
    value = 1
    while True:
        value = value * 48271 % 2147483647
        yield value % (MILLISECOND * 9 // 10)


def test_ten_thousand_intervals_do_not_drift_though_every_wake_up_is_late() -> None:
    sender, late = Sender(), lateness()
    course = sender.add(PLAN)
    sender.run(START + 10_000 * PLAN.interval_ns, lambda: next(late))
    times = sender.times(course)
    assert len(times) == 10_000
    for number, at in enumerate(times):
        assert 0 <= at - number * PLAN.interval_ns < MILLISECOND


def test_what_was_missed_is_skipped_and_told_and_the_beat_is_kept() -> None:
    sender = Sender()
    course = sender.add(PLAN)
    sender.run(START + 25 * MILLISECOND)
    sender.now = START + 77 * MILLISECOND
    sender.run(START + 100 * MILLISECOND)
    assert [at // MILLISECOND for at in sender.times(course)] == [0, 10, 20, 77, 80, 90]
    assert sender.skipped[course] == 4


def test_a_course_that_begins_late_has_missed_nothing() -> None:
    sender = Sender()
    course = sender.add(PLAN)
    sender.now += 37 * MILLISECOND
    sender.run(START + 60 * MILLISECOND)
    assert [at // MILLISECOND for at in sender.times(course)] == [37, 40, 50]
    assert not sender.skipped


@pytest.mark.parametrize("interval", [0, 10 * MILLISECOND])
def test_with_a_rate_no_target_gets_ahead_of_another_by_more_than_one_probe(interval: int) -> None:
    sender = Sender(rate=1000.0)
    plan = PLAN.replace(interval_ns=interval)
    courses = [sender.add(plan, after=position * 100) for position in range(50)]
    counted: Counter[Course] = Counter()
    sender.run(START + 3 * SECOND)
    for at, course in sender.sent:
        if at == START:
            continue  # The others had not begun.
        counted[course] += 1
        fewest = min(counted[course] for course in courses)
        assert counted[course] <= fewest + 1
    assert sum(counted.values()) >= 2990


@given(
    rate=st.sampled_from([1.0, 3.0, 70.0, 999.0, 33_333.3, 1e6]),
    gaps=st.lists(st.integers(0, 40 * MILLISECOND), max_size=60),
)
def test_a_rate_holds_over_every_stretch_but_for_ten_milliseconds_of_burst(rate: float, gaps: list[int]) -> None:
    pace, now = Pace(rate), START
    sent: list[int] = []
    for gap in gaps:
        now += gap
        for _ in range(50):
            if pace.free_at() > now:
                break
            pace.spend(now)
            sent.append(now)
    for first, begin in enumerate(sent):
        for end in sent[first:]:
            within = bisect_right(sent, end) - first
            assert within <= (end - begin + 10 * MILLISECOND) * rate / SECOND + 2


@pytest.mark.parametrize("rate", [7.0, 333.0, 20_000.0])
def test_over_a_long_time_a_rate_is_met_though_every_wake_up_is_late(rate: float) -> None:
    pace, now, late, count = Pace(rate), START, lateness(), 5000
    for _ in range(count):
        now = max(now, pace.free_at() + next(late))
        while pace.free_at() <= now:
            pace.spend(now)
    assert abs(pace.free_at() - now) <= SECOND / rate + MILLISECOND


def test_without_a_rate_nothing_is_held_back() -> None:
    pace = Pace(0.0)
    pace.spend(START)
    assert pace.free_at() == 0


@pytest.mark.parametrize("count", [1, 2, 10, 1000, 10_000])
def test_starts_are_spread_evenly_however_many_there_are(count: int) -> None:
    starts = sorted(spread(position, SECOND) for position in range(count))
    assert starts[0] >= 0
    assert starts[-1] < SECOND
    gaps = [after - before for before, after in zip(starts, [*starts[1:], starts[0] + SECOND], strict=True)]
    assert max(gaps) <= 2.7 * SECOND / count
    assert count == 1 or min(gaps) >= SECOND / count / 2.7


@given(st.integers(0, NEVER), st.integers(0, 10**15), st.integers(1, 10**10))
def test_skipped_intervals_are_those_that_are_wholly_gone(due: int, late: int, interval: int) -> None:
    skipped = skipped_intervals(due, due + late, interval)
    assert due + skipped * interval <= due + late < due + (skipped + 1) * interval


@given(st.lists(st.one_of(st.integers(0, 20), st.just(None), st.just("end"))))
def test_what_is_due_first_comes_first_and_of_those_due_together_the_first_entered(actions: list[Any]) -> None:
    agenda, expected = Agenda(), []
    for entered, action in enumerate(actions):
        if isinstance(action, int):
            course = Course(target_at("192.0.2.1"), Plan(), b"")
            agenda.enter(action, course)
            expected.append((action, entered, course))
            expected.sort(key=lambda entry: entry[:2])
        elif action == "end" and expected:
            expected.pop(len(expected) // 2)[2].ended = True
        elif expected:
            due, _, course = expected.pop(0)
            assert agenda.first_due(due - 1) is None
            assert agenda.first_due(due) is course
            assert agenda.due_at() == due
            assert agenda.take() is course
    agenda.forget_ended()
    assert len(agenda) == len(expected)
    assert [agenda.take() for _ in expected] == [course for *_, course in expected]
    assert agenda.due_at() == NEVER
    assert agenda.first_due(NEVER) is None
