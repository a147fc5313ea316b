from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.probe.round_trips import RoundTrips, integer_square_root
from pingsock.probe.tally import Tally


def of(*microseconds: int) -> RoundTrips:
    times = RoundTrips()
    for each in microseconds:
        times.add(each)
    return times


def test_without_round_trips_all_is_zero() -> None:
    times = RoundTrips()

    assert (times.count, times.minimum, times.mean, times.maximum, times.deviation, times.smoothed) == (0,) * 6


def test_one_round_trip_has_no_deviation() -> None:
    times = of(268)

    assert (times.minimum, times.mean, times.maximum, times.deviation, times.smoothed) == (268, 268, 268, 0, 268)


# Observed with iputils: the times it printed, and its last line.
@pytest.mark.parametrize(
    ("microseconds", "minimum", "mean", "maximum", "deviation"),
    [
        ([35, 33], 33, 34, 35, 1),
        ([45, 62], 45, 53, 62, 8),
        ([27, 18], 18, 22, 27, 4),
        ([37, 3, 3], 3, 14, 37, 16),
        ([28, 2], 2, 15, 28, 13),
    ],
)
def test_figures_are_those_of_iputils(
    microseconds: list[int], minimum: int, mean: int, maximum: int, deviation: int
) -> None:
    times = of(*microseconds)

    assert (times.minimum, times.mean, times.maximum, times.deviation) == (minimum, mean, maximum, deviation)


def test_the_smoothed_value_moves_by_an_eighth() -> None:
    assert of(800, 1600).smoothed == 900
    assert of(800, 0).smoothed == 700


@given(st.lists(st.integers(0, 10_000_000), min_size=1, max_size=50))
def test_figures_are_near_the_true_ones(microseconds: list[int]) -> None:
    times = of(*microseconds)
    mean = sum(microseconds) / len(microseconds)
    deviation = math.sqrt(sum((each - mean) ** 2 for each in microseconds) / len(microseconds))

    assert times.minimum == min(microseconds)
    assert times.maximum == max(microseconds)
    assert times.mean == int(mean)
    assert times.deviation == pytest.approx(deviation, abs=2)


@given(st.integers(1, 500))
def test_a_sum_beyond_31_bits_is_computed_otherwise_and_stays_right(count: int) -> None:
    times = of(*[2**31, 2**31 + 1000] * count)

    assert times.deviation == pytest.approx(500, abs=50_000)


@given(st.integers(-10, 2**80))
def test_the_integer_square_root_is_exact(number: int) -> None:
    assert integer_square_root(number) == math.isqrt(max(number, 0))


def test_loss_counts_probes_not_duplicates() -> None:
    tally = Tally()
    tally.transmitted, tally.received, tally.duplicates = 3, 2, 5

    assert tally.loss_percent == pytest.approx(100 / 3)
    assert tally.in_flight == 1


def test_nothing_sent_is_nothing_lost() -> None:
    assert Tally().loss_percent == 0


def test_the_pipe_is_the_most_probes_under_way() -> None:
    tally = Tally()
    tally.transmitted = 5
    for sequence in (4, 3, 5):
        tally.acknowledge(sequence)

    assert tally.pipe == 3


def test_the_pipe_knows_that_sequence_numbers_wrap() -> None:
    tally = Tally()
    tally.transmitted = 65537
    tally.acknowledge(65535)

    assert tally.pipe == 3


def test_a_sequence_number_ahead_of_ours_is_no_pipe() -> None:
    tally = Tally()
    tally.transmitted = 5
    tally.acknowledge(6)

    assert tally.pipe == 0
