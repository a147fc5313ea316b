"""The Internet checksum (RFC 1071) and its ICMPv6 form with a pseudo-header (RFC 8200 section 8.1).

A one's-complement sum of 16-bit words is the number those words spell, modulo 65535, because 65536 is 1 modulo 65535.
So one division of one big integer does the work of a loop, at C speed. The only care needed is with the two zeros of
one's complement: a sum is 0 for all-zero data only, and 0xFFFF wherever else the remainder is 0.
"""

from __future__ import annotations

from pingsock.wire.errors import BadPacket

ICMP6_PROTOCOL = 58


def internet_checksum(data: bytes) -> int:
    """The value to store in a checksum field of `data`, in which that field is zero.

    Data of odd length counts as if a zero byte followed. Empty or all-zero data gives 0xFFFF. Cannot fail.
    """
    number = int.from_bytes(data, "big")
    total = number % 0xFFFF
    if len(data) & 1:
        total = (total << 8) % 0xFFFF
    return 0xFFFF - total if total or not number else 0


def checksum_holds(data: bytes) -> bool:
    """Whether `data`, its checksum field included, sums to 0xFFFF. All-zero data does not. Cannot fail."""
    return internet_checksum(data) == 0


def with_checksum(message: bytes) -> bytes:
    """An ICMPv4 message with its checksum field (bytes 2 and 3) made right, whatever it held.

    :raises BadPacket: fewer than 4 bytes.
    """
    head, tail = _without_checksum(message)
    return head + internet_checksum(head + b"\0\0" + tail).to_bytes(2, "big") + tail


def icmp6_checksum(source: bytes, destination: bytes, message: bytes) -> int:
    """The value to store in the checksum field of an ICMPv6 message in which that field is zero.

    `source` and `destination` are the 16-byte addresses of the pseudo-header; the latter is the final one where a
    routing header is used.
    """
    return internet_checksum(_pseudo_header(source, destination, len(message)) + message)


def icmp6_checksum_holds(source: bytes, destination: bytes, message: bytes) -> bool:
    """Whether an ICMPv6 message, its checksum field included, is intact between these addresses."""
    return icmp6_checksum(source, destination, message) == 0


def with_checksum6(source: bytes, destination: bytes, message: bytes) -> bytes:
    """An ICMPv6 message with its checksum field (bytes 2 and 3) made right, whatever it held.

    :raises BadPacket: fewer than 4 bytes, or an address that is not 16 bytes.
    """
    head, tail = _without_checksum(message)
    return head + icmp6_checksum(source, destination, head + b"\0\0" + tail).to_bytes(2, "big") + tail


def checksum_after_change(checksum: int, old: bytes, new: bytes) -> int:
    """The checksum field after the covered bytes `old` became `new` (RFC 1624 section 3, equation 3).

    Both are of equal, even length and begin at an even offset: what a router does after it counted the TTL down.
    It equals a new sum unless all that is covered became zero, which no IP or ICMP header does.
    """
    total = (0xFFFF - checksum) + internet_checksum(old) + (0xFFFF - internet_checksum(new))
    return 0xFFFF - ((total - 1) % 0xFFFF + 1 if total else 0)


def _without_checksum(message: bytes) -> tuple[bytes, bytes]:
    if len(message) < 4:
        raise BadPacket(f"ICMP message of {len(message)} bytes has no checksum field, which ends at byte 4")
    return message[:2], message[4:]


def _pseudo_header(source: bytes, destination: bytes, length: int) -> bytes:
    if len(source) != 16 or len(destination) != 16:
        raise BadPacket(f"ICMPv6 checksum needs addresses of 16 bytes, got {len(source)} and {len(destination)}")
    return source + destination + length.to_bytes(4, "big") + ICMP6_PROTOCOL.to_bytes(4, "big")
