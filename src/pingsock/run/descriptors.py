"""The descriptors of a running program: which file is behind a number, and copies of them."""

from __future__ import annotations

import contextlib
import os
import socket
from errno import EBADF, EINVAL, EMFILE, ENFILE

from pingsock.run.libc import system_call
from pingsock.run.syscalls import PIDFD_GETFD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PIDFD_THREAD = os.O_EXCL
"""linux/pidfd.h"""
MOST_REMEMBERED = 32
"""Threads whose pidfd is kept open."""
_SOCKET_LINK = "socket:["


def inode_of(thread: int, number: int) -> int:
    """The inode of the socket at a descriptor of a thread; 0 if there is no socket."""
    try:
        link = os.readlink(f"/proc/{thread}/fd/{number}")
    except OSError:
        return 0
    return int(link[len(_SOCKET_LINK) : -1]) if link.startswith(_SOCKET_LINK) else 0


def free_number(thread: int, numbers: range) -> int:
    """The lowest free descriptor of a thread out of a range. OSError EMFILE if there is none."""
    for number in numbers:
        if not os.path.lexists(f"/proc/{thread}/fd/{number}"):
            return number
    raise OSError(EMFILE, os.strerror(EMFILE))


def _process_of(thread: int) -> int:
    with open(f"/proc/{thread}/status", "rb") as status:
        for line in status:
            if line.startswith(b"Tgid:"):
                return int(line.split()[1])
    raise OSError(EBADF, os.strerror(EBADF))


def _opened(thread: int) -> int:
    """A pidfd of a thread; before Linux 6.9 of its process, which has none without its first thread."""
    try:
        return os.pidfd_open(thread, PIDFD_THREAD)
    except OSError as error:
        if error.errno != EINVAL:
            raise
        return os.pidfd_open(_process_of(thread))


def still_open(expected: Mapping[int, int]) -> set[int]:
    """Which of these sockets some process has open, as far as we may look: inode -> thread that most likely has it.

    All of them, where we cannot look for want of descriptors.
    """
    try:
        return _found(expected)
    except OSError:
        return set(expected)


def _found(expected: Mapping[int, int]) -> set[int]:
    found: set[int] = set()
    for thread in set(expected.values()):
        found |= _sockets_of(thread)
    if not expected.keys() <= found:
        for process in _other_processes():
            found |= _sockets_of(process)
    return found & expected.keys()


def _other_processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def _sockets_of(thread: int) -> set[int]:
    try:
        names = os.listdir(f"/proc/{thread}/fd")
    except OSError as error:
        if error.errno in (EMFILE, ENFILE):
            raise
        return set()  # gone, or not ours to look into
    return {inode_of(thread, int(name)) for name in names}


class Borrower:
    """Gets copies of other processes' descriptors, and remembers the way to the processes."""

    def __init__(self) -> None:
        self._processes: dict[int, int] = {}
        """Thread -> its pidfd."""

    def is_allowed(self) -> bool:
        """Whether this process may copy descriptors at all; tried on itself."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            try:
                self._copy(os.getpid(), own.fileno(), os.fstat(own.fileno()).st_ino).close()
            except OSError:
                return False
        return True

    @contextlib.contextmanager
    def borrow(self, thread: int, number: int, inode: int) -> Iterator[socket.socket]:
        """For a while, the socket of that inode at that descriptor. OSError if it is not there."""
        copy = self._copy(thread, number, inode)
        try:
            yield copy
        finally:
            copy.close()

    def _copy(self, thread: int, number: int, inode: int) -> socket.socket:
        if thread in self._processes:
            try:
                return self._checked_copy(thread, number, inode)
            except OSError:
                # The number may be a new thread's, of another process.
                os.close(self._processes.pop(thread))
        if len(self._processes) >= MOST_REMEMBERED:
            self.close()
        self._processes[thread] = _opened(thread)
        return self._checked_copy(thread, number, inode)

    def _checked_copy(self, thread: int, number: int, inode: int) -> socket.socket:
        descriptor = system_call(PIDFD_GETFD, self._processes[thread], number, 0)
        if os.fstat(descriptor).st_ino != inode:
            os.close(descriptor)
            raise OSError(EBADF, os.strerror(EBADF))
        return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM, fileno=descriptor)

    def close(self) -> None:
        """Forget all processes."""
        for descriptor in self._processes.values():
            os.close(descriptor)
        self._processes.clear()
