"""Who may connect, who may have sockets, and who may ask for the status."""

from __future__ import annotations

import os
import resource
from errno import EACCES, EMFILE, ENFILE

from pingsock.stack.failure import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.service.audit import Audit, Caller
    from pingsock.service.configuration import Configuration
    from pingsock.service.peer import Peer
    from pingsock.service.users import User

SPARE_DESCRIPTORS = 64
"""For everything but clients."""
DESCRIPTORS_OF_A_CLIENT = 3
EXTRA_FOR_ADMINISTRATORS = 8
"""Connections beyond the quota, so that one with all its sockets open can still ask for the status."""


def most_connections() -> int:
    """How many clients the limit of descriptors allows."""
    return max(1, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS) // DESCRIPTORS_OF_A_CLIENT)


class Admission:
    """Applies the configuration's rules about users; refusals of what they ask for are audited."""

    def __init__(self, configuration: Configuration, audit: Audit, limit: int | None = None) -> None:
        """`limit`: connections there may be, by default what descriptors allow."""
        self.configuration = configuration
        self.limit = most_connections() if limit is None else limit
        self._audit = audit
        self._own_uid = os.geteuid()

    def refusal(self, caller: Caller, user: User, connections: int) -> tuple[int, str] | None:
        """Why somebody may not connect while there are so many connections: errno and reason."""
        is_administrator = self._is_administrator(caller)
        if not is_administrator and not self._lets_in(caller):
            return EACCES, self._not_let_in()
        if user.connections >= self.configuration.sockets + is_administrator * EXTRA_FOR_ADMINISTRATORS:
            return EMFILE, f"{user.connections} sockets are open already"
        if connections >= self.limit:
            return ENFILE, f"all users have {connections} sockets open already"
        return None

    def require_let_in(self, peer: Peer) -> None:
        """Whether a client may have sockets. EACCES."""
        if not self._lets_in(peer.caller):
            self._audit.refuse(peer.caller, peer.user, "socket", EACCES, self._not_let_in())
            raise failure(EACCES)

    def require_administrator(self, peer: Peer) -> None:
        """Whether a client may ask for the status. EACCES for anybody but root and the service's own user."""
        if not self._is_administrator(peer.caller):
            self._audit.refuse(peer.caller, peer.user, "status", EACCES, "not root")
            raise failure(EACCES)

    def _is_administrator(self, caller: Caller) -> bool:
        """May ask for the status; may not, for that, open sockets."""
        return caller.uid in (0, self._own_uid)

    def _lets_in(self, caller: Caller) -> bool:
        if caller.uid == self._own_uid and self._own_uid:
            # Has all that this process has, without asking.
            return True
        return self.configuration.lets_in(caller.uid, caller.gid, caller.groups)

    def _not_let_in(self) -> str:
        return f"neither a permitted user nor in the group range {self.configuration.group_range}".replace("\t", " ")
