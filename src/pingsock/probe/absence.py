"""The stretches in which a prober did not run, although it had asked to.

A process that is stopped, starved by others, or kept busy by its own program reads nothing and sends nothing. What
arrives meanwhile is kept and stamped by the kernel, as long as the whole machine was not away; nobody can tell which.

Nor can anybody tell when an absence began: only that it lasted from when the prober should have woken to when it did,
and that it began after the last call. It is taken to have lasted as long before as after, so that a probe whose whole
wait was slept away does not pass for measured, and a wake-up that is a little late hides no loss.

All times are monotonic nanoseconds.
"""

from __future__ import annotations

from collections import deque

from pingsock.probe.clock import MILLISECOND

TOLERANCE = 100 * MILLISECOND
"""A wake-up that is no later than this is on time: a busy program, or host, is not an absent one."""
_KEPT = 64


class Absences:
    """Takes note of when somebody was called and when they had asked to be."""

    def __init__(self) -> None:
        self._expected = 0
        self._last_call = 0
        self._absences: deque[tuple[int, int]] = deque(maxlen=_KEPT)

    def asks_for(self, wake: int) -> None:
        """The next call is expected at `wake` at the latest."""
        self._expected = wake

    def called(self, now: int) -> None:
        """The call has come."""
        late = now - self._expected
        if self._expected and late > TOLERANCE:
            self._absences.append((max(self._expected - late, self._last_call), now))
        self._expected = self._last_call = now

    def within(self, begin: int, end: int) -> int:
        """How much of that time was absence."""
        return sum(max(0, min(end, until) - max(begin, since)) for since, until in self._absences)
