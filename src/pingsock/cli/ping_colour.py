"""Colours of `ping --color`: which, and whether there are any."""

from __future__ import annotations

import os

from pingsock.cli.output import STDOUT
from pingsock.probe.outcome import packet_went_on
from pingsock.probe.records import Duplicate, EchoReply, IcmpReport
from pingsock.tools.ping import Corrupted, Unanswered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.probe.tally import Tally

GREEN, YELLOW, RED = "\x1b[32m", "\x1b[33m", "\x1b[31m"
_AF_INET = 2


def wants_colour() -> bool:
    """Whether standard output is a terminal with colours, and the user wants them (NO_COLOR is empty or not set)."""
    return os.isatty(STDOUT) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def of_record(record: object) -> str:
    """The colour of what is printed of a record: replies as they should be, odd ones, none."""
    if isinstance(record, EchoReply):
        is_odd = isinstance(record, Duplicate) or record.truncated or record.other_source or record.altered_at >= 0
        return YELLOW if is_odd else GREEN
    if isinstance(record, IcmpReport):
        return YELLOW if packet_went_on(record.type, is_ipv4=record.target.family == _AF_INET) else RED
    return YELLOW if isinstance(record, (Corrupted, Unanswered)) else ""


def of_summary(tally: Tally) -> str:
    """The colour of the summary."""
    if not tally.received:
        return RED
    return YELLOW if tally.loss_percent else ""
