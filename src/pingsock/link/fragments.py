"""IP fragments: cutting packets to a size and putting them together again (RFC 791, RFC 8200 section 4.5).

Overlaps are treated as Linux does (RFC 5722 for both families): a fragment all of whose bytes are known already is a
harmless duplicate, any other overlap condemns the whole packet.
"""

from __future__ import annotations

from bisect import bisect_left
from struct import Struct

from pingsock.wire.checksum import internet_checksum
from pingsock.wire.errors import BadPacket
from pingsock.wire.value import Value

_MORE_FRAGMENTS, _DONT_FRAGMENT, _OFFSET_MASK = 0x2000, 0x4000, 0x1FFF
_END_OF_OPTIONS, _NO_OPERATION, _COPIED = 0, 1, 0x80
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION_OPTIONS = 0, 43, 44, 60
_FRAGMENT_HEADER = Struct("!BxHI")
"""Next header, offset in units of 8 bytes << 3 | more fragments, identification."""

_TIMEOUT = {4: 30.0, 6: 60.0}
"""Seconds an incomplete packet is kept, counted from its first fragment (ipfrag_time, ip6frag_time)."""
_OVERHEAD = 256
"""What a fragment is charged besides its bytes, so that many small ones cannot evade the memory limit."""


def fragment_ipv4(packet: bytes, size: int) -> list[bytes]:
    """An IPv4 packet cut into fragments of at most `size` bytes, or itself alone if it fits.

    Options that are not to be copied are blanked in all but the first fragment; DF is cleared. A fragment may be
    cut again. ValueError if `size` does not hold the header and 8 bytes.
    """
    if len(packet) <= size:
        return [packet]
    header_length = (packet[0] & 0xF) * 4
    step = (size - header_length) & ~7
    if step <= 0:
        raise ValueError(f"fragments of {size} bytes do not hold a header of {header_length} and 8 bytes more")
    flags = int.from_bytes(packet[6:8], "big")
    start, more_behind = flags & _OFFSET_MASK, flags & _MORE_FRAGMENTS
    payload = packet[header_length:]
    first, later = packet[:header_length], packet[:20] + _copied_options(packet[20:header_length])
    fragments = []
    for offset in range(0, len(payload), step):
        piece = payload[offset : offset + step]
        more = _MORE_FRAGMENTS if offset + step < len(payload) else more_behind
        header = later if offset else first
        fragments.append(_ipv4_header(header, len(piece), (start + offset // 8) | more) + piece)
    return fragments


def _ipv4_header(header: bytes, payload_length: int, flags_and_offset: int) -> bytes:
    """`header` with its length, fragment and checksum fields made right."""
    length = (len(header) + payload_length).to_bytes(2, "big")
    start = header[:2] + length + header[4:6] + flags_and_offset.to_bytes(2, "big") + header[8:10]
    checksum = internet_checksum(start + b"\0\0" + header[12:])
    return start + checksum.to_bytes(2, "big") + header[12:]


def _copied_options(options: bytes) -> bytes:
    """The options of a later fragment: those without the copied flag (RFC 791, 3.1) become NOPs, as in Linux."""
    kept = bytearray(options)
    at = 0
    while at < len(options) and options[at] != _END_OF_OPTIONS:
        length = 1 if options[at] == _NO_OPERATION else options[at + 1] if at + 1 < len(options) else 0
        if length < 1 or at + length > len(options):
            break
        if not options[at] & _COPIED:
            kept[at : at + length] = bytes([_NO_OPERATION]) * length
        at += length
    return bytes(kept)


def fragment_ipv6(packet: bytes, size: int, identification: int) -> list[bytes]:
    """An IPv6 packet cut into fragments of at most `size` bytes, or itself alone if it fits.

    `identification` (32 bits) must not repeat soon for the same addresses. Headers that routers read (hop-by-hop,
    routing, destination options before it) stay in front of each fragment header. ValueError if `size` does not hold
    these, the fragment header and 8 bytes.
    """
    if len(packet) <= size:
        return [packet]
    link_at, split_at = _end_of_unfragmentable_part(packet)
    step = (size - split_at - 8) & ~7
    if step <= 0:
        raise ValueError(f"fragments of {size} bytes do not hold headers of {split_at + 8} and 8 bytes more")
    next_header = packet[link_at]
    front = packet[6:link_at] + bytes([_FRAGMENT]) + packet[link_at + 1 : split_at]
    payload = packet[split_at:]
    fragments = []
    for offset in range(0, len(payload), step):
        piece = payload[offset : offset + step]
        more = offset + step < len(payload)
        length = split_at - 40 + 8 + len(piece)
        fragment = _FRAGMENT_HEADER.pack(next_header, offset | more, identification & 0xFFFFFFFF)
        fragments.append(packet[:4] + length.to_bytes(2, "big") + front + fragment + piece)
    return fragments


def _end_of_unfragmentable_part(packet: bytes) -> tuple[int, int]:
    """Where the next-header byte before the fragment header stands, and where that header goes."""
    link_at, at = 6, 40
    found = (link_at, at)
    while packet[link_at] in (_HOP_BY_HOP, _ROUTING, _DESTINATION_OPTIONS) and at + 8 <= len(packet):
        kind = packet[link_at]
        link_at, at = at, at + 8 + packet[at + 1] * 8
        if kind != _DESTINATION_OPTIONS and at <= len(packet):
            found = (link_at, at)
    return found


class _Fragment(Value):
    version: int
    key: tuple[bytes, ...]
    header: bytes
    """All in front of the fragment header and the payload; says what follows in the whole packet."""
    offset: int
    payload: bytes
    more: bool
    size: int
    """Bytes of IP packet."""
    dont_fragment: bool = False

    @property
    def congestion(self) -> int:
        """The ECN bits."""
        return self.header[1] & 3 if self.version == 4 else self.header[1] >> 4 & 3


def _parse_ipv4_untrusted(packet: bytes) -> _Fragment | None:
    header_length = (packet[0] & 0xF) * 4
    size = int.from_bytes(packet[2:4], "big")
    if not 20 <= header_length <= size <= len(packet):
        raise BadPacket(f"IPv4 header of {header_length} and packet of {size} bytes in {len(packet)} bytes")
    flags = int.from_bytes(packet[6:8], "big")
    more = bool(flags & _MORE_FRAGMENTS)
    if not flags & _OFFSET_MASK and not more:
        return None
    key = (packet[4:6], packet[9:10], packet[12:20])
    end = header_length + (size - header_length & ~7) if more else size
    payload = packet[header_length:end]
    offset = (flags & _OFFSET_MASK) * 8
    return _Fragment(4, key, packet[:header_length], offset, payload, more, size, bool(flags & _DONT_FRAGMENT))


def _parse_ipv6_untrusted(packet: bytes) -> _Fragment | None:
    size = 40 + int.from_bytes(packet[4:6], "big")
    if len(packet) < size:
        raise BadPacket(f"IPv6 packet of {size} bytes in {len(packet)} bytes")
    link_at, at = 6, 40
    while packet[link_at] in (_HOP_BY_HOP, _ROUTING, _DESTINATION_OPTIONS) and at + 8 <= size:
        link_at, at = at, at + 8 + packet[at + 1] * 8
    if packet[link_at] != _FRAGMENT or at + 8 > size:
        return None
    next_header, offset, identification = _FRAGMENT_HEADER.unpack_from(packet, at)
    if next_header == _HOP_BY_HOP:
        raise BadPacket("hop-by-hop options behind a fragment header")
    header = packet[:link_at] + bytes([next_header]) + packet[link_at + 1 : at]
    payload, more = packet[at + 8 : size], bool(offset & 1)
    if more and len(payload) & 7:
        raise BadPacket(f"fragment of {len(payload)} bytes is not the last, yet no multiple of 8")
    return _Fragment(6, (identification.to_bytes(4, "big"), packet[8:40]), header, offset & ~7, payload, more, size)


class _Partial:
    """The fragments of one packet that have arrived: stretches of payload that do not touch, in order."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.largest = 0
        self.charged = 0
        self._largest_with_df = 0
        self._first: _Fragment | None = None
        self._congestion_marks: set[int] = set()
        self._starts: list[int] = []
        self._stretches: list[bytearray] = []
        self._total: int | None = None

    def add(self, fragment: _Fragment) -> int:
        """Take a fragment; the bytes of memory it costs, 0 for a duplicate. BadPacket if it contradicts the others."""
        offset, end = fragment.offset, fragment.offset + len(fragment.payload)
        self._check_end(fragment, end)
        self.largest = max(self.largest, fragment.size)
        if fragment.dont_fragment:
            self._largest_with_df = max(self._largest_with_df, fragment.size)
        self._congestion_marks.add(fragment.congestion)
        at = bisect_left(self._starts, offset + 1)
        if at and end <= self._end(at - 1):
            return 0
        if (at and offset < self._end(at - 1)) or (at < len(self._starts) and end > self._starts[at]):
            raise BadPacket(f"fragment at {offset} overlaps an earlier one")
        if not offset:
            self._first = fragment
        self._insert(at, offset, fragment.payload)
        return len(fragment.payload) + _OVERHEAD

    def _check_end(self, fragment: _Fragment, end: int) -> None:
        if end == fragment.offset:
            raise BadPacket("fragment without payload")
        if end > 0xFFFF:
            raise BadPacket(f"fragment ends at {end}, beyond the largest IP packet")
        if self._total is not None and end > self._total:
            raise BadPacket(f"fragment ends at {end}, behind the last at {self._total}")
        if fragment.more:
            return
        known_end = self._end(-1) if self._starts else 0
        if end < known_end or self._total not in (None, end):
            raise BadPacket(f"last fragment ends at {end}, others say otherwise")
        self._total = end

    def _insert(self, at: int, offset: int, payload: bytes) -> None:
        if at and self._end(at - 1) == offset:
            at -= 1
            self._stretches[at] += payload
        else:
            self._starts.insert(at, offset)
            self._stretches.insert(at, bytearray(payload))
        if at + 1 < len(self._starts) and self._end(at) == self._starts[at + 1]:
            self._stretches[at] += self._stretches.pop(at + 1)
            del self._starts[at + 1]

    def _end(self, at: int) -> int:
        return self._starts[at] + len(self._stretches[at])

    def whole(self) -> bytes | None:
        """The packet, or None while something is missing. BadPacket if it would be too long."""
        if self._first is None or self._starts != [0] or self._total != len(self._stretches[0]):
            return None
        header, payload = self._first.header, bytes(self._stretches[0])
        mark = self._congestion_mark(self._first.congestion)
        if self._first.version == 6:
            return _ipv6_whole(header[:1] + bytes([header[1] & ~0x30 | mark << 4]) + header[2:], payload)
        if len(header) + len(payload) > 0xFFFF:
            raise BadPacket(f"fragments add up to {len(header) + len(payload)} bytes, more than an IPv4 packet holds")
        flags = _DONT_FRAGMENT if self._largest_with_df == self.largest else 0
        return _ipv4_header(header[:1] + bytes([header[1] & ~3 | mark]) + header[2:], len(payload), flags) + payload

    def _congestion_mark(self, first: int) -> int:
        """The ECN bits of the whole (RFC 3168, section 5.3), where its first fragment had `first`."""
        if 3 not in self._congestion_marks:
            return first
        if 0 in self._congestion_marks:
            raise BadPacket("fragments disagree on explicit congestion notification")
        return 3


def _ipv6_whole(header: bytes, payload: bytes) -> bytes:
    length = len(header) - 40 + len(payload)
    if length > 0xFFFF:
        raise BadPacket(f"fragments add up to a payload of {length} bytes, more than an IPv6 packet holds")
    return header[:4] + length.to_bytes(2, "big") + header[6:] + payload


class Reassembler:
    """Puts the packets of both families together from their fragments.

    At most `memory_limit` bytes are held: when more arrive, the packet that has waited longest goes. `now` is in
    seconds of the caller's monotonic clock.
    """

    def __init__(self, memory_limit: int = 4 << 20) -> None:
        self._memory_limit = memory_limit
        self._held = 0
        self._waiting: dict[int, dict[tuple[bytes, ...], _Partial]] = {4: {}, 6: {}}

    def add_untrusted(self, packet: bytes, now: float) -> tuple[bytes, int] | None:
        """A whole packet and the size of its largest fragment in bytes of IP packet, or None if more must come.

        A packet that is no fragment comes back as it is, with size 0. BadPacket: the fragment, and all of its packet
        that was held, is refused.
        """
        self.expire(now)
        version = packet[0] >> 4 if packet else 0
        if version not in (4, 6):
            raise BadPacket(f"IP version is {version}, not 4 or 6")
        fragment = (_parse_ipv4_untrusted if version == 4 else _parse_ipv6_untrusted)(packet)
        if fragment is None:
            return packet, 0
        if version == 6 and not fragment.offset and not fragment.more:
            return _ipv6_whole(fragment.header, fragment.payload), fragment.size
        return self._take(fragment, now)

    def next_expiry(self) -> float | None:
        """When `expire` has something to do again; None while nothing is held."""
        return min((next(iter(table.values())).deadline for table in self._waiting.values() if table), default=None)

    def expire(self, now: float) -> None:
        """Forget packets that were not completed in time."""
        for version, table in self._waiting.items():
            while table and next(iter(table.values())).deadline <= now:
                self._forget(version, next(iter(table)))

    def _take(self, fragment: _Fragment, now: float) -> tuple[bytes, int] | None:
        table = self._waiting[fragment.version]
        partial = table.get(fragment.key)
        if partial is None:
            partial = table[fragment.key] = _Partial(now + _TIMEOUT[fragment.version])
        try:
            stored = partial.add(fragment)
            whole = partial.whole()
        except BadPacket:
            self._forget(fragment.version, fragment.key)
            raise
        if whole is not None:
            self._forget(fragment.version, fragment.key)
            return whole, partial.largest
        partial.charged += stored
        self._held += stored
        self._make_room()
        return None

    def _make_room(self) -> None:
        while self._held > self._memory_limit:
            began = {
                next(iter(table.values())).deadline - _TIMEOUT[version]: version
                for version, table in self._waiting.items()
                if table
            }
            version = began[min(began)]
            self._forget(version, next(iter(self._waiting[version])))

    def _forget(self, version: int, key: tuple[bytes, ...]) -> None:
        self._held -= self._waiting[version].pop(key).charged
