"""The progress bar of `pingsock sweep`: on standard error, on a terminal, by the library rich if it is there."""

from __future__ import annotations

import os
import sys
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from pingsock.tools.sweep_results import Progress

EXTRA = "pingsock[sweep]"
_SECONDS_BETWEEN = 0.1
_ERASE_LINE = b"\r\x1b[2K"
_STDERR = 2
_DUMB = ("dumb", "unknown")
"""Terminals, as TERM names them, that can only go on writing."""


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: "1:02:03", "2:03"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def one_line(progress: Progress) -> str:
    """How far it is, in words."""
    total = "" if progress.total is None else f" of {progress.total}"
    done = progress.earlier + progress.done
    line = f"{done}{total} done, {progress.alive} alive, {progress.rate:.0f} probes/s"
    left = progress.remaining_time
    return line if left is None else f"{line}, {duration(left)} left"


def can_draw() -> bool:
    """Whether standard error is a terminal that can erase a line."""
    return os.isatty(_STDERR) and os.environ.get("TERM") not in _DUMB


def make_bar(total: int) -> Bar | None:
    """A bar, or None if rich is not installed."""
    try:
        import rich.progress  # noqa: F401 - whether it can be
    except ImportError:
        return None
    return Bar(total)


class Bar:
    """One line at the bottom of the terminal, drawn by us alone: no thread, no catching of other output."""

    def __init__(self, total: int) -> None:
        self._next = 0.0
        self._progress, self._task = _rich_bar(total)

    def show(self, progress: Progress) -> None:
        """Draw it anew, ten times a second at most."""
        now = monotonic()
        if now >= self._next:
            self._next = now + _SECONDS_BETWEEN
            done = progress.earlier + progress.done
            self._progress.update(self._task, completed=done, description=one_line(progress))
            self._progress.start()
            self._progress.refresh()

    def erase(self) -> None:
        """Make room for other lines; the next `show` draws it below them."""
        if self._progress.live.is_started:
            os.write(_STDERR, _ERASE_LINE)
            self._next = 0.0

    def close(self) -> None:
        """Remove it."""
        if self._progress.live.is_started:
            self._progress.stop()


def _rich_bar(total: int) -> tuple[RichProgress, TaskID]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = BarColumn(bar_width=20), TextColumn("{task.description}", table_column=None)
    bar = Progress(
        *columns,
        console=Console(file=sys.stderr, soft_wrap=False),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    return bar, bar.add_task("", total=total)
