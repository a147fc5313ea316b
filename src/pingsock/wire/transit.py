"""A packet on its way between a stack and a link, and the route it takes.

Addresses are packed bytes, 4 for IPv4 and 16 for IPv6. Interface indexes are the host's; 0 means none.
"""

from __future__ import annotations

from pingsock.wire.value import Value

# Kinds of an address or a route, with the numbers of rtnetlink(7).
UNICAST = 1
LOCAL = 2
BROADCAST = 3
MULTICAST = 5


class Route(Value):
    """How a host would send to one destination."""

    kind: int
    """UNICAST, LOCAL, BROADCAST or MULTICAST."""
    source: bytes
    """The source address the host prefers (or the one that was asked for)."""
    interface: int
    """Index of the interface the packet leaves by (the loopback's for LOCAL)."""
    mtu: int
    """MTU of that interface, bytes of IP packet."""
    path_mtu: int
    """Learned path MTU, at most `mtu`."""
    path_mtu_locked: bool = False
    """The path reported an MTU below the host's minimum, so discovery is off for it: packets go without DF."""


class Outbound(Value):
    """One ICMP message and all that IP needs to carry it."""

    family: int
    """AF_INET or AF_INET6."""
    source: bytes
    destination: bytes
    message: bytes
    """The whole ICMP message, its checksum already right for source and destination."""
    hop_limit: int
    traffic_class: int = 0
    flow_label: int = -1
    """IPv6 flow label; -1 lets the host choose one, 0 is none."""
    options: bytes = b""
    """IPv4 options as set by the user, padded to a multiple of 4; the link fills record route and timestamp slots."""
    dont_fragment: bool = False
    """Value of the IPv4 DF bit. IPv6 never sets such a bit."""
    fragment_size: int = 0
    """Packets longer than this many bytes are fragmented to it; 0 = never fragment."""
    interface: int = 0
    """Interface to leave by; 0 = by routing."""
    dont_route: bool = False
    multicast_loop: bool = True
    mark: int = 0
    priority: int = 0
    transparent: bool = False
    """`source` need not be an address of this host."""
    stamp_flags: int = 0
    """SOF_TIMESTAMPING_TX_* wanted for this packet."""
    stamp_key: int = 0
    """Given back by the link with each transmit time stamp of this packet."""

    def carrying(self, message: bytes, stamp_key: int) -> Outbound:
        """A packet like this one with another message, as `replace` would make it, in a tenth of the time."""
        return Outbound(
            self.family,
            self.source,
            self.destination,
            message,
            self.hop_limit,
            self.traffic_class,
            self.flow_label,
            self.options,
            self.dont_fragment,
            self.fragment_size,
            self.interface,
            self.dont_route,
            self.multicast_loop,
            self.mark,
            self.priority,
            self.transparent,
            self.stamp_flags,
            stamp_key,
        )
