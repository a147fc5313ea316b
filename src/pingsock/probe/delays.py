"""The round trips of one target in detail: what `Statistics` keeps from the first reply on.

Apart from `pingsock.probe.statistics` because a ping that only prints iputils' figures needs none of it.
"""

from __future__ import annotations

from pingsock.probe.histogram import Histogram
from pingsock.probe.round_trips import RoundTrips, integer_square_root


class Delays(RoundTrips):
    """Round trips in nanoseconds, in the order the replies arrived: with an exact deviation, jitter and percentiles."""

    __slots__ = ("_jitter_times_16", "_latest", "histogram")

    def __init__(self) -> None:
        super().__init__()
        self.histogram = Histogram()
        self._jitter_times_16 = 0
        self._latest = 0

    def add(self, round_trip: int) -> None:
        """Enter the round trip of the next reply, nanoseconds. ValueError if it is negative."""
        self.histogram.add(round_trip)
        if self.count:
            self._jitter_times_16 += abs(round_trip - self._latest) - ((self._jitter_times_16 + 8) >> 4)
        self._latest = round_trip
        RoundTrips.add(self, round_trip)

    def merge(self, other: RoundTrips) -> None:
        """Enter all that was entered into another one. All is exact but `jitter` and `smoothed`.

        These depend on the order of arrival, so of both figures the mean is taken, weighted by what went into them.
        """
        if not isinstance(other, Delays):
            raise TypeError(f"Delays cannot be merged with {type(other).__name__}")
        if not other.count:
            return
        self._merge_jitter(other)
        self.histogram.merge(other.histogram)
        super().merge(other)

    def _merge_jitter(self, other: Delays) -> None:
        mine, theirs = max(self.count - 1, 0), other.count - 1
        if theirs:
            weighted = self._jitter_times_16 * mine + other._jitter_times_16 * theirs
            self._jitter_times_16 = weighted // (mine + theirs)
        self._latest = other._latest

    @property
    def deviation(self) -> int:
        """Population standard deviation, rounded down, exact at any size; 0 without round trips."""
        if not self.count:
            return 0
        return integer_square_root(self.count * self._sum_of_squares - self._sum * self._sum) // self.count

    @property
    def jitter(self) -> int:
        """Interarrival jitter as RFC 3550 estimates it; 0 before the second reply.

        J += (|D| - J) / 16 over successive replies, D being the difference of their round trips (section 6.4.1), in
        the integers of appendix A.8.
        """
        return self._jitter_times_16 >> 4

    def percentile(self, percent: float) -> int | None:
        """As `Histogram.percentile`."""
        return self.histogram.percentile(percent)

    def _key(self) -> tuple[object, ...]:
        sums = self._sum, self._sum_of_squares, self._smoothed_times_8, self._jitter_times_16, self._latest
        return self.histogram, sums

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Delays) else NotImplemented

    __hash__ = None  # type: ignore[assignment]
