"""icmplib's functions and classes on ping sockets, for programs written for icmplib 3.

    from pingsock.compat.icmplib import ping, multiping, traceroute

Names, arguments and results are icmplib's. No root is needed, `traceroute` included, and `privileged` changes nothing.
docs/icmplib.md has the differences.
"""

from __future__ import annotations

from pingsock.compat.icmplib.exceptions import (
    DestinationUnreachable,
    ICMPError,
    ICMPLibError,
    ICMPSocketError,
    ICMPv4DestinationUnreachable,
    ICMPv4TimeExceeded,
    ICMPv6DestinationUnreachable,
    ICMPv6TimeExceeded,
    NameLookupError,
    SocketAddressError,
    SocketBroadcastError,
    SocketPermissionError,
    SocketUnavailableError,
    TimeExceeded,
    TimeoutExceeded,
)
from pingsock.compat.icmplib.models import Hop, Host, ICMPReply, ICMPRequest
from pingsock.compat.icmplib.pinging import async_multiping, async_ping, multiping, ping
from pingsock.compat.icmplib.sockets import AsyncSocket, ICMPSocket, ICMPv4Socket, ICMPv6Socket
from pingsock.compat.icmplib.tracing import traceroute
from pingsock.compat.icmplib.utils import (
    PID,
    async_resolve,
    is_hostname,
    is_ipv4_address,
    is_ipv6_address,
    resolve,
)

__all__ = [
    "PID",
    "AsyncSocket",
    "DestinationUnreachable",
    "Hop",
    "Host",
    "ICMPError",
    "ICMPLibError",
    "ICMPReply",
    "ICMPRequest",
    "ICMPSocket",
    "ICMPSocketError",
    "ICMPv4DestinationUnreachable",
    "ICMPv4Socket",
    "ICMPv4TimeExceeded",
    "ICMPv6DestinationUnreachable",
    "ICMPv6Socket",
    "ICMPv6TimeExceeded",
    "NameLookupError",
    "SocketAddressError",
    "SocketBroadcastError",
    "SocketPermissionError",
    "SocketUnavailableError",
    "TimeExceeded",
    "TimeoutExceeded",
    "async_multiping",
    "async_ping",
    "async_resolve",
    "is_hostname",
    "is_ipv4_address",
    "is_ipv6_address",
    "multiping",
    "ping",
    "resolve",
    "traceroute",
]
