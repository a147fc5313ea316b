"""setsockopt(2) at SOL_SOCKET: the options that do more than keep a number, one function each."""

from __future__ import annotations

import struct
from errno import EACCES, EDOM, EINVAL, ENOENT, EOPNOTSUPP, EPERM

from pingsock.stack.bpf import SocketFilter
from pingsock.stack.failure import failure
from pingsock.stack.options import INT_MAX, MINIMUM_RECEIVE_BUFFER, MINIMUM_SEND_BUFFER
from pingsock.stack.sockopt_value import integer
from pingsock.wire import linux
from pingsock.wire.linux import SOL_SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.stack.endpoint import Endpoint
    from pingsock.stack.sockopt_value import Setter

INTERFACE_NAME_SIZE = 16
EVERYBODYS_PRIORITY = range(7)
TIMESTAMPING_FLAGS = (1 << 19) - 1
TICK = 4000
"""Microseconds; a kernel with 250 ticks a second rounds timeouts up to whole ones."""
LONGEST_TIMEOUT = (2**63 - 1) * TICK // 1_000_000 - 1
"""Seconds; from here on a timeout means "for ever"."""


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


def _reserve_memory(_endpoint: Endpoint, value: bytes) -> None:
    # Reserved from the account of a cgroup, which these sockets are not in.
    raise failure(EINVAL if integer(SOL_SOCKET, value) < 0 else EOPNOTSUPP)


def _attach_filter(endpoint: Endpoint, value: bytes) -> None:
    endpoint.options.filter = SocketFilter(value, endpoint.stack.random)


def _detach_filter(endpoint: Endpoint, _value: bytes) -> None:
    if endpoint.options.filter is None:
        raise failure(ENOENT)
    endpoint.options.filter = None


SOCKET_SETTERS: dict[int, Setter] = {
    linux.SO_REUSEADDR: _set_reuse_address,
    linux.SO_DEBUG: _set_debug,
    linux.SO_BSDCOMPAT: _ignore,
    linux.SO_RCVLOWAT: _set_receive_low_water,
    linux.SO_RCVBUF: _buffer_setter("receive_buffer", "core.rmem_max", MINIMUM_RECEIVE_BUFFER, False),
    linux.SO_SNDBUF: _buffer_setter("send_buffer", "core.wmem_max", MINIMUM_SEND_BUFFER, False),
    linux.SO_RCVBUFFORCE: _buffer_setter("receive_buffer", "core.rmem_max", MINIMUM_RECEIVE_BUFFER, True),
    linux.SO_SNDBUFFORCE: _buffer_setter("send_buffer", "core.wmem_max", MINIMUM_SEND_BUFFER, True),
    linux.SO_PRIORITY: _set_priority,
    linux.SO_MARK: _set_mark,
    linux.SO_RCVTIMEO: _timeout_setter("receive_timeout_us"),
    linux.SO_SNDTIMEO: _timeout_setter("send_timeout_us"),
    linux.SO_RCVTIMEO_NEW: _timeout_setter("receive_timeout_us"),
    linux.SO_SNDTIMEO_NEW: _timeout_setter("send_timeout_us"),
    linux.SO_TIMESTAMP: _timestamp_setter(linux.SO_TIMESTAMP),
    linux.SO_TIMESTAMPNS: _timestamp_setter(linux.SO_TIMESTAMPNS),
    linux.SO_TIMESTAMP_NEW: _timestamp_setter(linux.SO_TIMESTAMP_NEW),
    linux.SO_TIMESTAMPNS_NEW: _timestamp_setter(linux.SO_TIMESTAMPNS_NEW),
    linux.SO_TIMESTAMPING: _timestamping_setter(linux.SO_TIMESTAMPING),
    linux.SO_TIMESTAMPING_NEW: _timestamping_setter(linux.SO_TIMESTAMPING_NEW),
    linux.SO_BINDTODEVICE: _set_bound_device,
    linux.SO_BINDTOIFINDEX: _set_bound_index,
    linux.SO_RESERVE_MEM: _reserve_memory,
    linux.SO_ATTACH_FILTER: _attach_filter,
    linux.SO_DETACH_FILTER: _detach_filter,
}
