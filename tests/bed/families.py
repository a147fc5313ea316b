"""What differs between the two address families, and the addresses of the bed.

The host under test has two interfaces and the tests hold the far ends of both. `HOST` and `HOST_SECOND` are its
addresses on ps0, `ELSEWHERE` its address on ps1; everybody else is played by the tests.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from pingsock.wire import linux


@dataclass(frozen=True, repr=False)
class Family:
    """Numbers and addresses of one address family."""

    name: str
    af: int
    protocol: int
    level: int
    any: str
    loopback: str
    host: str
    """First address on ps0."""
    host_second: str
    """Second address on ps0."""
    elsewhere: str
    """Address on ps1."""
    far: str
    """A neighbour on ps0."""
    far_elsewhere: str
    """A neighbour on ps1."""
    router: str
    """The next hop of the default route."""
    distant: str
    """Somebody behind the router."""
    addressee: str
    """Also behind the router: whom the quotes of ICMP errors were sent to unless a test says otherwise."""
    unreachable: str
    prohibited: str
    blackholed: str
    unrouted: str
    group: str
    """A multicast group of more than link scope."""
    request: int
    reply: int
    extended_request: int
    extended_reply: int
    header: int
    """Size of the IP header without options."""
    sockaddr_size: int
    unreachable_type: int
    port_unreachable: tuple[int, int]
    """A hard error: ECONNREFUSED."""
    time_exceeded: tuple[int, int]
    """A soft error: EHOSTUNREACH."""
    ee_origin: int
    recverr: int
    hop_limit: int
    """Option of the hop limit of unicast packets."""
    mtu_discover: int
    mtu: int

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__

    def pack(self, address: str) -> bytes:
        return socket.inet_pton(self.af, address)

    def unpack(self, address: bytes) -> str:
        return socket.inet_ntop(self.af, address)

    def name_of(self, address: str, port: int = 0, scope: int = 0) -> tuple[str, int] | tuple[str, int, int, int]:
        """The address as the `socket` module writes it."""
        return (address, port) if self.af == socket.AF_INET else (address, port, 0, scope)

    def sockaddr(
        self, address: str, port: int = 0, *, family: int | None = None, scope: int = 0, flow_info: int = 0
    ) -> bytes:
        """The C structure, with any family number."""
        head = (self.af if family is None else family).to_bytes(2, "little") + port.to_bytes(2, "big")
        if self.af == socket.AF_INET:
            return head + self.pack(address) + bytes(8)
        return head + flow_info.to_bytes(4, "big") + self.pack(address) + scope.to_bytes(4, "little")


V4 = Family(
    name="v4",
    af=socket.AF_INET,
    protocol=socket.IPPROTO_ICMP,
    level=linux.SOL_IP,
    any="0.0.0.0",
    loopback="127.0.0.1",
    host="10.9.0.1",
    host_second="10.9.0.3",
    elsewhere="10.8.0.1",
    far="10.9.0.2",
    far_elsewhere="10.8.0.2",
    router="10.9.0.254",
    distant="198.51.100.7",
    addressee="198.51.100.99",
    unreachable="10.66.1.1",
    prohibited="10.66.2.1",
    blackholed="10.66.3.1",
    unrouted="10.66.4.1",
    group="239.9.9.9",
    request=8,
    reply=0,
    extended_request=42,
    extended_reply=43,
    header=20,
    sockaddr_size=16,
    unreachable_type=3,
    port_unreachable=(3, 3),
    time_exceeded=(11, 0),
    ee_origin=linux.SO_EE_ORIGIN_ICMP,
    recverr=linux.IP_RECVERR,
    hop_limit=linux.IP_TTL,
    mtu_discover=linux.IP_MTU_DISCOVER,
    mtu=linux.IP_MTU,
)
V6 = Family(
    name="v6",
    af=socket.AF_INET6,
    protocol=socket.IPPROTO_ICMPV6,
    level=linux.SOL_IPV6,
    any="::",
    loopback="::1",
    host="2001:db8:9::1",
    host_second="2001:db8:9::3",
    elsewhere="2001:db8:8::1",
    far="2001:db8:9::2",
    far_elsewhere="2001:db8:8::2",
    router="2001:db8:9::fe",
    distant="2001:db8:7::7",
    addressee="2001:db8:7::99",
    unreachable="2001:db8:66:1::1",
    prohibited="2001:db8:66:2::1",
    blackholed="2001:db8:66:3::1",
    unrouted="2001:db8:66:4::1",
    group="ff0e::9:9",
    request=128,
    reply=129,
    extended_request=160,
    extended_reply=161,
    header=40,
    sockaddr_size=28,
    unreachable_type=1,
    port_unreachable=(1, 4),
    time_exceeded=(3, 0),
    ee_origin=linux.SO_EE_ORIGIN_ICMP6,
    recverr=linux.IPV6_RECVERR,
    hop_limit=linux.IPV6_UNICAST_HOPS,
    mtu_discover=linux.IPV6_MTU_DISCOVER,
    mtu=linux.IPV6_MTU,
)
FAMILIES = (V4, V6)

LINK_LOCAL = {"ps0": "fe80::9:1", "ps1": "fe80::8:1"}
"""The host's link-local addresses by interface."""
LINK_LOCAL_FAR = "fe80::9:2"
SUBNET_BROADCAST = "10.9.0.255"


def family_of(af: int) -> Family:
    return V4 if af == socket.AF_INET else V6
