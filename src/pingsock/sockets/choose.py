"""Which kind of ping socket a program gets: the best this host allows.

A socket of the kernel comes before one of ours: the program's own, or one the service hands over. Then one that the
service serves, then our layer in this process. What our own code opens is set up as `pingsock.sockets.first_settings`
says.

A service that lets nobody of us in, has no socket left or does not answer is asked once, not again for the other kind.
"""

from __future__ import annotations

from socket import AF_INET

from pingsock.sockets.errors import InvalidArgument, NoPingSocket
from pingsock.sockets.first_settings import set_up
from pingsock.sockets.kernel import PROTOCOLS, KernelPingSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from pingsock.sockets.bare import BareKernelSocket
    from pingsock.sockets.borrowed import BorrowedPingSocket
    from pingsock.sockets.served import ServedPingSocket

    PingSocket: TypeAlias = KernelPingSocket | ServedPingSocket | BareKernelSocket
    Refusals: TypeAlias = tuple[tuple[str, OSError], ...]


def _borrow(family: int) -> BorrowedPingSocket:
    # Imported only here, as all below: a program with a kernel socket of its own never pays for the rest.
    from pingsock.sockets.borrowed import BorrowedPingSocket

    return BorrowedPingSocket(family)


def _open_served(family: int) -> ServedPingSocket:
    from pingsock.service.client import connect_service
    from pingsock.sockets.served import ServedPingSocket

    return ServedPingSocket(family, connect_service())


def _open_embedded(family: int) -> ServedPingSocket:
    from pingsock.service.shared import connect_embedded
    from pingsock.sockets.served import ServedPingSocket

    return ServedPingSocket(family, connect_embedded())


OPENERS: dict[str, Callable[[int], PingSocket]] = {
    "kernel": KernelPingSocket,
    "borrowed": _borrow,
    "served": _open_served,
    "embedded": _open_embedded,
}
KINDS = tuple(OPENERS)
"""All kinds, best first."""


def open_ping_socket(family: int = AF_INET, *, kinds: Sequence[str] = KINDS) -> PingSocket:
    """The first kind of socket out of `kinds` that can be opened here, set up as this module says.

    Its `kind` tells which it is. NoPingSocket, with the reason for each kind, if none can be opened;
    InvalidArgument for an unknown family or kind.
    """
    return choose(family, kinds=kinds)[0]


def choose(
    family: int = AF_INET, *, kinds: Sequence[str] = KINDS, earlier: Refusals = ()
) -> tuple[PingSocket, Refusals]:
    """As `open_ping_socket`, with the kinds that were tried before and what the system said to each.

    `earlier` are the refusals of a family that was tried just before: what the service said to that and would only
    repeat is taken as said.
    """
    _check(family, kinds)
    refusals: list[tuple[str, OSError]] = []
    for kind in kinds:
        try:
            sock = _open(kind, family, (*earlier, *refusals))
        except OSError as error:
            refusals.append((kind, error))
        else:
            return sock, tuple(refusals)
    raise NoPingSocket(refusals) from refusals[-1][1]


def _open(kind: str, family: int, refusals: Refusals) -> PingSocket:
    if refusals:
        from pingsock.service.client import standing_refusal

        if repeated := standing_refusal(kind, refusals):
            raise repeated
    sock = OPENERS[kind](family)
    set_up(sock)
    return sock


def _check(family: int, kinds: Sequence[str]) -> None:
    if not isinstance(family, int) or family not in PROTOCOLS:
        raise InvalidArgument("family", family, "AF_INET or AF_INET6")
    if not kinds or not isinstance(kinds, (list, tuple)):
        raise InvalidArgument("kinds", kinds, f"a list or tuple of kinds out of {', '.join(KINDS)}")
    for kind in kinds:
        if not isinstance(kind, str) or kind not in OPENERS:
            raise InvalidArgument("kind", kind, f"one of {', '.join(KINDS)}")
