"""The engine without any network: streams, room, refusals, removal, and what it costs."""

from __future__ import annotations

import errno
import gc
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from pingsock.probe.clock import MILLISECOND, NEVER, SECOND, Stepwatch
from pingsock.probe.course import Course
from pingsock.probe.engine import Engine, Lane
from pingsock.probe.ledger import Ledger
from pingsock.probe.records import SendFailure, Summary, Timeout
from pingsock.probe.schedule import Plan
from pingsock.wire import linux
from probe.lab_bench import EPOCH, target_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pingsock.probe.engine import Departure, Happening

ADDRESS, ADDRESS6 = "192.0.2.1", "2001:db8::1"
ANSWERED, REFUSED, SILENT = 0, errno.ENOBUFS, -1


class Counted(Course):
    """A course that knows how many of its kind there are."""

    alive: ClassVar[int] = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        Counted.alive += 1

    def __del__(self) -> None:
        Counted.alive -= 1


@pytest.fixture(autouse=True)
def none_is_alive() -> None:
    gc.collect()
    Counted.alive = 0


class Driver:
    """Drives an engine. `fate` says what becomes of each probe: ANSWERED, SILENT or an errno."""

    def __init__(
        self, fate: Callable[[Course], int] = lambda _: ANSWERED, *, room: int = 1000, **settings: Any
    ) -> None:
        self.now = 3 * SECOND
        self.fate = fate
        self.room = room
        self.stepwatch = Stepwatch()
        self.stepwatch.show(self.now, self.now + EPOCH)
        self.engine = Engine(**settings)
        self.opens = True
        self.most_alive = self.most_told = self.turns = self.attempts = 0
        self.told: Counter[str] = Counter()

    def run(self, until: int = NEVER, hear: Callable[[list[Happening]], None] = lambda _: None) -> None:
        while self.engine.busy and self.now < until:
            wake = self.turn(hear)
            assert wake < NEVER or not self.engine.busy
            self.now = max(self.now, min(wake, until))

    def turn(self, hear: Callable[[list[Happening]], None] = lambda _: None) -> int:
        self.turns += 1
        self.engine.advance(self.now)
        for _ in range(64):
            departure = self.engine.departure(self.now)
            if departure is not None:
                self.send(departure)
            elif self.engine.wanted is not None:
                self.open()
            else:
                break
        happened = list(self.engine.take())
        self.most_alive = max(self.most_alive, Counted.alive)
        self.most_told = max(self.most_told, len(happened))
        self.told.update(type(record).__name__ for _, record in happened)
        hear(happened)
        return self.engine.wakes_at(self.now)

    def open(self) -> None:
        wanted = self.engine.wanted
        assert wanted is not None
        if self.opens:
            self.engine.add_lane(wanted, Ledger(wanted[0], self.stepwatch, b""), self.room, self.now + MILLISECOND)
        else:
            self.engine.refuse_lane(wanted, errno.EMFILE)

    def send(self, departure: Departure) -> None:
        self.attempts += 1
        lane, course, sequence = departure
        fate = self.fate(course)
        if fate > 0:
            self.engine.refused(departure, fate, 0, self.now)
            return
        self.engine.sent(departure, self.now)
        if fate == ANSWERED:
            self.answer(lane, course, sequence)

    def answer(self, lane: Lane, course: Course, sequence: int) -> None:
        kind = 0 if course.target.family == linux.AF_INET else 129
        message = bytes([kind, 0, 0, 0, 0, 0]) + sequence.to_bytes(2, "big")
        record = lane.ledger.reply_untrusted(message, course.target.address, 0, 64, self.now, self.now + EPOCH)
        self.engine.heard(lane, record)


QUICK = Plan(timeout_ns=100 * MILLISECOND, late_window_ns=100 * MILLISECOND)


def stream(count: int, plan: Plan = QUICK, address: str = ADDRESS) -> Iterator[Course]:
    target = target_at(address)
    for _ in range(count):
        yield Counted(target, plan, b"")


# What it costs


def calls_of(function: Callable[[], None]) -> int:
    """How many functions are called, C functions included."""
    count = 0

    def notice(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(notice)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("silent_every", [3, 10**9])
def test_a_target_costs_the_same_among_a_thousand_and_among_many(silent_every: int) -> None:
    def cost(count: int) -> float:
        position = 0

        def fate(_course: Course) -> int:
            nonlocal position
            position += 1
            return ANSWERED if position % silent_every else SILENT

        driver = Driver(fate, rate=10_000.0)
        driver.engine.feed(stream(count))
        calls = calls_of(driver.run)
        assert driver.told["Summary"] == count
        return calls / count

    few, more, many = cost(1000), cost(10_000), cost(40_000)
    assert more < few * 1.15
    assert many < more * 1.05


@pytest.mark.parametrize("plan", [QUICK, QUICK.replace(count=3, interval_ns=20 * MILLISECOND)])
def test_no_more_targets_are_in_memory_than_can_still_be_heard_of(plan: Plan) -> None:
    rate = 20_000.0
    most = []
    for count in (10_000, 30_000):
        driver = Driver(rate=rate)
        driver.engine.feed(stream(count, plan))
        driver.run()
        assert driver.told == {"Reply": count * plan.count, "Summary": count}
        most.append(driver.most_alive)
        del driver
        assert Counted.alive == 0
    heard_of = rate * (plan.timeout_ns + plan.late_window_ns) / SECOND / plan.count
    assert max(most) < heard_of * 1.25 + 200


def test_a_stream_without_a_rate_is_read_no_faster_than_there_is_room() -> None:
    driver = Driver(lambda _: SILENT, room=10, most_lanes=3)
    driver.engine.feed(stream(300))
    driver.run()
    assert driver.told == {"Timeout": 300, "Summary": 300}
    assert len(driver.engine.lanes) == 3
    assert driver.most_alive <= 3 * 10 * 4


def test_the_sockets_opened_do_not_grow_with_the_targets() -> None:
    driver = Driver(lambda _: SILENT, room=4)
    driver.engine.feed(stream(3000))
    driver.run()
    assert len(driver.engine.lanes) == 64


# Streams that cannot be sent


def test_a_stream_nobody_can_send_is_told_piece_by_piece() -> None:
    driver = Driver()
    driver.opens = False
    driver.engine.feed(stream(5000, address=ADDRESS6))
    driver.run()
    assert driver.told == {"SendFailure": 5000, "Summary": 5000}
    assert driver.most_told <= 2 * 64
    assert driver.most_alive <= 100


def test_a_full_neighbour_table_does_not_swallow_the_stream() -> None:
    driver = Driver(lambda _: REFUSED)
    driver.engine.feed(stream(3000))
    driver.run()
    assert driver.told == {"SendFailure": 3000, "Summary": 3000}
    assert driver.most_alive <= 300
    assert driver.attempts < 3000 * 15


def test_room_that_comes_back_in_time_costs_no_probe() -> None:
    driver = Driver(lambda _: REFUSED if driver.now < 3 * SECOND + 50 * MILLISECOND else ANSWERED)
    driver.engine.feed(stream(100))
    driver.run()
    assert driver.told == {"Reply": 100, "Summary": 100}


def test_who_has_patience_is_sent_its_first_probe_however_long_the_link_is_full() -> None:
    refused_until = 3 * SECOND + 8 * QUICK.timeout_ns
    driver = Driver(lambda course: REFUSED if driver.now < refused_until else SILENT)
    patient = QUICK.replace(patience_ns=9 * QUICK.timeout_ns)
    driver.engine.feed(stream(100, plan=patient))
    driver.run()
    assert driver.told == {"Timeout": 100, "Summary": 100}


def test_patience_ends_and_is_for_the_first_probe_alone() -> None:
    plan = QUICK.replace(count=3, interval_ns=0, patience_ns=4 * QUICK.timeout_ns)
    refusals: dict[int, list[int]] = {}

    def refuse(course: Course) -> int:
        refusals.setdefault(course.number, []).append(driver.now)
        return REFUSED

    driver = Driver(refuse)
    driver.engine.feed(stream(1, plan=plan))
    driver.run()
    assert driver.told == {"SendFailure": 3, "Summary": 1}
    assert [times[-1] - times[0] for times in refusals.values()] == [4 * QUICK.timeout_ns, *[QUICK.timeout_ns] * 2]


def test_where_nobody_finds_room_only_the_first_are_patient() -> None:
    patience = 100 * QUICK.timeout_ns
    driver = Driver(lambda _: REFUSED)
    begin = driver.now
    driver.engine.feed(stream(3000, plan=QUICK.replace(patience_ns=patience)))
    ends: list[int] = []
    driver.run(hear=lambda told: ends.extend(driver.now - begin for _ in told))
    assert driver.told == {"SendFailure": 3000, "Summary": 3000}
    assert ends[0] >= patience
    assert ends[-1] < patience + 3000 // 256 * 2 * QUICK.timeout_ns


def test_whoever_is_sent_gives_the_others_hope() -> None:
    patience = 100 * QUICK.timeout_ns
    driver = Driver(lambda course: SILENT if course.target.address[0] == "192.0.2.2" else REFUSED)
    plan, begin = QUICK.replace(patience_ns=patience), driver.now
    for address, due in ((ADDRESS, 0), ("192.0.2.2", patience // 2), (ADDRESS, patience // 2)):
        driver.engine.add(Course(target_at(address), plan, b""), begin + due)
    ends: list[int] = []
    driver.run(hear=lambda told: ends.extend(driver.now - begin for _ in told))
    assert driver.told == {"SendFailure": 2, "Timeout": 1, "Summary": 3}
    assert ends[-1] >= patience * 3 // 2


def test_a_family_that_cannot_be_sent_costs_the_other_nothing() -> None:
    driver = Driver()
    driver.engine.refuse_lane(Course(target_at(ADDRESS6), QUICK, b"").settings, errno.EAFNOSUPPORT)
    both = [course for pair in zip(stream(50), stream(50, address=ADDRESS6), strict=True) for course in pair]
    driver.engine.feed(iter(both))
    failed: list[SendFailure] = []
    driver.run(hear=lambda told: failed.extend(record for _, record in told if isinstance(record, SendFailure)))
    assert driver.told == {"Reply": 50, "SendFailure": 50, "Summary": 100}
    assert {(record.errno, record.target.address[0]) for record in failed} == {(errno.EAFNOSUPPORT, ADDRESS6)}


def test_when_no_more_sockets_may_be_opened_the_probes_that_need_another_kind_fail() -> None:
    driver = Driver(lambda _: SILENT, room=1, most_lanes=2)
    for address in (ADDRESS, ADDRESS, ADDRESS6):
        driver.engine.add(Course(target_at(address), QUICK, b""), driver.now)
    driver.run()
    assert driver.told == {"Timeout": 2, "SendFailure": 1, "Summary": 3}


def test_what_a_stream_raises_reaches_the_driver_and_harms_no_course() -> None:
    def broken() -> Iterator[Course]:
        yield from stream(2)
        raise RuntimeError("the file ended early")

    driver = Driver(lambda _: SILENT)
    driver.engine.feed(broken())
    with pytest.raises(RuntimeError, match="ended early"):
        driver.run()
    driver.run()
    assert driver.told == {"Timeout": 2, "Summary": 2}


def test_a_stream_that_waits_is_not_asked_again_and_again() -> None:
    known: list[Course | None] = [Course(target_at(ADDRESS), QUICK, b""), None]
    asked = 0

    def names() -> Iterator[Course | None]:
        nonlocal asked
        while known:
            asked += 1
            yield known.pop(0)

    driver = Driver()
    driver.engine.feed(names())
    for _ in range(10):
        driver.now = max(driver.now, min(driver.turn(), driver.now + SECOND))
    assert asked == 2
    assert driver.engine.busy
    known.append(Course(target_at(ADDRESS), QUICK, b""))
    driver.engine.look_again()
    driver.run()
    assert driver.told == {"Reply": 2, "Summary": 2}


# Courses that come and go


def test_a_removed_course_is_heard_of_no_more() -> None:
    driver = Driver(lambda _: SILENT)
    courses = [Course(target_at(ADDRESS), QUICK.replace(count=0), b"") for _ in range(10)]
    for course in courses:
        driver.engine.add(course, driver.now)
    driver.run(driver.now + 50 * MILLISECOND)
    for course in courses:
        driver.engine.remove(course)
        driver.engine.remove(course)
    driver.turn()
    assert driver.told == {"Summary": 10}
    assert not driver.engine.busy
    driver.now += SECOND
    driver.turn()
    assert driver.told == {"Summary": 10}


def test_targets_come_and_go_for_a_long_time_and_leave_nothing_behind() -> None:
    driver = Driver(rate=0.0)
    plan = QUICK.replace(count=0, interval_ns=10 * MILLISECOND)
    for _ in range(50):
        courses = list(stream(20, plan))
        for course in courses:
            driver.engine.add(course, driver.now)
        driver.run(driver.now + 100 * MILLISECOND)
        for course in courses:
            driver.engine.remove(course)
        del course, courses
    assert driver.most_alive <= 20 * 5
    driver.now += SECOND
    driver.turn()
    driver.turn()
    assert Counted.alive == 0


def test_removed_targets_with_long_intervals_are_not_kept_until_they_were_due() -> None:
    driver = Driver()
    plan = QUICK.replace(count=0, interval_ns=3600 * SECOND)
    for _ in range(1000):
        course = next(stream(1, plan))
        driver.engine.add(course, driver.now)
        driver.run(driver.now + 100 * MILLISECOND)
        driver.engine.remove(course)
    del course
    driver.engine.take()
    assert Counted.alive < 200


def test_records_of_one_kind_of_silence_do_not_pass_for_another() -> None:
    """Whatever the reasons for silence: an answer makes the probe answered, once."""
    driver = Driver(lambda _: SILENT)
    course = Course(target_at(ADDRESS), QUICK, b"")
    driver.engine.add(course, driver.now)
    driver.run(driver.now + 50 * MILLISECOND)
    driver.engine.dropped(driver.engine.lanes[0], 1, driver.now)
    told: list[Happening] = []
    driver.run(hear=told.extend)
    assert [type(record).__name__ for _, record in told] == ["Overflow", "Summary"]
    assert isinstance(told[0][1], Timeout)
    driver.answer(driver.engine.lanes[0], course, 0)
    (_, late), *more = driver.engine.take()
    assert getattr(late, "revises", "") == "timeout"
    assert not more
    assert (course.statistics.overflows, course.statistics.late) == (0, 1)
    assert isinstance(told[1][1], Summary)


def test_a_socket_that_could_not_be_opened_for_a_while_is_asked_for_again() -> None:
    engine = Engine()
    course = Course(target_at(ADDRESS), Plan(count=0, timeout_ns=MILLISECOND), b"")
    engine.add(course, 0)
    assert engine.departure(0) is None
    assert engine.wanted == course.settings

    engine.refuse_lane(course.settings, errno.EMFILE, until=SECOND // 2)
    assert engine.departure(0) is None
    assert [type(record) for _, record in engine.take()] == [SendFailure]

    assert engine.departure(SECOND) is None
    assert engine.wanted == course.settings


def test_a_flood_of_timeouts_leaves_turns_for_reading_and_sending() -> None:
    driver = Driver(lambda _: SILENT, room=5000)
    plan = Plan(timeout_ns=SECOND)
    for number in range(4000):
        driver.engine.add(Course(target_at(f"198.51.{number // 250}.{number % 250}"), plan, b""), driver.now)
    driver.run()
    assert driver.told["Timeout"] == 4000
    assert driver.most_told < 3000
