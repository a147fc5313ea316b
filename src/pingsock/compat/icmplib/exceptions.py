"""icmplib's exceptions, with its names, bases and arguments; the texts are ours."""

from __future__ import annotations

import errno
from socket import AF_INET, AF_INET6

from pingsock.sockets.errors import NoPingSocket, PingsockError
from pingsock.wire import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.compat.icmplib.models import ICMPReply


class ICMPLibError(PingsockError):
    """Base of all exceptions of this module."""


class NameLookupError(ICMPLibError):
    """A name has no address, or none of the family asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no address is known for the name {name!r}")


class ICMPSocketError(ICMPLibError):
    """A socket cannot be opened or used."""


class SocketAddressError(ICMPSocketError):
    """The source address is none of this host's."""

    def __init__(self, address: str) -> None:
        super().__init__(f"{address!r} is no address of this host to send from")


class SocketPermissionError(ICMPSocketError):
    """No kind of ping socket can be opened here."""

    def __init__(self, privileged: bool) -> None:
        del privileged
        super().__init__(
            "no kind of ping socket can be opened here; `pingsock doctor` tells why and how to change that"
        )


class SocketUnavailableError(ICMPSocketError):
    """The socket is closed."""

    def __init__(self) -> None:
        super().__init__("the socket is closed")


class SocketBroadcastError(ICMPSocketError):
    """A broadcast address was used without saying so first."""

    def __init__(self) -> None:
        super().__init__("this is a broadcast address, or a route prohibits it; for broadcasts set `broadcast` to True")


class TimeoutExceeded(ICMPSocketError):
    """Nothing arrived in time."""

    def __init__(self, timeout: float) -> None:
        super().__init__(f"nothing arrived within {timeout} s")


class ICMPError(ICMPLibError):
    """An ICMP error was received."""

    def __init__(self, message: str, reply: ICMPReply) -> None:
        super().__init__(message)
        self._reply = reply

    @property
    def reply(self) -> ICMPReply:
        """The message that was received."""
        return self._reply


class _NamedError(ICMPError):
    """An ICMP error with a class of its own: it needs no text."""

    _family: int = AF_INET

    def __init__(self, reply: ICMPReply) -> None:
        super().__init__(describe(self._family, reply.type, reply.code), reply)


class DestinationUnreachable(_NamedError):
    """A router or the destination said that it cannot be reached."""


class ICMPv4DestinationUnreachable(DestinationUnreachable):
    """Type 3 of ICMPv4."""


class ICMPv6DestinationUnreachable(DestinationUnreachable):
    """Type 1 of ICMPv6."""

    _family = AF_INET6


class TimeExceeded(_NamedError):
    """The packet had too small a time to live, or fragments did not come together."""


class ICMPv4TimeExceeded(TimeExceeded):
    """Type 11 of ICMPv4."""


class ICMPv6TimeExceeded(TimeExceeded):
    """Type 3 of ICMPv6."""

    _family = AF_INET6


ERRORS: dict[tuple[int, int], type[DestinationUnreachable | TimeExceeded]] = {
    (4, types.ICMP4_DESTINATION_UNREACHABLE): ICMPv4DestinationUnreachable,
    (4, types.ICMP4_TIME_EXCEEDED): ICMPv4TimeExceeded,
    (6, types.ICMP6_DESTINATION_UNREACHABLE): ICMPv6DestinationUnreachable,
    (6, types.ICMP6_TIME_EXCEEDED): ICMPv6TimeExceeded,
}
"""(4 or 6, ICMP type) -> the exception for it; others are an ICMPError."""


def describe(family: int, icmp_type: int, code: int) -> str:
    """An ICMP error in the registry's words; `family` is AF_INET or AF_INET6."""
    return f"{types.type_name(family, icmp_type)}: {types.code_name(family, icmp_type, code)}"


def as_socket_error(error: OSError | NoPingSocket, address: str = "") -> ICMPSocketError:
    """The exception icmplib has for a failed system call; `address` is that of a failed bind(2)."""
    if isinstance(error, NoPingSocket):
        return SocketPermissionError(False)
    if address and error.errno in (errno.EADDRNOTAVAIL, errno.EINVAL):
        return SocketAddressError(address)
    if error.errno == errno.EACCES:
        return SocketBroadcastError()
    return ICMPSocketError(str(error))
