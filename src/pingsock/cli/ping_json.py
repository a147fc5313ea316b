"""`ping --json`: everything that happens as one object a line, as docs/ping-json.md says.

The objects of records are those of `pingsock.probe.jsonable`, so that all programs of this project tell alike. What is
of a ping alone is added here.
"""

from __future__ import annotations

import errno
import json
import time

from pingsock import __version__
from pingsock.cli.ping_distribution import rows
from pingsock.cli.ping_iso_time import iso_time
from pingsock.probe.clock import SECOND
from pingsock.probe.jsonable import address_text, jsonable
from pingsock.probe.records import EchoReply, Record, Stray, Summary
from pingsock.tools.ping import Corrupted, Unanswered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pingsock.cli.output import Output
    from pingsock.cli.ping_options import Settings
    from pingsock.probe.statistics import Statistics
    from pingsock.probe.target import SocketAddress, Target
    from pingsock.tools.ping import PingPlan, PingRun

SCHEMA = 1
"""Grows when a key or type changes its meaning or goes; new ones may come without."""
_AF_INET = 2
_PAIR_REPLY_AT = 24
"""Where the reply of a pair begins in what stands for its echo reply, see `pingsock.tools.pairs`."""


class JsonLines:
    """Writes objects. `calendar` gives nanoseconds since 1970."""

    def __init__(self, settings: Settings, output: Output, calendar: Callable[[], int] = time.time_ns) -> None:
        self._settings = settings
        self._output = output
        self._calendar = calendar

    def start(self, plan: PingPlan, source: SocketAddress, kind: str) -> None:
        """The first object."""
        settings, target = self._settings, plan.target
        self._write(
            {
                "type": "start",
                "schema": SCHEMA,
                "program": "pingsock",
                "version": __version__,
                **_whom(target),
                "family": 4 if target.family == _AF_INET else 6,
                "source": address_text(source) if source[0] else None,
                "interface": settings.device,
                "asks": self._asks(),
                "socket": kind,
                "size": target.options.size if settings.pair is None else settings.size,
                "count": plan.count or None,
                "interval": plan.interval / SECOND,
                "deadline": plan.deadline / SECOND or None,
                "timeout": plan.timeout / SECOND or None,
            }
        )

    def _asks(self) -> str:
        if self._settings.pair is not None:
            return self._settings.pair.pair
        query = self._settings.node_query
        return "node-information" if query is not None and query.is_asked else "echo"

    def tell(self, record: object, run: PingRun) -> None:
        """One object for what happened, if it is of anybody's concern."""
        if self._settings.quiet:
            return
        if isinstance(record, Corrupted):
            self._write(self._reply(record.reply, run) | {"type": "corrupted"})
        elif isinstance(record, Unanswered):
            self._write({"type": "unanswered", **_whom(run.plan.target), "sequence": record.sequence})
        elif isinstance(record, EchoReply):
            self._write(self._reply(record, run))
        elif isinstance(record, (Record, Stray)):
            self._write(jsonable(record))

    def _reply(self, record: EchoReply, run: PingRun) -> dict[str, Any]:
        told = jsonable(record)
        message = record.message if self._settings.pair is None else record.message[_PAIR_REPLY_AT:]
        del told["message"]
        told["bytes"] = len(message)
        if record.altered_at >= 0 or self._asks() != "echo":
            told["message"] = message.hex()
        if self._settings.pair is not None:
            from pingsock.cli.ping_json_answers import answer  # lazy: only with --timestamp and the like

            told["answer"] = answer(record)
        if run.reply_options:
            told["ip_options"] = run.reply_options.hex()
        return told

    def failed(self, error: OSError) -> None:
        """The object before the last one, if the socket ended the run."""
        number = error.errno or errno.EIO
        name = errno.errorcode.get(number, str(number))
        told = {"errno": number, "errno_name": name, "reason": error.strerror or str(error)}
        self._write({"type": "socket_failure", **told})

    def summary(self, run: PingRun, statistics: Statistics, status: int, exceeded: list[str]) -> None:
        """The last object."""
        tally = run.tally
        told = jsonable(Summary(run.plan.target, statistics))
        told |= {
            "transmitted": tally.transmitted,
            "loss_percent": tally.loss_percent,
            "elapsed": run.elapsed / SECOND,
            "corrupted": tally.corrupted,
            "strays": tally.strays,
            "exit_status": status,
            "limits_exceeded": exceeded,
        }
        if self._settings.extras is not None and self._settings.extras.percentiles:
            told["histogram"] = _histogram(statistics)
        self._write(told)

    def _write(self, told: dict[str, Any]) -> None:
        now = self._calendar()
        # Cut off, not rounded, as the text of it is.
        times: dict[str, Any] = {"time": now // 1000 / 1_000_000}
        if self._settings.extras is not None and self._settings.extras.iso_times:
            times["time_iso"] = iso_time(now)
        kind = {"type": told.pop("type")}
        self._output.write(json.dumps(kind | times | told, allow_nan=False) + "\n")


def _whom(target: Target) -> dict[str, str]:
    return {"host": target.host, "address": address_text(target.address)}


def _histogram(statistics: Statistics) -> list[dict[str, Any]]:
    if statistics.delays is None:
        return []
    return [
        {"from": least / SECOND, "to": above / SECOND, "count": count}
        for least, above, count in rows(statistics.delays.histogram)
    ]
