"""What `pingsock sweep` prints of each target: a table, a list, JSON lines, or CSV."""

from __future__ import annotations

import csv
import io
import json
from socket import AF_INET6

from pingsock.probe.batch_replies import Replies
from pingsock.probe.jsonable import address_text, jsonable
from pingsock.probe.records import Late, Unresolved
from pingsock.tools.sweep_results import ALIVE, UNREACHABLE, UNRESOLVED, SweepResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from pingsock.tools.sweep import Told
    from pingsock.tools.targets import TargetList

    Format = Callable[[Told], str]

_UNKNOWN = "-"
_MILLISECONDS = 1000.0
_DECIMALS = ((1.0, 3), (10.0, 2), (100.0, 1))
"""Milliseconds below which -> digits behind the point, as fping has them."""
_ADDRESS_WIDTHS = {True: 39, False: 15}
_WIDEST_HOST = 40
_STATE_WIDTH = len(UNREACHABLE)
_CSV_COLUMNS = (
    "host", "address", "state", "sent", "received", "loss", "min_ms", "avg_ms", "max_ms", "answered_by", "reason",
)  # fmt: skip


def milliseconds(seconds: float) -> str:
    """A round trip in milliseconds, three digits that mean something."""
    value = seconds * _MILLISECONDS
    decimals = next((decimals for limit, decimals in _DECIMALS if value < limit), 0)
    return f"{value:.{decimals}f}"


def round_trips(result: SweepResult) -> str:
    """Shortest, mean and longest in milliseconds; one figure if there was one reply, "-" if none."""
    statistics = result.statistics
    if statistics.minimum is None or statistics.mean is None or statistics.maximum is None:
        return _UNKNOWN
    if statistics.received + statistics.late == 1:
        return milliseconds(statistics.minimum)
    return "/".join(map(milliseconds, (statistics.minimum, statistics.mean, statistics.maximum)))


def loss(result: SweepResult) -> str:
    """Share of probes lost, in percent; "-" if nothing was measured."""
    share = result.statistics.loss
    return _UNKNOWN if share is None else f"{share:.0%}"


def remarks(result: SweepResult) -> str:
    """Whatever else there is to say: who answered if not the target, and what was heard instead."""
    told = []
    reply, statistics = result.reply, result.statistics
    if reply is not None and reply.source[0] != result.target.address[0]:
        told.append(f"answered by {address_text(reply.source)}")
    if isinstance(reply, Late):
        told.append("answered late")
    if statistics.duplicates:
        told.append(f"{statistics.duplicates} more replies")
    if statistics.altered or statistics.truncated:
        told.append("payload not as sent")
    if result.reason:
        told.append(result.reason)
    return "; ".join(told)


class Table:
    """Lines with columns for people."""

    def __init__(self, targets: TargetList) -> None:
        self._host_width = 0 if targets.only_addresses else min(max(targets.longest_name, 4), _WIDEST_HOST)
        self._address_width = _ADDRESS_WIDTHS[AF_INET6 in targets.families]

    def head(self) -> str:
        """The headings."""
        return self._line("HOST", "ADDRESS", "STATE", "RTT ms", "LOSS", "REMARKS")

    def row(self, told: Told) -> str:
        """The line of one target; "" for what has none."""
        if isinstance(told, Unresolved):
            return self._line(told.host, _UNKNOWN, UNRESOLVED, _UNKNOWN, _UNKNOWN, told.reason)
        if not isinstance(told, SweepResult):
            return ""
        address = address_text(told.target.address)
        return self._line(told.target.host, address, told.state, round_trips(told), loss(told), remarks(told))

    def _line(self, host: str, address: str, state: str, times: str, lost: str, remark: str) -> str:
        if not self._host_width:
            address = host if address == _UNKNOWN else address
            host = ""
        else:
            host = f"{host:<{self._host_width}}  "
        line = f"{host}{address:<{self._address_width}}  {state:<{_STATE_WIDTH}}  {times:<17}  {lost:>4}  {remark}"
        return line.rstrip() + "\n"


def as_json(told: Told) -> str:
    """One object; see docs/sweep.md for the keys."""
    if isinstance(told, Replies):
        return ""
    # Names may hold bytes that are no UTF-8; escaped they are text again.
    return json.dumps(jsonable(told), separators=(",", ":")) + "\n"


def as_csv(told: Told) -> str:
    """One line with the columns of `csv_head`."""
    if isinstance(told, Unresolved):
        return _csv_line(told.host, "", UNRESOLVED, *[""] * 7, told.reason)
    if not isinstance(told, SweepResult):
        return ""
    statistics = told.statistics
    times = (statistics.minimum, statistics.mean, statistics.maximum)
    return _csv_line(
        told.target.host,
        address_text(told.target.address),
        told.state,
        statistics.sent,
        statistics.received + statistics.late,
        "" if statistics.loss is None else round(statistics.loss, 6),
        *("" if time is None else round(time * _MILLISECONDS, 6) for time in times),
        "" if told.answered_by is None else address_text(told.answered_by),
        told.reason,
    )


def csv_head() -> str:
    """The headings."""
    return _csv_line(*_CSV_COLUMNS)


def _csv_line(*fields: object) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(fields)
    return line.getvalue()


class Chosen:
    """What is printed, and of which targets, as the command line says."""

    def __init__(self, settings: argparse.Namespace, targets: TargetList) -> None:
        self._is_list = bool(settings.alive or settings.unreachable) and not (settings.json or settings.csv)
        self.leaves_out_names = bool(self._is_list or settings.quiet)
        """Whether `text` says nothing of names that were not found."""
        self.takes_whole_replies = self.leaves_out_names and not settings.each_probe
        self._wanted = ALIVE if settings.alive else UNREACHABLE if settings.unreachable else ""
        self._by_address = settings.each_address
        self.head, self._format = self._form(settings, targets)

    def _form(self, settings: argparse.Namespace, targets: TargetList) -> tuple[str, Format]:
        if settings.quiet:
            return "", lambda _told: ""
        if settings.json:
            return "", as_json
        if settings.csv:
            return csv_head(), as_csv
        if self._is_list:
            return "", self._listed
        table = Table(targets)
        return table.head(), table.row

    def _listed(self, told: Told) -> str:
        if isinstance(told, Replies):
            return "".join([f"{target.host}\n" for target in told.targets()]) if self._wanted == ALIVE else ""
        if not isinstance(told, SweepResult):
            return ""
        return f"{address_text(told.target.address) if self._by_address else told.target.host}\n"

    def text(self, told: Told) -> str:
        """What is to be printed; "" for nothing."""
        if self._wanted and isinstance(told, SweepResult) and told.state != self._wanted:
            return ""
        return self._format(told)
