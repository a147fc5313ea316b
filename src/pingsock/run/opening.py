"""socket(2) of a supervised program: the kernel's, one the service lends, or a served one."""

from __future__ import annotations

import os
import resource
from errno import EBADF, EIO, EMFILE

from pingsock.run.descriptors import free_number
from pingsock.run.memory import Memory
from pingsock.run.served_file import ServedFile
from pingsock.run.sources import PROTOCOLS, errno_of
from pingsock.service.client import LentSocket
from pingsock.sockets.errors import NoPingSocket
from pingsock.wire.linux import SOCK_DGRAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.run.files import ServedFiles
    from pingsock.run.leases import Leases
    from pingsock.run.seccomp import Listener, Notification
    from pingsock.run.sources import Sources
    from pingsock.sockets.served_descriptor import Connection

SOCKET_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
"""SOCK_NONBLOCK and SOCK_CLOEXEC."""


RESERVED = 64
"""Of our own descriptors, those that no socket takes: calls on the sockets need some for a while."""


class Opener:
    """Answers calls of socket(2)."""

    def __init__(
        self,
        listener: Listener,
        numbers: range,
        sources: Sources,
        files: ServedFiles,
        leases: Leases,
        inspect: Callable[[], None],
    ) -> None:
        """`numbers`: descriptors of served sockets. `inspect` ends the sockets that no process has any more."""
        self._listener = listener
        self._numbers = numbers
        self._sources = sources
        self._files = files
        self._leases = leases
        self._inspect = inspect
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most_descriptors = limit - min(RESERVED, limit // 4)

    def open(self, notification: Notification) -> None:
        """Answer one call."""
        family, kind = (argument & 0xFFFFFFFF for argument in notification.arguments[:2])
        if (kind & ~SOCKET_FLAGS) != SOCK_DGRAM or family not in PROTOCOLS:
            self._listener.let_kernel_do(notification)
            return
        # The kernel's sockets are closed without our hearing of it, and count against a quota.
        self._leases.inspect()
        try:
            self._give_one(notification, family, kind)
        except NoPingSocket as refusal:
            self._listener.answer(notification, 0, errno_of(refusal))
        except OSError as error:
            self._listener.answer(notification, 0, EMFILE if error.errno == EBADF else error.errno or EIO)

    def _give_one(self, notification: Notification, family: int, kind: int) -> None:
        try:
            self._give(notification, family, kind)
        except (NoPingSocket, OSError):
            # Perhaps a quota, or our numbers, are used up by served sockets that nobody has any more.
            self._inspect()
            self._give(notification, family, kind)

    def _give(self, notification: Notification, family: int, kind: int) -> None:
        self._require_descriptors()
        _way, source = self._sources.find(family)
        if source is None:
            self._listener.let_kernel_do(notification)
        elif isinstance(source, LentSocket):
            self._hand_over(notification, kind, source)
        else:
            self._serve(notification, family, kind, source)

    def _require_descriptors(self) -> None:
        """OSError EMFILE if too few of our own are left."""
        next_one = os.dup(self._listener.fileno())
        os.close(next_one)
        if next_one >= self._most_descriptors:
            raise OSError(EMFILE, os.strerror(EMFILE))

    def _hand_over(self, notification: Notification, kind: int, lent: LentSocket) -> None:
        """The kernel's socket, at an ordinary number: it needs us no more."""
        lent.setblocking(not kind & os.O_NONBLOCK)
        try:
            self._listener.give(notification, lent, None, close_on_exec=bool(kind & os.O_CLOEXEC))
        except OSError:
            lent.close()
            raise
        self._leases.add(lent, notification.thread)

    def _serve(self, notification: Notification, family: int, kind: int, connection: Connection) -> None:
        if not Memory(notification.thread).is_accessible():
            # Nobody may look into this program, not even who has started it: its calls could not be executed.
            connection.close()
            self._listener.let_kernel_do(notification)
            return
        file = ServedFile(connection, family, kind, PROTOCOLS[family])
        self._files.add(file)
        try:
            number = free_number(notification.thread, self._numbers)
            assert file.channel.program_end is not None
            close_on_exec = bool(kind & os.O_CLOEXEC)
            self._listener.give(notification, file.channel.program_end, number, close_on_exec=close_on_exec)
        except OSError:
            self._files.forget(file)
            raise
        file.last_thread = notification.thread
        self._files.given(file)
