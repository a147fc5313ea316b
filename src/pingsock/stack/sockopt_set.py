"""setsockopt(2) of a ping socket: what each option accepts, and what setting it does.

Plain numbers are rows of `options.INTEGER_OPTIONS`; the options that do more than keep a number are functions, in one
table a level. Every failure is an OSError with the kernel's errno.
"""

from __future__ import annotations

from errno import EINVAL, ENOPROTOOPT, EOPNOTSUPP

from pingsock.stack.failure import failure
from pingsock.stack.options import (
    INERT_OPTIONS,
    INTEGER_OPTIONS,
    NOT_EMPTY,
    RECEIVE_OPTIONS,
    SHORT_IS_ZERO,
    UNSUPPORTED,
)
from pingsock.stack.sockopt_set_ip import IP_SETTERS
from pingsock.stack.sockopt_set_ipv6 import IPV6_SETTERS
from pingsock.stack.sockopt_set_socket import SOCKET_SETTERS
from pingsock.stack.sockopt_value import integer
from pingsock.wire import linux
from pingsock.wire.linux import AF_INET6, SOL_IP, SOL_IPV6, SOL_SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.stack.endpoint import Endpoint
    from pingsock.stack.sockopt_value import Setter

SETTERS: dict[int, dict[int, Setter]] = {SOL_SOCKET: SOCKET_SETTERS, SOL_IP: IP_SETTERS, SOL_IPV6: IPV6_SETTERS}
SOCKET_LEVEL_REFUSALS = {
    linux.SO_TYPE: ENOPROTOOPT,
    linux.SO_PROTOCOL: ENOPROTOOPT,
    linux.SO_DOMAIN: ENOPROTOOPT,
    linux.SO_ERROR: ENOPROTOOPT,
    linux.SO_ZEROCOPY: EOPNOTSUPP,
    linux.SO_DETACH_REUSEPORT_BPF: EINVAL,
    **dict.fromkeys(UNSUPPORTED, EOPNOTSUPP),
}


def set_option(endpoint: Endpoint, level: int, option: int, value: bytes) -> None:
    """Set one option from the bytes the caller passed."""
    if level == SOL_IPV6 and endpoint.family != AF_INET6:
        raise failure(ENOPROTOOPT)
    if level == SOL_SOCKET and option != linux.SO_BINDTODEVICE and len(value) < 4:
        raise failure(EINVAL)
    setter = SETTERS.get(level, {}).get(option)
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
