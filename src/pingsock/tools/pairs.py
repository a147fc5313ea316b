"""Probes that are no echo: ICMP Timestamp, Information and Address Mask (RFC 792, 950), extended echo (RFC 8335).

Some facts about these pairs
----------------------------

* A timestamp message has three times in milliseconds since midnight UT: of the request's sending, its arrival, the
  reply's sending. With the high bit set a time is on another scale (RFC 792).
* The sequence number of an extended echo has 8 bits only.
* The kernel's ping sockets send extended echo requests, if with code 0, and none of the others.

What this means here
--------------------

`PairSocket` is a socket on which a prober sends echo requests, and out go requests of the pair; replies come back as
echo replies that carry 16 bytes, as much as a probe with the time has, and then the whole reply. So pacing, matching
and outcomes are the prober's.
An extended echo reply belongs to the last probe sent with its 8 bits: more than 256 under way cannot be told apart.
"""

from __future__ import annotations

from struct import Struct

from pingsock.wire import linux, types
from pingsock.wire.message import ExtendedEchoQuery, message_without_checksum
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from pingsock.sockets.choose import PingSocket
    from pingsock.wire.icmp4 import Icmp4Message
    from pingsock.wire.icmp6 import Icmp6Message

    Item = tuple[int, int, bytes]
    Received = tuple[bytes, list[Item], int, Any]

TIMESTAMP, INFORMATION, ADDRESS_MASK, EXTENDED_ECHO = "timestamp", "information", "address-mask", "extended-echo"
"""The names of the pairs."""
REQUEST_TYPES = {
    TIMESTAMP: {linux.AF_INET: types.ICMP4_TIMESTAMP_REQUEST},
    INFORMATION: {linux.AF_INET: types.ICMP4_INFORMATION_REQUEST},
    ADDRESS_MASK: {linux.AF_INET: types.ICMP4_ADDRESS_MASK_REQUEST},
    EXTENDED_ECHO: {
        linux.AF_INET: types.ICMP4_EXTENDED_ECHO_REQUEST,
        linux.AF_INET6: types.ICMP6_EXTENDED_ECHO_REQUEST,
    },
}
"""Pair -> family -> type of the request."""
_REPLY_TO = {linux.AF_INET: types.ICMP4_REPLY_TO, linux.AF_INET6: types.ICMP6_REPLY_TO}
_ECHO_TYPES = {
    linux.AF_INET: (types.ICMP4_ECHO_REQUEST, types.ICMP4_ECHO_REPLY),
    linux.AF_INET6: (types.ICMP6_ECHO_REQUEST, types.ICMP6_ECHO_REPLY),
}

DAY = 24 * 3600 * 1000
"""Milliseconds; the times of timestamp messages begin again each day."""
OTHER_SCALE = 1 << 31
"""The bit of a time that is not in milliseconds since midnight UT."""

_UNCHANGED = frozenset(
    {"bind", "close", "connect", "family", "fileno", "getsockname", "getsockopt", "kind", "setblocking", "setsockopt"}
)
"""What a `PairSocket` leaves to the socket it stands on."""
_HEADER = Struct("!BBHHH")
_HEADER_BYTES = 8
_TIME = Struct(linux.TIMEVAL_NEW_LAYOUT)

PROBE_SIZE = _TIME.size
"""Bytes of payload that the prober's probes must have, and that come before a reply."""
_DATA_SIZES = {TIMESTAMP: 12, INFORMATION: 0, ADDRESS_MASK: 4}


class PairQuery(Value):
    """What is asked."""

    pair: str
    """TIMESTAMP, INFORMATION, ADDRESS_MASK or EXTENDED_ECHO."""
    data: bytes = b""
    """The rest of an extended echo request: `pingsock.wire.extensions.interface_query`."""

    @property
    def size(self) -> int:
        """Bytes of a request behind its first 8."""
        return _DATA_SIZES.get(self.pair, len(self.data))

    def request(self, family: int, sequence: int, sent: int) -> bytes:
        """A request without identifier and checksum, which sockets fill in.

        `sent` is when it is sent, nanoseconds since 1970. An extended echo has the low 8 bits of `sequence`.
        """
        kind = REQUEST_TYPES[self.pair][family]
        if self.pair == EXTENDED_ECHO:
            return bytes((kind, 0, 0, 0)) + ExtendedEchoQuery(0, sequence & 0xFF, data=self.data).rest()
        from pingsock.wire import icmp4  # lazy: probes over IPv6 need none of it

        if self.pair == TIMESTAMP:
            return message_without_checksum(icmp4.TimestampRequest(0, sequence, of_day(sent)))
        if self.pair == ADDRESS_MASK:
            return message_without_checksum(icmp4.AddressMaskRequest(0, sequence))
        return message_without_checksum(icmp4.InformationRequest(0, sequence))


class OneWay(Value):
    """What a timestamp reply says of the two ways, milliseconds, the difference of both clocks in each."""

    there: int
    """From our sending to the arrival on their clock."""
    back: int
    """From their sending to the arrival here."""

    @property
    def ahead(self) -> float:
        """By how much their clock is ahead of ours, if both ways take the same time."""
        return (self.there - self.back) / 2


def of_day(calendar: int) -> int:
    """Milliseconds since midnight UT, of nanoseconds since 1970."""
    return calendar // 1_000_000 % DAY


def one_way(sent: int, round_trip: int, receive: int, transmit: int) -> OneWay | None:
    """The one-way differences; None if one of their times is on another scale.

    `sent` is nanoseconds since 1970 and `round_trip` nanoseconds; `receive` and `transmit` are the reply's times.
    """
    if (receive | transmit) & OTHER_SCALE:
        return None
    return OneWay(_difference(receive, of_day(sent)), _difference(of_day(sent + round_trip), transmit))


def _difference(later: int, earlier: int) -> int:
    """The nearest one, whichever side of midnight both are."""
    return (later - earlier + DAY // 2) % DAY - DAY // 2


def parse_answer_untrusted(family: int, message: bytes) -> Icmp4Message | Icmp6Message:
    """The reply that an echo reply of a `PairSocket` carries.

    :raises BadPacket: it is cut off.
    """
    answer = message[_HEADER_BYTES + PROBE_SIZE :]
    if family == linux.AF_INET:
        from pingsock.wire.icmp4 import parse_icmp4_untrusted

        return parse_icmp4_untrusted(answer, verify_checksum=False)
    from pingsock.wire.icmp6 import parse_icmp6_untrusted

    return parse_icmp6_untrusted(answer, verify_checksum=False)


class PairSocket:
    """Sends a request of the pair for each echo request that is sent on it. Closes the socket it stands on."""

    def __init__(self, sock: PingSocket, query: PairQuery) -> None:
        self._sock = sock
        self._query = query
        self._family = int(sock.family)
        self._request = REQUEST_TYPES[query.pair][self._family]
        self._reply = _REPLY_TO[self._family][self._request]
        self._has_short_sequences = query.pair == EXTENDED_ECHO
        self._sequences: dict[int, int] = {}
        """8 bits -> the sequence number of the last probe that had them."""

    def __getattr__(self, name: str) -> Any:
        # Nothing else: what receives or sends in other ways would go past the translation.
        if name not in _UNCHANGED:
            raise AttributeError(f"{type(self).__name__} has no {name!r}")
        return getattr(self._sock, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._sock.close()

    def sendto(self, message: bytes, address: Any) -> int:
        """Send a request with the sequence number of the echo request `message`, whose payload begins with the time."""
        _, _, _, _, sequence = _HEADER.unpack_from(message)
        if self._has_short_sequences:
            self._sequences[sequence & 0xFF] = sequence
        seconds, microseconds = _TIME.unpack_from(message, _HEADER_BYTES)
        sent = (seconds * 1_000_000 + microseconds) * 1000
        return self._sock.sendto(self._query.request(self._family, sequence, sent), address)

    def recvmsg(self, size: int, ancillary_size: int = 0, flags: int = 0) -> Received:
        """The next reply of the pair, as an echo reply; in the error queue a quoted request, as an echo request.

        What is no reply of the pair is passed over.
        """
        is_quote = bool(flags & linux.MSG_ERRQUEUE)
        while True:
            content, items, told, address = self._sock.recvmsg(size, ancillary_size, flags)
            if is_quote:
                # Without content it is a time stamp, or this host's own refusal.
                return self._as_echo_untrusted(content, is_quote=True), items, told, address
            if content[:1] == bytes((self._reply,)) and (echo := self._as_echo_untrusted(content, is_quote=False)):
                return echo, items, told, address

    def _as_echo_untrusted(self, message: bytes, *, is_quote: bool) -> bytes:
        """b"" for what is too short, or has a sequence number of no probe."""
        if len(message) < _HEADER_BYTES or message[0] != (self._request if is_quote else self._reply):
            return b""
        _, _, _, ident, sequence = _HEADER.unpack_from(message)
        if self._has_short_sequences:
            sequence = self._sequences.get(sequence >> 8, -1)
            if sequence < 0:
                return b""
        request, reply = _ECHO_TYPES[self._family]
        if is_quote:
            return _HEADER.pack(request, 0, 0, ident, sequence)
        return _HEADER.pack(reply, 0, 0, ident, sequence) + bytes(PROBE_SIZE) + message
