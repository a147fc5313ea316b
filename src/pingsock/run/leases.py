"""Sockets of the kernel that the service lent and a program has: each counts as lent until the program closes it."""

from __future__ import annotations

import os
import socket

from pingsock.run.descriptors import still_open
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.service.client import LentSocket


class Lease(Value):
    """One such socket."""

    inode: int
    thread: int
    """Whose call got it, and who most likely still has it."""
    connection: socket.socket
    """Open for as long as the socket is in use."""


class Leases:
    """All of them."""

    def __init__(self) -> None:
        self._leases: list[Lease] = []

    def __bool__(self) -> bool:
        return bool(self._leases)

    def add(self, lent: LentSocket, thread: int) -> None:
        """A thread's process has the socket now; ours is closed."""
        self._leases.append(Lease(os.fstat(lent.fileno()).st_ino, thread, lent.lease))
        socket.socket.close(lent)

    def inspect(self) -> None:
        """Give back those whose socket nobody has open any more."""
        used = still_open({lease.inode: lease.thread for lease in self._leases})
        for lease in tuple(self._leases):
            if lease.inode not in used:
                lease.connection.close()
                self._leases.remove(lease)

    def close(self) -> None:
        """Give all back."""
        for lease in self._leases:
            lease.connection.close()
        self._leases.clear()
