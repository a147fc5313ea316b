"""When a ping ends, and with which exit status, for scripts: --until-up, --until-down, --max-loss, --max-rtt."""

from __future__ import annotations

from pingsock.cli.ping_extras import DOWN, UP
from pingsock.probe.records import IcmpError, Late, Reply, SendFailure, Timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.cli.ping_extras import Extras
    from pingsock.probe.statistics import Statistics

NOT_REACHED = 1
"""Exit status: the run ended before the host was up, or down."""
LIMIT_EXCEEDED = 3
"""Exit status: it would be 0, but loss or round trips are beyond their limits."""


class Conditions:
    """Watches the records of a run for the state that is waited for, and judges its figures."""

    def __init__(self, extras: Extras) -> None:
        self._extras = extras
        self.is_met = False
        """Whether the state that was waited for came."""

    def enter(self, record: object) -> None:
        """See what a record says of the host. An overflow, or that this process slept, says nothing."""
        if self._extras.until == UP:
            self.is_met = self.is_met or type(record) in (Reply, Late)
        elif self._extras.until == DOWN:
            self.is_met = self.is_met or type(record) in (Timeout, IcmpError, SendFailure)

    def exceeded(self, loss_percent: float, statistics: Statistics) -> dict[str, str]:
        """The limits that were exceeded: the option's name, with a sentence for people."""
        told: dict[str, str] = {}
        most = self._extras.max_loss
        if most is not None and loss_percent > most:
            told["max-loss"] = f"{loss_percent:g}% packet loss, more than --max-loss {most:g}"
        longest = self._extras.max_round_trip
        # Whole microseconds, as the summary shows them.
        took = statistics.delays.maximum // 1000 if statistics.delays is not None else 0
        if longest is not None and took > longest:
            told["max-rtt"] = f"a round trip of {took / 1000:.3f} ms, more than --max-rtt {longest / 1000:g}"
        return told

    def status(self, usual: int, *, exceeded: bool) -> int:
        """The exit status, if without conditions it would be `usual`."""
        if self._extras.until:
            usual = 0 if self.is_met else NOT_REACHED
        return usual or (LIMIT_EXCEEDED if exceeded else 0)
