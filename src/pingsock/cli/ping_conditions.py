"""When a ping ends, and with which exit status, for scripts: --until-up, --until-down, --max-loss, --max-rtt."""

from __future__ import annotations

from pingsock.cli.ping_extras import DOWN, MOST_COUNTED, UP
from pingsock.probe.records import IcmpError, Late, Record, Reply, SendFailure, Timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.cli.ping_extras import Extras
    from pingsock.probe.statistics import Statistics

NOT_REACHED = 1
"""Exit status: the run ended before the host was up, or down."""
LIMIT_EXCEEDED = 3
"""Exit status: it would be 0, but loss or round trips are beyond their limits."""


_ANSWERED = (Reply, Late)
_UNANSWERED = (Timeout, IcmpError, SendFailure)
_SAYING_SO = {UP: _ANSWERED, DOWN: _UNANSWERED}
"""State -> the outcomes of a probe that tell it. An overflow, or that this process slept, says nothing."""
_DENYING = {UP: _UNANSWERED, DOWN: _ANSWERED}


class Row:
    """Numbers, entered in any order, of which so many are to follow each other."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._numbers: set[int] = set()

    def enter(self, number: int) -> bool:
        """Whether there are enough in a row, with this one among them."""
        if len(self._numbers) > 2 * MOST_COUNTED:
            self._numbers = {each for each in self._numbers if each > number - MOST_COUNTED}
        self._numbers.add(number)
        first = last = number
        while first - 1 in self._numbers:
            first -= 1
        while last + 1 in self._numbers:
            last += 1
        return last - first + 1 >= self._wanted

    def take_out(self, number: int) -> None:
        """It was entered by mistake; nothing happens if it was not."""
        self._numbers.discard(number)


class Conditions:
    """Watches the records of a run for the state that is waited for, and judges its figures.

    Probes follow each other in the order of their sending: what is told of them comes in another order as soon as
    several are under way.
    """

    def __init__(self, extras: Extras) -> None:
        self._extras = extras
        self._row = Row(extras.until_count)
        self.is_met = False
        """Whether the state that was waited for came."""

    def enter(self, record: object) -> None:
        """See what a record says of the host. A later outcome of a probe takes the place of the one before."""
        state = self._extras.until
        if not state or self.is_met or not isinstance(record, Record):
            return
        # Duplicates and notes are kinds of what counts here, and do not count.
        if type(record) in _SAYING_SO[state]:
            self.is_met = self._row.enter(record.number)
        elif type(record) in _DENYING[state]:
            self._row.take_out(record.number)

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
