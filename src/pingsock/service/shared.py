"""The one embedded server of a process: started with the first socket, stopped with the last."""

from __future__ import annotations

import os
import threading

from pingsock.link.raw import RawLink
from pingsock.service.embedded import EmbeddedConnection, EmbeddedServer, own_credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class _Shared:
    lock = threading.Lock()
    server: EmbeddedServer | None = None
    connections = 0


_shared = _Shared()


def connect_embedded(pairs: Iterable[str] = ()) -> SharedConnection:
    """A connection to this process's own server, which from now on permits these message pairs too.

    OSError EPERM without CAP_NET_RAW; ValueError if there is no such pair.
    """
    with _shared.lock:
        server = _shared.server
        if server is None or server.failure is not None:
            server = EmbeddedServer(RawLink.open())
        try:
            _permit(server, frozenset(pairs))
            connection = SharedConnection(server)
        except (OSError, ValueError):
            if server is not _shared.server:
                server.close()
            raise
        if server is not _shared.server:
            _shared.server, _shared.connections = server, 0
        _shared.connections += 1
        return connection


def _permit(server: EmbeddedServer, pairs: frozenset[str]) -> None:
    policy = server.stack.policy
    if not pairs <= policy.pairs:
        server.apply_policy(policy.replace(pairs=policy.pairs | pairs))


class SharedConnection(EmbeddedConnection):
    """A connection whose closing, if it is the last, ends the server."""

    def __init__(self, server: EmbeddedServer) -> None:
        super().__init__(server, own_credentials())
        self._open = True

    def close(self) -> None:
        """End the socket. Idempotent."""
        super().close()
        with _shared.lock:
            if not self._open or _shared.server is not self._server:
                return
            self._open = False
            _shared.connections -= 1
            if _shared.connections:
                return
            _shared.server = None
        # Without the lock: the server's thread takes it too, to close what was abandoned.
        self._server.close()


def _forget_after_fork() -> None:
    """A child's copy of the server has no thread, and its locks may be held for ever."""
    _shared.lock = threading.Lock()
    server, _shared.server, _shared.connections = _shared.server, None, 0
    if server is not None:
        server.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
