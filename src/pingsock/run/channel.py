"""What a program waits for with poll, select or epoll: a descriptor whose readiness we decide.

Some facts about poll(2)
------------------------

* A ping socket reports POLLIN for data and POLLERR for errors, and programs go by the difference: traceroute reads its
  error queue on POLLERR only.
* Of all files whose readiness another process may decide, a UNIX datagram socket alone can be made to report either:
  POLLIN while a datagram waits in it; POLLERR while it has a pending error, which it gets (ECONNRESET) when its peer
  lets go of it with datagrams unread. Only its owner can take either back.
* Closing a descriptor is told to nobody. But a name that is bound to no open socket refuses to be connected to.

What this means here
--------------------

`ReadinessChannel` is a pair of such sockets. The program gets the only descriptors of one end, so that it is gone when
the last of them is closed, wherever it has been inherited or duplicated to. To take readiness back, the descriptor of
the program is borrowed while it waits in a call on it (pidfd_getfd(2)). Where that is forbidden, as in many
containers, we keep a copy, and look through all processes for others.
"""

from __future__ import annotations

import contextlib
import os
import socket
from errno import EBADF
from select import POLLERR, POLLIN

from pingsock.run.libc import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    Borrow: TypeAlias = Callable[[], AbstractContextManager[socket.socket]]

MOST_BYTES = 64
_DISCONNECT = bytes(2)
"""A socket address of the family AF_UNSPEC."""


def _name() -> bytes:
    return b"\0pingsock-run-" + os.urandom(12).hex().encode()


class ReadinessChannel:
    """One descriptor for a program, and what it shows there."""

    def __init__(self) -> None:
        self.program_end: socket.socket | None
        self.program_end, self._our_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._program_name, self._our_name = _name(), _name()
        self.program_end.bind(self._program_name)
        self._our_end.bind(self._our_name)
        self._our_end.setblocking(False)
        self.inode = os.fstat(self.program_end.fileno()).st_ino
        """Tells whether a descriptor of a program is one of this channel's."""
        self.shown = 0
        """POLLIN, POLLERR: what poll(2) reports of the program's end."""

    @property
    def our_descriptor(self) -> int:
        """Of the end that is not the program's."""
        return self._our_end.fileno()

    def forget_program_end(self) -> None:
        """The program has it now; it is ours no more."""
        if self.program_end is not None:
            self.program_end.close()
            self.program_end = None

    def close(self) -> None:
        """Nothing will be shown any more; the program sees no change."""
        self.forget_program_end()
        self._our_end.close()

    @contextlib.contextmanager
    def borrow_own(self) -> Iterator[socket.socket]:
        """The program's end, if we have kept a copy. OSError if not."""
        if self.program_end is None:
            raise OSError(EBADF, os.strerror(EBADF))
        yield self.program_end

    def is_held(self) -> bool:
        """Whether some process has a descriptor of the program's end, be it us."""
        try:
            self._our_end.connect(self._program_name)
        except OSError:
            return False
        return True

    def show(self, events: int, borrow: Borrow) -> None:
        """Let poll(2) report these events and no others.

        What is shown too much stays so if the process that `borrow` asks is gone, until the next call of any other.
        """
        if self.shown & ~events:
            try:
                with borrow() as borrowed:
                    self._clear(borrowed)
            except OSError:
                return
        self.add(events)

    def _clear(self, borrowed: socket.socket) -> None:
        # First the error, for it would fail the other.
        borrowed.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        try:
            borrowed.recv(MOST_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
        self.shown = 0

    def add(self, events: int) -> None:
        """Let poll(2) report these events too."""
        missing = events & ~self.shown
        try:
            if missing & POLLIN:
                self._our_end.send(b"\0")
            if missing & POLLERR:
                self._raise_error()
        except OSError:
            return  # the program's end is gone, which is noticed elsewhere
        self.shown |= missing

    def _raise_error(self) -> None:
        # Between calls we stay connected, so that nobody else can send to us.
        self._disconnect()
        self._our_end.sendto(b"\0", self._our_name)
        self._our_end.connect(self._program_name)
        self._disconnect()
        self._our_end.connect(self._program_name)

    def _disconnect(self) -> None:
        # Python's connect() takes no address of another family.
        call("connect", self._our_end.fileno(), _DISCONNECT, len(_DISCONNECT))
