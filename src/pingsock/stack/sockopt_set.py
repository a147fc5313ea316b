"""setsockopt(2) of a ping socket: what each option accepts, and what setting it does.

Plain numbers are rows of `options.INTEGER_OPTIONS`; here are the options that do more than keep a number, as one
function each and a table of them. Every failure is an OSError with the kernel's errno.
"""

from __future__ import annotations

import struct
from errno import (
    EACCES,
    EADDRNOTAVAIL,
    EDOM,
    EINVAL,
    ENODEV,
    ENOENT,
    ENOPROTOOPT,
    EOPNOTSUPP,
    EPERM,
)

from pingsock.stack.bpf import SocketFilter
from pingsock.stack.extension_headers import options_header_setter, set_routing_header
from pingsock.stack.failure import failure
from pingsock.stack.memberships import join4, join6, leave4, leave6
from pingsock.stack.options import (
    INERT_OPTIONS,
    INT_MAX,
    INTEGER_OPTIONS,
    MINIMUM_RECEIVE_BUFFER,
    MINIMUM_SEND_BUFFER,
    NOT_EMPTY,
    RECEIVE_OPTIONS,
    SHORT_IS_ZERO,
    UNSUPPORTED,
)
from pingsock.stack.routing import existing_interface
from pingsock.wire import linux
from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4_options import has_source_route, validate_options
from pingsock.wire.linux import AF_INET, AF_INET6, SOL_IP, SOL_IPV6, SOL_SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.stack.endpoint import Endpoint

    Setter = Callable[[Endpoint, bytes], None]

INTERFACE_NAME_SIZE = 16
EVERYBODYS_PRIORITY = range(7)
TIMESTAMPING_FLAGS = (1 << 19) - 1
CLASS_PRIORITY = (0, 0, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4)
"""Packet priority by the four bits of the IPv4 TOS above the lowest (linux/pkt_sched.h)."""

SOCKET_LEVEL_REFUSALS = {
    linux.SO_TYPE: ENOPROTOOPT,
    linux.SO_PROTOCOL: ENOPROTOOPT,
    linux.SO_DOMAIN: ENOPROTOOPT,
    linux.SO_ERROR: ENOPROTOOPT,
    linux.SO_ZEROCOPY: EOPNOTSUPP,
    linux.SO_RESERVE_MEM: EOPNOTSUPP,
    linux.SO_DETACH_REUSEPORT_BPF: EINVAL,
    **dict.fromkeys(UNSUPPORTED, EOPNOTSUPP),
}

TICK = 4000
"""Microseconds; a kernel with 250 ticks a second rounds timeouts up to whole ones."""
LONGEST_TIMEOUT = (2**63 - 1) * TICK // 1_000_000 - 1
"""Seconds; from here on a timeout means "for ever"."""


def set_option(endpoint: Endpoint, level: int, option: int, value: bytes) -> None:
    """Set one option from the bytes the caller passed."""
    if level == SOL_IPV6 and endpoint.family != AF_INET6:
        raise failure(ENOPROTOOPT)
    if level == SOL_SOCKET and option != linux.SO_BINDTODEVICE and len(value) < 4:
        raise failure(EINVAL)
    setter = SETTERS.get((level, option))
    if setter is not None:
        setter(endpoint, value)
    else:
        _set_number(endpoint, level, option, value)


def _set_number(endpoint: Endpoint, level: int, option: int, value: bytes) -> None:
    key = (level, option)
    row = INTEGER_OPTIONS.get(key) or INERT_OPTIONS.get(key)
    if row is None and key not in RECEIVE_OPTIONS:
        raise failure(SOCKET_LEVEL_REFUSALS.get(option, ENOPROTOOPT) if level == SOL_SOCKET else ENOPROTOOPT)
    number = _number_in(key, value)
    if row is None:
        (endpoint.options.receive.add if number else endpoint.options.receive.discard)(key)
        return
    if number == -1 and row.minus_one is not None:
        number = row.minus_one
    elif row.boolean:
        number = int(number != 0)
    if not row.minimum <= number <= row.maximum:
        raise failure(EINVAL)
    if row.field:
        setattr(endpoint.options, row.field, number)
    else:
        endpoint.options.inert[key] = number


def _number_in(key: tuple[int, int], value: bytes) -> int:
    if key in NOT_EMPTY and not value:
        raise failure(EINVAL)
    return 0 if key in SHORT_IS_ZERO and len(value) < 4 else integer(key[0], value)


def integer(level: int, value: bytes) -> int:
    """The number in an option value: four bytes, or at SOL_IP one to three of which the first counts."""
    if len(value) >= 4:
        return int(struct.unpack_from("=i", value)[0])
    if level != SOL_IP:
        raise failure(EINVAL)
    return value[0] if value else 0


# SOL_SOCKET


def _set_reuse_address(endpoint: Endpoint, value: bytes) -> None:
    endpoint.stack.idents.set_sharing(endpoint, integer(SOL_SOCKET, value) != 0)


def _set_debug(endpoint: Endpoint, value: bytes) -> None:
    debug = int(integer(SOL_SOCKET, value) != 0)
    if debug and not endpoint.credentials.capable:
        raise failure(EACCES)
    endpoint.options.debug = debug


def _set_receive_low_water(endpoint: Endpoint, value: bytes) -> None:
    least = integer(SOL_SOCKET, value)
    endpoint.options.receive_low_water = INT_MAX if least < 0 else least or 1


def _ignore(_endpoint: Endpoint, _value: bytes) -> None:
    """Once it meant something; it is still accepted."""


def _buffer_setter(field: str, maximum: str, minimum: int, forced: bool) -> Setter:
    def setter(endpoint: Endpoint, value: bytes) -> None:
        size = integer(SOL_SOCKET, value)
        if forced and not endpoint.credentials.capable:
            raise failure(EPERM)
        size = max(size, 0) if forced else min(size & 0xFFFFFFFF, endpoint.stack.network.sysctl(maximum))
        setattr(endpoint.options, field, max(2 * min(size, 2**30 - 1), minimum))

    return setter


def _set_priority(endpoint: Endpoint, value: bytes) -> None:
    priority = integer(SOL_SOCKET, value)
    if priority not in EVERYBODYS_PRIORITY and not endpoint.credentials.capable:
        raise failure(EPERM)
    endpoint.options.priority = priority


def _set_mark(endpoint: Endpoint, value: bytes) -> None:
    mark = integer(SOL_SOCKET, value) & 0xFFFFFFFF
    if not endpoint.credentials.capable:
        raise failure(EPERM)
    endpoint.options.mark = mark


def _timeout_setter(field: str) -> Setter:
    def setter(endpoint: Endpoint, value: bytes) -> None:
        if len(value) < 16:
            raise failure(EINVAL)
        seconds, microseconds = struct.unpack_from(linux.TIMEVAL_NEW_LAYOUT, value)
        if not 0 <= microseconds < 1_000_000:
            raise failure(EDOM)
        # Who holds the socket waits; here is only what is read back. A negative time, "do not wait", reads 0 too.
        ticks = -(-(seconds * 1_000_000 + microseconds) // TICK) if 0 <= seconds < LONGEST_TIMEOUT else 0
        setattr(endpoint.options, field, ticks * TICK)

    return setter


def _timestamp_setter(option: int) -> Setter:
    def setter(endpoint: Endpoint, value: bytes) -> None:
        endpoint.options.timestamp_option = option if integer(SOL_SOCKET, value) else 0

    return setter


def check_timestamping(flags: int) -> None:
    """EINVAL for unknown flags, and for those that need another one or TCP; EOPNOTSUPP for a hardware clock."""
    if flags & ~TIMESTAMPING_FLAGS:
        raise failure(EINVAL)
    if flags & linux.SOF_TIMESTAMPING_OPT_ID_TCP and not flags & linux.SOF_TIMESTAMPING_OPT_ID:
        raise failure(EINVAL)
    if flags & linux.SOF_TIMESTAMPING_OPT_STATS and not flags & linux.SOF_TIMESTAMPING_OPT_TSONLY:
        raise failure(EINVAL)
    if flags & linux.SOF_TIMESTAMPING_BIND_PHC:
        raise failure(EOPNOTSUPP)


def _timestamping_setter(option: int) -> Setter:
    def setter(endpoint: Endpoint, value: bytes) -> None:
        flags = integer(SOL_SOCKET, value)
        check_timestamping(flags)
        options = endpoint.options
        if flags & linux.SOF_TIMESTAMPING_OPT_ID and not options.timestamping & linux.SOF_TIMESTAMPING_OPT_ID:
            endpoint.stamp_number = 0
        options.timestamping, options.timestamping_option = flags, option

    return setter


def _set_bound_device(endpoint: Endpoint, value: bytes) -> None:
    name = value[: INTERFACE_NAME_SIZE - 1].split(b"\0")[0]
    bind_to_interface(endpoint, endpoint.stack.network.interface_index(name.decode("latin-1")) if name else 0)


def _set_bound_index(endpoint: Endpoint, value: bytes) -> None:
    # The kernel does not ask whether there is such an interface.
    bind_to_interface(endpoint, integer(SOL_SOCKET, value))


def bind_to_interface(endpoint: Endpoint, index: int) -> None:
    """An ordinary user may bind a free socket, not change or undo a binding (EPERM)."""
    if endpoint.options.bound_interface and not endpoint.credentials.capable:
        raise failure(EPERM)
    if index < 0:
        raise failure(EINVAL)
    endpoint.options.bound_interface = index


def _attach_filter(endpoint: Endpoint, value: bytes) -> None:
    endpoint.options.filter = SocketFilter(value, endpoint.stack.random)


def _detach_filter(endpoint: Endpoint, _value: bytes) -> None:
    if endpoint.options.filter is None:
        raise failure(ENOENT)
    endpoint.options.filter = None


# SOL_IP


def _set_ttl(endpoint: Endpoint, value: bytes) -> None:
    ttl = integer(SOL_IP, value)
    if not value or not (ttl == -1 or 1 <= ttl <= 255):
        raise failure(EINVAL)
    endpoint.options.ttl = ttl


def _set_tos(endpoint: Endpoint, value: bytes) -> None:
    tos = integer(SOL_IP, value) & 0xFF
    endpoint.options.tos = tos
    endpoint.options.priority = CLASS_PRIORITY[tos >> 1 & 15]


def _set_ip_options(endpoint: Endpoint, value: bytes) -> None:
    endpoint.options.ip_options = checked_ip_options(endpoint, value)


def checked_ip_options(endpoint: Endpoint, value: bytes) -> bytes:
    """IPv4 options padded for the header: EINVAL if malformed, EPERM for a source route without the capability."""
    try:
        padded = validate_options(value, privileged=endpoint.credentials.capable)
    except BadPacket as error:
        raise failure(EINVAL) from error
    if has_source_route(padded) and not endpoint.credentials.capable:
        raise failure(EPERM)
    return padded


def _set_receive_errors(endpoint: Endpoint, value: bytes) -> None:
    endpoint.options.receive_errors = int(integer(SOL_IP, value) != 0)
    if not endpoint.options.receive_errors:
        endpoint.purge_errors()


def _set_transparent(endpoint: Endpoint, value: bytes) -> None:
    if not value:
        raise failure(EINVAL)
    transparent = int(integer(SOL_IP, value) != 0)
    if transparent and not endpoint.credentials.capable:
        raise failure(EPERM)
    endpoint.options.transparent = transparent


def _set_multicast_interface(endpoint: Endpoint, value: bytes) -> None:
    if len(value) < 4:
        raise failure(EINVAL)
    address, index = value[:4], 0
    if len(value) >= 8:
        address = value[4:8]
    if len(value) >= 12:
        index = int(struct.unpack_from("=i", value, 8)[0])
    options = endpoint.options
    if not index and address == bytes(4):
        options.multicast_interface, options.multicast_source = 0, bytes(4)
        return
    index = existing_interface(endpoint, index, EADDRNOTAVAIL) if index else _interface_with(endpoint, address)
    if options.bound_interface not in (0, index):
        raise failure(EINVAL)
    options.multicast_interface, options.multicast_source = index, address


def _interface_with(endpoint: Endpoint, address: bytes) -> int:
    index = endpoint.stack.network.interface_with(AF_INET, address)
    if not index:
        raise failure(EADDRNOTAVAIL)
    return index


def _unicast_interface_setter(field: str) -> Setter:
    def setter(endpoint: Endpoint, value: bytes) -> None:
        if len(value) != 4:
            raise failure(EINVAL)
        index = int.from_bytes(value, "big")
        if index:
            existing_interface(endpoint, index, EADDRNOTAVAIL)
            if endpoint.options.bound_interface:
                raise failure(EINVAL)
        setattr(endpoint.options, field, index)

    return setter


def _refuse_router_alert(_endpoint: Endpoint, _value: bytes) -> None:
    raise failure(EINVAL)


# SOL_IPV6


def _set_receive_errors6(endpoint: Endpoint, value: bytes) -> None:
    endpoint.options.receive_errors6 = int(integer(SOL_IPV6, value) != 0)
    if not endpoint.options.receive_errors6:
        endpoint.purge_errors()


def _set_v6_only(endpoint: Endpoint, value: bytes) -> None:
    only = int(integer(SOL_IPV6, value) != 0)
    if endpoint.ident:
        raise failure(EINVAL)
    endpoint.options.v6_only = only


def _set_transparent6(endpoint: Endpoint, value: bytes) -> None:
    transparent = int(integer(SOL_IPV6, value) != 0)
    if transparent and not endpoint.credentials.capable:
        raise failure(EPERM)
    endpoint.options.transparent6 = transparent


def _set_multicast_interface6(endpoint: Endpoint, value: bytes) -> None:
    index = integer(SOL_IPV6, value)
    if index:
        if endpoint.options.bound_interface not in (0, index):
            raise failure(EINVAL)
        existing_interface(endpoint, index, ENODEV)
    endpoint.options.multicast_interface6 = index


def _set_sticky_packet_information(endpoint: Endpoint, value: bytes) -> None:
    if len(value) < 20:
        raise failure(EINVAL)
    _source, index = struct.unpack_from(linux.IN6_PKTINFO_LAYOUT, value)
    if index and endpoint.options.bound_interface not in (0, index):
        raise failure(EINVAL)
    endpoint.options.sticky_interface = index


SETTERS: dict[tuple[int, int], Setter] = {
    (SOL_SOCKET, linux.SO_REUSEADDR): _set_reuse_address,
    (SOL_SOCKET, linux.SO_DEBUG): _set_debug,
    (SOL_SOCKET, linux.SO_BSDCOMPAT): _ignore,
    (SOL_SOCKET, linux.SO_RCVLOWAT): _set_receive_low_water,
    (SOL_SOCKET, linux.SO_RCVBUF): _buffer_setter("receive_buffer", "core.rmem_max", MINIMUM_RECEIVE_BUFFER, False),
    (SOL_SOCKET, linux.SO_SNDBUF): _buffer_setter("send_buffer", "core.wmem_max", MINIMUM_SEND_BUFFER, False),
    (SOL_SOCKET, linux.SO_RCVBUFFORCE): _buffer_setter("receive_buffer", "core.rmem_max", MINIMUM_RECEIVE_BUFFER, True),
    (SOL_SOCKET, linux.SO_SNDBUFFORCE): _buffer_setter("send_buffer", "core.wmem_max", MINIMUM_SEND_BUFFER, True),
    (SOL_SOCKET, linux.SO_PRIORITY): _set_priority,
    (SOL_SOCKET, linux.SO_MARK): _set_mark,
    (SOL_SOCKET, linux.SO_RCVTIMEO): _timeout_setter("receive_timeout_us"),
    (SOL_SOCKET, linux.SO_SNDTIMEO): _timeout_setter("send_timeout_us"),
    (SOL_SOCKET, linux.SO_RCVTIMEO_NEW): _timeout_setter("receive_timeout_us"),
    (SOL_SOCKET, linux.SO_SNDTIMEO_NEW): _timeout_setter("send_timeout_us"),
    (SOL_SOCKET, linux.SO_TIMESTAMP): _timestamp_setter(linux.SO_TIMESTAMP),
    (SOL_SOCKET, linux.SO_TIMESTAMPNS): _timestamp_setter(linux.SO_TIMESTAMPNS),
    (SOL_SOCKET, linux.SO_TIMESTAMP_NEW): _timestamp_setter(linux.SO_TIMESTAMP_NEW),
    (SOL_SOCKET, linux.SO_TIMESTAMPNS_NEW): _timestamp_setter(linux.SO_TIMESTAMPNS_NEW),
    (SOL_SOCKET, linux.SO_TIMESTAMPING): _timestamping_setter(linux.SO_TIMESTAMPING),
    (SOL_SOCKET, linux.SO_TIMESTAMPING_NEW): _timestamping_setter(linux.SO_TIMESTAMPING_NEW),
    (SOL_SOCKET, linux.SO_BINDTODEVICE): _set_bound_device,
    (SOL_SOCKET, linux.SO_BINDTOIFINDEX): _set_bound_index,
    (SOL_SOCKET, linux.SO_ATTACH_FILTER): _attach_filter,
    (SOL_SOCKET, linux.SO_DETACH_FILTER): _detach_filter,
    (SOL_IP, linux.IP_TTL): _set_ttl,
    (SOL_IP, linux.IP_TOS): _set_tos,
    (SOL_IP, linux.IP_OPTIONS): _set_ip_options,
    (SOL_IP, linux.IP_RECVERR): _set_receive_errors,
    (SOL_IP, linux.IP_TRANSPARENT): _set_transparent,
    (SOL_IP, linux.IP_MULTICAST_IF): _set_multicast_interface,
    (SOL_IP, linux.IP_UNICAST_IF): _unicast_interface_setter("unicast_interface"),
    (SOL_IP, linux.IP_ROUTER_ALERT): _refuse_router_alert,
    (SOL_IP, linux.IP_ADD_MEMBERSHIP): join4,
    (SOL_IP, linux.IP_DROP_MEMBERSHIP): leave4,
    (SOL_IPV6, linux.IPV6_RECVERR): _set_receive_errors6,
    (SOL_IPV6, linux.IPV6_V6ONLY): _set_v6_only,
    (SOL_IPV6, linux.IPV6_TRANSPARENT): _set_transparent6,
    (SOL_IPV6, linux.IPV6_MULTICAST_IF): _set_multicast_interface6,
    (SOL_IPV6, linux.IPV6_UNICAST_IF): _unicast_interface_setter("unicast_interface6"),
    (SOL_IPV6, linux.IPV6_PKTINFO): _set_sticky_packet_information,
    (SOL_IPV6, linux.IPV6_ADD_MEMBERSHIP): join6,
    (SOL_IPV6, linux.IPV6_DROP_MEMBERSHIP): leave6,
    (SOL_IPV6, linux.IPV6_HOPOPTS): options_header_setter(linux.IPV6_HOPOPTS),
    (SOL_IPV6, linux.IPV6_DSTOPTS): options_header_setter(linux.IPV6_DSTOPTS),
    (SOL_IPV6, linux.IPV6_RTHDRDSTOPTS): options_header_setter(linux.IPV6_RTHDRDSTOPTS),
    (SOL_IPV6, linux.IPV6_RTHDR): set_routing_header,
}
