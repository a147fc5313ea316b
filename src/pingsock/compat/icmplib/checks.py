"""What icmplib's functions take, checked and turned into what the prober takes. All raise InvalidArgument."""

from __future__ import annotations

import socket
from socket import SOCK_DGRAM, inet_pton

from pingsock.compat.icmplib.exceptions import SocketAddressError
from pingsock.probe.flow import source_address
from pingsock.probe.schedule import Plan
from pingsock.probe.target import LARGEST_SIZES, ProbeOptions
from pingsock.sockets.errors import InvalidArgument
from pingsock.tools.arguments import MOST, integer, nanoseconds, octets

LARGEST_SIZE = min(LARGEST_SIZES.values())


def time_of(name: str, seconds: float) -> int:
    """A time that is given as seconds, 0 or more, in nanoseconds."""
    return nanoseconds(name, seconds, 0, MOST)


def plan_of_one(timeout: float) -> Plan:
    """One probe; what comes after its timeout is nobody's business any more."""
    return Plan(count=1, timeout_ns=max(time_of("timeout", timeout), 1), late_window_ns=0)


def count_of(count: int) -> int:
    """How many requests; as in icmplib, less than none is none."""
    return max(integer("count", count, -MOST, MOST), 0)


def options_of(
    source: str | None, payload: bytes | None, payload_size: int, ttl: int | None, traffic_class: int
) -> ProbeOptions:
    """How the probes look."""
    content = octets("payload", payload or b"", LARGEST_SIZE)
    if not isinstance(source, str | None):
        raise InvalidArgument("source", source, "an address of this host, as a str")
    return ProbeOptions(
        hop_limit=None if ttl is None else integer("ttl", ttl, 1, 255),
        traffic_class=integer("traffic_class", traffic_class, 0, 255) or None,
        source=source or "",
        size=integer("payload_size", len(content) or payload_size, 0, LARGEST_SIZE),
        payload=content,
    )


def check_source(family: int, source: str) -> None:
    """SocketAddressError if packets of that family cannot be sent from `source`; "" can."""
    if not source:
        return
    try:
        # bind() would resolve any text.
        inet_pton(family, source.partition("%")[0])
        with socket.socket(family, SOCK_DGRAM) as sock:
            sock.bind(source_address(source))
    except (OSError, ValueError) as error:
        raise SocketAddressError(source) from error
