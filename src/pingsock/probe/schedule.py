"""When the probes of many targets are sent: intervals of each target, one rate for all. No clock in here.

Some facts about sending on time
--------------------------------

* A wake-up is late, always. Whoever adds the interval to the time of waking drifts: iputils loses 2 to 4 % of its
  echoes to this.
* Thousands of targets that start together stay together: each interval begins with a burst, whose replies queue behind
  one another and measure the queue.
* After a stretch without the processor, making up for all that was missed is another burst, and measures nothing.

What this means here
--------------------

A target's next probe is due one interval after the last one *was due*. Targets that repeat start spread over their
interval. Intervals that were missed altogether are skipped, and reported as not measured.

All times are monotonic nanoseconds.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush

from pingsock.probe.clock import MILLISECOND, NEVER, SECOND
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.probe.course import Course

    Entry = tuple[int, int, Course]

PATIENCE = 10 * SECOND
"""Of those who probe many hosts: three times what the kernel takes to give up a neighbour, whose packets take room."""
_BURST = 10 * MILLISECOND
"""What a limited rate may make up for after a late wake-up, as time; longer ones are lost, not hurried after."""


class Plan(Value):
    """How often and how long each target is probed, and how fast all of them together."""

    count: int = 1
    """Probes of each target; 0 is no limit."""
    retries: int = 0
    """Further probes, one at a time, of a target whose `count` probes brought no reply."""
    timeout_ns: int = SECOND
    """A reply that arrives later is late."""
    interval_ns: int = SECOND
    """From one probe of a target to its next."""
    rate: float = 0.0
    """Probes a second over all targets; 0 is no limit."""
    patience_ns: int = 0
    """How long a target's first probe is tried again, if that is longer than its timeout, where this host has no room
    to send it, as while the link's neighbours are looked for. Further ones give up after their timeout; and so does
    everybody once no probe at all has found room for so long."""
    late_window_ns: int = SECOND
    """How long after its timeout a probe may still be answered late. Its sequence number is not used again before."""


class Pace:
    """Spaces probes evenly to a rate, without drift."""

    def __init__(self, rate: float) -> None:
        self._gap = SECOND / rate if rate else 0.0
        self._due = 0.0

    def free_at(self) -> int:
        """When the next probe may leave."""
        return int(self._due)

    def spend(self, now: int) -> None:
        """A probe leaves now."""
        if self._gap:
            self._due = max(self._due, float(now - _BURST)) + self._gap


class Agenda:
    """What is due when: the earliest first, and of those due together the one that was entered first.

    Courses with one interval come up in the order in which they were entered. So there is a line, for what is due no
    earlier than all in it, and a heap for the rest: in the line a turn costs the same however many there are.
    """

    def __init__(self) -> None:
        self._line: deque[Entry] = deque()
        self._heap: list[Entry] = []
        self._entered = 0

    def enter(self, due: int, course: Course) -> None:
        """Let `course` come up at `due`."""
        self._entered += 1
        line = self._line
        if not line or due >= line[-1][0]:
            line.append((due, self._entered, course))
        else:
            heappush(self._heap, (due, self._entered, course))

    def due_at(self) -> int:
        """When the first comes up; NEVER if there is none."""
        entries = self._heap if self._heap_is_first() else self._line
        return entries[0][0] if entries else NEVER

    def first_due(self, now: int) -> Course | None:
        """What comes up first, None if that is not due yet. What has ended is forgotten."""
        while True:
            entries = self._heap if self._heap_is_first() else self._line
            if not entries or entries[0][0] > now:
                return None
            course = entries[0][2]
            if not course.ended:
                return course
            self.take()

    def take(self) -> Course:
        """Remove what comes up first and return it. IndexError if there is nothing."""
        return heappop(self._heap)[2] if self._heap_is_first() else self._line.popleft()[2]

    def _heap_is_first(self) -> bool:
        return bool(self._heap) and (not self._line or self._heap[0] < self._line[0])

    def forget_ended(self) -> None:
        """Remove the courses that have ended."""
        self._line = deque(entry for entry in self._line if not entry[2].ended)
        self._heap = [entry for entry in self._heap if not entry[2].ended]
        heapify(self._heap)

    def __len__(self) -> int:
        return len(self._line) + len(self._heap)


def skipped_intervals(due: int, now: int, interval: int) -> int:
    """Whole intervals since `due` that have gone by without a probe."""
    return (now - due) // interval if interval > 0 and now > due else 0


def spread(position: int, interval: int) -> int:
    """How long after its start target number `position` of many begins, so that any number of them lies evenly.

    Multiples of the golden ratio, modulo 1: each falls into the widest gap the others left (Weyl's sequence).
    """
    return (position * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) * interval >> 64
