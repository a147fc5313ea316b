"""What a node says to packets addressed to it."""

from __future__ import annotations

import socket

from pingsock.lab.behaviours import Emission
from pingsock.lab.datagram import ICMP4_PROTOCOL, Datagram
from pingsock.lab.extended_echo import extended_echo_reply
from pingsock.lab.forwarding import complain
from pingsock.lab.prefixes import pack_address
from pingsock.wire import types
from pingsock.wire.checksum import ICMP6_PROTOCOL, checksum_holds, icmp6_checksum_holds
from pingsock.wire.errors import BadPacket
from pingsock.wire.icmp4 import AddressMaskReply, AddressMaskRequest, TimestampReply, TimestampRequest
from pingsock.wire.icmp4 import parse_icmp4_untrusted as parse_icmp4
from pingsock.wire.ipv4_options import fill_outgoing, options_for_reply, record_arrival

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.lab.links import Interface
    from pingsock.lab.nodes import Node

    Answerer = Callable[[Node, Datagram, Interface], bytes]

_UDP = 17
_NONSTANDARD = 0x8000_0000


def answer(node: Node, datagram: Datagram, interface: Interface) -> list[Emission]:
    """The packets that answer one addressed to this node."""
    family = datagram.family
    if datagram.protocol != (ICMP4_PROTOCOL if family == socket.AF_INET else ICMP6_PROTOCOL):
        return _nothing_listens(node, datagram, interface)
    if not _intact(datagram):
        return node.nothing("bad checksum")
    name, answerer = _ANSWERERS.get((family, datagram.type), ("", None))
    if answerer is None or name not in node.options.answers:
        return node.nothing("not answered")
    try:
        return [Emission(_reply(node, datagram, answerer(node, datagram, interface)))]
    except BadPacket:
        return node.nothing("malformed")


def _intact(datagram: Datagram) -> bool:
    if not datagram.is_icmp:
        return False
    if datagram.family == socket.AF_INET:
        return checksum_holds(datagram.payload)
    return icmp6_checksum_holds(datagram.source, datagram.destination, datagram.payload)


def _nothing_listens(node: Node, datagram: Datagram, interface: Interface) -> list[Emission]:
    if "port unreachable" not in node.options.answers:
        return node.nothing("not answered")
    fault = "port unreachable" if datagram.protocol == _UDP else "protocol unreachable"
    return complain(node, datagram, interface, fault)


def _reply(node: Node, request: Datagram, message: bytes) -> Datagram:
    reply = Datagram(
        request.destination,
        request.source,
        request.protocol,
        message,
        node.options.hop_limit,
        request.traffic_class,
        node.next_identification(),
        options=_options_of_reply(node, request),
    )
    return reply.sealed()


def _options_of_reply(node: Node, request: Datagram) -> bytes:
    """Record route and timestamp are given back (RFC 1122 section 3.2.2.6); recorded on the way in and out."""
    if not request.options or request.family == socket.AF_INET6:
        return b""
    now, ours = node.network.milliseconds_of_day(), request.destination
    arrived = record_arrival(request.options, ours, now)
    turned = options_for_reply(arrived, request.source, ours)
    return fill_outgoing(turned, ours, now)


def _echo(_node: Node, request: Datagram, _interface: Interface) -> bytes:
    reply_to = types.ICMP4_REPLY_TO if request.family == socket.AF_INET else types.ICMP6_REPLY_TO
    return bytes([reply_to[request.type], 0]) + request.payload[2:]


def _timestamp(node: Node, request: Datagram, _interface: Interface) -> bytes:
    asked = parse_icmp4(request.payload)
    if not isinstance(asked, TimestampRequest):
        raise BadPacket("not a timestamp request")
    told = node.network.milliseconds_of_day(node.options.clock_offset)
    if node.options.nonstandard_clock:
        told |= _NONSTANDARD
    return TimestampReply(asked.identifier, asked.sequence, asked.originate, told, told, asked.trailer).to_bytes()


def _address_mask(node: Node, request: Datagram, interface: Interface) -> bytes:
    asked = parse_icmp4(request.payload)
    if not isinstance(asked, AddressMaskRequest):
        raise BadPacket("not an address mask request")
    if node.options.mask:
        mask = pack_address(node.options.mask)
    else:
        mask = next((prefix.mask for prefix in interface.addresses if prefix.family == socket.AF_INET), b"\xff" * 4)
    return AddressMaskReply(asked.identifier, asked.sequence, mask, asked.trailer).to_bytes()


_ANSWERERS: dict[tuple[int, int], tuple[str, Answerer]] = {
    (socket.AF_INET, types.ICMP4_ECHO_REQUEST): ("echo", _echo),
    (socket.AF_INET6, types.ICMP6_ECHO_REQUEST): ("echo", _echo),
    (socket.AF_INET, types.ICMP4_TIMESTAMP_REQUEST): ("timestamp", _timestamp),
    (socket.AF_INET, types.ICMP4_INFORMATION_REQUEST): ("information", _echo),
    (socket.AF_INET, types.ICMP4_ADDRESS_MASK_REQUEST): ("address mask", _address_mask),
    (socket.AF_INET, types.ICMP4_EXTENDED_ECHO_REQUEST): ("extended echo", extended_echo_reply),
    (socket.AF_INET6, types.ICMP6_EXTENDED_ECHO_REQUEST): ("extended echo", extended_echo_reply),
}
"""ICMP requests: which of the option `answers` switches it, and who makes the reply's message."""
