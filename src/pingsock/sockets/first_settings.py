"""How a ping socket of our own code is set up, whatever kind it is.

It cannot be robbed of its replies, loses no error, and has true times: SO_REUSEADDR off (a ping socket is born with it,
and anybody may then bind its ident and take its packets), the error queue on, kernel time stamps of both ways on.
"""

from __future__ import annotations

from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.sockets.choose import PingSocket

STAMPING = (
    linux.SOF_TIMESTAMPING_TX_SOFTWARE
    | linux.SOF_TIMESTAMPING_RX_SOFTWARE
    | linux.SOF_TIMESTAMPING_SOFTWARE
    | linux.SOF_TIMESTAMPING_OPT_ID
    | linux.SOF_TIMESTAMPING_OPT_TSONLY
)
RECEIVE_ERRORS = {
    linux.AF_INET: (linux.SOL_IP, linux.IP_RECVERR),
    linux.AF_INET6: (linux.SOL_IPV6, linux.IPV6_RECVERR),
}


def set_up(sock: PingSocket) -> None:
    """Give a new socket these settings. If one is refused the socket is closed, and the OSError passed on."""
    try:
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_REUSEADDR, 0)
        sock.setsockopt(*RECEIVE_ERRORS[int(sock.family)], 1)
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING, STAMPING)
    except OSError:
        sock.close()
        raise
