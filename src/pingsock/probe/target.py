"""Whom to probe, and how: values that every room above shares."""

from __future__ import annotations

from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    SocketAddress = tuple[Any, ...]

DEFAULT_SIZE = 56
LARGEST_SIZES = {2: 65507, 10: 65527}
"""Most bytes of payload, by family: 65535 less the headers of IP (IPv4 only) and ICMP."""


class ProbeOptions(Value):
    """How the probes of a target look. What is None is left to the kernel."""

    hop_limit: int | None = None
    """TTL or hop limit, 1 to 255."""
    traffic_class: int | None = None
    """TOS or traffic class, 0 to 255."""
    source: str = ""
    """Address of this host to send from; "" lets the route decide."""
    interface: int = 0
    """Index of the interface to send by; 0 lets the route decide."""
    size: int = DEFAULT_SIZE
    """Bytes of payload."""
    payload: bytes = b""
    """What the payload is filled with behind the token, again and again; b"" counts 0, 1, 2 ..."""
    dont_fragment: bool = False
    """What exceeds the path MTU is refused or dropped, never fragmented."""
    broadcast: bool = False
    """The address may be a broadcast address, which is refused otherwise (EACCES)."""


DEFAULT_OPTIONS = ProbeOptions()


class Target(Value):
    """One address that is probed."""

    host: str
    """As the user wrote it: a name or an address."""
    family: int
    """AF_INET or AF_INET6."""
    address: SocketAddress
    """As `socket.sendto` takes it, port 0: (address, 0) or (address, 0, 0, scope)."""
    answered_by_others: bool = False
    """Replies may come from any address, because this one is a group, broadcast or anycast address."""
    options: ProbeOptions = DEFAULT_OPTIONS
