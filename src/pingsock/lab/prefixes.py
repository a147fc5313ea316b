"""Addresses as a lab's author writes them, and the table that finds the longest matching prefix."""

from __future__ import annotations

import socket
from typing import Generic, TypeVar

from pingsock.lab.errors import LabError
from pingsock.link.prefixes import LIMITED_BROADCAST, parse_address, parse_prefix
from pingsock.link.prefixes import is_multicast as is_group
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


def family_of(address: bytes) -> int:
    """AF_INET or AF_INET6, by the length of a packed address."""
    return socket.AF_INET if len(address) == 4 else socket.AF_INET6


def pack_address(text: str) -> bytes:
    """4 or 16 bytes of an address written as text; LabError."""
    try:
        return parse_address(text)
    except ValueError as err:
        raise LabError(str(err)) from err


def address_text(address: bytes) -> str:
    """A packed address as text."""
    return socket.inet_ntop(family_of(address), address)


def is_multicast(address: bytes) -> bool:
    """Whether a packed address names a group, or is IPv4's limited broadcast."""
    return is_group(address) or address == LIMITED_BROADCAST


def is_unspecified(address: bytes) -> bool:
    """0.0.0.0 or ::."""
    return not any(address)


class Prefix(Value):
    """An address and how many of its leading bits name the network."""

    address: bytes
    length: int

    @staticmethod
    def parse(text: str) -> Prefix:
        """From "192.0.2.1/24" or "2001:db8::1"; without a length all bits count. LabError."""
        try:
            _, address, length = parse_prefix(text)
        except ValueError as err:
            raise LabError(str(err)) from err
        return Prefix(address, length)

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return family_of(self.address)

    @property
    def network(self) -> Prefix:
        """The same prefix with the bits behind its length cleared."""
        shift = len(self.address) * 8 - self.length
        number = int.from_bytes(self.address, "big") >> shift << shift
        return Prefix(number.to_bytes(len(self.address), "big"), self.length)

    @property
    def is_network(self) -> bool:
        """Whether it names a whole network (host bits clear, and there are some) rather than one address."""
        return self.length < len(self.address) * 8 and self == self.network

    @property
    def mask(self) -> bytes:
        """The bits that name the network, as an address: "255.255.255.0" for 24."""
        bits = len(self.address) * 8
        return (~0 << (bits - self.length) & ((1 << bits) - 1)).to_bytes(bits // 8, "big")

    @property
    def single(self) -> Prefix:
        """The one address as a prefix of its own."""
        return Prefix(self.address, len(self.address) * 8)

    @property
    def first_address(self) -> bytes:
        """The address itself, or the first one behind the network's own."""
        if not self.is_network:
            return self.address
        return (int.from_bytes(self.address, "big") + 1).to_bytes(len(self.address), "big")

    def __contains__(self, address: bytes) -> bool:
        if len(address) != len(self.address):
            return False
        shift = len(address) * 8 - self.length
        return int.from_bytes(address, "big") >> shift == int.from_bytes(self.address, "big") >> shift

    def __str__(self) -> str:
        return f"{address_text(self.address)}/{self.length}"


class PrefixTable(Generic[T]):
    """What belongs to the longest prefix that holds an address."""

    def __init__(self) -> None:
        self._by_length: dict[tuple[int, int], dict[int, T]] = {}
        self._order: list[tuple[int, int]] = []

    def __setitem__(self, prefix: Prefix, content: T) -> None:
        key = (len(prefix.address) * 8, prefix.length)
        if key not in self._by_length:
            self._by_length[key] = {}
            self._order = sorted(self._by_length, key=lambda bits: -bits[1])
        self._by_length[key][_leading_bits(prefix.address, prefix.length)] = content

    def get(self, address: bytes) -> T | None:
        """The content of the longest prefix; None if no prefix holds the address."""
        bits = len(address) * 8
        for key in self._order:
            if key[0] == bits:
                found = self._by_length[key].get(_leading_bits(address, key[1]))
                if found is not None:
                    return found
        return None

    def __iter__(self) -> Iterator[tuple[Prefix, T]]:
        for bits, length in self._order:
            for number, content in self._by_length[bits, length].items():
                yield Prefix((number << (bits - length)).to_bytes(bits // 8, "big"), length), content


def _leading_bits(address: bytes, length: int) -> int:
    return int.from_bytes(address, "big") >> (len(address) * 8 - length)
