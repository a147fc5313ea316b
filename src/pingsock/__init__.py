"""ICMP sockets without privileges.

The public names, each imported when it is first used, so that `import pingsock` costs next to nothing:

    open                the best ping socket this host allows
    KernelPingSocket    the kernel's, a `socket.socket`
    ServedPingSocket    one that our own layer serves, with the same methods
    PingsockError       base of this library's exceptions; NoPingSocket, InvalidArgument
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.sockets.choose import open_ping_socket as open
    from pingsock.sockets.errors import InvalidArgument, NoPingSocket, PingsockError
    from pingsock.sockets.kernel import KernelPingSocket
    from pingsock.sockets.served import ServedPingSocket

__version__ = "0.1.0"

__all__ = ["InvalidArgument", "KernelPingSocket", "NoPingSocket", "PingsockError", "ServedPingSocket", "open"]

_HOMES = {
    "open": ("pingsock.sockets.choose", "open_ping_socket"),
    "KernelPingSocket": ("pingsock.sockets.kernel", "KernelPingSocket"),
    "ServedPingSocket": ("pingsock.sockets.served", "ServedPingSocket"),
    "PingsockError": ("pingsock.sockets.errors", "PingsockError"),
    "NoPingSocket": ("pingsock.sockets.errors", "NoPingSocket"),
    "InvalidArgument": ("pingsock.sockets.errors", "InvalidArgument"),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
