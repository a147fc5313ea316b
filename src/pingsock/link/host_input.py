"""What a host's IP layer does with a packet before ICMP sees it, as Linux does: the checks, and its part in options.

Every function here lets out BadPacket alone; its text is the reason the packet was dropped.
"""

from __future__ import annotations

from pingsock.link import prefixes
from pingsock.wire.checksum import internet_checksum
from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4 import parse_ipv4_untrusted
from pingsock.wire.ipv4_options import (
    SOURCE_ROUTES,
    has_source_route,
    record_arrival,
    split_options_untrusted,
)
from pingsock.wire.ipv6 import (
    DESTINATION_OPTIONS,
    HOP_BY_HOP_OPTIONS,
    ROUTING,
    parse_ipv6_untrusted,
    skip_extension_headers_untrusted,
)
from pingsock.wire.linux import AF_INET, IPPROTO_ICMP, IPPROTO_ICMPV6
from pingsock.wire.transit import BROADCAST, LOCAL, MULTICAST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.link.host_sysctls import HostSysctls
    from pingsock.link.interfaces import Interfaces
    from pingsock.wire.ipv4 import IPv4Header
    from pingsock.wire.ipv6 import IPv6Header, UpperLayer

_PAD1, _PADN = 0, 1
_MOST_PADDING = 7
_RPL, _SEGMENT_ROUTING = 3, 4
"""Types of routing header (RFC 6554, RFC 8754)."""
_ACTION = 0xC0
"""In an option's type: what to do with it if it is unknown; 0 is to skip it (RFC 8200, section 4.2)."""
_INTERFACE_SCOPE = 1


class HostInput:
    """The checks of one host. `milliseconds` tells the time since midnight UT."""

    def __init__(self, interfaces: Interfaces, sysctls: HostSysctls, milliseconds: Callable[[], int]) -> None:
        self._interfaces = interfaces
        self._sysctls = sysctls
        self._milliseconds = milliseconds

    def accept_untrusted(self, packet: bytes, interface: int, looped: bool) -> bytes:
        """The packet, or fragment, without padding behind it and with our part of its options filled in.

        `looped`: it comes from ourselves, so its source is not suspicious. BadPacket: drop it.
        """
        version = packet[0] >> 4 if packet else 0
        if version == 4:
            return self._accept4(packet, interface, looped)
        if version == 6:
            return self._accept6(packet, interface, looped)
        raise BadPacket(f"IP version is {version}, not 4 or 6")

    def _accept4(self, packet: bytes, interface: int, looped: bool) -> bytes:
        header, _ = parse_ipv4_untrusted(packet)
        if not looped:
            self._check_source4(header)
        self._check_destination4(header, interface, looped)
        packet = packet[: header.total_length]
        return self._with_our_options(packet, header, interface) if header.options else packet

    def _check_source4(self, header: IPv4Header) -> None:
        source = header.source
        if prefixes.is_multicast(source) or source == prefixes.LIMITED_BROADCAST:
            raise BadPacket("the source is a group or everybody")
        if source == prefixes.ANY4 and header.destination != prefixes.LIMITED_BROADCAST:
            raise BadPacket("the source is 0.0.0.0")
        if prefixes.is_loopback(source) or prefixes.is_loopback(header.destination):
            raise BadPacket("a loopback address outside of the loopback interface")
        if self._interfaces.owners(source):
            raise BadPacket("the source is our own address")

    def _check_destination4(self, header: IPv4Header, interface: int, looped: bool) -> None:
        kind = self._interfaces.kind(header.destination)
        if kind == MULTICAST and not self._interfaces[interface].has_joined(header.destination):
            raise BadPacket("for a group we have not joined")
        if kind not in (LOCAL, BROADCAST, MULTICAST) or (header.destination == prefixes.ANY4 and not looped):
            raise BadPacket("for another host")

    def _with_our_options(self, packet: bytes, header: IPv4Header, interface: int) -> bytes:
        if has_source_route(header.options):
            self._check_source_route(header, interface)
        address = header.destination
        if self._interfaces.kind(address) != LOCAL:
            address = self._interfaces[interface].first_address(AF_INET) or prefixes.ANY4
        own = self._interfaces.all_addresses(AF_INET)
        options = record_arrival(header.options, address, self._milliseconds(), local=own)
        front = packet[:10] + b"\0\0" + packet[12:20] + options
        checksum = internet_checksum(front)
        return front[:10] + checksum.to_bytes(2, "big") + front[12:] + packet[len(front) :]

    def _check_source_route(self, header: IPv4Header, interface: int) -> None:
        if not self._sysctls.is_on("ipv4.conf.{}.accept_source_route", self._interfaces[interface].name):
            raise BadPacket("source routes are not accepted")
        if self._interfaces.kind(header.destination) != LOCAL:
            raise BadPacket("a source route to more than one host")
        for option in split_options_untrusted(header.options):
            if option[0] in SOURCE_ROUTES and len(option) > 2 and option[2] <= len(option):
                raise BadPacket("a source route that goes on to another host")

    def _accept6(self, packet: bytes, interface: int, looped: bool) -> bytes:
        header, payload = parse_ipv6_untrusted(packet)
        if prefixes.is_multicast(header.source):
            raise BadPacket("the source is a group")
        if not looped:
            self._check_from_outside6(header)
        self._check_destination6(header.destination, interface)
        return packet[: 40 + len(payload)]

    def _check_from_outside6(self, header: IPv6Header) -> None:
        if prefixes.LOOPBACK6 in (header.source, header.destination):
            raise BadPacket("a loopback address outside of the loopback interface")
        if prefixes.is_multicast(header.destination) and header.destination[1] & 0xF <= _INTERFACE_SCOPE:
            raise BadPacket("for a group that does not leave its host")

    def _check_destination6(self, destination: bytes, interface: int) -> None:
        kind = self._interfaces.kind(destination, interface)
        if kind == MULTICAST:
            if not self._interfaces[interface].has_joined(destination):
                raise BadPacket("for a group we have not joined")
        elif kind != LOCAL:
            raise BadPacket("for another host")

    def message_offset_untrusted(self, packet: bytes, interface: int) -> int:
        """Where the ICMP message of a whole accepted packet begins; BadPacket if there is none to be read by us."""
        if packet[0] >> 4 == 4:
            protocol, needed, offset = packet[9], IPPROTO_ICMP, (packet[0] & 0xF) * 4
        else:
            upper = self._walk_untrusted(packet, interface)
            protocol, needed, offset = upper.protocol, IPPROTO_ICMPV6, upper.offset
        if protocol != needed:
            raise BadPacket(f"protocol {protocol} is not ICMP")
        return offset

    def _walk_untrusted(self, packet: bytes, interface: int) -> UpperLayer:
        """Past the extension headers of a whole IPv6 packet, as its destination."""
        upper = skip_extension_headers_untrusted(packet)
        if upper.fragment is not None:
            raise BadPacket("a fragment of a fragment")
        for position, extension in enumerate(upper.headers):
            if extension.kind == HOP_BY_HOP_OPTIONS and position:
                raise BadPacket("hop-by-hop options elsewhere than in front")
            if extension.kind in (HOP_BY_HOP_OPTIONS, DESTINATION_OPTIONS):
                _check_options6(extension.data[2:])
            if extension.kind == ROUTING:
                self._check_routing6(extension.data, packet[24:40], interface)
        return upper

    def _check_routing6(self, header: bytes, destination: bytes, interface: int) -> None:
        """Nobody's route goes on from here; those of segment routing have to be switched on, as in Linux."""
        kind, segments_left = header[2], header[3]
        refused = kind == _RPL or (kind == _SEGMENT_ROUTING and not self._routes_segments(interface))
        if segments_left or refused or prefixes.is_multicast(destination):
            raise BadPacket(f"a routing header of type {kind} with {segments_left} segments left")

    def _routes_segments(self, interface: int) -> bool:
        return self._sysctls.is_on("ipv6.conf.{}.seg6_enabled", self._interfaces[interface].name)


def _check_options6(options: bytes) -> None:
    """Raise BadPacket unless each option is padding, or one to be skipped by those who do not know it."""
    at, padding = 0, 0
    while at < len(options):
        kind = options[at]
        length = 1 if kind == _PAD1 else 2 + options[at + 1] if at + 1 < len(options) else 0
        if not 1 <= length <= len(options) - at:
            raise BadPacket(f"IPv6 option {kind} is cut off")
        if kind & _ACTION:
            raise BadPacket(f"IPv6 option {kind} is unknown and must not be skipped")
        padding = padding + length if kind in (_PAD1, _PADN) else 0
        if padding > _MOST_PADDING or (kind == _PADN and any(options[at + 2 : at + length])):
            raise BadPacket("IPv6 options with padding that carries something (RFC 4942, section 2.1.9.5)")
        at += length
