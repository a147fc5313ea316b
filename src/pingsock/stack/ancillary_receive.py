"""Ancillary data that comes with a received message: made when the message is read, from the packet that was kept.

The tables are in the kernel's order of delivery. Each row is an option and the function that makes its item, or
None where a packet has nothing to show (no options, no such extension header).
"""

from __future__ import annotations

import struct

from pingsock.stack.sockaddr import pack_in, pack_in6
from pingsock.wire import linux
from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4_options import options_for_reply
from pingsock.wire.linux import AF_INET, SOL_IP, SOL_IPV6, SOL_SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.stack.options import Options
    from pingsock.stack.packet import Packet

    Item = tuple[int, int, bytes]
    Builder = Callable[[Packet], bytes | None]

_INT = struct.Struct("=i")

STAMP_DIVISORS = {
    linux.SO_TIMESTAMP: 1000,
    linux.SO_TIMESTAMP_NEW: 1000,
    linux.SO_TIMESTAMPNS: 1,
    linux.SO_TIMESTAMPNS_NEW: 1,
}
"""Nanoseconds in the unit of a stamp's second number."""


def _integer(number: int) -> bytes:
    return _INT.pack(number)


def _packet_information(packet: Packet) -> bytes:
    # Ping sockets leave spec_dst, the local address, unset.
    return struct.pack(linux.IN_PKTINFO_LAYOUT, packet.interface, bytes(4), packet.destination)


def _packet_information6(packet: Packet) -> bytes:
    return struct.pack(linux.IN6_PKTINFO_LAYOUT, packet.destination, packet.interface)


def _reply_options(packet: Packet) -> bytes | None:
    return options_for_reply(packet.options) if packet.options else None


def _original_destination(packet: Packet) -> bytes:
    # The kernel reads a UDP port where ICMP has its checksum.
    return pack_in(packet.destination, packet.checksum_field)


def _original_destination6(packet: Packet) -> bytes:
    return pack_in6(packet.destination, packet.checksum_field, scope=packet.scope_of(packet.destination))


def _fragment_size(packet: Packet) -> bytes | None:
    return _integer(packet.fragment_size) if packet.fragment_size else None


def _flow_information(packet: Packet) -> bytes | None:
    return packet.flow_information.to_bytes(4, "big") if packet.flow_information else None


def _extension_header(protocol: int) -> Builder:
    return lambda packet: packet.extension_header(protocol)


HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS = 0, 43, 60

BUILDERS4: tuple[tuple[tuple[int, int], int, Builder], ...] = (
    ((SOL_IP, linux.IP_PKTINFO), linux.IP_PKTINFO, _packet_information),
    ((SOL_IP, linux.IP_RECVTTL), linux.IP_TTL, lambda packet: _integer(packet.hop_limit)),
    ((SOL_IP, linux.IP_RECVTOS), linux.IP_TOS, lambda packet: bytes((packet.traffic_class,))),
    ((SOL_IP, linux.IP_RECVOPTS), linux.IP_RECVOPTS, lambda packet: packet.options or None),
    ((SOL_IP, linux.IP_RETOPTS), linux.IP_RETOPTS, _reply_options),
    ((SOL_IP, linux.IP_RECVORIGDSTADDR), linux.IP_ORIGDSTADDR, _original_destination),
    ((SOL_IP, linux.IP_CHECKSUM), linux.IP_CHECKSUM, lambda _packet: bytes(4)),
    ((SOL_IP, linux.IP_RECVFRAGSIZE), linux.IP_RECVFRAGSIZE, _fragment_size),
)

BUILDERS6: tuple[tuple[tuple[int, int], int, Builder], ...] = (
    ((SOL_IPV6, linux.IPV6_RECVPKTINFO), linux.IPV6_PKTINFO, _packet_information6),
    ((SOL_IPV6, linux.IPV6_RECVHOPLIMIT), linux.IPV6_HOPLIMIT, lambda packet: _integer(packet.hop_limit)),
    ((SOL_IPV6, linux.IPV6_RECVTCLASS), linux.IPV6_TCLASS, lambda packet: _integer(packet.traffic_class)),
    ((SOL_IPV6, linux.IPV6_FLOWINFO), linux.IPV6_FLOWINFO, _flow_information),
    ((SOL_IPV6, linux.IPV6_RECVHOPOPTS), linux.IPV6_HOPOPTS, _extension_header(HOP_BY_HOP)),
    ((SOL_IPV6, linux.IPV6_RECVDSTOPTS), linux.IPV6_DSTOPTS, _extension_header(DESTINATION_OPTIONS)),
    ((SOL_IPV6, linux.IPV6_RECVRTHDR), linux.IPV6_RTHDR, _extension_header(ROUTING)),
    ((SOL_IPV6, linux.IPV6_2292PKTINFO), linux.IPV6_2292PKTINFO, _packet_information6),
    ((SOL_IPV6, linux.IPV6_2292HOPLIMIT), linux.IPV6_2292HOPLIMIT, lambda packet: _integer(packet.hop_limit)),
    ((SOL_IPV6, linux.IPV6_2292HOPOPTS), linux.IPV6_2292HOPOPTS, _extension_header(HOP_BY_HOP)),
    ((SOL_IPV6, linux.IPV6_2292RTHDR), linux.IPV6_2292RTHDR, _extension_header(ROUTING)),
    ((SOL_IPV6, linux.IPV6_2292DSTOPTS), linux.IPV6_2292DSTOPTS, _extension_header(DESTINATION_OPTIONS)),
    ((SOL_IPV6, linux.IPV6_RECVORIGDSTADDR), linux.IPV6_ORIGDSTADDR, _original_destination6),
    ((SOL_IPV6, linux.IPV6_RECVFRAGSIZE), linux.IPV6_RECVFRAGSIZE, _fragment_size),
)


def stamp_items(options: Options, stamp: int, now: int) -> list[Item]:
    """Time stamps of a packet that arrived at `stamp` (0: not stamped) and is read at `now`, nanoseconds."""
    items: list[Item] = []
    divisor = STAMP_DIVISORS.get(options.timestamp_option)
    if divisor is not None:
        seconds, nanoseconds = divmod(stamp or now, 1_000_000_000)
        pair = struct.pack(linux.TIMESPEC_NEW_LAYOUT, seconds, nanoseconds // divisor)
        items.append((SOL_SOCKET, options.timestamp_option, pair))
    if options.timestamping & linux.SOF_TIMESTAMPING_SOFTWARE and stamp:
        items.append(timestamping_item(options, stamp))
    return items


def timestamping_item(options: Options, stamp: int) -> Item:
    """SO_TIMESTAMPING's three stamps, of which a software stack has the first."""
    triple = struct.pack(linux.SCM_TIMESTAMPING_NEW_LAYOUT, *divmod(stamp, 1_000_000_000), 0, 0, 0, 0)
    return SOL_SOCKET, options.timestamping_option, triple


def packet_items(options: Options, packet: Packet) -> tuple[list[Item], bool]:
    """What the receive options that are on say of a packet, and whether something could not be said (MSG_CTRUNC).

    The latter happens to IP_RETOPTS where the sender's options cannot be turned round.
    """
    if not options.receive:
        return [], False
    level, builders = (SOL_IP, BUILDERS4) if packet.family == AF_INET else (SOL_IPV6, BUILDERS6)
    items: list[Item] = []
    lost = False
    for key, kind, build in builders:
        if key in options.receive:
            try:
                content = build(packet)
            except BadPacket:
                lost = True
                continue
            if content is not None:
                items.append((level, kind, content))
    return items, lost


def fit(items: list[Item], room: int) -> tuple[list[Item], bool]:
    """The items that fit a control buffer of `room` bytes, and whether anything was lost (MSG_CTRUNC).

    Each takes a header of 16 bytes and its content, padded to 8; the item that meets the end is cut to what is left
    behind its header, later ones are dropped.
    """
    kept: list[Item] = []
    for level, kind, content in items:
        if room < CMSG_HEADER:
            return kept, True
        if room < CMSG_HEADER + len(content):
            kept.append((level, kind, content[: room - CMSG_HEADER]))
            return kept, True
        kept.append((level, kind, content))
        room -= CMSG_HEADER + (len(content) + 7 & ~7)
    return kept, False


CMSG_HEADER = 16
