from __future__ import annotations

import json
from typing import Any

import pytest

from pingsock.probe import records
from pingsock.probe.jsonable import TYPE_NAMES, address_text, jsonable
from pingsock.probe.records import (
    Duplicate,
    IcmpError,
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
)
from pingsock.probe.result import explain
from pingsock.probe.statistics import Statistics
from pingsock.probe.target import Target
from pingsock.tools.sweep_results import ALIVE, UNSENT, SweepResult
from pingsock.wire.value import Value

V4 = Target("host.test", 2, ("192.0.2.1", 0))
V6 = Target("fe80::1%eth0", 10, ("fe80::1", 0, 0, 3))
ROUTER4, ROUTER6 = ("192.0.2.9", 0), ("2001:db8::9", 0, 0, 0)
OF_V4 = {"host": "host.test", "address": "192.0.2.1"}
SENT = {"number": 1, "sequence": 7, "sent_at": 1732345678.123457}


def of_probe(kind: type[Any], target: Target, *facts: Any, **more: Any) -> Any:
    return kind(target, 1, 7, 1_732_345_678_123_456_789, *facts, **more)


def echo(kind: type[Any], target: Target = V4, **more: Any) -> Any:
    return of_probe(kind, target, target.address, b"\0\0\xff", 64, 1_234_567, "kernel", **more)


def statistics() -> Statistics:
    told = Statistics()
    told.enter(echo(Reply))
    return told


ECHO = {
    **OF_V4,
    **SENT,
    "source": "192.0.2.1",
    "message": "0000ff",
    "hop_limit": 64,
    "round_trip": 0.001234567,
    "timed": "kernel",
    "other_source": False,
    "truncated": False,
    "altered_at": None,
    "revises": None,
}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (echo(Reply), {"type": "reply", **ECHO}),
        (echo(Late, revises="timeout"), {"type": "late", **ECHO, "revises": "timeout"}),
        (echo(Duplicate, altered_at=12), {"type": "duplicate", **ECHO, "altered_at": 12}),
        (
            of_probe(SendFailure, V4, 90, 1400),
            {"type": "send_failure", **OF_V4, **SENT}
            | {"errno": 90, "errno_name": "EMSGSIZE", "reason": "Message too long", "mtu": 1400},
        ),
        (of_probe(Timeout, V4, 10**9), {"type": "timeout", **OF_V4, **SENT, "waited": 1.0}),
        (of_probe(Overflow, V4, 10**9), {"type": "overflow", **OF_V4, **SENT, "waited": 1.0}),
        (of_probe(Unmeasured, V4, 10**9), {"type": "unmeasured", **OF_V4, **SENT, "waited": 1.0}),
        (
            Skipped(V4, 0, 0, 0, 5),
            {"type": "skipped", **OF_V4, "number": 0, "sequence": 0, "sent_at": None, "count": 5},
        ),
        (
            Stray(7, ("192.0.2.7", 0), b"\1", records.OTHER_TOKEN),
            {"type": "stray", "sequence": 7, "source": "192.0.2.7", "message": "01", "reason": records.OTHER_TOKEN},
        ),
        (Summary(V4, statistics()), {"type": "summary", **OF_V4, **statistics().as_dict()}),
    ],
)
def test_a_record_is_one_flat_object(record: Any, expected: dict[str, Any]) -> None:
    assert jsonable(record) == expected
    assert json.loads(json.dumps(jsonable(record))) == expected


def report(kind: type[Any], target: Target, reporter: Any, icmp_type: int, code: int, info: int) -> dict[str, Any]:
    told = jsonable(of_probe(kind, target, reporter, icmp_type, code, info))
    assert json.loads(json.dumps(told)) == told
    common = {*OF_V4, *SENT, "revises", "round_trip", "timed"}
    return {key: content for key, content in told.items() if key not in common}


@pytest.mark.parametrize(
    ("kind", "target", "facts", "expected"),
    [
        (
            IcmpError,
            V4,
            (ROUTER4, 3, 1, 0),
            {"type": "icmp_error", "reporter": "192.0.2.9", "icmp_type": 3, "icmp_type_name": "Destination Unreachable"}
            | {"icmp_code": 1, "icmp_code_name": "Host Unreachable"},
        ),
        (
            IcmpError,
            V4,
            (ROUTER4, 3, 4, 1400),
            {"type": "icmp_error", "reporter": "192.0.2.9", "icmp_type": 3, "icmp_type_name": "Destination Unreachable"}
            | {"icmp_code": 4, "icmp_code_name": "Fragmentation Needed and Don't Fragment was Set", "mtu": 1400},
        ),
        (
            Note,
            V4,
            (ROUTER4, 5, 1, 0xC0000208),
            {"type": "note", "reporter": "192.0.2.9", "icmp_type": 5, "icmp_type_name": "Redirect"}
            | {"icmp_code": 1, "icmp_code_name": "Redirect Datagram for the Host", "gateway": "192.0.2.8"},
        ),
        (
            IcmpError,
            V6,
            (ROUTER6, 2, 0, 1280),
            {"type": "icmp_error", "reporter": "2001:db8::9", "icmp_type": 2, "icmp_type_name": "Packet Too Big"}
            | {"icmp_code": 0, "icmp_code_name": "code 0", "mtu": 1280},
        ),
        (
            IcmpError,
            V6,
            (ROUTER6, 4, 1, 40),
            {"type": "icmp_error", "reporter": "2001:db8::9", "icmp_type": 4, "icmp_type_name": "Parameter Problem"}
            | {"icmp_code": 1, "icmp_code_name": "unrecognized Next Header type encountered", "pointer": 40},
        ),
        (
            IcmpError,
            V6,
            (ROUTER6, 99, 200, 5),
            {"type": "icmp_error", "reporter": "2001:db8::9", "icmp_type": 99, "icmp_type_name": "type 99"}
            | {"icmp_code": 200, "icmp_code_name": "code 200"},
        ),
    ],
)
def test_an_icmp_message_is_told_in_numbers_and_in_words(
    kind: type[Any], target: Target, facts: tuple[Any, ...], expected: dict[str, Any]
) -> None:
    assert report(kind, target, *facts) == expected


def test_what_is_not_known_is_null() -> None:
    told = jsonable(of_probe(Reply, V4, V4.address, b"", -1, 0, "clock"))

    assert (told["hop_limit"], told["altered_at"], told["round_trip"]) == (None, None, 0.0)
    assert jsonable(of_probe(SendFailure, V4, 1))["mtu"] is None


def test_an_errno_without_a_name_has_its_number() -> None:
    assert jsonable(of_probe(SendFailure, V4, 4095))["errno_name"] is None


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("192.0.2.1", 0), "192.0.2.1"),
        (("2001:db8::1", 0, 0, 0), "2001:db8::1"),
        (("fe80::1", 0, 0, 3), "fe80::1%3"),
        (("fe80::1%eth0", 0, 0, 3), "fe80::1%3"),
    ],
)
def test_an_address_has_the_index_of_its_scope(address: tuple[Any, ...], text: str) -> None:
    assert address_text(address) == text


def test_every_record_there_is_has_a_type() -> None:
    abstract = {records.Record, records.Outcome, records.EchoReply, records.IcmpReport}
    of_the_module = {kind for kind in vars(records).values() if isinstance(kind, type) and issubclass(kind, Value)} - {
        Value,
        Target,
    }

    assert set(TYPE_NAMES) == of_the_module - abstract


def test_the_result_of_a_sweep_is_its_summary_with_what_it_says_of_the_target() -> None:
    late, refusal = echo(Late), of_probe(SendFailure, V4, 90, 1400)
    told = jsonable(SweepResult(V4, statistics(), ALIVE, late, refusal))
    assert told["type"] == "summary"
    assert told["state"] == ALIVE
    assert told["is_alive"] is True
    assert told["answered_by"] == address_text(late.source)
    assert told["failure"] == jsonable(refusal)
    assert told["reason"] == explain(refusal)
    assert json.loads(json.dumps(told)) == told

    nothing = jsonable(SweepResult(V4, Statistics(), UNSENT))
    assert (nothing["is_alive"], nothing["answered_by"], nothing["failure"], nothing["reason"]) == (False, *[None] * 3)


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(TypeError, match="Target is no record"):
        jsonable(V4)  # type: ignore[arg-type]
