from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from pingsock.probe.course import Course
from pingsock.probe.records import IcmpError, Reply, SendFailure, Summary, Timeout
from pingsock.probe.schedule import Plan, spread
from pingsock.probe.target import ProbeOptions, Target
from pingsock.wire import linux
from probe.fake_loop import FakeLoop, Told, answer, prober_in
from tools.fake_socket import MILLISECOND, SECOND, TARGET, TARGET6

V4 = Target(TARGET, linux.AF_INET, (TARGET, 0))
V6 = Target(TARGET6, linux.AF_INET6, (TARGET6, 0, 0, 0))
WHOLE = Target(TARGET, linux.AF_INET, (TARGET, 0), options=ProbeOptions(dont_fragment=True))
ONCE = Plan()
FOR_EVER = Plan(count=0)


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def told() -> Told:
    return Told()


def kinds_of(told: Told) -> list[type]:
    return [type(record) for record in told.records]


def test_a_reply_is_delivered_when_it_arrives(loop: FakeLoop, told: Told) -> None:
    with prober_in(loop, told) as prober:
        prober.engine.add(prober.course(V4, ONCE), loop.clock.now())
        prober.poke()
        loop.run(MILLISECOND)
        answer(loop.sockets[0], 20 * MILLISECOND)
        loop.run(30 * MILLISECOND)
        assert kinds_of(told) == [Reply, Summary]
        assert told.records[0].round_trip_ns == 20 * MILLISECOND


def test_silence_is_told_by_the_timer(loop: FakeLoop, told: Told) -> None:
    with prober_in(loop, told) as prober:
        prober.engine.add(prober.course(V4, Plan(timeout_ns=300 * MILLISECOND)), loop.clock.now())
        prober.poke()
        loop.run(SECOND)
        assert kinds_of(told) == [Timeout, Summary]


def test_targets_share_a_socket_for_each_family_and_setting(loop: FakeLoop, told: Told) -> None:
    with prober_in(loop, told) as prober:
        for target in (V4, V6, WHOLE) * 100:
            prober.engine.add(prober.course(target, ONCE), loop.clock.now())
        prober.poke()
        loop.run(3 * SECOND)
        assert [sock.family for sock in loop.sockets] == [linux.AF_INET, linux.AF_INET6, linux.AF_INET]
        assert sum(len(sock.sent) for sock in loop.sockets) == 300
        assert prober.sockets == tuple(loop.sockets)  # type: ignore[comparison-overlap] # they are fakes


def test_there_is_one_timer_for_all_probes(loop: FakeLoop, told: Told) -> None:
    with prober_in(loop, told) as prober:
        for number in range(1000):
            prober.engine.add(prober.course(V4, FOR_EVER), loop.clock.now() + spread(number, SECOND))
        prober.poke()
        for _ in range(50):
            loop.run(40 * MILLISECOND)
            assert len(loop.live_timers()) == 1


def test_nothing_turns_while_there_is_nothing_to_do(loop: FakeLoop, told: Told) -> None:
    with prober_in(loop, told) as prober:
        prober.engine.add(prober.course(V4, Plan(count=0, interval_ns=10 * SECOND)), loop.clock.now())
        prober.poke()
        loop.run(MILLISECOND)
        answer(loop.sockets[0], MILLISECOND)
        loop.run(100 * MILLISECOND)
        assert kinds_of(told) == [Reply]
        turns = told.turns
        loop.run(SECOND)
        # One for the deadline of the probe that was answered, at which the timer still stood.
        assert told.turns - turns <= 1


def test_ten_seconds_of_probes_take_a_few_turns_each(loop: FakeLoop, told: Told) -> None:
    with prober_in(loop, told) as prober:
        prober.engine.add(prober.course(V4, FOR_EVER), loop.clock.now())
        prober.poke()
        loop.run(MILLISECOND)
        answer(loop.sockets[0], MILLISECOND)
        loop.run(9500 * MILLISECOND)
        assert kinds_of(told) == [Reply] * 10
        assert told.turns <= 40


def test_a_prober_without_work_has_no_timer(loop: FakeLoop, told: Told) -> None:
    with prober_in(loop, told) as prober:
        prober.poke()
        loop.run(SECOND)
        assert (told.turns, loop.live_timers(), loop.readers) == (1, [], {})


def test_an_icmp_error_takes_one_turn(loop: FakeLoop, told: Told) -> None:
    with prober_in(loop, told) as prober:
        prober.engine.add(prober.course(V4, ONCE), loop.clock.now())
        prober.poke()
        loop.run(MILLISECOND)
        sock = loop.sockets[0]
        sock.on_send = lambda sequence: sock.error(sequence, 3, 1, after=50 * MILLISECOND)
        loop.run(49 * MILLISECOND)
        turns = told.turns
        loop.run(5 * MILLISECOND)
        assert kinds_of(told) == [IcmpError, Summary]
        assert told.turns == turns + 1


def test_poking_often_is_poking_once(loop: FakeLoop, told: Told) -> None:
    with prober_in(loop, told) as prober:
        for _ in range(100):
            prober.poke()
        loop.run(MILLISECOND)
        assert told.turns == 1


def test_closing_leaves_nothing_behind(loop: FakeLoop, told: Told) -> None:
    with prober_in(loop, told) as prober:
        for target in (V4, V6):
            prober.engine.add(prober.course(target, FOR_EVER), loop.clock.now())
        prober.poke()
        loop.run(SECOND)
        prober.close()
        prober.close()
        assert (loop.live_timers(), loop.readers) == ([], {})
        assert all(sock.closed for sock in loop.sockets)
        prober.poke()
        prober.resume()
        assert loop.live_timers() == []


def test_paused_it_neither_sends_nor_reads(loop: FakeLoop, told: Told) -> None:
    with prober_in(loop, told) as prober:
        prober.engine.add(prober.course(V4, FOR_EVER), loop.clock.now())
        prober.poke()
        loop.run(MILLISECOND)
        answer(loop.sockets[0], 10 * MILLISECOND)
        loop.run(5 * MILLISECOND)
        prober.pause()
        prober.poke()
        loop.run(500 * MILLISECOND)
        assert (told.records, len(loop.sockets[0].sent), loop.live_timers()) == ([], 1, [])
        prober.resume()
        loop.run(MILLISECOND)
        # By the kernel's stamp it came in time, whenever it is read.
        assert [(type(record), record.round_trip_ns) for record in told.records] == [(Reply, 10 * MILLISECOND)]


def test_what_the_stream_raises_ends_the_work_and_is_told(loop: FakeLoop, told: Told) -> None:
    class Broken(Exception):
        pass

    def courses() -> Iterator[Course]:
        yield prober.course(V4, ONCE)
        raise Broken

    with prober_in(loop, told) as prober:
        prober.engine.feed(courses())
        prober.poke()
        loop.run(SECOND)
        assert [type(failure) for failure in told.failures] == [Broken]
        assert (loop.live_timers(), loop.readers) == ([], {})
        assert all(sock.closed for sock in loop.sockets)


def test_a_socket_that_cannot_be_opened_fails_its_probes(loop: FakeLoop, told: Told) -> None:
    loop.refused = errno.EMFILE
    with prober_in(loop, told) as prober:
        prober.engine.add(prober.course(V4, ONCE), loop.clock.now())
        prober.poke()
        loop.run(SECOND)
        assert [(type(record), getattr(record, "errno", 0)) for record in told.records] == [
            (SendFailure, errno.EMFILE),
            (Summary, 0),
        ]


def test_a_stream_may_wait_for_its_next_course(loop: FakeLoop, told: Told) -> None:
    waiting: list[Course | None] = [None]

    def courses() -> Iterator[Course | None]:
        while waiting:
            yield waiting.pop()

    with prober_in(loop, told) as prober:
        prober.engine.feed(courses())
        prober.poke()
        loop.run(SECOND)
        assert (told.turns, prober.engine.busy, loop.live_timers()) == (1, True, [])
        waiting.append(prober.course(V4, Plan(timeout_ns=MILLISECOND)))
        prober.engine.look_again()
        prober.poke()
        loop.run(SECOND)
        assert kinds_of(told) == [Timeout, Summary]
        assert not prober.engine.busy


def test_settings_there_is_no_socket_left_for_are_refused(loop: FakeLoop, told: Told) -> None:
    with prober_in(loop, told) as prober:
        prober.engine._most_lanes = 1
        for target in (V4, WHOLE):
            prober.engine.add(prober.course(target, Plan(timeout_ns=MILLISECOND)), loop.clock.now())
        prober.poke()
        loop.run(SECOND)
        assert [(type(record), record.target) for record in told.records if not isinstance(record, Summary)] == [
            (SendFailure, WHOLE),
            (Timeout, V4),
        ]


def test_a_socket_that_could_not_be_opened_is_tried_again_whatever_the_reason(loop: FakeLoop, told: Told) -> None:
    """A source address may be added, a descriptor become free: whoever probes for days must not give up for good."""
    with prober_in(loop, told) as prober:
        prober.engine.add(prober.course(V4, ONCE), loop.clock.now())
        prober.poke()
        loop.run(SECOND)
        loop.refused = errno.EADDRNOTAVAIL
        prober.engine.add(prober.course(WHOLE, Plan(count=0, interval_ns=SECOND // 10)), loop.clock.now())
        prober.poke()
        loop.run(3 * SECOND)
        failures = [record for record in told.records if isinstance(record, SendFailure)]
        assert {record.errno for record in failures} == {errno.EADDRNOTAVAIL}
        assert (len(failures), len(loop.sockets)) == (31, 1)
        loop.refused = 0
        loop.run(2 * SECOND)
        assert len(loop.sockets) == 2
        assert prober.engine.lanes[1].ledger.waiting > 0
