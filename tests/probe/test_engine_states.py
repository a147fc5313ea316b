"""Whatever is sent, heard, lost, forged, refused and removed in whatever order: what is told follows the written rule.

The model below keeps, for each probe, when it was sent and what was heard of it, and derives from the rule at the head
of `pingsock.probe.outcome` alone what has to be told next. It shares no code with the engine.
"""

from __future__ import annotations

import errno
from collections import Counter
from struct import pack
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pingsock.probe.clock import MILLISECOND, NEVER, SECOND, Stepwatch
from pingsock.probe.course import Course
from pingsock.probe.engine import Engine, Lane
from pingsock.probe.ledger import Ledger
from pingsock.probe.records import (
    ICMP_ERROR,
    OTHER_SOURCE,
    OTHER_TOKEN,
    TIMEOUT,
    UNKNOWN_SEQUENCE,
    Skipped,
    Stray,
    Summary,
)
from pingsock.probe.schedule import Plan
from pingsock.sockets.ancillary import ExtendedError
from pingsock.wire import linux
from probe.lab_bench import EPOCH, target_at

TOKEN = b"theToken"
PAYLOAD = TOKEN + bytes(8)
ADDRESSES = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
MOST_LANES = 2
TOLERANCE = 100 * MILLISECOND
REVISED = {"waiting": "", "silent": TIMEOUT, "erred": ICMP_ERROR, "answered": ""}

plans = st.builds(
    Plan,
    count=st.sampled_from([1, 2, 3]),
    retries=st.integers(0, 2),
    timeout_ns=st.sampled_from([100 * MILLISECOND, 300 * MILLISECOND]),
    interval_ns=st.sampled_from([0, 50 * MILLISECOND, 200 * MILLISECOND]),
    late_window_ns=st.sampled_from([0, 100 * MILLISECOND, 500 * MILLISECOND]),
)
durations = st.sampled_from([0, 1, MILLISECOND, 20 * MILLISECOND, 99 * MILLISECOND, 350 * MILLISECOND, 5 * SECOND])


class ModelCourse:
    def __init__(self, course: Course) -> None:
        self.course = course
        self.plan = course.plan
        self.number = 0
        self.undecided = 0
        self.answered = False
        self.removed = self.ended = False
        self.counts: Counter[str] = Counter()

    @property
    def is_over(self) -> bool:
        if self.number < self.plan.count or self.undecided:
            return False
        return self.answered or self.number == self.plan.count + self.plan.retries


class ModelProbe:
    def __init__(self, lane: int, sequence: int, of: ModelCourse, sent: int) -> None:
        self.lane, self.sequence, self.of, self.number = lane, sequence, of, of.number
        self.sent = self.left = sent
        self.stamped = True
        self.state = "waiting"

    @property
    def deadline(self) -> int:
        return self.sent + self.of.plan.timeout_ns

    @property
    def held_until(self) -> int:
        return self.deadline + self.of.plan.late_window_ns


class EngineMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 7 * SECOND
        self.offset = EPOCH
        self.stepwatch = Stepwatch()
        self.show()
        self.engine = Engine(most_lanes=MOST_LANES)
        self.courses: list[ModelCourse] = []
        self.probes: list[ModelProbe] = []
        self.drops: list[tuple[int, int]] = []
        self.absences: list[tuple[int, int]] = []
        self.expected_call = self.last_call = 0
        self.last_turn = self.now
        self.sends: Counter[int] = Counter()
        self.outcomes: Counter[int] = Counter()

    @initialize(room=st.integers(1, 5))
    def choose_room(self, room: int) -> None:
        self.room = room

    # Helpers

    def show(self) -> None:
        self.stepwatch.show(self.now, self.now + self.offset)

    def modelled(self, course: Course | None) -> ModelCourse:
        return next(model for model in self.courses if model.course is course)

    def told(self) -> list[tuple[ModelCourse, Any]]:
        """What the engine tells, less the strays; entered into the tallies of the test."""
        happened = [(self.modelled(course), record) for course, record in self.engine.take() if course is not None]
        for model, record in happened:
            model.counts[type(record).__name__] += record.count if isinstance(record, Skipped) else 1
            revised = getattr(record, "revises", "")
            if revised:
                model.counts["revised " + revised] += 1
        return happened

    def expect_end(self, model: ModelCourse, expected: list[tuple[ModelCourse, str, int, str]]) -> None:
        if model.is_over and not model.ended:
            model.ended = True
            expected.append((model, "Summary", 0, ""))

    def decided(self, probe: ModelProbe, state: str, expected: list[Any], kind: str) -> None:
        """A record of that kind is due, unless nobody listens any more."""
        model, before = probe.of, probe.state
        revises = REVISED[before] if kind not in ("Duplicate", "Note") else ""
        probe.state = state
        if model.removed:
            return
        expected.append((model, kind, probe.number, revises))
        model.answered = model.answered or state == "answered"
        if before == "waiting" != state:
            model.undecided -= 1
            self.expect_end(model, expected)

    def check(self, expected: list[tuple[ModelCourse, str, int, str]]) -> None:
        told = [
            (model, type(record).__name__, getattr(record, "number", 0), getattr(record, "revises", ""))
            for model, record in self.told()
        ]
        assert [entry for entry in told if entry[1] != "Skipped"] == expected

    def remembered(self) -> list[ModelProbe]:
        return [probe for probe in self.probes if probe.held_until > self.now]

    def lane_of(self, probe: ModelProbe) -> Lane:
        return self.engine.lanes[probe.lane]

    # Rules

    @rule(plan=plans, address=st.sampled_from(ADDRESSES), after=durations)
    def add(self, plan: Plan, address: str, after: int) -> None:
        model = ModelCourse(Course(target_at(address), plan, PAYLOAD))
        self.courses.append(model)
        self.engine.add(model.course, self.now + after)

    @rule(plans=st.lists(plans, max_size=5), address=st.sampled_from(ADDRESSES))
    def feed(self, plans: list[Plan], address: str) -> None:
        if self.engine._stream is None:
            models = [ModelCourse(Course(target_at(address), plan, PAYLOAD)) for plan in plans]
            self.courses += models
            self.engine.feed(model.course for model in models)

    @precondition(lambda self: self.courses)
    @rule(data=st.data())
    def remove(self, data: Any) -> None:
        model = data.draw(st.sampled_from(self.courses))
        if model.course.due == 0:
            return  # It is still in the stream.
        self.engine.remove(model.course)
        expected: list[Any] = [] if model.ended else [(model, "Summary", 0, "")]
        model.removed = model.ended = True
        self.check(expected)

    @rule(duration=durations)
    def time_passes(self, duration: int) -> None:
        self.now += duration

    @rule(step=st.sampled_from([-3600, -1, 1, 3600]))
    def somebody_sets_the_clock(self, step: int) -> None:
        self.now += 1
        self.offset += step * SECOND
        for probe in self.probes:
            probe.stamped = False

    @precondition(lambda self: self.engine.lanes)
    @rule(data=st.data())
    def buffer_overflows(self, data: Any) -> None:
        at = data.draw(st.integers(0, len(self.engine.lanes) - 1))
        lane = self.engine.lanes[at]
        self.engine.dropped(lane, lane.drops + 1, self.now)
        self.drops.append((at, self.now))

    @rule(failures=st.lists(st.sampled_from([0, 0, 0, errno.ENOBUFS, errno.ENETUNREACH]), max_size=6))
    def turn(self, failures: list[int]) -> None:
        """Everything has been read; a driver decides, sends and asks when to call again."""
        self.advance()
        for failure in failures:
            departure = self.engine.departure(self.now)
            if departure is None:
                break
            self.give_to_the_kernel(departure, failure)
        if self.engine.wanted is not None:
            self.answer_wish()
        self.wakes_at()

    def answer_wish(self) -> None:
        wanted = self.engine.wanted
        assert wanted is not None
        if len(self.engine.lanes) < MOST_LANES:
            ledger = Ledger(linux.AF_INET, self.stepwatch, TOKEN)
            self.engine.add_lane(wanted, ledger, self.room, self.now + MILLISECOND)
        else:
            self.engine.refuse_lane(wanted, errno.EMFILE)

    def advance(self) -> None:
        late = self.now - self.expected_call
        if self.expected_call and late > TOLERANCE:
            self.absences.append((max(self.expected_call - late, self.last_call), self.now))
        self.last_call = self.expected_call = self.now
        self.last_turn = self.now
        due = [probe for probe in self.probes if probe.state == "waiting" and probe.deadline <= self.now]
        self.engine.advance(self.now)
        told = self.told()
        outcomes = [(model, type(record).__name__, record.number) for model, record in told if hasattr(record, "sent")]
        expected: list[Any] = []
        for probe in due:
            self.decided(probe, "silent", expected, self.silence(probe))
        assert Counter(outcomes) == Counter((model, kind, number) for model, kind, number, _ in expected if number)
        assert Counter(model for model, record in told if isinstance(record, Summary)) == Counter(
            model for model, kind, *_ in expected if kind == "Summary"
        )

    def silence(self, probe: ModelProbe) -> str:
        if any(lane == probe.lane and at > probe.sent for lane, at in self.drops):
            return "Overflow"
        absent = sum(max(0, min(end, probe.deadline) - max(begin, probe.sent)) for begin, end in self.absences)
        return "Unmeasured" if absent * 2 >= probe.of.plan.timeout_ns else "Timeout"

    def give_to_the_kernel(self, departure: tuple[Lane, Course, int], failure: int) -> None:
        lane, course, sequence = departure
        model, at = self.modelled(course), self.engine.lanes.index(lane)
        assert not model.ended
        assert lane.ledger.waiting < self.room
        for older in self.probes:
            if (older.lane, older.sequence) == (at, sequence):
                assert older.held_until <= self.now
                assert older.state != "waiting"
        expected: list[Any] = []
        if not failure:
            model.number += 1
            model.undecided += 1
            self.show()
            self.engine.sent(departure, self.now)
            probe = ModelProbe(at, sequence, model, self.now)
            lane.ledger.left(self.sends[at], self.now + self.offset)
            self.sends[at] += 1
            self.probes.append(probe)
        else:
            postponed = course.postponed_since
            self.engine.refused(departure, failure, 0, self.now)
            patience_left = not postponed or self.now - postponed < model.plan.timeout_ns
            if failure != errno.ENOBUFS or not patience_left:
                model.number += 1
                expected.append((model, "SendFailure", model.number, ""))
                self.expect_end(model, expected)
        self.check(expected)

    def wakes_at(self) -> int:
        wake = self.engine.wakes_at(self.now)
        self.expected_call = max(wake, self.now)
        return wake

    # What arrives

    @precondition(lambda self: self.remembered())
    @rule(data=st.data(), stamped=st.booleans())
    def reply(self, data: Any, stamped: bool) -> None:
        probe = data.draw(st.sampled_from(self.remembered()))
        # What had arrived before the last turn was read then.
        arrived = data.draw(st.integers(max(probe.sent, self.last_turn), self.now))
        self.hear(probe, PAYLOAD, probe.of.course.target.address, arrived if stamped else 0)
        known = arrived if stamped and probe.stamped else self.now
        late = known - probe.sent > probe.of.plan.timeout_ns
        kind = "Duplicate" if probe.state == "answered" else "Late" if late else "Reply"
        expected: list[Any] = []
        self.decided(probe, "answered", expected, kind)
        self.check(expected)

    def hear(
        self, probe: ModelProbe, payload: bytes, source: Any, arrived: int, *, kind: int = 0, code: int = 0
    ) -> Any:
        self.show()
        lane = self.lane_of(probe)
        message = pack("!BBHHH", kind, code, 0, 4711, probe.sequence) + payload
        stamp = arrived + self.offset if arrived else 0
        record = lane.ledger.reply_untrusted(message, source, stamp, 64, self.now, self.now + self.offset)
        self.engine.heard(lane, record)
        return record

    @precondition(lambda self: self.remembered())
    @rule(data=st.data(), forgery=st.sampled_from(["source", "token", "type", "code", "sequence"]))
    def forged_reply(self, data: Any, forgery: str) -> None:
        probe = data.draw(st.sampled_from(self.remembered()))
        address = probe.of.course.target.address
        if forgery == "source":
            assert self.hear(probe, PAYLOAD, ("192.0.2.99", 0), self.now).reason == OTHER_SOURCE
        elif forgery == "token":
            assert self.hear(probe, b"anything" * 2, address, self.now).reason == OTHER_TOKEN
        elif forgery == "sequence":
            unknown = ModelProbe(probe.lane, 50_000, probe.of, self.now)
            assert self.hear(unknown, PAYLOAD, address, self.now).reason == UNKNOWN_SEQUENCE
        else:
            record = self.hear(probe, PAYLOAD, address, self.now, **{"kind" if forgery == "type" else "code": 8})
            assert isinstance(record, Stray)
        assert isinstance(self.engine._happened[-1][1], Stray)
        self.check([])

    @precondition(lambda self: self.remembered())
    @rule(data=st.data(), kind=st.sampled_from([3, 11, 12, 4, 5]), quoted=st.sampled_from([0, 8, 16]))
    def icmp_error(self, data: Any, kind: int, quoted: int) -> None:
        probe = data.draw(st.sampled_from(self.remembered()))
        lane = self.lane_of(probe)
        quote = pack("!BBHHH", 8, 0, 0, 4711, probe.sequence) + PAYLOAD[:quoted]
        entry = ExtendedError(errno.EHOSTUNREACH, linux.SO_EE_ORIGIN_ICMP, kind, 1, offender="10.0.0.1")
        record = lane.ledger.reported_untrusted(
            quote, probe.of.course.target.address, entry, self.now + self.offset, self.now, self.now + self.offset
        )
        assert record is not None
        self.engine.heard(lane, record)
        expected: list[Any] = []
        decides = kind in (3, 11, 12) and probe.state in ("waiting", "silent")
        self.decided(probe, "erred" if decides else probe.state, expected, "IcmpError" if decides else "Note")
        self.check(expected)

    @precondition(lambda self: self.remembered())
    @rule(data=st.data(), forgery=st.sampled_from(["destination", "token", "type", "sequence"]))
    def forged_error(self, data: Any, forgery: str) -> None:
        probe = data.draw(st.sampled_from(self.remembered()))
        sequence = 50_000 if forgery == "sequence" else probe.sequence
        payload = b"anything" if forgery == "token" else PAYLOAD
        quote = pack("!BBHHH", 0 if forgery == "type" else 8, 0, 0, 4711, sequence) + payload
        about = ("192.0.2.99", 0) if forgery == "destination" else probe.of.course.target.address
        entry = ExtendedError(errno.EHOSTUNREACH, linux.SO_EE_ORIGIN_ICMP, 3, 1, offender="10.0.0.1")
        assert self.lane_of(probe).ledger.reported_untrusted(quote, about, entry, 0, self.now, 0) is None

    # What always holds

    @invariant()
    def statistics_are_the_records(self) -> None:
        for model in self.courses:
            counts, statistics = model.counts, model.course.statistics
            assert statistics.received == counts["Reply"]
            assert statistics.late == counts["Late"]
            assert statistics.errors == counts["IcmpError"] - counts["revised " + ICMP_ERROR]
            silences = counts["Timeout"] + counts["Overflow"] + counts["Unmeasured"] - counts["revised " + TIMEOUT]
            assert statistics.timeouts + statistics.overflows + statistics.unmeasured == silences
            assert statistics.duplicates == counts["Duplicate"]
            assert statistics.notes == counts["Note"]
            assert statistics.send_failures == counts["SendFailure"]
            assert statistics.skipped == counts["Skipped"]
            if not model.removed:
                assert statistics.in_flight == model.undecided

    @invariant()
    def no_more_wait_than_there_is_room_for(self) -> None:
        for at, lane in enumerate(self.engine.lanes):
            waiting = sum(probe.lane == at and probe.state == "waiting" for probe in self.probes)
            assert lane.ledger.waiting == waiting <= self.room

    @invariant()
    def the_engine_is_busy_while_a_course_is_not_over(self) -> None:
        assert self.engine.busy or all(model.ended for model in self.courses)

    def teardown(self) -> None:
        """Left alone it comes to an end, without being called for nothing more than a few times."""
        idle = 0
        for _ in range(2000):
            if not self.engine.busy:
                break
            before = len(self.probes), sum(sum(model.counts.values()) for model in self.courses)
            self.turn([0] * 8)
            wake = self.wakes_at()
            progress = before != (len(self.probes), sum(sum(model.counts.values()) for model in self.courses))
            idle = 0 if progress or wake > self.now else idle + 1
            assert idle < 4
            assert wake < NEVER or not self.engine.busy
            self.now = max(self.now, min(wake, self.now + 10 * SECOND))
        assert not self.engine.busy
        assert all(model.ended for model in self.courses)
        for model in self.courses:
            if not model.removed:
                of = [probe for probe in self.probes if probe.of is model]
                assert all(probe.state != "waiting" for probe in of)
                told = sum(
                    model.counts[kind] for kind in ("Reply", "Late", "IcmpError", "Timeout", "Overflow", "Unmeasured")
                )
                assert told - model.counts["revised " + TIMEOUT] - model.counts["revised " + ICMP_ERROR] == len(of)


EngineMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestEngine = EngineMachine.TestCase
