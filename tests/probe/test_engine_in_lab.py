"""What a lab network does to probes is told as it was done: each record follows from the network's description."""

from __future__ import annotations

import errno
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from pingsock.probe.clock import MILLISECOND, SECOND
from pingsock.probe.records import (
    BETWEEN_KERNEL_STAMPS,
    BY_OUR_CLOCK,
    ICMP_ERROR,
    NO_ECHO_REPLY,
    OTHER_SOURCE,
    OTHER_TOKEN,
    TIMEOUT,
    UNKNOWN_SEQUENCE,
    Duplicate,
    EchoReply,
    IcmpError,
    IcmpReport,
    Late,
    Note,
    Overflow,
    Reply,
    SendFailure,
    Skipped,
    Stray,
    Summary,
    Timeout,
    Unmeasured,
)
from pingsock.probe.schedule import Plan
from pingsock.probe.target import ProbeOptions
from pingsock.wire import linux
from probe.lab_bench import FAR, FAR6, ROUND_TRIP, bench, path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from probe.lab_bench import Bench

ROUNDING = 1000
"""Nanoseconds: the lab's clock is a float."""


@pytest.fixture
def lab_bench() -> Iterator[Bench]:
    with bench(path) as made:
        yield made


def kinds(records: Iterable[object]) -> list[str]:
    return [type(record).__name__ for record in records if not isinstance(record, Summary)]


def by_number(records: Iterable[Any]) -> dict[int, list[str]]:
    told: dict[int, list[str]] = {}
    for record in records:
        if not isinstance(record, (Summary, Stray, Skipped)):
            told.setdefault(record.number, []).append(type(record).__name__)
    return told


def far_rule(a_bench: Bench, *actions: Any, **match: Any) -> None:
    a_bench.network.node("far").rule(*actions, **match)


# Loss, delay, duplicates, order


@pytest.mark.parametrize("address", [FAR, FAR6])
def test_replies_come_with_the_round_trip_of_the_path(lab_bench: Bench, address: str) -> None:
    lab_bench.add(address, Plan(count=5, interval_ns=100 * MILLISECOND))
    *replies, summary = lab_bench.run()
    assert kinds(replies) == ["Reply"] * 5
    assert isinstance(summary, Summary)
    for number, reply in enumerate(replies, 1):
        assert isinstance(reply, Reply)
        assert (reply.number, reply.source[0], reply.hop_limit, reply.revises) == (number, address, 62, "")
        assert abs(reply.round_trip_ns - ROUND_TRIP) < ROUNDING
        assert reply.timed == BETWEEN_KERNEL_STAMPS


def test_every_third_probe_is_lost_and_no_other(lab_bench: Bench) -> None:
    far_rule(lab_bench, "drop", type="echo", every=3)
    lab_bench.add(FAR, Plan(count=9, interval_ns=10 * MILLISECOND))
    told = by_number(lab_bench.run())
    assert told == {number: ["Timeout" if number % 3 == 1 else "Reply"] for number in range(1, 10)}


def test_duplicates_are_told_beside_the_reply_and_counted_apart(lab_bench: Bench) -> None:
    far_rule(lab_bench, {"do": "duplicate", "copies": 2, "spread": 0.1}, sequence=[1])
    course = lab_bench.add(FAR, Plan(count=4, interval_ns=200 * MILLISECOND))
    assert by_number(lab_bench.run()) == {
        1: ["Reply"],
        2: ["Reply", "Duplicate", "Duplicate"],
        3: ["Reply"],
        4: ["Reply"],
    }
    assert (course.statistics.received, course.statistics.duplicates) == (4, 2)


def test_overtaken_replies_belong_to_their_probes(lab_bench: Bench) -> None:
    far_rule(lab_bench, {"do": "delay", "seconds": 0.25}, sequence=[0, 1])
    course = lab_bench.add(FAR, Plan(count=4, interval_ns=100 * MILLISECOND))
    replies = [record for record in lab_bench.run() if isinstance(record, Reply)]
    assert [reply.number for reply in replies] == [3, 1, 4, 2]
    late = ROUND_TRIP + 250 * MILLISECOND
    for reply, expected in zip(replies, (ROUND_TRIP, late, ROUND_TRIP, late), strict=True):
        assert abs(reply.round_trip_ns - expected) < ROUNDING
    assert course.statistics.reordered == 2


def test_a_reply_after_the_timeout_revises_it(lab_bench: Bench) -> None:
    far_rule(lab_bench, {"do": "delay", "seconds": 0.5}, sequence=[0])
    lab_bench.add(FAR, Plan(count=3, timeout_ns=300 * MILLISECOND))
    timeout, late, *_ = lab_bench.run()
    assert isinstance(timeout, Timeout)
    assert timeout.waited_ns == 300 * MILLISECOND
    assert isinstance(late, Late)
    assert (late.number, late.revises) == (1, TIMEOUT)
    assert abs(late.round_trip_ns - 510 * MILLISECOND) < ROUNDING


@pytest.mark.parametrize(("early", "kind"), [(1, "Late"), (-1, "Reply")])
def test_the_timeout_is_the_border_to_the_microsecond(lab_bench: Bench, early: int, kind: str) -> None:
    lab_bench.add(FAR, Plan(count=1, timeout_ns=ROUND_TRIP - early * 10 * ROUNDING))
    lab_bench.run()
    lab_bench.settle(SECOND)
    assert kinds(record for _, record in lab_bench.told)[-1] == kind


def test_a_late_reply_is_still_told_after_the_summary(lab_bench: Bench) -> None:
    far_rule(lab_bench, {"do": "delay", "seconds": 0.5}, sequence=[0])
    course = lab_bench.add(FAR, Plan(count=1, timeout_ns=300 * MILLISECOND))
    assert kinds(lab_bench.run()) == ["Timeout"]
    assert kinds(lab_bench.settle(SECOND)) == ["Late"]
    assert (course.statistics.late, course.statistics.timeouts) == (1, 0)


def test_with_chances_on_the_way_every_probe_has_what_became_of_its_own_packet() -> None:
    def lossy(network: Any) -> str:
        gate = path(network)
        network.links[0].change(loss=0.2, duplicate=0.1, reorder=0.2, reorder_by=0.05)
        return gate

    with bench(lossy, seed=7) as made:
        sent, answered = Counter[int](), Counter[int]()

        def observe(_time: float, interface: Any, packet: bytes) -> None:
            sequence = int.from_bytes(packet[26:28], "big")
            if packet[20] == 8 and interface.node.name.startswith("cable"):
                sent[sequence] += 1

        made.network.observers.append(observe)
        arrived = made.stack.deliver_untrusted

        def deliver(packet: bytes, *rest: Any) -> None:
            answered[int.from_bytes(packet[26:28], "big")] += packet[20] == 0
            arrived(packet, *rest)

        made.host.attach(
            type("Tap", (), {"deliver_untrusted": staticmethod(deliver), "transmitted": made.stack.transmitted})()
        )
        made.add(FAR, Plan(count=300, interval_ns=7 * MILLISECOND))
        told = by_number(made.run() + made.settle(SECOND))
    assert len(sent) == 300
    expected = {
        sequence + 1: ["Reply", *["Duplicate"] * (answered[sequence] - 1)] if answered[sequence] else ["Timeout"]
        for sequence in range(300)
    }
    assert told == expected
    assert {"Timeout", "Duplicate"} <= {kind for all_of in told.values() for kind in all_of}


# Forged and damaged replies


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ({"do": "change", "source": "192.0.2.2"}, OTHER_SOURCE),
        ({"do": "change", "sequence_shift": 7}, UNKNOWN_SEQUENCE),
        ({"do": "change", "sequence_shift": 40_000}, UNKNOWN_SEQUENCE),
        ({"do": "corrupt", "offset": 8, "mask": 1, "checksum": "right"}, OTHER_TOKEN),
        ({"do": "corrupt", "offset": 15, "mask": 128, "checksum": "right"}, OTHER_TOKEN),
        ({"do": "truncate", "size": 12}, OTHER_TOKEN),
    ],
)
def test_what_is_no_reply_to_the_probe_is_a_stray_and_the_probe_waits_on(
    lab_bench: Bench, action: dict[str, Any], reason: str
) -> None:
    far_rule(lab_bench, action)
    course = lab_bench.add(FAR, Plan(count=1))
    stray, timeout, _ = lab_bench.run()
    assert isinstance(stray, Stray)
    assert stray.reason == reason
    assert isinstance(timeout, Timeout)
    assert (course.statistics.received, course.statistics.timeouts) == (0, 1)


def test_a_forged_reply_before_the_true_one_changes_nothing(lab_bench: Bench) -> None:
    def forge(case: Any) -> None:
        true = case.emissions[0]
        forged = true.replace(packet=true.packet.replace(source=bytes([192, 0, 2, 9])))
        case.emissions = [forged, true.later(0.1)]

    far_rule(lab_bench, forge)
    lab_bench.add(FAR, Plan(count=1))
    stray, reply, _ = lab_bench.run()
    assert isinstance(stray, Stray)
    assert isinstance(reply, Reply)
    assert abs(reply.round_trip_ns - ROUND_TRIP - 100 * MILLISECOND) < ROUNDING


def test_whoever_answers_for_a_target_that_others_answer_for_has_answered(lab_bench: Bench) -> None:
    far_rule(lab_bench, {"do": "change", "source": "192.0.2.2"})
    lab_bench.add(FAR, Plan(count=1), answered_by_others=True)
    reply, _ = lab_bench.run()
    assert isinstance(reply, Reply)
    assert (reply.source[0], reply.other_source) == ("192.0.2.2", False)


def test_cut_and_altered_replies_say_so(lab_bench: Bench) -> None:
    far_rule(lab_bench, {"do": "truncate", "size": 40}, sequence=[0])
    far_rule(lab_bench, {"do": "corrupt", "offset": 30, "mask": 1, "checksum": "right"}, sequence=[1])
    lab_bench.add(FAR, Plan(count=2, interval_ns=MILLISECOND))
    cut, altered, _ = lab_bench.run()
    assert isinstance(cut, Reply)
    assert isinstance(altered, Reply)
    assert (cut.truncated, cut.altered_at, len(cut.message)) == (True, -1, 40)
    assert (altered.truncated, altered.altered_at) == (False, 22)


# Errors


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [("host unreachable", 3, 1), ("prohibited", 3, 13), ("time exceeded", 11, 0), ("77/200", 77, 200)],
)
def test_an_error_decides_with_its_sender_type_and_code(lab_bench: Bench, fault: str, kind: int, code: int) -> None:
    lab_bench.network.node("r2").rule({"do": "error", "fault": fault, "source": "10.66.0.1"})
    course = lab_bench.add(FAR, Plan(count=2, interval_ns=50 * MILLISECOND))
    told = [record for record in lab_bench.run() if not isinstance(record, Summary)]
    if kind == 77:
        assert kinds(told) == ["Timeout", "Timeout"], "Linux has no errno for such a type and does not tell of it"
        return
    assert kinds(told) == ["IcmpError", "IcmpError"]
    for error in told:
        assert isinstance(error, IcmpError)
        assert (error.reporter, error.type, error.code) == (("10.66.0.1", 0), kind, code)
    assert course.statistics.errors == 2


def test_a_router_on_the_way_is_named_when_the_hop_limit_ends(lab_bench: Bench) -> None:
    for hop_limit in (1, 2, 3):
        lab_bench.add(FAR, Plan(), options=ProbeOptions(hop_limit=hop_limit))
        lab_bench.add(FAR6, Plan(), options=ProbeOptions(hop_limit=hop_limit))
    told = [record for record in lab_bench.run() if not isinstance(record, Summary)]
    reporters = {
        (record.target.address[0], record.target.options.hop_limit): record.reporter[0]
        for record in told
        if isinstance(record, IcmpError)
    }
    assert reporters == {
        (FAR, 1): "10.255.0.1",
        (FAR, 2): "10.0.1.2",
        (FAR6, 1): "2001:db8:ff::1",
        (FAR6, 2): "2001:db8:1::2",
    }
    assert sorted(record.target.address[0] for record in told if isinstance(record, Reply)) == [FAR, FAR6]


@pytest.mark.parametrize("first", ["error", "reply"])
def test_reply_and_error_about_one_probe_in_either_order(lab_bench: Bench, first: str) -> None:
    delays = (0.0, 0.1) if first == "error" else (0.1, 0.0)
    far_rule(
        lab_bench,
        {"do": "delay", "seconds": delays[1]},
        {"do": "error", "fault": "host unreachable", "also": True, "delay": delays[0]},
    )
    course = lab_bench.add(FAR, Plan(count=2, interval_ns=300 * MILLISECOND))
    told = by_number(lab_bench.run() + lab_bench.settle(SECOND))
    assert told[1] == (["IcmpError", "Reply"] if first == "error" else ["Reply", "Note"])
    revised = [record.revises for _, record in lab_bench.told if isinstance(record, Reply)]
    assert revised == ([ICMP_ERROR] if first == "error" else [""]) * 2
    assert (course.statistics.received, course.statistics.errors) == (2, 0)
    assert course.statistics.notes == (0 if first == "error" else 2)


def test_an_error_after_the_timeout_revises_it(lab_bench: Bench) -> None:
    far_rule(lab_bench, {"do": "error", "fault": "host unreachable", "delay": 0.5})
    course = lab_bench.add(FAR, Plan(count=1, timeout_ns=300 * MILLISECOND))
    lab_bench.run()
    lab_bench.settle(SECOND)
    timeout, _, error = [record for _, record in lab_bench.told]
    assert isinstance(timeout, Timeout)
    assert isinstance(error, IcmpError)
    assert error.revises == TIMEOUT
    assert (course.statistics.timeouts, course.statistics.errors) == (0, 1)


@pytest.mark.parametrize("fault", ["redirect", "source quench"])
def test_what_says_that_the_probe_went_on_is_a_note_and_the_reply_counts(lab_bench: Bench, fault: str) -> None:
    lab_bench.network.node("r1").rule(
        {"do": "error", "fault": fault, "gateway": "10.0.0.77", "also": True}, type="echo"
    )
    lab_bench.add(FAR, Plan(count=3, interval_ns=20 * MILLISECOND))
    told = lab_bench.run()
    assert by_number(told) == {number: ["Note", "Reply"] for number in (1, 2, 3)}
    if fault == "redirect":
        note = told[0]
        assert isinstance(note, Note)
        assert note.info == int.from_bytes(bytes([10, 0, 0, 77]), "big")


def test_errors_about_one_target_never_fail_the_probes_of_another(lab_bench: Bench) -> None:
    """An unread error makes the next send fail once, whomever it goes to."""
    for last in range(1, 30):
        lab_bench.add(f"203.0.113.{last}", Plan(count=3, interval_ns=MILLISECOND), after=last * 100_000)
        lab_bench.add(f"198.18.0.{last}", Plan(count=3, interval_ns=MILLISECOND), after=last * 100_000)
    told = lab_bench.run()
    assert Counter(kinds(told)) == {"IcmpError": 87, "Reply": 87}
    for record in told:
        if isinstance(record, (Reply, IcmpError)):
            assert isinstance(record, IcmpError) == record.target.address[0].startswith("203")


def test_forged_errors_about_nothing_we_sent_are_passed_over(lab_bench: Bench) -> None:
    for falsified in ({"sequence": 999}, {"destination": "192.0.2.2"}, {"ident": 4}):
        far_rule(lab_bench, {"do": "error", "fault": "host unreachable", "also": True, "quote": falsified}, first=1)
    far_rule(lab_bench, {"do": "error", "fault": "host unreachable", "also": True, "quote": {"flip": 30}})
    lab_bench.add(FAR, Plan(count=4, interval_ns=20 * MILLISECOND))
    assert kinds(lab_bench.run()) == ["Reply"] * 4


def test_a_narrow_link_is_told_with_its_mtu(lab_bench: Bench) -> None:
    lab_bench.network.links[1].change(mtu=1300)
    options = ProbeOptions(size=1400, dont_fragment=True)
    lab_bench.add(FAR, Plan(count=2), options=options)
    error, failure, _ = lab_bench.run()
    assert isinstance(error, IcmpError)
    assert (error.type, error.code, error.info, error.reporter[0]) == (3, 4, 1300, "10.0.1.2")
    assert isinstance(failure, SendFailure), "the kernel has learnt the MTU from the error"
    assert (failure.errno, failure.mtu, failure.number) == (errno.EMSGSIZE, 1300, 2)


def test_a_silent_target_is_tried_again_as_often_as_planned_and_no_more(lab_bench: Bench) -> None:
    far_rule(lab_bench, "drop", first=3)
    begin = lab_bench.clock.now
    lab_bench.add(FAR, Plan(count=1, retries=5, timeout_ns=100 * MILLISECOND, interval_ns=SECOND))
    told = lab_bench.run()
    assert kinds(told) == ["Timeout"] * 3 + ["Reply"]
    assert lab_bench.clock.now - begin >= 3 * SECOND
    lab_bench.add("203.0.113.9", Plan(count=2, retries=1))
    assert kinds(lab_bench.run()) == ["IcmpError"] * 3


# A receive buffer that is too small


def test_silence_after_a_drop_of_our_own_is_an_overflow(lab_bench: Bench) -> None:
    lab_bench.add(FAR, Plan(count=1))
    lab_bench.run()
    (lane,) = lab_bench.prober.engine.lanes
    lab_bench.prober.channels[lane].sock.setsockopt(linux.SOL_SOCKET, linux.SO_RCVBUF, 4 * 832 // 2)
    for last in range(1, 41):
        lab_bench.add(f"198.18.1.{last}", Plan(count=1, timeout_ns=300 * MILLISECOND))
    lab_bench.turn()
    lab_bench.pass_to(lab_bench.clock.now + 100 * MILLISECOND)
    counted = Counter(kinds(lab_bench.run()))
    assert counted["Overflow"] > 20
    assert counted["Reply"] + counted["Overflow"] == 40


def test_there_is_never_more_under_way_than_the_buffer_holds() -> None:
    with bench(path, in_flight=16) as made:
        for last in range(1, 200):
            made.add(f"198.18.1.{last}", Plan(count=1))
        most = 0
        while made.prober.engine.busy:
            made.run(made.clock.now + MILLISECOND)
            most = max(most, *(lane.ledger.waiting - lane.room for lane in made.prober.engine.lanes))
        assert most <= 0
        assert Counter(kinds(record for _, record in made.told)) == {"Reply": 199}


# A process that does not run


def test_replies_that_came_while_the_process_was_stopped_are_in_time_and_measured_right(lab_bench: Bench) -> None:
    lab_bench.add(FAR, Plan(count=1))
    lab_bench.run(lab_bench.clock.now + 5 * MILLISECOND)
    lab_bench.pass_to(lab_bench.clock.now + 5 * SECOND)
    reply, _ = lab_bench.run()
    assert isinstance(reply, Reply)
    assert abs(reply.round_trip_ns - ROUND_TRIP) < ROUNDING


def test_silence_while_the_process_was_stopped_is_not_measured(lab_bench: Bench) -> None:
    far_rule(lab_bench, "drop")
    course = lab_bench.add(FAR, Plan(count=8))
    lab_bench.run(lab_bench.clock.now + 100 * MILLISECOND)
    lab_bench.pass_to(lab_bench.clock.now + 5 * SECOND)
    told = lab_bench.run()
    assert isinstance(told[0], Unmeasured)
    (skipped,) = (record for record in told if isinstance(record, Skipped))
    assert skipped.count == 4
    assert Counter(kinds(told)) == {"Unmeasured": 1, "Skipped": 1, "Timeout": 7}
    assert course.statistics.loss == 1.0


def test_one_slow_wake_up_does_not_hide_losses(lab_bench: Bench) -> None:
    far_rule(lab_bench, "drop")
    lab_bench.add(FAR, Plan(count=1))
    lab_bench.run(lab_bench.clock.now + 100 * MILLISECOND)
    lab_bench.pass_to(lab_bench.clock.now + 950 * MILLISECOND)
    assert kinds(lab_bench.run()) == ["Timeout"]


# Clocks that are set


@pytest.mark.parametrize("step", [3600 * SECOND, -3600 * SECOND, 50 * MILLISECOND, -50 * MILLISECOND])
@pytest.mark.parametrize("when", ["in flight", "between arrival and reading"])
def test_a_clock_that_is_set_in_between_spoils_no_round_trip(lab_bench: Bench, step: int, when: str) -> None:
    lab_bench.add(FAR, Plan(count=3))
    lab_bench.run(lab_bench.clock.now + 5 * MILLISECOND)
    if when == "in flight":
        lab_bench.clock.offset += step
    else:
        lab_bench.pass_to(lab_bench.clock.now + 8 * MILLISECOND)
        lab_bench.clock.offset += step
    told = lab_bench.run()
    assert kinds(told) == ["Reply"] * 3
    replies = [record for record in told if isinstance(record, EchoReply)]
    assert [reply.timed for reply in replies] == [BY_OUR_CLOCK, BETWEEN_KERNEL_STAMPS, BETWEEN_KERNEL_STAMPS]
    for reply in replies:
        assert abs(reply.round_trip_ns - ROUND_TRIP) < 2 * MILLISECOND


def test_records_that_are_no_replies_are_never_replies() -> None:
    for kind in (IcmpReport, Timeout, Overflow, Unmeasured, SendFailure, Skipped, Stray, Summary):
        assert not issubclass(kind, EchoReply)
    assert issubclass(Duplicate, EchoReply)
    assert NO_ECHO_REPLY
