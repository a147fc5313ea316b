"""A ledger of groups knows what a list of all that was sent would know, whatever happens in which order."""

from __future__ import annotations

from collections.abc import Iterator
from socket import AF_INET

from hypothesis import example, given, settings
from hypothesis import strategies as some

from pingsock.probe.batch_ledger import BatchLedger
from pingsock.probe.batch_targets import TargetBlock, ipv4_blocks
from pingsock.probe.clock import NEVER, Stepwatch
from pingsock.probe.flow import Flow
from pingsock.probe.sent_probes import SEQUENCES
from pingsock.probe.target import Target

TIMEOUT, LATE_WINDOW = 100, 50
BLOCK = TargetBlock.from_packed(AF_INET, b"".join(each.columns[0].tobytes() for each in ipv4_blocks(0x0A000000, 32768)))
FLOW = Flow(Target("10.0.0.1", AF_INET, ("10.0.0.1", 0)), b"")


class Sending:
    """Probes that were sent together, or one."""

    def __init__(self, start: int, count: int, now: int, *, singly: bool) -> None:
        self.numbers = range(start, start + count)
        self.waiting = set(self.numbers)
        self.deadline = now + count - 1 + TIMEOUT
        self.singly = singly


class Model:
    """A ledger, and beside it a list of what was sent and is not forgotten."""

    def __init__(self) -> None:
        self.ledger = BatchLedger(AF_INET, Stepwatch(), b"", TIMEOUT, LATE_WINDOW, lambda _ledger, _sequence: FLOW)
        self.sendings: list[Sending] = []
        self.now = 1000
        self.looked_at = 1000
        self._next = 0

    def do(self, what: str, number: int) -> None:
        getattr(self, what)(number)

    def send_group(self, number: int) -> None:
        count = min(self.ledger.room_for_group(number), SEQUENCES - self._next)
        if count:
            self.ledger.sent_group(BLOCK, 0, count, self.now, self.now + count)
            self._sent(count, singly=False)
            self.now += count

    def send_singly(self, _number: int) -> None:
        sequence = self.ledger.next_sequence(self.now)
        if sequence >= 0:
            assert sequence == self._next
            self.ledger.sent(sequence, FLOW, 1, self.now, TIMEOUT, LATE_WINDOW)
            self._sent(1, singly=True)

    def _sent(self, count: int, *, singly: bool) -> None:
        self.sendings.append(Sending(self._next, count, self.now, singly=singly))
        self._next = (self._next + count) % SEQUENCES

    def _groups(self) -> list[Sending]:
        return [sending for sending in self.sendings if not sending.singly and sending.waiting]

    def answer_in_order(self, number: int) -> None:
        """Part of the oldest group that waits for anything, if nothing in that part was answered."""
        for group in self._groups()[:1]:
            start = min(group.waiting)
            stop = min(start + number, group.numbers.stop)
            if self.ledger.all_wait(start, stop):
                self.ledger.answered_in_order(start, stop)
                group.waiting -= set(range(start, stop))

    def answer_here_and_there(self, number: int) -> None:
        answered = [sequence for group in self._groups() for sequence in sorted(group.waiting)[:: max(number // 64, 1)]]
        self.ledger.answered(answered)
        for group in self._groups():
            group.waiting -= set(answered)

    def wait(self, number: int) -> None:
        self.now += number

    def look(self, most: int) -> None:
        """What has waited too long, and what is over, by the ledger and by the list."""
        read_until = min(self.now, self.looked_at)
        silent = self.ledger.silent(self.now, most, read_until)
        while self.sendings and not self.sendings[0].waiting:
            if self.sendings[0].deadline + LATE_WINDOW > read_until:
                break
            del self.sendings[0]
        assert silent == [*self._silent(most, singly=False), *self._silent(most, singly=True)]
        self.looked_at = self.now

    def _silent(self, most: int, *, singly: bool) -> Iterator[int]:
        told = 0
        for sending in self.sendings:
            if sending.singly == singly and sending.waiting and sending.deadline <= self.now and told < most:
                told += len(sending.waiting)
                yield from sorted(sending.waiting)
                sending.waiting.clear()

    def check(self) -> None:
        ledger = self.ledger
        waiting = [sending for sending in self.sendings if sending.waiting]
        assert ledger.waiting == sum(len(sending.waiting) for sending in waiting)
        in_use = {sending.numbers.start for sending in self.sendings}
        free = SEQUENCES - self._next
        if self.sendings and (oldest := self.sendings[0].numbers.start) >= self._next:
            free = oldest - self._next
        assert ledger.room_for_group(SEQUENCES) == free
        assert {start for start in in_use if ledger.group_of(start)} == {
            sending.numbers.start for sending in self.sendings if not sending.singly
        }

    def check_deadline(self) -> None:
        assert self.ledger.next_deadline() == min(
            [sending.deadline for sending in self.sendings if sending.waiting], default=NEVER
        )


SIZES = some.sampled_from((1, 2, 5, 300, 20_000, 32_768))
STEPS = some.lists(
    some.one_of(
        some.tuples(some.sampled_from(("send_group", "answer_in_order", "answer_here_and_there")), SIZES),
        some.tuples(some.just("send_singly"), some.just(1)),
        some.tuples(some.just("wait"), some.sampled_from((1, TIMEOUT, TIMEOUT + LATE_WINDOW, 40_000))),
        some.tuples(some.just("look"), some.sampled_from((0, 1, 70_000))),
    ),
    max_size=30,
)
ROUND = [("send_group", 32_768), ("answer_here_and_there", 1), ("wait", 40_000)]


@settings(max_examples=60, deadline=None)
@given(STEPS, some.booleans())
# What waits is not forgotten before it was told, however late that is.
@example([("send_group", 5), ("wait", 200), ("look", 0), ("wait", 1), ("look", 0), ("look", 1)], False)
# Numbers that are used again before anybody asked for the next deadline.
@example([*ROUND, *ROUND, ("look", 0), ("wait", 1), ("look", 0), *ROUND[:1], ("look", 70_000)], False)
@example([("send_group", 5), ("send_singly", 1), ("answer_in_order", 5), ("wait", 150), ("look", 1)], True)
@example([("send_singly", 1), ("send_group", 5), ("answer_in_order", 5), ("wait", 150), ("look", 70_000)], True)
def test_what_waits_what_is_due_and_what_is_free(steps: list[tuple[str, int]], asks_for_deadlines: bool) -> None:
    model = Model()
    for step in steps:
        model.do(*step)
        model.check()
        if asks_for_deadlines:
            model.check_deadline()
    model.check_deadline()
