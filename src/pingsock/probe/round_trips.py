"""Minimum, mean, maximum and deviation of round trips, exactly as iputils computes them. Integers only."""

from __future__ import annotations

_INT_MAX = 2**31 - 1


class RoundTrips:
    """Minimum, mean, maximum, deviation and a smoothed value of round trips: whole numbers of any one unit.

    The drop-in ping enters microseconds, as iputils does.
    """

    __slots__ = ("_smoothed_times_8", "_sum", "_sum_of_squares", "count", "maximum", "minimum")

    def __init__(self) -> None:
        self.count = 0
        self.minimum = 0
        self.maximum = 0
        self._sum = 0
        self._sum_of_squares = 0
        self._smoothed_times_8 = 0

    def add(self, round_trip: int) -> None:
        """Enter one round trip."""
        if not self.count or round_trip < self.minimum:
            self.minimum = round_trip
        self.maximum = max(self.maximum, round_trip)
        self.count += 1
        self._sum += round_trip
        self._sum_of_squares += round_trip * round_trip
        if self._smoothed_times_8:
            self._smoothed_times_8 += round_trip - self._smoothed_times_8 // 8
        else:
            self._smoothed_times_8 = round_trip * 8

    def merge(self, other: RoundTrips) -> None:
        """Enter all that was entered into another one; the smoothed value becomes the weighted mean of both."""
        if not other.count:
            return
        self.minimum = min(self.minimum, other.minimum) if self.count else other.minimum
        self.maximum = max(self.maximum, other.maximum)
        weighted = self._smoothed_times_8 * self.count + other._smoothed_times_8 * other.count
        self.count += other.count
        self._sum += other._sum
        self._sum_of_squares += other._sum_of_squares
        self._smoothed_times_8 = weighted // self.count

    @property
    def mean(self) -> int:
        """Rounded down; 0 without round trips."""
        return self._sum // self.count if self.count else 0

    @property
    def deviation(self) -> int:
        """Standard deviation ("mdev"), rounded down; 0 without round trips.

        The order of the divisions is iputils': it decides the last digit.
        """
        if not self.count:
            return 0
        if self._sum < _INT_MAX:
            variance = (self._sum_of_squares - self._sum * self._sum // self.count) // self.count
        else:
            variance = self._sum_of_squares // self.count - self.mean * self.mean
        return integer_square_root(variance)

    @property
    def smoothed(self) -> int:
        """Exponentially weighted mean ("ewma"), weight of the newest 1/8, rounded down."""
        return self._smoothed_times_8 // 8


def integer_square_root(number: int) -> int:
    """Rounded down; 0 for negative numbers."""
    # Newton's method, since `math` is not on the start-up path.
    if number <= 0:
        return 0
    root = 1 << (number.bit_length() + 1) // 2
    while True:
        better = (root + number // root) // 2
        if better >= root:
            return root
        root = better
