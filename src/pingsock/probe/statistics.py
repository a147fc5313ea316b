"""All that became of one target, counted from the records a prober yields."""

from __future__ import annotations

from pingsock.probe.records import (
    ICMP_ERROR,
    Duplicate,
    IcmpError,
    Late,
    Note,
    Overflow,
    Reply,
    SendFailure,
    Skipped,
    Stray,
    Summary,
    Timeout,
    Unmeasured,
    Unresolved,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pingsock.probe.delays import Delays
    from pingsock.probe.records import EchoReply, Record

PERCENTILES = (50, 90, 95, 99)
"""What `Statistics.as_dict` tells of the distribution."""
_SEQUENCES = 0x10000

_COUNTS = (
    "sent",
    "received",
    "late",
    "timeouts",
    "errors",
    "overflows",
    "unmeasured",
    "send_failures",
    "skipped",
    "duplicates",
    "reordered",
    "other_source",
    "truncated",
    "altered",
    "notes",
)


class Statistics:
    """All that became of one target's probes. Small, since there may be one for each of a million targets.

    Each probe that was sent is in exactly one of `received`, `late`, `timeouts`, `errors`, `overflows`, `unmeasured`
    and `in_flight`; a revised outcome moves it. Times are seconds, None without round trips; `delays` has them in
    nanoseconds. Round trips are those of first replies, late ones included, duplicates not.

    Equal to another if all figures are.
    """

    __slots__ = (*_COUNTS, "_decided", "_highest", "_unsure", "delays")

    sent: int
    """Probes that left this host. Whoever sends counts them; from records alone it grows as probes are decided."""
    received: int
    """Probes answered in time."""
    late: int
    """Probes answered after their timeout."""
    timeouts: int
    """Probes of which nothing was heard."""
    errors: int
    """Probes about which an ICMP error was heard, and no reply."""
    overflows: int
    """Silent probes whose reply may have been dropped by our own receive buffer."""
    unmeasured: int
    """Silent probes during which this process did not run."""
    send_failures: int
    """Probes this host refused to send."""
    skipped: int
    """Probes that were due and not sent."""
    duplicates: int
    """Replies beyond the first."""
    reordered: int
    """First replies to a probe older than one answered before (RFC 4737, section 3.3)."""
    other_source: int
    """First replies from another address than was probed."""
    truncated: int
    """First replies with less payload than was sent."""
    altered: int
    """First replies with other payload than was sent."""
    notes: int
    """ICMP messages that decided nothing."""
    delays: Delays | None
    """Round trips in nanoseconds; None if there are none."""

    def __init__(self) -> None:
        # One by one, not over the names: this is a good part of what a target costs in a sweep.
        self.sent = self.received = self.late = self.timeouts = self.errors = self.overflows = self.unmeasured = 0
        self.send_failures = self.skipped = self.duplicates = self.notes = 0
        self.reordered = self.other_source = self.truncated = self.altered = 0
        self.delays = None
        self._decided = 0
        """Probes sent whose outcome is known."""
        self._highest = 0
        self._unsure: dict[int, str] | None = None

    # Counting

    def enter(self, record: Record | Stray | Summary | Unresolved) -> None:
        """Count what is told of this target.

        What is not about its probes, or repeats what was counted, changes nothing: Stray, Unresolved, Summary.

        :raises TypeError: this is no record.
        """
        enter = _ENTRIES.get(type(record))
        if enter is None:
            raise TypeError(f"{type(record).__name__} is no record of a prober")
        enter(self, record)

    def _reply(self, record: EchoReply) -> None:
        self._decide("late" if type(record) is Late else "received", record.number, record.revises)
        if record.number < self._highest:
            self.reordered += 1
        else:
            self._highest = record.number
        if record.other_source or record.truncated or record.altered_at >= 0:
            self.other_source += record.other_source
            self.truncated += record.truncated
            self.altered += record.altered_at >= 0
        (self.delays or self._begin_delays()).add(record.round_trip_ns)

    def _begin_delays(self) -> Delays:
        # Not on the start-up path of ping.
        from pingsock.probe.delays import Delays

        self.delays = Delays()
        return self.delays

    def _icmp_error(self, record: IcmpError) -> None:
        self._decide("errors", record.number, record.revises)

    def _timeout(self, record: Timeout) -> None:
        self._decide("timeouts", record.number)

    def _overflow(self, record: Overflow) -> None:
        self._decide("overflows", record.number)
        self._remember(record.number, "overflows")

    def _unmeasured(self, record: Unmeasured) -> None:
        self._decide("unmeasured", record.number)
        self._remember(record.number, "unmeasured")

    def _decide(self, count: str, number: int, revises: str = "") -> None:
        """Put a probe where it belongs, and take it from where it was."""
        setattr(self, count, getattr(self, count) + 1)
        if revises:
            before = self._where(number, revises)
            setattr(self, before, max(getattr(self, before) - 1, 0))
        else:
            self._decided += 1
            self.sent = max(self.sent, self._decided)

    def _where(self, number: int, revises: str) -> str:
        if revises == ICMP_ERROR:
            return "errors"
        return self._unsure.pop(number, "timeouts") if self._unsure else "timeouts"

    def _remember(self, number: int, count: str) -> None:
        """Note in which count a probe is, for a later outcome that revises TIMEOUT does not tell."""
        if self._unsure is None:
            self._unsure = {}
        self._unsure[number] = count
        # So many probes later the sequence number is another's, and nothing can be heard of this one any more.
        if len(self._unsure) > _SEQUENCES:
            del self._unsure[next(iter(self._unsure))]

    def _send_failure(self, _record: SendFailure) -> None:
        self.send_failures += 1

    def _skipped(self, record: Skipped) -> None:
        self.skipped += record.count

    def _duplicate(self, _record: Duplicate) -> None:
        self.duplicates += 1

    def _note(self, _record: Note) -> None:
        self.notes += 1

    def _nothing(self, _record: Stray | Summary | Unresolved) -> None:
        pass

    def merge(self, other: Statistics) -> None:
        """Add what became of another target, or of other probes of this one.

        The result is that of entering all records, but for jitter and smoothed (see `Delays.merge`) and `reordered`,
        which is counted within each part.
        """
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._decided += other._decided
        self._highest = max(self._highest, other._highest)
        if other.delays is not None:
            (self.delays or self._begin_delays()).merge(other.delays)

    # What came of it

    @property
    def in_flight(self) -> int:
        """Probes sent of which no outcome is known yet."""
        return self.sent - self._decided

    @property
    def lost(self) -> int:
        """Probes without any reply: timeouts and ICMP errors."""
        return self.timeouts + self.errors

    @property
    def loss(self) -> float | None:
        """Share of probes that were lost, 0 ... 1: lost / (received + late + lost). None if that is of nothing.

        What cannot be known to be lost does not count: probes in flight, not sent, in an overflow or unmeasured.
        """
        measured = self.received + self.late + self.lost
        return self.lost / measured if measured else None

    @property
    def is_alive(self) -> bool:
        """Whether a probe was answered in time."""
        return self.received > 0

    @property
    def minimum(self) -> float | None:
        """The shortest round trip."""
        return self.delays.minimum / 1e9 if self.delays else None

    @property
    def mean(self) -> float | None:
        """The mean round trip."""
        return self.delays.mean / 1e9 if self.delays else None

    @property
    def maximum(self) -> float | None:
        """The longest round trip."""
        return self.delays.maximum / 1e9 if self.delays else None

    @property
    def deviation(self) -> float | None:
        """Population standard deviation of the round trips, "mdev"."""
        return self.delays.deviation / 1e9 if self.delays else None

    @property
    def jitter(self) -> float | None:
        """Interarrival jitter, see `Delays.jitter`."""
        return self.delays.jitter / 1e9 if self.delays else None

    @property
    def smoothed(self) -> float | None:
        """Exponentially weighted mean of the round trips, weight of the newest 1/8."""
        return self.delays.smoothed / 1e9 if self.delays else None

    def percentile(self, percent: float) -> float | None:
        """The round trip that `percent` of all do not exceed, see `Histogram.percentile`."""
        nanoseconds = self.delays.percentile(percent) if self.delays else None
        return None if nanoseconds is None else nanoseconds / 1e9

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: counts as integers, `loss` 0 ... 1, times as seconds; what is not known is None."""
        counts = {name: getattr(self, name) for name in (*_COUNTS, "in_flight", "lost")}
        times = {name: getattr(self, name) for name in _TIMES}
        percentiles = {f"percentile_{percent}": self.percentile(percent) for percent in PERCENTILES}
        return {"is_alive": self.is_alive, "loss": self.loss, **counts, **times, **percentiles}

    def _key(self) -> tuple[object, ...]:
        return *(getattr(self, name) for name in _COUNTS), self._decided, self.delays

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Statistics) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        told = [f"{name}={count}" for name in _COUNTS if (count := getattr(self, name))]
        return f"<Statistics {' '.join(told) or 'of nothing'}>"


_TIMES = ("minimum", "mean", "maximum", "deviation", "jitter", "smoothed")

_ENTRIES: dict[type, Callable[[Statistics, Any], None]] = {
    Reply: Statistics._reply,
    Late: Statistics._reply,
    IcmpError: Statistics._icmp_error,
    Timeout: Statistics._timeout,
    Overflow: Statistics._overflow,
    Unmeasured: Statistics._unmeasured,
    SendFailure: Statistics._send_failure,
    Skipped: Statistics._skipped,
    Duplicate: Statistics._duplicate,
    Note: Statistics._note,
    Stray: Statistics._nothing,
    Summary: Statistics._nothing,
    Unresolved: Statistics._nothing,
}
