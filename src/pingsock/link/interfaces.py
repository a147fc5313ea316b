"""The interfaces of a host in user space: their addresses, groups, and what kind of address an address is to them."""

from __future__ import annotations

import errno

from pingsock.link import prefixes
from pingsock.link.prefixes import no_device, os_error
from pingsock.wire.linux import AF_INET, AF_INET6
from pingsock.wire.transit import BROADCAST, LOCAL, MULTICAST, UNICAST
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pingsock.link.cable import Cable

LOOPBACK = 1
"""Index of `lo`."""
LOOPBACK_MTU = 65536


class InterfaceAddress(Value):
    """An address with the prefix that is reached on-link through it."""

    family: int
    address: bytes
    length: int

    @property
    def broadcast(self) -> bytes:
        """The subnet's broadcast address; b"" for IPv6 and for /31 and /32, which have none."""
        if self.family == AF_INET6 or self.length > 30:
            return b""
        return (int.from_bytes(self.address, "big") | (1 << 32 - self.length) - 1).to_bytes(4, "big")

    def covers(self, address: bytes) -> bool:
        """Whether an address is within the prefix."""
        return len(address) == len(self.address) and prefixes.common_bits(address, self.address) >= self.length


class Interface:
    """One network interface; `cable` is None for the loopback alone."""

    def __init__(self, index: int, name: str, mtu: int, cable: Cable | None) -> None:
        self.index = index
        self.name = name
        self.mtu = mtu
        self.cable = cable
        self.addresses: list[InterfaceAddress] = []
        self.groups: dict[bytes, int] = {}
        """Multicast groups joined, with how often."""

    def first_address(self, family: int) -> bytes:
        """The oldest address of a family; b"" if there is none."""
        return next((entry.address for entry in self.addresses if entry.family == family), b"")

    def has_joined(self, group: bytes) -> bool:
        """Do packets to this group arrive? Those every host of IP must belong to are always joined."""
        if group in self.groups:
            return True
        if len(group) == 4:
            return group == prefixes.ALL_HOSTS4
        if group in (prefixes.ALL_NODES6, prefixes.INTERFACE_LOCAL_ALL_NODES6):
            return True
        return any(
            entry.family == AF_INET6 and prefixes.solicited_node_group(entry.address) == group
            for entry in self.addresses
        )


class Interfaces:
    """All interfaces of a host, `lo` among them from the start. OSError carries the kernel's errno."""

    def __init__(self) -> None:
        self._by_index: dict[int, Interface] = {}
        self._owners: dict[bytes, list[int]] = {}
        self._broadcasts: dict[bytes, list[int]] = {}
        self.add("lo", None, LOOPBACK_MTU)
        self.add_address(LOOPBACK, "127.0.0.1/8")
        self.add_address(LOOPBACK, "::1/128")

    def __iter__(self) -> Iterator[Interface]:
        return iter(self._by_index.values())

    def __contains__(self, index: int) -> bool:
        return index in self._by_index

    def __getitem__(self, index: int) -> Interface:
        """ENODEV."""
        try:
            return self._by_index[index]
        except KeyError:
            raise no_device() from None

    def named(self, name: str) -> Interface:
        """ENODEV."""
        for interface in self:
            if interface.name == name:
                return interface
        raise no_device()

    def add(self, name: str, cable: Cable | None, mtu: int) -> Interface:
        """A new interface with the next index; EEXIST if the name is taken."""
        if any(interface.name == name for interface in self):
            raise OSError(errno.EEXIST, f"there is an interface {name} already")
        interface = Interface(max(self._by_index, default=0) + 1, name, mtu, cable)
        self._by_index[interface.index] = interface
        return interface

    def remove(self, index: int) -> Interface:
        """Take an interface and its addresses away; ENODEV."""
        interface = self[index]
        interface.addresses.clear()
        del self._by_index[index]
        self._index_addresses()
        return interface

    def add_address(self, index: int, prefix: str) -> InterfaceAddress:
        """Give an interface an address such as "10.9.0.1/24"; ValueError, ENODEV, EEXIST."""
        entry = InterfaceAddress(*prefixes.parse_prefix(prefix))
        if any(known.address == entry.address for known in self[index].addresses):
            raise OSError(errno.EEXIST, f"{self[index].name} has the address {prefix} already")
        self[index].addresses.append(entry)
        self._index_addresses()
        return entry

    def remove_address(self, index: int, prefix: str) -> InterfaceAddress:
        """Undo `add_address`; EADDRNOTAVAIL if the interface has no such address."""
        entry = InterfaceAddress(*prefixes.parse_prefix(prefix))
        if entry not in self[index].addresses:
            raise os_error(errno.EADDRNOTAVAIL)
        self[index].addresses.remove(entry)
        self._index_addresses()
        return entry

    def _index_addresses(self) -> None:
        self._owners.clear()
        self._broadcasts.clear()
        for interface in self:
            for entry in interface.addresses:
                self._owners.setdefault(entry.address, []).append(interface.index)
                if entry.broadcast:
                    self._broadcasts.setdefault(entry.broadcast, []).append(interface.index)

    def owners(self, address: bytes) -> list[int]:
        """Indexes of the interfaces that have an address; `lo` has all of 127.0.0.0/8."""
        owners = self._owners.get(address, [])
        if not owners and self._is_in_loopback_prefix(address):
            return [LOOPBACK]
        return owners

    def _is_in_loopback_prefix(self, address: bytes) -> bool:
        return len(address) == 4 and address[0] == 127 and address not in self._broadcasts

    def all_addresses(self, family: int) -> list[bytes]:
        """Every address of a family, those of `lo` first."""
        return [entry.address for interface in self for entry in interface.addresses if entry.family == family]

    def broadcasts_on(self, address: bytes) -> list[int]:
        """Indexes of the interfaces with a subnet whose broadcast address this is."""
        return self._broadcasts.get(address, [])

    def kind(self, address: bytes, interface: int = 0) -> int:
        """LOCAL, BROADCAST, MULTICAST or UNICAST.

        A subnet's address with all host bits zero is UNICAST, as in Linux since 5.14. With an interface, an IPv6
        link-local address is LOCAL only where it belongs.
        """
        if prefixes.is_multicast(address):
            return MULTICAST
        if interface and prefixes.is_link_local(address):
            return LOCAL if interface in self.owners(address) else UNICAST
        if self.owners(address):
            return LOCAL
        if address in (prefixes.ANY4, prefixes.LIMITED_BROADCAST) or address in self._broadcasts:
            return BROADCAST
        return UNICAST

    def but_loopback(self) -> list[Interface]:
        """All others, oldest first."""
        return [interface for interface in self if interface.index != LOOPBACK]

    def first_with(self, family: int) -> Interface | None:
        """The oldest interface besides `lo`, one with an address of the family if there is such."""
        others = self.but_loopback()
        return next((each for each in others if each.first_address(family)), others[0] if others else None)

    def join(self, group: bytes, index: int) -> None:
        """Count one more member of a group; EINVAL if it is none, ENODEV."""
        if not prefixes.is_multicast(group):
            raise os_error(errno.EINVAL)
        groups = self._for_group(group, index).groups
        groups[group] = groups.get(group, 0) + 1

    def leave(self, group: bytes, index: int) -> None:
        """Count one member less; EADDRNOTAVAIL if there is none."""
        groups = self._for_group(group, index).groups
        if group not in groups:
            raise os_error(errno.EADDRNOTAVAIL)
        groups[group] -= 1
        if not groups[group]:
            del groups[group]

    def _for_group(self, group: bytes, index: int) -> Interface:
        interface = self[index] if index else self.first_with(AF_INET if len(group) == 4 else AF_INET6)
        if interface is None:
            raise no_device()
        return interface
