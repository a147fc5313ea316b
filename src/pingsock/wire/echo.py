"""The echo request, at the least cost: what `ping` needs before its first packet can leave.

Messages here are plain bytes; `pingsock.wire.icmp4` and `icmp6` have them as values. Layout (RFC 792, RFC 4443):

    0: type   1: code   2-3: checksum   4-5: identifier   6-7: sequence   8...: data
"""

from __future__ import annotations

from struct import Struct

from pingsock.wire.checksum import with_checksum, with_checksum6
from pingsock.wire.errors import BadPacket

_HEADER = Struct("!BBHHH")
_AF_INET = 2
"""On every system that has sockets; AF_INET6 differs between them, and importing `socket` costs milliseconds."""

_REQUEST_TYPE = {True: 8, False: 128}


def echo_request(family: int, identifier: int, sequence: int, data: bytes) -> bytes:
    """An echo request with a zero checksum: ping sockets and raw ICMPv6 sockets fill it in themselves.

    `family` is AF_INET, or else AF_INET6. A ping socket also overwrites `identifier`. Both numbers are reduced to
    16 bits, so that a sequence may simply be counted on.
    """
    return _HEADER.pack(_REQUEST_TYPE[family == _AF_INET], 0, 0, identifier & 0xFFFF, sequence & 0xFFFF) + data


def echo_request_with_checksum(
    family: int, identifier: int, sequence: int, data: bytes, *, source: bytes = b"", destination: bytes = b""
) -> bytes:
    """An echo request as it stands on the wire.

    :raises BadPacket: for AF_INET6, if `source` and `destination` are not 16 bytes each.
    """
    message = echo_request(family, identifier, sequence, data)
    return with_checksum(message) if family == _AF_INET else with_checksum6(source, destination, message)


def parse_echo_untrusted(message: bytes) -> tuple[int, int, int, int]:
    """Type, code, identifier and sequence of any ICMP message that may be an echo; the checksum is not looked at.

    :raises BadPacket: fewer than 8 bytes.
    """
    if len(message) < 8:
        raise BadPacket(f"ICMP message of {len(message)} bytes is shorter than its header of 8")
    icmp_type, code, _checksum, identifier, sequence = _HEADER.unpack_from(message)
    return icmp_type, code, identifier, sequence
