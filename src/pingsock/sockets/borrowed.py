"""A ping socket of the kernel that the service opened for us."""

from __future__ import annotations

import os
import socket
from errno import EPROTO

from pingsock.service.client import borrow_kernel_socket
from pingsock.sockets.errors import InvalidArgument
from pingsock.sockets.kernel import KernelPingSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Self


class BorrowedPingSocket(KernelPingSocket):
    """A kernel's ping socket on loan: it counts against a quota of the service until it is closed.

    It is a `KernelPingSocket` in all it does, and goes on should the service end.
    """

    __slots__ = ("_lease",)

    kind: ClassVar[str] = "borrowed"

    def __init__(
        self,
        family: int = socket.AF_INET,
        fileno: int | None = None,
        *,
        lease: socket.socket | None = None,
        path: str | None = None,
    ) -> None:
        """Borrows one for `family` from the service at `path`, or wherever services listen.

        OSError as `borrow_kernel_socket`. With `fileno` and `lease`, takes over what was borrowed.
        """
        self._lease = lease
        if fileno is None:
            lent = borrow_kernel_socket(family, path)
            self._lease, fileno = lent.lease, lent.detach()
        try:
            super().__init__(fileno=fileno)
        except InvalidArgument as error:
            os.close(fileno)
            self._give_back()
            raise OSError(EPROTO, "the service lent something else than a ping socket") from error

    def _give_back(self) -> None:
        if self._lease is not None:
            self._lease.close()

    def close(self) -> None:
        """Close it and give it back. Idempotent."""
        super().close()
        self._give_back()

    def detach(self) -> int:
        """The descriptor, which counts against no quota any more."""
        self._give_back()
        return super().detach()

    def dup(self) -> Self:
        """Another object and descriptor for the same socket, which is given back with the last of them."""
        lease = None if self._lease is None else self._lease.dup()
        copy = type(self)(fileno=os.dup(self.fileno()), lease=lease)
        copy.settimeout(self.gettimeout())
        return copy
