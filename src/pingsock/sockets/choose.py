"""Which kind of ping socket a program gets: the best this host allows.

What our own code opens is set up so that it cannot be robbed of its replies, loses no error, and has true times:
SO_REUSEADDR off (a ping socket is born with it, and anybody may then bind its ident and take its packets), the error
queue on, kernel time stamps of both ways on.
"""

from __future__ import annotations

import socket
from socket import AF_INET

from pingsock.sockets.errors import InvalidArgument, NoPingSocket
from pingsock.sockets.kernel import PROTOCOLS, KernelPingSocket
from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pingsock.sockets.served import ServedPingSocket

    PingSocket = KernelPingSocket | ServedPingSocket

STAMPING = (
    linux.SOF_TIMESTAMPING_TX_SOFTWARE
    | linux.SOF_TIMESTAMPING_RX_SOFTWARE
    | linux.SOF_TIMESTAMPING_SOFTWARE
    | linux.SOF_TIMESTAMPING_OPT_ID
    | linux.SOF_TIMESTAMPING_OPT_TSONLY
)
RECEIVE_ERRORS = {
    int(AF_INET): (linux.SOL_IP, linux.IP_RECVERR),
    linux.AF_INET6: (linux.SOL_IPV6, linux.IPV6_RECVERR),
}


def _open_embedded(family: int) -> ServedPingSocket:
    # Imported only here: a program with a kernel socket never pays for the stack.
    from pingsock.service.shared import connect_embedded
    from pingsock.sockets.served import ServedPingSocket

    return ServedPingSocket(family, connect_embedded())


OPENERS: dict[str, Callable[[int], PingSocket]] = {"kernel": KernelPingSocket, "embedded": _open_embedded}
KINDS = tuple(OPENERS)
"""All kinds, best first."""


def open_ping_socket(family: int = AF_INET, *, kinds: Sequence[str] = KINDS) -> PingSocket:
    """The first kind of socket out of `kinds` that can be opened here, set up as this module says.

    Its `kind` tells which it is. NoPingSocket, with the reason for each kind, if none can be opened;
    InvalidArgument for an unknown family or kind.
    """
    return choose(family, kinds=kinds)[0]


def choose(
    family: int = AF_INET, *, kinds: Sequence[str] = KINDS
) -> tuple[PingSocket, tuple[tuple[str, OSError], ...]]:
    """As `open_ping_socket`, with the kinds that were tried before and what the system said to each."""
    _check(family, kinds)
    refusals: list[tuple[str, OSError]] = []
    for kind in kinds:
        try:
            return _set_up(OPENERS[kind](family)), tuple(refusals)
        except OSError as error:
            refusals.append((kind, error))
    raise NoPingSocket(refusals) from refusals[-1][1]


def _check(family: int, kinds: Sequence[str]) -> None:
    if family not in PROTOCOLS:
        raise InvalidArgument("family", family, "AF_INET or AF_INET6")
    if not kinds or isinstance(kinds, str):
        raise InvalidArgument("kinds", kinds, f"a sequence of kinds out of {', '.join(KINDS)}")
    for kind in kinds:
        if kind not in OPENERS:
            raise InvalidArgument("kind", kind, f"one of {', '.join(KINDS)}")


def _set_up(sock: PingSocket) -> PingSocket:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        sock.setsockopt(*RECEIVE_ERRORS[int(sock.family)], 1)
        sock.setsockopt(socket.SOL_SOCKET, linux.SO_TIMESTAMPING, STAMPING)
    except OSError:
        sock.close()
        raise
    return sock
