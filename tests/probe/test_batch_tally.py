"""The numbers of a run are those of its single round trips."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pingsock.probe.batch_tally import RunTally
from pingsock.probe.histogram import Histogram
from pingsock.probe.records import Duplicate, Reply, Timeout
from pingsock.probe.target import Target

TARGET = Target("192.0.2.1", 2, ("192.0.2.1", 0))
ROUND_TRIPS = st.lists(
    st.integers(0, 200) | st.integers(60_000, 70_000) | st.integers(0, 2**26 + 2**10) | st.integers(0, 2**45),
    max_size=40,
)


class Column:
    """As much of a `Replies` as is counted."""

    def __init__(self, round_trips: list[int]) -> None:
        self.interpolated = round_trips

    def __len__(self) -> int:
        return len(self.interpolated)


@given(st.lists(ROUND_TRIPS.filter(bool), max_size=5))
def test_columns_count_like_single_round_trips(columns: list[list[int]]) -> None:
    tally, histogram = RunTally(histogram=True), Histogram()
    for round_trips in columns:
        tally.enter_replies(Column(round_trips))  # type: ignore[arg-type]
        histogram.add_many(round_trips)
    everything = [each for round_trips in columns for each in round_trips]
    assert tally.histogram == histogram
    assert tally.replies == histogram.count == len(everything)
    assert (tally.minimum, tally.maximum) == (min(everything, default=0), max(everything, default=0))
    assert tally.mean == (sum(everything) // len(everything) if everything else 0)


def test_records_are_counted_by_class() -> None:
    tally = RunTally(histogram=True)
    common = (TARGET, 1, 1, 1, ("192.0.2.1", 0), b"", 64)
    tally.enter(Reply(*common, 1000, "clock"))
    tally.enter(Duplicate(*common, 3000, "clock"))
    tally.enter(Timeout(TARGET, 1, 1, 1, 10**9))
    assert dict(tally.records) == {Reply: 1, Duplicate: 1, Timeout: 1}
    assert tally.replies == 1
    assert (tally.histogram.count, tally.mean) == (1, 1000)


def test_without_a_histogram_the_rest_is_the_same() -> None:
    tally = RunTally()
    tally.enter_replies(Column([1000, 4000, 1000]))  # type: ignore[arg-type]
    assert (tally.replies, tally.minimum, tally.mean, tally.maximum) == (3, 1000, 2000, 4000)
    assert tally.histogram == Histogram()
