from __future__ import annotations

import pytest

from lab.bench import Arrival, Bench, beside, path
from pingsock import lab
from pingsock.lab.actions import ACTIONS
from pingsock.lab.datagram import parse_datagram_untrusted
from pingsock.lab.icmp_errors import FAULTS
from pingsock.lab.prefixes import address_text, pack_address

FAR, FAR6 = "192.0.2.1", "2001:db8:aaaa::1"


def with_rule(*actions: object, **match: object) -> Bench:
    bench, far = beside()
    far.rule(*actions, **match)
    return bench


def pinged(bench: Bench, *, count: int = 1, data: bytes = b"payload!") -> list[Arrival]:
    for number in range(1, count + 1):
        bench.ping(FAR, number, data=data)
    return bench.until(100.0)


def sequences(bench: Bench, count: int) -> list[int]:
    return [arrival.datagram.sequence for arrival in pinged(bench, count=count)]


# Which packets.


@pytest.mark.parametrize(
    ("match", "dropped"),
    [
        ({}, {1, 2, 3, 4, 5, 6}),
        ({"sequence": 3}, {3}),
        ({"sequence": [2, 4]}, {2, 4}),
        ({"sequence": range(4, 9)}, {4, 5, 6}),
        ({"every": 2}, {1, 3, 5}),
        ({"after": 4}, {5, 6}),
        ({"first": 2}, {1, 2}),
        ({"after": 1, "every": 2, "first": 2}, {2, 4}),
        ({"type": "echo"}, {1, 2, 3, 4, 5, 6}),
        ({"type": ["timestamp", 8], "code": 0, "ident": 7}, {1, 2, 3, 4, 5, 6}),
        ({"type": "timestamp"}, set()),
        ({"source": "198.51.100.0/24"}, {1, 2, 3, 4, 5, 6}),
        ({"destination": "192.0.2.2"}, set()),
        ({"at_least": 37}, set()),
        ({"at_most": 36}, {1, 2, 3, 4, 5, 6}),
        ({"hop_limit": 64}, {1, 2, 3, 4, 5, 6}),
        ({"when": lambda datagram: datagram.sequence % 3 == 0}, {3, 6}),
    ],
)
def test_a_rule_is_for_the_packets_that_match(match: dict[str, object], dropped: set[int]) -> None:
    assert set(range(1, 7)) - set(sequences(with_rule("drop", **match), 6)) == dropped


def test_probability_is_kept() -> None:
    assert 150 < len(sequences(with_rule("drop", probability=0.5), 400)) < 250


def test_the_first_rule_that_matches_is_the_only_one() -> None:
    bench, far = beside()
    far.rule({"do": "change", "code": 5}, sequence=2)
    far.rule({"do": "change", "code": 9})
    assert [arrival.kind for arrival in pinged(bench, count=3)] == [(0, 9), (0, 5), (0, 9)]


def test_rules_hold_for_packets_on_their_way_through_too() -> None:
    bench = path(3)
    bench.network.node("r2").rule("drop", destination=FAR, every=2)
    assert sequences(bench, 4) == [2, 4]


# What happens to them.


def test_actions_work_in_order() -> None:
    bench = with_rule({"do": "duplicate", "copies": 1}, {"do": "delay", "seconds": 0.5}, {"do": "change", "code": 7})
    assert [(arrival.at, arrival.kind) for arrival in pinged(bench)] == [(0.5, (0, 7))] * 2


def test_delay_with_jitter() -> None:
    times = [arrival.at for arrival in pinged(with_rule({"do": "delay", "seconds": 1, "jitter": 0.5}), count=50)]
    assert min(times) >= 1.0
    assert 1.3 < max(times) <= 1.5


def test_duplicates_are_spread() -> None:
    arrivals = pinged(with_rule({"do": "duplicate", "copies": 4, "spread": 0.1}))
    assert [arrival.microseconds for arrival in arrivals] == [0, 25_000, 50_000, 75_000, 100_000]


def test_a_flood_counts_its_sequences_on() -> None:
    arrivals = pinged(with_rule({"do": "flood", "copies": 1000, "interval": 0.001, "sequence_step": 1}))
    assert [arrival.datagram.sequence for arrival in arrivals] == list(range(1, 1002))
    assert arrivals[-1].microseconds == 1_000_000
    assert all(arrival.intact for arrival in arrivals)


@pytest.mark.parametrize(
    ("action", "payload", "intact"),
    [
        ({"do": "truncate", "size": 10}, b"pa", True),
        ({"do": "append", "data": "2121"}, b"payload!!!", True),
        ({"do": "corrupt"}, b"payload\xde", True),
        ({"do": "corrupt", "offset": 8, "mask": 1}, b"qayload!", True),
        ({"do": "corrupt", "checksum": "stale"}, b"payload\xde", False),
        ("bad checksum", b"payload!", False),
    ],
)
def test_answers_can_be_damaged(action: object, payload: bytes, intact: bool) -> None:
    (arrival,) = pinged(with_rule(action))
    assert (arrival.body, arrival.intact) == (payload, intact)


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"type": 14}, "type", 14),
        ({"code": 3}, "code", 3),
        ({"ident": 99}, "ident", 99),
        ({"ident_shift": 1}, "ident", 8),
        ({"sequence": 0xFFFF}, "sequence", 0xFFFF),
        ({"sequence_shift": -2}, "sequence", 0xFFFF),
        ({"source": "203.0.113.5"}, "source", pack_address("203.0.113.5")),
        ({"hop_limit": 3}, "hop_limit", 3),
        ({"traffic_class": 0xB8}, "traffic_class", 0xB8),
    ],
)
def test_answers_can_have_wrong_fields(change: dict[str, object], field: str, expected: object) -> None:
    (arrival,) = pinged(with_rule({"do": "change", **change}))
    assert getattr(arrival.datagram, field) == expected
    assert arrival.intact


def test_an_answer_can_come_from_another_address_of_either_version() -> None:
    bench = with_rule({"do": "change", "source": "2001:db8::bad"})
    assert bench.answer(FAR6).source == "2001:db8::bad"
    assert bench.answer(FAR).source == FAR


def test_any_bytes_can_come() -> None:
    bench = with_rule({"do": "raw", "packet": "ff 00 ff", "delay": 0.5, "also": True})
    bench.ping(FAR)
    bench.network.run_until(1.0)
    packets = [bench.near.receive(), bench.near.receive()]
    assert packets[1] == b"\xff\0\xff"


# Errors.


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("version", [4, 6])
def test_every_error_can_be_had_by_name(fault: str, version: int) -> None:
    arrival = with_rule({"do": "error", "fault": fault}).answer(FAR if version == 4 else FAR6)
    assert arrival.kind == FAULTS[fault][version == 6]
    assert arrival.intact


@pytest.mark.parametrize("kind", [(3, code) for code in range(16)] + [(5, code) for code in range(4)] + [(77, 200)])
def test_every_error_can_be_had_by_number(kind: tuple[int, int]) -> None:
    arrival = with_rule({"do": "error", "fault": f"{kind[0]}/{kind[1]}"}).answer(FAR)
    assert arrival.kind == kind
    assert parse_datagram_untrusted(arrival.body).destination == pack_address(FAR)


@pytest.mark.parametrize(
    ("settings", "target", "word"),
    [
        ({"fault": "too big", "mtu": 1234}, FAR, 1234),
        ({"fault": "too big", "mtu": 70000}, FAR6, 70000),
        ({"fault": "redirect", "gateway": "10.9.8.7"}, FAR, 0x0A090807),
        ({"fault": "12/0", "pointer": 9}, FAR, 0x09000000),
        ({"fault": [4, 2], "pointer": 40}, FAR6, 40),
        ({"fault": "time exceeded", "word": 0xDEADBEEF}, FAR, 0xDEADBEEF),
        ({"fault": "too big"}, FAR, 0),
    ],
)
def test_errors_carry_their_parameters(settings: dict[str, object], target: str, word: int) -> None:
    assert with_rule({"do": "error", **settings}).answer(target).word == word


def test_an_ipv6_redirect_names_target_and_destination() -> None:
    body = with_rule({"do": "error", "fault": "redirect", "gateway": "fe80::9"}).answer(FAR6).body
    assert (address_text(body[:16]), address_text(body[16:32])) == ("fe80::9", FAR6)
    assert (body[32], body[33] * 8) == (4, len(body) - 32)


def test_an_error_can_come_besides_the_answer() -> None:
    arrivals = pinged(with_rule({"do": "error", "fault": "redirect", "gateway": "10.9.8.7", "also": True}))
    assert [arrival.kind for arrival in arrivals] == [(0, 0), (5, 1)]


def test_an_error_can_come_late_and_from_anywhere() -> None:
    (arrival,) = pinged(with_rule({"do": "error", "fault": "3/1", "source": "10.66.66.66", "delay": 2.0}))
    assert (arrival.source, arrival.at) == ("10.66.66.66", 2.0)


@pytest.mark.parametrize(
    ("quote", "field", "expected"),
    [
        ({"source": "10.1.1.1"}, "source", pack_address("10.1.1.1")),
        ({"destination": "10.1.1.1"}, "destination", pack_address("10.1.1.1")),
        ({"protocol": 17}, "protocol", 17),
        ({"hop_limit": 0}, "hop_limit", 0),
        ({"offset": 64}, "offset", 64),
        ({"ident": 1}, "ident", 1),
        ({"sequence": 500}, "sequence", 500),
    ],
)
def test_a_quote_can_lie(quote: dict[str, object], field: str, expected: object) -> None:
    (arrival,) = pinged(with_rule({"do": "error", "fault": "3/1", "quote": quote}))
    assert getattr(parse_datagram_untrusted(arrival.body), field) == expected


def test_a_quote_can_be_short_absent_or_damaged() -> None:
    def quoted(**quote: int) -> bytes:
        return pinged(with_rule({"do": "error", "fault": "3/1", "quote": quote}))[0].body

    whole = quoted()
    assert len(whole) == 36
    assert quoted(length=28) == whole[:28]
    assert quoted(length=0) == b""
    assert quoted(flip=30)[30] == whole[30] ^ 0xFF
    assert quoted(total_length=9999)[2:4] == (9999).to_bytes(2, "big")


def test_an_error_from_an_address_of_the_other_version_comes_from_the_own() -> None:
    assert with_rule({"do": "error", "fault": "time exceeded", "source": "10.6.6.6"}).answer(FAR6).source == FAR6


def test_what_has_grown_too_long_for_ip_is_dropped() -> None:
    bench = with_rule({"do": "append", "data": b"x" * 65500})
    assert pinged(bench) == []
    assert bench.network.drops["far", "cannot be sent"] == 1


# Written in Python.


def test_an_action_can_be_a_function() -> None:
    def second_opinion(case: lab.Case) -> None:
        case.emissions = [*case.emissions, *(emission.later(case.number * 0.1) for emission in case.emissions)]

    bench = with_rule(second_opinion)
    assert [arrival.at for arrival in pinged(bench)] == [0.0, 0.1]
    bench.ping(FAR)
    assert [round(arrival.at, 6) for arrival in bench.until(200.0)] == [100.0, 100.2]


def test_a_function_sees_the_packet_and_may_answer_with_its_own() -> None:
    def mirror(case: lab.Case) -> None:
        asked = case.datagram
        case.emissions = [lab.Emission(asked.replace(source=asked.destination, destination=asked.source), 0.25)]

    (arrival,) = pinged(with_rule(mirror, type="echo"))
    assert (arrival.kind, arrival.source, arrival.at) == ((8, 0), FAR, 0.25)


def test_actions_can_be_made_by_calling_them() -> None:
    assert pinged(with_rule(lab.actions.delay(0.125)))[0].at == 0.125


def test_a_dropping_rule_does_not_use_up_the_error_limit() -> None:
    bench = path(2)
    router = bench.network.node("r1")
    router.configure(error_rate=0.001, error_burst=1)
    router.rule("drop", first=3)
    for number in range(4):
        bench.ping(FAR, number, hop_limit=1)
    assert [arrival.kind for arrival in bench.until(1.0)] == [(11, 0)]


# Described wrongly.


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("explode", "rule 1 of far: do is 'explode', needed one of 'drop', 'delay'"),
        ({"do": "delay"}, "rule 1 of far: 'delay': missing a required argument: 'seconds'; it takes seconds, jitter"),
        ({"do": "delay", "secs": 1}, "'delay': missing a required argument: 'seconds'"),
        ({"do": "drop", "x": 1}, "'drop': got an unexpected keyword argument 'x'; it takes nothing else"),
        ({"do": "delay", "seconds": "long"}, "'delay': seconds is 'long', needed a number"),
        ({"do": "error", "fault": "3/999"}, "'error': fault is '3/999', needed type and code like '3/13', or one of"),
        ({"do": "error", "fault": "3/1", "quote": {"size": 3}}, "a quote has no 'size'; it has length, source"),
        ({"do": "error", "fault": "3/1", "source": "here"}, "'here' is neither an IPv4 nor an IPv6 address"),
        ({"do": "error", "fault": "3/1", "quote": {"hop_limit": 256}}, "hop_limit of a quote is 256, the most is 255"),
        ({"do": "change", "hop_limit": 256}, "'change': hop_limit is 256, needed 0 to 255"),
        ({"do": "raw", "packet": "zz"}, "'zz' is not a line of hexadecimal bytes"),
        (7, "rule 1 of far: 7 is no action; needed a function, a name or a table with do"),
    ],
)
def test_a_wrong_action_is_named(action: object, told: str) -> None:
    with pytest.raises(lab.LabError) as raised:
        with_rule(action)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("match", "told"),
    [
        ({"colour": 1}, "rule 1 of far: a rule cannot match 'colour'; it can match source, destination, type, code"),
        ({"type": "ping"}, "type is 'ping': needed an ICMP type number or one of 'echo', 'timestamp'"),
        ({"source": "10.0.0.0/99"}, "source is '10.0.0.0/99': '10.0.0.0/99' has a prefix length outside 0..32"),
        ({"every": 0}, "every is 0, needed 1 or more"),
        ({"code": "x"}, "code is 'x': needed a number"),
    ],
)
def test_a_wrong_match_is_named(match: dict[str, object], told: str) -> None:
    with pytest.raises(lab.LabError) as raised:
        with_rule("drop", **match)
    assert told in str(raised.value)


def test_every_action_has_a_docstring() -> None:
    assert all(factory.__doc__ for factory in ACTIONS.values())
