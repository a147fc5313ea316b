"""What a host puts on its links: ICMP requests and their fragments, as lines that can be compared.

Hidden are identifications, checksums (which are verified first), times (if they are times), and the ident and the flow
label unless the user chose them. Parsed here by hand: this is what judges the project's own parsers and builders.
"""

from __future__ import annotations

import socket
import time
import zlib
from contextlib import suppress
from struct import Struct

_ETH_P_ALL, _ETH_P_IP, _ETH_P_IPV6 = 3, 0x0800, 0x86DD
_SO_RCVBUFFORCE = 33
_BUFFER = 64 << 20
_IPV4 = Struct("!BBHHHBBH4s4s")
_IPV6 = Struct("!IHBB16s16s")
_PSEUDO_HEADER = Struct("!16s16sIxxxB")
_FRAGMENT = Struct("!BxHI")
_ICMP = Struct("!BBHHH")
_TIMEVAL = Struct("@ll")
_REQUESTS = {
    socket.IPPROTO_ICMP: {8: "echo", 13: "timestamp", 15: "information", 17: "address mask", 42: "extended echo"},
    socket.IPPROTO_ICMPV6: {128: "echo", 139: "node information", 160: "extended echo"},
}
_FRAGMENT_HEADER = 44
_TIMESTAMP_OPTION = 68
_RECENTLY = 120
"""Seconds; a time in a payload that is further off is none."""
_SHOWN = 32
_EXTENDED_ECHO = (42, 160)
_NODE_INFORMATION = 139


class Capture:
    """All packets the calling thread's network sends from now on."""

    def __init__(self) -> None:
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_PACKET, kind, socket.htons(_ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)

    def packets(self) -> list[tuple[str, bytes]]:
        """Device and IP packet of all that was sent since the last call."""
        found = []
        with suppress(BlockingIOError):
            while True:
                packet, address = self._socket.recvfrom(1 << 17)
                if address[2] == socket.PACKET_OUTGOING and address[1] in (_ETH_P_IP, _ETH_P_IPV6):
                    found.append((address[0], packet))
        return found

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()


def described(packets: list[tuple[str, bytes]], *, shows_ident: bool, shows_label: bool) -> list[str]:
    """One line a request or fragment of one."""
    lines = []
    for device, packet in packets:
        line = _line_4(packet, shows_ident) if packet[0] >> 4 == 4 else _line_6(packet, shows_ident, shows_label)
        if line:
            lines.append(f"{device} {line}")
    return lines


def _line_4(packet: bytes, shows_ident: bool) -> str:
    first, tos, _total, _identification, fragment, ttl, protocol, _sum, *addresses = _IPV4.unpack_from(packet)
    header = (first & 15) * 4
    offset, more = (fragment & 0x1FFF) * 8, bool(fragment & 0x2000)
    shown = _content(protocol, packet[header:], offset, more, b"", shows_ident)
    if not shown:
        return ""
    source, destination = (socket.inet_ntop(socket.AF_INET, address) for address in addresses)
    flags = " DF" if fragment & 0x4000 else ""
    return f"{source} > {destination} ttl {ttl} tos {tos:#x}{flags}{_options(packet[20:header])} {shown}"


def _line_6(packet: bytes, shows_ident: bool, shows_label: bool) -> str:
    word, length, protocol, hop_limit, *addresses = _IPV6.unpack_from(packet)
    payload, offset, more = packet[40:], 0, False
    if protocol == _FRAGMENT_HEADER:
        protocol, fragment, _identification = _FRAGMENT.unpack_from(payload)
        payload, offset, more = payload[8:], fragment & 0xFFF8, bool(fragment & 1)
    pseudo_header = _PSEUDO_HEADER.pack(*addresses, length, protocol)
    shown = _content(protocol, payload, offset, more, pseudo_header, shows_ident)
    if not shown:
        return ""
    source, destination = (socket.inet_ntop(socket.AF_INET6, address) for address in addresses)
    label = f" flow {word & 0xFFFFF:#x}" if shows_label else ""
    return f"{source} > {destination} hop limit {hop_limit} class {word >> 20 & 0xFF:#x}{label} {shown}"


def _content(protocol: int, message: bytes, offset: int, more: bool, pseudo_header: bytes, shows_ident: bool) -> str:
    """The message or part of it; "" if it is no ICMP request."""
    if protocol not in _REQUESTS:
        return ""
    if offset:
        return f"{len(message)} more bytes from {offset}{'' if more else ', the last'}"
    if len(message) < _ICMP.size:
        return ""
    kind, code, _sum, ident, sequence = _ICMP.unpack_from(message)
    name = _REQUESTS[protocol].get(kind)
    if name is None:
        return ""
    wrong = "" if more or _sums_up(pseudo_header + message) else " WRONG CHECKSUM"
    data = message[_ICMP.size :]
    if kind == _NODE_INFORMATION:
        # RFC 4620: a nonce of 8 bytes, of which iputils makes all but the sequence number by chance.
        data = data[:2] + bytes(6) + data[8:]
        shows_ident = True  # it is the kind of question
    return (
        f"{name} code {code} ident {ident if shows_ident else 'I'} seq {_sequence(kind, sequence)}{wrong}"
        f" {len(data)} bytes{' and more' if more else ''} {_data(data)}"
    )


def _sequence(kind: int, sequence: int) -> str:
    return f"{sequence >> 8} flags {sequence & 0xFF:#x}" if kind in _EXTENDED_ECHO else str(sequence)


def _data(data: bytes) -> str:
    begins = ""
    if len(data) >= _TIMEVAL.size:
        seconds, fraction = _TIMEVAL.unpack_from(data)
        if abs(seconds - time.time()) < _RECENTLY and 0 <= fraction < 1_000_000:
            begins, data = "time ", data[_TIMEVAL.size :]
    return begins + data[:_SHOWN].hex() + (f" ... crc {zlib.crc32(data):08x}" if len(data) > _SHOWN else "")


def _options(options: bytes) -> str:
    if not options:
        return ""
    return f" options {_without_times(options) if options[0] == _TIMESTAMP_OPTION else options.hex()}"


def _without_times(option: bytes) -> str:
    """A timestamp option (RFC 781): type, length, pointer, overflow and flag, then times or addresses with times."""
    words = [option[at : at + 4].hex() for at in range(4, len(option), 4)]
    is_time = range(0, len(words), 1) if not option[3] & 15 else range(1, len(words), 2)
    for at in is_time:
        if words[at].strip("0"):
            words[at] = "time"
    return " ".join([option[:4].hex(), *words])


def _sums_up(data: bytes) -> bool:
    data += bytes(len(data) & 1)
    return sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)) % 0xFFFF == 0
