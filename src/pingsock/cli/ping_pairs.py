"""`ping --timestamp`, `--info`, `--mask` and `--probe`: what they ask, over which socket, and how answers are shown."""

from __future__ import annotations

import os
from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from pingsock.cli.arguments import Refused
from pingsock.cli.ping_lines import Lines
from pingsock.probe.records import EchoReply
from pingsock.sockets.bare import open_quickly
from pingsock.sockets.errors import NoPingSocket
from pingsock.sockets.pairs import open_pair_socket
from pingsock.tools.pairs import (
    ADDRESS_MASK,
    DAY,
    EXTENDED_ECHO,
    INFORMATION,
    PROBE_SIZE,
    REQUEST_TYPES,
    TIMESTAMP,
    OneWay,
    PairQuery,
    PairSocket,
    one_way,
    parse_answer_untrusted,
)
from pingsock.wire import icmp4, icmp6
from pingsock.wire.errors import BadPacket
from pingsock.wire.extensions import interface_query
from pingsock.wire.icmp4 import AddressMaskReply, TimestampReply
from pingsock.wire.interfaces import AFI_MAC48, InterfaceByAddress, InterfaceByIndex, InterfaceByName
from pingsock.wire.types import code_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pingsock.cli.ping_options import Settings
    from pingsock.sockets.choose import Refusals
    from pingsock.wire.interfaces import InterfaceIdentification

OPTIONS = {TIMESTAMP: "--timestamp", INFORMATION: "--info", ADDRESS_MASK: "--mask", EXTENDED_ECHO: "--probe"}
"""Pair -> the option that asks for it."""

_HEADER_BYTES = 8
_LONGEST_NAME = 63
_LARGEST_INDEX = 2**32 - 1
_MAC_BYTES = 6


# What is asked


def ask_timestamp(settings: Settings, _text: str) -> None:
    """`--timestamp`."""
    _ask(settings, PairQuery(TIMESTAMP))


def ask_information(settings: Settings, _text: str) -> None:
    """`--info`."""
    _ask(settings, PairQuery(INFORMATION))


def ask_mask(settings: Settings, _text: str) -> None:
    """`--mask`."""
    _ask(settings, PairQuery(ADDRESS_MASK))


def ask_probe(settings: Settings, text: str) -> None:
    """`--probe IFACE`."""
    _ask(settings, PairQuery(EXTENDED_ECHO, interface_query(interface_of(text))))


def _ask(settings: Settings, query: PairQuery) -> None:
    if settings.pair is not None:
        raise Refused("only one of --timestamp, --info, --mask and --probe may be used")
    settings.pair = query


def interface_of(text: str) -> InterfaceIdentification:
    """The interface that is meant by its number, IPv4, IPv6 or MAC address, or else name.

    :raises Refused: no interface can be called so.
    """
    index = _index(text)
    if index >= 0:
        return InterfaceByIndex(index)
    if address := _packed(text):
        return InterfaceByAddress(address)
    if mac := _mac(text):
        return InterfaceByAddress(mac, AFI_MAC48)
    name = os.fsencode(text)
    if not 0 < len(name) <= _LONGEST_NAME:
        raise Refused(
            f"--probe: '{text}' is no interface: a name of up to {_LONGEST_NAME} bytes, a number or an address"
        )
    return InterfaceByName(name)


def _index(text: str) -> int:
    """-1 if it is no number of 32 bits."""
    significant = text.lstrip("0") or text[:1]
    if not (text.isascii() and text.isdecimal()) or len(significant) > len(str(_LARGEST_INDEX)):
        return -1
    return int(significant) if int(significant) <= _LARGEST_INDEX else -1


def _packed(text: str) -> bytes:
    for family in (AF_INET, AF_INET6):
        try:
            return inet_pton(family, text)
        except (OSError, ValueError):
            continue
    return b""


def _mac(text: str) -> bytes:
    parts = text.split(":")
    try:
        return bytes.fromhex("".join(parts)) if list(map(len, parts)) == [2] * _MAC_BYTES else b""
    except ValueError:
        return b""


def check(settings: Settings, query: PairQuery) -> None:
    """See whether this can be asked of the destination; what there is for IPv4 only makes IPv4 the family.

    :raises Refused: it cannot.
    """
    option = OPTIONS[query.pair]
    if settings.node_query is not None or settings.ident == 0:
        raise Refused(f"{option} cannot be used together with {'-N' if settings.node_query is not None else '-e 0'}")
    if AF_INET6 not in REQUEST_TYPES[query.pair]:
        if settings.family == AF_INET6 or ":" in settings.operands[-1]:
            raise Refused(f"{option}: ICMPv6 has no such messages, only ICMP for IPv4 has")
        settings.family = AF_INET
    settings.size = query.size


# Over which socket


def open_socket(query: PairQuery, family: int, earlier: Refusals = ()) -> Any:
    """A ping socket, as far as is needed here, whose probes ask this. `earlier` as for `choose`.

    :raises Refused: our own layer is needed, and cannot be had.
    :raises NoPingSocket: there is no ping socket of any kind.
    """
    if query.pair == EXTENDED_ECHO:
        return PairSocket(open_quickly(family, earlier), query)
    request = REQUEST_TYPES[query.pair][family]
    try:
        return PairSocket(open_pair_socket(query.pair, request), query)
    except NoPingSocket as refused:
        raise Refused(_no_layer(query.pair, request, refused)) from refused


def _no_layer(pair: str, request: int, refused: NoPingSocket) -> str:
    said = {kind: error.strerror for kind, error in refused.refusals}
    return (
        f"{OPTIONS[pair]}: the kernel's ping sockets do not send ICMP type {request}, and our own layer cannot be had:"
        f" in this process, {said['embedded']}; from a service, {said['served']}"
    )


# How answers are shown


class PairLines(Lines):
    """Prints records as lines, with what the answers say."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._least: OneWay | None = None
        """Of each way the shortest, as it had the fewest queues to wait in."""

    def tell(self, record: object) -> None:
        """Print what is to be printed of a record."""
        if isinstance(record, EchoReply) and not record.other_source:
            self._note(_ways(record))
        super().tell(record)

    def _note(self, ways: OneWay | None) -> None:
        least = self._least
        if ways is not None and least is not None:
            ways = OneWay(min(ways.there, least.there), min(ways.back, least.back))
        self._least = ways or least

    def closing(self) -> str:
        """The shortest ways, if timestamps were asked for and told."""
        return "" if self._least is None else f"least{_differences(self._least)}\n"

    def _said(self, record: EchoReply) -> tuple[int, str]:
        size = len(record.message) - _HEADER_BYTES - PROBE_SIZE
        return size, f" icmp_seq={record.sequence}"

    def _behind(self, record: EchoReply) -> str:
        return answer_text(record) + super()._behind(record)


def answer_text(record: EchoReply) -> str:
    """What the answer that came in place of this echo reply says, with a blank in front; "" if it is mere presence."""
    try:
        answer = parse_answer_untrusted(record.target.family, record.message)
    except BadPacket:
        return " (truncated)"
    if isinstance(answer, TimestampReply):
        return _times(answer, record)
    if isinstance(answer, AddressMaskReply):
        return f" mask={inet_ntop(AF_INET, answer.mask)}{_prefix(answer.mask)}"
    if isinstance(answer, (icmp4.ExtendedEchoReply, icmp6.ExtendedEchoReply)):
        return f" {_state(answer, record.target.family)}"
    return ""


def _times(answer: TimestampReply, record: EchoReply) -> str:
    text = f" received={_clock(answer.receive)} sent={_clock(answer.transmit)}"
    ways = _ways(record)
    return text if ways is None else text + _differences(ways)


def _ways(record: EchoReply) -> OneWay | None:
    """The one-way differences that a timestamp reply tells; None if it tells none, or is another message."""
    try:
        answer = parse_answer_untrusted(record.target.family, record.message)
    except BadPacket:
        return None
    if not isinstance(answer, TimestampReply):
        return None
    return one_way(record.sent, record.round_trip_ns, answer.receive, answer.transmit)


def _differences(ways: OneWay) -> str:
    return f" there={ways.there} ms back={ways.back} ms ahead={ways.ahead:.1f} ms"


def _clock(milliseconds: int) -> str:
    """A time of day in UT; what is none, as the number it is."""
    if milliseconds >= DAY:
        return f"0x{milliseconds:08x}"
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}.{milliseconds:03}"


def _prefix(mask: bytes) -> str:
    """The length of a mask whose ones are all in front."""
    bits = f"{int.from_bytes(mask, 'big'):032b}"
    return "" if "01" in bits else f" (/{bits.count('1')})"


def _state(answer: icmp4.ExtendedEchoReply | icmp6.ExtendedEchoReply, family: int) -> str:
    if answer.code:
        return f"({code_name(family, answer.type, answer.code)})"
    if not answer.active:
        return "interface=inactive"
    running = [name for name, runs in (("IPv4", answer.ipv4), ("IPv6", answer.ipv6)) if runs]
    return f"interface=active ({', '.join(running) or 'neither IPv4 nor IPv6'})"
