"""ICMP sockets without privileges.

The public names, each imported when it is first used, so that `import pingsock` costs next to nothing:

    ping                one host
    watch               one host without end: an iterator of records
    ping_many           any number of hosts: an iterator of records, with a Summary each
    resolve             the addresses of a host, as targets
    Pinger              one for a whole program: targets come and go
    aio                 the same for asyncio and trio
    jsonable, explain   a record for JSON, and in words

    Record              what is told: an Outcome of a probe (Reply, Late, IcmpError, SendFailure, Timeout, Overflow,
                        Unmeasured), Duplicate, Note, Skipped; besides Stray, Summary, Unresolved, PingResult

    open                the best ping socket this host allows
    KernelPingSocket    the kernel's, a `socket.socket`
    ServedPingSocket    one that our own layer serves, with the same methods
    PingsockError       base of this library's exceptions: NoPingSocket, InvalidArgument, UnknownHost, PingerClosed
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock import aio
    from pingsock.probe.jsonable import jsonable
    from pingsock.probe.records import (
        Duplicate,
        EchoReply,
        IcmpError,
        Late,
        Note,
        Outcome,
        Overflow,
        Record,
        Reply,
        SendFailure,
        Skipped,
        Stray,
        Summary,
        Timeout,
        Unmeasured,
        Unresolved,
    )
    from pingsock.probe.result import PingResult, explain
    from pingsock.probe.statistics import Statistics
    from pingsock.probe.target import ProbeOptions, Target
    from pingsock.sockets.choose import open_ping_socket as open
    from pingsock.sockets.errors import InvalidArgument, NoPingSocket, PingsockError
    from pingsock.sockets.kernel import KernelPingSocket
    from pingsock.sockets.served import ServedPingSocket
    from pingsock.tools.desk import PingerClosed, Watched
    from pingsock.tools.destination import UnknownHost
    from pingsock.tools.echo import ping, ping_many, resolve, watch
    from pingsock.tools.pinger import Pinger

__version__ = "0.1.0"

__all__ = [
    "Duplicate",
    "EchoReply",
    "IcmpError",
    "InvalidArgument",
    "KernelPingSocket",
    "Late",
    "NoPingSocket",
    "Note",
    "Outcome",
    "Overflow",
    "PingResult",
    "Pinger",
    "PingerClosed",
    "PingsockError",
    "ProbeOptions",
    "Record",
    "Reply",
    "SendFailure",
    "ServedPingSocket",
    "Skipped",
    "Statistics",
    "Stray",
    "Summary",
    "Target",
    "Timeout",
    "UnknownHost",
    "Unmeasured",
    "Unresolved",
    "Watched",
    "aio",
    "explain",
    "jsonable",
    "open",
    "ping",
    "ping_many",
    "resolve",
    "watch",
]

_HOMES = {
    "probe.jsonable": "jsonable",
    "probe.records": (
        "Duplicate EchoReply IcmpError Late Note Outcome Overflow Record Reply SendFailure Skipped Stray Summary"
        " Timeout Unmeasured Unresolved"
    ),
    "probe.result": "PingResult explain",
    "probe.statistics": "Statistics",
    "probe.target": "ProbeOptions Target",
    "sockets.errors": "InvalidArgument NoPingSocket PingsockError",
    "sockets.kernel": "KernelPingSocket",
    "sockets.served": "ServedPingSocket",
    "tools.desk": "PingerClosed Watched",
    "tools.destination": "UnknownHost",
    "tools.echo": "ping ping_many resolve watch",
    "tools.pinger": "Pinger",
}
"""Module -> the public names that live there. `open` has another name at home, `aio` is a module."""


if not TYPE_CHECKING:
    # For a type checker a name that is not there would be some object otherwise.
    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name == "aio":
            return import_module("pingsock.aio")
        if name == "open":
            return import_module("pingsock.sockets.choose").open_ping_socket
        for module, names in _HOMES.items():
            if name in names.split():
                return getattr(import_module(f"pingsock.{module}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
