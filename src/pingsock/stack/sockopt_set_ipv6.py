"""setsockopt(2) at SOL_IPV6: the options that do more than keep a number, one function each."""

from __future__ import annotations

import struct
from errno import EINVAL, ENODEV, EPERM

from pingsock.stack.extension_headers import options_header_setter, set_routing_header
from pingsock.stack.failure import failure
from pingsock.stack.memberships import join6, leave6
from pingsock.stack.routing import existing_interface
from pingsock.stack.sockopt_set_ip import unicast_interface_setter
from pingsock.stack.sockopt_value import integer
from pingsock.wire import linux
from pingsock.wire.linux import SOL_IPV6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.stack.endpoint import Endpoint
    from pingsock.stack.sockopt_value import Setter


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


IPV6_SETTERS: dict[int, Setter] = {
    linux.IPV6_RECVERR: _set_receive_errors6,
    linux.IPV6_V6ONLY: _set_v6_only,
    linux.IPV6_TRANSPARENT: _set_transparent6,
    linux.IPV6_MULTICAST_IF: _set_multicast_interface6,
    linux.IPV6_UNICAST_IF: unicast_interface_setter("unicast_interface6"),
    linux.IPV6_PKTINFO: _set_sticky_packet_information,
    linux.IPV6_ADD_MEMBERSHIP: join6,
    linux.IPV6_DROP_MEMBERSHIP: leave6,
    linux.IPV6_HOPOPTS: options_header_setter(linux.IPV6_HOPOPTS),
    linux.IPV6_DSTOPTS: options_header_setter(linux.IPV6_DSTOPTS),
    linux.IPV6_RTHDRDSTOPTS: options_header_setter(linux.IPV6_RTHDRDSTOPTS),
    linux.IPV6_RTHDR: set_routing_header,
}
