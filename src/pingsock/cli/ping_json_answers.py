"""What answers other than echoes say, for `ping --json` with --timestamp, --mask and --probe."""

from __future__ import annotations

from _socket import AF_INET, inet_ntop

from pingsock.tools.pairs import EXTENDED_ECHO, REQUEST_TYPES, one_way, parse_answer_untrusted
from pingsock.wire.errors import BadPacket
from pingsock.wire.icmp4 import AddressMaskReply, TimestampReply
from pingsock.wire.message import ExtendedEchoAnswer
from pingsock.wire.types import code_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pingsock.probe.records import EchoReply

_MILLISECONDS = 1000


def answer(record: EchoReply) -> dict[str, Any] | None:
    """The contents of the answer that came in place of this echo reply; None if it is cut off."""
    try:
        told = parse_answer_untrusted(record.target.family, record.message)
    except BadPacket:
        return None
    if isinstance(told, TimestampReply):
        return _times(told, record)
    if isinstance(told, AddressMaskReply):
        return {"mask": inet_ntop(AF_INET, told.mask)}
    if isinstance(told, ExtendedEchoAnswer):
        return _interface(told, record.target.family)
    return {}


def _times(told: TimestampReply, record: EchoReply) -> dict[str, Any]:
    ways = one_way(record.sent, record.round_trip_ns, told.receive, told.transmit)
    return {
        "receive": told.receive,
        "transmit": told.transmit,
        "there": ways.there / _MILLISECONDS if ways else None,
        "back": ways.back / _MILLISECONDS if ways else None,
        "ahead": ways.ahead / _MILLISECONDS if ways else None,
    }


def _interface(told: ExtendedEchoAnswer, family: int) -> dict[str, Any]:
    reply_type = REQUEST_TYPES[EXTENDED_ECHO][family] + 1
    return {
        "code": told.code,
        "code_name": code_name(family, reply_type, told.code),
        "active": told.active,
        "ipv4": told.ipv4,
        "ipv6": told.ipv6,
    }
