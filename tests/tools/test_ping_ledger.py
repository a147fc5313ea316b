"""What a ping remembers of its probes: as much as any ledger, in less memory."""

from __future__ import annotations

import tracemalloc
from struct import pack

from hypothesis import given
from hypothesis import strategies as st

from pingsock.probe.clock import MILLISECOND, SECOND, Stepwatch
from pingsock.probe.flow import Flow
from pingsock.probe.ledger import Ledger
from pingsock.probe.records import (
    BETWEEN_KERNEL_STAMPS,
    TO_KERNEL_STAMP,
    UNKNOWN_SEQUENCE,
    Duplicate,
    EchoReply,
    Reply,
    Stray,
)
from pingsock.probe.sent_probes import SEQUENCES
from pingsock.tools.ping_ledger import STAMPS_KEPT, PingLedger
from pingsock.wire import linux
from probe.lab_bench import EPOCH, target_at

ADDRESS = ("192.0.2.1", 0)
START = 9 * SECOND
ON_THE_WAY, READ_AFTER = 300_000, 700_000
"""Nanoseconds from a probe's transmit stamp to the stamp of its reply, and from its sending to the reading of that."""


class Bench:
    """A ledger, and probes sent a millisecond apart, that leave 5 µs later."""

    def __init__(self, kind: type[Ledger] = PingLedger, latest: int = 0) -> None:
        stepwatch = Stepwatch()
        stepwatch.show(START, START + EPOCH)
        self.flow = Flow(target_at(ADDRESS[0]), bytes(8))
        self.ledger = (
            PingLedger(self.flow, stepwatch, compared_from=0)
            if kind is PingLedger
            else Ledger(linux.AF_INET, stepwatch, b"", any_source=True)
        )
        self.latest, self.key = latest, 0

    def send(self, count: int = 1, *, stamped: bool = True) -> None:
        for _ in range(count):
            self.latest += 1
            now = self.sent_at(self.latest)
            self.ledger.sent(self.latest & 0xFFFF, self.flow, self.latest, now)
            if stamped:
                self.ledger.left(self.key & 0xFFFFFFFF, now + EPOCH + 5_000)
            self.key += 1

    def refuse(self) -> None:
        """As a channel does it, and a run of ping."""
        self.latest += 1
        self.ledger.forget_keys()
        self.key = 0
        if isinstance(self.ledger, PingLedger):
            self.ledger.passed_over(self.latest & 0xFFFF)

    @staticmethod
    def sent_at(number: int) -> int:
        return START + number * MILLISECOND

    def hear(self, number: int) -> EchoReply | Stray:
        """The reply to that probe, read soon after it was sent, or after all others were."""
        read_at = self.sent_at(number) + READ_AFTER
        message = pack("!BBHHH", 0, 0, 0, 7, number & 0xFFFF) + self.flow.payload
        stamp = self.sent_at(number) + EPOCH + 5_000 + ON_THE_WAY
        return self.ledger.reply_untrusted(message, ADDRESS, stamp, 64, read_at, read_at + EPOCH)


def test_each_of_the_latest_65536_probes_is_known_by_its_number_however_often_these_came_round() -> None:
    bench = Bench()
    for first in (1, SEQUENCES // 2, 5 * SEQUENCES - 7):
        bench.latest = first - 1
        bench.send(SEQUENCES)
        numbers = range(first, first + SEQUENCES)
        assert [bench.hear(number).number for number in numbers] == list(numbers)  # type: ignore[union-attr]


def test_a_second_reply_is_a_duplicate_as_long_as_its_number_was_not_used_again() -> None:
    bench = Bench()
    bench.send()
    assert type(bench.hear(1)) is Reply
    bench.send(SEQUENCES - 1)
    assert type(bench.hear(1)) is Duplicate
    bench.send()
    assert type(bench.hear(1)) is Reply


def test_round_trips_are_between_kernel_stamps_as_long_as_these_are_kept() -> None:
    bench = Bench()
    bench.send(STAMPS_KEPT + 1)
    oldest_kept, older = bench.hear(2), bench.hear(1)
    assert isinstance(oldest_kept, Reply)
    assert (oldest_kept.round_trip_ns, oldest_kept.timed) == (ON_THE_WAY, BETWEEN_KERNEL_STAMPS)
    assert isinstance(older, Reply)
    assert (older.round_trip_ns, older.timed) == (ON_THE_WAY + 5_000, TO_KERNEL_STAMP)


def test_a_stamp_that_comes_after_many_sends_is_nobodys() -> None:
    bench = Bench()
    bench.send(STAMPS_KEPT + 1, stamped=False)
    bench.ledger.left(0, bench.sent_at(1) + EPOCH + 5_000)
    assert bench.ledger.stamps_due == STAMPS_KEPT + 1
    bench.ledger.left(1, bench.sent_at(2) + EPOCH + 5_000)
    assert bench.ledger.stamps_due == STAMPS_KEPT
    timed = [reply.timed for reply in map(bench.hear, (1, 2, STAMPS_KEPT + 1)) if isinstance(reply, Reply)]
    assert timed == [TO_KERNEL_STAMP, BETWEEN_KERNEL_STAMPS, TO_KERNEL_STAMP]


def test_a_reply_to_the_number_of_a_refused_probe_is_a_stray() -> None:
    bench = Bench()
    bench.send(SEQUENCES)
    bench.refuse()
    stray = bench.hear(1)
    assert isinstance(stray, Stray)
    assert stray.reason == UNKNOWN_SEQUENCE
    assert bench.ledger.waiting == SEQUENCES - 1
    assert type(bench.hear(2)) is Reply


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["send", "send unstamped", "refuse"]), st.integers(1, 40)),
        st.tuples(st.just("hear"), st.integers(0, 200)),
    ),
    max_size=60,
)


@given(st.sampled_from([0, SEQUENCES - 50, 2**32 - 50]), STEPS)
def test_it_makes_of_all_that_is_heard_what_any_ledger_makes_of_it(latest: int, steps: list[tuple[str, int]]) -> None:
    benches = Bench(PingLedger, latest), Bench(Ledger, latest)
    for step, amount in steps:
        if step == "hear":
            mine, others = (bench.hear(max(bench.latest - amount, latest)) for bench in benches)
            assert mine == others
            continue
        for bench in benches:
            if step == "refuse":
                bench.refuse()
            else:
                bench.send(amount, stamped=step == "send")
    assert benches[0].ledger.waiting == benches[1].ledger.waiting
    assert benches[0].ledger.stamps_due == benches[1].ledger.stamps_due


def test_a_ping_for_ever_takes_less_than_three_quarters_of_a_megabyte() -> None:
    bench = Bench()
    tracemalloc.start()
    try:
        bench.send(3 * SEQUENCES)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 750_000
