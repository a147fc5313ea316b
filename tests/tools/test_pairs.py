"""Requests of other pairs than echo, sent and heard by the same run as echo requests."""

from __future__ import annotations

import errno
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.probe.records import Duplicate, IcmpError, Reply, Stray
from pingsock.probe.target import ProbeOptions, Target
from pingsock.tools.pairs import (
    ADDRESS_MASK,
    DAY,
    EXTENDED_ECHO,
    INFORMATION,
    OTHER_SCALE,
    PROBE_SIZE,
    TIMESTAMP,
    OneWay,
    PairQuery,
    PairSocket,
    of_day,
    one_way,
    parse_answer_untrusted,
)
from pingsock.tools.ping import PingPlan, PingRun
from pingsock.wire import icmp4, linux
from pingsock.wire.extensions import interface_query
from pingsock.wire.interfaces import InterfaceByName
from tools.fake_socket import (
    EPOCH,
    MILLISECOND,
    ROUTER,
    SECOND,
    TARGET,
    TARGET6,
    Clock,
    FakeSocket,
    FakeWaiter,
    extended_error,
)

PROBE = PairQuery(EXTENDED_ECHO, interface_query(InterfaceByName(b"eth0")))
REPLY_TYPES = {13: 14, 15: 16, 17: 18, 42: 43, 160: 161}
QUERIES = [PairQuery(TIMESTAMP), PairQuery(INFORMATION), PairQuery(ADDRESS_MASK), PROBE]


class Peer(FakeSocket):
    """Answers each request with its reply after 20 ms, through `change` if that is set."""

    def __init__(self, family: int = linux.AF_INET) -> None:
        super().__init__(Clock(), family)
        self.change: Any = lambda reply: [reply]
        self.source = TARGET
        self.on_send = lambda _sequence: self._answer(self.sent[-1][0])

    def _answer(self, request: bytes) -> None:
        for reply in self.change(bytes((REPLY_TYPES[request[0]],)) + request[1:]):
            self.hear(reply)

    def hear(self, message: bytes) -> None:
        when = self.clock.monotonic + 20 * MILLISECOND
        self._messages.append((when, (message, [], 0, (self.source, 0))))

    def report(self, quote: bytes) -> None:
        items = [extended_error(errno.EHOSTUNREACH, linux.SO_EE_ORIGIN_ICMP, 11, 0, 0, 0)]
        self._errors.append((self.clock.monotonic, (quote, items, 0, (TARGET, 0))))


def run(peer: Peer, query: PairQuery, **plan: Any) -> PingRun:
    address = (TARGET, 0) if peer.family == linux.AF_INET else (TARGET6, 0, 0, 0)
    target = Target(address[0], peer.family, address, options=ProbeOptions(size=PROBE_SIZE))
    going = PingRun(
        PairSocket(peer, query),  # type: ignore[arg-type]
        PingPlan(target, **plan),
        waiter=FakeWaiter(peer),  # type: ignore[arg-type]
        clocks=lambda: (peer.clock.now(), peer.clock.calendar()),
    )
    # The millisecond a real socket is given before its first probe.
    peer.clock.monotonic += MILLISECOND
    return going


@pytest.mark.parametrize(
    ("query", "request_message"),
    [
        (PairQuery(TIMESTAMP), bytes.fromhex("0d00 0000 0000 0001") + struct.pack("!3I", of_day(EPOCH) + 5001, 0, 0)),
        (PairQuery(INFORMATION), bytes.fromhex("0f00 0000 0000 0001")),
        (PairQuery(ADDRESS_MASK), bytes.fromhex("1100 0000 0000 0001 00000000")),
        (PROBE, bytes.fromhex("2a00 0000 0000 0101") + interface_query(InterfaceByName(b"eth0"))),
    ],
)
def test_requests_on_the_wire(query: PairQuery, request_message: bytes) -> None:
    peer = Peer()
    list(run(peer, query, count=1).records())

    assert peer.sent == [(request_message, (TARGET, 0))]
    assert len(request_message) == 8 + query.size


def test_an_extended_echo_request_for_ipv6() -> None:
    peer = Peer(linux.AF_INET6)
    list(run(peer, PROBE, count=1).records())

    assert peer.sent[0][0][:8] == bytes.fromhex("a000 0000 0000 0101")


@pytest.mark.parametrize("query", QUERIES)
def test_replies_are_those_of_their_probes(query: PairQuery) -> None:
    going = run(Peer(), query, count=3)

    records = list(going.records())

    assert [(type(record), getattr(record, "sequence", 0)) for record in records] == [
        (Reply, 1),
        (Reply, 2),
        (Reply, 3),
    ]
    assert going.tally.received == 3
    assert going.tally.round_trips.minimum == 20_000


def test_the_reply_itself_can_be_read() -> None:
    (record,) = run(Peer(), PairQuery(ADDRESS_MASK), count=1).records()

    assert isinstance(record, Reply)
    assert parse_answer_untrusted(linux.AF_INET, record.message) == icmp4.AddressMaskReply(0, 1)


def test_a_second_reply_is_a_duplicate() -> None:
    peer = Peer()
    peer.change = lambda reply: [reply, reply]

    # What came together is told together only while more is awaited.
    assert [type(record) for record in run(peer, PairQuery(TIMESTAMP), count=2).records()][:2] == [Reply, Duplicate]


@pytest.mark.parametrize("query", QUERIES)
def test_no_other_message_is_taken_for_a_reply(query: PairQuery) -> None:
    peer = Peer()
    peer.change = lambda reply: [bytes((other,)) + reply[1:] for other in {0, 14, 16, 18, 43} - {reply[0]}] + [b"\x0e"]
    going = run(peer, query, count=1, linger=SECOND)

    assert list(going.records()) == []
    assert going.tally.received == 0


def test_a_reply_to_a_probe_that_was_not_sent_is_a_stray() -> None:
    peer = Peer()
    peer.change = lambda reply: [reply[:6] + b"\0\x63" + reply[8:]]

    assert [type(record) for record in run(peer, PairQuery(TIMESTAMP), count=1, linger=SECOND).records()] == [Stray]


def test_a_reply_from_elsewhere_is_marked() -> None:
    peer = Peer()
    peer.source = ROUTER

    (record,) = run(peer, PairQuery(INFORMATION), count=1).records()

    assert isinstance(record, Reply)
    assert record.other_source


def test_eight_bits_of_an_extended_echo_are_of_the_last_probe_that_had_them() -> None:
    peer = Peer()
    sequences = [getattr(record, "sequence", 0) for record in run(peer, PROBE, count=600).records()]

    assert sequences == list(range(1, 601))
    assert peer.sent[255][0][6:8] == b"\0\x01"


@pytest.mark.parametrize("query", QUERIES)
def test_an_error_about_a_request_is_that_of_its_probe(query: PairQuery) -> None:
    peer = Peer()
    peer.on_send = lambda _sequence: peer.report(peer.sent[-1][0][:8])

    records = [record for record in run(peer, query, count=2).records() if isinstance(record, IcmpError)]

    assert [(record.sequence, record.type, record.reporter) for record in records] == [
        (1, 11, (ROUTER, 0)),
        (2, 11, (ROUTER, 0)),
    ]


def test_an_error_about_an_echo_request_is_none_of_ours() -> None:
    peer = Peer()
    peer.on_send = lambda _sequence: peer.report(bytes.fromhex("0800 0000 0000 0001"))

    assert list(run(peer, PairQuery(TIMESTAMP), count=1, linger=SECOND).records()) == []


@given(messages=st.lists(st.binary(max_size=40)), query=st.sampled_from(QUERIES), quoted=st.booleans())
def test_no_message_does_harm(messages: list[bytes], query: PairQuery, quoted: bool) -> None:
    peer = Peer()
    sent: list[int] = []

    def answer(_sequence: int) -> None:
        sent.append(1)
        for message in messages:
            reply = bytes((REPLY_TYPES[peer.sent[-1][0][0]],)) + message[1:]
            peer.report(message) if quoted else peer.hear(reply)

    peer.on_send = answer
    list(run(peer, query, count=1, linger=SECOND).records())

    assert sent


NOON = EPOCH - EPOCH % (DAY * MILLISECOND) + DAY // 2 * MILLISECOND


@pytest.mark.parametrize(
    ("sent", "receive", "transmit", "ways"),
    [
        (NOON, DAY // 2 + 12, DAY // 2 + 13, OneWay(12, 7)),
        (NOON, DAY // 2 + 1012, DAY // 2 + 1012, OneWay(1012, -992)),
        (NOON + DAY // 2 * MILLISECOND, DAY - 3, DAY - 3, OneWay(-3, 23)),
        (NOON + (DAY // 2 - 10) * MILLISECOND, 2, 2, OneWay(12, 8)),
        (NOON, OTHER_SCALE | 5, 5, None),
        (NOON, 5, OTHER_SCALE | 5, None),
    ],
    ids=["ways", "clock ahead", "clock behind midnight", "over midnight", "other scale", "half of it"],
)
def test_one_way_differences(sent: int, receive: int, transmit: int, ways: OneWay | None) -> None:
    assert one_way(sent, 20 * MILLISECOND, receive, transmit) == ways


def test_a_clock_is_ahead_by_half_of_what_the_ways_differ() -> None:
    assert OneWay(1012, -992).ahead == 1002


def test_nothing_goes_past_the_translation() -> None:
    sock = PairSocket(Peer(), PairQuery(TIMESTAMP))  # type: ignore[arg-type]

    assert sock.kind == "kernel"
    assert not any(hasattr(sock, name) for name in ("recv", "recvmsg_many", "recvfrom", "send", "sendmsg"))
