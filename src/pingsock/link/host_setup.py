"""What a host in user space is: its interfaces, addresses, routes and settings, and how they are changed."""

from __future__ import annotations

import errno

from pingsock.link import prefixes
from pingsock.link.host_sysctls import HostSysctls
from pingsock.link.interfaces import Interfaces
from pingsock.link.path_mtu import PathMtuCache
from pingsock.link.prefixes import os_error, parse_address, parse_prefix
from pingsock.link.routing import ROUTE_ERRNO, Query, RouteEntry, Router

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pingsock.link.cable import Cable
    from pingsock.link.interfaces import Interface

SMALLEST_MTU = 68


class HostSetup:
    """The state of one host, with the commands of an administrator. `receive` gets what cables bring by themselves."""

    def __init__(self, monotonic: Callable[[], float], receive: Callable[[Interface, bytes], None]) -> None:
        self._receive = receive
        self._interfaces = Interfaces()
        self._sysctls = HostSysctls()
        self._path_mtus = PathMtuCache(monotonic)
        self._router = Router(self._interfaces, self._path_mtus)

    def add_interface(self, name: str, cable: Cable, addresses: Iterable[str] = (), mtu: int = 1500) -> int:
        """Plug a cable in; the new interface's index. Addresses are texts like "10.9.0.1/24".

        OSError EEXIST: the name is taken; EINVAL: the MTU is not 68..65535. ValueError: a bad address.
        """
        _check_mtu(mtu)
        for address in (addresses := list(addresses)):
            parse_prefix(address)
        interface = self._interfaces.add(name, cable, mtu)
        self._sysctls.add_interface(name)
        for address in addresses:
            self.add_address(interface.index, address)
        if hasattr(cable, "on_packet"):
            cable.on_packet = lambda packet: self._receive(interface, packet)
        return interface.index

    def remove_interface(self, interface: int | str) -> None:
        """Pull a cable out and close it; its addresses and routes go too. ENODEV."""
        removed = self._interfaces.remove(self._interface(interface).index)
        self._router.table.remove(lambda entry: entry.interface == removed.index)
        self._sysctls.remove_interface(removed.name)
        if removed.cable is not None:
            removed.cable.close()

    def add_address(self, interface: int | str, prefix: str) -> None:
        """Give an interface an address; its subnet is then reached through it. ENODEV, EEXIST, ValueError."""
        index = self._interface(interface).index
        self._router.add_connected(self._interfaces.add_address(index, prefix), index)

    def remove_address(self, interface: int | str, prefix: str) -> None:
        """Take an address away, with the route to its subnet if no other there needs it. EADDRNOTAVAIL, ENODEV."""
        owner = self._interface(interface)
        entry = self._interfaces.remove_address(owner.index, prefix)
        if not any(other.covers(entry.address) and other.length == entry.length for other in owner.addresses):
            connected = RouteEntry(entry.family, entry.address, entry.length, owner.index)
            self._router.table.remove(lambda known: known == connected)

    def set_mtu(self, interface: int | str, mtu: int) -> None:
        """Change an interface's MTU, bytes of IP packet; counts at once. ENODEV, EINVAL."""
        _check_mtu(mtu)
        self._interface(interface).mtu = mtu

    def add_route(
        self,
        prefix: str,
        via: str | None = None,
        interface: int | str = 0,
        *,
        source: str | None = None,
        kind: str = "unicast",
        mark: int = 0,
    ) -> None:
        """Add a route to a prefix such as "192.0.2.0/24" or "default".

        `via` is a router, without which the prefix is on-link; `interface` follows from it if it is not given. `kind`
        is a key of `routing.ROUTE_ERRNO`. `source` is the source address to prefer. With a `mark` the route is for
        packets with that mark only. ENETUNREACH: the router is not on-link; ENODEV, ValueError.
        """
        family, network, length = parse_prefix(_explicit(prefix, via or source))
        if kind not in ROUTE_ERRNO:
            raise ValueError(f"a route is one of {', '.join(ROUTE_ERRNO)}, not {kind!r}")
        router = parse_address(via) if via else b""
        index = 0
        if kind == "unicast":
            index = self._interface(interface).index if interface else self._interface_towards(family, router)
        preferred = parse_address(source) if source else b""
        self._router.table.add(RouteEntry(family, network, length, index, router, preferred, kind, mark))

    def remove_route(self, prefix: str, via: str | None = None) -> None:
        """Remove all routes to exactly this prefix, or those by one router; ESRCH if there are none."""
        family, network, length = parse_prefix(_explicit(prefix, via))
        router = parse_address(via) if via else b""

        def unwanted(entry: RouteEntry) -> bool:
            same = entry.family == family and entry.length == length
            return (
                same and entry.via in (router or entry.via,) and prefixes.common_bits(entry.network, network) >= length
            )

        if not self._router.table.remove(unwanted):
            raise os_error(errno.ESRCH)

    def set_sysctl(self, name: str, value: int | str) -> None:
        """Change a setting; KeyError if there is none of that name, OSError EINVAL if the value is no number."""
        self._sysctls[name] = value

    def _interface(self, interface: int | str) -> Interface:
        return self._interfaces.named(interface) if isinstance(interface, str) else self._interfaces[interface]

    def _interface_towards(self, family: int, router: bytes) -> int:
        if not router:
            raise os_error(errno.ENODEV)
        return self._router.hop(Query(family, router, dont_route=True)).interface


def _check_mtu(mtu: int) -> None:
    if not SMALLEST_MTU <= mtu <= 0xFFFF:
        raise OSError(errno.EINVAL, f"an MTU is {SMALLEST_MTU} to 65535 bytes, not {mtu}")


def _explicit(prefix: str, hint: str | None) -> str:
    """The prefix that "default" stands for; of IPv6 if the hint is such an address."""
    if prefix != "default":
        return prefix
    return "::/0" if ":" in (hint or "") else "0.0.0.0/0"
