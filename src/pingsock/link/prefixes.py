"""Address prefixes: their text, and what kinds of address their bits tell of."""

from __future__ import annotations

import errno
import os
import socket

from pingsock.wire.linux import AF_INET, AF_INET6


def parse_prefix(text: str) -> tuple[int, bytes, int]:
    """Family, packed address and prefix length of "10.9.0.1/24" or "fd00::1/64"; no length means all bits.

    ValueError names the text.
    """
    address, _, length = text.partition("/")
    family = AF_INET6 if ":" in address else AF_INET
    bits = 128 if family == AF_INET6 else 32
    try:
        packed = parse_address(address)
        prefix = int(length) if length else bits
    except ValueError as err:
        raise ValueError(f"{text!r} is not an address with a prefix length, like 10.9.0.1/24 or fd00::1/64") from err
    if not 0 <= prefix <= bits:
        raise ValueError(f"{text!r} has a prefix length outside 0..{bits}")
    return family, packed, prefix


def parse_address(text: str) -> bytes:
    """An address packed, 4 or 16 bytes. ValueError names the text."""
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except OSError as err:
        raise ValueError(f"{text!r} is neither an IPv4 nor an IPv6 address") from err


def os_error(number: int) -> OSError:
    """The OSError of an errno, as the kernel would raise it."""
    return OSError(number, os.strerror(number))


def no_device() -> OSError:
    """No interface has that index or name."""
    return os_error(errno.ENODEV)


def is_multicast(address: bytes) -> bool:
    """224.0.0.0/4 or ff00::/8."""
    return address[0] & 0xF0 == 0xE0 if len(address) == 4 else address[0] == 0xFF


def is_loopback(address: bytes) -> bool:
    """127.0.0.0/8 or ::1."""
    return address[0] == 127 if len(address) == 4 else address == LOOPBACK6


def is_link_local(address: bytes) -> bool:
    """fe80::/10; IPv4 has no such scope here."""
    return len(address) == 16 and address[0] == 0xFE and address[1] & 0xC0 == 0x80


ANY4, ANY6 = bytes(4), bytes(16)
LOOPBACK4, LOOPBACK6 = b"\x7f\0\0\1", bytes(15) + b"\1"
LIMITED_BROADCAST = b"\xff\xff\xff\xff"
ALL_HOSTS4 = b"\xe0\0\0\1"
ALL_NODES6, INTERFACE_LOCAL_ALL_NODES6 = b"\xff\2" + bytes(13) + b"\1", b"\xff\1" + bytes(13) + b"\1"


def solicited_node_group(address: bytes) -> bytes:
    """The multicast group by which neighbours ask for an IPv6 address (RFC 4291, section 2.7.1)."""
    return bytes.fromhex("ff0200000000000000000001ff") + address[13:]


def common_bits(one: bytes, other: bytes) -> int:
    """How many leading bits two addresses share."""
    return len(one) * 8 - (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_length()
