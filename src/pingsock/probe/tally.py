"""The counts at the end of a drop-in ping, as iputils keeps them."""

from __future__ import annotations

from pingsock.probe.round_trips import RoundTrips


class Tally:
    """What was sent and what came of it, as iputils counts."""

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
        self.corrupted = 0
        """Replies whose checksum is wrong, which only raw sockets deliver."""
        self.pipe = 0
        """The most probes that were under way when an answer came, the answered one included."""
        self.acknowledged = 0
        """The highest 16-bit sequence number of which something was heard."""
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
    def under_way(self) -> int:
        """Probes sent after the latest one of which something was heard; lost ones before that are not waited for."""
        behind = (self.transmitted - self.acknowledged) & 0xFFFF
        return behind if behind < 0x8000 else self.in_flight

    @property
    def loss_percent(self) -> float:
        """Unanswered probes of those sent; below 0 never, 0 if none was sent."""
        return (self.transmitted - self.received) * 100.0 / self.transmitted if self.transmitted else 0.0

    def acknowledge(self, sequence: int) -> None:
        """Note how many probes are under way as something is heard of the one with this 16-bit sequence number."""
        behind = (self.transmitted - sequence) & 0xFFFF
        if behind < 0x8000:
            self.pipe = max(self.pipe, behind + 1)
            if behind < self.under_way:
                self.acknowledged = sequence
