from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from socket import AF_INET, AF_INET6
from typing import Any
from unittest import mock

import pytest

import pingsock
from pingsock import (
    IcmpError,
    NoPingSocket,
    Reply,
    SendFailure,
    Summary,
    Target,
    Timeout,
    UnknownHost,
    Unmeasured,
    Unresolved,
)
from pingsock.probe.flow import source_address
from pingsock.tools.arguments import check_probes
from pingsock.tools.intake import known_target
from sockets_unit.private import EVERYBODY, in_private_network
from tools.small_network import (
    ALIVE,
    ALIVE6,
    BROADCAST,
    KINDS,
    PROHIBITED,
    SILENT,
    UNREACHABLE,
    NothingLeft,
    descriptors,
    facts,
    inside,
    some_names,
    told,
)

QUICK: Any = {"interval": 0.01, "timeout": 0.2}


@pytest.fixture(params=KINDS)
def kinds(request: pytest.FixtureRequest) -> list[str]:
    return [request.param]


# One host


@pytest.mark.parametrize("host", [ALIVE, ALIVE6])
def test_a_host_that_answers(kinds: list[str], host: str) -> None:
    result = inside(lambda: pingsock.ping(host, count=3, **QUICK, kinds=kinds))
    assert result.is_alive
    assert result.reason == ""
    assert [type(record) for record in told(result.records)] == [Reply] * 3
    assert len(result.round_trips) == 3
    assert all(0 < round_trip < 0.2 for round_trip in result.round_trips)
    assert (result.statistics.sent, result.statistics.received, result.statistics.loss) == (3, 3, 0.0)
    assert result.target.host == host


@pytest.mark.parametrize(
    ("host", "kind", "reason"),
    [
        (SILENT, Timeout, "no reply within 0.2 s"),
        (PROHIBITED, IcmpError, rf"Destination Unreachable: .*Prohibited.*, says {PROHIBITED}"),
        (UNREACHABLE, SendFailure, "not sent: No route to host"),
    ],
)
def test_a_host_that_does_not_answer_and_why(kinds: list[str], host: str, kind: type, reason: str) -> None:
    result = inside(lambda: pingsock.ping(host, count=2, **QUICK, kinds=kinds))
    assert not result.is_alive
    assert bool(result)
    assert [isinstance(record, kind) for record in result.outcomes] == [True] * 2
    assert result.round_trips == ()
    # A busy machine may not have let us run.
    assert isinstance(result.outcomes[-1], Unmeasured) or re.fullmatch(reason, result.reason)


def test_a_result_becomes_json() -> None:
    result = inside(lambda: pingsock.ping(ALIVE, count=2, **QUICK))
    said = json.loads(json.dumps(pingsock.jsonable(result)))
    assert (said["type"], said["host"], said["received"], said["reason"]) == ("ping", ALIVE, 2, None)
    assert [record["type"] for record in said["records"] if record["type"] != "skipped"] == ["reply", "reply"]


def test_probes_look_as_they_were_asked_for(kinds: list[str]) -> None:
    def look() -> Reply:
        options = {"ttl": 9, "tos": 8, "source": "127.0.0.7", "interface": "lo", "size": 600, "payload": b"\xa5\x5a"}
        result = pingsock.ping("127.0.0.3", count=1, timeout=0.5, kinds=kinds, dont_fragment=True, **options)  # type: ignore[arg-type]
        (reply,) = result.records
        assert isinstance(reply, Reply)
        return reply

    reply = inside(look)
    assert len(reply.message) == 608
    assert reply.message[16:] == b"\xa5\x5a" * 296
    assert (reply.altered_at, reply.source[0]) == (-1, "127.0.0.3")


@pytest.mark.parametrize(
    ("source", "interface"), [("fe80::7%lo", ""), ("fe80::7%1", ""), ("fe80::7", "lo"), ("fe80::7%lo", "lo")]
)
def test_a_link_local_source(kinds: list[str], source: str, interface: str) -> None:
    def answered() -> bool:
        # Again and again, since the kernel makes a new address usable when it comes to it.
        records = pingsock.watch("fe80::8%lo", interval=0.05, kinds=kinds, source=source, interface=interface)
        with closing(records):
            return any(isinstance(record, Reply) for record in records)

    addresses = "addr add fe80::7/64 dev lo nodad\naddr add fe80::8/64 dev lo nodad"
    assert in_private_network(answered, group_range=EVERYBODY, ip=addresses)


def test_a_link_local_source_whose_interface_has_gone() -> None:
    with pytest.raises(OSError, match="no interface gone") as raised:
        source_address("fe80::7%gone")
    assert raised.value.errno == errno.ENODEV


def test_a_name_without_address_is_an_exception() -> None:
    with mock.patch("pingsock.tools.intake.resolve", some_names):
        for call in (pingsock.ping, pingsock.resolve):
            with pytest.raises(UnknownHost, match=r"no\.test: Name or service not known"):
                call("no.test")
        with pytest.raises(UnknownHost):
            next(pingsock.watch("no.test"))


def test_every_address_of_a_name() -> None:
    with mock.patch("pingsock.tools.intake.resolve", some_names):
        assert [target.address[0] for target in pingsock.resolve("two.test")] == ["127.0.0.5", "::1"]
        assert [target.address[0] for target in pingsock.resolve("two.test", family=AF_INET6)] == ["::1"]
        assert [target.options.size for target in pingsock.resolve("127.0.0.1", size=3)] == [3]


def test_where_no_socket_can_be_opened_every_call_says_so() -> None:
    def refused() -> None:
        calls: list[Callable[[], object]] = [
            lambda: pingsock.ping(ALIVE, kinds=["kernel"]),
            lambda: next(pingsock.watch(ALIVE, kinds=["kernel"])),
            lambda: next(pingsock.ping_many([ALIVE], kinds=["kernel"])),
        ]
        for call in calls:
            with NothingLeft(), pytest.raises(NoPingSocket, match="kernel: Permission denied"):
                call()

    inside(refused, group_range="1 0")


# Who may answer


@pytest.mark.parametrize(
    ("host", "by_others"),
    [
        ("127.0.0.1", False),
        ("224.0.0.1", True),
        ("ff02::1", True),
        ("2001:db8::", True),
        ("2001:db8::1", False),
        ("0.0.0.0", True),
        ("::", True),
        ("10.0.0.0", False),
    ],
)
def test_groups_anycast_and_unspecified_addresses_are_answered_by_others(host: str, by_others: bool) -> None:
    target = known_target(check_probes(), host)
    assert target is not None
    assert target.answered_by_others is by_others


def test_a_link_local_address_without_scope_gets_that_of_the_interface() -> None:
    target = known_target(check_probes(interface="lo"), "fe80::1")
    assert target is not None
    assert target.address == ("fe80::1", 0, 0, target.options.interface)
    assert target.options.interface > 0


def test_broadcast_only_if_asked(kinds: list[str]) -> None:
    def results() -> list[tuple[object, ...]]:
        said = []
        for broadcast in (False, True):
            result = pingsock.ping(BROADCAST, count=1, timeout=0.2, broadcast=broadcast, kinds=kinds)
            said.append((*facts(result.records[0])[:1], result.target.answered_by_others, result.reason))
        return said

    refused, answered = inside(results)
    assert refused == ("SendFailure", False, "not sent: Permission denied")
    assert answered == ("Reply", True, "")


def test_broadcast_says_nothing_about_other_addresses() -> None:
    aim = check_probes(broadcast=True)
    assert known_target(aim, "127.0.0.1") == Target("127.0.0.1", AF_INET, ("127.0.0.1", 0), False, aim.options)


# Without end


def test_watching_goes_on_until_it_is_closed(kinds: list[str]) -> None:
    def watched() -> list[type]:
        with NothingLeft(), closing(pingsock.watch(ALIVE, interval=0.01, timeout=0.2, kinds=kinds)) as records:
            return [type(record) for record in told(islice(records, 5))]

    assert set(inside(watched)) == {Reply}


def test_leaving_the_loop_closes_everything(kinds: list[str]) -> None:
    def left() -> None:
        with NothingLeft():
            for _ in pingsock.watch(ALIVE, interval=0.01, kinds=kinds):
                break
            for _ in pingsock.ping_many([ALIVE] * 50, kinds=kinds):
                break

    inside(left)


# Many


HOSTS = [ALIVE, ALIVE6, SILENT, PROHIBITED, UNREACHABLE, "no.test", "two.test", "not a host", None, BROADCAST]


def many(kinds: list[str], **settings: object) -> list[tuple[object, ...]]:
    def all_told() -> list[tuple[object, ...]]:
        with NothingLeft(), mock.patch("pingsock.tools.names.resolve", some_names):
            arguments = {"count": 2, "interval": 0.05, "timeout": 0.5, **settings}
            records = told(pingsock.ping_many(HOSTS, kinds=kinds, **arguments))  # type: ignore[arg-type]
            return sorted(map(facts, records), key=repr)

    return inside(all_told)


def test_the_records_are_the_same_over_every_kind_of_socket() -> None:
    first, second = (many([kind], all_addresses=True) for kind in KINDS)
    assert first == second


def test_each_target_has_its_records_and_a_summary() -> None:
    said = many(["embedded"])
    assert [record for record in said if record[0] == "Unresolved"] == [
        ("Unresolved", "Name or service not known"),
        ("Unresolved", "host must be a host name or an IP address, as a str"),
        ("Unresolved", "host must be a host name or an IP address, as a str"),
    ]
    summaries = {record[1]: record[3] for record in said if record[0] == "Summary"}
    assert summaries == {
        ALIVE: "sent=2 received=2",
        ALIVE6: "sent=2 received=2",
        SILENT: "sent=2 silent=2",
        PROHIBITED: "sent=2 errors=2",
        UNREACHABLE: "send_failures=2",
        "two.test": "sent=2 received=2",
        BROADCAST: "send_failures=2",
    }
    assert ("SendFailure", UNREACHABLE, (UNREACHABLE, 0), 1, errno.EHOSTUNREACH) in said


def test_all_addresses_are_targets_of_their_own() -> None:
    said = many(["embedded"], all_addresses=True)
    assert [record[2][0] for record in said if record[:2] == ("Summary", "two.test")] == ["127.0.0.5", "::1"]  # type: ignore[index]


def test_retries_are_for_those_who_did_not_answer() -> None:
    said = many(["embedded"], count=1, retries=2)
    summaries = {record[1]: record[3] for record in said if record[0] == "Summary"}
    assert summaries[ALIVE] == "sent=1 received=1"
    assert summaries[SILENT] == "sent=3 silent=3"


def test_targets_cost_no_descriptors_and_are_read_as_they_are_needed(kinds: list[str]) -> None:
    def numbers() -> tuple[set[int], int, int]:
        ahead, read = 0, 0

        def hosts() -> Iterator[str]:
            nonlocal read
            for read in range(1, 2001):
                yield f"127.0.{read >> 7}.{read & 127 | 128}"

        summaries, opened = 0, set()
        for record in pingsock.ping_many(hosts(), rate=0, timeout=2, kinds=kinds):
            if isinstance(record, Summary):
                summaries += 1
                ahead = max(ahead, read - summaries)
                if summaries % 100 == 1:
                    opened.add(len(descriptors()))
        return opened, ahead, summaries

    opened, ahead, summaries = inside(numbers)
    assert summaries == 2000
    assert len(opened) == 1
    # Loopback answers at once, so that a few bursts are under way, not the whole stream.
    assert ahead <= 1000


def test_what_reading_the_hosts_raises_comes_out_and_everything_is_closed(kinds: list[str]) -> None:
    class Broken(Exception):
        pass

    def hosts() -> Iterator[str]:
        yield ALIVE
        raise Broken

    def broken() -> None:
        with NothingLeft(), pytest.raises(Broken):
            list(pingsock.ping_many(hosts(), kinds=kinds))

    inside(broken)


def test_no_hosts_no_records(kinds: list[str]) -> None:
    assert inside(lambda: list(pingsock.ping_many([], kinds=kinds))) == []


def test_an_unresolved_host_is_true_and_becomes_json() -> None:
    record = Unresolved("no.test", "unknown")
    assert record
    assert pingsock.jsonable(record) == {"type": "unresolved", "host": "no.test", "reason": "unknown"}


def test_bad_hosts_without_end_do_not_pile_up() -> None:
    def bad() -> Iterator[str]:
        while True:
            yield ""

    with closing(pingsock.ping_many(bad())) as records:
        assert [type(record) for record in islice(records, 1000)] == [Unresolved] * 1000
