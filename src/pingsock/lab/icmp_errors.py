"""ICMP errors as nodes of a lab make them: what they say, how much they quote, when they must not be sent."""

from __future__ import annotations

import socket

from pingsock.lab.datagram import ICMP4_PROTOCOL, Datagram
from pingsock.lab.errors import LabError
from pingsock.lab.prefixes import is_multicast, is_unspecified, pack_address
from pingsock.wire import types
from pingsock.wire.checksum import ICMP6_PROTOCOL
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FAULTS: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "net unreachable": ((3, 0), (1, 0)),
    "host unreachable": ((3, 1), (1, 3)),
    "protocol unreachable": ((3, 2), (4, 1)),
    "port unreachable": ((3, 3), (1, 4)),
    "too big": ((3, 4), (2, 0)),
    "prohibited": ((3, 13), (1, 1)),
    "time exceeded": ((11, 0), (3, 0)),
    "reassembly time exceeded": ((11, 1), (3, 1)),
    "parameter problem": ((12, 0), (4, 0)),
    "source quench": ((4, 0), (1, 1)),
    "redirect": ((5, 1), (137, 0)),
}
"""Errors both IP versions have: type and code of IPv4, of IPv6. IPv6 has no source quench and prohibits instead."""

_EXTENSIBLE = {4: frozenset({3, 11, 12}), 16: frozenset({1, 3})}
"""Types that can carry extensions (RFC 4884 section 4), by length of address."""

_LARGEST_ERROR = {4: 576, 16: 1280}
"""Bytes of IP packet (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 c)."""

_LEGACY_QUOTE = 128
"""What receivers older than RFC 4884 take for the quote's length when extensions follow it; since then the least."""

_REDIRECTED_HEADER = 4
"""Neighbour discovery option with the redirected packet (RFC 4861 section 4.6.3)."""

_NEXT_HEADER_OFFSET = 6


class Fault(Value):
    """What an ICMP error says."""

    type: int
    code: int
    word: int = 0
    """Bytes 4 to 7 of the message: MTU, pointer, gateway or unused."""
    gateway: bytes = b""
    """The better next hop of an IPv6 redirect."""


_LARGEST_IN_QUOTE = {"protocol": 255, "hop_limit": 255, "offset": 65528, "total_length": 65535}


class Quote(Value):
    """How an error quotes its packet; the numbers replace what the packet had, to be false on purpose."""

    length: int = -1
    """Bytes quoted: -1 as much as fits, 0 none."""
    source: bytes = b""
    """In descriptions an address as text."""
    destination: bytes = b""
    """Likewise."""
    protocol: int = -1
    """IPv4's protocol; IPv6's last next header."""
    hop_limit: int = -1
    """TTL or hop limit."""
    offset: int = -1
    """Fragment offset in bytes, rounded down to a multiple of 8; IPv4."""
    ident: int = -1
    """ICMP identifier."""
    sequence: int = -1
    """ICMP sequence."""
    total_length: int = -1
    """IPv4's total length or IPv6's payload length."""
    flip: int = -1
    """Offset of one byte whose bits are all turned over."""

    @staticmethod
    def make(fields: Mapping[str, Any]) -> Quote:
        """From numbers, and addresses as text. LabError."""
        known = dict(fields)
        for name, content in fields.items():
            if name not in Quote._fields:
                raise LabError(f"a quote has no {name!r}; it has {', '.join(Quote._fields)}")
            if name in ("source", "destination"):
                known[name] = pack_address(str(content))
            elif isinstance(content, bool) or not isinstance(content, int):
                raise LabError(f"{name} of a quote is {content!r}, needed a number")
            elif content > _LARGEST_IN_QUOTE.get(name, content):
                raise LabError(f"{name} of a quote is {content!r}, the most is {_LARGEST_IN_QUOTE[name]}")
        return Quote(**known)

    def of(self, datagram: Datagram) -> bytes:
        """The packet as it shall be quoted, not cut yet."""
        packet = bytearray(self._changed(datagram).packet)
        if self.total_length >= 0:
            at = 2 if datagram.family == socket.AF_INET else 4
            packet[at : at + 2] = self.total_length.to_bytes(2, "big")
        if 0 <= self.flip < len(packet):
            packet[self.flip] ^= 0xFF
        return bytes(packet)

    def _changed(self, datagram: Datagram) -> Datagram:
        changes: dict[str, Any] = {
            name: content for name in ("protocol", "hop_limit", "offset") if (content := getattr(self, name)) >= 0
        }
        if "offset" in changes:
            changes["offset"] &= ~7
        for name in ("source", "destination"):
            if len(getattr(self, name)) == len(datagram.source):
                changes[name] = getattr(self, name)
        payload = bytearray(datagram.payload)
        for at, number in ((4, self.ident), (6, self.sequence)):
            if number >= 0 and len(payload) >= at + 2:
                payload[at : at + 2] = (number & 0xFFFF).to_bytes(2, "big")
        return datagram.replace(payload=bytes(payload), **changes)


WHOLE_QUOTE = Quote()


def fault_word(family: int, icmp_type: int, code: int, *, mtu: int = 0, pointer: int = 0, gateway: bytes = b"") -> int:
    """Bytes 4 to 7 of an error, for the types in which they mean something."""
    if family == socket.AF_INET:
        layouts = {
            types.ICMP4_DESTINATION_UNREACHABLE: mtu & 0xFFFF if code == types.FRAGMENTATION_NEEDED else 0,
            types.ICMP4_REDIRECT: int.from_bytes(gateway[:4], "big"),
            types.ICMP4_PARAMETER_PROBLEM: (pointer & 0xFF) << 24,
        }
    else:
        layouts = {types.ICMP6_PACKET_TOO_BIG: mtu, types.ICMP6_PARAMETER_PROBLEM: pointer}
    return layouts.get(icmp_type, 0)


def fault_for(name: str, family: int, *, mtu: int = 0, pointer: int = 0) -> Fault:
    """A fault of FAULTS for one IP version."""
    icmp_type, code = FAULTS[name][family != socket.AF_INET]
    if (name, family) == ("protocol unreachable", socket.AF_INET6):
        pointer = _NEXT_HEADER_OFFSET
    return Fault(icmp_type, code, fault_word(family, icmp_type, code, mtu=mtu, pointer=pointer))


def may_be_answered(about: Datagram, icmp_type: int) -> bool:
    """Whether the standards allow an error about this packet (RFC 1122 section 3.2.2, RFC 4443 section 2.4 e)."""
    too_big = about.family == socket.AF_INET6 and icmp_type == types.ICMP6_PACKET_TOO_BIG
    if about.is_icmp and types.is_error(about.family, about.type):
        return False
    if is_multicast(about.destination) and not too_big:
        return False
    return not (about.offset or is_unspecified(about.source) or is_multicast(about.source))


def error_datagram(
    fault: Fault,
    about: Datagram,
    source: bytes,
    *,
    quote: Quote = WHOLE_QUOTE,
    extensions: bytes = b"",
    rfc4884: bool = True,
    hop_limit: int = 64,
    identification: int = 0,
) -> Datagram:
    """An error from `source` to the sender of the packet it is about.

    `extensions` is a whole RFC 4884 extension structure; it is left out of types that cannot carry one, and with
    `rfc4884` off the length field stays 0.
    """
    size = len(about.source)
    room = _LARGEST_ERROR[size] - (20 if size == 4 else 40) - 8
    body, words = quote.of(about), 0
    if quote.length >= 0:
        body = body[: quote.length]
    if extensions and fault.type in _EXTENSIBLE[size]:
        body, words = _with_extensions(body, extensions, room, size, rfc4884)
    if size == 16 and fault.type == types.ICMP6_REDIRECT:
        body = _redirect_body(fault.gateway, about, body, room)
    word = fault.word | words << (16 if size == 4 else 24)
    message = bytes([fault.type, fault.code, 0, 0]) + (word & 0xFFFFFFFF).to_bytes(4, "big") + body[:room]
    protocol = ICMP4_PROTOCOL if size == 4 else ICMP6_PROTOCOL
    # RFC 1812 section 4.3.2.5: routers send errors with internetwork control precedence.
    traffic_class = 0xC0 if size == 4 else 0
    return Datagram(source, about.source, protocol, message, hop_limit, traffic_class, identification).sealed()


def _with_extensions(body: bytes, extensions: bytes, room: int, size: int, rfc4884: bool) -> tuple[bytes, int]:
    """Quote, padding and extensions; and the length field, in words of 4 bytes (IPv6: 8)."""
    word = 4 if size == 4 else 8
    if not rfc4884:
        return body[:_LEGACY_QUOTE].ljust(_LEGACY_QUOTE, b"\0") + extensions, 0
    body = body[: max(_LEGACY_QUOTE, (room - len(extensions)) // word * word)]
    body = body.ljust(_LEGACY_QUOTE, b"\0")
    body += bytes(-len(body) % word)
    return body + extensions, len(body) // word


def _redirect_body(gateway: bytes, about: Datagram, quoted: bytes, room: int) -> bytes:
    """Target, destination and a redirected-header option (RFC 4861 section 4.5); no gateway: it is a neighbour."""
    target = gateway if len(gateway) == 16 else about.destination
    kept = quoted[: (room - 40) // 8 * 8]
    kept += bytes(-len(kept) % 8)
    option = bytes([_REDIRECTED_HEADER, 1 + len(kept) // 8]) + bytes(6) + kept if kept else b""
    return target + about.destination + option
