"""A run of `ping` with options that iputils does not have."""

from __future__ import annotations

from pingsock.cli import ping_colour
from pingsock.cli.ping_conditions import Conditions
from pingsock.cli.ping_extras import DOWN, Extras, timeout
from pingsock.cli.ping_session import Session
from pingsock.probe.clock import MILLISECOND
from pingsock.probe.records import Record
from pingsock.probe.statistics import Statistics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pingsock.cli.interrupts import Interrupts
    from pingsock.cli.names import Names
    from pingsock.cli.ping_json import JsonLines
    from pingsock.cli.ping_session import ShowAddress
    from pingsock.tools.ping import PingPlan, PingRun


class ExtendedSession(Session):
    """As its base, with JSON, conditions, percentiles and colours."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._extras = self._settings.extras or Extras()
        self._conditions = Conditions(self._extras)
        self._statistics = Statistics()
        self._json = self._json_lines() if self._extras.json else None
        for_lines = self._json is None and not self._settings.flood
        self._colours = self._extras.colour and for_lines and ping_colour.wants_colour()

    def _json_lines(self) -> JsonLines:
        from pingsock.cli.ping_json import JsonLines  # lazy: `json` brings `re`

        return JsonLines(self._settings, self._output)

    def _resolver(self, interrupts: Interrupts) -> Names | None:
        return None if self._json else super()._resolver(interrupts)

    def _tell_first_line(self, show: ShowAddress) -> None:
        if self._json is None:
            super()._tell_first_line(show)

    def _begin(self, interrupts: Interrupts) -> PingRun:
        run = super()._begin(interrupts)
        if self._json is not None:
            self._json.start(run.plan, self._setup.source, self._sock.kind)
        return run

    def _plan(self) -> PingPlan:
        waits = self._json is not None or self._extras.until == DOWN
        return (
            super()
            ._plan()
            .replace(
                tells_sent=self._settings.flood and self._json is None,
                timeout=timeout(self._settings) * MILLISECOND if waits else 0,
                # Who waits for a host to come or to go does not want to hear that it is away.
                ends_with_error=not self._extras.until,
            )
        )

    def _teller(self, run: PingRun, show: ShowAddress) -> Callable[[object], None]:
        tell = self._told_in_json(run) if self._json is not None else super()._teller(run, show)

        def tell_and_watch(record: object) -> None:
            self._output.colour = ping_colour.of_record(record) if self._colours else ""
            tell(record)
            self._output.colour = ""
            self._watch(record, run)

        return tell_and_watch

    def _told_in_json(self, run: PingRun) -> Callable[[object], None]:
        lines = self._json
        assert lines is not None
        return lambda record: lines.tell(record, run)

    def _watch(self, record: object, run: PingRun) -> None:
        if isinstance(record, Record):
            self._statistics.enter(record)
        self._conditions.enter(record)
        if self._conditions.is_met:
            run.stop()

    def _tell_failure(self, error: OSError) -> None:
        if self._json is not None:
            self._json.failed(error)
        super()._tell_failure(error)

    def _tell_summary(self, run: PingRun) -> None:
        self._statistics.sent = run.tally.transmitted - self._statistics.send_failures
        if self._json is not None:
            self._json.summary(run, self._statistics, self._status(run), list(self._exceeded(run)))
        else:
            self._output.colour = ping_colour.of_summary(run.tally) if self._colours else ""
            super()._tell_summary(run)
            self._output.colour = ""
            self._tell_distribution()
        for sentence in self._exceeded(run).values():
            self._output.warn(sentence)

    def _tell_distribution(self) -> None:
        if self._extras.percentiles and self._statistics.delays is not None:
            from pingsock.cli.ping_distribution import distribution  # lazy: only with --percentiles

            self._output.write(distribution(self._statistics.delays))

    def _exceeded(self, run: PingRun) -> dict[str, str]:
        return self._conditions.exceeded(run.tally.loss_percent, self._statistics)

    def _status(self, run: PingRun) -> int:
        usual = super()._status(run)
        if self._failed:
            return usual
        return self._conditions.status(usual, exceeded=bool(self._exceeded(run)))
