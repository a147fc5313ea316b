from __future__ import annotations

import random
from typing import Any

import pytest

from lab.bench import Bench, path
from pingsock import lab
from pingsock.lab.links import Channel, Direction


def channel(**settings: Any) -> Channel:
    return Channel(Direction(**settings), random.Random(1))


def test_delays_add_up_to_the_microsecond() -> None:
    bench = path(3, delay=0.000_101)
    assert bench.answer("192.0.2.1").microseconds == 606


def test_directions_have_settings_of_their_own() -> None:
    network = lab.Network()
    network.router("r1", "10.255.0.1")
    network.host("far", "192.0.2.1")
    network.link("r1", "far", delay=1.0, forward={"delay": 0.25})
    assert Bench(network, "r1").answer("192.0.2.1").at == 1.25


def test_jitter_never_reorders() -> None:
    line = channel(delay=0.1, jitter=0.05)
    arrivals = [line.arrivals(number / 1000, 84)[0] for number in range(500)]
    assert arrivals == sorted(arrivals)
    delays = [at - number / 1000 for number, at in enumerate(arrivals)]
    assert min(delays) >= 0.1
    assert max(delays) <= 0.15 + 1e-9
    assert max(delays) - min(delays) > 0.02


def test_reorder_lets_later_packets_overtake() -> None:
    line = channel(delay=0.1, reorder=0.1, reorder_by=0.005)
    arrivals = [line.arrivals(number / 1000, 84)[0] for number in range(500)]
    overtaken = sum(arrivals[number] > arrivals[number + 1] for number in range(499))
    assert 30 <= overtaken <= 70


@pytest.mark.parametrize(("setting", "expected"), [("loss", 0.7), ("duplicate", 1.3)])
def test_chances_are_kept(setting: str, expected: float) -> None:
    line = channel(**{setting: 0.3})
    assert sum(len(line.arrivals(float(number), 84)) for number in range(5000)) == pytest.approx(5000 * expected, 0.05)


def test_the_same_seed_gives_the_same_run() -> None:
    def run(seed: int) -> list[tuple[float, int]]:
        bench = path(3, seed=seed, loss=0.1, jitter=0.01, duplicate=0.1, reorder=0.1)
        for number in range(50):
            bench.ping("192.0.2.1", number)
        return [(arrival.at, arrival.datagram.sequence) for arrival in bench.until(10.0)]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_settings_of_one_link_leave_the_chances_of_others_alone() -> None:
    def answered(jitter: float) -> list[int]:
        network = lab.Network(seed=3)
        for name in ("r1", "r2"):
            network.router(name)
        network.host("far", "192.0.2.1")
        network.link("r1", "r2", "10.0.1.0/24", jitter=jitter)
        network.link("r2", "far", "10.0.2.0/24", loss=0.3)
        bench = Bench(network, "r1")
        for number in range(100):
            bench.ping("192.0.2.1", number)
        return sorted(arrival.datagram.sequence for arrival in bench.until(1.0))

    assert 30 < len(answered(0.0)) < 70
    assert answered(0.0) == answered(0.5)


def test_bandwidth_spaces_packets_by_their_size() -> None:
    line = channel(bandwidth=8000.0)
    assert [line.arrivals(0.0, 100)[0] for _ in range(3)] == pytest.approx([0.1, 0.2, 0.3])
    assert line.arrivals(5.0, 1000) == [6.0]


def test_a_full_queue_drops_the_newcomer() -> None:
    line = channel(bandwidth=8000.0, queue=2)
    assert [len(line.arrivals(0.0, 100)) for _ in range(5)] == [1, 1, 1, 0, 0]
    assert line.arrivals(0.1, 100) == pytest.approx([0.4])


def test_a_cut_link_loses_everything_until_it_is_mended() -> None:
    bench = path(2)
    link = bench.network.links[0]
    link.up = False
    bench.ping("192.0.2.1")
    assert bench.until(1.0) == []
    assert bench.network.drops["r1", "link down"] == 1
    link.up = True
    assert bench.answer("192.0.2.1").kind == (0, 0)


def test_settings_can_change_while_it_runs() -> None:
    bench = path(1, delay=0.1)
    link = bench.network.links[0]
    assert bench.answer("192.0.2.1").at == pytest.approx(0.2)
    link.change(delay=0.5)
    link.change_direction(link.left, delay=0.0)
    bench.network.run_until(1000.0)
    assert bench.answer("192.0.2.1").at == pytest.approx(1000.5)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"loss": 1.5}, "link a - b: loss is 1.5, needed a chance from 0.0 to 1.0"),
        ({"delay": -1}, "link a - b: delay is -1, needed 0 or more"),
        ({"mtu": 20}, "link a - b: mtu is 20, needed at least 68"),
        ({"speed": 1}, "link a - b: a link has no setting 'speed'; it has delay, jitter"),
        ({"loss": "much"}, "link a - b: loss is 'much', needed a number"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], told: str) -> None:
    network = lab.Network()
    network.host("a")
    network.host("b")
    with pytest.raises(lab.LabError) as raised:
        network.link("a", "b", **settings)
    assert told in str(raised.value)
