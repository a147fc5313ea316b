"""What `ping -f` prints: a dot for each probe, taken back by its reply."""

from __future__ import annotations

import os

from pingsock.cli.output import STDOUT
from pingsock.cli.ping_lines import date
from pingsock.probe.outcome import packet_went_on
from pingsock.probe.records import EchoReply, IcmpReport, SendFailure
from pingsock.tools.ping import Corrupted, Sent, Unanswered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.cli.output import Output
    from pingsock.cli.ping_options import Settings
    from pingsock.tools.ping import PingRun

_UNLIMITED = 2**31 - 1
_AF_INET = 2


class Flood:
    """Prints records as dots and backspaces."""

    def __init__(self, settings: Settings, output: Output, run: PingRun) -> None:
        self._settings = settings
        self._output = output
        self._run = run
        self._columns = _terminal_columns()

    def tell(self, record: object) -> None:
        """Print what is to be printed of a record."""
        if isinstance(record, Unanswered):
            self._output.write(f"{date(self._settings)}no answer yet for icmp_seq={record.sequence}\n")
        elif not self._settings.quiet:
            self._output.write(self._mark(record))

    def _mark(self, record: object) -> str:
        if isinstance(record, Sent):
            return "." if self._has_room() else ""
        if isinstance(record, EchoReply):
            return "\b \b\a" if self._settings.audible else "\b \b"
        if isinstance(record, Corrupted):
            return "\bC\a" if self._settings.audible else "\bC"
        if isinstance(record, SendFailure):
            return "E"
        if isinstance(record, IcmpReport):
            is_ipv4 = record.target.family == _AF_INET
            return "" if packet_went_on(record.type, is_ipv4=is_ipv4) else "\bE"
        return ""

    def _has_room(self) -> bool:
        """Whether one more dot fits into the line; many under way would fill screens."""
        tally = self._run.tally
        few = self._settings.preload < self._columns and tally.pipe < self._columns
        return few or tally.under_way < self._columns


def _terminal_columns() -> int:
    try:
        return os.get_terminal_size(STDOUT).columns or _UNLIMITED
    except OSError:
        return _UNLIMITED
