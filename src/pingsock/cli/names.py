"""Names of replying addresses, which never hold up the ping for long.

Some facts about the names of addresses
---------------------------------------

* A look-up blocks for as long as the resolver's timeouts last, which is when the network is in trouble and one pings.
* In older releases, 3.11.2 of Debian 12 among them, Python's getnameinfo() keeps the interpreter's lock meanwhile, so
  that nothing else runs, no handler of a signal either. gethostbyaddr() gives it away in all; it does not translate
  international names, as getnameinfo() does if asked, and it encodes text with the IDNA codec, which bytes pass by.
* A user's processes and threads are counted, and a process' descriptors: there may be none left.

What this means here
--------------------

Each address is looked up once, by gethostbyaddr() in a thread. Its first line waits for the name, but not beyond the
time when the next probe is due; while there is none the address stands alone, as it does with ping(8) when a look-up
failed. So it does where no thread can be had.
"""

from __future__ import annotations

import _thread
import os
import select
from _socket import NI_NUMERICHOST, NI_NUMERICSERV, gethostbyaddr, getnameinfo, herror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.probe.target import SocketAddress

PATIENCE_MS = 1000
"""The longest the first line of an address waits for its name, milliseconds."""
SHORTEST_PATIENCE_MS = 50
"""Enough for a table on this host, and the most by which a probe is delayed, once for each address."""
_TRY_AGAIN, _NETDB_INTERNAL = 2, -1
_ENCODED = "xn--"
"""How a label begins that stands for an international one (RFC 5890)."""
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
        try:
            ready, write_end = os.pipe()
        except OSError:
            return
        try:
            _thread.start_new_thread(self._look_up, (address, write_end))
        except RuntimeError:
            # Nobody will write, so the wait is over before it begins.
            os.close(write_end)
        self._wait_for(ready)
        os.close(ready)

    def _wait_for(self, ready: int) -> None:
        poll = select.poll()
        poll.register(ready, select.POLLIN)
        poll.register(self._waker, select.POLLIN)
        poll.poll(min(max(self.spare_ns() // 1_000_000, SHORTEST_PATIENCE_MS), PATIENCE_MS))

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
    """The name, the address itself if it has none, or "" if that could not be found out."""
    try:
        return _readable(gethostbyaddr(address[0].partition("%")[0].encode())[0])
    except herror as error:
        return "" if error.errno in (_TRY_AGAIN, _NETDB_INTERNAL) else numeric(address)
    except (OSError, UnicodeError):
        return ""


def _readable(name: str) -> str:
    """The name with its international labels as people write them."""
    lower = name.lower()
    if _ENCODED not in lower:
        return name
    try:
        return lower.encode("ascii").decode("idna")
    except UnicodeError:
        return name
