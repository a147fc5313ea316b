"""Signals a running ping obeys, without ever stopping it in the middle of a line.

Some facts about signals in Python
----------------------------------

* A shell without job control starts background programs with SIGINT and SIGQUIT ignored; Python then installs no
  handler, and KeyboardInterrupt never comes. ping(8) obeys them nevertheless.
* An exception raised by a handler can surface anywhere, in the middle of a write too.
* A system call that a signal interrupts is started again after the handler; only the wake-up descriptor is sure to end
  a poll(), also when the signal came just before it.
* Python ignores SIGPIPE; C programs die of it, quietly.

What this means here
--------------------

Before a ping starts, SIGINT and SIGPIPE do what they do to a C program: `obey_as_c_programs_do`. While it runs,
handlers only take note, and a pipe becomes readable, which the wait for replies watches.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from types import FrameType
    from typing import Any
else:
    # The `signal` module wraps this one in enumerations, which costs a millisecond.
    import _signal

_ENDING = (_signal.SIGINT, _signal.SIGALRM)


def obey_as_c_programs_do() -> None:
    """Let SIGINT end the process silently and SIGPIPE too, as they do before a C program has set handlers."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)


class Interrupts:
    """Takes note of SIGINT and SIGALRM (end) and SIGQUIT (status wanted) until closed. For the main thread."""

    def __init__(self) -> None:
        self.ended = False
        self.status_wanted = False
        self.descriptor, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._former_waker = _signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        self._former: dict[int, Any] = {}
        for number in _ENDING:
            self._handle(number, self._end)
        self._handle(_signal.SIGQUIT, self._want_status)
        # Blocked signals are inherited too.
        self._former_mask = _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (*_ENDING, _signal.SIGQUIT))

    def _handle(self, number: int, handler: Callable[[int, FrameType | None], None]) -> None:
        self._former[number] = _signal.signal(number, handler)

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self.ended = True

    def _want_status(self, _number: int, _frame: FrameType | None) -> None:
        self.status_wanted = True

    def clear(self) -> None:
        """Make `descriptor` unreadable until the next signal."""
        try:
            os.read(self.descriptor, 4096)
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Restore what was before."""
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self._former_mask)
        for number, handler in self._former.items():
            _signal.signal(number, handler if handler is not None else _signal.SIG_DFL)
        _signal.set_wakeup_fd(self._former_waker)
        os.close(self.descriptor)
        os.close(self._write_end)
