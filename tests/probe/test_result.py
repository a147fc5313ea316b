from __future__ import annotations

import errno
from typing import Any

import pytest

from pingsock.probe.records import (
    TIMEOUT,
    Duplicate,
    IcmpError,
    Late,
    Overflow,
    Reply,
    SendFailure,
    Timeout,
    Unmeasured,
)
from pingsock.probe.result import PingResult, explain, reason_of
from pingsock.probe.statistics import Statistics
from pingsock.probe.target import Target

TARGET = Target("host.test", 2, ("192.0.2.1", 0))


def of(kind: type[Any], number: int, *facts: Any, **more: Any) -> Any:
    return kind(TARGET, number, number, 1, *facts, **more)


def reply(kind: type[Any], number: int, milliseconds: int = 5, **more: Any) -> Any:
    return of(kind, number, TARGET.address, b"", 64, milliseconds * 1_000_000, "kernel", **more)


SILENCE = of(Timeout, 1, 2_000_000_000)
OVERFLOW = of(Overflow, 2, 2_000_000_000)
UNMEASURED = of(Unmeasured, 3, 2_000_000_000)
UNREACHABLE = of(IcmpError, 4, ("192.0.2.9", 0), 3, 1, 0)
REFUSED = of(SendFailure, 5, errno.EPERM)
TOO_LARGE = of(SendFailure, 6, errno.EMSGSIZE, 1400)
LATE = reply(Late, 7, 2500)


@pytest.mark.parametrize("other", [None, of(Duplicate, 1, TARGET.address, b"", 64, 5, "kernel"), TARGET], ids=type)
def test_what_is_no_outcome_is_not_explained(other: Any) -> None:
    with pytest.raises(TypeError, match="is no outcome of a probe"):
        explain(other)


def result_of(*records: Any) -> PingResult:
    statistics = Statistics()
    for record in records:
        statistics.enter(record)
    return PingResult(TARGET, statistics, records)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (reply(Reply, 1), "reply from 192.0.2.1 after 0.005000 s"),
        (LATE, "late reply from 192.0.2.1 after 2.500000 s"),
        (SILENCE, "no reply within 2 s"),
        (OVERFLOW, "no reply within 2 s, but our receive buffer overflowed meanwhile"),
        (UNMEASURED, "no reply within 2 s, but this process did not run for half of them or more"),
        (UNREACHABLE, "Destination Unreachable: Host Unreachable, says 192.0.2.9"),
        (REFUSED, "not sent: Operation not permitted"),
        (TOO_LARGE, "not sent: Message too long (MTU 1400)"),
    ],
)
def test_an_outcome_in_words(record: Any, text: str) -> None:
    assert explain(record) == text
    assert result_of(record).reason == ("" if isinstance(record, Reply) else text)


def test_the_weightiest_reason_is_told() -> None:
    by_weight = [UNREACHABLE, TOO_LARGE, LATE, SILENCE, OVERFLOW, UNMEASURED]
    for at, record in enumerate(by_weight):
        assert reason_of(reversed(by_weight[at:])) == explain(record)
    assert reason_of([REFUSED, TOO_LARGE]) == explain(TOO_LARGE)
    assert reason_of([]) == "no probe was sent"


def test_a_revised_outcome_is_none() -> None:
    result = result_of(SILENCE, reply(Late, 1, 2100, revises=TIMEOUT), reply(Reply, 2, 7), reply(Duplicate, 2, 8))
    assert [type(outcome).__name__ for outcome in result.outcomes] == ["Late", "Reply"]
    assert result.round_trips == (2.1, 0.007)
    assert result.is_alive
    assert result


def test_a_result_without_anything_is_true_and_says_why() -> None:
    result = result_of()
    assert result
    assert (result.is_alive, result.reason, result.round_trips) == (False, "no probe was sent", ())
