"""The table of ICMP identifiers: which sockets own which ident, and how a free one is found.

Some facts about idents
-----------------------
* 1 to 65535, one space for IPv4 and IPv6 together; 0 is never an ident.
* A free one is searched from a counter upwards, 65535 followed by 1, skipping every ident that any socket
  holds, whatever its family, address or sharing. The one found becomes the counter; explicit binds leave it alone.
* Two sockets may own the same ident while both have SO_REUSEADDR set, which ping sockets are born with. Only the
  ident is compared, never address, device or family.
* Packets go to the socket that got the ident last.

What this means here
--------------------
Owners are kept newest first, so that the demultiplexer takes the first that fits. The kernel's 64 buckets show only
in the text of /proc/net/icmp, so they are computed there from `bucket`.
"""

from __future__ import annotations

from errno import EADDRINUSE
from itertools import count

from pingsock.stack.failure import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, KeysView

    from pingsock.stack.endpoint import Endpoint

LAST_IDENT = 65535
BUCKETS = 64


class IdentTable:
    """All idents of one stack."""

    def __init__(self, counter: int, salt: int, owner_exclusive: bool = False) -> None:
        """`counter` and `salt` are random numbers, so that idents and buckets cannot be foretold."""
        self._owners: dict[int, list[Endpoint]] = {}
        self._counter = counter % (LAST_IDENT + 1)
        self._salt = salt
        self._owner_exclusive = owner_exclusive
        self._order = count(1)

    def owners(self, ident: int) -> list[Endpoint] | tuple[()]:
        """The sockets that own an ident, newest first."""
        return self._owners.get(ident, ())

    def idents(self) -> KeysView[int]:
        """Every ident in use; a view that stays current."""
        return self._owners.keys()

    def allocate(self, endpoint: Endpoint) -> None:
        """Give `endpoint` the next free ident. EADDRINUSE if all are taken."""
        if len(self._owners) == LAST_IDENT:
            raise failure(EADDRINUSE)
        ident = self._counter % LAST_IDENT + 1
        while ident in self._owners:
            ident = ident % LAST_IDENT + 1
        self._counter = ident
        self._add(endpoint, ident)

    def claim(self, endpoint: Endpoint, ident: int) -> None:
        """Give `endpoint` a chosen ident. EADDRINUSE if another socket has it and the two may not share."""
        if not all(self._may_share(endpoint, owner) for owner in self.owners(ident)):
            raise failure(EADDRINUSE)
        self._add(endpoint, ident)

    def _may_share(self, one: Endpoint, other: Endpoint) -> bool:
        if self._owner_exclusive and one.credentials.uid != other.credentials.uid:
            return False
        return bool(one.options.reuse_address and other.options.reuse_address)

    def _add(self, endpoint: Endpoint, ident: int) -> None:
        self._owners.setdefault(ident, []).insert(0, endpoint)
        endpoint.ident = ident
        endpoint.bound_order = next(self._order)

    def release(self, endpoint: Endpoint) -> None:
        """Take the ident away from `endpoint`, if it has one."""
        owners = self._owners.get(endpoint.ident)
        if owners is not None:
            owners.remove(endpoint)
            if not owners:
                del self._owners[endpoint.ident]
            endpoint.ident = 0

    def bucket(self, ident: int) -> int:
        """The kernel's hash: 0 to 63."""
        return (ident + self._salt) % BUCKETS

    def __iter__(self) -> Iterator[Endpoint]:
        """Every socket that owns an ident, ordered by bucket, newest first within one."""
        endpoints = [endpoint for owners in self._owners.values() for endpoint in owners]
        return iter(sorted(endpoints, key=lambda endpoint: (self.bucket(endpoint.ident), -endpoint.bound_order)))
