"""Whose request is answered next."""

from __future__ import annotations

from collections import OrderedDict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.service.peer import Peer


class Turns:
    """Clients that have something to say, one request at a time: users in turn, and the clients of each in turn.

    So however many connections a user has, the others wait for one request of that user, not for one of each.
    """

    def __init__(self) -> None:
        self._lines: OrderedDict[int, OrderedDict[Peer, None]] = OrderedDict()
        """By user; who is next stands first in both."""

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, peer: Peer) -> None:
        """Queue somebody; whoever is queued already keeps their place."""
        self._lines.setdefault(peer.caller.uid, OrderedDict())[peer] = None

    def take(self) -> Peer:
        """Whoever is next; their user goes behind the other users. KeyError if there is nobody."""
        uid, line = self._lines.popitem(last=False)
        peer, _ = line.popitem(last=False)
        if line:
            self._lines[uid] = line
        return peer
