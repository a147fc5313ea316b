"""Which answers count as thrown away: those followed by the same call, started again, with no notification missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pingsock.run.answers import Answer, Answers
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


def test_threads_that_are_gone_are_forgotten() -> None:
    each = answers(8)
    gone = 1 << 22
    answer(each, notified(7, thread=gone))

    each.forget_ended()

    assert answer(each, notified(8, thread=gone)) is None
