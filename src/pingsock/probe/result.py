"""What came of pinging one host, and the reason if nothing came, in words."""

from __future__ import annotations

import os
from errno import EMSGSIZE

from pingsock.probe.records import (
    EchoReply,
    IcmpError,
    Late,
    Outcome,
    Overflow,
    Reply,
    SendFailure,
    Summary,
    Timeout,
    Unmeasured,
)
from pingsock.wire.types import code_name, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from pingsock.probe.records import Record


class Result(Summary):
    """A summary that judges its target. True whatever it says: ask `is_alive`."""

    @property
    def is_alive(self) -> bool:
        """Whether a probe was answered in time."""
        return self.statistics.is_alive

    @property
    def reason(self) -> str:
        """What happened instead of a reply, in words; "" if nothing did."""
        return ""


class PingResult(Result):
    """What came of pinging one host. True whatever it says: ask `is_alive`."""

    records: tuple[Record, ...]
    """All that was told, in order."""

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What became of each probe in the end, in the order of sending: revised outcomes are left out."""
        last = {record.number: record for record in self.records if isinstance(record, Outcome)}
        return tuple(last[number] for number in sorted(last))

    @property
    def round_trips(self) -> tuple[float, ...]:
        """Those of first replies in seconds, in the order of sending, late ones included."""
        return tuple(record.round_trip for record in self.outcomes if isinstance(record, EchoReply))

    @property
    def reason(self) -> str:
        """Why the host is not alive, in words; "" if it is."""
        return "" if self.is_alive else reason_of(self.outcomes)


def reason_of(outcomes: Iterable[Outcome]) -> str:
    """What tells most of why no probe was answered in time: of the weightiest kind the last one."""
    last = {type(record): record for record in outcomes}
    weightiest = next((last[kind] for kind in _BY_WEIGHT if kind in last), None)
    return "no probe was sent" if weightiest is None else explain(weightiest)


def explain(outcome: Outcome) -> str:
    """What became of a probe, in words.

    :raises TypeError: this is no outcome.
    """
    words = _TEXTS.get(type(outcome))
    if words is None:
        raise TypeError(f"{type(outcome).__name__} is no outcome of a probe")
    return words(outcome)


def _reply(record: EchoReply) -> str:
    return f"reply from {record.source[0]} after {record.round_trip:.6f} s"


def _late(record: Late) -> str:
    return f"late reply from {record.source[0]} after {record.round_trip:.6f} s"


def _icmp_error(record: IcmpError) -> str:
    family = record.target.family
    told = f"{type_name(family, record.type)}: {code_name(family, record.type, record.code)}"
    return f"{told}, says {record.reporter[0]}" if record.reporter[0] else told


def _send_failure(record: SendFailure) -> str:
    known = f" (MTU {record.mtu})" if record.errno == EMSGSIZE and record.mtu else ""
    return f"not sent: {os.strerror(record.errno)}{known}"


def _timeout(record: Timeout) -> str:
    return f"no reply within {record.waited_ns / 1e9:g} s"


def _overflow(record: Overflow) -> str:
    return f"{_timeout(record)}, but our receive buffer overflowed meanwhile"


def _unmeasured(record: Unmeasured) -> str:
    return f"{_timeout(record)}, but this process did not run for half of them or more"


_TEXTS: dict[type, Callable[[Any], str]] = {
    Reply: _reply,
    IcmpError: _icmp_error,
    SendFailure: _send_failure,
    Late: _late,
    Timeout: _timeout,
    Overflow: _overflow,
    Unmeasured: _unmeasured,
}
_BY_WEIGHT = (IcmpError, SendFailure, Late, Timeout, Overflow, Unmeasured)
