from __future__ import annotations

import errno
import struct
from itertools import pairwise

import pytest

from pingsock.probe.records import (
    BETWEEN_KERNEL_STAMPS,
    BY_OUR_CLOCK,
    NO_ECHO_REPLY,
    TO_KERNEL_STAMP,
    UNKNOWN_SEQUENCE,
    Duplicate,
    IcmpError,
    Note,
    Reply,
    SendFailure,
    Stray,
)
from pingsock.tools.ping import Interruption
from pingsock.wire import linux
from tools.fake_socket import (
    EPOCH,
    MILLISECOND,
    ROUTER,
    SECOND,
    TARGET,
    Clock,
    FakeSocket,
    FakeWaiter,
    run_on,
)


@pytest.fixture
def sock() -> FakeSocket:
    return FakeSocket(Clock())


def answering(sock: FakeSocket, after: int = 20 * MILLISECOND) -> None:
    sock.on_send = lambda sequence: sock.reply(sequence, after)


def test_each_probe_has_one_reply(sock: FakeSocket) -> None:
    answering(sock)
    run = run_on(sock, count=3)

    records = list(run.records())

    assert [type(record) for record in records] == [Reply, Reply, Reply]
    assert [record.sequence for record in records if isinstance(record, Reply)] == [1, 2, 3]
    assert run.tally.received == 3
    assert run.elapsed == 2 * SECOND


def test_a_probe_looks_as_that_of_iputils(sock: FakeSocket) -> None:
    list(run_on(sock, count=1, size=40).records())

    message, address = sock.sent[0]
    seconds, microseconds = struct.unpack("=2q", message[8:24])
    assert message[:8] == bytes([8, 0, 0, 0, 0, 0, 0, 1])
    assert seconds * SECOND + microseconds * 1000 == EPOCH + 5 * SECOND + MILLISECOND
    assert message[24:] == bytes(range(0x10, 0x28))
    assert address == (TARGET, 0)


def test_a_payload_without_room_for_the_time_has_none(sock: FakeSocket) -> None:
    run = run_on(sock, count=1, size=15)
    list(run.records())

    assert sock.sent[0][0][8:] == bytes(range(15))
    assert not run.timed


def test_without_replies_it_lingers_and_ends(sock: FakeSocket) -> None:
    started = sock.clock.monotonic
    run = run_on(sock, count=2, linger=3 * SECOND)

    assert list(run.records()) == []
    assert sock.clock.monotonic - started == MILLISECOND + 1 * SECOND + 3 * SECOND
    assert run.tally.loss_percent == 100


def test_the_interval_does_not_drift(sock: FakeSocket) -> None:
    def late_reply(sequence: int) -> None:
        sent_at.append(sock.clock.monotonic)
        sock.clock.monotonic += 7 * MILLISECOND
        sock.reply(sequence, 0)

    sent_at: list[int] = []
    sock.on_send = late_reply
    list(run_on(sock, count=50, interval=20 * MILLISECOND).records())

    assert {later - earlier for earlier, later in pairwise(sent_at)} == {20 * MILLISECOND}


def test_a_pending_error_does_not_cost_the_next_probe(sock: FakeSocket) -> None:
    answering(sock)
    sock.failures.append(errno.EHOSTUNREACH)
    run = run_on(sock, count=1)
    sock.error(0, 11, 0)

    assert [type(record) for record in run.records()] == [Reply]
    assert run.tally.failures == 0


def test_a_failed_send_without_an_error_in_the_queue_has_its_reason(sock: FakeSocket) -> None:
    sock.refuse(errno.EPERM, errno.EACCES)
    run = run_on(sock, count=2)

    told = [(record.number, record.errno) for record in run.records() if isinstance(record, SendFailure)]
    assert told == [(1, errno.EPERM), (2, errno.EACCES)]
    assert (run.tally.transmitted, run.tally.failures, run.tally.reported_errors) == (2, 2, 0)


def test_a_socket_that_fails_ends_the_run_behind_what_it_had_received(
    sock: FakeSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    sock.on_send = lambda sequence: sock.reply(sequence, MILLISECOND)
    receive = sock.recvmsg

    def recvmsg(size: int, room: int = 0, flags: int = 0) -> tuple[object, ...]:
        if len(sock.sent) == 2 and flags & linux.MSG_ERRQUEUE:
            raise ConnectionResetError(errno.ECONNRESET, "the service has ended")
        return receive(size, room, flags)

    monkeypatch.setattr(sock, "recvmsg", recvmsg)
    sock.transmitted(0)
    run = run_on(sock)
    heard: list[object] = []
    with pytest.raises(ConnectionResetError, match="the service has ended"):
        heard.extend(run.records())
    assert [type(record) for record in heard] == [Reply, Reply]
    assert (run.tally.transmitted, run.tally.received) == (2, 2)


def test_a_probe_that_is_too_long_tells_the_mtu(sock: FakeSocket) -> None:
    sock.refuse(errno.EMSGSIZE)
    sock.refused_too_long(1400)
    (record,) = run_on(sock, count=1).records()

    assert isinstance(record, SendFailure)
    assert (record.errno, record.mtu) == (errno.EMSGSIZE, 1400)


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM])
def test_a_full_buffer_is_not_a_failure(sock: FakeSocket, number: int) -> None:
    answering(sock)
    sock.refuse(number)
    run = run_on(sock, count=1)

    assert [type(record) for record in run.records()] == [Reply]
    assert run.tally.transmitted == 1


def test_a_queue_that_stays_full_is_told_after_the_linger_time(sock: FakeSocket) -> None:
    sock.refuse(*[errno.ENOBUFS] * 8)

    (record,) = run_on(sock, count=1, linger=4 * SECOND).records()
    assert isinstance(record, SendFailure)
    assert record.errno == errno.ENOBUFS


def test_an_icmp_error_names_who_said_it(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.error(sequence, 11, 0, after=MILLISECOND)
    run = run_on(sock, count=1)

    (record,) = run.records()
    assert isinstance(record, IcmpError)
    assert (record.sequence, record.reporter, record.type, record.code) == (1, (ROUTER, 0), 11, 0)
    assert run.tally.errors == 1


@pytest.mark.parametrize("kind", [4, 5], ids=["source quench", "redirect"])
def test_redirect_and_source_quench_are_notes(sock: FakeSocket, kind: int) -> None:
    def note_then_reply(sequence: int) -> None:
        sock.error(sequence, kind, 1, info=0x0A000001)
        sock.reply(sequence, 5 * MILLISECOND)

    sock.on_send = note_then_reply
    run = run_on(sock, count=2)

    assert [type(record) for record in run.records()] == [Note, Reply, Note, Reply]
    assert run.tally.errors == 0


def test_errors_about_somebody_else_are_passed_over(sock: FakeSocket) -> None:
    def errors(sequence: int) -> None:
        sock.error(sequence, 3, 1, about="10.0.0.8")
        sock.error(sequence + 7, 3, 1)

    sock.on_send = errors
    run = run_on(sock, count=1, linger=SECOND)

    assert list(run.records()) == []
    assert run.tally.errors == 0


def test_a_deadline_ends_with_the_first_error(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.error(sequence, 3, 1)
    run = run_on(sock, deadline=60 * SECOND)

    assert len(list(run.records())) == 1


def test_a_deadline_does_not_end_with_a_failed_send(sock: FakeSocket) -> None:
    answering(sock)
    sock.refuse(errno.ENETUNREACH)
    run = run_on(sock, count=1, deadline=60 * SECOND)

    assert [type(record) for record in run.records()] == [SendFailure, Reply]


def test_a_deadline_ends_by_the_monotonic_clock(sock: FakeSocket) -> None:
    def clock_is_set_back(_sequence: int) -> None:
        sock.clock.offset -= 3600 * SECOND

    sock.on_send = clock_is_set_back
    started = sock.clock.monotonic
    list(run_on(sock, deadline=5 * SECOND).records())

    assert sock.clock.monotonic - started == MILLISECOND + 5 * SECOND


def test_the_second_reply_to_a_probe_is_a_duplicate(sock: FakeSocket) -> None:
    def twice(sequence: int) -> None:
        sock.reply(sequence, MILLISECOND)
        sock.reply(sequence, 2 * MILLISECOND)

    sock.on_send = twice
    run = run_on(sock, count=2)

    assert [type(record) for record in run.records()] == [Reply, Duplicate, Reply]
    assert (run.tally.received, run.tally.duplicates, run.tally.loss_percent) == (2, 1, 0)


def test_a_reply_to_nothing_we_sent_counts_for_nothing(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.stray(sequence + 100)
    run = run_on(sock, count=1, linger=SECOND)

    (record,) = run.records()
    assert isinstance(record, Stray)
    assert (record.sequence, record.source, record.reason) == (101, (TARGET, 0), UNKNOWN_SEQUENCE)
    assert (run.tally.received, run.tally.strays) == (0, 1)


def test_a_reply_from_another_address_says_so(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.reply(sequence, MILLISECOND, source="10.0.0.7")
    (record,) = run_on(sock, count=1).records()

    assert isinstance(record, Reply)
    assert record.other_source
    assert record.source == ("10.0.0.7", 0)


def test_replies_to_a_group_come_from_anybody(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.reply(sequence, MILLISECOND, source="10.0.0.7")
    (record,) = run_on(sock, count=1, answered_by_others=True).records()

    assert isinstance(record, Reply)
    assert not record.other_source


def test_a_short_reply_is_truncated(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.reply(sequence, MILLISECOND, payload=bytes(10))
    run = run_on(sock, count=1)
    (record,) = run.records()

    assert isinstance(record, Reply)
    assert record.truncated
    assert run.tally.round_trips.count == 0


def test_an_altered_payload_is_found_at_its_first_wrong_byte(sock: FakeSocket) -> None:
    altered = bytes(16) + bytes(range(16, 20)) + b"\xeb" + bytes(range(21, 56))
    sock.on_send = lambda sequence: sock.reply(sequence, MILLISECOND, payload=altered)
    (record,) = run_on(sock, count=1).records()

    assert isinstance(record, Reply)
    assert record.altered_at == 20


def test_nothing_is_read_from_the_time_in_a_payload(sock: FakeSocket) -> None:
    crafted = b"\xff" * 16 + bytes(range(16, 56))
    sock.on_send = lambda sequence: sock.reply(sequence, 3 * MILLISECOND, payload=crafted)
    (record,) = run_on(sock, count=1).records()

    assert isinstance(record, Reply)
    assert record.round_trip_ns == 3 * MILLISECOND
    assert record.altered_at == -1


@pytest.mark.parametrize(
    "message",
    [b"", b"\0" * 7, bytes([3, 0, 0, 0, 0, 0, 0, 1]), bytes([43, 0, 0, 0, 0, 0, 0, 1])],
    ids=["empty", "short", "unreachable", "extended"],
)
def test_what_is_no_echo_reply_is_a_stray(sock: FakeSocket, message: bytes) -> None:
    sock.on_send = lambda _sequence: sock._messages.append((0, (message, [], 0, (TARGET, 0))))
    run = run_on(sock, count=1, linger=SECOND)

    (record,) = run.records()
    assert isinstance(record, Stray)
    assert record.reason == NO_ECHO_REPLY
    assert run.tally.received == 0


def test_malformed_ancillary_data_is_passed_over(sock: FakeSocket) -> None:
    reply = bytes([0, 0, 0, 0, 0, 0, 0, 1])
    cut = [(linux.SOL_IP, linux.IP_TTL, b"\1")]
    sock.on_send = lambda _sequence: sock._messages.append((0, (reply, cut, 0, (TARGET, 0))))
    run = run_on(sock, count=1, linger=SECOND)

    assert list(run.records()) == []


def test_the_round_trip_is_between_kernel_stamps_where_both_exist(sock: FakeSocket) -> None:
    def stamped(sequence: int) -> None:
        sock.transmitted(sequence - 1, after=2 * MILLISECOND)
        sock.reply(sequence, 9 * MILLISECOND)

    sock.on_send = stamped
    first, second = run_on(sock, count=2).records()

    assert isinstance(first, Reply)
    assert isinstance(second, Reply)
    assert (first.round_trip_ns, first.timed) == (7 * MILLISECOND, BETWEEN_KERNEL_STAMPS)
    assert (second.round_trip_ns, second.timed) == (7 * MILLISECOND, BETWEEN_KERNEL_STAMPS)


def test_without_a_transmit_stamp_the_wait_before_reading_is_taken_off(sock: FakeSocket) -> None:
    def busy(sequence: int) -> None:
        sock.reply(sequence, 9 * MILLISECOND)
        sock.clock.monotonic += 400 * MILLISECOND

    sock.on_send = busy
    (record,) = run_on(sock, count=1).records()

    assert isinstance(record, Reply)
    assert (record.round_trip_ns, record.timed) == (9 * MILLISECOND, TO_KERNEL_STAMP)


def test_without_any_stamp_our_own_clock_counts(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.reply(sequence, 9 * MILLISECOND, stamp=False)
    (record,) = run_on(sock, count=1).records()

    assert isinstance(record, Reply)
    assert (record.round_trip_ns, record.timed) == (9 * MILLISECOND, BY_OUR_CLOCK)


@pytest.mark.parametrize("step", [-3600 * SECOND, 3600 * SECOND])
def test_a_clock_that_is_set_does_not_make_nonsense(sock: FakeSocket, step: int) -> None:
    def reply_then_step(sequence: int) -> None:
        sock.transmitted(sequence - 1)
        sock.clock.offset += step
        sock.reply(sequence, 9 * MILLISECOND)

    sock.on_send = reply_then_step
    (record,) = run_on(sock, count=1).records()

    assert isinstance(record, Reply)
    assert 0 <= record.round_trip_ns <= 9 * MILLISECOND


def test_after_a_failed_send_stamps_are_counted_anew(sock: FakeSocket) -> None:
    option = (linux.SOL_SOCKET, linux.SO_TIMESTAMPING)
    flags = linux.SOF_TIMESTAMPING_OPT_ID | linux.SOF_TIMESTAMPING_TX_SOFTWARE
    sock.options[option] = flags

    def stamped(sequence: int) -> None:
        sock.transmitted(0)
        sock.reply(sequence, 9 * MILLISECOND)

    sock.refuse(errno.EPERM)
    sock.on_send = stamped
    _, record = run_on(sock, count=2).records()

    assert isinstance(record, Reply)
    assert record.timed == BETWEEN_KERNEL_STAMPS
    assert sock.options[option] == flags


def test_interval_zero_sends_as_soon_as_the_last_probe_is_answered(sock: FakeSocket) -> None:
    answering(sock, after=3 * MILLISECOND)
    run = run_on(sock, count=10, interval=0)
    list(run.records())

    assert run.elapsed == 9 * 3 * MILLISECOND


def test_interval_zero_without_replies_is_a_hundred_a_second(sock: FakeSocket) -> None:
    run = run_on(sock, count=11, interval=0, linger=SECOND)
    list(run.records())

    assert run.elapsed == 10 * 10 * MILLISECOND


def test_sequence_numbers_start_again_after_65535(sock: FakeSocket) -> None:
    answering(sock, after=0)
    run = run_on(sock, count=65540, interval=MILLISECOND)
    sequences = [record.sequence for record in run.records() if type(record) is Reply]

    assert sequences[-6:] == [65535, 0, 1, 2, 3, 4]
    assert run.tally.duplicates == 0


def test_stop_ends_before_the_next_record(sock: FakeSocket) -> None:
    answering(sock)
    run = run_on(sock)
    for _ in run.records():
        if run.tally.received == 2:
            run.stop()

    assert run.tally.transmitted == 2


def test_the_waker_is_told(sock: FakeSocket) -> None:
    run = run_on(sock, count=1, linger=SECOND)
    waiter = run._waiter
    assert isinstance(waiter, FakeWaiter)
    waiter.woken = True

    assert list(run.records()) == [Interruption()]


def test_ipv6_has_its_own_types() -> None:
    sock = FakeSocket(Clock(), linux.AF_INET6)
    answering(sock)
    (record,) = run_on(sock, count=1).records()

    assert isinstance(record, Reply)
    assert sock.sent[0][0][0] == 128
    assert sock.options[linux.SOL_IPV6, linux.IPV6_RECVHOPLIMIT] == 1
