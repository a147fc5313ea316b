"""Seccomp user notification (seccomp_unotify(2)): a process's system calls, held until another process answers them.

Some facts about it
-------------------

* A filter stays for good, and all children and all programs they execute have it. It needs no privilege, but
  no-new-privileges: set-user-id and file capabilities no longer give anything.
* A held call waits in a state that signals interrupt. Its notification is void from then on, and the answer comes too
  late; the call fails with EINTR, or starts again as a new notification, as the handler's SA_RESTART says.
* The process may be gone, and its number another's. So what is read from its memory means something only
  if the notification is valid afterwards, and what is written must be preceded by the same question.
* When the answering process closes the listener or dies, held calls and those to come fail with ENOSYS.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from errno import EINPROGRESS, ENOENT, ESRCH

from pingsock.run.libc import call, system_call
from pingsock.wire.bpf import pass_to_kernel
from pingsock.wire.seccomp import FILTER_FLAG_NEW_LISTENER, SET_MODE_FILTER
from pingsock.wire.syscalls import ARCHITECTURES
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from pingsock.wire.syscalls import Architecture

OLDEST_KERNEL = (5, 14)
"""The first that gives a descriptor and answers in one step (SECCOMP_ADDFD_FLAG_SEND)."""

PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER = 38, 36

_NOTIFICATION = struct.Struct("=Q2IiI7Q")
"""struct seccomp_notif: id, pid, flags; struct seccomp_data."""
_RESPONSE = struct.Struct("=QqiI")
"""struct seccomp_notif_resp: id, val, error, flags."""
_ADDITION = struct.Struct("=Q4I")
"""struct seccomp_notif_addfd: id, flags, srcfd, newfd, newfd_flags."""
_ID = struct.Struct("=Q")

NOTIF_RECV, NOTIF_SEND, NOTIF_ID_VALID, NOTIF_ADDFD, NOTIF_SET_FLAGS = (
    0xC0502100,
    0xC0182101,
    0x40082102,
    0x40182103,
    0x40082104,
)
USER_NOTIF_FLAG_CONTINUE = 1
ADDFD_FLAG_SETFD, ADDFD_FLAG_SEND = 1, 2
USER_NOTIF_FD_SYNC_WAKE_UP = 1


def _prctl(option: int) -> None:
    call("prctl", option, *[ctypes.c_ulong(argument) for argument in (1, 0, 0, 0)])


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parents end (PR_SET_CHILD_SUBREAPER)."""
    _prctl(PR_SET_CHILD_SUBREAPER)


def own_architecture() -> Architecture | None:
    """The table of this machine's 64-bit programs, None if it is unknown to us."""
    return ARCHITECTURES.get(os.uname().machine)


def install(program: bytes) -> int:
    """Put this process and all it becomes under a filter: the listener's descriptor, close-on-exec.

    :raises OSError: EBUSY: the process already is under a filter that has a listener.
    """
    architecture = own_architecture()
    if architecture is None:
        raise NotImplementedError(f"no system call table for {os.uname().machine}")
    _prctl(PR_SET_NO_NEW_PRIVS)
    number = architecture.numbers["seccomp"]
    return pass_to_kernel(program, lambda head: system_call(number, SET_MODE_FILTER, FILTER_FLAG_NEW_LISTENER, head))


class Notification(Value):
    """One system call that waits for an answer."""

    id: int
    thread: int
    """Number of the calling thread, in our process namespace."""
    number: int
    """Of the system call, in the one table the filter knows."""
    place: int
    """The instruction pointer."""
    arguments: tuple[int, ...]
    """Six, unsigned 64-bit."""

    @property
    def call(self) -> tuple[int, ...]:
        """What is the same again when a call is restarted after a signal."""
        return (self.thread, self.number, self.place, *self.arguments)


class Listener:
    """Where the notifications of one filter arrive and are answered."""

    def __init__(self, descriptor: int) -> None:
        """Takes the descriptor over."""
        self._descriptor = descriptor
        try:
            fcntl.ioctl(descriptor, NOTIF_SET_FLAGS, USER_NOTIF_FD_SYNC_WAKE_UP)
        except OSError:
            pass  # before Linux 6.6; it only makes the switch between the two processes quicker

    def fileno(self) -> int:
        """Polls POLLIN while a notification waits, POLLHUP when no process has the filter any more."""
        return self._descriptor

    def close(self) -> None:
        """Held calls, and those to come, fail with ENOSYS."""
        os.close(self._descriptor)

    def receive(self) -> Notification | None:
        """The next notification; None if it became void meanwhile. To be called only when one waits."""
        content = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._descriptor, NOTIF_RECV, content)
        except OSError as error:
            if error.errno == ENOENT:
                return None
            raise
        identity, thread, _flags, number, _architecture, place, *arguments = _NOTIFICATION.unpack(content)
        return Notification(identity, thread, number, place, tuple(arguments))

    def is_valid(self, notification: Notification) -> bool:
        """Whether the call still waits."""
        return self._try(NOTIF_ID_VALID, _ID.pack(notification.id)) is not None

    def answer(self, notification: Notification, result: int, errno: int = 0) -> bool:
        """Let the call return; False if it no longer waits."""
        response = _RESPONSE.pack(notification.id, -1 if errno else result, -errno, 0)
        return self._try(NOTIF_SEND, response) is not None

    def let_kernel_do(self, notification: Notification) -> bool:
        """Let the kernel execute the call as if there were no filter; False if it no longer waits."""
        response = _RESPONSE.pack(notification.id, 0, 0, USER_NOTIF_FLAG_CONTINUE)
        return self._try(NOTIF_SEND, response) is not None

    def give(
        self, notification: Notification, file: socket.socket | int, number: int | None, *, close_on_exec: bool
    ) -> bool:
        """Let the call return a new descriptor of `file`, at a number or at the lowest free one.

        False if the call no longer waits. OSError EBADF if the process's limit does not allow that number, EMFILE.
        """
        source = file if isinstance(file, int) else file.fileno()
        flags = ADDFD_FLAG_SEND | (0 if number is None else ADDFD_FLAG_SETFD)
        newest_flags = os.O_CLOEXEC if close_on_exec else 0
        addition = _ADDITION.pack(notification.id, flags, source, number or 0, newest_flags)
        return self._try(NOTIF_ADDFD, addition) is not None

    def _try(self, request: int, content: bytes) -> bytes | None:
        try:
            result = fcntl.ioctl(self._descriptor, request, content)
        except OSError as error:
            # EINPROGRESS: it was answered, or not yet received; either way nothing of ours waits.
            # ESRCH: a descriptor was on its way when the call was interrupted.
            if error.errno in (ENOENT, EINPROGRESS, ESRCH):
                return None
            raise
        return result if isinstance(result, bytes) else b""
