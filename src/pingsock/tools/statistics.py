"""The numbers at the end of a ping: counts, and integer statistics of round trips exactly as iputils keeps them.

All times here are whole microseconds.
"""

from __future__ import annotations

_INT_MAX = 2**31 - 1


class RoundTrips:
    """Minimum, mean, maximum, deviation and a smoothed value of round trips."""

    def __init__(self) -> None:
        self.count = 0
        self.minimum = 0
        self.maximum = 0
        self._sum = 0
        self._sum_of_squares = 0
        self._smoothed_times_8 = 0

    def add(self, microseconds: int) -> None:
        """Enter one round trip."""
        self.minimum = min(self.minimum, microseconds) if self.count else microseconds
        self.maximum = max(self.maximum, microseconds)
        self.count += 1
        self._sum += microseconds
        self._sum_of_squares += microseconds * microseconds
        if self._smoothed_times_8:
            self._smoothed_times_8 += microseconds - self._smoothed_times_8 // 8
        else:
            self._smoothed_times_8 = microseconds * 8

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
    root = number
    while True:
        better = (root + number // root) // 2
        if better >= root:
            return root
        root = better


class Tally:
    """What was sent and what came of it."""

    def __init__(self) -> None:
        self.transmitted = 0
        """Probes sent, those this host refused to send included."""
        self.received = 0
        """Probes that were answered."""
        self.duplicates = 0
        self.strays = 0
        self.reported_errors = 0
        """ICMP errors, and probes too large for this host to send."""
        self.failures = 0
        """Other probes this host refused to send."""
        self.pipe = 0
        """The most probes that were under way when an answer came, the answered one included."""
        self.round_trips = RoundTrips()

    @property
    def errors(self) -> int:
        """All that went wrong and was told."""
        return self.reported_errors + self.failures

    @property
    def in_flight(self) -> int:
        """Probes of which nothing has been heard."""
        return max(0, self.transmitted - self.received - self.errors)

    @property
    def loss_percent(self) -> float:
        """Unanswered probes of those sent; below 0 never, 0 if none was sent."""
        return (self.transmitted - self.received) * 100.0 / self.transmitted if self.transmitted else 0.0

    def acknowledge(self, sequence: int) -> None:
        """Note how many probes are under way as something is heard of the one with this 16-bit sequence number."""
        behind = (self.transmitted - sequence) & 0xFFFF
        if behind < 0x8000:
            self.pipe = max(self.pipe, behind + 1)
