"""What each thread was answered last, and whether it has got the answer.

Some facts about answers that meet a signal
-------------------------------------------

* A signal wakes a waiting thread, which then needs a lock to take its notification back. An answer that gets the lock
  first is accepted and thrown away: the call starts again, or fails with EINTR, as if it had not been answered. Only
  descriptors are given for certain.
* The kernel avoids that for filters whose calls no signal interrupts once they are received
  (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV): Ctrl-C, debuggers and suspend would wait for a recv(2), perhaps for ever.
* Notifications of a filter are numbered without gaps. One that is missing was taken back before it was received.

What this means here
--------------------

If the answer to a call is followed by the same call of the same thread, and the stack shows that this one was started
again, then the answer was thrown away. Not if a notification is missing: that one may have been started again.
"""

from __future__ import annotations

import os

from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.run.call import Call
    from pingsock.run.seccomp import Notification
    from pingsock.run.signal_frame import SignalFrames


class Answer(Value):
    """What was executed for a call, and accepted by the kernel as its return."""

    call: Call
    result: int
    errno: int


class _Last:
    """The last call of a thread."""

    def __init__(self, call: tuple[int, ...], missing: int) -> None:
        self.call = call
        """As `Notification.call`."""
        self.missing = missing
        """How many notifications of all threads were missing then."""
        self.answer: Answer | None = None


_NOTHING = _Last((), 0)


class Answers:
    """The last of each thread."""

    def __init__(self, frames: SignalFrames) -> None:
        self._frames = frames
        self._last: dict[int, _Last] = {}
        self._missing = 0
        self._next_id: int | None = None

    def note(self, answer: Answer) -> None:
        """An answer was accepted."""
        self._last[answer.call.notification.thread].answer = answer

    def thrown_away(self, notification: Notification) -> Answer | None:
        """The last answer to this thread, if it was thrown away. To be asked once for each notification."""
        self._count(notification)
        thread = notification.thread
        before = self._last.get(thread, _NOTHING)
        self._last[thread] = _Last(notification.call, self._missing)
        may_be_of_missing = before.missing != self._missing
        if before.call != notification.call and not may_be_of_missing:
            return None
        is_restarted = self._frames.take(notification)
        return before.answer if is_restarted and not may_be_of_missing else None

    def _count(self, notification: Notification) -> None:
        if self._next_id not in (None, notification.id):
            self._missing += 1
        self._next_id = notification.id + 1

    def forget_ended(self) -> None:
        """Forget threads that are gone."""
        self._last = {thread: last for thread, last in self._last.items() if os.path.exists(f"/proc/{thread}")}
