"""Silence told by a ping that has a timeout for its probes."""

from __future__ import annotations

import pytest

from pingsock.probe.records import ICMP_ERROR, TIMEOUT, IcmpError, Late, Record, Reply, Timeout
from pingsock.tools.ping import Interruption
from tools.fake_socket import MILLISECOND, SECOND, Clock, FakeSocket, FakeWaiter, run_on


@pytest.fixture
def sock() -> FakeSocket:
    return FakeSocket(Clock())


def told(sock: FakeSocket, **plan: object) -> list[tuple[type, int]]:
    return [
        (type(record), record.sequence)
        for record in run_on(sock, **plan).records()  # type: ignore[arg-type]
        if isinstance(record, Record)
    ]


def test_silence_is_told_when_the_timeout_has_passed(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.reply(sequence, MILLISECOND) if sequence != 2 else None
    run = run_on(sock, count=4, timeout=1500 * MILLISECOND)
    records = [(record, sock.clock.monotonic) for record in run.records()]

    assert [type(record) for record, _ in records] == [Reply, Reply, Timeout, Reply]
    assert records[2][1] - records[0][1] == pytest.approx(2500 * MILLISECOND, abs=2 * MILLISECOND)


def test_a_late_reply_revises_the_timeout_and_counts_as_received(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.reply(sequence, 1200 * MILLISECOND)
    run = run_on(sock, count=2, timeout=SECOND)
    records = list(run.records())

    assert [type(record) for record in records] == [Timeout, Late, Timeout, Late]
    assert [record.revises for record in records if isinstance(record, Late)] == [TIMEOUT, TIMEOUT]
    assert run.tally.received == 2


def test_a_reply_may_come_as_late_as_it_likes(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.reply(sequence, 100 * SECOND) if sequence == 1 else None

    assert (Late, 1) in told(sock, count=200, timeout=SECOND)


def test_an_error_decides_so_that_there_is_no_timeout(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.error(sequence, 3, 1)

    assert told(sock, count=2, timeout=SECOND) == [(IcmpError, 1), (IcmpError, 2)]


def test_a_reply_after_an_error_revises_it(sock: FakeSocket) -> None:
    def send(sequence: int) -> None:
        sock.error(sequence, 3, 1)
        sock.reply(sequence, 20 * MILLISECOND)

    sock.on_send = send
    replies = [record for record in run_on(sock, count=2, timeout=SECOND).records() if isinstance(record, Reply)]

    assert replies[0].revises == ICMP_ERROR


def test_what_is_silent_when_the_last_wait_is_over_is_told_with_the_time_that_was_waited(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.reply(sequence, MILLISECOND) if sequence < 3 else None
    records = list(run_on(sock, count=3, interval=200 * MILLISECOND, timeout=10 * SECOND).records())

    assert [type(record) for record in records] == [Reply, Reply, Timeout]
    assert isinstance(records[-1], Timeout)
    assert records[-1].waited_ns == pytest.approx(200 * MILLISECOND, abs=2 * MILLISECOND)


def test_a_run_that_is_stopped_does_not_tell_what_was_not_waited_for(sock: FakeSocket) -> None:
    run = run_on(sock, count=3, timeout=10 * SECOND)
    waiter = run._waiter
    assert isinstance(waiter, FakeWaiter)
    waiter.woken = True
    records = []
    for record in run.records():
        records.append(record)
        run.stop()

    assert [type(record) for record in records] == [Interruption]


def test_without_a_timeout_silence_is_not_told(sock: FakeSocket) -> None:
    assert told(sock, count=3, linger=5 * SECOND) == []


def test_errors_need_not_end_a_ping_with_a_deadline(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.error(sequence, 3, 1)

    assert len(told(FakeSocket(sock.clock), deadline=5 * SECOND)) == 0
    assert len(told(sock, deadline=5 * SECOND)) == 1
    assert len(told(sock, deadline=5 * SECOND, ends_with_error=False)) == 5
