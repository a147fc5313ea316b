"""What the kernel tells by itself about links, addresses, routes and rules: rtnetlink(7), read only.

Some facts about asking for all interfaces, or all addresses
------------------------------------------------------------
* The kernel answers under a lock of the whole machine. Whoever makes or deletes interfaces, in whichever network
  namespace, holds it meanwhile, and a busy machine may leave the holder without a processor for many seconds.
* So long the question does not return, whatever timeout its socket has.
* Questions about one route need no such lock; since Linux 6.9 neither do those about all addresses of one family.

What this means here
--------------------
Nothing of that kind is asked for at intervals, and addresses one family at a time. Interfaces are kept up to date from
what the kernel tells; only where that does not say enough are they asked for again: news were lost, or an MTU has
changed, and the one for IPv6 follows only after it was told. An IPv6 MTU that somebody sets alone is told with the next
news of its interface.
"""

from __future__ import annotations

import select
import socket
from errno import EBADF

from pingsock.link.netlink import interface_of
from pingsock.wire.linux import AF_INET6, AF_NETLINK, AF_UNSPEC, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW
from pingsock.wire.rtnetlink import IFINFO, RTM_DELLINK, RTM_NEWLINK, messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.link.netlink import Interface

_GROUPS = sum(1 << group - 1 for group in (1, 5, 7, 8, 9, 11, 12, 19, 32))
"""Link; IPv4 address, route, rule; IPv6 address, route, interface, rule; next hop."""
_LARGEST = 1 << 16
MOST_AT_ONCE = 1024
"""Messages taken in one call: more than a socket usually holds, but not the making of a whole routing table."""


class News:
    """A socket on which the kernel tells that links, addresses, routes or rules have changed."""

    def __init__(self) -> None:
        self._socket = socket.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
        self._socket.bind((0, _GROUPS))
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        self._poll = poll.poll

    def fileno(self) -> int:
        """Readable when `wait` would be True."""
        return self._socket.fileno()

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()

    def wait(self) -> bool:
        """Whether there are any; a quarter of a microsecond if not."""
        return bool(self._poll(0))

    def read(self, interfaces: dict[int, Interface]) -> bool:
        """Take what there is, and let `interfaces`, by index, follow it; False if they have to be asked for again.

        At most MOST_AT_ONCE messages; `wait` is still True if there are more. OSError EBADF after `close`.
        """
        complete = True
        for _ in range(MOST_AT_ONCE):
            try:
                told = self._socket.recv(_LARGEST)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == EBADF:
                    raise
                complete = False  # ENOBUFS: some were lost
                continue
            for kind, _flags, _sequence, body in messages(told):
                if kind in (RTM_NEWLINK, RTM_DELLINK):
                    complete &= _follow(interfaces, kind, body)
        return complete


def _follow(interfaces: dict[int, Interface], kind: int, body: bytes) -> bool:
    """Whether the message says all there is to know."""
    family, _, index, *_ = IFINFO.unpack_from(body)
    if family == AF_INET6:
        # About the interface's IPv6 side alone.
        return False
    if family != AF_UNSPEC:
        return True
    if kind == RTM_DELLINK:
        interfaces.pop(index, None)
        return True
    before, interfaces[index] = interfaces.get(index), interface_of(body)
    return before is None or before.mtu == interfaces[index].mtu
