"""Messages of rtnetlink(7), by which Linux is asked and told about links, addresses and routes.

A message is `nlmsghdr` (length u32, type u16, flags u16, sequence u32, port u32), a family header, and attributes
(length u16, type u16, value, padded to 4); numbers are in host byte order.
"""

from __future__ import annotations

import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = struct.Struct("=IHHII")
"""nlmsghdr."""
IFINFO = struct.Struct("=BxHiII")
"""ifinfomsg: family, device type, index, flags, mask of changed flags."""
IFADDR = struct.Struct("=BBBBI")
"""ifaddrmsg: family, prefix length, flags, scope, index."""
RTMSG = struct.Struct("=BBBBBBBBI")
"""rtmsg: family, destination and source prefix length, tos, table, protocol, scope, kind, flags."""
U32 = struct.Struct("=I")
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF
"""Without the bits that say nested and network byte order."""

# Of any netlink message.
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR = 0x1, 0x4, 0x10
NLM_F_REPLACE, NLM_F_DUMP, NLM_F_CREATE = 0x100, 0x300, 0x400
NETLINK_GET_STRICT_CHK = 12

# Links.
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
IFLA_IFNAME, IFLA_MTU, IFLA_AF_SPEC, IFLA_EXT_MASK = 3, 4, 26, 29
IFLA_INET6_CONF = 2
DEVCONF_MTU6 = 2
RTEXT_FILTER_SKIP_STATS = 8
IFF_UP = 1

# Addresses.
RTM_NEWADDR, RTM_GETADDR = 20, 22
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_NODAD, IFA_F_OPTIMISTIC, IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x02, 0x04, 0x08, 0x40

# Routes.
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTA_DST, RTA_SRC, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_METRICS = 1, 2, 4, 5, 7, 8
RTA_MARK, RTA_VIA = 16, 18
RTAX_LOCK, RTAX_MTU = 1, 2
RTN_UNICAST, RTN_LOCAL = 1, 2
RT_TABLE_MAIN, RT_TABLE_LOCAL = 254, 255
RTPROT_BOOT = 3
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """A whole message to the kernel."""
    return HEADER.pack(HEADER.size + len(body), kind, flags, sequence, 0) + body


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, sequence and body of each message of one datagram."""
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, at)
        if length < HEADER.size:
            break
        yield kind, flags, sequence, data[at + HEADER.size : at + length]
        at += length + 3 & ~3


def raise_if_error(body: bytes) -> None:
    """The OSError that the body of an NLMSG_ERROR tells; none if it acknowledges."""
    (negative,) = struct.unpack_from("=i", body)
    if negative:
        raise OSError(-negative, os.strerror(-negative))


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in `data` by type; the last of several with one type."""
    found = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            break
        found[kind & _TYPE_MASK] = data[at + 4 : at + length]
        at += length + 3 & ~3
    return found


def number_of(value: bytes | None) -> int:
    """The 32-bit number an attribute is; 0 if it is not there."""
    return int(U32.unpack_from(value)[0]) if value else 0
