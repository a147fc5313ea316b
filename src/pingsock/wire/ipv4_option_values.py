"""IPv4 options as values, for those who print or build them (RFC 791; router alert RFC 2113).

The value of an option holds all its bytes, so that going through values changes nothing.
"""

from __future__ import annotations

from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4_options import (
    END_OF_OPTIONS,
    LOOSE_SOURCE_ROUTE,
    NO_OPERATION,
    RECORD_ROUTE,
    ROUTER_ALERT,
    STRICT_SOURCE_ROUTE,
    TIMESTAMP,
    TIMESTAMP_ONLY,
    TIMESTAMP_PRESPECIFIED,
    pad_options,
    split_options_untrusted,
)
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import ClassVar, Self


class EndOfOptions(Value):
    """No options follow."""

    padding: bytes = b""

    type: ClassVar[int] = END_OF_OPTIONS

    def to_bytes(self) -> bytes:
        """One byte and the padding."""
        return bytes((self.type,)) + self.padding


class NoOperation(Value):
    """One byte that aligns what follows."""

    type: ClassVar[int] = NO_OPERATION

    def to_bytes(self) -> bytes:
        """One byte."""
        return bytes((self.type,))


class _Route(Value):
    slots: bytes
    """Addresses, 4 bytes each, used and free ones."""
    pointer: int = 4
    """Where the next free slot begins, counted from 1 at the option's start; beyond the end: none is free."""

    type: ClassVar[int]

    @classmethod
    def of(cls, addresses: Sequence[bytes]) -> Self:
        """A fresh option that names these hops."""
        return cls(b"".join(addresses))

    @property
    def used(self) -> tuple[bytes, ...]:
        """The addresses in front of the pointer."""
        return _chunks(self.slots[: max(self.pointer - 4, 0)], 4)

    @property
    def free(self) -> tuple[bytes, ...]:
        """The addresses from the pointer on."""
        return _chunks(self.slots[max(self.pointer - 4, 0) :], 4)

    def to_bytes(self) -> bytes:
        """Type, length, pointer, slots.

        :raises BadPacket: longer than 255 bytes, or a pointer of more than that.
        """
        return _option(self.type, _octet(self.pointer) + self.slots)


class RecordRoute(_Route):
    """Every host and router on the way writes its address: `used` holds those that did."""

    type: ClassVar[int] = RECORD_ROUTE

    @classmethod
    def empty(cls, slots: int = 9) -> Self:
        """Nothing recorded yet; more than 9 slots do not fit into a header."""
        return cls(bytes(4 * slots))


class LooseSourceRoute(_Route):
    """The packet visits these hops, and others between them: `free` are those ahead, `used` those passed."""

    type: ClassVar[int] = LOOSE_SOURCE_ROUTE


class StrictSourceRoute(_Route):
    """The packet visits exactly these hops."""

    type: ClassVar[int] = STRICT_SOURCE_ROUTE


class TimestampEntry(Value):
    """What one host wrote into a timestamp option."""

    address: bytes
    """b"" where the option records times only."""
    time: int
    """Milliseconds since midnight UT; the high bit marks a number on another scale."""


class Timestamp(Value):
    """Every host and router on the way (or each of those named) writes the time."""

    slots: bytes
    """Times, or addresses and times, 4 bytes each; used and free ones."""
    flag: int = TIMESTAMP_ONLY
    """TIMESTAMP_ONLY, TIMESTAMP_AND_ADDRESS or TIMESTAMP_PRESPECIFIED."""
    pointer: int = 5
    overflow: int = 0
    """Hosts that found no free slot, at most 15."""

    type: ClassVar[int] = TIMESTAMP

    @classmethod
    def empty(cls, flag: int = TIMESTAMP_ONLY) -> Self:
        """With as many free slots as fit into a header: 9 times, or 4 addresses and times."""
        return cls(bytes(36 if flag == TIMESTAMP_ONLY else 32), flag)

    @classmethod
    def prespecified(cls, addresses: Iterable[bytes]) -> Self:
        """For up to 4 hosts named in advance; each writes only into its own slot, in this order."""
        return cls(b"".join(address + bytes(4) for address in addresses), TIMESTAMP_PRESPECIFIED)

    @property
    def used(self) -> tuple[TimestampEntry, ...]:
        """What has been written."""
        written = self.slots[: max(self.pointer - 5, 0)]
        if self.flag == TIMESTAMP_ONLY:
            return tuple(TimestampEntry(b"", int.from_bytes(time, "big")) for time in _chunks(written, 4))
        return tuple(TimestampEntry(pair[:4], int.from_bytes(pair[4:], "big")) for pair in _chunks(written, 8))

    def to_bytes(self) -> bytes:
        """Type, length, pointer, overflow and flag, slots.

        :raises BadPacket: longer than 255 bytes, or a field out of its range.
        """
        if not (0 <= self.overflow <= 15 and 0 <= self.flag <= 15):
            raise BadPacket(f"timestamp option: overflow {self.overflow} and flag {self.flag} need 4 bits each")
        return _option(self.type, _octet(self.pointer) + _octet(self.overflow << 4 | self.flag) + self.slots)


class RouterAlert(Value):
    """Routers look into this packet."""

    value: int = 0
    """0: examine it; others by RFC 5350."""

    type: ClassVar[int] = ROUTER_ALERT

    def to_bytes(self) -> bytes:
        """Type, length, value.

        :raises BadPacket: the value needs more than 16 bits.
        """
        if not 0 <= self.value <= 0xFFFF:
            raise BadPacket(f"router alert value {self.value} does not fit in 16 bits")
        return _option(self.type, self.value.to_bytes(2, "big"))


class UnknownOption(Value):
    """Any other option, and known ones of a length they do not have."""

    type: int
    data: bytes = b""

    def to_bytes(self) -> bytes:
        """Type, length, data.

        :raises BadPacket: longer than 255 bytes.
        """
        return _option(self.type, self.data)


Option = (
    EndOfOptions
    | NoOperation
    | RecordRoute
    | LooseSourceRoute
    | StrictSourceRoute
    | Timestamp
    | RouterAlert
    | UnknownOption
)

_ROUTES: dict[int, type[RecordRoute | LooseSourceRoute | StrictSourceRoute]] = {
    RECORD_ROUTE: RecordRoute,
    LOOSE_SOURCE_ROUTE: LooseSourceRoute,
    STRICT_SOURCE_ROUTE: StrictSourceRoute,
}


def _chunks(slots: bytes, size: int) -> tuple[bytes, ...]:
    return tuple(slots[place : place + size] for place in range(0, len(slots) - size + 1, size))


def _octet(number: int) -> bytes:
    try:
        return number.to_bytes(1, "big")
    except OverflowError as error:
        raise BadPacket(f"{number} does not fit in a byte of an IPv4 option") from error


def _option(kind: int, data: bytes) -> bytes:
    if len(data) > 253:
        raise BadPacket(f"IPv4 option {kind} of {len(data) + 2} bytes; its length field ends at 255")
    return _octet(kind) + _octet(len(data) + 2) + data


def parse_options_untrusted(options: bytes) -> tuple[Option, ...]:
    """The options of a header, one value each.

    :raises BadPacket: one is cut off.
    """
    return tuple(map(_value, split_options_untrusted(options)))


def _value(option: bytes) -> Option:
    kind = option[0]
    if kind == END_OF_OPTIONS:
        return EndOfOptions(option[1:])
    if kind == NO_OPERATION:
        return NoOperation()
    if kind in _ROUTES and len(option) >= 3:
        return _ROUTES[kind](option[3:], option[2])
    if kind == TIMESTAMP and len(option) >= 4:
        return Timestamp(option[4:], option[3] & 0xF, option[2], option[3] >> 4)
    if kind == ROUTER_ALERT and len(option) == 4:
        return RouterAlert(int.from_bytes(option[2:], "big"))
    return UnknownOption(kind, option[2:])


def options_to_bytes(options: Iterable[Option]) -> bytes:
    """The options of a header, padded to a multiple of 4.

    :raises BadPacket: a field is out of its range.
    """
    return pad_options(b"".join(option.to_bytes() for option in options))
