"""Answers the system calls of a program and of its descendants, until the last of them has ended.

One thread does it all: no call waits inside. A call that has to wait is kept, and tried again when its socket becomes
readable; meanwhile others are answered.

Some facts about signals
------------------------

* A signal makes a waiting call's notification void without a word; if the call is restarted it comes as a new one.
* A socket with SO_RCVTIMEO does not restart: its calls fail with EINTR (signal(7)).
* An answer that meets a signal may be thrown away (`pingsock.run.answers`).

What this means here
--------------------

A thread has one call at a time, so whatever it had waiting is void when it calls again. If that was the same call with
a timeout of its own, it gets EINTR. If a call was executed but could not be told, it is undone (a message goes back
into its queue), or if that is impossible the result is kept for the same call by the same thread: nothing is lost, and
nothing is sent twice.
"""

from __future__ import annotations

import os
import select
import time
import traceback
from errno import EAGAIN, EBADF, EINTR, EINVAL, EIO, EMFILE
from functools import partial

from pingsock.run.answers import Answer, Answers
from pingsock.run.call import KERNEL, Blocked, Call, Duplicate, Finished, Void, Waiting
from pingsock.run.calls.receiving import timed_out
from pingsock.run.calls.table import HANDLERS
from pingsock.run.descriptors import Borrower, free_number, inode_of
from pingsock.run.files import ServedFiles
from pingsock.run.leases import Leases
from pingsock.run.opening import Opener
from pingsock.run.signal_frame import SignalFrames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.run.call import Outcome
    from pingsock.run.seccomp import Listener, Notification
    from pingsock.run.served_file import ServedFile
    from pingsock.run.sources import Sources
    from pingsock.run.watchdog import Watchdog
    from pingsock.wire.syscalls import Architecture

INSPECTION_PERIOD = 1.0
"""Seconds between two looks for sockets that nobody has any more, in case nothing else tells."""
SOON, LESS_SOON = 0.003, 0.1
"""Seconds after a close(2), which the kernel executes after our answer; less soon if it means to read all of /proc."""
ERROR_PERIOD = 0.01
"""Seconds between two looks for data at a socket that shows an error: a server tells of its first event only."""


class Supervisor:
    """The sockets of all processes under one filter."""

    def __init__(
        self,
        listener: Listener,
        architecture: Architecture,
        numbers: range,
        sources: Sources,
        watchdog: Watchdog,
        warn: Callable[[str], None],
    ) -> None:
        """`numbers`: descriptors of served sockets, those the filter selects. `warn` gets a line for the user."""
        self._listener = listener
        self._names = architecture.names
        self._numbers = numbers
        self._warn = warn
        self._waiting: dict[int, Waiting] = {}
        """By thread."""
        self._finished: dict[int, Finished] = {}
        """By thread."""
        self._unheard: dict[int, Call] = {}
        """By thread: calls that did not return, but have written to its memory."""
        self._answers = Answers(SignalFrames(listener.is_valid))
        self._events = select.epoll()
        self._borrower = Borrower()
        self._files = ServedFiles(self._events, watchdog, may_borrow=self._borrower.is_allowed())
        self._leases = Leases()
        self._opener = Opener(listener, numbers, sources, self._files, self._leases, self._inspect)
        self._inspect_at = 0.0
        self._watched: dict[int, Callable[[], object]] = {}
        self.is_over = False
        """No process has the filter any more."""
        self.watch(listener.fileno(), self._take_notification)

    def watch(self, descriptor: int, function: Callable[[], object]) -> None:
        """Call a function whenever a descriptor is readable."""
        self._events.register(descriptor, select.EPOLLIN)
        self._watched[descriptor] = function

    def run(self, is_done: Callable[[], bool]) -> None:
        """Serve until a function says that it is enough; it is asked after every event."""
        while not is_done():
            ready = dict(self._events.poll(self._patience()))
            # Calls first: they may take what others would be woken for.
            for descriptor in sorted(ready, key=self._listener.fileno().__ne__):
                self._deal_with(descriptor, ready[descriptor])
            self._heed_time()

    def close(self) -> None:
        """Give everything up: calls that wait fail with ENOSYS."""
        self._listener.close()
        self._files.close()
        self._leases.close()
        self._borrower.close()
        self._events.close()

    # Events

    def _deal_with(self, descriptor: int, events: int) -> None:
        if descriptor == self._listener.fileno() and events & select.EPOLLHUP:
            self.is_over = True
            self._events.unregister(descriptor)
            return
        file = self._files.of_readiness(descriptor)
        if file is not None:
            self._wake(file)
        elif descriptor in self._watched:
            self._watched[descriptor]()

    def _patience(self) -> float | None:
        moments = [waiting.next_event for waiting in self._waiting.values()]
        if self._files or self._leases:
            moments.append(self._inspect_at)
        if self._show_errors_only():
            moments.append(time.monotonic() + ERROR_PERIOD)
        moment = min(moments, default=float("inf"))
        return None if moment == float("inf") else max(0.0, moment - time.monotonic())

    def _heed_time(self) -> None:
        now = time.monotonic()
        for waiting in [waiting for waiting in self._waiting.values() if waiting.next_event <= now]:
            self._try_again(waiting)
        for file in self._show_errors_only():
            file.channel.add(file.events())
        if now >= self._inspect_at:
            self._inspect()

    def _show_errors_only(self) -> list[ServedFile]:
        return [file for file in self._files if file.channel.shown == select.POLLERR]

    def _inspect(self) -> None:
        """End the sockets that no process has any more, and forget calls that are void."""
        self._inspect_at = time.monotonic() + INSPECTION_PERIOD
        self._drop_void()
        self._files.forget_closed({waiting.call.file for waiting in self._waiting.values()})
        self._leases.inspect()
        self._answers.forget_ended()
        self._finished = {thread: each for thread, each in self._finished.items() if _exists(thread)}
        self._unheard = {thread: each for thread, each in self._unheard.items() if _exists(thread)}

    # Notifications

    def _take_notification(self) -> None:
        notification = self._listener.receive()
        if notification is None:
            return
        before = self._waiting.get(notification.thread)
        if before is not None:
            self._drop(before)
        elif not self._answers.knows(notification.thread):
            # A new thread may have the stack of one that has ended in a call.
            self._drop_void()
        thrown_away = self._answers.thrown_away(notification)
        if thrown_away is not None:
            self._take_back(thrown_away)
        unheard = self._unheard.get(notification.thread)
        if unheard is not None and unheard.notification.call == notification.call:
            # A handler may have called in between.
            del self._unheard[notification.thread]
            unheard.restore_memory(notification)
        earlier = self._finished.pop(notification.thread, None)
        if before is not None and before.timeout is not None and before.call.notification.call == notification.call:
            self._answer(notification, 0, EINTR)
            return
        name = self._names.get(notification.number, "")
        if name == "socket":
            self._opener.open(notification)
        else:
            self._serve(notification, name, earlier)

    def _serve(self, notification: Notification, name: str, earlier: Finished | None) -> None:
        number = notification.arguments[0] & 0xFFFFFFFF
        inode = inode_of(notification.thread, number)
        file = self._files.of_inode(inode)
        if file is None or name not in HANDLERS:
            # An ordinary file whose number came into our range.
            self._listener.let_kernel_do(notification)
            return
        borrow = file.channel.borrow_own
        if self._files.may_borrow:
            borrow = partial(self._borrower.borrow, notification.thread, number, inode)
        file.last_thread = notification.thread
        call = Call(notification, name, file, self._listener.is_valid, borrow)
        if earlier is not None and earlier.call == notification.call:
            if not earlier.content:
                self._tell(call, earlier.result, earlier.errno)
                return
            call.earlier = earlier
        if name == "bind":
            # An ident somebody has just let go of shall be free.
            self._inspect()
        elif name == "close":
            soon = SOON if self._files.may_borrow else LESS_SOON
            self._inspect_at = min(self._inspect_at, time.monotonic() + soon)
        self._execute(Waiting(call))

    def _execute(self, waiting: Waiting) -> None:
        """Try a call; answer it, or keep it."""
        call = waiting.call
        try:
            outcome = HANDLERS[call.name](call)
        except Blocked as blocked:
            self._keep(waiting, blocked)
        except Void:
            self._drop(waiting)
        except OSError as error:
            self._tell(call, 0, error.errno or EIO)
        except Exception:  # noqa: BLE001 - one call fails, and says why; the program's other sockets go on
            self._warn(f"{call.name} failed in pingsock itself\n{traceback.format_exc()}")
            self._tell(call, 0, EIO)
        else:
            self._finish(call, outcome)

    def _finish(self, call: Call, outcome: Outcome) -> None:
        if outcome is KERNEL:
            self._listener.let_kernel_do(call.notification)
        elif isinstance(outcome, Duplicate):
            self._duplicate(call, outcome)
        else:
            self._tell(call, outcome, 0)

    def _tell(self, call: Call, result: int, errno: int) -> None:
        if call.file.channel.shown:
            # What is shown too much only goes while the caller waits. What is not shown yet comes with the next event.
            call.file.settle(call.borrow)
        self._waiting.pop(call.notification.thread, None)
        answer = Answer(call, result, errno)
        if self._answer(call.notification, result, errno):
            self._answers.note(answer)
        else:
            self._take_back(answer)

    def _answer(self, notification: Notification, result: int, errno: int) -> bool:
        is_accepted = self._listener.answer(notification, result, errno)
        if not is_accepted or errno == EINTR:
            self._answers.note_interruption(notification.thread)
        return is_accepted

    def _take_back(self, answer: Answer) -> None:
        """The call was executed, but its thread has not heard of it."""
        call = answer.call
        self._unheard[call.notification.thread] = call
        if call.roll_back():
            if call.file in self._files:
                self._wake(call.file)
        elif answer.errno != EAGAIN:
            # What was not possible then may be when the call is made again.
            finished = Finished(call.notification.call, answer.result, answer.errno, call.content)
            self._finished[call.notification.thread] = finished

    def _drop_void(self) -> None:
        for waiting in tuple(self._waiting.values()):
            if not self._listener.is_valid(waiting.call.notification):
                self._drop(waiting)

    def _drop(self, waiting: Waiting) -> None:
        """Forget a call that is void, with whatever it had got so far put back."""
        thread = waiting.call.notification.thread
        if self._waiting.get(thread) is waiting:
            del self._waiting[thread]
        self._answers.note_interruption(thread)
        self._unheard[thread] = waiting.call
        if waiting.call.roll_back():
            self._wake(waiting.call.file)

    def _duplicate(self, call: Call, wanted: Duplicate) -> None:
        try:
            number = self._number_for(call.notification.thread, wanted)
            with call.borrow() as borrowed:
                self._listener.give(call.notification, borrowed, number, close_on_exec=wanted.close_on_exec)
        except OSError as error:
            # The kernel says so too of a number beyond the program's limit, which only dup2 and dup3 name.
            is_beyond_limit = error.errno == EBADF and not wanted.exact
            self._tell(call, 0, EMFILE if is_beyond_limit else error.errno or EIO)

    def _number_for(self, thread: int, wanted: Duplicate) -> int:
        if not wanted.exact:
            return self._free_number(thread, wanted.lowest)
        if wanted.lowest not in self._numbers:
            # Calls on such a descriptor would not come to us.
            raise OSError(EBADF, os.strerror(EBADF))
        return wanted.lowest

    def _free_number(self, thread: int, lowest: int) -> int:
        if lowest >= self._numbers.stop:
            raise OSError(EINVAL, os.strerror(EINVAL))
        return free_number(thread, range(max(lowest, self._numbers.start), self._numbers.stop))

    # Waiting

    def _keep(self, waiting: Waiting, blocked: Blocked) -> None:
        call = waiting.call
        waiting.timeout = blocked.timeout
        now = time.monotonic()
        if waiting.deadline is not None and waiting.deadline <= now:
            self._time_out(waiting)
            return
        waiting.wait(now if blocked.for_room or call.file.is_readable else None)
        self._waiting[call.notification.thread] = waiting
        call.file.settle(call.borrow)

    def _try_again(self, waiting: Waiting) -> None:
        if self._waiting.get(waiting.call.notification.thread) is not waiting:
            # Another call was undone, and its message went to this one meanwhile.
            return
        if self._listener.is_valid(waiting.call.notification):
            self._execute(waiting)
        else:
            self._drop(waiting)

    def _time_out(self, waiting: Waiting) -> None:
        call = waiting.call
        try:
            self._tell(call, timed_out(call), 0)
        except OSError as error:
            self._tell(call, 0, error.errno or EIO)

    def _wake(self, file: ServedFile) -> None:
        """A socket has become readable: first for the calls that wait, then for those who poll."""
        for waiting in [each for each in self._waiting.values() if each.call.file is file]:
            if not file.is_readable:
                break
            self._try_again(waiting)
        file.channel.add(file.events())


def _exists(thread: int) -> bool:
    return os.path.exists(f"/proc/{thread}")
