"""The one embedded server of a process: started with the first socket, stopped with the last."""

from __future__ import annotations

import os
import threading

from pingsock.link.raw import RawLink
from pingsock.service.embedded import EmbeddedConnection, EmbeddedServer, own_credentials

_lock = threading.Lock()


class _Shared:
    server: EmbeddedServer | None = None
    process = 0
    connections = 0


_shared = _Shared()


def connect_embedded() -> SharedConnection:
    """A connection to this process's own server. OSError EPERM without CAP_NET_RAW."""
    with _lock:
        if _shared.server is None or _shared.process != os.getpid():
            # After a fork the parent's server is of no use here: its thread was not copied.
            _shared.server, _shared.process, _shared.connections = EmbeddedServer(RawLink.open()), os.getpid(), 0
        _shared.connections += 1
        return SharedConnection(_shared.server)


class SharedConnection(EmbeddedConnection):
    """A connection whose closing, if it is the last, ends the server."""

    def __init__(self, server: EmbeddedServer) -> None:
        super().__init__(server, own_credentials())
        self._open = True

    def close(self) -> None:
        """End the socket. Idempotent."""
        super().close()
        with _lock:
            if not self._open:
                return
            self._open = False
            _shared.connections -= 1
            if _shared.connections == 0 and _shared.server is self._server:
                _shared.server.close()
                _shared.server = None
