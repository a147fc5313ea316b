"""Ancillary data given with a message to be sent: what it may say, and how it overrides the socket's options."""

from __future__ import annotations

import struct
from errno import EINVAL, EPERM

from pingsock.stack.failure import failure
from pingsock.stack.sockaddr import is_multicast, needs_scope
from pingsock.stack.sockopt_set_ip import CLASS_PRIORITY, checked_ip_options
from pingsock.stack.sockopt_set_socket import EVERYBODYS_PRIORITY
from pingsock.wire import linux
from pingsock.wire.linux import AF_INET6, SOL_IP, SOL_SOCKET
from pingsock.wire.transit import LOCAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pingsock.stack.endpoint import Endpoint

    Item = tuple[int, int, bytes]
    Reader = Callable[["Endpoint", "SendSettings", bytes], None]

TRANSMIT_STAMPS = (
    linux.SOF_TIMESTAMPING_TX_HARDWARE
    | linux.SOF_TIMESTAMPING_TX_SOFTWARE
    | linux.SOF_TIMESTAMPING_TX_SCHED
    | linux.SOF_TIMESTAMPING_TX_ACK
    | linux.SOF_TIMESTAMPING_TX_COMPLETION
)
FLOW_INFORMATION = 0x0FFFFFFF
SCM_DEVMEM_DMABUF = 79
"""asm-generic/socket.h: memory of a device to send from, which only TCP does."""
MAXIMUM_IP_OPTIONS = 40


class SendSettings:
    """How one message is to be sent: the socket's options, overridden by ancillary data."""

    def __init__(self, endpoint: Endpoint) -> None:
        options = endpoint.options
        self.interface = options.bound_interface
        self.mark = options.mark
        self.priority = options.priority
        self.stamp_flags = options.timestamping & TRANSMIT_STAMPS
        self.stamp_number: int | None = None
        """The caller's own number for the transmit stamp (SCM_TS_OPT_ID)."""
        self.source = endpoint.source
        self.ttl = 0
        """0: as the socket's option, by kind of destination."""
        self.tos = options.tos
        self.ip_options = options.ip_options
        self.hop_limit = -1
        """-1: as the socket's option."""
        self.traffic_class = max(options.traffic_class, 0)
        self.flow_information = 0
        self.dont_fragment6 = options.dont_fragment6


def _number(value: bytes, low: int, high: int) -> int:
    if len(value) != 4:
        raise failure(EINVAL)
    number = int(struct.unpack("=i", value)[0])
    if not low <= number <= high:
        raise failure(EINVAL)
    return number


def _mark(endpoint: Endpoint, settings: SendSettings, value: bytes) -> None:
    if not endpoint.credentials.capable:
        raise failure(EPERM)
    settings.mark = _number(value, -(2**31), 2**31 - 1) & 0xFFFFFFFF


def _priority(endpoint: Endpoint, settings: SendSettings, value: bytes) -> None:
    priority = _number(value, -(2**31), 2**31 - 1)
    if priority not in EVERYBODYS_PRIORITY and not endpoint.credentials.capable:
        raise failure(EPERM)
    settings.priority = priority


def _timestamping(_endpoint: Endpoint, settings: SendSettings, value: bytes) -> None:
    flags = _number(value, -(2**31), 2**31 - 1)
    if flags & ~TRANSMIT_STAMPS:
        raise failure(EINVAL)
    settings.stamp_flags = flags


def _stamp_number(endpoint: Endpoint, settings: SendSettings, value: bytes) -> None:
    if not endpoint.options.timestamping & linux.SOF_TIMESTAMPING_OPT_ID:
        raise failure(EINVAL)
    settings.stamp_number = _number(value, -(2**31), 2**31 - 1) & 0xFFFFFFFF


def _ignored(_endpoint: Endpoint, _settings: SendSettings, _value: bytes) -> None:
    """Passing descriptors or credentials means nothing here, and is allowed."""


def _ttl(_endpoint: Endpoint, settings: SendSettings, value: bytes) -> None:
    settings.ttl = _number(value, 1, 255)


def _tos(_endpoint: Endpoint, settings: SendSettings, value: bytes) -> None:
    settings.tos = value[0] if len(value) == 1 else _number(value, 0, 255)
    settings.priority = CLASS_PRIORITY[settings.tos >> 1 & 15]


def _packet_information(_endpoint: Endpoint, settings: SendSettings, value: bytes) -> None:
    if len(value) != struct.calcsize(linux.IN_PKTINFO_LAYOUT):
        raise failure(EINVAL)
    interface, source, _destination = struct.unpack(linux.IN_PKTINFO_LAYOUT, value)
    settings.interface = interface or settings.interface
    settings.source = source


def _reply_options(endpoint: Endpoint, settings: SendSettings, value: bytes) -> None:
    settings.ip_options = checked_ip_options(endpoint, value[:MAXIMUM_IP_OPTIONS])


def _protocol(_endpoint: Endpoint, _settings: SendSettings, value: bytes) -> None:
    _number(value, 1, 255)


def _hop_limit6(_endpoint: Endpoint, settings: SendSettings, value: bytes) -> None:
    settings.hop_limit = _number(value, -1, 255)


def _traffic_class6(_endpoint: Endpoint, settings: SendSettings, value: bytes) -> None:
    # As an option -1 means the default, 0; here it goes out as it is.
    settings.traffic_class = _number(value, -1, 255) & 0xFF


def _dont_fragment6(_endpoint: Endpoint, settings: SendSettings, value: bytes) -> None:
    settings.dont_fragment6 = _number(value, 0, 1)


def _check_source6(endpoint: Endpoint, source: bytes, interface: int) -> None:
    """The source must be an address of this host, EINVAL, though it is then not used; ENODEV for a bad interface."""
    if interface:
        endpoint.stack.network.interface_name(interface)
    elif needs_scope(source):
        raise failure(EINVAL)
    if source == bytes(16) or endpoint.may_use_foreign_source6():
        return
    scope = interface if needs_scope(source) else 0
    if is_multicast(source) or endpoint.stack.network.address_kind(AF_INET6, source, scope) != LOCAL:
        raise failure(EINVAL)


def _packet_information6(endpoint: Endpoint, settings: SendSettings, value: bytes) -> None:
    if len(value) < struct.calcsize(linux.IN6_PKTINFO_LAYOUT):
        raise failure(EINVAL)
    source, interface = struct.unpack_from(linux.IN6_PKTINFO_LAYOUT, value)
    if interface:
        if settings.interface not in (0, interface):
            raise failure(EINVAL)
        settings.interface = interface
    _check_source6(endpoint, source, settings.interface)


def _flow_information6(_endpoint: Endpoint, settings: SendSettings, value: bytes) -> None:
    if len(value) < 4:
        raise failure(EINVAL)
    flow = int.from_bytes(value[:4], "big")
    present = settings.flow_information & FLOW_INFORMATION
    if present and (present ^ flow) & ~FLOW_INFORMATION:
        raise failure(EINVAL)
    settings.flow_information = flow & FLOW_INFORMATION


def _options_header6(endpoint: Endpoint, _settings: SendSettings, value: bytes) -> None:
    """Checked as if it were to be sent; ping sockets never send one."""
    if len(value) < 2 or len(value) < (value[1] + 1) * 8:
        raise failure(EINVAL)
    if not endpoint.credentials.capable:
        raise failure(EPERM)


def _routing_header6(_endpoint: Endpoint, _settings: SendSettings, _value: bytes) -> None:
    """Of the types that go with a message Linux knows that of Mobile IPv6 only, and only if it is built with that."""
    raise failure(EINVAL)


def _four_bytes(_endpoint: Endpoint, _settings: SendSettings, value: bytes) -> None:
    """A number that means nothing here, and is allowed."""
    _number(value, -(2**31), 2**31 - 1)


SOCKET_READERS: dict[int, Reader] = {
    linux.SO_MARK: _mark,
    linux.SO_PRIORITY: _priority,
    linux.SO_TIMESTAMPING: _timestamping,
    linux.SO_TIMESTAMPING_NEW: _timestamping,
    linux.SCM_TS_OPT_ID: _stamp_number,
    SCM_DEVMEM_DMABUF: _four_bytes,
    linux.SCM_RIGHTS: _ignored,
    linux.SCM_CREDENTIALS: _ignored,
}
IP_READERS: dict[int, Reader] = {
    linux.IP_TTL: _ttl,
    linux.IP_TOS: _tos,
    linux.IP_PKTINFO: _packet_information,
    linux.IP_RETOPTS: _reply_options,
    linux.IP_PROTOCOL: _protocol,
}
IPV6_READERS: dict[int, Reader] = {
    linux.IPV6_HOPLIMIT: _hop_limit6,
    linux.IPV6_2292HOPLIMIT: _hop_limit6,
    linux.IPV6_TCLASS: _traffic_class6,
    linux.IPV6_DONTFRAG: _dont_fragment6,
    linux.IPV6_PKTINFO: _packet_information6,
    linux.IPV6_2292PKTINFO: _packet_information6,
    linux.IPV6_FLOWINFO: _flow_information6,
    linux.IPV6_HOPOPTS: _options_header6,
    linux.IPV6_2292HOPOPTS: _options_header6,
    linux.IPV6_DSTOPTS: _options_header6,
    linux.IPV6_2292DSTOPTS: _options_header6,
    linux.IPV6_RTHDRDSTOPTS: _options_header6,
    linux.IPV6_RTHDR: _routing_header6,
    linux.IPV6_2292RTHDR: _routing_header6,
}


def apply(endpoint: Endpoint, settings: SendSettings, items: Iterable[Item], level: int) -> None:
    """Let ancillary data change `settings`.

    EINVAL for an unknown item at SOL_SOCKET or at `level`, the family's own (SOL_IP or SOL_IPV6); items of other
    levels are ignored.
    """
    own = IP_READERS if level == SOL_IP else IPV6_READERS
    readers = {SOL_SOCKET: SOCKET_READERS, level: own}
    for item_level, kind, value in items:
        if item_level not in readers:
            continue
        reader = readers[item_level].get(kind)
        if reader is None:
            raise failure(EINVAL)
        reader(endpoint, settings, value)
