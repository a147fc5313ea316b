"""The numbers of a whole run, counted by the hundred."""

from __future__ import annotations

from collections import Counter
from operator import itemgetter

from pingsock.probe.histogram import Histogram, bounds_of, bucket_of
from pingsock.probe.records import Late, Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pingsock.probe.batch_replies import Replies

_TABLE_SIZE = 1 << 16
_SHIFT = 10
"""A round trip shifted right by this many bits is as many buckets lower: 64 for each bit, once it is long enough."""
_BUCKETS_LOWER = _SHIFT * 64
_LEVELS = 4
"""Tables reach up to 2 ** (16 + 3 * 10) nanoseconds, most of a day."""


def _make_table() -> list[int]:
    """Round trip in nanoseconds -> its bucket in a histogram."""
    table: list[int] = []
    for bucket in range(bucket_of(_TABLE_SIZE - 1) + 1):
        least, greatest = bounds_of(bucket)
        table += [bucket] * (greatest - least + 1)
    # Where a list looks for an index below zero: there the round trip was taken as zero.
    return table + [bucket_of(0)] * _TABLE_SIZE


class RunTally:
    """Replies of all targets together, and the round trips of first replies, late ones included.

    A histogram of them is counted if it is wanted; that takes as long as all the rest.
    """

    def __init__(self, *, histogram: bool = False) -> None:
        self.replies = 0
        """First replies that came in time."""
        self.records: Counter[type] = Counter()
        """How many records of which class were told, those that a `Replies` stands for not counted."""
        self._entered = 0
        self._sum = 0
        self.minimum = 0
        """The shortest round trip, nanoseconds; 0 without any."""
        self.maximum = 0
        """The longest."""
        self._table = _make_table() if histogram else []
        self._counts: list[Counter[int]] = [Counter() for _ in range(_LEVELS)]

    def enter_replies(self, replies: Replies) -> None:
        """Count ordinary replies."""
        round_trips = replies.interpolated
        self.replies += len(round_trips)
        self._enter(round_trips)

    def enter(self, record: Any) -> None:
        """Count any record."""
        self.records[type(record)] += 1
        self.replies += type(record) is Reply
        if isinstance(record, (Reply, Late)):
            self._enter([record.round_trip_ns])

    def _enter(self, round_trips: list[int]) -> None:
        shortest, longest = min(round_trips), max(round_trips)
        if shortest < self.minimum or not self._entered:
            self.minimum = max(shortest, 0)
        self.maximum = max(self.maximum, longest)
        self._sum += sum(round_trips)
        self._entered += len(round_trips)
        if self._table:
            self._enter_buckets(round_trips, shortest, longest)

    def _enter_buckets(self, round_trips: list[int], shortest: int, longest: int) -> None:
        if shortest >= -_TABLE_SIZE and longest < _TABLE_SIZE and len(round_trips) > 1:
            self._counts[0].update(itemgetter(*round_trips)(self._table))
        else:
            self._count_by_length(round_trips)

    def _count(self, level: int, indices: list[int]) -> None:
        if len(indices) > 1:
            self._counts[level].update(itemgetter(*indices)(self._table))
        elif indices:
            self._counts[level][self._table[indices[0]]] += 1

    def _count_by_length(self, round_trips: list[int]) -> None:
        for level in range(_LEVELS):
            self._count(level, [max(nanoseconds, 0) for nanoseconds in round_trips if nanoseconds < _TABLE_SIZE])
            round_trips = [nanoseconds >> _SHIFT for nanoseconds in round_trips if nanoseconds >= _TABLE_SIZE]

    @property
    def mean(self) -> int:
        """Of all round trips, rounded down, nanoseconds; 0 without any.

        Interpolated ones below zero count as such in the sum: their errors cancel out.
        """
        return max(self._sum // self._entered, 0) if self._entered else 0

    @property
    def histogram(self) -> Histogram:
        """All round trips; empty if it was not wanted."""
        histogram = Histogram()
        if not self._table:
            return histogram
        for level, counts in enumerate(self._counts):
            for bucket, count in counts.items():
                histogram.counts[bucket + level * _BUCKETS_LOWER] = count
        histogram.count = self._entered
        histogram.minimum, histogram.maximum = self.minimum, self.maximum
        return histogram
