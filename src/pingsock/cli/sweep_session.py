"""One run of `pingsock sweep`: what is printed and kept while it goes on, and at its end."""

from __future__ import annotations

import os
import shlex
import signal
from socket import AF_INET, AF_INET6
from time import monotonic

from pingsock.cli.arguments import Refused
from pingsock.cli.sweep_output import Chosen
from pingsock.cli.sweep_progress import EXTRA, can_draw, duration, make_bar, one_line
from pingsock.cli.sweep_resume import SYSTEM_CALL_FAILED, State, write_state
from pingsock.probe.batch_replies import Replies
from pingsock.probe.clock import MILLISECOND
from pingsock.probe.records import Unresolved
from pingsock.sockets.choose import KINDS, choose
from pingsock.sockets.errors import NoPingSocket
from pingsock.tools.sweep import Sweep
from pingsock.tools.sweep_results import (
    ALIVE,
    STATES,
    UNMEASURED,
    UNREACHABLE,
    UNRESOLVED,
    UNSENT,
    Finished,
    SweepResult,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence
    from types import FrameType
    from typing import Self

    from pingsock.cli.output import Output
    from pingsock.cli.sweep_progress import Bar
    from pingsock.probe.schedule import Plan
    from pingsock.tools.sweep import Told
    from pingsock.tools.targets import TargetList

SOME_NOT_ALIVE = 1
SOME_NOT_FOUND = 2
_STEP = 100 * MILLISECOND
"""A signal is obeyed after so long at the latest."""
_SECONDS_BETWEEN_STATES = 5.0
_STATE_TEXTS = {ALIVE: "alive", UNREACHABLE: "unreachable", UNMEASURED: "not measured", UNSENT: "not sent"}
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Command:
    """The command line, as read and as written."""

    def __init__(self, settings: argparse.Namespace, arguments: list[str], seed: int | None, digest: str) -> None:
        self.settings = settings
        self.arguments = arguments
        self.seed = seed
        self.digest = digest

    @property
    def text(self) -> str:
        """To be typed again."""
        return shlex.join(["pingsock", "sweep", *self.arguments])

    def going_on_at(self, position: int) -> str:
        """The command that leaves out so many targets."""
        kept, skipping = [], False
        for argument in self.arguments:
            if not skipping and argument != "--skip" and not argument.startswith("--skip="):
                kept.append(argument)
            skipping = argument == "--skip"
        if self.seed is not None and self.settings.seed is None:
            kept = ["--seed", str(self.seed), *kept]
        return shlex.join(["pingsock", "sweep", "--skip", str(position), *kept])


class Signals:
    """SIGINT, SIGTERM and SIGHUP end a sweep in good order, the second one at once; SIGQUIT asks how far it is."""

    def __init__(self) -> None:
        self.ended = False
        self.status_wanted = False

    def __enter__(self) -> Self:
        for number in _ENDING:
            # Whoever started us with nohup or in the background had it ignored for a reason.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._end)
        signal.signal(signal.SIGQUIT, self._want_status)
        return self

    def _end(self, number: int, _frame: FrameType | None) -> None:
        self.ended = True
        signal.signal(number, signal.SIG_DFL)

    def _want_status(self, _number: int, _frame: FrameType | None) -> None:
        self.status_wanted = True

    def __exit__(self, *_what: object) -> None:
        for number in (*_ENDING, signal.SIGQUIT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)


class Session:
    """One run of the command."""

    def __init__(self, command: Command, targets: TargetList, plan: Plan, state: State | None, output: Output) -> None:
        settings = command.settings
        self._command = command
        self._output = output
        self._chosen = Chosen(settings, targets)
        self._quiet = settings.quiet
        self._resume = settings.resume
        self._counts = dict.fromkeys((*STATES, UNRESOLVED), 0) | (state.counts if state else {})
        self._next_state = 0.0
        self._total = targets.count
        self._began = monotonic()
        finished = state.finished if state else Finished(min(settings.skip, targets.count))
        self._skipped = settings.skip
        self._kinds = (settings.socket,) if settings.socket else KINDS
        self._sweep = Sweep(
            targets,
            plan,
            kinds=self._kinds,
            every_address=settings.each_address,
            finished=finished,
            with_records=settings.each_probe,
            whole_replies=self._chosen.takes_whole_replies,
            jobs=settings.jobs,
            processes=settings.processes,
        )
        self._bar = self._make_bar(wanted=not settings.no_progress and not settings.quiet)

    def _make_bar(self, wanted: bool) -> Bar | None:
        if not wanted or not can_draw():
            return None
        bar = make_bar(self._total)
        if bar is None:
            self._output.warn(f"no progress bar: install {EXTRA} for one, or say --no-progress")
        return bar

    def run(self) -> int:
        """Sweep until the end or an interruption; the exit status.

        :raises NoPingSocket: before anything is printed or written, if it can be known then.
        """
        if len(self._sweep.finished) < self._total:
            _require_ping_socket(self._kinds)
        if self._resume:
            self._write_state()
        with Signals() as signals, self._sweep:
            try:
                self._head()
                while not (self._sweep.is_over or signals.ended or self._output.failure):
                    self._step(signals)
            finally:
                if self._bar is not None:
                    self._bar.close()
        self._end()
        return self._status()

    def _head(self) -> None:
        # The first part of a sweep that is resumed had it.
        if self._chosen.head and not (self._resume and len(self._sweep.finished) > self._skipped):
            self._output.write(self._chosen.head)

    def _step(self, signals: Signals) -> None:
        self._print(self._sweep.step(_STEP))
        if self._resume and monotonic() >= self._next_state and not self._output.failure:
            self._write_state()
        if signals.status_wanted:
            signals.status_wanted = False
            self._warn(one_line(self._sweep.progress))
        if self._bar is not None:
            self._bar.show(self._sweep.progress)

    def _print(self, told: Iterable[Told]) -> None:
        text = "".join([self._line(each) for each in told])
        if text:
            self._make_room()
            self._output.write(text)

    def _line(self, told: Told) -> str:
        if isinstance(told, Replies):
            self._counts[ALIVE] += len(told)
        elif isinstance(told, SweepResult):
            self._counts[told.state] += 1
        elif isinstance(told, Unresolved):
            self._counts[UNRESOLVED] += 1
            if self._chosen.leaves_out_names:
                self._make_room()
                self._output.warn_plainly(f"{told.host}: {told.reason}\n")
        return self._chosen.text(told)

    def _make_room(self) -> None:
        if self._bar is not None:
            self._bar.erase()

    def _warn(self, text: str) -> None:
        self._make_room()
        self._output.warn(text)

    # The end

    def _write_state(self) -> None:
        finished = self._sweep.finished
        state = State(
            self._command.text,
            self._command.digest,
            self._command.seed,
            finished.mark,
            tuple(sorted(finished.beyond)),
            self._counts,
        )
        try:
            write_state(self._resume, state)
        except OSError as error:
            raise Refused(f"{self._resume}: {error.strerror}", SYSTEM_CALL_FAILED) from error
        self._next_state = monotonic() + _SECONDS_BETWEEN_STATES

    def _end(self) -> None:
        if self._output.failure is not None:
            # What was not read is not done: the last state that was written stands.
            return
        if self._resume:
            self._keep_or_remove_state()
        if not self._quiet:
            self._output.warn(self._totals())
        if not self._sweep.is_over:
            self._output.warn(f"interrupted; to go on: {self._way_on()}")

    def _keep_or_remove_state(self) -> None:
        if not self._sweep.is_over:
            self._write_state()
            return
        try:
            os.unlink(self._resume)
        except OSError as error:
            self._output.warn(f"{self._resume}: {error.strerror}")

    def _way_on(self) -> str:
        if self._resume:
            return self._command.text
        return self._command.going_on_at(self._sweep.finished.mark)

    def _totals(self) -> str:
        done = len(self._sweep.finished) - self._skipped
        whole = max(self._total - self._skipped, 0)
        counted = [f"{self._counts[state]} {text}" for state, text in _STATE_TEXTS.items() if self._counts[state]]
        if self._counts[UNRESOLVED]:
            counted.append(f"{self._counts[UNRESOLVED]} not found")
        progress = self._sweep.progress
        targets = f"{done if self._sweep.is_over else f'{done} of {whole}'} target{'s' if whole != 1 else ''}"
        spent = f"{duration(progress.elapsed)}, {progress.rate:.0f} probes/s"
        return f"{targets}: {', '.join(counted) or 'nothing'}; {spent}"

    def _status(self) -> int:
        if self._counts[UNRESOLVED]:
            return SOME_NOT_FOUND
        # As for fping, of no target at all none is alive.
        alive_only = self._counts[ALIVE] > 0 and not any(self._counts[state] for state in STATES if state != ALIVE)
        return 0 if alive_only and self._sweep.is_over else SOME_NOT_ALIVE


def _require_ping_socket(kinds: Sequence[str]) -> None:
    """NoPingSocket if there is none of either family: then there is no sweep."""
    try:
        choose(AF_INET, kinds=kinds)[0].close()
    except NoPingSocket as refused:
        try:
            choose(AF_INET6, kinds=kinds, earlier=refused.refusals)[0].close()
        except NoPingSocket:
            raise refused from None
