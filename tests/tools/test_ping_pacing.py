"""When probes leave ahead of their time, as fast as replies come, and what is told in between."""

from __future__ import annotations

import struct

import pytest

from pingsock.probe.records import Duplicate, EchoReply, Reply
from pingsock.probe.tally import Tally
from pingsock.tools.ping import Corrupted, PingRun, Sent, Unanswered
from pingsock.wire.checksum import with_checksum
from tools.fake_socket import MILLISECOND, SECOND, Clock, FakeSocket, run_on


@pytest.fixture
def sock() -> FakeSocket:
    return FakeSocket(Clock())


def answering(sock: FakeSocket, after: int) -> list[int]:
    """Lets each probe be answered so long after it; returns where the times of sending will be."""
    times: list[int] = []

    def on_send(sequence: int) -> None:
        times.append(sock.clock.monotonic)
        sock.reply(sequence, after)

    sock.on_send = on_send
    return times


def since_first(times: list[int]) -> list[int]:
    return [(time - times[0]) // MILLISECOND for time in times]


# Ahead of their time


def test_a_preload_leaves_at_once_and_then_one_probe_an_interval(sock: FakeSocket) -> None:
    times = answering(sock, 20 * MILLISECOND)
    run = run_on(sock, count=5, preload=3)
    list(run.records())

    assert since_first(times) == [0, 0, 0, 1000, 2000]
    assert run.tally.pipe == 3


def test_what_was_missed_is_sent_later_but_only_one_more_than_the_preload(sock: FakeSocket) -> None:
    times = answering(sock, MILLISECOND)
    run = run_on(sock, count=7, preload=2)
    for record in run.records():
        if isinstance(record, Reply) and record.sequence == 3:
            sock.clock.monotonic += 10 * SECOND

    assert since_first(times)[3:] == [11001, 11001, 11001, 12001]


@pytest.mark.parametrize(
    ("interval", "away", "expected"),
    [
        pytest.param(200, 300, [301, 400, 600, 800], id="one"),
        pytest.param(200, 900, [901, 901, 901, 901, 1000], id="several"),
        pytest.param(200, 1990, [1991] * 9 + [2000], id="all of two seconds"),
        pytest.param(200, 9000, [9001] * 11 + [9201], id="no more than those of two seconds"),
        pytest.param(2, 1000, [1001] * 11 + [1003], id="no more than ten"),
        pytest.param(1000, 2500, [2501, 2501, 3000], id="seconds"),
        pytest.param(5000, 60_000, [60_001, 60_001, 65_001], id="longer intervals"),
    ],
)
def test_what_a_kept_waiting_process_missed_is_made_up_for(
    sock: FakeSocket, interval: int, away: int, expected: list[int]
) -> None:
    times = answering(sock, MILLISECOND)
    run = run_on(sock, count=1 + len(expected), interval=interval * MILLISECOND)
    for record in run.records():
        if isinstance(record, Reply) and record.sequence == 1:
            sock.clock.monotonic += away * MILLISECOND

    assert since_first(times)[1:] == expected


def test_a_kept_waiting_process_does_not_call_unanswered_what_had_no_time_to_be_answered(sock: FakeSocket) -> None:
    times = answering(sock, 20 * MILLISECOND)
    run = run_on(sock, count=4, interval=200 * MILLISECOND, tells_unanswered=True)
    records = []
    for record in run.records():
        records.append(record)
        if isinstance(record, Reply) and record.sequence == 1:
            sock.clock.monotonic += 900 * MILLISECOND

    assert [type(record) for record in records] == [Reply] * 4
    assert since_first(times) == [0, 920, 1120, 1320]


def test_with_interval_zero_as_many_as_the_preload_are_under_way(sock: FakeSocket) -> None:
    times = answering(sock, 4 * MILLISECOND)
    list(run_on(sock, count=4, interval=0, preload=2).records())

    assert since_first(times) == [0, 0, 4, 4]


def test_with_interval_zero_lost_probes_do_not_slow_down_what_follows(sock: FakeSocket) -> None:
    times: list[int] = []

    def on_send(sequence: int) -> None:
        times.append(sock.clock.monotonic)
        if sequence != 1:
            sock.reply(sequence, 3 * MILLISECOND)

    sock.on_send = on_send
    list(run_on(sock, count=4, interval=0).records())

    assert since_first(times) == [0, 10, 13, 16]


# As fast as replies come


def test_an_adaptive_interval_is_the_smoothed_round_trip(sock: FakeSocket) -> None:
    times = answering(sock, 20 * MILLISECOND)
    run = run_on(sock, count=4, shortest_interval=2 * MILLISECOND)
    list(run.records())

    assert since_first(times) == [0, 20, 40, 60]
    assert run.interval == 20 * MILLISECOND


def test_an_adaptive_ping_that_was_kept_waiting_has_no_more_than_one_probe_under_way(sock: FakeSocket) -> None:
    times = answering(sock, 20 * MILLISECOND)
    run = run_on(sock, count=5, shortest_interval=2 * MILLISECOND)
    for record in run.records():
        if isinstance(record, Reply) and record.sequence == 2:
            sock.clock.monotonic += 900 * MILLISECOND

    assert since_first(times) == [0, 20, 940, 960, 980]
    assert run.tally.pipe == 1


def test_an_adaptive_interval_has_a_floor(sock: FakeSocket) -> None:
    times = answering(sock, MILLISECOND // 10)
    list(run_on(sock, count=4, shortest_interval=2 * MILLISECOND).records())

    assert since_first(times) == [0, 2, 4, 6]


def test_without_a_floor_the_next_probe_leaves_with_the_reply(sock: FakeSocket) -> None:
    answering(sock, MILLISECOND // 10)
    run = run_on(sock, count=4, shortest_interval=0)
    list(run.records())

    assert run.interval == 0
    assert run.elapsed == 3 * MILLISECOND // 10


# What is told


def told(run: PingRun) -> list[object]:
    return [record.sequence if isinstance(record, Reply) else record for record in run.records()]


def test_before_a_probe_leaves_the_one_before_is_told_if_it_is_unanswered(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.reply(sequence, 20 * MILLISECOND) if sequence != 2 else None

    assert told(run_on(sock, count=4, tells_unanswered=True)) == [1, Unanswered(2), 3, 4]


def test_an_unanswered_probe_is_told_once_however_often_the_next_is_tried(sock: FakeSocket) -> None:
    def on_send(sequence: int) -> None:
        if sequence == 1:
            sock.refuse(105, 105)

    sock.on_send = on_send
    run = run_on(sock, count=2, linger=5 * SECOND, tells_unanswered=True)

    assert told(run) == [Unanswered(1)]


def test_probes_are_told_as_they_leave(sock: FakeSocket) -> None:
    answering(sock, 20 * MILLISECOND)

    assert told(run_on(sock, count=2, tells_sent=True)) == [Sent(1), 1, Sent(2), 2]


# Wrong checksums


def raw_reply(sock: FakeSocket, *, right: bool) -> bytes:
    message = with_checksum(bytes(6) + struct.pack("!H", 1) + sock.sent[-1][0][8:])
    return message if right else message[:2] + bytes([message[2] ^ 1]) + message[3:]


def deliver(sock: FakeSocket, *right: bool) -> None:
    def on_send(_sequence: int) -> None:
        for each in right:
            sock._messages.append((sock.clock.monotonic, (raw_reply(sock, right=each), [], 0, ("10.0.0.9", 0))))

    sock.on_send = on_send


@pytest.mark.parametrize(
    ("right", "kinds"),
    [
        ([False], [Corrupted]),
        ([True, False], [Reply, Corrupted]),
        ([False, True], [Corrupted, Reply]),
        ([True, True], [Reply, Duplicate]),
    ],
)
def test_a_reply_with_a_wrong_checksum_answers_nothing(
    sock: FakeSocket, right: list[bool], kinds: list[type[EchoReply | Corrupted]]
) -> None:
    sock.kind = "raw"
    deliver(sock, *right)
    run = run_on(sock, count=2)
    records = []
    for record in run.records():
        records.append(record)
        if len(records) == len(kinds):
            run.stop()

    assert [type(record) for record in records] == kinds
    assert run.tally.corrupted == kinds.count(Corrupted)
    assert run.tally.received == kinds.count(Reply)


def test_ping_sockets_are_not_asked_for_checksums(sock: FakeSocket) -> None:
    deliver(sock, False)

    assert [type(record) for record in run_on(sock, count=1).records()] == [Reply]


# Under way


def test_probes_under_way_are_those_after_the_last_that_was_heard_of() -> None:
    tally = Tally()
    tally.transmitted = 5
    assert tally.under_way == 5
    tally.acknowledge(3)
    assert tally.under_way == 2
    tally.acknowledge(2)
    assert tally.under_way == 2
    tally.transmitted = 65537
    tally.acknowledge(0)
    assert tally.under_way == 1
