"""IP packets made and taken apart with plain `struct`.

Shares nothing with `pingsock.wire`: what the tests believe about bytes is stated here a second time, on purpose.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from bed.families import V4, V6, Family

_FRAGMENT_HEADER = 44
_EXTENSION_HEADERS = {0, 43, _FRAGMENT_HEADER, 60}


def checksum(*parts: bytes) -> int:
    """The Internet checksum of the joined parts."""
    content = b"".join(parts)
    total: int = sum(struct.unpack(f"!{(len(content) + 1) // 2}H", content + bytes(len(content) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pseudo_header(source: bytes, destination: bytes, length: int, protocol: int = 58) -> bytes:
    return source + destination + struct.pack("!I3xB", length, protocol)


def icmp(type_: int, code: int = 0, rest: bytes = bytes(4), body: bytes = b"") -> bytes:
    """An ICMP message with a zero checksum; `packet` fills it in."""
    return struct.pack("!BBH", type_, code, 0) + rest + body


def echo(type_: int, ident: int = 0, sequence: int = 1, payload: bytes = b"", code: int = 0) -> bytes:
    return icmp(type_, code, struct.pack("!HH", ident, sequence), payload)


def ipv4(
    source: str,
    destination: str,
    payload: bytes,
    *,
    protocol: int = 1,
    ttl: int = 64,
    tos: int = 0,
    options: bytes = b"",
    df: bool = False,
    more: bool = False,
    offset: int = 0,
    ident: int = 0,
    version: int = 4,
    total_length: int | None = None,
    header_checksum: int | None = None,
) -> bytes:
    """An IPv4 packet; `offset` counts 8-byte units."""
    ihl = 5 + len(options) // 4
    header = struct.pack(
        "!BBHHHBBH4s4s",
        version << 4 | ihl,
        tos,
        ihl * 4 + len(payload) if total_length is None else total_length,
        ident,
        df << 14 | more << 13 | offset,
        ttl,
        protocol,
        0,
        V4.pack(source),
        V4.pack(destination),
    )
    right = checksum(header, options) if header_checksum is None else header_checksum
    return header[:10] + right.to_bytes(2, "big") + header[12:] + options + payload


def ipv6(
    source: str,
    destination: str,
    payload: bytes,
    *,
    next_header: int = 58,
    hop_limit: int = 64,
    traffic_class: int = 0,
    flow_label: int = 0,
    extensions: tuple[tuple[int, bytes], ...] = (),
) -> bytes:
    """An IPv6 packet; `extensions` are (header number, header with its first byte free)."""
    numbers = [number for number, _ in extensions] + [next_header]
    chain = b"".join(bytes([numbers[i + 1]]) + header[1:] for i, (_, header) in enumerate(extensions))
    return (
        struct.pack(
            "!IHBB",
            6 << 28 | traffic_class << 20 | flow_label,
            len(chain) + len(payload),
            numbers[0],
            hop_limit,
        )
        + V6.pack(source)
        + V6.pack(destination)
        + chain
        + payload
    )


def sum_message(ip: Family, source: str, destination: str, message: bytes) -> bytes:
    """The ICMP message with its checksum right for these addresses."""
    blank = message[:2] + bytes(2) + message[4:]
    parts = [blank] if ip is V4 else [pseudo_header(ip.pack(source), ip.pack(destination), len(blank)), blank]
    return blank[:2] + checksum(*parts).to_bytes(2, "big") + blank[4:]


def packet(
    ip: Family, source: str, destination: str, message: bytes, *, message_checksum: int | None = None, **header: object
) -> bytes:
    """An IP packet around an ICMP message, the checksums right unless given. `header`: see `ipv4`, `ipv6`."""
    if message_checksum is None:
        message = sum_message(ip, source, destination, message)
    else:
        message = message[:2] + message_checksum.to_bytes(2, "big") + message[4:]
    build = ipv4 if ip is V4 else ipv6
    return build(source, destination, message, **header)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Seen:
    """One packet the host under test put on a cable."""

    ip: Family
    raw: bytes
    source: str
    destination: str
    protocol: int
    ttl: int
    tos: int
    message: bytes
    """What follows the IP and extension headers; of a later fragment, its piece."""
    options: bytes = b""
    df: bool = False
    more: bool = False
    offset: int = 0
    """In bytes."""
    flow_label: int = 0
    extensions: tuple[int, ...] = ()

    @property
    def type(self) -> int:
        return self.message[0]

    @property
    def code(self) -> int:
        return self.message[1]

    @property
    def ident(self) -> int:
        return int.from_bytes(self.message[4:6], "big")

    @property
    def sequence(self) -> int:
        return int.from_bytes(self.message[6:8], "big")

    @property
    def payload(self) -> bytes:
        return self.message[8:]

    @property
    def fragment(self) -> bool:
        return self.more or self.offset > 0

    @property
    def checksum_right(self) -> bool:
        """Header and message (of a whole packet) check."""
        if self.ip is V4:
            return checksum(self.raw[: len(self.raw) - len(self.message)]) == 0 and checksum(self.message) == 0
        ends = self.ip.pack(self.source), self.ip.pack(self.destination)
        return checksum(pseudo_header(*ends, len(self.message)), self.message) == 0

    @property
    def noise(self) -> bool:
        """Neighbour discovery and group management that a host does by itself."""
        if self.ip is V4:
            return self.protocol == 2
        return self.protocol != 58 or (not self.offset and self.type in {130, 131, 132, 133, 134, 135, 136, 143})


def parse(raw: bytes) -> Seen:
    return _parse_v4(raw) if raw[0] >> 4 == 4 else _parse_v6(raw)


def _parse_v4(raw: bytes) -> Seen:
    size = (raw[0] & 15) * 4
    tos, _, _, fragment, ttl, protocol = struct.unpack_from("!xBHHHBB", raw)
    return Seen(
        ip=V4,
        raw=raw,
        source=V4.unpack(raw[12:16]),
        destination=V4.unpack(raw[16:20]),
        protocol=protocol,
        ttl=ttl,
        tos=tos,
        message=raw[size:],
        options=raw[20:size],
        df=bool(fragment & 0x4000),
        more=bool(fragment & 0x2000),
        offset=(fragment & 0x1FFF) * 8,
    )


def _parse_v6(raw: bytes) -> Seen:
    first, _, following, hop_limit = struct.unpack_from("!IHBB", raw)
    at, passed, fragment = 40, [], 0
    while following in _EXTENSION_HEADERS:
        passed.append(following)
        size = 8 if following == _FRAGMENT_HEADER else raw[at + 1] * 8 + 8
        if following == _FRAGMENT_HEADER:
            fragment = int.from_bytes(raw[at + 2 : at + 4], "big")
        following, at = raw[at], at + size
    return Seen(
        ip=V6,
        raw=raw,
        source=V6.unpack(raw[8:24]),
        destination=V6.unpack(raw[24:40]),
        protocol=following,
        ttl=hop_limit,
        tos=first >> 20 & 0xFF,
        message=raw[at:],
        more=bool(fragment & 1),
        offset=fragment & 0xFFF8,
        flow_label=first & 0xFFFFF,
        extensions=tuple(passed),
    )


def fragments(whole: bytes, size: int, ident: int = 7) -> list[bytes]:
    """An IP packet (without extension headers) cut into pieces of `size` payload bytes, a multiple of 8."""
    seen = parse(whole)
    pieces = [(at, whole[seen.ip.header :][at : at + size]) for at in range(0, len(whole) - seen.ip.header, size)]
    last = pieces[-1][0]
    if seen.ip is V4:
        return [
            ipv4(seen.source, seen.destination, piece, more=at < last, offset=at // 8, ident=ident, ttl=seen.ttl)
            for at, piece in pieces
        ]
    return [
        ipv6(
            seen.source,
            seen.destination,
            piece,
            hop_limit=seen.ttl,
            extensions=((_FRAGMENT_HEADER, struct.pack("!BBHI", 0, 0, at | (at < last), ident)),),
        )
        for at, piece in pieces
    ]


def sockaddr_name(raw: bytes) -> tuple[int, str, int, int]:
    """Family, address, port and scope of a sockaddr; family 0 has none of them."""
    family = int.from_bytes(raw[:2], "little")
    port = int.from_bytes(raw[2:4], "big")
    if family == socket.AF_INET:
        return family, V4.unpack(raw[4:8]), port, 0
    if family == socket.AF_INET6:
        return family, V6.unpack(raw[8:24]), port, int.from_bytes(raw[24:28], "little")
    return family, "", 0, 0
