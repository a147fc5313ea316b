"""The prober's engine: what to send next, when to be called again, and what became of it all. It never does I/O.

Theory of operation
-------------------

A *course* is a target with its plan. Courses wait in an agenda by the time their next probe is due; further ones are
pulled from a stream as there is room, so a million targets need no more memory than those under way.

A *lane* is one socket, with the ledger of its probes. It takes a probe if its next sequence number is free and its
receive buffer has room for one more reply. If no lane does, `wanted` names the socket settings another one is needed
for, and the driver opens it; if there can be no more, sending waits until replies and timeouts make room.

A driver calls, again and again:

    departure(now) ... sent() or refused()     while there is something to send
    heard(lane, record)                        for all that a lane's ledger made of what arrived
    called(now)                                when it wakes
    dropped(lane, total, now)                  when it looked at the socket's drop counter
    advance(now)                               after everything that had arrived was read
    take()                                     what happened, with the course it happened to
    wakes_at()                                 when to call again if nothing arrives

All times are monotonic nanoseconds. What the engine was not called for is known to it: silence in such a stretch is
`Unmeasured`, and probes that were due then are `Skipped`.
"""

from __future__ import annotations

import errno
from collections import deque

from pingsock.probe.absence import Absences
from pingsock.probe.clock import MILLISECOND, NEVER
from pingsock.probe.course import Course
from pingsock.probe.records import (
    IcmpError,
    Late,
    Overflow,
    Reply,
    SendFailure,
    Skipped,
    Stray,
    Summary,
    Timeout,
    Unmeasured,
)
from pingsock.probe.schedule import Agenda, Pace, skipped_intervals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pingsock.probe.flow import SocketSettings
    from pingsock.probe.ledger import Ledger
    from pingsock.probe.records import Record

    Departure = tuple["Lane", Course, int]
    Happening = tuple[Course | None, Record | Stray | Summary]

MOST_LANES = 64
"""Sockets an engine asks for: four million probes under way."""
NO_ROOM = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)
"""A full queue or a full neighbour table: nothing was sent, and nothing is known of the target."""
_ENDED_KEPT = 64
"""Ended courses the agenda may hold beyond as many as those that are active."""
_DECIDED_AT_ONCE = 1024
"""Probes whose silence is told in one call."""
_PAUSE = 10 * MILLISECOND
"""Until a probe there was no room for is tried again."""
_MOST_POSTPONED = 256
"""Courses waiting for such room, beyond which no further one is pulled from the stream."""
_OUTCOMES = frozenset((Reply, Late, IcmpError, Timeout, Overflow, Unmeasured))
"""Of probes that were sent. (To ask by `isinstance` takes three times as long.)"""


class Lane:
    """One socket as the engine sees it."""

    def __init__(self, settings: SocketSettings, ledger: Ledger, room: int, usable_from: int) -> None:
        self.settings = settings
        self.ledger = ledger
        self.room = room
        """Probes that may wait for their replies at once."""
        self.usable_from = usable_from
        self.drops = 0
        """What the socket has dropped so far."""
        self.dropped_at = 0
        """When it was last seen to have dropped more."""

    def next_sequence(self, now: int) -> int:
        """The sequence number for one more probe now; -1 if it takes none."""
        ledger = self.ledger
        return ledger.next_sequence(now) if ledger.waiting < self.room and self.usable_from <= now else -1

    def takes_again_at(self, now: int) -> int:
        """When it may take a probe, as far as time alone decides."""
        if self.ledger.waiting >= self.room:
            return NEVER
        return max(self.usable_from, self.ledger.free_from(), now)


class Engine:
    """Sends the probes of any number of courses over any number of lanes."""

    def __init__(self, *, rate: float = 0.0, summaries: bool = True, most_lanes: int = MOST_LANES) -> None:
        self.wanted: SocketSettings | None = None
        """The settings of a socket that would be of use; the driver calls `add_lane` or `refuse_lane`."""
        self.lanes: list[Lane] = []
        self.active = 0
        """Courses that are not over, those still in the stream not counted."""
        self.full_since = 0
        """Since when there has been no room for any probe; 0 if it is not so."""
        self._pace = Pace(rate)
        self._is_paced = rate > 0
        self._agenda = Agenda()
        self._stream: Iterator[Course | None] | None = None
        self._stream_waits = False
        self._summaries = summaries
        self._most_lanes = most_lanes
        self._by_settings: dict[SocketSettings, list[Lane]] = {}
        self._refused: dict[SocketSettings, tuple[int, int]] = {}
        """Settings -> why there is no such socket, and until when it need not be tried again."""
        self._absences = Absences()
        self._happened: deque[Happening] = deque()
        self._blocked_until = 0
        self._postponed = 0
        self._advanced_at = 0

    # Courses

    def add(self, course: Course, due: int) -> None:
        """Begin a course with its first probe at `due`."""
        course.due = due
        self.active += 1
        self._agenda.enter(due, course)

    def feed(self, courses: Iterator[Course | None]) -> None:
        """Begin these courses one by one, as there is time and room for each.

        None among them says that the next one is not known yet. It is asked for after `look_again`.
        """
        self._stream = courses
        self._stream_waits = False

    def look_again(self) -> None:
        """The stream may know its next course by now."""
        self._stream_waits = False

    def remove(self, course: Course) -> None:
        """End a course now. What is heard of its probes from now on is nobody's business."""
        course.removed = True
        if not course.ended:
            self._end(course)
        # Whoever comes and goes would otherwise stay until his next probe was due.
        if len(self._agenda) > 2 * self.active + _ENDED_KEPT:
            self._agenda.forget_ended()

    @property
    def busy(self) -> bool:
        """Whether there is anything left to do."""
        return bool(self.active) or self._stream is not None

    # Lanes

    def add_lane(self, settings: SocketSettings, ledger: Ledger, room: int, usable_from: int) -> Lane:
        """A socket with these settings is there."""
        lane = Lane(settings, ledger, room, usable_from)
        self.lanes.append(lane)
        self._by_settings.setdefault(settings, []).append(lane)
        self.wanted = None
        self._blocked_until = 0
        return lane

    def refuse_lane(self, settings: SocketSettings, number: int, until: int = NEVER) -> None:
        """No (further) socket with these settings can be opened, with that errno, before `until`.

        If there is none yet, the probes that need one fail with it.
        """
        self._refused[settings] = number, until
        self.wanted = None
        self._blocked_until = 0

    def _need_lane(self, course: Course, lanes: Sequence[Lane], now: int) -> None:
        """None of the lanes it may use takes one more probe now."""
        warming = any(lane.usable_from > now for lane in lanes)
        if not warming and not self._is_refused(course.settings, now):
            self._want(course.settings)
        self._blocked_until = min((lane.takes_again_at(now) for lane in lanes), default=NEVER)

    def _want(self, settings: SocketSettings) -> None:
        if len(self.lanes) < self._most_lanes:
            self.wanted = settings
        elif settings not in self._by_settings:
            # Room will never come: no socket of these settings can be among those there are.
            self._refused[settings] = errno.EMFILE, NEVER

    def _is_refused(self, settings: SocketSettings, now: int) -> bool:
        if settings in self._refused and self._refused[settings][1] <= now:
            del self._refused[settings]
        return settings in self._refused

    # Sending

    def departure(self, now: int) -> Departure | None:
        """The next probe to send: lane, course and sequence number. None if nothing is due, or there is no room.

        `sent` or `refused` must follow.
        """
        self._blocked_until = 0
        if self.wanted is not None or (self._is_paced and self._pace.free_at() > now):
            return None
        course = self._agenda.first_due(now) or self._pull(now)
        if course is None:
            return None
        lanes = self._by_settings.get(course.settings, ())
        for lane in lanes:
            sequence = lane.next_sequence(now)
            if sequence >= 0:
                self._agenda.take()
                if now - course.due >= course.plan.interval_ns:
                    self._skip_missed(course, now)
                return lane, course, sequence
        self._need_lane(course, lanes, now)
        if self._is_hopeless(course):
            # No more than one a call: a stream may hold a million of them, and each is to be told.
            self._agenda.take()
            self._blocked_until = 0
            self._fail(course, self._refused[course.settings][0], 0, now)
        return None

    def _may_pull(self) -> bool:
        return self._stream is not None and not self._stream_waits and not self.is_crowded

    def _pull(self, now: int) -> Course | None:
        """The next course of the stream, which is due now and comes first in the agenda."""
        if self._stream is None or not self._may_pull():
            return None
        try:
            course = next(self._stream)
        except StopIteration:
            self._stream = None
            return None
        if course is None:
            self._stream_waits = True
        else:
            self.add(course, now)
        return course

    def _is_hopeless(self, course: Course) -> bool:
        return course.settings in self._refused and course.settings not in self._by_settings

    def _skip_missed(self, course: Course, now: int) -> None:
        missed = 0 if course.all_sent else skipped_intervals(course.due, now, course.plan.interval_ns)
        course.due += missed * course.plan.interval_ns
        # A course that begins late has missed nothing.
        if missed and course.number:
            self._tell(course, Skipped(course.target, 0, 0, 0, missed))

    def sent(self, departure: Departure, now: int) -> None:
        """The probe was given to the kernel, just after `now`."""
        lane, course, sequence = departure
        plan = course.plan
        self.full_since = 0
        self._count(course, now)
        course.statistics.sent += 1
        course.undecided += 1
        lane.ledger.sent(sequence, course, course.number, now, plan.timeout_ns, plan.late_window_ns)

    def refused(self, departure: Departure, number: int, mtu: int, now: int) -> None:
        """The kernel refused the probe with this errno. Where it only has no room, the probe is tried again."""
        course = departure[1]
        if number in NO_ROOM and self._may_find_room(course, now):
            self._postpone(course, now)
        else:
            self._fail(course, number, mtu, now)

    def _may_find_room(self, course: Course, now: int) -> bool:
        """Whether to try again: not for longer than the timeout where nobody at all has found room for so long."""
        self.full_since = self.full_since or now
        waited, patience = now - (course.postponed_since or now), course.patience_ns
        return waited < course.plan.timeout_ns or (waited < patience and now - self.full_since < patience)

    @property
    def is_crowded(self) -> bool:
        """Whether so many courses wait for room that no further one should."""
        return self._postponed >= _MOST_POSTPONED

    def _postpone(self, course: Course, now: int) -> None:
        if not course.postponed_since:
            course.postponed_since = now
            self._postponed += 1
        self._agenda.enter(now + _PAUSE, course)

    def _no_longer_postponed(self, course: Course) -> None:
        if course.postponed_since:
            course.postponed_since = 0
            self._postponed -= 1

    def _fail(self, course: Course, number: int, mtu: int, now: int) -> None:
        self._count(course, now)
        self._tell(course, SendFailure(course.target, course.number, 0, 0, number, mtu))
        self._perhaps_end(course)

    def _count(self, course: Course, now: int) -> None:
        course.number += 1
        if course.postponed_since:
            self._no_longer_postponed(course)
        if self._is_paced:
            self._pace.spend(now)
        if not course.all_sent:
            # Without an interval whoever had a turn goes to the end of the line, or others would never have one.
            course.due = course.due + course.plan.interval_ns if course.plan.interval_ns else now
            self._agenda.enter(course.due, course)

    # Hearing

    def heard(self, lane: Lane, record: Record | Stray) -> None:
        """The lane's ledger made this of something that arrived, or did not."""
        kind = type(record)
        if kind is Stray:
            self._happened.append((None, record))
            return
        course = lane.ledger.flows[record.sequence]
        if not isinstance(course, Course) or course.removed:
            return
        self._tell(course, record)
        if kind in _OUTCOMES and not getattr(record, "revises", ""):
            self._decided(course)

    def dropped(self, lane: Lane, total: int, now: int) -> None:
        """The socket has dropped so many packets since it was opened."""
        if total > lane.drops:
            lane.drops, lane.dropped_at = total, now

    def called(self, now: int) -> None:
        """The driver runs, whatever it comes to do."""
        self._absences.called(now)

    def advance(self, now: int) -> None:
        """Decide what has waited long enough. What came before `now` for probes that wait must have been read.

        If very much has, the rest is left to the next call, so that reading and sending have their turns. What else a
        channel left unread, late replies and duplicates, it reads before the next call; so their probes are not
        forgotten before that.
        """
        self.called(now)
        left, read_until = _DECIDED_AT_ONCE, self._advanced_at
        self._advanced_at = now
        for lane in self.lanes:
            silent = lane.ledger.silent(now, max(left, 0), read_until)
            left -= len(silent)
            for sequence in silent:
                sent_at = lane.ledger.sent_at[sequence]
                absent = self._absences.within(sent_at, lane.ledger.deadlines[sequence])
                record = lane.ledger.silence(sequence, dropped=lane.dropped_at > sent_at, absent=absent)
                self.heard(lane, record)

    def _decided(self, course: Course) -> None:
        course.undecided -= 1
        if not course.undecided and course.all_sent:
            self._perhaps_end(course)

    def _perhaps_end(self, course: Course) -> None:
        if course.ended:
            return
        if course.wants_retry:
            course.retries -= 1
            course.due += course.plan.interval_ns
            self._agenda.enter(course.due, course)
        elif course.is_over:
            self._end(course)

    def _end(self, course: Course) -> None:
        course.ended = True
        self._no_longer_postponed(course)
        self.active -= 1
        if self._summaries:
            self._happened.append((course, Summary(course.target, course.statistics)))

    # Telling

    def _tell(self, course: Course, record: Record | Stray) -> None:
        course.statistics.enter(record)
        self._happened.append((course, record))

    def take(self) -> deque[Happening]:
        """What has happened since the last call, in order."""
        happened, self._happened = self._happened, deque()
        return happened

    def wakes_at(self, now: int) -> int:
        """When to be called again if nothing arrives; NEVER if only an arrival, or a lane, can change anything."""
        due = now if self._may_pull() else self._agenda.due_at()
        wake = max(due, self._pace.free_at(), self._blocked_until)
        for lane in self.lanes:
            wake = min(wake, lane.ledger.next_deadline())
        self._absences.asks_for(max(wake, now))
        return wake
