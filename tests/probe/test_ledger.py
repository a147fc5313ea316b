"""One socket's probes: numbers, matching, round trips."""

from __future__ import annotations

import tracemalloc
from struct import pack
from typing import Any, cast

import pytest

from pingsock.probe.clock import MILLISECOND, NEVER, SECOND, Stepwatch
from pingsock.probe.flow import Flow
from pingsock.probe.ledger import Ledger
from pingsock.probe.records import (
    BETWEEN_KERNEL_STAMPS,
    BY_OUR_CLOCK,
    NO_ECHO_REPLY,
    TO_KERNEL_STAMP,
    UNKNOWN_SEQUENCE,
    Duplicate,
    EchoReply,
    Late,
    Reply,
    Stray,
)
from pingsock.probe.records import TIMEOUT as TOLD_AS_TIMEOUT
from pingsock.probe.sent_probes import SEQUENCES
from pingsock.wire import linux
from probe.lab_bench import EPOCH, target_at

TOKEN = b"theToken"
PAYLOAD = TOKEN + bytes(range(8))
ADDRESS = ("192.0.2.1", 0)
TIMEOUT, WINDOW = 100 * MILLISECOND, 50 * MILLISECOND
START = 9 * SECOND


class Bench:
    """A ledger, and a clock that runs `EPOCH` ahead of the monotonic one."""

    def __init__(self) -> None:
        self.stepwatch = Stepwatch()
        self.stepwatch.show(START, START + EPOCH)
        self.ledger = Ledger(linux.AF_INET, self.stepwatch, TOKEN)
        self.flow = Flow(target_at(ADDRESS[0]), PAYLOAD)

    def send(self, now: int, count: int = 1, *, timeout: int = TIMEOUT, window: int = WINDOW) -> int:
        sequence = -1
        for _ in range(count):
            sequence = self.ledger.next_sequence(now)
            assert sequence >= 0
            self.ledger.sent(sequence, self.flow, 1, now, timeout, window)
        return sequence

    def hear(self, sequence: int, now: int, *, stamp: int = 0, message: bytes | None = None) -> EchoReply | Stray:
        if message is None:
            message = pack("!BBHHH", 0, 0, 0, 7, sequence) + PAYLOAD
        return self.ledger.reply_untrusted(message, ADDRESS, stamp, 64, now, now + self.stepwatch.offset)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_no_number_is_used_again_before_its_late_window_is_over(bench: Bench) -> None:
    assert bench.send(START, SEQUENCES) == SEQUENCES - 1
    over = START + TIMEOUT + WINDOW
    assert bench.ledger.next_sequence(over - 1) == -1
    assert bench.ledger.free_from() == over
    assert len(bench.ledger.silent(over - 1)) == SEQUENCES
    assert bench.ledger.next_sequence(over - 1) == -1
    bench.ledger.silent(over)
    assert bench.send(over) == 0


def test_a_late_reply_across_the_wrap_is_that_of_its_probe(bench: Bench) -> None:
    bench.send(START, SEQUENCES)
    end = START + TIMEOUT + WINDOW
    bench.ledger.silent(end - 1)
    assert type(bench.hear(5, end - 1)) is Late
    bench.ledger.silent(end)
    bench.send(end, 3)
    stray = bench.hear(5, end + 1)
    assert isinstance(stray, Stray)
    assert stray.reason == UNKNOWN_SEQUENCE
    assert type(bench.hear(2, end + 1)) is Reply


def test_a_probe_without_an_outcome_keeps_its_number_however_long_nobody_looked(bench: Bench) -> None:
    """A process that is stopped between deciding and sending must not send over what it has not decided."""
    bench.send(START, SEQUENCES, window=0)
    assert bench.ledger.next_sequence(START + 100 * TIMEOUT) == -1
    assert len(bench.ledger.silent(START + 100 * TIMEOUT)) == SEQUENCES
    assert bench.ledger.waiting == 0


def test_each_probe_falls_silent_once_though_numbers_come_round(bench: Bench) -> None:
    """Answered probes are passed over, also when their number has been given to one with another timeout."""
    now, silent = START, 0
    for round_ in range(3):
        first = bench.send(now, SEQUENCES - 1, timeout=TIMEOUT)
        assert first >= 0
        bench.send(now, timeout=TIMEOUT // 2)
        for sequence in range(0, SEQUENCES, 2):
            bench.hear(sequence, now)
        now += TIMEOUT
        expired = bench.ledger.silent(now)
        assert len(expired) == len(set(expired)) == SEQUENCES // 2
        silent += len(expired)
        now += WINDOW + round_
        assert bench.ledger.silent(now) == []
        assert bench.ledger.next_deadline() == NEVER
    assert silent == 3 * SEQUENCES // 2


def test_timeouts_that_vary_leave_nothing_behind(bench: Bench) -> None:
    for number in range(1000):
        timeout = TIMEOUT + number
        sequence = bench.send(START, timeout=timeout)
        if number % 2:
            bench.hear(sequence, START)
        bench.ledger.silent(START)
    bench.ledger.silent(START + 2 * TIMEOUT)
    assert bench.ledger._expiring == {}
    assert bench.ledger.next_deadline() == NEVER
    bench.send(START + 3 * TIMEOUT)
    assert bench.ledger.next_deadline() == START + 4 * TIMEOUT


def test_a_reply_that_is_taken_back_leaves_its_probe_as_it_was(bench: Bench) -> None:
    for sequence in (bench.send(START), bench.send(START)):
        assert bench.ledger.waiting == 2
        bench.ledger.take_back(cast("EchoReply", bench.hear(sequence, START)))
    assert bench.ledger.waiting == 2
    assert bench.ledger.silent(START + TIMEOUT) == [0, 1]
    for _ in range(2):
        late = cast("EchoReply", bench.hear(1, START + TIMEOUT + 1))
        assert (type(late), late.revises) == (Late, TOLD_AS_TIMEOUT)
        bench.ledger.take_back(late)
    assert bench.ledger.waiting == 0


def test_a_probe_whose_window_is_over_is_forgotten(bench: Bench) -> None:
    bench.send(START, 1000)
    bench.ledger.silent(START + TIMEOUT)
    assert sum(flow is not None for flow in bench.ledger.flows) == 1000
    bench.ledger.silent(START + TIMEOUT + WINDOW)
    assert sum(flow is not None for flow in bench.ledger.flows) == 0


def test_probes_without_a_timeout_wait_until_their_number_is_used_again(bench: Bench) -> None:
    bench.send(START, SEQUENCES, timeout=0)
    assert bench.ledger.next_deadline() == NEVER
    assert bench.send(START, timeout=0) == 0
    assert bench.ledger.waiting == SEQUENCES
    assert type(bench.hear(5, START + 3600 * SECOND)) is Reply


def test_the_second_reply_is_a_duplicate_and_so_is_the_third(bench: Bench) -> None:
    sequence = bench.send(START)
    assert [type(bench.hear(sequence, START + 1)) for _ in range(3)] == [Reply, Duplicate, Duplicate]


@pytest.mark.parametrize(
    "message",
    [b"", b"\0", bytes(7), pack("!BBHHH", 8, 0, 0, 0, 0) + PAYLOAD, pack("!BBHHH", 0, 1, 0, 0, 0) + PAYLOAD,
     pack("!BBHHH", 129, 0, 0, 0, 0) + PAYLOAD, pack("!BBHHH", 3, 1, 0, 0, 0) + PAYLOAD],
)  # fmt: skip
def test_what_is_no_echo_reply_is_a_stray(bench: Bench, message: bytes) -> None:
    bench.send(START)
    stray = bench.hear(0, START + 1, message=message)
    assert isinstance(stray, Stray)
    assert stray.reason == NO_ECHO_REPLY


# Round trips


@pytest.mark.parametrize(
    ("left", "arrived", "read", "round_trip", "timed"),
    [
        (3, 40, 60, 37, BETWEEN_KERNEL_STAMPS),
        (0, 40, 60, 40, TO_KERNEL_STAMP),
        (0, 0, 60, 60, BY_OUR_CLOCK),
        (3, 0, 60, 60, BY_OUR_CLOCK),
        (41, 40, 60, 40, TO_KERNEL_STAMP),
        (0, 70, 60, 60, TO_KERNEL_STAMP),
        (0, -10, 60, 0, TO_KERNEL_STAMP),
    ],
)
def test_round_trips_by_the_best_clock_there_is(
    bench: Bench, left: int, arrived: int, read: int, round_trip: int, timed: str
) -> None:
    """Milliseconds after sending; 0 where the kernel made no stamp."""
    bench.send(START)
    if left:
        bench.ledger.left(0, START + EPOCH + left * MILLISECOND)
    stamp = START + EPOCH + arrived * MILLISECOND if arrived else 0
    reply: Any = bench.hear(0, START + read * MILLISECOND, stamp=stamp)
    assert (reply.round_trip_ns, reply.timed) == (round_trip * MILLISECOND, timed)


@pytest.mark.parametrize("step", [-3600 * SECOND, -5 * MILLISECOND, 5 * MILLISECOND, 3600 * SECOND])
@pytest.mark.parametrize("left_is_known", [True, False])
@pytest.mark.parametrize("stamped", ["before", "after"])
def test_stamps_of_a_clock_that_was_set_are_not_used(
    bench: Bench, step: int, left_is_known: bool, stamped: str
) -> None:
    bench.send(START)
    if left_is_known:
        bench.ledger.left(0, START + EPOCH)
    read = START + 60 * MILLISECOND
    bench.stepwatch.show(read, read + EPOCH + step)
    stamp = START + EPOCH + 40 * MILLISECOND + (step if stamped == "after" else 0)
    reply: Any = bench.hear(0, read, stamp=stamp)
    assert (reply.round_trip_ns, reply.timed) == (60 * MILLISECOND, BY_OUR_CLOCK)


def test_a_stamp_from_before_a_failed_send_is_not_taken_for_that_of_a_later_probe(bench: Bench) -> None:
    bench.send(START)
    bench.ledger.forget_keys()
    later = START + 10 * MILLISECOND
    bench.stepwatch.show(later, later + EPOCH)
    sequence = bench.send(later)
    bench.ledger.left(0, START + EPOCH)
    assert bench.ledger.left_at[sequence] == 0


def test_a_reply_is_late_by_when_it_arrived_not_by_when_it_was_read(bench: Bench) -> None:
    in_time, late = bench.send(START), bench.send(START)
    arrival = START + EPOCH + TIMEOUT
    assert type(bench.hear(in_time, START + 90 * TIMEOUT, stamp=arrival)) is Reply
    assert type(bench.hear(late, START + 90 * TIMEOUT, stamp=arrival + 1)) is Late


def test_a_stamp_says_by_its_number_which_send_it_is_of_across_the_wrap_of_both_counters(bench: Bench) -> None:
    bench.ledger._next_key = 2**32 - 2
    for step in range(4):
        now = START + step * MILLISECOND
        sequence = bench.send(now)
        bench.ledger.left((2**32 - 2 + step) & 0xFFFFFFFF, now + EPOCH + 1)
        assert bench.ledger.left_at[sequence] == now + EPOCH + 1


@pytest.mark.parametrize("sent_before", [0, 3])
def test_a_stamp_of_no_send_or_of_one_long_ago_is_nobodys(bench: Bench, sent_before: int) -> None:
    bench.send(START, sent_before + SEQUENCES, timeout=0)
    for key in (sent_before - 1, sent_before + SEQUENCES, 2**32 - 1):
        bench.ledger.left(key & 0xFFFFFFFF, START + EPOCH + 1)
    assert not any(bench.ledger.left_at)
    bench.ledger.left(sent_before, START + EPOCH + 1)
    assert sum(map(bool, bench.ledger.left_at)) == 1


def test_of_two_stamps_of_one_send_the_first_counts(bench: Bench) -> None:
    sequence = bench.send(START)
    bench.ledger.left(0, START + EPOCH + 5)
    bench.ledger.left(0, START + EPOCH + 9)
    assert bench.ledger.left_at[sequence] == START + EPOCH + 5


def test_what_is_known_of_a_probe_stays_as_columns_grow_and_after_four_billion_probes(bench: Bench) -> None:
    numbers = [1, 2**32 - 1, 2**32, 2**40, *range(5, 1000)]
    for step, number in enumerate(numbers):
        bench.ledger.sent(step, bench.flow, number, START + step, TIMEOUT, WINDOW)
    replies: list[Any] = [bench.hear(step, START + step + 7) for step in range(len(numbers))]
    assert [(reply.number, reply.round_trip_ns) for reply in replies] == [(number, 7) for number in numbers]


def test_probes_that_wait_for_ever_wait_on_when_others_have_a_timeout(bench: Bench) -> None:
    bench.send(START, 70, timeout=0)
    timed = bench.send(START)
    bench.send(START, 70, timeout=0)
    over = START + 100 * TIMEOUT
    assert bench.ledger.silent(over) == [timed]
    assert bench.ledger.waiting == 140
    assert [type(bench.hear(sequence, over)) for sequence in (0, 69, timed, 71, 140)] == [
        Reply,
        Reply,
        Late,
        Reply,
        Reply,
    ]


def test_probes_for_ever_take_little_more_than_two_megabytes(bench: Bench) -> None:
    tracemalloc.start()
    try:
        for number in range(1, 3 * SEQUENCES):
            bench.ledger.sent(number & 0xFFFF, bench.flow, number, START + number)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 2_300_000


def test_a_timeout_longer_than_any_run_is_a_wait_for_ever(bench: Bench) -> None:
    sequence = bench.send(START, timeout=2**64, window=2**64)
    assert bench.ledger.silent(NEVER - 1) == []
    assert type(bench.hear(sequence, START + 10**18)) is Reply
