"""Records as JSON: one flat object for each, as every program of this project prints them.

Each object has a "type", which tells its other keys. Common ones:

    host, address     whom the probe went to: as the user wrote it, and the address
    number            which of the target's probes, from 1; 0 if the record is about none
    sequence          its sequence number on the wire, 0 ... 65535
    sent_at           seconds since 1970, null if it was not sent

Times are seconds, as floats. Addresses are text, with %INDEX behind them if they have a scope. Bytes are hexadecimal.
What is not known is null. ICMP types, codes and errnos are told as numbers and as names.
"""

from __future__ import annotations

import errno
import os
from socket import AF_INET, inet_ntop

from pingsock.probe.records import (
    Duplicate,
    IcmpError,
    IcmpReport,
    Late,
    Note,
    Overflow,
    Reply,
    SendFailure,
    Skipped,
    Stray,
    Summary,
    Timeout,
    Unmeasured,
    Unresolved,
)
from pingsock.probe.result import PingResult, Result
from pingsock.wire import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pingsock.probe.records import Record
    from pingsock.probe.statistics import Statistics
    from pingsock.probe.target import SocketAddress, Target

TYPE_NAMES: dict[type, str] = {
    Reply: "reply",
    Late: "late",
    Duplicate: "duplicate",
    IcmpError: "icmp_error",
    Note: "note",
    SendFailure: "send_failure",
    Timeout: "timeout",
    Overflow: "overflow",
    Unmeasured: "unmeasured",
    Skipped: "skipped",
    Stray: "stray",
    Summary: "summary",
    Unresolved: "unresolved",
}
"""Record -> its "type"."""
_NAMES = TYPE_NAMES | {PingResult: "ping"}


def jsonable(record: Record | Stray | Summary | Unresolved) -> dict[str, Any]:
    """A record as what `json.dumps` takes, and `json.loads` gives back unchanged.

    The result of a ping becomes its summary, with its records in a list; that of a sweep its summary, with the state.

    :raises TypeError: this is no record of a prober.
    """
    name = _NAMES.get(type(record)) or (TYPE_NAMES[Summary] if isinstance(record, Result) else "")
    if not name:
        raise TypeError(f"{type(record).__name__} is no record of a prober")
    flat: dict[str, Any] = {"type": name}
    for field, content in record.as_dict().items():
        translate = _TRANSLATIONS.get(field)
        if translate is None:
            flat[field] = content
        else:
            flat.update(translate(content))
    if isinstance(record, IcmpReport):
        flat.update(_icmp(record))
    elif isinstance(record, Result):
        flat.update(is_alive=record.is_alive, reason=record.reason or None)
    return flat


def address_text(address: SocketAddress) -> str:
    """The address of a socket address, with %INDEX behind it if it has a scope."""
    # getnameinfo() puts the scope's name behind some addresses, the number is in all.
    host = str(address[0]).partition("%")[0]
    return f"{host}%{address[3]}" if address[3:] and address[3] else host


def _target(target: Target) -> dict[str, Any]:
    return {"host": target.host, "address": address_text(target.address)}


def _sent(nanoseconds: int) -> dict[str, Any]:
    # A float of this size is exact to a quarter of a microsecond.
    return {"sent_at": round(nanoseconds / 1e9, 6) if nanoseconds else None}


def _errno(number: int) -> dict[str, Any]:
    return {"errno": number, "errno_name": errno.errorcode.get(number), "reason": os.strerror(number)}


def _statistics(statistics: Statistics) -> dict[str, Any]:
    return statistics.as_dict()


def _icmp(record: IcmpReport) -> dict[str, Any]:
    """The type, under a name that is free, the names of type and code, and what the info means."""
    family = record.target.family
    meaning = INFO_MEANINGS.get((family == AF_INET, record.type), "")
    if meaning == "mtu" and family == AF_INET and record.code != types.FRAGMENTATION_NEEDED:
        meaning = ""
    told = {
        "icmp_type": record.type,
        "icmp_type_name": types.type_name(family, record.type),
        "icmp_code": record.code,
        "icmp_code_name": types.code_name(family, record.type, record.code),
    }
    if meaning:
        told[meaning] = _gateway(record.info) if meaning == "gateway" else record.info
    return told


def _gateway(info: int) -> str:
    return inet_ntop(AF_INET, info.to_bytes(4, "big"))


INFO_MEANINGS = {
    (True, types.ICMP4_DESTINATION_UNREACHABLE): "mtu",
    (True, types.ICMP4_REDIRECT): "gateway",
    (True, types.ICMP4_PARAMETER_PROBLEM): "pointer",
    (False, types.ICMP6_PACKET_TOO_BIG): "mtu",
    (False, types.ICMP6_PARAMETER_PROBLEM): "pointer",
}
"""("is it IPv4", ICMP type) -> the key under which `info` is told. Of IPv4's unreachables one code alone has an MTU."""


def _address_as(key: str) -> Callable[[SocketAddress], dict[str, Any]]:
    return lambda address: {key: address_text(address)}


def _seconds_as(key: str) -> Callable[[int], dict[str, Any]]:
    return lambda nanoseconds: {key: nanoseconds / 1e9 if nanoseconds >= 0 else None}


def _unless(unknown: int, key: str) -> Callable[[int], dict[str, Any]]:
    return lambda number: {key: None if number == unknown else number}


def _omitted(_content: object) -> dict[str, Any]:
    return {}


_TRANSLATIONS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "target": _target,
    "sent": _sent,
    "source": _address_as("source"),
    "reporter": _address_as("reporter"),
    "message": lambda message: {"message": message.hex()},
    "hop_limit": _unless(-1, "hop_limit"),
    "altered_at": _unless(-1, "altered_at"),
    "mtu": _unless(0, "mtu"),
    "round_trip_ns": _seconds_as("round_trip"),
    "waited_ns": _seconds_as("waited"),
    "timed": lambda how: {"timed": how or None},
    "revises": lambda revised: {"revises": revised or None},
    "errno": _errno,
    "statistics": _statistics,
    "records": lambda records: {"records": [jsonable(each) for each in records]},
    "reply": lambda reply: {"answered_by": None if reply is None else address_text(reply.source)},
    "failure": lambda outcome: {"failure": None if outcome is None else jsonable(outcome)},
    "type": _omitted,
    "code": _omitted,
    "info": _omitted,
}
"""Field of a record -> its keys and contents; fields not named here are told as they are.

Those of an ICMP message make sense only together, see `_icmp`.
"""
