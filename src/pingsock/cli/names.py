"""Names of replying addresses, which never hold up the ping for long.

getnameinfo() blocks for as long as the resolver's timeouts last, which is when the network is in trouble and one pings.
So each address is looked up once, in a thread. Its first line waits for the name, but not beyond the time when the next
probe is due; while there is none the address stands alone, as it does with ping(8) when a look-up failed.
"""

from __future__ import annotations

import _thread
import os
import select
from _socket import NI_NUMERICHOST, NI_NUMERICSERV, getnameinfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.probe.target import SocketAddress

PATIENCE_MS = 1000
"""The longest the first line of an address waits for its name, milliseconds."""
SHORTEST_PATIENCE_MS = 50
"""Enough for a table on this host, and the most by which a probe is delayed, once for each address."""
_NI_IDN = 32
_IDN_FLAGS = (_NI_IDN, 0)
_MOST_ADDRESSES = 1024
"""Any number of hosts may answer a group."""


class Names:
    """Shows addresses with their names: "NAME (ADDRESS)".

    `waker` is a descriptor that ends the waiting for a name when it becomes readable. `spare_ns` tells how long nothing
    else is to be done.
    """

    def __init__(self, waker: int) -> None:
        self._waker = waker
        self.spare_ns: Callable[[], int] = lambda: PATIENCE_MS * 1_000_000
        self._known: dict[SocketAddress, str] = {}
        self._asked: set[SocketAddress] = set()

    def show(self, address: SocketAddress) -> str:
        """The address behind its name; behind itself if it has no name, alone if that cannot be told (yet)."""
        plain = numeric(address)
        if address not in self._asked and len(self._asked) < _MOST_ADDRESSES:
            self._asked.add(address)
            self._ask(address)
        name = self._known.get(address)
        return f"{name} ({plain})" if name else plain

    def _ask(self, address: SocketAddress) -> None:
        ready, write_end = os.pipe()
        _thread.start_new_thread(self._look_up, (address, write_end))
        try:
            poll = select.poll()
            poll.register(ready, select.POLLIN)
            poll.register(self._waker, select.POLLIN)
            poll.poll(min(max(self.spare_ns() // 1_000_000, SHORTEST_PATIENCE_MS), PATIENCE_MS))
        finally:
            os.close(ready)

    def _look_up(self, address: SocketAddress, write_end: int) -> None:
        try:
            name = _name_of(address)
            if name:
                self._known[address] = name
        finally:
            os.close(write_end)


def numeric(address: SocketAddress) -> str:
    """An address without a name, an IPv6 one with its scope."""
    if len(address) == 2 or not address[3]:
        return str(address[0])
    return getnameinfo(address, NI_NUMERICHOST | NI_NUMERICSERV)[0]


def _name_of(address: SocketAddress) -> str:
    for flags in _IDN_FLAGS:
        try:
            return getnameinfo(address, flags)[0]
        except (OSError, UnicodeError):
            continue
    return ""
