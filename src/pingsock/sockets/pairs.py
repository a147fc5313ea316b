"""Ping sockets for the request and reply pairs that the kernel's ping sockets refuse.

Only our own layer carries them: that of this process, which needs CAP_NET_RAW, or that of a service whose
configuration permits the pair.

Some facts about refused pairs
------------------------------

* A ping socket refuses a message of another type with EINVAL, before it looks at the destination.
* A first send takes an ident, even if it fails, and an ident cannot be changed later.

What this means here
--------------------

A send without a destination asks the service whether it permits a pair, and no packet leaves: EDESTADDRREQ says that it
does. It is done on a socket that is not used for anything else.
"""

from __future__ import annotations

import errno
from _socket import AF_INET

from pingsock.sockets.errors import NoPingSocket
from pingsock.sockets.first_settings import set_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.sockets.served import ServedPingSocket

_REST = bytes(7)


def open_pair_socket(pair: str, request: int) -> ServedPingSocket:
    """A ping socket for IPv4 on which requests of that type may be sent. `pair` is its name in `pingsock.stack.pairs`.

    It is set up as `pingsock.sockets.first_settings` says.

    :raises NoPingSocket: there is none, with the reason for each kind.
    """
    refusals: list[tuple[str, OSError]] = []
    for kind in ("embedded", "served"):
        try:
            sock = _open_embedded(pair) if kind == "embedded" else _open_served(pair, request)
            set_up(sock)
        except OSError as error:
            refusals.append((kind, error))
        else:
            return sock
    raise NoPingSocket(refusals) from refusals[-1][1]


def _open_embedded(pair: str) -> ServedPingSocket:
    from pingsock.service.shared import connect_embedded
    from pingsock.sockets.served import ServedPingSocket

    return ServedPingSocket(AF_INET, connect_embedded((pair,)))


def _open_served(pair: str, request: int) -> ServedPingSocket:
    """OSError ENOENT if there is no service, EACCES if it does not permit the pair."""
    from pingsock.service.client import connect_service
    from pingsock.sockets.served import ServedPingSocket

    with ServedPingSocket(AF_INET, connect_service()) as asking:
        try:
            asking.send(bytes((request,)) + _REST)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise OSError(errno.EACCES, f"its configuration permits no {pair} messages") from error
            if error.errno != errno.EDESTADDRREQ:
                raise
    return ServedPingSocket(AF_INET, connect_service())
