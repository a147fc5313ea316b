"""The part of a host's ICMP that answers: echo, extended echo (RFC 8335) and timestamp requests, as Linux does."""

from __future__ import annotations

from struct import Struct

from pingsock.link import prefixes
from pingsock.link.host_output import fragments_as_needed
from pingsock.link.routing import Query
from pingsock.wire import types
from pingsock.wire.checksum import checksum_holds, icmp6_checksum_holds, with_checksum, with_checksum6
from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4_options import first_hop, options_for_reply
from pingsock.wire.linux import AF_INET, AF_INET6
from pingsock.wire.transit import LOCAL, Outbound
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.link.host_sysctls import HostSysctls
    from pingsock.link.interfaces import Interface, Interfaces
    from pingsock.link.routing import Router

_REPLY_TYPE = {
    (AF_INET, types.ICMP4_ECHO_REQUEST): types.ICMP4_ECHO_REPLY,
    (AF_INET, types.ICMP4_TIMESTAMP_REQUEST): types.ICMP4_TIMESTAMP_REPLY,
    (AF_INET, types.ICMP4_EXTENDED_ECHO_REQUEST): types.ICMP4_EXTENDED_ECHO_REPLY,
    (AF_INET6, types.ICMP6_ECHO_REQUEST): types.ICMP6_ECHO_REPLY,
    (AF_INET6, types.ICMP6_EXTENDED_ECHO_REQUEST): types.ICMP6_EXTENDED_ECHO_REPLY,
}

_MALFORMED_QUERY, _NO_SUCH_INTERFACE = 1, 2
_ACTIVE, _HAS_IPV4, _HAS_IPV6 = 0x04, 0x02, 0x01
_LOCAL_INTERFACE = 0x01
"""The L bit in the last byte of a request's header: the interface is one of the host that is asked."""
_BY_NAME, _BY_INDEX, _BY_ADDRESS = 1, 2, 3
_OBJECT_HEADER = Struct("!HBB")
"""Length of the whole object, class (3: interface identification), kind of identification."""
_ADDRESS_HEADER = Struct("!HBx")
"""Address family number, length."""
_ADDRESS_SIZE = {1: 4, 2: 16}
_NAME_SIZE = 16


class Request(Value):
    """A message that asks for an answer, and what of its packet matters to that."""

    family: int
    source: bytes
    destination: bytes
    traffic_class: int
    options: bytes
    message: bytes
    interface: int


class EchoResponder:
    """Answers for one host. `milliseconds` tells the time since midnight UT."""

    def __init__(
        self, interfaces: Interfaces, router: Router, sysctls: HostSysctls, milliseconds: Callable[[], int]
    ) -> None:
        self._interfaces = interfaces
        self._router = router
        self._sysctls = sysctls
        self._milliseconds = milliseconds

    def answer_untrusted(self, packet: bytes, offset: int, interface: int) -> Outbound | None:
        """The reply to an accepted packet whose ICMP message begins at `offset`, None if it gets none.

        OSError: there is no route back. BadPacket: its options cannot be turned.
        """
        request = _request(packet, offset, interface)
        if len(request.message) < 8 or not self._is_answered(request) or not _checksum_holds(request):
            return None
        message = self._reply_message(request)
        return self._reply(request, message) if message else None

    def _is_answered(self, request: Request) -> bool:
        kind = request.message[0]
        if (request.family, kind) not in _REPLY_TYPE:
            return False
        if request.family == AF_INET6:
            return self._is_answered6(request)
        if kind != types.ICMP4_TIMESTAMP_REQUEST and self._sysctls["ipv4.icmp_echo_ignore_all"]:
            return False
        if kind == types.ICMP4_EXTENDED_ECHO_REQUEST or self._interfaces.kind(request.destination) == LOCAL:
            return True
        return not self._sysctls["ipv4.icmp_echo_ignore_broadcasts"]

    def _is_answered6(self, request: Request) -> bool:
        if self._sysctls["ipv6.icmp.echo_ignore_all"]:
            return False
        is_group = prefixes.is_multicast(request.destination)
        return not (is_group and self._sysctls["ipv6.icmp.echo_ignore_multicast"])

    def _reply_message(self, request: Request) -> bytes | None:
        """The answer's bytes, checksum not yet made."""
        kind = request.message[0]
        reply = bytes([_REPLY_TYPE[request.family, kind]]) + request.message[1:]
        if kind in (types.ICMP4_EXTENDED_ECHO_REQUEST, types.ICMP6_EXTENDED_ECHO_REQUEST):
            return self._interface_status(reply)
        if (request.family, kind) == (AF_INET, types.ICMP4_TIMESTAMP_REQUEST):
            return self._timestamps(reply)
        return reply

    def _timestamps(self, reply: bytes) -> bytes | None:
        if len(reply) < 12:
            return None
        now = self._milliseconds().to_bytes(4, "big")
        return reply[:1] + b"\0" + reply[2:12] + now + now

    def _interface_status(self, reply: bytes) -> bytes | None:
        if not self._sysctls["ipv4.icmp_echo_enable_probe"] or not reply[7] & _LOCAL_INTERFACE:
            return None
        code, status = 0, 0
        try:
            status = _status(self._asked_interface_untrusted(reply[8:]))
        except BadPacket:
            code = _MALFORMED_QUERY
        except OSError:
            code = _NO_SUCH_INTERFACE
        return reply[:1] + bytes([code or reply[1]]) + reply[2:7] + bytes([status]) + reply[8:]

    def _asked_interface_untrusted(self, extension: bytes) -> Interface:
        """The interface named by an extension structure (RFC 8335, section 2.1); OSError ENODEV, BadPacket."""
        if len(extension) < 8:
            raise BadPacket(f"interface identification of {len(extension)} bytes")
        length, _, kind = _OBJECT_HEADER.unpack_from(extension, 4)
        name = extension[8 : 4 + length]
        if length <= 4 or len(name) != length - 4:
            raise BadPacket(f"interface identification object of {length} bytes, {len(name)} there")
        if kind == _BY_NAME and len(name) < _NAME_SIZE:
            return self._interfaces.named(name.rstrip(b"\0").decode("utf-8", "replace"))
        if kind == _BY_INDEX and len(name) == 4:
            return self._interfaces[int.from_bytes(name, "big")]
        if kind == _BY_ADDRESS and len(name) >= 4:
            return self._interfaces[self._owner_untrusted(name)]
        raise BadPacket(f"interface identified in the unknown way {kind}, by {len(name)} bytes")

    def _owner_untrusted(self, name: bytes) -> int:
        family, length = _ADDRESS_HEADER.unpack_from(name)
        if _ADDRESS_SIZE.get(family) != length or len(name) != 4 + length:
            raise BadPacket(f"an address of family {family} and {length} bytes")
        return next(iter(self._interfaces.owners(name[4:])), 0)

    def _reply(self, request: Request, message: bytes) -> Outbound:
        is_local = self._interfaces.kind(request.destination, request.interface) == LOCAL
        source, destination = request.destination if is_local else b"", request.source
        options = self._turned_options(request) if request.options else b""
        towards = first_hop(options, destination)[0]
        interface = request.interface if prefixes.is_link_local(destination) else 0
        route = self._router.route(Query(request.family, towards, source, interface))
        if request.family == AF_INET:
            message = with_checksum(message)
        else:
            message = with_checksum6(route.source, destination, message)
        return Outbound(
            request.family,
            route.source,
            destination,
            message,
            self._hop_limit(request.family),
            request.traffic_class,
            options=options,
            fragment_size=min(route.path_mtu, fragments_as_needed(request.family)),
            interface=interface,
        )

    def _turned_options(self, request: Request) -> bytes:
        own = self._interfaces.all_addresses(AF_INET)
        return options_for_reply(request.options, request.source, request.destination, local=own)

    def _hop_limit(self, family: int) -> int:
        return self._sysctls["ipv4.ip_default_ttl" if family == AF_INET else "ipv6.conf.all.hop_limit"]


def _request(packet: bytes, offset: int, interface: int) -> Request:
    if packet[0] >> 4 == 4:
        options = packet[20 : (packet[0] & 0xF) * 4]
        return Request(AF_INET, packet[12:16], packet[16:20], packet[1], options, packet[offset:], interface)
    traffic_class = int.from_bytes(packet[:2], "big") >> 4 & 0xFF
    return Request(AF_INET6, packet[8:24], packet[24:40], traffic_class, b"", packet[offset:], interface)


def _checksum_holds(request: Request) -> bool:
    if request.family == AF_INET:
        return checksum_holds(request.message)
    return icmp6_checksum_holds(request.source, request.destination, request.message)


def _status(interface: Interface) -> int:
    """State 0, then the active, IPv4 and IPv6 bits; Linux leaves the three state bits alone."""
    has_ipv4, has_ipv6 = interface.first_address(AF_INET), interface.first_address(AF_INET6)
    return _ACTIVE | (_HAS_IPV4 if has_ipv4 else 0) | (_HAS_IPV6 if has_ipv6 else 0)
