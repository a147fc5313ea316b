from __future__ import annotations

import json
import pickle
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.probe.histogram import RELATIVE_ERROR, Histogram, bounds_of, bucket_of

round_trips = st.integers(0, 2**20) | st.integers(0, 2**45)
columns = st.lists(round_trips, max_size=200)
percents = st.floats(0, 100) | st.sampled_from([0, 50, 90, 95, 99, 99.9, 100])


def of(column: list[int]) -> Histogram:
    histogram = Histogram()
    for each in column:
        histogram.add(each)
    return histogram


@given(round_trips)
def test_a_round_trip_lies_in_its_bucket(nanoseconds: int) -> None:
    least, greatest = bounds_of(bucket_of(nanoseconds))

    assert least <= nanoseconds <= greatest


@given(st.integers(0, 3000))
def test_buckets_follow_one_another_without_a_gap(bucket: int) -> None:
    assert bounds_of(bucket)[1] + 1 == bounds_of(bucket + 1)[0]
    assert [bucket_of(bound) for bound in bounds_of(bucket)] == [bucket, bucket]


def test_the_stated_error_is_below_one_per_cent() -> None:
    assert RELATIVE_ERROR < 0.01


@given(columns.filter(bool), percents)
def test_a_percentile_is_that_of_the_sorted_list_within_the_stated_error(column: list[int], percent: float) -> None:
    rank = max(-(-len(column) * Fraction(round(percent * 10**9), 10**11) // 1), 1)
    exact = sorted(column)[int(rank) - 1]

    found = of(column).percentile(percent)

    assert found is not None
    assert abs(found - exact) <= RELATIVE_ERROR * exact
    assert min(column) <= found <= max(column)


@given(columns.filter(bool))
def test_the_first_and_the_last_are_exact(column: list[int]) -> None:
    assert of(column).percentile(0) == min(column)
    assert of(column).percentile(100) == max(column)


@given(columns.filter(bool), percents, percents)
def test_a_higher_percentile_is_no_shorter_round_trip(column: list[int], one: float, other: float) -> None:
    lower, higher = (of(column).percentile(percent) for percent in sorted((one, other)))

    assert lower is not None
    assert higher is not None
    assert lower <= higher


def test_a_percentile_that_no_float_can_express_is_the_one_that_was_meant() -> None:
    column = [*[10] * 999, 1000]

    assert of(column).percentile(99.9) == 10


@given(columns, columns)
def test_merging_is_entering_all(one: list[int], other: list[int]) -> None:
    merged = of(one)
    merged.merge(of(other))

    assert merged == of(one + other)
    assert merged.count == len(one + other)


@given(columns, columns)
def test_entering_a_column_is_entering_each(before: list[int], column: list[int]) -> None:
    histogram = of(before)
    histogram.add_many(iter(column))

    assert histogram == of(before + column)


@given(columns)
def test_it_comes_back_from_json_and_from_a_pickle(column: list[int]) -> None:
    histogram = of(column)

    assert Histogram.from_dict(json.loads(json.dumps(histogram.as_dict()))) == histogram
    assert pickle.loads(pickle.dumps(histogram)) == histogram


@pytest.mark.parametrize(
    "damage",
    [
        {"count": 3},
        {"minimum_ns": 101},
        {"maximum_ns": 10**6},
        {"buckets": []},
        {"buckets": [[100, 0], [200, 2]]},
        {"buckets": [[100, -1], [200, 3]]},
    ],
)
def test_a_damaged_dict_is_refused(damage: dict[str, object]) -> None:
    content = of([100, 300]).as_dict() | damage

    with pytest.raises(ValueError, match="histogram"):
        Histogram.from_dict(content)


def test_an_empty_one_has_no_percentiles() -> None:
    histogram = Histogram()

    assert (histogram.count, histogram.counts, histogram.percentile(50)) == (0, {}, None)


def test_no_histogram_is_falsy() -> None:
    assert Histogram()


@pytest.mark.parametrize("percent", [-1, 100.5, float("nan"), float("inf")])
def test_a_percentile_outside_0_to_100_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        of([1]).percentile(percent)


def test_negative_round_trips_are_refused_and_change_nothing() -> None:
    histogram = of([5])

    with pytest.raises(ValueError, match="-1 ns"):
        histogram.add(-1)
    with pytest.raises(ValueError, match="-1 ns"):
        histogram.add_many([7, -1])
    assert histogram == of([5])


def test_it_does_not_grow_with_what_is_entered() -> None:
    histogram = Histogram()
    histogram.add_many(range(10_000_000, 20_000_000, 50))

    assert histogram.count == 200_000
    assert len(histogram.counts) <= 65
