"""The stretches in which a prober did not run, although it had asked to.

A process that is stopped, starved by others, or kept busy by its own program reads nothing and sends nothing. What
arrives meanwhile is kept and stamped by the kernel, as long as the whole machine was not away; nobody can tell which.
All times are monotonic nanoseconds.
"""

from __future__ import annotations

from collections import deque

from pingsock.probe.clock import MILLISECOND

TOLERANCE = 10 * MILLISECOND
"""A wake-up that is no later than this is on time."""
_KEPT = 64


class Absences:
    """Takes note of when somebody was called and when they had asked to be."""

    def __init__(self) -> None:
        self._expected = 0
        self._absences: deque[tuple[int, int]] = deque(maxlen=_KEPT)

    def asks_for(self, wake: int) -> None:
        """The next call is expected at `wake` at the latest."""
        self._expected = wake

    def called(self, now: int) -> None:
        """The call has come."""
        if self._expected and now - self._expected > TOLERANCE:
            self._absences.append((self._expected, now))
        self._expected = now

    def within(self, begin: int, end: int) -> int:
        """How much of that time was absence."""
        return sum(max(0, min(end, until) - max(begin, since)) for since, until in self._absences)
