"""The two clocks of a prober, read together, and a watch over them.

Some facts about them
---------------------

* CLOCK_MONOTONIC never steps; CLOCK_REALTIME, on which the kernel stamps packets, is set by people and by NTP.
* A process may lose the processor between reading the one and reading the other, for tenths of a second on a busy
  host. Two such readings look like a step and are none.
* NTP slews by at most 500 parts per million, which is no step.

What this means here
--------------------

`read_clocks` reads the monotonic clock on both sides of the other one, and again if that took too long. A `Stepwatch`
sees from such pairs whether the realtime clock was set; stamps taken before that are not compared with later ones.
"""

from __future__ import annotations

from time import monotonic_ns, time_ns

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
NEVER = 2**63 - 1
"""A time that does not come, in nanoseconds on any clock."""

_TOGETHER = 50_000
"""Nanoseconds between two readings that count as one."""
_ATTEMPTS = 5
_STEP = 2 * MILLISECOND
_SLEWED_IN_A_SECOND = 500_000


def read_clocks() -> tuple[int, int]:
    """Now: nanoseconds on the monotonic clock, and since 1970."""
    before, calendar, now = monotonic_ns(), time_ns(), monotonic_ns()
    attempts = 1
    while now - before > _TOGETHER and attempts < _ATTEMPTS:
        before, calendar, now = monotonic_ns(), time_ns(), monotonic_ns()
        attempts += 1
    return now, calendar


class Stepwatch:
    """Knows when the realtime clock was last set, from the pairs of readings it is shown."""

    def __init__(self) -> None:
        self.stepped_at = 0
        """Monotonic time of the first reading after the last step; 0 if there was none."""
        self.offset = 0
        """What the realtime clock is ahead of the monotonic one, nanoseconds."""
        self._shown_at = 0

    def show(self, now: int, calendar: int) -> None:
        """A pair of readings, as `read_clocks` gives it."""
        offset = calendar - now
        moved = offset - self.offset
        if (moved > _STEP or moved < -_STEP) and self._is_step(abs(moved), now):
            self.stepped_at = now
        self.offset = offset
        self._shown_at = now

    def _is_step(self, moved: int, now: int) -> bool:
        """Whether that is more than NTP slews, and something was shown before."""
        return moved > _STEP + (now - self._shown_at) * _SLEWED_IN_A_SECOND // SECOND and self._shown_at > 0
