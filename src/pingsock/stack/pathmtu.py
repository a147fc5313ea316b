"""IP_MTU_DISCOVER: what each mode does with a packet that is larger than a link (ip(7), reference section 4.4)."""

from __future__ import annotations

from pingsock.wire import linux
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.wire.transit import Route

NEVER, IF_IT_FITS, ALWAYS = range(3)


class DiscoveryMode(Value):
    """One value of IP_MTU_DISCOVER."""

    believes_path: bool
    """Keeps to the learned path MTU; else only to the MTU of the device."""
    fragments: bool
    """Packets that are too large are fragmented here; else they are refused with EMSGSIZE."""
    dont_fragment: int
    """When the IPv4 DF bit is set: NEVER, IF_IT_FITS or ALWAYS."""


MODES = {
    linux.IP_PMTUDISC_DONT: DiscoveryMode(True, True, NEVER),
    linux.IP_PMTUDISC_WANT: DiscoveryMode(True, True, IF_IT_FITS),
    linux.IP_PMTUDISC_DO: DiscoveryMode(True, False, ALWAYS),
    linux.IP_PMTUDISC_PROBE: DiscoveryMode(False, False, ALWAYS),
    linux.IP_PMTUDISC_INTERFACE: DiscoveryMode(False, False, NEVER),
    linux.IP_PMTUDISC_OMIT: DiscoveryMode(False, True, NEVER),
}
"""By value; the numbers of IPV6_MTU_DISCOVER are the same."""


def mtu_for(mode: DiscoveryMode, route: Route) -> int:
    """The packet size this mode keeps to on a route."""
    return route.path_mtu if mode.believes_path else route.mtu


def sets_dont_fragment(mode: DiscoveryMode, length: int, route: Route) -> bool:
    """Whether an IPv4 packet of `length` bytes goes out with DF."""
    if mode.dont_fragment == IF_IT_FITS:
        return length <= route.path_mtu and not route.path_mtu_locked
    return mode.dont_fragment == ALWAYS
