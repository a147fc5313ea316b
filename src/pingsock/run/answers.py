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

If the answer to a call is followed by the same call of the same thread, and the stack shows that a signal interrupted
this call before, then the answer was thrown away. Not if a notification is missing: it may have been that one.

A call that a signal ended for good, as with siglongjmp(3), leaves behind what looks like a restart to come. So after
each interruption the stack is looked at once for each call, when it is first made; what is found then counts for
nothing.
"""

from __future__ import annotations

import os

from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.run.call import Call
    from pingsock.run.seccomp import Notification
    from pingsock.run.signal_frame import SignalFrames


MOST_CALLS = 64
"""Of one thread, whose stack is not looked at again."""


class Answer(Value):
    """What was executed for a call, and accepted by the kernel as its return."""

    call: Call
    result: int
    errno: int


class _Thread:
    """What one thread does."""

    def __init__(self, interruptions: int) -> None:
        self.call: tuple[int, ...] = ()
        """Its last, as `Notification.call`."""
        self.answer: Answer | None = None
        """To that call, if it was answered."""
        self.interruptions = interruptions
        """Those calls that ended without an answer: its own, and all before its time, whose stacks it may have."""
        self.looked: dict[tuple[int, ...], int] = {}
        """Call -> the interruptions, of all that may concern this thread, when the stack was looked at for it."""

    def is_clean_for(self, call: tuple[int, ...], interruptions: int) -> bool:
        """Whether no interruption can have left something since the stack was looked at; if not, it is to be now."""
        if self.looked.get(call, 0) == interruptions:
            return True
        if len(self.looked) >= MOST_CALLS:
            self.looked.clear()
        self.looked[call] = interruptions
        return False


class Answers:
    """The last of each thread."""

    def __init__(self, frames: SignalFrames) -> None:
        self._frames = frames
        self._threads: dict[int, _Thread] = {}
        self._interruptions = 0
        """Of all threads."""
        self._missing = 0
        """Notifications, of any thread."""
        self._next_id: int | None = None

    def knows(self, number: int) -> bool:
        """Whether this thread has called before."""
        return number in self._threads

    def note(self, answer: Answer) -> None:
        """An answer was accepted."""
        thread = self._threads.get(answer.call.notification.thread)
        if thread is not None:
            thread.answer = answer

    def note_interruption(self, number: int) -> None:
        """A call of this thread was received, and is no longer there to be answered."""
        self._interruptions += 1
        thread = self._threads.get(number)
        if thread is not None:
            thread.interruptions += 1

    def thrown_away(self, notification: Notification) -> Answer | None:
        """The last answer to this thread, if it was thrown away. To be asked once for each notification."""
        self._count(notification)
        thread = self._threads.get(notification.thread)
        if thread is None:
            thread = self._threads[notification.thread] = _Thread(self._interruptions)
        answer = thread.answer if thread.call == notification.call else None
        thread.call, thread.answer = notification.call, None
        if not thread.is_clean_for(notification.call, self._missing + thread.interruptions):
            self._frames.take(notification)
            return None
        return answer if answer is not None and self._frames.take(notification) else None

    def _count(self, notification: Notification) -> None:
        if self._next_id not in (None, notification.id):
            self._missing += 1
        self._next_id = notification.id + 1

    def forget_ended(self) -> None:
        """Forget threads that are gone."""
        self._threads = {number: each for number, each in self._threads.items() if os.path.exists(f"/proc/{number}")}
