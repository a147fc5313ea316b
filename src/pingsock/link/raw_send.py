"""The sending half of a raw link: IP packets made here and put on the wire as they are.

Some facts about raw sockets of protocol IPPROTO_RAW, which send what they are given, IP header included:

* The kernel still looks up the route, runs the local firewall and limits the send buffer, and it fills in nothing but
  the IPv4 header checksum. It fragments nothing: what exceeds the interface's MTU is EMSGSIZE.
* They receive no ICMP, and an ICMP error concerns them only if it quotes protocol 255; newer kernels (6.18 is one)
  ignore those too.
* A full device queue is told (ENOBUFS) only to sockets with IP_RECVERR, IPV6_RECVERR.
* Any source address may be written into the header; IPv6 only checks the one that is named for the route lookup.
* Where a source is named, IPv6 takes a named interface for a wish, and sends by another one if only that has a route.
  Where none is named, the packet leaves by the interface or not at all (ENETUNREACH). For IPv4 it is always an order.

What this means here: one socket a family serves all settings of all packets, with nothing to switch from one packet to
the next but multicast loop and, on older kernels, the priority; fragments have exactly the size the stack asked for;
and nobody's ICMP error makes a send fail.
"""

from __future__ import annotations

import errno
import socket
import struct
from functools import lru_cache

from pingsock.link import filters
from pingsock.link.prefixes import is_link_local, is_multicast
from pingsock.link.raw_receive import enlarge_buffer
from pingsock.link.raw_stamps import SOCKET_FLAGS, STAMPS_ON_REQUEST, TransmitStamps
from pingsock.wire import linux
from pingsock.wire.linux import AF_INET6, SOL_IP, SOL_IPV6, SOL_SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pingsock.link.raw_pack import Packer
    from pingsock.wire.transit import Outbound

    Item = tuple[int, int, bytes]

BUFFER_SIZE = 4 << 20
"""Bytes of send buffer asked for, and of receive buffer for transmit stamps: the sockets of all users share them."""

_INT = struct.Struct("=i")
_U32 = struct.Struct("=I")
_PKTINFO4 = struct.Struct(linux.IN_PKTINFO_LAYOUT)
_PKTINFO6 = struct.Struct(linux.IN6_PKTINFO_LAYOUT)
STAMP_BATCH = 256
"""Entries of the error queue taken at most in one call."""

_LEFT_BY_ICMP = frozenset(
    {
        errno.EACCES,
        errno.ECONNREFUSED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EMSGSIZE,
        errno.ENETUNREACH,
        errno.ENONET,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPROTO,
    }
)
"""What an ICMP error that quotes protocol 255 may leave pending on the socket; a send then fails once for no reason."""


@lru_cache(maxsize=4096)
def _address(family: int, destination: bytes, interface: int) -> tuple[Any, ...]:
    text = socket.inet_ntop(family, destination)
    return (text, 0, 0, interface) if family == AF_INET6 else (text, 0)


@lru_cache(maxsize=1024)
def _packet_information4(interface: int, source: bytes) -> Item:
    return SOL_IP, linux.IP_PKTINFO, _PKTINFO4.pack(interface, source, bytes(4))


class RawSender:
    """A socket of one family that sends packets with their IP header. Creating it needs CAP_NET_RAW.

    Afterwards only packets with a mark need a privilege (CAP_NET_RAW or CAP_NET_ADMIN; else EPERM), and those with a
    priority above 6 (CAP_NET_ADMIN; else EPERM).
    """

    def __init__(self, family: int, packer: Packer) -> None:
        self.family = family
        self._pack = packer.pack
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self.socket = socket.socket(family, kind, linux.IPPROTO_RAW)
        self._priority = 0
        self._multicast_loop = True
        self._set_up()
        self._priority_item = self._understands(linux.SO_PRIORITY, 0)
        self._stamps = TransmitStamps(named=self._understands(linux.SCM_TS_OPT_ID, 0))

    def _set_up(self) -> None:
        filters.attach(self.socket, filters.nothing())
        enlarge_buffer(self.socket, linux.SO_SNDBUF, linux.SO_SNDBUFFORCE, BUFFER_SIZE)
        enlarge_buffer(self.socket, linux.SO_RCVBUF, linux.SO_RCVBUFFORCE, BUFFER_SIZE)
        self.socket.setsockopt(SOL_SOCKET, linux.SO_TIMESTAMPING, SOCKET_FLAGS)
        if self.family == AF_INET6:
            self.socket.setsockopt(SOL_IPV6, linux.IPV6_RECVERR, 1)
        else:
            self.socket.setsockopt(SOL_IP, linux.IP_RECVERR, 1)
            self.socket.setsockopt(SOL_SOCKET, linux.SO_BROADCAST, 1)

    def _understands(self, kind: int, value: int) -> bool:
        """Whether the kernel takes this ancillary data with a packet; nothing is sent."""
        loopback = "::1" if self.family == AF_INET6 else "127.0.0.1"
        header = bytes([0x60]) + bytes(39) if self.family == AF_INET6 else bytes([0x45]) + bytes(19)
        try:
            self.socket.sendmsg([header], [(SOL_SOCKET, kind, _U32.pack(value))], linux.MSG_PROBE, (loopback, 0))
        except OSError as err:
            return err.errno != errno.EINVAL
        return True

    def close(self) -> None:
        """Idempotent."""
        self.socket.close()

    def transmit(self, packet: Outbound, *, names_source: bool = True) -> None:
        """As `stack.network.Network.transmit`. The first fragment carries the stamps.

        `names_source`: the route is looked up with the packet's source, which has to lead out by its interface.
        """
        destination, fragments = self._pack(packet)
        self._set_socket_options(packet)
        to = _address(self.family, destination, packet.interface)
        flags = linux.MSG_DONTROUTE if packet.dont_route else 0
        common = self._ancillary(packet, names_source and not packet.transparent)
        for at, fragment in enumerate(fragments):
            if at == 0 and packet.stamp_flags & STAMPS_ON_REQUEST:
                self._send_stamped(packet, fragment, common, flags, to)
            else:
                self._send(fragment, common, flags, to)

    def _send_stamped(self, packet: Outbound, data: bytes, items: list[Item], flags: int, to: Any) -> None:
        try:
            self._send(data, items + self._stamps.request(packet.stamp_flags), flags, to)
        except OSError as err:
            self._stamps.failed(err.errno or 0)
            raise
        self._stamps.sent(packet.stamp_key, packet.stamp_flags, data)

    def _send(self, data: bytes, items: list[Item], flags: int, to: Any) -> None:
        try:
            self.socket.sendmsg([data], items, flags, to)
        except OSError as err:
            if err.errno not in _LEFT_BY_ICMP:
                raise
            self.socket.sendmsg([data], items, flags, to)

    def _set_socket_options(self, packet: Outbound) -> None:
        """What cannot travel with the packet."""
        if is_multicast(packet.destination) and packet.multicast_loop != self._multicast_loop:
            if self.family == AF_INET6:
                self.socket.setsockopt(SOL_IPV6, linux.IPV6_MULTICAST_LOOP, packet.multicast_loop)
            else:
                self.socket.setsockopt(SOL_IP, linux.IP_MULTICAST_LOOP, packet.multicast_loop)
            self._multicast_loop = packet.multicast_loop
        if not self._priority_item and packet.priority != self._priority:
            self.socket.setsockopt(SOL_SOCKET, linux.SO_PRIORITY, packet.priority)
            self._priority = packet.priority

    def _ancillary(self, packet: Outbound, names_source: bool) -> list[Item]:
        source = packet.source if names_source else bytes(len(packet.source))
        items = self._ancillary6(packet, source) if self.family == AF_INET6 else self._ancillary4(packet, source)
        if packet.mark:
            items.append((SOL_SOCKET, linux.SO_MARK, _U32.pack(packet.mark)))
        if self._priority_item and (packet.priority or packet.traffic_class):
            # Behind IP_TOS, which sets a priority of its own.
            items.append((SOL_SOCKET, linux.SO_PRIORITY, _U32.pack(packet.priority)))
        return items

    def _ancillary4(self, packet: Outbound, source: bytes) -> list[Item]:
        items = []
        if packet.interface or any(source):
            items.append(_packet_information4(packet.interface, source))
        if packet.traffic_class:
            items.append((SOL_IP, linux.IP_TOS, _INT.pack(packet.traffic_class)))
        return items

    def _ancillary6(self, packet: Outbound, source: bytes) -> list[Item]:
        items = []
        if is_link_local(source) and not packet.interface:
            source = bytes(16)
        if packet.interface or any(source):
            items.append((SOL_IPV6, linux.IPV6_PKTINFO, _PKTINFO6.pack(source, packet.interface)))
        if packet.traffic_class:
            items.append((SOL_IPV6, linux.IPV6_TCLASS, _INT.pack(packet.traffic_class)))
        return items

    def read_stamps(self, transmitted: Callable[[int, int, bool, bytes], None]) -> int:
        """Hand over the transmit stamps that wait, at most STAMP_BATCH, and say how many entries there were."""
        for count in range(STAMP_BATCH):
            try:
                _, ancillary, _, _ = self.socket.recvmsg(0, 512, linux.MSG_ERRQUEUE | linux.MSG_DONTWAIT)
            except BlockingIOError:
                return count
            found = self._stamps.take(ancillary)
            if found is not None:
                transmitted(*found)
        return STAMP_BATCH
