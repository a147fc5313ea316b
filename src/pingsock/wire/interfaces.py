"""How extensions name an interface: what a router tells of its own (RFC 5837), what a probe asks for (RFC 8335).

Each value here is the payload of one extension object; `pingsock.wire.extensions` puts them into messages.
"""

from __future__ import annotations

from pingsock.wire.errors import BadPacket
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

INTERFACE_INFORMATION = 2
"""Object class of RFC 5837."""
INTERFACE_IDENTIFICATION = 3
"""Object class of RFC 8335."""

AFI_IPV4 = 1
AFI_IPV6 = 2
AFI_MAC48 = 16389

INCOMING, SUB_IP, OUTGOING, NEXT_HOP = range(4)
ROLE_NAMES = {
    INCOMING: "incoming interface",
    SUB_IP: "sub-IP component of the incoming interface",
    OUTGOING: "outgoing interface",
    NEXT_HOP: "IP next hop",
}
"""What an interface is to the packet an error is about (RFC 5837 section 4.1)."""

_HAS_INDEX, _HAS_ADDRESS, _HAS_NAME, _HAS_MTU = 8, 4, 2, 1
_AFI_OF_LENGTH = {4: AFI_IPV4, 16: AFI_IPV6}
_LENGTH_OF_AFI = {AFI_IPV4: 4, AFI_IPV6: 16}
_MAXIMUM_NAME = 63


class InterfaceInformation(Value):
    """What a router tells of one of its interfaces (RFC 5837); None for what it leaves out.

    C-type: role (2 bits), reserved (2), then one bit each for index, address, name, MTU. Payload in the same order:
    index (4), address (family 2, reserved 2, 4 or 16), name (length 1, name, zeros to a multiple of 4), MTU (4).
    """

    role: int
    """INCOMING, SUB_IP, OUTGOING or NEXT_HOP."""
    index: int | None = None
    """The ifIndex of the interface MIB."""
    address: bytes | None = None
    """Packed, 4 or 16 bytes."""
    name: bytes | None = None
    """UTF-8, at most 63 bytes."""
    mtu: int | None = None
    """Bytes of IP packet."""

    class_number: ClassVar[int] = INTERFACE_INFORMATION

    @property
    def c_type(self) -> int:
        """Role and which parts are there."""
        parts = (self.index, _HAS_INDEX), (self.address, _HAS_ADDRESS), (self.name, _HAS_NAME), (self.mtu, _HAS_MTU)
        return self.role << 6 | sum(bit for part, bit in parts if part is not None)

    def payload(self) -> bytes:
        """The parts that are there.

        :raises BadPacket: an address or a name of the wrong length, or a number beyond 32 bits.
        """
        index = b"" if self.index is None else _long(self.index)
        address = b"" if self.address is None else _address(self.address)
        name = b"" if self.name is None else _name(self.name)
        return index + address + name + (b"" if self.mtu is None else _long(self.mtu))


class InterfaceByName(Value):
    """Asks about the interface of this name (RFC 8335 section 2.1)."""

    name: bytes
    """In ASCII, as the probed host writes it."""

    class_number: ClassVar[int] = INTERFACE_IDENTIFICATION
    c_type: ClassVar[int] = 1

    def payload(self) -> bytes:
        """The name, with zeros to a multiple of 4."""
        return self.name + bytes(-len(self.name) % 4)


class InterfaceByIndex(Value):
    """Asks about the interface of this number."""

    index: int

    class_number: ClassVar[int] = INTERFACE_IDENTIFICATION
    c_type: ClassVar[int] = 2

    def payload(self) -> bytes:
        """The number, 4 bytes."""
        return _long(self.index)


class InterfaceByAddress(Value):
    """Asks about the interface that has this address. Payload: family (2), length (1), reserved (1), address."""

    address: bytes
    """Packed."""
    family: int = 0
    """AFI_IPV4, AFI_IPV6, AFI_MAC48 or another address family number; 0: IPv4 or IPv6 by the address's length."""

    class_number: ClassVar[int] = INTERFACE_IDENTIFICATION
    c_type: ClassVar[int] = 3

    def payload(self) -> bytes:
        """Family, length, address, with zeros to a multiple of 4.

        :raises BadPacket: no family given and none to guess, or an address of more than 255 bytes.
        """
        family = self.family or _AFI_OF_LENGTH.get(len(self.address), 0)
        if not 0 < family <= 0xFFFF or len(self.address) > 0xFF:
            raise BadPacket(f"address of {len(self.address)} bytes and family {self.family} names no interface")
        head = family.to_bytes(2, "big") + bytes((len(self.address), 0))
        return head + self.address + bytes(-len(self.address) % 4)


InterfaceIdentification = InterfaceByName | InterfaceByIndex | InterfaceByAddress


def parse_interface_information_untrusted(c_type: int, payload: bytes) -> InterfaceInformation:
    """The value of an interface information object.

    :raises BadPacket: a part is cut off, of a wrong length or of an unknown address family.
    """
    rest = payload
    index = address = name = mtu = None
    if c_type & _HAS_INDEX:
        index, rest = _take_long_untrusted(rest)
    if c_type & _HAS_ADDRESS:
        address, rest = _take_address_untrusted(rest)
    if c_type & _HAS_NAME:
        name, rest = _take_name_untrusted(rest)
    if c_type & _HAS_MTU:
        mtu, rest = _take_long_untrusted(rest)
    return InterfaceInformation(c_type >> 6, index, address, name, mtu)


def parse_interface_identification_untrusted(c_type: int, payload: bytes) -> InterfaceIdentification:
    """The value of an interface identification object.

    :raises BadPacket: an unknown c-type, or a payload of a wrong length.
    """
    if c_type == InterfaceByName.c_type:
        return InterfaceByName(payload.rstrip(b"\0"))
    if c_type == InterfaceByIndex.c_type and len(payload) == 4:
        return InterfaceByIndex(int.from_bytes(payload, "big"))
    if c_type == InterfaceByAddress.c_type and 4 <= len(payload) >= 4 + payload[2]:
        family = int.from_bytes(payload[:2], "big")
        if _LENGTH_OF_AFI.get(family, payload[2]) == payload[2] and family:
            return InterfaceByAddress(payload[4 : 4 + payload[2]], family)
    raise BadPacket(f"interface identification object of c-type {c_type} with {len(payload)} bytes")


def _long(number: int) -> bytes:
    try:
        return number.to_bytes(4, "big")
    except OverflowError as error:
        raise BadPacket(f"{number} does not fit in the 32 bits of an interface object") from error


def _address(address: bytes) -> bytes:
    family = _AFI_OF_LENGTH.get(len(address))
    if family is None:
        raise BadPacket(f"interface address of {len(address)} bytes; 4 or 16 are needed")
    return family.to_bytes(2, "big") + b"\0\0" + address


def _name(name: bytes) -> bytes:
    if len(name) > _MAXIMUM_NAME:
        raise BadPacket(f"interface name of {len(name)} bytes; the most is {_MAXIMUM_NAME}")
    padding = -(1 + len(name)) % 4
    return bytes((1 + len(name) + padding,)) + name + bytes(padding)


def _take_long_untrusted(rest: bytes) -> tuple[int, bytes]:
    if len(rest) < 4:
        raise BadPacket(f"interface information cut to {len(rest)} bytes where a number of 4 was expected")
    return int.from_bytes(rest[:4], "big"), rest[4:]


def _take_address_untrusted(rest: bytes) -> tuple[bytes, bytes]:
    length = _LENGTH_OF_AFI.get(int.from_bytes(rest[:2], "big"), 0)
    if not length or len(rest) < 4 + length:
        raise BadPacket(f"interface address of family {rest[:2].hex()} in the last {len(rest)} bytes")
    return rest[4 : 4 + length], rest[4 + length :]


def _take_name_untrusted(rest: bytes) -> tuple[bytes, bytes]:
    length = rest[0] if rest else 0
    if not 1 <= length <= len(rest):
        raise BadPacket(f"interface name of length {length} in the last {len(rest)} bytes")
    return rest[1:length].rstrip(b"\0"), rest[length:]
