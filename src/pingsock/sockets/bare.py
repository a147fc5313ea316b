"""The kernel's ping socket without the `socket` module, for programs that have to start fast and stay small.

Some facts about the `socket` module
------------------------------------

* It turns every constant of the C module `_socket` into an enumeration when it is imported. That takes half as long as
  starting Python, and a megabyte of memory for as long as the program runs.
* What `socket.socket` adds to `_socket.socket` (files, dup, accept, enumerations, leaving a `with` block) a ping does
  not need, but for the last.

What this means here
--------------------

`BareKernelSocket` is `_socket.socket` as a context manager. A kernel's ping socket is one to be had without any other
module; only where there is none is the rest imported.
"""

from __future__ import annotations

import _socket

from pingsock.sockets.first_settings import set_up
from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Self

    from pingsock.sockets.choose import PingSocket, Refusals

KERNEL_KINDS = ("kernel", "borrowed")
"""Kinds of ping socket that are the kernel's own."""

_PROTOCOLS = {linux.AF_INET: linux.IPPROTO_ICMP, linux.AF_INET6: linux.IPPROTO_ICMPV6}


class BareKernelSocket(_socket.socket):
    """A ping socket of the kernel for AF_INET or AF_INET6; OSError as socket(2), EACCES outside the group range."""

    __slots__ = ()

    kind: ClassVar[str] = "kernel"

    def __init__(self, family: int) -> None:
        super().__init__(family, linux.SOCK_DGRAM, _PROTOCOLS[family])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def open_quickly(family: int, earlier: Refusals = ()) -> PingSocket:
    """As `open_ping_socket`, without its imports if the kernel has a ping socket for us.

    `earlier` as for `choose`.

    :raises NoPingSocket: no kind can be opened, with the reason for each.
    """
    try:
        sock = BareKernelSocket(family)
    except OSError:
        from pingsock.sockets.choose import choose  # lazy: brings the `socket` module

        return choose(family, earlier=earlier)[0]
    set_up(sock)
    return sock
