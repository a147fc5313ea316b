"""Which answers count as thrown away: those followed by the same call, started again, with no notification missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pingsock.run.answers import MOST_CALLS, Answer, Answers
from pingsock.run.seccomp import Notification

if TYPE_CHECKING:
    from pingsock.run.call import Call
    from pingsock.run.signal_frame import SignalFrames

ONE, OTHER = 41, 42
"""Threads."""
RECEIVE, SEND = 45, 44


class Restarts:
    """In the place of frames on stacks: the numbers of notifications whose calls were started again."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = set(numbers)

    def take(self, notification: Notification) -> bool:
        is_restarted = notification.id in self._numbers
        self._numbers.discard(notification.id)
        return is_restarted


class LeftBehind:
    """In the place of frames on stacks: one that was left by a call, until it is found."""

    def __init__(self, call: int) -> None:
        self._call: int | None = call

    def take(self, notification: Notification) -> bool:
        is_found = notification.number == self._call
        self._call = None if is_found else self._call
        return is_found


class Executed:
    """As much of a call as counts here."""

    def __init__(self, notification: Notification) -> None:
        self.notification = notification


def notified(number: int, call: int = RECEIVE, thread: int = ONE) -> Notification:
    return Notification(number, thread, call, 0x1000, (768, 0, 0, 0, 0, 0))


def answers(*restarts: int) -> Answers:
    return Answers(cast("SignalFrames", Restarts(*restarts)))


def answer(each: Answers, notification: Notification) -> Answer | None:
    """What had been thrown away when this came, which is then answered."""
    thrown_away = each.thrown_away(notification)
    each.note(Answer(cast("Call", Executed(notification)), 64, 0))
    return thrown_away


def test_the_same_call_started_again() -> None:
    each = answers(8)
    answer(each, notified(7))

    thrown_away = each.thrown_away(notified(8))

    assert thrown_away is not None
    assert thrown_away.call.notification.id == 7


def test_the_same_call_made_again() -> None:
    each = answers()

    assert [answer(each, notified(number)) for number in (7, 8, 9)] == [None, None, None]


def test_another_call() -> None:
    each = answers(8)
    answer(each, notified(7))

    assert answer(each, notified(8, SEND)) is None


def test_the_same_call_of_another_thread() -> None:
    each = answers(8)
    answer(each, notified(7))

    assert answer(each, notified(8, thread=OTHER)) is None


def test_other_threads_may_call_meanwhile() -> None:
    each = answers(9)
    answer(each, notified(7))
    answer(each, notified(8, thread=OTHER))

    assert answer(each, notified(9)) is not None


def test_a_call_that_was_not_answered_when_it_was_started_again() -> None:
    each = answers(8)
    each.thrown_away(notified(7))

    assert answer(each, notified(8)) is None


def test_a_missing_call_may_be_the_one_that_was_started_again() -> None:
    each = answers(9)
    answer(each, notified(7))

    assert answer(each, notified(9)) is None


def test_what_a_missing_call_left_behind_is_not_taken_for_a_later_restart() -> None:
    # The missing one, 8, was the other thread's: its restart is 10.
    each = answers(10)
    for notification in (notified(6), notified(7, thread=OTHER), notified(9), notified(10, SEND, OTHER)):
        answer(each, notification)

    assert answer(each, notified(11, SEND, OTHER)) is None


def test_what_a_call_left_behind_that_a_signal_ended_for_good() -> None:
    each = Answers(cast("SignalFrames", LeftBehind(RECEIVE)))
    each.thrown_away(notified(7))
    each.note_interruption(ONE)
    # siglongjmp(3), and another call; then the first again, twice.
    for notification in (notified(8, SEND), notified(9)):
        assert answer(each, notification) is None

    assert each.thrown_away(notified(10)) is None


def test_a_call_thrown_away_after_an_interruption() -> None:
    each = answers(8, 9)
    each.thrown_away(notified(7))
    each.note_interruption(ONE)
    assert answer(each, notified(8)) is None

    assert each.thrown_away(notified(9)) is not None


def test_what_was_left_on_the_stack_a_new_thread_has() -> None:
    each = Answers(cast("SignalFrames", LeftBehind(RECEIVE)))
    each.thrown_away(notified(7))
    each.note_interruption(ONE)

    assert [answer(each, notified(number, thread=OTHER)) for number in (8, 9)] == [None, None]


def test_many_calls_after_an_interruption() -> None:
    each = answers(2 * MOST_CALLS + 8)
    each.thrown_away(notified(7))
    each.note_interruption(ONE)
    for call in range(2 * MOST_CALLS):
        answer(each, notified(8 + call, call))

    assert each.thrown_away(notified(8 + 2 * MOST_CALLS, 2 * MOST_CALLS - 1)) is not None


def test_threads_that_are_gone_are_forgotten() -> None:
    each = answers(8)
    gone = 1 << 22
    answer(each, notified(7, thread=gone))

    each.forget_ended()

    assert answer(each, notified(8, thread=gone)) is None


def test_an_answer_to_a_thread_that_is_gone_or_hidden_from_us() -> None:
    each = answers()
    call = notified(7, thread=1 << 22)
    each.thrown_away(call)
    each.forget_ended()
    each.note(Answer(cast("Call", Executed(call)), 64, 0))

    assert not each.knows(1 << 22)
