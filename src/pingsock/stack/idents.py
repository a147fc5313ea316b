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
Owners are looked at newest first, so that the demultiplexer takes the first that fits. What a new one must ask of the
others is counted as they come, change their mind and go: thousands may share an ident. The kernel's 64 buckets show
only in the text of /proc/net/icmp, so they are computed there from `bucket`.
"""

from __future__ import annotations

from errno import EADDRINUSE
from itertools import count

from pingsock.stack.failure import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, KeysView

    from pingsock.stack.endpoint import Endpoint

LAST_IDENT = 65535
BUCKETS = 64


class _Owners:
    """The sockets that own one ident."""

    __slots__ = ("endpoints", "uids", "unwilling")

    def __init__(self) -> None:
        self.endpoints: dict[Endpoint, None] = {}
        """Oldest first."""
        self.unwilling = 0
        """How many have no SO_REUSEADDR."""
        self.uids: dict[int, int] = {}
        """How many are whose."""

    def add(self, endpoint: Endpoint) -> None:
        uid = endpoint.credentials.uid
        self.endpoints[endpoint] = None
        self.unwilling += not endpoint.options.reuse_address
        self.uids[uid] = self.uids.get(uid, 0) + 1

    def remove(self, endpoint: Endpoint) -> None:
        uid = endpoint.credentials.uid
        del self.endpoints[endpoint]
        self.unwilling -= not endpoint.options.reuse_address
        self.uids[uid] -= 1
        if not self.uids[uid]:
            del self.uids[uid]

    def let_in(self, endpoint: Endpoint, same_uid_only: bool) -> bool:
        if same_uid_only and self.uids.keys() != {endpoint.credentials.uid}:
            return False
        return bool(endpoint.options.reuse_address) and not self.unwilling


class IdentTable:
    """All idents of one stack."""

    def __init__(self, counter: int, salt: int) -> None:
        """`counter` and `salt` are random numbers, so that idents and buckets cannot be foretold."""
        self._owners: dict[int, _Owners] = {}
        self._counter = counter % (LAST_IDENT + 1)
        self._salt = salt
        self._order = count(1)
        self.owner_exclusive = False
        """From now on only sockets of one uid may come to share an ident."""

    def owners(self, ident: int) -> Iterable[Endpoint]:
        """The sockets that own an ident, newest first."""
        owners = self._owners.get(ident)
        return () if owners is None else reversed(owners.endpoints)

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
        owners = self._owners.get(ident)
        if owners is not None and not owners.let_in(endpoint, self.owner_exclusive):
            raise failure(EADDRINUSE)
        self._add(endpoint, ident)

    def set_sharing(self, endpoint: Endpoint, allowed: bool) -> None:
        """SO_REUSEADDR, which counts for those that want the ident of `endpoint` from now on."""
        owners = self._owners.get(endpoint.ident)
        if owners is not None:
            owners.unwilling += int(endpoint.options.reuse_address) - allowed
        endpoint.options.reuse_address = int(allowed)

    def _add(self, endpoint: Endpoint, ident: int) -> None:
        self._owners.setdefault(ident, _Owners()).add(endpoint)
        endpoint.ident = ident
        endpoint.bound_order = next(self._order)

    def release(self, endpoint: Endpoint) -> None:
        """Take the ident away from `endpoint`, if it has one."""
        owners = self._owners.get(endpoint.ident)
        if owners is not None:
            owners.remove(endpoint)
            if not owners.endpoints:
                del self._owners[endpoint.ident]
            endpoint.ident = 0

    def bucket(self, ident: int) -> int:
        """The kernel's hash: 0 to 63."""
        return (ident + self._salt) % BUCKETS

    def __iter__(self) -> Iterator[Endpoint]:
        """Every socket that owns an ident, ordered by bucket, newest first within one."""
        endpoints = [endpoint for owners in self._owners.values() for endpoint in owners.endpoints]
        return iter(sorted(endpoints, key=lambda endpoint: (self.bucket(endpoint.ident), -endpoint.bound_order)))
