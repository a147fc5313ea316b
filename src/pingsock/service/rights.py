"""Descriptors that clients send along with their messages, which nobody here wants.

Some facts about unwanted descriptors
-------------------------------------
* If nobody else has the file any more, it is closed by whoever takes the message without them, or ends the connection
  with the message unread.
* Closing may take as long as its owner likes: a TCP socket with SO_LINGER waits for its unsent data. A signal ends it.
* Since Linux 6.16 a receiver can have them refused to the sender (SO_PASSRIGHTS); a connection has what its listener
  had when it was made, so not if it waited in the backlog of somebody else's.
* A look at a message (MSG_PEEK) without room for its descriptors tells of them (MSG_CTRUNC), and closes none. It tells
  the same of credentials that the receiver wants with each message, as a connection does whose listener did.
* To close a listening socket is to end the connections in its backlog.

What this means here
--------------------
They are refused where that is possible. Elsewhere nothing else is wanted either, a message is looked at before it is
taken, and one with descriptors ends its connection. Whatever ends such a connection is hurried by a
timer's signal: at each close the timer costs more than the rest.
"""

from __future__ import annotations

import contextlib
import signal

from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

CREDENTIALS = linux.SO_PASSCRED, linux.SO_PASSSEC, linux.SO_PASSPIDFD
"""Ask for something with each message; not every kernel has all."""
HURRY = 0.001
"""Seconds to the signal, and from one to the next should the first have come too early."""


_alarms_hurry = False


def let_alarms_hurry() -> None:
    """SIGALRM and the timer of the process are ours from now on. Until then no closing is hurried.

    Only for a process that does nothing but serve, from its first thread.
    """
    global _alarms_hurry  # noqa: PLW0603 - a process has one timer
    signal.signal(signal.SIGALRM, _ends_what_waits)
    _alarms_hurry = True


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


def want_no_credentials(channel: socket.socket) -> None:
    """Have nothing but descriptors come along with messages, whatever the listener asked for."""
    for option in CREDENTIALS:
        with contextlib.suppress(OSError):
            channel.setsockopt(linux.SOL_SOCKET, option, 0)


def brings_rights(channel: socket.socket) -> bool:
    """Whether the next message has descriptors, on a connection that wants no credentials. OSError as recvmsg(2)."""
    _, _, flags, _ = channel.recvmsg(0, 0, linux.MSG_PEEK | linux.MSG_DONTWAIT)
    return bool(flags & linux.MSG_CTRUNC)


def close_untrusted(channel: socket.socket) -> None:
    """End a connection, whatever is unread in it."""
    if may_bring_rights(channel):
        with hurried():
            channel.close()
    else:
        channel.close()


@contextlib.contextmanager
def hurried() -> Iterator[None]:
    """What waits in here is ended by a signal, if those of the timer are ours."""
    if not _alarms_hurry:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, HURRY, HURRY)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
