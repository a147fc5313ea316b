"""The receiving half of a raw link: ICMP that the kernel passes to raw sockets, as whole IP packets.

Some facts about raw ICMP sockets:

* IPv4 gives the packet from its IP header on, reassembled, in network byte order, with record route and timestamp
  options already filled in by this host. Checksums of ICMP are unchecked.
* IPv6 gives the ICMPv6 message only, and only if its checksum holds. The header comes back from ancillary data; the
  fragment header is gone, and the kernel has closed the chain behind it.
* A raw IPv4 socket makes the whole host believe every frag-needed report that quotes ICMP, unless its own
  IP_MTU_DISCOVER says that it does not use path MTUs (OMIT). It is for the stack to believe, hence OMIT here.
"""

from __future__ import annotations

import select
import socket
import struct

from pingsock.link import filters
from pingsock.wire import linux
from pingsock.wire.ipv6 import (
    DESTINATION_OPTIONS,
    HOP_BY_HOP_OPTIONS,
    ROUTING,
    ExtensionHeader,
    IPv6Header,
    build_ipv6,
)
from pingsock.wire.linux import (
    AF_INET,
    AF_INET6,
    IP_PKTINFO,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    SO_TIMESTAMPING,
    SOL_IP,
    SOL_IPV6,
    SOL_SOCKET,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any

    Arrival = tuple[bytes, int, int, int]
    """Packet, interface, stamp in nanoseconds, largest fragment."""
    Ancillary = list[tuple[int, int, bytes]]

BATCH = 256
"""Packets taken at most in one call, so that a flood does not keep a loop from its other work."""
BUFFER_SIZE = 4 << 20
"""Bytes of receive buffer asked for: five thousand small messages."""

_LARGEST_MESSAGE = 1 << 16
_ANCILLARY_SPACE = 4096
"""Room for the longest chain of extension headers the kernel is likely to accept."""
_STAMPING = linux.SOF_TIMESTAMPING_RX_SOFTWARE | linux.SOF_TIMESTAMPING_SOFTWARE
_INT = struct.Struct("=i")
_PKTINFO6 = struct.Struct(linux.IN6_PKTINFO_LAYOUT)
_STAMPS = struct.Struct(linux.SCM_TIMESTAMPING_LAYOUT)

_EXTENSIONS = {
    linux.IPV6_HOPOPTS: HOP_BY_HOP_OPTIONS,
    linux.IPV6_RTHDR: ROUTING,
    linux.IPV6_DSTOPTS: DESTINATION_OPTIONS,
}
"""Which ancillary item holds which header; they come in the order of the packet."""

_RECEIVE_OPTIONS = {
    AF_INET: (SOL_IP, (IP_PKTINFO, linux.IP_RECVFRAGSIZE)),
    AF_INET6: (
        SOL_IPV6,
        (
            linux.IPV6_RECVPKTINFO,
            linux.IPV6_RECVHOPLIMIT,
            linux.IPV6_RECVTCLASS,
            linux.IPV6_FLOWINFO,
            linux.IPV6_RECVHOPOPTS,
            linux.IPV6_RECVRTHDR,
            linux.IPV6_RECVDSTOPTS,
            linux.IPV6_RECVFRAGSIZE,
        ),
    ),
}


def enlarge_buffer(raw: socket.socket, option: int, forced: int, size: int) -> None:
    """Ask for a socket buffer of `size` bytes, beyond the host's limit if we may."""
    try:
        raw.setsockopt(SOL_SOCKET, forced, size)
    except OSError:
        raw.setsockopt(SOL_SOCKET, option, size)


def stamp_of(content: bytes) -> int:
    """The software stamp of a SO_TIMESTAMPING item, CLOCK_REALTIME in nanoseconds."""
    seconds, nanoseconds, *_ = _STAMPS.unpack_from(content)
    return int(seconds * 1_000_000_000 + nanoseconds)


class RawReceiver:
    """A raw ICMP socket of one family. Creating it needs CAP_NET_RAW; afterwards nothing does."""

    def __init__(self, family: int) -> None:
        self.family = family
        self.reply_types: Collection[int] = filters.REPLY_TYPES_6 if family == AF_INET6 else filters.REPLY_TYPES_4
        protocol = IPPROTO_ICMPV6 if family == AF_INET6 else IPPROTO_ICMP
        self.socket = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
        self._buffer = memoryview(bytearray(_LARGEST_MESSAGE))
        poller = select.poll()
        poller.register(self.socket, select.POLLIN)
        self._is_readable = poller.poll
        self._parse = _parse_ipv6 if family == AF_INET6 else _parse_ipv4
        self._groups: dict[tuple[bytes, int], int] = {}
        self._set_up()

    def _set_up(self) -> None:
        self.filter(None)
        enlarge_buffer(self.socket, linux.SO_RCVBUF, linux.SO_RCVBUFFORCE, BUFFER_SIZE)
        self.socket.setsockopt(SOL_SOCKET, SO_TIMESTAMPING, _STAMPING)
        level, options = _RECEIVE_OPTIONS[self.family]
        for option in options:
            self.socket.setsockopt(level, option, 1)
        if self.family == AF_INET:
            self.socket.setsockopt(SOL_IP, linux.IP_MTU_DISCOVER, linux.IP_PMTUDISC_OMIT)

    def close(self) -> None:
        """Idempotent."""
        self.socket.close()

    def filter(self, idents: Collection[int] | None) -> None:
        """Take replies and errors for these idents only; None: for any."""
        if self.family == AF_INET:
            filters.attach(self.socket, filters.ipv4_filter(idents, self.reply_types))
            return
        mask = filters.icmp6_type_mask((*filters.ERROR_TYPES_6, *self.reply_types))
        self.socket.setsockopt(linux.SOL_ICMPV6, linux.ICMP6_FILTER, mask)
        filters.attach(self.socket, filters.ipv6_filter(idents, self.reply_types))

    def receive(self, deliver: Callable[[bytes, int, int, int], None]) -> int:
        """Hand over what waits, at most BATCH packets, and say how many there were."""
        for count in range(BATCH):
            try:
                length, ancillary, _, name = self.socket.recvmsg_into([self._buffer], _ANCILLARY_SPACE)
            except BlockingIOError:
                return count
            except OSError:
                continue  # an error left pending on the socket, which reading has cleared
            deliver(*self._parse(bytes(self._buffer[:length]), ancillary, name))
            # Packets come one at a time where nobody is in a hurry, and a read in vain takes four times as long.
            if not count and not self._is_readable(0):
                return 1
        return BATCH

    def dropped(self) -> int:
        """Packets that found the receive buffer full since the socket was opened.

        Newer kernels (6.18 is one) do not look then whether the filter wants them, and count all of the protocol.
        """
        words = self.socket.getsockopt(SOL_SOCKET, linux.SO_MEMINFO, 36)
        return int(struct.unpack_from("=I", words, linux.SK_MEMINFO_DROPS * 4)[0])

    def join_group(self, group: bytes, interface: int) -> None:
        """Counted; each needs one `leave_group`."""
        joined = self._groups.get((group, interface), 0)
        if not joined:
            self._membership(linux.IP_ADD_MEMBERSHIP, linux.IPV6_ADD_MEMBERSHIP, group, interface)
        self._groups[group, interface] = joined + 1

    def leave_group(self, group: bytes, interface: int) -> None:
        """EADDRNOTAVAIL if there was no `join_group`."""
        joined = self._groups.get((group, interface), 0)
        if joined > 1:
            self._groups[group, interface] = joined - 1
            return
        self._membership(linux.IP_DROP_MEMBERSHIP, linux.IPV6_DROP_MEMBERSHIP, group, interface)
        self._groups.pop((group, interface), None)

    def _membership(self, option4: int, option6: int, group: bytes, interface: int) -> None:
        if self.family == AF_INET6:
            self.socket.setsockopt(SOL_IPV6, option6, struct.pack(linux.IPV6_MREQ_LAYOUT, group, interface))
        else:
            self.socket.setsockopt(SOL_IP, option4, struct.pack(linux.IP_MREQN_LAYOUT, group, bytes(4), interface))


def _parse_ipv4(packet: bytes, ancillary: Ancillary, _name: Any) -> Arrival:
    interface = stamp = fragment_size = 0
    for level, kind, content in ancillary:
        if level == SOL_SOCKET and kind == SO_TIMESTAMPING:
            stamp = stamp_of(content)
        elif level == SOL_IP and kind == IP_PKTINFO:
            (interface,) = _INT.unpack_from(content)
        elif level == SOL_IP and kind == linux.IP_RECVFRAGSIZE:
            (fragment_size,) = _INT.unpack_from(content)
    return packet, interface, stamp, fragment_size


def _parse_ipv6(message: bytes, ancillary: Ancillary, name: Any) -> Arrival:
    interface = stamp = fragment_size = hop_limit = flow = traffic_class = 0
    destination = bytes(16)
    extensions = []
    for level, kind, content in ancillary:
        if level == SOL_SOCKET:
            if kind == SO_TIMESTAMPING:
                stamp = stamp_of(content)
        elif kind == linux.IPV6_PKTINFO:
            destination, interface = _PKTINFO6.unpack_from(content)
        elif kind == linux.IPV6_HOPLIMIT:
            (hop_limit,) = _INT.unpack_from(content)
        elif kind == linux.IPV6_TCLASS:
            (traffic_class,) = _INT.unpack_from(content)
        elif kind == linux.IPV6_FLOWINFO:
            flow = int.from_bytes(content, "big") & 0xFFFFF
        elif kind in _EXTENSIONS:
            extensions.append(ExtensionHeader(_EXTENSIONS[kind], content))
        elif kind == linux.IPV6_RECVFRAGSIZE:
            (fragment_size,) = _INT.unpack_from(content)
    source = socket.inet_pton(AF_INET6, name[0])
    header = IPv6Header(source, destination, IPPROTO_ICMPV6, hop_limit, traffic_class, flow)
    return build_ipv6(header, message, extensions), interface, stamp, fragment_size
