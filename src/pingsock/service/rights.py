"""Descriptors that clients send along with their messages, which nobody here wants.

Some facts about unwanted descriptors
-------------------------------------
* If nobody else has the file any more, it is closed by whoever takes the message without them, or ends the connection
  with the message unread.
* Closing may take as long as its owner likes: a TCP socket with SO_LINGER waits for its unsent data. A signal ends it.
* Since Linux 6.16 a receiver can have them refused to the sender (SO_PASSRIGHTS); a connection has what its listener
  had when it was made, so not if it waited in the backlog of somebody else's.
* A look at a message (MSG_PEEK) without room for its descriptors tells of them (MSG_CTRUNC), and closes none.

What this means here
--------------------
They are refused where that is possible. Elsewhere a message is looked at before it is taken, one with descriptors ends
its connection, and whatever ends such a connection is hurried by a timer's signal.
"""

from __future__ import annotations

import contextlib
import signal

from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

HURRY = 0.001
"""Seconds to the signal, and from one to the next should the first have come too early."""


def let_alarms_hurry() -> None:
    """SIGALRM ends what waits, and nothing else, from now on. Until then no closing is hurried."""
    signal.signal(signal.SIGALRM, _ends_what_waits)


def _ends_what_waits(_number: int, _frame: object) -> None:
    """It has, by having come."""


def refuse_rights(listener: socket.socket) -> None:
    """Have whoever connects from now on get EPERM for descriptors sent along, if the kernel can."""
    with contextlib.suppress(OSError):
        listener.setsockopt(linux.SOL_SOCKET, linux.SO_PASSRIGHTS, 0)


def may_bring_rights(channel: socket.socket) -> bool:
    """Whether messages with descriptors can come over a connection."""
    try:
        return bool(channel.getsockopt(linux.SOL_SOCKET, linux.SO_PASSRIGHTS))
    except OSError:
        return True


def brings_rights(channel: socket.socket) -> bool:
    """Whether the next message, if there is one, has descriptors. OSError as recvmsg(2)."""
    _, _, flags, _ = channel.recvmsg(0, 0, linux.MSG_PEEK | linux.MSG_DONTWAIT)
    return bool(flags & linux.MSG_CTRUNC)


def close_untrusted(channel: socket.socket) -> None:
    """End a connection, whatever is unread in it."""
    if may_bring_rights(channel):
        with _hurried():
            channel.close()
    else:
        channel.close()


@contextlib.contextmanager
def _hurried() -> Iterator[None]:
    if signal.getsignal(signal.SIGALRM) is not _ends_what_waits:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, HURRY, HURRY)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
