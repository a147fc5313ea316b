"""Which socket gets a packet: replies, and the errors that quote a request.

Some facts about delivery
-------------------------
* A reply belongs to the newest socket with its ident whose family, receive address and bound interface fit; exactly one
  socket gets it. Sender, sequence and outstanding requests do not count.
* An error belongs to the socket that its *quoted* ident names, matched by the error's own destination: the quote's
  addresses and checksums are not looked at.
* IPv4 drops what came to a broadcast or group; IPv6 delivers it.

What this means here
--------------------
Every function is given what a kernel's ICMP layer would see: a packet whose IP header was checked, addressed to this
host. Everything behind that header is a stranger's. The first lines of each path are the hot ones, so they read bytes
in place and make no objects until a socket is found.
"""

from __future__ import annotations

from errno import EMSGSIZE

from pingsock.stack import errnos
from pingsock.stack.errorqueue import ErrorEntry, extension_offset
from pingsock.stack.packet import Packet
from pingsock.stack.sockaddr import is_multicast, pack_in, pack_in6, scope_for
from pingsock.wire import linux
from pingsock.wire.checksum import checksum_holds, icmp6_checksum_holds
from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv6 import skip_extension_headers_untrusted
from pingsock.wire.linux import AF_INET, AF_INET6
from pingsock.wire.transit import BROADCAST, MULTICAST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.stack.endpoint import Endpoint
    from pingsock.stack.stack import Stack

ICMP_HEADER = 8
ICMP, ICMPV6 = 1, 58
IPV6_HEADER = 40
GROUPS = (BROADCAST, MULTICAST)

WITH_EXTENSIONS4 = frozenset((errnos.DESTINATION_UNREACHABLE, errnos.TIME_EXCEEDED, errnos.PARAMETER_PROBLEM))
WITH_EXTENSIONS6 = frozenset((errnos.DESTINATION_UNREACHABLE6, errnos.TIME_EXCEEDED6))
"""Error types in which Linux looks for RFC 4884 extensions."""

PATH_MTU_UNTRUSTED = 1
"""ip_no_pmtu_disc: from this value on the MTU of a frag-needed report is not believed, and from the next the report
is not passed on."""


def deliver_untrusted(stack: Stack, packet: bytes, interface: int, stamp: int, fragment_size: int) -> None:
    """Take one IP packet; what is malformed or nobody's is dropped. Cannot fail."""
    if len(packet) < 20 + ICMP_HEADER:
        return
    if packet[0] >> 4 == 4:
        _deliver4(stack, packet, interface, stamp, fragment_size)
    elif packet[0] >> 4 == 6 and len(packet) >= IPV6_HEADER + ICMP_HEADER:
        _deliver6(stack, packet, interface, stamp, fragment_size)


def _find(stack: Stack, family: int, ident: int, destination: bytes, interface: int) -> Endpoint | None:
    for endpoint in stack.idents.owners(ident):
        if endpoint.family != family:
            continue
        address = endpoint.receive_address
        if address != destination and any(address):
            continue
        if endpoint.options.bound_interface not in (0, interface):
            continue
        return endpoint
    return None


# IPv4


def _deliver4(stack: Stack, packet: bytes, interface: int, stamp: int, fragment_size: int) -> None:
    at = (packet[0] & 15) * 4
    if len(packet) < at + ICMP_HEADER:
        return
    if packet[at] in stack.pairs.replies[AF_INET]:
        ident = packet[at + 4] << 8 | packet[at + 5]
        endpoint = _find(stack, AF_INET, ident, packet[16:20], interface)
        if endpoint is not None and _is_for_us4(stack, packet, at):
            endpoint.accept(Packet(AF_INET, packet, at, interface, stamp, fragment_size))
    elif packet[at] in errnos.ERROR_TYPES4 and _is_for_us4(stack, packet, at) and not is_multicast(packet[12:16]):
        _deliver_error4(stack, Packet(AF_INET, packet, at, interface, stamp, fragment_size))


def _is_for_us4(stack: Stack, packet: bytes, at: int) -> bool:
    return checksum_holds(packet[at:]) and stack.network.address_kind(AF_INET, packet[16:20]) not in GROUPS


def _deliver_error4(stack: Stack, packet: Packet) -> None:
    quote_at = packet.offset + ICMP_HEADER
    quote = packet.data[quote_at:]
    if len(quote) < 20 or quote[9] != ICMP:
        return
    header = (quote[0] & 15) * 4
    if header < 20 or len(quote) < header + ICMP_HEADER:
        return
    if (
        quote[header + 1]
        or quote[header] not in stack.pairs.quotable[AF_INET]
        or _is_bogus_broadcast(stack, packet, quote)
    ):
        return
    ident = quote[header + 4] << 8 | quote[header + 5]
    endpoint = _find(stack, AF_INET, ident, packet.destination, packet.interface)
    if endpoint is not None:
        _report4(stack, endpoint, packet, quote, header)


def _is_bogus_broadcast(stack: Stack, packet: Packet, quote: bytes) -> bool:
    """An error about a packet to a broadcast address: answered against the rules (RFC 1122 section 3.2.2)."""
    if packet.data[packet.offset] in (errnos.REDIRECT,):
        return False
    if stack.network.sysctl("ipv4.icmp_ignore_bogus_error_responses"):
        return False
    return stack.network.address_kind(AF_INET, quote[16:20]) == BROADCAST


def _report4(stack: Stack, endpoint: Endpoint, packet: Packet, quote: bytes, header: int) -> None:
    message = packet.data[packet.offset : packet.offset + ICMP_HEADER]
    meaning = errnos.meaning4(message[0], message[1])
    if meaning is None:
        return
    info = _information4(message)
    if meaning.errno == EMSGSIZE:
        distrust = stack.network.sysctl("ipv4.ip_no_pmtu_disc")
        if distrust > PATH_MTU_UNTRUSTED:
            return
        info = 0 if distrust == PATH_MTU_UNTRUSTED else info
        stack.network.learn_path_mtu(AF_INET, quote[16:20], info)
        if endpoint.options.path_mtu_discovery == linux.IP_PMTUDISC_DONT:
            return
    if endpoint.options.receive_errors:
        data = 0
        if endpoint.options.rfc4884 and message[0] in WITH_EXTENSIONS4:
            data = extension_offset(message[5] * 4, header, quote[header:])
        entry = ErrorEntry(
            meaning.errno,
            linux.SO_EE_ORIGIN_ICMP,
            icmp_type=message[0],
            code=message[1],
            info=info,
            data=data,
            payload=quote[header:],
            name=pack_in(quote[16:20]),
            offender=pack_in(packet.source),
            packet=packet,
        )
        endpoint.queue_error(entry, len(packet.data))
        endpoint.set_pending_error(meaning.errno)
    elif meaning.hard and endpoint.peer is not None:
        endpoint.set_pending_error(meaning.errno)


def _information4(message: bytes) -> int:
    """ee_info by type: next-hop MTU, gateway in host order, pointer; else 0."""
    if message[0] == errnos.DESTINATION_UNREACHABLE and message[1] == errnos.FRAGMENTATION_NEEDED:
        return message[6] << 8 | message[7]
    if message[0] == errnos.REDIRECT:
        return int.from_bytes(message[4:8], "big")
    return message[4] if message[0] == errnos.PARAMETER_PROBLEM else 0


# IPv6


def _deliver6(stack: Stack, packet: bytes, interface: int, stamp: int, fragment_size: int) -> None:
    at = IPV6_HEADER
    if packet[6] != ICMPV6:
        try:
            upper = skip_extension_headers_untrusted(packet)
        except BadPacket:
            return
        if upper.protocol != ICMPV6 or len(packet) < upper.offset + ICMP_HEADER:
            return
        at = upper.offset
    if packet[at] in stack.pairs.replies[AF_INET6]:
        ident = packet[at + 4] << 8 | packet[at + 5]
        endpoint = _find(stack, AF_INET6, ident, packet[24:40], interface)
        if endpoint is not None and icmp6_checksum_holds(packet[8:24], packet[24:40], packet[at:]):
            endpoint.accept(Packet(AF_INET6, packet, at, interface, stamp, fragment_size))
    elif (
        packet[at] <= errnos.LAST_ERROR6
        and not is_multicast(packet[8:24])
        and icmp6_checksum_holds(packet[8:24], packet[24:40], packet[at:])
    ):
        _deliver_error6(stack, Packet(AF_INET6, packet, at, interface, stamp, fragment_size))


def _deliver_error6(stack: Stack, packet: Packet) -> None:
    quote = packet.data[packet.offset + ICMP_HEADER :]
    try:
        # The version in a quote does not count.
        upper = skip_extension_headers_untrusted(b"\x60" + quote[1:])
    except BadPacket:
        return
    if packet.data[packet.offset] == errnos.PACKET_TOO_BIG6:
        mtu = int.from_bytes(packet.data[packet.offset + 4 : packet.offset + 8], "big")
        stack.network.learn_path_mtu(AF_INET6, quote[24:40], mtu)
    header = upper.offset
    if upper.protocol != ICMPV6 or (upper.fragment and upper.fragment.offset) or len(quote) < header + ICMP_HEADER:
        return
    if quote[header + 1] or quote[header] not in stack.pairs.quotable[AF_INET6]:
        return
    ident = quote[header + 4] << 8 | quote[header + 5]
    endpoint = _find(stack, AF_INET6, ident, packet.destination, packet.interface)
    if endpoint is not None:
        _report6(endpoint, packet, quote, header)


def _report6(endpoint: Endpoint, packet: Packet, quote: bytes, header: int) -> None:
    message = packet.data[packet.offset : packet.offset + ICMP_HEADER]
    meaning = errnos.meaning6(message[0], message[1])
    if meaning is None:
        return
    if endpoint.options.receive_errors6:
        data = 0
        if endpoint.options.rfc4884_6 and message[0] in WITH_EXTENSIONS6:
            data = extension_offset(message[4] * 8, header, quote[header:])
        entry = ErrorEntry(
            meaning.errno,
            linux.SO_EE_ORIGIN_ICMP6,
            icmp_type=message[0],
            code=message[1],
            info=int.from_bytes(message[4:8], "big"),
            data=data,
            payload=quote[header:],
            name=pack_in6(quote[24:40], scope=scope_for(quote[24:40], packet.interface)),
            offender=pack_in6(packet.source, scope=scope_for(packet.source, packet.interface)),
            packet=packet,
        )
        endpoint.queue_error(entry, len(packet.data))
        endpoint.set_pending_error(meaning.errno)
    elif meaning.hard and endpoint.peer is not None:
        endpoint.set_pending_error(meaning.errno)
