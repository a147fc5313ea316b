"""getsockopt(2) of a ping socket, and SO_ERROR's effect."""

from __future__ import annotations

import struct
from errno import EINVAL, ENOPROTOOPT, ENOTCONN, EOPNOTSUPP

from pingsock.stack.failure import failure
from pingsock.stack.options import INERT_DEFAULTS, INERT_OPTIONS, INTEGER_OPTIONS, RECEIVE_OPTIONS, UNSUPPORTED
from pingsock.wire import linux
from pingsock.wire.linux import AF_INET, AF_INET6, SOL_IP, SOL_IPV6, SOL_SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.stack.endpoint import Endpoint

    Getter = Callable[[Endpoint], int | bytes]

PROTOCOLS = {AF_INET: linux.IPPROTO_ICMP, AF_INET6: linux.IPPROTO_ICMPV6}


def get_option(endpoint: Endpoint, level: int, option: int, size: int) -> bytes:
    """The value of one option, at most `size` bytes of it."""
    if endpoint.family == AF_INET and level not in (SOL_SOCKET, SOL_IP):
        raise failure(EOPNOTSUPP)
    value = _value(endpoint, level, option)
    if isinstance(value, bytes):
        return _sized(option, value, size)
    return _number(level, value, size)


def _value(endpoint: Endpoint, level: int, option: int) -> int | bytes:
    key = (level, option)
    getter = GETTERS.get(key)
    if getter is not None:
        return getter(endpoint)
    row = INTEGER_OPTIONS.get(key)
    if row is not None:
        number = int(getattr(endpoint.options, row.field))
        return row.reads_minus_one_as if number == -1 and row.reads_minus_one_as is not None else number
    if key in INERT_OPTIONS:
        return endpoint.options.inert.get(key, INERT_DEFAULTS.get((endpoint.family, *key), 0))
    if key in RECEIVE_OPTIONS:
        return int(key in endpoint.options.receive)
    raise failure(EOPNOTSUPP if level == SOL_SOCKET and option in UNSUPPORTED else ENOPROTOOPT)


def _sized(option: int, value: bytes, size: int) -> bytes:
    if option == linux.SO_BINDTODEVICE and value and size < 16:
        raise failure(EINVAL)
    return value[:size]


def _number(level: int, number: int, size: int) -> bytes:
    """Four bytes, fewer if the caller has less room; at SOL_IP a small number then comes as a single byte."""
    if level == SOL_IP and 0 < size < 4 and 0 <= number <= 255:
        return bytes((number,))
    return struct.pack("=i", number if number < 2**31 else number - 2**32)[:size]


def _option(field: str) -> Getter:
    return lambda endpoint: int(getattr(endpoint.options, field))


def _constant(number: int) -> Getter:
    return lambda _endpoint: number


def _timeout(field: str) -> Getter:
    def getter(endpoint: Endpoint) -> bytes:
        return struct.pack(linux.TIMEVAL_NEW_LAYOUT, *divmod(getattr(endpoint.options, field), 1_000_000))

    return getter


def _timestamp(option: int) -> Getter:
    return lambda endpoint: int(endpoint.options.timestamp_option == option)


def _timestamping(option: int) -> Getter:
    def getter(endpoint: Endpoint) -> bytes:
        options = endpoint.options
        # Flags, and the index of a hardware clock: there is none.
        return struct.pack("=Ii", options.timestamping if options.timestamping_option == option else 0, 0)

    return getter


def _bound_device(endpoint: Endpoint) -> bytes:
    index = endpoint.options.bound_interface
    return endpoint.stack.network.interface_name(index).encode("latin-1") + b"\0" if index else b""


def _path_mtu(endpoint: Endpoint) -> int:
    if endpoint.peer is None:
        raise failure(ENOTCONN)
    return endpoint.path_mtu()


def _ttl(endpoint: Endpoint) -> int:
    ttl = endpoint.options.ttl
    return endpoint.stack.network.sysctl("ipv4.ip_default_ttl") if ttl == -1 else ttl


def _network_order(field: str) -> Getter:
    """IP_UNICAST_IF is set, and read, as a number in network byte order."""
    return lambda endpoint: int.from_bytes(struct.pack("=I", getattr(endpoint.options, field)), "big")


def _memory_information(endpoint: Endpoint) -> bytes:
    options = endpoint.options
    words = [0] * (linux.SK_MEMINFO_DROPS + 1)
    words[linux.SK_MEMINFO_RMEM_ALLOC] = endpoint.charged
    words[linux.SK_MEMINFO_RCVBUF] = options.receive_buffer
    words[linux.SK_MEMINFO_SNDBUF] = options.send_buffer
    words[linux.SK_MEMINFO_DROPS] = endpoint.drops
    return struct.pack(f"={len(words)}I", *words)


def _extension_header(option: int) -> Getter:
    return lambda endpoint: endpoint.options.extension_headers.get(option, b"")


GETTERS: dict[tuple[int, int], Getter] = {
    (SOL_SOCKET, linux.SO_TYPE): _constant(linux.SOCK_DGRAM),
    (SOL_SOCKET, linux.SO_DOMAIN): lambda endpoint: endpoint.family,
    (SOL_SOCKET, linux.SO_PROTOCOL): lambda endpoint: PROTOCOLS[endpoint.family],
    (SOL_SOCKET, linux.SO_ACCEPTCONN): _constant(0),
    (SOL_SOCKET, linux.SO_ERROR): lambda endpoint: endpoint.take_pending_error(),
    (SOL_SOCKET, linux.SO_DEBUG): _option("debug"),
    (SOL_SOCKET, linux.SO_BSDCOMPAT): _constant(0),
    (SOL_SOCKET, linux.SO_ZEROCOPY): _constant(0),
    (SOL_SOCKET, linux.SO_RESERVE_MEM): _constant(0),
    (SOL_SOCKET, linux.SO_RCVBUF): _option("receive_buffer"),
    (SOL_SOCKET, linux.SO_SNDBUF): _option("send_buffer"),
    (SOL_SOCKET, linux.SO_PRIORITY): _option("priority"),
    (SOL_SOCKET, linux.SO_MARK): _option("mark"),
    (SOL_SOCKET, linux.SO_RCVLOWAT): _option("receive_low_water"),
    (SOL_SOCKET, linux.SO_SNDLOWAT): _constant(1),
    (SOL_SOCKET, linux.SO_RCVTIMEO): _timeout("receive_timeout_us"),
    (SOL_SOCKET, linux.SO_SNDTIMEO): _timeout("send_timeout_us"),
    (SOL_SOCKET, linux.SO_RCVTIMEO_NEW): _timeout("receive_timeout_us"),
    (SOL_SOCKET, linux.SO_SNDTIMEO_NEW): _timeout("send_timeout_us"),
    (SOL_SOCKET, linux.SO_TIMESTAMP): _timestamp(linux.SO_TIMESTAMP),
    (SOL_SOCKET, linux.SO_TIMESTAMPNS): _timestamp(linux.SO_TIMESTAMPNS),
    (SOL_SOCKET, linux.SO_TIMESTAMP_NEW): _timestamp(linux.SO_TIMESTAMP_NEW),
    (SOL_SOCKET, linux.SO_TIMESTAMPNS_NEW): _timestamp(linux.SO_TIMESTAMPNS_NEW),
    (SOL_SOCKET, linux.SO_TIMESTAMPING): _timestamping(linux.SO_TIMESTAMPING),
    (SOL_SOCKET, linux.SO_TIMESTAMPING_NEW): _timestamping(linux.SO_TIMESTAMPING_NEW),
    (SOL_SOCKET, linux.SO_BINDTODEVICE): _bound_device,
    (SOL_SOCKET, linux.SO_BINDTOIFINDEX): _option("bound_interface"),
    (SOL_SOCKET, linux.SO_MEMINFO): _memory_information,
    (SOL_IP, linux.IP_TTL): _ttl,
    (SOL_IP, linux.IP_TOS): _option("tos"),
    (SOL_IP, linux.IP_HDRINCL): _constant(0),
    (SOL_IP, linux.IP_ROUTER_ALERT): _constant(0),
    (SOL_IP, linux.IP_NODEFRAG): _constant(0),
    (SOL_IP, linux.IP_OPTIONS): lambda endpoint: endpoint.options.ip_options,
    (SOL_IP, linux.IP_RECVERR): _option("receive_errors"),
    (SOL_IP, linux.IP_TRANSPARENT): _option("transparent"),
    (SOL_IP, linux.IP_MTU): _path_mtu,
    (SOL_IP, linux.IP_PROTOCOL): lambda endpoint: endpoint.ident,
    (SOL_IP, linux.IP_MULTICAST_IF): lambda endpoint: endpoint.options.multicast_source,
    (SOL_IP, linux.IP_UNICAST_IF): _network_order("unicast_interface"),
    (SOL_IPV6, linux.IPV6_RECVERR): _option("receive_errors6"),
    (SOL_IPV6, linux.IPV6_V6ONLY): _option("v6_only"),
    (SOL_IPV6, linux.IPV6_TRANSPARENT): _option("transparent6"),
    (SOL_IPV6, linux.IPV6_MTU): _path_mtu,
    (SOL_IPV6, linux.IPV6_MULTICAST_IF): _option("multicast_interface6"),
    (SOL_IPV6, linux.IPV6_UNICAST_IF): _network_order("unicast_interface6"),
    (SOL_IPV6, linux.IPV6_HOPOPTS): _extension_header(linux.IPV6_HOPOPTS),
    (SOL_IPV6, linux.IPV6_DSTOPTS): _extension_header(linux.IPV6_DSTOPTS),
    (SOL_IPV6, linux.IPV6_RTHDRDSTOPTS): _extension_header(linux.IPV6_RTHDRDSTOPTS),
    (SOL_IPV6, linux.IPV6_RTHDR): _extension_header(linux.IPV6_RTHDR),
}
