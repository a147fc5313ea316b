"""What the Pingers hand out, in a network that does not exist."""

from __future__ import annotations

from contextlib import nullcontext
from unittest import mock

from pingsock.probe.clock import MILLISECOND, SECOND
from pingsock.probe.schedule import Plan
from pingsock.tools.desk import Call, Desk, Watched
from probe.lab_bench import FAR, Bench, bench, path, target_at

ONCE = Plan(count=1, timeout_ns=300 * MILLISECOND)


def desk_in(lab_bench: Bench) -> Desk:
    lab_bench.network.node("far").rule({"do": "delay", "seconds": 0.5})
    return Desk(lab_bench.prober.engine, lab_bench.prober.course, 10)


def test_a_result_stays_as_it_was_returned() -> None:
    """A reply that is late even for that changes neither records nor statistics, which would differ otherwise."""
    with bench(path) as lab_bench, mock.patch("pingsock.tools.desk.monotonic_ns", lab_bench.clock.monotonic_ns):
        desk, call = desk_in(lab_bench), Call(lambda: None)
        desk.call(call, target_at(FAR), ONCE)
        lab_bench.run()
        desk.deliver(lab_bench.told)
        desk.hang_up(call)
        result = call.result()
        assert call.complete
        lab_bench.settle(SECOND)
        assert [type(record).__name__ for record in result.records] == ["Timeout"]
        assert repr(result.statistics) == "<Statistics sent=1 timeouts=1>"


def test_the_summary_of_a_removed_target_stays_as_it_was_returned() -> None:
    with bench(path) as lab_bench, mock.patch("pingsock.tools.desk.monotonic_ns", lab_bench.clock.monotonic_ns):
        desk, watched = desk_in(lab_bench), Watched(target_at(FAR), nullcontext())
        desk.watch(watched, ONCE)
        lab_bench.run()
        assert watched.is_over
        summary = desk.remove(watched)
        lab_bench.settle(SECOND)
        assert repr(summary.statistics) == repr(watched.statistics) == "<Statistics sent=1 timeouts=1>"
