"""The outcome rule, case by case, and what it builds on: absences and clocks."""

from __future__ import annotations

import pytest

from pingsock.probe import outcome
from pingsock.probe.absence import TOLERANCE, Absences
from pingsock.probe.clock import MILLISECOND, SECOND, Stepwatch, read_clocks
from pingsock.probe.outcome import ANSWERED, ERRED, SILENT, WAITING
from pingsock.probe.records import Duplicate, IcmpError, Late, Note, Overflow, Reply, Timeout, Unmeasured

NOW = 100 * SECOND


@pytest.mark.parametrize("state", [WAITING, SILENT, ERRED])
def test_the_first_reply_is_the_outcome_whatever_was_heard_before(state: int) -> None:
    assert outcome.of_reply(state, late=False) is Reply
    assert outcome.of_reply(state, late=True) is Late


@pytest.mark.parametrize("late", [False, True])
def test_a_further_reply_is_a_duplicate(late: bool) -> None:
    assert outcome.of_reply(ANSWERED, late=late) is Duplicate


@pytest.mark.parametrize("is_ipv4", [False, True])
@pytest.mark.parametrize(
    ("state", "kind"), [(WAITING, IcmpError), (SILENT, IcmpError), (ERRED, Note), (ANSWERED, Note)]
)
def test_an_error_decides_unless_something_was_heard(state: int, kind: type, is_ipv4: bool) -> None:
    assert outcome.of_error(state, 3, is_ipv4=is_ipv4) is kind


@pytest.mark.parametrize("icmp_type", [4, 5])
def test_redirect_and_source_quench_decide_nothing_and_exist_in_ipv4_only(icmp_type: int) -> None:
    assert outcome.of_error(WAITING, icmp_type, is_ipv4=True) is Note
    assert outcome.of_error(WAITING, icmp_type, is_ipv4=False) is IcmpError


@pytest.mark.parametrize(
    ("dropped", "absent", "kind"),
    [(False, 0, Timeout), (False, 49, Timeout), (False, 50, Unmeasured), (True, 0, Overflow), (True, 100, Overflow)],
)
def test_silence_has_its_reason(dropped: bool, absent: int, kind: type) -> None:
    assert outcome.of_silence(dropped=dropped, absent=absent, waited=100) is kind


def test_whoever_wakes_in_time_was_never_absent() -> None:
    absences = Absences()
    for second in range(100):
        absences.called(NOW + second * SECOND + TOLERANCE)
        absences.asks_for(NOW + (second + 1) * SECOND)
    assert absences.within(0, NOW + 200 * SECOND) == 0


def test_an_absence_is_as_long_before_the_time_to_wake_as_after_it() -> None:
    absences = Absences()
    absences.called(NOW)
    absences.asks_for(NOW + 1000 * MILLISECOND)
    absences.called(NOW + 1300 * MILLISECOND)
    assert absences.within(NOW, NOW + SECOND) == 300 * MILLISECOND
    assert absences.within(NOW + 800 * MILLISECOND, NOW + 900 * MILLISECOND) == 100 * MILLISECOND
    assert absences.within(NOW + 1200 * MILLISECOND, NOW + 5 * SECOND) == 100 * MILLISECOND


def test_no_absence_began_before_the_last_call() -> None:
    absences = Absences()
    absences.called(NOW)
    absences.asks_for(NOW + SECOND)
    absences.called(NOW + 60 * SECOND)
    assert absences.within(0, NOW + 100 * SECOND) == 60 * SECOND


@pytest.mark.parametrize("step", [-SECOND, -4 * MILLISECOND, 4 * MILLISECOND, SECOND])
def test_a_step_is_seen_and_a_slew_is_none(step: int) -> None:
    watch, offset = Stepwatch(), 10**18
    for second in range(100):
        watch.show(NOW + second * SECOND, NOW + second * SECOND + offset + second * 500_000)
    assert watch.stepped_at == 0
    watch.show(NOW + 100 * SECOND, NOW + 100 * SECOND + offset + 50 * MILLISECOND + step)
    assert watch.stepped_at == NOW + 100 * SECOND
    assert watch.offset == offset + 50 * MILLISECOND + step


def test_the_clocks_are_read_together() -> None:
    first, second = read_clocks(), read_clocks()
    assert first[0] <= second[0]
