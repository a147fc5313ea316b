"""`pingsock` where every second answer of `run` to a thread is accepted and thrown away, for a signal came in first.

Only the signal is ours, and the saying that the answer was accepted: that the call starts again is the kernel's doing.
The signal is SIGURG, for programs that have a handler for it.
"""

from __future__ import annotations

import signal
from collections import Counter
from errno import EINTR

from pingsock.cli.main import run
from pingsock.run import seccomp
from pingsock.run.libc import call

accept = seccomp.Listener.answer
answers: Counter[int] = Counter()


def status_of(thread: int) -> dict[str, str]:
    with open(f"/proc/{thread}/status") as lines:
        return dict(line.split(":", 1) for line in lines)


def throw_away(listener: seccomp.Listener, notification: seccomp.Notification, result: int, errno: int = 0) -> bool:
    thread = notification.thread
    answers[thread] += 1
    status = status_of(thread)
    if answers[thread] % 2 or errno == EINTR or not int(status["SigCgt"], 16) >> signal.SIGURG - 1 & 1:
        return accept(listener, notification, result, errno)
    call("tgkill", int(status["Tgid"]), thread, signal.SIGURG)
    return True


seccomp.Listener.answer = throw_away  # type: ignore[assignment, method-assign]
run()
