"""How long a ping waits at its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pingsock.probe.clock import MILLISECOND, NEVER
from pingsock.tools.ping_schedule import Schedule


def tally(**numbers: int) -> Any:
    counted = {"transmitted": 2, "received": 1, "errors": 0, "reported_errors": 0, "in_flight": 1} | numbers
    return SimpleNamespace(round_trips=SimpleNamespace(maximum=50), **counted)


def test_a_reply_that_waits_to_be_read_is_waited_for_however_short_the_round_trips() -> None:
    schedule = Schedule(2, 0, 0, NEVER)
    schedule.start(0)
    schedule.sent(0, tally())
    assert not schedule.finished(50 * MILLISECOND, tally())
    assert schedule.finished(101 * MILLISECOND, tally())
