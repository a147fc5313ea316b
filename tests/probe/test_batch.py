"""The batch driver tells what the blocking driver tells, whatever befalls the probes, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from socket import AF_INET, AF_INET6
from typing import Any, cast

import pytest

from link.private_network import private_network
from pingsock import lab
from pingsock.probe import batch_profile
from pingsock.probe.batch import BatchEngine, BatchProber
from pingsock.probe.batch_channel import BatchChannel
from pingsock.probe.batch_jobs import BatchRun
from pingsock.probe.batch_ledger import BatchLedger
from pingsock.probe.batch_replies import Replies
from pingsock.probe.batch_tally import RunTally
from pingsock.probe.batch_targets import TargetBlock, blocks_of, ipv4_blocks
from pingsock.probe.blocking import BlockingProber
from pingsock.probe.clock import MILLISECOND, SECOND
from pingsock.probe.flow import TOKEN_BYTES, socket_settings
from pingsock.probe.records import (
    INTERPOLATED,
    Duplicate,
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
from pingsock.probe.schedule import Plan
from pingsock.probe.target import ProbeOptions, Target
from pingsock.sockets.choose import open_ping_socket
from pingsock.sockets.errors import InvalidArgument, NoPingSocket
from pingsock.sockets.mmsg import ReceiveBatch, SendBatch
from pingsock.wire.checksum import checksum_holds
from probe.lab_bench import Clock

__all__ = ["private_network"]

LOOPBACK = 0x7F000001
QUICK = Plan(timeout_ns=150 * MILLISECOND, interval_ns=0, late_window_ns=100 * MILLISECOND)
PATIENT = QUICK.replace(timeout_ns=2 * SECOND)
"""All who answer are in time, however busy the machine is."""
MEASURED = {"round_trip_ns", "timed", "sent", "sequence", "statistics", "message"}
"""Fields that two runs cannot have in common; `message` is compared without what is random in it."""


@pytest.fixture
def open_range(private_network: None) -> None:
    """Everybody may open ping sockets in the test's own namespace."""
    with open("/proc/sys/net/ipv4/ping_group_range", "w") as file:
        file.write("0 2147483647")


def target(text: str, **fields: Any) -> Target:
    family = AF_INET6 if ":" in text else AF_INET
    address = (text, 0, 0, 0) if ":" in text else (text, 0)
    return Target(text, family, address, **fields)


def told_by_blocking(targets: Iterable[Target], plan: Plan) -> list[Any]:
    with BlockingProber(rate=plan.rate) as prober:
        prober.engine.feed(prober.course(each, plan) for each in targets)
        return [record for _, record in prober.happenings()]


def told_by_batch(targets: Iterable[Target | TargetBlock], plan: Plan, **settings: Any) -> list[Any]:
    return list(BatchRun(targets, plan, **settings).records())


def comparable(record: Any) -> tuple[Any, ...]:
    fields = {name: content for name, content in record.as_dict().items() if name not in MEASURED}
    message = getattr(record, "message", b"")
    statistics = getattr(record, "statistics", None)
    counts = {} if statistics is None else {name: statistics.as_dict()[name] for name in ("sent", "received", "errors")}
    # Silence is silence, also while a busy machine did not let us run.
    kind = Timeout if isinstance(record, Unmeasured) else type(record)
    return kind.__name__, *fields.items(), message[:2], message[8 + TOKEN_BYTES :], *counts.items()


def by_target(records: Iterable[Any]) -> dict[Any, list[Any]]:
    told = defaultdict(list)
    for record in records:
        if not isinstance(record, Skipped):
            told[getattr(record, "target", None)].append(comparable(record))
    return dict(told)


@contextmanager
def far_hosts(*prefixes: str, mtu: int = 1500) -> Iterator[tuple[lab.Network, Any]]:
    """A lab behind a TUN device in which one host answers for all of the prefixes."""
    network = lab.Network(seed=1)
    network.router("r1", "10.255.0.1", "2001:db8:ff::1")
    network.host("far", *prefixes)
    network.link("r1", "far", "10.0.2.0/24")
    addresses, theirs = ["10.0.0.1/24", "2001:db8::1/64"], ["10.0.0.2/24", "2001:db8::2/64"]
    if mtu < 1280:
        del addresses[1], theirs[1]
    with lab.kernel_lab(network, "r1", *addresses, mtu=mtu, right_addresses=theirs) as thread:
        yield network, thread


# Equal records


@pytest.mark.usefixtures("open_range")
@pytest.mark.parametrize("jobs", [1, 3])
def test_all_alive(jobs: int) -> None:
    targets = [each for block in ipv4_blocks(LOOPBACK, 1000) for each in block]
    expected = by_target(told_by_blocking(targets, QUICK))
    assert by_target(told_by_batch(targets, QUICK, jobs=jobs)) == expected
    assert by_target(told_by_batch(ipv4_blocks(LOOPBACK, 1000), QUICK, jobs=jobs)) == expected


@pytest.mark.usefixtures("open_range")
def test_ordinary_replies_come_together() -> None:
    told = list(BatchRun(ipv4_blocks(LOOPBACK, 1000), QUICK))
    assert sum(len(each) for each in told if isinstance(each, Replies)) > 900
    reply = next(record for each in told if isinstance(each, Replies) for record in each)
    assert isinstance(reply, Reply)
    assert reply.timed == INTERPOLATED
    assert 0 <= reply.round_trip_ns < 150 * MILLISECOND


@pytest.mark.usefixtures("open_range")
def test_the_next_socket_is_opened_while_the_last_has_sequence_numbers_left() -> None:
    left: list[list[int]] = []

    class Watched(BatchProber):
        def _open_lane(self, settings: Any) -> None:
            left.append([cast("BatchLedger", lane.ledger).room_for_group(1000) for lane in self.engine.lanes])
            super()._open_lane(settings)

    with Watched(ipv4_blocks(LOOPBACK, 70_000), QUICK.replace(timeout_ns=60 * SECOND)) as prober:
        for _ in prober.happenings():
            pass
    assert left[:2] == [[], [1000]]


@pytest.mark.usefixtures("open_range")
@pytest.mark.parametrize(
    "options",
    [
        ProbeOptions(size=0),
        ProbeOptions(size=5),
        ProbeOptions(size=1400, hop_limit=7, traffic_class=8),
        ProbeOptions(size=3000, payload=b"\xff\x00\x55"),
        ProbeOptions(source="127.9.9.9", dont_fragment=True),
    ],
)
def test_probes_of_any_look(options: ProbeOptions) -> None:
    targets = [target(f"127.0.1.{number}", options=options) for number in range(1, 100)]
    told = told_by_batch(targets, QUICK)
    assert by_target(told) == by_target(told_by_blocking(targets, QUICK))
    assert {type(record) for record in told} == {Reply, Summary}


@pytest.mark.usefixtures("open_range")
def test_both_families_in_one_stream() -> None:
    with far_hosts("10.9.0.0/16", "2001:db8:9::/64"):
        targets = [
            target(text)
            for number in range(1, 80)
            for text in ((f"10.9.0.{number}",) if number % 20 else (f"2001:db8:9::{number}", "::1"))
        ]
        targets += [target(f"2001:db8:9::1:{number}") for number in range(1, 80)]
        told = told_by_batch(targets, QUICK)
        assert by_target(told) == by_target(told_by_blocking(targets, QUICK))
        assert sum(isinstance(record, Reply) for record in told) == len(targets)


@pytest.mark.usefixtures("open_range")
def test_silence_errors_and_odd_replies_among_ordinary_ones() -> None:
    with far_hosts("10.9.0.0/16") as (network, _):
        far = network.node("far")
        far.rule("drop", destination="10.9.1.0/28")
        far.rule({"do": "error", "fault": "3/13", "source": "10.66.0.1"}, destination="10.9.2.0/28")
        far.rule({"do": "duplicate", "copies": 2}, destination="10.9.3.0/28")
        far.rule({"do": "delay", "seconds": 1.2}, destination="10.9.4.0/30")
        targets = [target(f"10.9.{third}.{fourth}") for third in range(6) for fourth in range(1, 64)]
        # All who reply in time do so however busy the machine is.
        plan = Plan(timeout_ns=SECOND, retries=1)
        told = told_by_batch(targets, plan)
        assert by_target(told) == by_target(told_by_blocking(targets, plan))
    kinds = {type(record) for record in told}
    assert {Reply, Timeout, IcmpError, Duplicate, Late, Summary} <= kinds
    assert {record.reporter[0] for record in told if isinstance(record, IcmpError)} == {"10.66.0.1"}


@pytest.mark.usefixtures("open_range")
def test_replies_in_any_order_are_those_of_their_targets() -> None:
    delayed = range(4, 250, 8)
    with far_hosts("10.9.0.0/16") as (network, _):
        for last in delayed:
            network.node("far").rule({"do": "delay", "seconds": 0.3}, destination=f"10.9.1.{last}/31")
        first = int.from_bytes(bytes((10, 9, 1, 0)), "big")
        told = list(BatchRun(ipv4_blocks(first, 250), QUICK.replace(timeout_ns=2_000 * MILLISECOND)))
    replies = [record for what in told if isinstance(what, Replies) for record in what if isinstance(record, Reply)]
    replies += [record for record in told if isinstance(record, Reply)]
    assert {reply.target.host for reply in replies} == {f"10.9.1.{last}" for last in range(250)}
    assert all(reply.source == reply.target.address and checksum_holds(reply.message) for reply in replies)
    late = [reply for reply in replies if int(reply.target.host.split(".")[3]) & ~1 in delayed]
    # Times of sending are interpolated: they may be wrong by as long as a busy machine interrupts one system call.
    assert all(reply.round_trip_ns >= 200 * MILLISECOND for reply in late)
    assert len(late) == 2 * len(delayed)


@pytest.mark.usefixtures("open_range")
def test_replies_from_others_are_strays() -> None:
    with far_hosts("10.9.0.0/16") as (network, _):
        network.node("far").rule({"do": "change", "source": "10.9.7.7"}, destination="10.9.1.0/30")
        targets = [target(f"10.9.{third}.{fourth}") for third in range(3) for fourth in range(1, 64)]
        told = told_by_batch(targets, QUICK)
        assert by_target(told) == by_target(told_by_blocking(targets, QUICK))
    assert {record.source for record in told if isinstance(record, Stray)} == {("10.9.7.7", 0)}


@pytest.mark.usefixtures("open_range")
def test_a_reply_from_another_before_the_genuine_one_does_not_keep_a_run_from_ending() -> None:
    class Deceived(BatchProber):
        def _send_group(self, ledger: Any, channel: Any, *what: Any) -> bool:
            sent = super()._send_group(ledger, channel, *what)
            message = bytearray(channel.template)
            message[6:8] = (3).to_bytes(2, "big")
            channel.hear_one_untrusted(bytes(message), [], ("127.0.9.9", 0))
            return sent

    told: list[Any] = []
    with Deceived(ipv4_blocks(LOOPBACK, 16), QUICK) as prober:
        turns = 0
        while prober.engine.busy and turns < 200:
            told += [record for _, record in prober.step(MILLISECOND)]
            turns += 1
        assert not prober.engine.busy
    records = [record for what in told for record in (what if isinstance(what, Replies) else [what])]
    assert [type(record) for record in records].count(Stray) == 1
    for kind in (Reply, Summary):
        assert sorted(record.target.host for record in records if isinstance(record, kind)) == sorted(
            f"127.0.0.{1 + number}" for number in range(16)
        )


@pytest.mark.usefixtures("open_range")
def test_what_this_host_refuses_to_send() -> None:
    for kind, network in (("unreachable", "10.66.1.0/24"), ("prohibit", "10.66.2.0/24"), ("blackhole", "10.66.3.0/24")):
        subprocess.run(["ip", "route", "add", kind, network], check=True)
    targets = [
        target(f"{network}.{number}")
        for number in range(1, 30)
        for network in ("127.0.0", "10.66.1", "127.0.1", "10.66.2", "10.66.3", "127.255.255")
    ] + [target("127.255.255.255"), target("127.0.0.1")]
    told = told_by_batch(targets, QUICK)
    assert by_target(told) == by_target(told_by_blocking(targets, QUICK))
    assert any(isinstance(record, SendFailure) for record in told)


@pytest.mark.usefixtures("open_range")
@pytest.mark.parametrize("never", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_probes_larger_than_a_network_s_mtu_are_fragmented_unless_they_must_not_be(never: bool, count: int) -> None:
    options, plan = ProbeOptions(dont_fragment=never), PATIENT.replace(count=count)
    with far_hosts("10.9.0.0/16", mtu=80):
        targets = [target(f"10.9.1.{last}", options=options) for last in range(1, 50)]
        targets[25:25] = [target(f"127.0.0.{last}", options=options) for last in range(1, 50)]
        told = told_by_batch(targets, plan)
        assert by_target(told) == by_target(told_by_blocking(targets, plan))
    refused = [record for record in told if isinstance(record, SendFailure)]
    assert len(refused) == (49 * count if never else 0)


@pytest.mark.usefixtures("open_range")
@pytest.mark.parametrize("least", [552, 68])
def test_probes_are_fragmented_once_a_router_has_said_that_they_do_not_fit(least: int) -> None:
    plan = PATIENT.replace(retries=1)
    targets = [target(f"10.9.1.{last}") for last in range(1, 50)]
    with open("/proc/sys/net/ipv4/route/min_pmtu", "w") as file:
        file.write(str(least))
    with far_hosts("10.9.0.0/16") as (network, _):
        network.links[0].change(mtu=80)
        told = told_by_batch(targets, plan)
        subprocess.run(["ip", "route", "flush", "cache"], check=True)
        assert by_target(told) == by_target(told_by_blocking(targets, plan))
    assert Counter(map(type, told)) == {IcmpError: 49, Reply: 49, Summary: 49}


@pytest.mark.usefixtures("open_range")
@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
def test_replies_are_whole_while_shorter_ones_are_expected(family: int) -> None:
    prefix = "10.9.0." if family == AF_INET else "2001:db8:9::"
    with far_hosts("10.9.0.0/16", "2001:db8:9::/64") as (network, _):
        network.node("far").rule({"do": "delay", "seconds": 0.05})
        sizes = [(100, 0, 56, 600, 101)[number // 10 % 5] for number in range(1, 100)]
        targets = [target(f"{prefix}{number}", options=ProbeOptions(size=size)) for number, size in enumerate(sizes, 1)]
        # One that no block may hold, and is longer than all others that share its socket.
        targets.append(target(f"{prefix}100", options=ProbeOptions(size=1000), answered_by_others=True))
        targets.append(target(f"{prefix}101", options=ProbeOptions(size=800)))
        targets.append(target(f"{prefix}102", options=ProbeOptions(size=1300), answered_by_others=True))
        told = told_by_batch(targets, PATIENT)
        assert by_target(told) == by_target(told_by_blocking(targets, PATIENT))
    replies = [record for record in told if isinstance(record, Reply)]
    assert len(replies) == 102
    assert all(len(reply.message) == 8 + reply.target.options.size for reply in replies)


@pytest.mark.usefixtures("open_range")
def test_any_number_of_kinds_of_targets() -> None:
    options = [ProbeOptions(hop_limit=1 + number) for number in range(100)]
    targets = [target(f"127.0.0.{1 + number}", options=options[number % 100]) for number in range(200)]
    with BatchProber(targets, PATIENT) as prober:
        told = [what for _, what in prober.happenings()]
        assert len(prober._profiles) <= 16
        assert len(prober._reply_buffers) <= 16
    replies = [record for what in told for record in (what if isinstance(what, Replies) else [what])]
    assert {record.target for record in replies if isinstance(record, Reply)} == set(targets)


@pytest.mark.usefixtures("open_range")
def test_batches_that_end_early_are_read_to_the_end_before_a_probe_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(ReceiveBatch):
        """As if an ICMP error came during each call."""

        def receive(self, descriptor: int, flags: int) -> int:
            self.capacity = 3
            return super().receive(descriptor, flags)

    monkeypatch.setattr(batch_profile, "ReceiveBatch", Interrupted)
    with BatchProber(ipv4_blocks(LOOPBACK, 20), QUICK.replace(timeout_ns=1)) as prober:
        told = [what for _, what in prober.happenings()]
    # A probe whose interpolated time is after that of its reply seems to be in time.
    assert Counter(Late if type(record) is Reply else type(record) for record in told) == {Late: 20, Summary: 20}
    assert {record.revises for record in told if isinstance(record, Late | Reply)} == {""}


@pytest.mark.usefixtures("open_range")
def test_several_probes_of_each_target() -> None:
    plan = QUICK.replace(count=3, interval_ns=50 * MILLISECOND)
    targets = [each for block in ipv4_blocks(LOOPBACK, 60) for each in block]
    told = told_by_batch(ipv4_blocks(LOOPBACK, 60), plan)
    assert by_target(told) == by_target(told_by_blocking(targets, plan))


# Buffers and sequence numbers


@pytest.mark.usefixtures("open_range")
def test_replies_that_did_not_fit_are_told_as_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(self: BatchChannel, *_wanted: int) -> int:
        self.sock.setsockopt(1, 8, 4096)
        return 1000

    monkeypatch.setattr(BatchChannel, "reserve", tiny)
    told = told_by_batch(ipv4_blocks(LOOPBACK, 500), QUICK)
    kinds = [type(record) for record in told]
    assert kinds.count(Reply) + kinds.count(Overflow) == 500
    assert kinds.count(Overflow) > 100
    assert kinds.count(Summary) == 500


@pytest.mark.usefixtures("open_range")
@pytest.mark.parametrize("window", [MILLISECOND, 10_000 * MILLISECOND])
def test_more_targets_than_sequence_numbers(window: int) -> None:
    plan = Plan(timeout_ns=5_000 * MILLISECOND, late_window_ns=window)
    tally = RunTally(histogram=True)
    answered = set()
    for what in BatchRun(ipv4_blocks(LOOPBACK, 70_000), plan):
        if isinstance(what, Replies):
            tally.enter_replies(what)
            answered.update(what.targets())
        else:
            tally.enter(what)
            answered.add(what.target) if isinstance(what, Reply) else None
    assert len(answered) == 70_000
    assert set(tally.records) <= {Reply, Summary}
    assert tally.histogram.count == 70_000
    assert tally.histogram.minimum <= tally.mean <= tally.histogram.maximum


@pytest.mark.usefixtures("open_range")
def test_numbers_are_used_again_when_their_late_window_is_over() -> None:
    plan = Plan(timeout_ns=10 * MILLISECOND, late_window_ns=0)
    run = BatchRun(ipv4_blocks(LOOPBACK, 300_000), plan)
    told = sum(len(what) if isinstance(what, Replies) else isinstance(what, Summary) for what in run)
    assert told == 300_000


# Leaving nothing behind


@pytest.mark.usefixtures("open_range")
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("count", [1, 2])
def test_no_target_begins_while_a_run_is_held(jobs: int, count: int) -> None:
    taken = 0

    def blocks() -> Iterator[TargetBlock]:
        nonlocal taken
        for block in ipv4_blocks(LOOPBACK, 1000):
            taken += 1
            yield block

    with BatchRun(blocks(), QUICK.replace(count=count), jobs=jobs) as run:
        run.hold(True)
        assert [run.step(20 * MILLISECOND) for _ in range(4)] == [[]] * 4
        assert taken <= jobs
        run.hold(False)
        alive = sum(len(what) if isinstance(what, Replies) else isinstance(what, Summary) for what in run)
    assert alive == 1000


@pytest.mark.usefixtures("open_range")
def test_a_run_that_is_held_goes_on_when_another_thread_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = threading.Event()
    told: list[Any] = []
    read = BatchProber._readable

    def watched(self: BatchProber, nanoseconds: int) -> Any:
        if nanoseconds > 0:
            waits.set()
        return read(self, nanoseconds)

    monkeypatch.setattr(BatchProber, "_readable", watched)
    run = BatchRun(ipv4_blocks(LOOPBACK, 300), QUICK)
    run.hold(True)
    thread = threading.Thread(target=lambda: told.extend(run.records()), daemon=True)
    thread.start()
    waits.wait()
    run.hold(False)
    thread.join(30)
    assert len(told) == 600


@pytest.mark.usefixtures("open_range")
@pytest.mark.parametrize("jobs", [1, 2])
def test_nothing_is_left_when_a_run_is_left_in_the_middle(jobs: int) -> None:
    descriptors = set(os.listdir("/proc/self/fd"))
    results = iter(BatchRun(ipv4_blocks(LOOPBACK, 1_000_000), Plan(), jobs=jobs))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert set(os.listdir("/proc/self/fd")) == descriptors
    assert threading.active_count() == 1


@pytest.mark.usefixtures("open_range")
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_stream_raises_ends_the_run(jobs: int) -> None:
    def broken() -> Iterator[TargetBlock]:
        yield from ipv4_blocks(LOOPBACK, 20_000)
        raise LookupError("no more names")

    descriptors = set(os.listdir("/proc/self/fd"))
    with pytest.raises(LookupError, match="no more names"):
        list(BatchRun(broken(), Plan(), jobs=jobs))
    assert set(os.listdir("/proc/self/fd")) == descriptors
    assert threading.active_count() == 1


@pytest.mark.parametrize("jobs", [0, -1, 1.5, "2", None])
def test_a_number_of_jobs_that_is_none(jobs: Any) -> None:
    with pytest.raises(InvalidArgument, match="jobs must be"):
        BatchRun([], Plan(), jobs=jobs)


@pytest.mark.usefixtures("open_range")
@pytest.mark.parametrize("jobs", [1, 2])
def test_no_targets(jobs: int) -> None:
    assert list(BatchRun([], Plan(), jobs=jobs)) == []


# Blocks


def test_a_range_as_blocks_has_all_addresses_in_order() -> None:
    first = int.from_bytes(bytes((10, 1, 255, 250)), "big")
    targets = [each for block in ipv4_blocks(first, 5000) for each in block]
    assert [int.from_bytes(map(int, each.host.split(".")), "big") for each in targets] == list(
        range(first, first + 5000)
    )


def test_blocks_are_neither_empty_nor_so_large_that_all_in_them_may_be_under_way_at_once() -> None:
    large = TargetBlock.from_packed(AF_INET, bytes(range(256)) * 160)
    empty = TargetBlock.from_packed(AF_INET6, b"")
    parts = blocks_of([empty, large, empty, large.part(range(7))])
    blocks = [part for part in parts if isinstance(part, TargetBlock)]
    assert [len(block) for block in blocks] == [4096, 4096, 2048, 7]
    assert [each for block in blocks for each in block] == [*large, *large.part(range(7))]


def test_targets_are_joined_while_they_are_alike() -> None:
    other = ProbeOptions(size=10)
    group = target("10.0.0.9", answered_by_others=True)
    stream: list[Target | TargetBlock] = [
        target("10.0.0.1"),
        target("10.0.0.2"),
        target("10.0.0.3", options=other),
        group,
        target("::1"),
        target("fe80::1"),
        *ipv4_blocks(LOOPBACK, 3),
        target("10.0.0.4"),
    ]
    joined = list(blocks_of(stream))
    assert [len(item) if isinstance(item, TargetBlock) else item.host for item in joined] == [
        2,
        1,
        "10.0.0.9",
        1,
        "fe80::1",
        3,
        1,
    ]
    assert [each.host for item in joined if isinstance(item, TargetBlock) for each in item][:2] == [
        "10.0.0.1",
        "10.0.0.2",
    ]


@pytest.mark.usefixtures("open_range")
def test_a_prober_that_is_kept_away_for_long_tells_of_every_silent_probe() -> None:
    with far_hosts("10.9.0.0/16") as (network, _):
        network.node("far").configure(answers=())
        hosts = int.from_bytes(bytes((10, 9, 1, 0)), "big")
        run = BatchRun(ipv4_blocks(hosts, 600), QUICK.replace(timeout_ns=1, late_window_ns=0))
        kinds = [type(record) for record in run.records()]
    assert kinds.count(Summary) == 600
    assert sum(issubclass(kind, Timeout) for kind in kinds) == 600


@pytest.mark.usefixtures("open_range")
def test_a_rate_counts_what_this_host_refuses_once() -> None:
    subprocess.run(["ip", "route", "add", "unreachable", "10.66.0.0/16"], check=True)
    hosts = int.from_bytes(bytes((10, 66, 1, 0)), "big")
    clock = Clock()
    begin = clock.now
    plan = QUICK.replace(rate=1000.0)
    with BatchProber(ipv4_blocks(hosts, 300), plan, clock=clock.monotonic_ns, clocks=clock.both) as prober:
        kinds: Counter[type] = Counter()
        while prober.engine.busy:
            clock.now = max(clock.now, prober.turn([]))
            kinds.update(type(what) for _, what in prober.engine.take())
    assert kinds == {SendFailure: 300, Summary: 300}
    assert 280 * MILLISECOND < clock.now - begin < 320 * MILLISECOND


@pytest.mark.usefixtures("open_range")
def test_while_nothing_can_be_sent_no_more_targets_begin_than_can_be_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(errno.ENOBUFS, "no room")

    monkeypatch.setattr(SendBatch, "send", refuse)
    monkeypatch.setattr(BatchChannel, "_try_to_send", lambda *_arguments: errno.ENOBUFS)
    clock, most, told = Clock(), 0, 0
    plan = QUICK.replace(patience_ns=5 * SECOND)
    with BatchProber(ipv4_blocks(LOOPBACK, 600), plan, clock=clock.monotonic_ns, clocks=clock.both) as prober:
        while prober.engine.busy:
            clock.now = max(clock.now, prober.turn([]))
            most = max(most, prober.engine.active)
            told += sum(type(what) is SendFailure for _, what in prober.engine.take())
    assert told == 600
    assert most <= 256


def test_a_socket_that_was_refused_is_asked_for_again_later() -> None:
    engine, settings = BatchEngine(), socket_settings(target("127.0.0.1"))
    assert engine.want_lane(settings, 1)
    engine.refuse_lane(settings, errno.EMFILE, until=SECOND)
    assert not engine.want_lane(settings, SECOND - 1)
    assert engine.wanted is None
    assert engine.want_lane(settings, SECOND)
    assert engine.wanted == settings


def test_a_rate_lets_through_what_it_allows_and_no_more() -> None:
    engine = BatchEngine(rate=1000.0)
    now = 1_000_000 * MILLISECOND
    assert engine.allow(now, 256) <= 11
    assert engine.allow(now, 256) == 0
    assert engine.allow(now + 5 * MILLISECOND, 256) == 5
    assert engine.allows_from() > now + 5 * MILLISECOND
    assert BatchEngine().allow(now, 256) == 256


@pytest.mark.usefixtures("private_network")
@pytest.mark.parametrize("jobs", [1, 2])
def test_without_a_socket_there_is_no_run(jobs: int) -> None:
    with pytest.raises(NoPingSocket):
        list(BatchRun(ipv4_blocks(LOOPBACK, 10), Plan(), jobs=jobs, kinds=("kernel",)))
    assert threading.active_count() == 1


@pytest.mark.usefixtures("private_network")
def test_served_sockets_get_their_probes_one_by_one() -> None:
    told = told_by_batch(ipv4_blocks(LOOPBACK, 100), QUICK, kinds=("embedded",))
    assert [type(record) for record in told].count(Reply) == 100
    assert [type(record) for record in told].count(Summary) == 100


@pytest.mark.usefixtures("open_range")
@pytest.mark.parametrize("kind", ["kernel", "embedded"])
def test_targets_that_have_to_wait_for_others_cost_no_turns(kind: str) -> None:
    with far_hosts("10.9.0.0/16") as (network, _):
        network.node("far").configure(answers=())
        hosts, turns = int.from_bytes(bytes((10, 9, 1, 0)), "big"), 0
        with BatchProber(ipv4_blocks(hosts, 40), QUICK, kinds=(kind,), in_flight=10) as prober:
            while prober.engine.busy:
                prober.step()
                turns += 1
    assert turns < 400


@pytest.mark.usefixtures("open_range")
def test_where_the_next_socket_is_a_served_one_probes_are_sent_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = iter(["kernel", "embedded"])

    def another(family: int, **_settings: Any) -> Any:
        return open_ping_socket(family, kinds=(next(kinds),))

    monkeypatch.setattr(BatchChannel, "reserve", lambda *_arguments: 40)
    with far_hosts("10.9.0.0/16") as (network, _):
        network.node("far").rule("drop", destination="10.9.1.0/26")
        targets = [target(f"10.9.1.{last}") for last in range(100)]
        plan = QUICK.replace(timeout_ns=SECOND)
        with BatchProber(targets, plan, open_socket=another) as prober:
            told = [what for _, what in prober.happenings()]
            assert [channel.sock.kind for channel in prober.channels.values()] == ["kernel", "embedded"]
        records = [record for what in told for record in (what if isinstance(what, Replies) else [what])]
        assert by_target(records) == by_target(told_by_blocking(targets, plan))


@pytest.mark.usefixtures("open_range")
def test_a_socket_that_cannot_be_set_up_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr(BatchChannel, "reserve", refuse)
    descriptors = set(os.listdir("/proc/self/fd"))
    with BatchProber(ipv4_blocks(LOOPBACK, 9), QUICK) as prober, pytest.raises(OSError, match="no memory"):
        list(prober.happenings())
    del prober
    assert set(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.usefixtures("open_range")
def test_room_is_reckoned_for_the_size_of_the_replies() -> None:
    block = TargetBlock(AF_INET, next(ipv4_blocks(LOOPBACK, 9)).columns, ProbeOptions(size=1400))
    small = BatchProber(ipv4_blocks(LOOPBACK, 9), QUICK, in_flight=100_000)
    large = BatchProber([block], QUICK, in_flight=100_000)
    with small, large:
        for prober in (small, large):
            assert len([what for _, what in prober.happenings() if isinstance(what, Replies)]) == 1
        assert large.engine.lanes[0].room * 2304 // 832 <= small.engine.lanes[0].room + 3
