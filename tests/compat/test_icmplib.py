"""What icmplib's users get from us beyond icmplib: truth about what happened, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compat import network
from compat.network import FAR, FAR6, SILENT, UNREACHABLE
from pingsock import InvalidArgument, NoPingSocket, PingsockError
from pingsock.compat import icmplib
from pingsock.compat.icmplib import (
    AsyncSocket,
    ICMPRequest,
    ICMPv4Socket,
    ICMPv6Socket,
    NameLookupError,
    SocketPermissionError,
    async_multiping,
    async_ping,
    multiping,
    ping,
    resolve,
    traceroute,
)
from pingsock.probe.prober import Prober

QUICK: dict[str, Any] = {"count": 2, "interval": 0.01, "timeout": 0.3}


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture
def path(namespace: None) -> Any:
    del namespace
    with network.attached(network.path(delay=0.002)) as running:
        yield running


# Results


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("address", [FAR, FAR6])
def test_round_trips_are_those_of_the_path(address: str) -> None:
    host = ping(address, **QUICK)

    assert (host.packets_sent, host.packets_received, host.packet_loss) == (2, 2, 0.0)
    assert host.min_rtt >= 12


@pytest.mark.usefixtures("path")
def test_a_host_is_not_alive_because_somebody_answers_for_it() -> None:
    silent, unreachable = multiping([SILENT, UNREACHABLE], **QUICK)

    assert (silent.packets_sent, silent.packet_loss, silent.is_alive) == (2, 1.0, False)
    assert (unreachable.packets_sent, unreachable.packet_loss, unreachable.is_alive) == (2, 1.0, False)


@pytest.mark.usefixtures("path")
def test_results_are_in_the_order_of_the_addresses_and_one_bad_host_costs_only_itself() -> None:
    addresses = [SILENT, FAR, "203.0.113.1", FAR6, FAR]

    hosts = multiping(iter(addresses), **QUICK)

    assert [host.address for host in hosts] == addresses
    assert [host.packets_sent for host in hosts] == [2, 2, 0, 2, 2]
    assert [host.is_alive for host in hosts] == [False, True, False, True, True]


@pytest.mark.usefixtures("namespace")
def test_a_late_reply_is_lost_and_not_taken_for_the_next_one() -> None:
    late = network.path()
    late.node("far").rule({"do": "delay", "seconds": 0.15}, first=1)
    with network.attached(late):
        host = ping(FAR, count=3, interval=0.01, timeout=0.1)

    assert (host.packets_sent, host.packets_received) == (3, 2)
    assert host.max_rtt < 100


@pytest.mark.usefixtures("namespace")
def test_to_each_host_goes_one_request_at_a_time() -> None:
    halting = network.path()
    arrived: list[float] = []
    halting.node("far").rule(lambda case: arrived.append(case.now), "drop", first=2)
    with network.attached(halting):
        ping(FAR, count=3, interval=0, timeout=0.1)

    assert [after - before >= 0.09 for before, after in pairwise(arrived)] == [True]


@pytest.mark.usefixtures("namespace")
def test_thousands_of_hosts_need_no_thousands_of_sockets() -> None:
    addresses = [f"127.{block}.{number}.1" for block in range(8) for number in range(250)]

    hosts = multiping(addresses, count=1, timeout=2)

    assert all(host.is_alive for host in hosts)


@pytest.mark.usefixtures("namespace")
def test_nothing_to_ping_is_nothing() -> None:
    assert multiping([]) == []
    assert asyncio.run(async_multiping([])) == []
    assert ping("127.0.0.1", count=0).packets_sent == 0


# Names


@pytest.mark.parametrize(
    "text", ["", "not a host", "localhost/", "host:80", "999.1.1.1", "a\0b", "[::1]", "a" * 64 + ".test"]
)
def test_what_is_no_host_is_an_error_and_not_a_host_that_is_down(text: str) -> None:
    with pytest.raises(NameLookupError) as raised:
        ping(text)

    assert repr(text) in str(raised.value)
    with pytest.raises(NameLookupError):
        multiping([text])
    with pytest.raises(NameLookupError):
        traceroute(text)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("a.example.", (True, False, False)),
        ("-a", (False, False, False)),
        ("a-", (False, False, False)),
        ("111", (False, False, False)),
        ("a" * 64, (False, False, False)),
        (".".join(["a" * 61] * 4), (True, False, False)),
        (".".join(["a" * 63] * 4), (False, False, False)),
        ("999.1.1.1", (False, False, False)),
        ("127.0.0.1%lo", (False, False, False)),
        ("::1%", (False, False, False)),
        ("[::1]", (False, False, False)),
        ("::ffff:192.0.2.1", (False, False, True)),
    ],
)
def test_a_text_is_what_the_standards_say(text: str, kinds: tuple[bool, bool, bool]) -> None:
    assert (icmplib.is_hostname(text), icmplib.is_ipv4_address(text), icmplib.is_ipv6_address(text)) == kinds


def test_scopes_are_kept() -> None:
    assert resolve("fe80::1%1") == ["fe80::1%1"]


# Errors


@pytest.mark.parametrize("call", [ping, traceroute, lambda address: multiping([address]), lambda _: ICMPv4Socket()])
def test_without_any_socket_the_error_says_who_can_help(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_settings: object) -> None:
        raise NoPingSocket([("kernel", PermissionError(13, "Permission denied"))])

    monkeypatch.setattr("pingsock.compat.icmplib.sockets.open_ping_socket", refuse)
    monkeypatch.setattr("pingsock.probe.prober.Prober._open_with", refuse)
    monkeypatch.setattr("pingsock.probe.prober.Prober._opens", lambda *_arguments: False)

    with pytest.raises(SocketPermissionError, match="pingsock doctor"):
        call("127.0.0.1")


def test_its_errors_are_this_librarys_too() -> None:
    assert issubclass(icmplib.ICMPLibError, PingsockError)


BAD: dict[str, st.SearchStrategy[Any]] = {
    "count": st.floats() | st.text(max_size=3) | st.none() | st.booleans(),
    "interval": st.sampled_from([-1, float("nan"), float("inf"), None, "1", True]),
    "timeout": st.sampled_from([-0.1, float("nan"), float("inf"), None, "2"]),
    "source": st.integers() | st.binary(max_size=3),
    "family": st.integers().filter(lambda number: number not in (4, 6)) | st.text(max_size=3),
    "payload": st.text(min_size=1, max_size=3) | st.integers(1, 9),
    "payload_size": st.integers(max_value=-1) | st.integers(65508) | st.none() | st.text(max_size=3),
    "ttl": st.integers(max_value=0) | st.integers(256) | st.text(max_size=3),
    "traffic_class": st.integers(max_value=-1) | st.integers(256) | st.none(),
}


@settings(max_examples=300)
@given(st.data(), st.sampled_from(sorted(BAD)))
def test_a_bad_argument_is_named_before_anything_is_sent(data: st.DataObject, name: str) -> None:
    arguments: dict[str, Any] = {name: data.draw(BAD[name])}

    with pytest.raises(InvalidArgument, match=name):
        ping("localhost", **arguments)


@pytest.mark.parametrize("address", [None, 5, b"127.0.0.1"])
def test_an_address_is_a_text(address: Any) -> None:
    with pytest.raises(InvalidArgument, match="address"):
        ping(address)


# Routes


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(("address", "hops"), [(FAR, network.HOPS), (FAR6, network.HOPS6)])
def test_a_route_is_found_without_root(address: str, hops: list[str]) -> None:
    route = traceroute(address, interval=0, timeout=1)

    assert [hop.address for hop in route] == hops
    assert [hop.distance for hop in route] == [1, 2, 3, 4]
    assert [hop.packets_received for hop in route] == [2] * 4
    assert [hop.min_rtt > 4 * (number - 1) for number, hop in enumerate(route, 1)] == [True] * 4


@pytest.mark.usefixtures("namespace")
def test_a_silent_router_is_left_out() -> None:
    quiet = network.path()
    quiet.node("r2").configure(silent=True)
    with network.attached(quiet):
        route = traceroute(FAR, count=1, interval=0, timeout=0.2)

    assert [(hop.distance, hop.address) for hop in route] == [(1, "10.0.0.2"), (3, "10.0.2.2"), (4, FAR)]


@pytest.mark.usefixtures("path")
def test_a_route_ends_where_a_router_refuses() -> None:
    route = traceroute(UNREACHABLE, count=1, interval=0, timeout=1)

    assert [(hop.distance, hop.address) for hop in route] == [(1, "10.0.0.2"), (2, "10.0.1.2"), (3, "10.0.1.2")]


@pytest.mark.usefixtures("path")
def test_a_fast_trace_asks_each_router_until_it_answers_and_the_host_as_often_as_told() -> None:
    route = traceroute(FAR, count=3, interval=0, timeout=1, fast=True)

    assert [(hop.packets_sent, hop.packets_received) for hop in route] == [(1, 1), (1, 1), (1, 1), (3, 3)]


# Sockets


@pytest.mark.usefixtures("path")
def test_a_socket_hears_of_icmp_errors_and_goes_on() -> None:
    with ICMPv4Socket() as sock:
        refused, answered = ICMPRequest(UNREACHABLE, 1, 1), ICMPRequest(FAR, 1, 2)
        sock.send(refused)
        reply = sock.receive(refused, timeout=1)
        sock.send(answered)

        assert reply.source == "10.0.1.2"
        with pytest.raises(icmplib.ICMPv4DestinationUnreachable, match="Prohibited"):
            reply.raise_for_status()
        assert sock.receive(answered, timeout=1).source == FAR


@pytest.mark.usefixtures("path")
def test_a_time_to_live_travels_with_its_request() -> None:
    with ICMPv6Socket() as sock:
        sources = []
        for sequence, hops in enumerate((1, 64, 2), 1):
            request = ICMPRequest(FAR6, 1, sequence, ttl=hops)
            sock.send(request)
            sources.append(sock.receive(request, timeout=1).source)

    assert sources == [network.HOPS6[0], FAR6, network.HOPS6[1]]


@pytest.mark.usefixtures("namespace")
def test_a_forged_reply_is_no_answer() -> None:
    forging = network.path()
    forging.node("far").rule({"do": "change", "source": SILENT})
    with network.attached(forging), ICMPv4Socket() as sock:
        request = ICMPRequest(FAR, 1, 1)
        sock.send(request)

        with pytest.raises(icmplib.TimeoutExceeded):
            sock.receive(request, timeout=0.1)


@pytest.mark.usefixtures("namespace")
def test_asked_for_anything_a_socket_tells_all_in_order() -> None:
    with ICMPv4Socket("127.0.0.1") as sock:
        for sequence in (5, 6):
            sock.send(ICMPRequest("127.0.0.1", 1, sequence))

        assert [sock.receive(timeout=1).sequence for _ in range(2)] == [5, 6]


@pytest.mark.usefixtures("namespace")
def test_without_blocking_a_receive_that_has_nothing_says_so_at_once() -> None:
    with ICMPv4Socket() as sock:
        sock.blocking = False
        with pytest.raises(icmplib.TimeoutExceeded):
            sock.receive(timeout=100)


@pytest.mark.usefixtures("namespace")
def test_broadcast_is_off_until_it_is_asked_for() -> None:
    with ICMPv4Socket() as sock:
        before = sock.broadcast
        sock.broadcast = True

        assert (before, sock.broadcast) == (False, True)
        with pytest.raises(icmplib.SocketBroadcastError), ICMPv4Socket() as other:
            other.send(ICMPRequest("127.255.255.255", 1, 1))


# Nothing is left behind


@pytest.mark.usefixtures("namespace")
def test_closed_sockets_and_finished_pings_leave_no_descriptor() -> None:
    before = descriptors()
    ping("127.0.0.1", **QUICK)
    sock = ICMPv4Socket()
    sock.close()
    sock.close()
    with pytest.raises(icmplib.SocketAddressError):
        ICMPv4Socket("192.0.2.1")
    traceroute("127.0.0.1", count=1)

    assert descriptors() == before


@pytest.mark.usefixtures("path")
def test_a_cancelled_ping_leaves_nothing_and_the_others_go_on() -> None:
    async def cancel_one() -> tuple[set[str], set[str], int, list[bool]]:
        before = descriptors()
        doomed = asyncio.create_task(async_ping(SILENT, timeout=60))
        others = [asyncio.create_task(async_ping(FAR, **QUICK)) for _ in range(3)]
        await asyncio.sleep(0.01)
        doomed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doomed
        hosts = await asyncio.gather(*others)
        return before, descriptors(), len(asyncio.all_tasks()), [host.is_alive for host in hosts]

    before, after, tasks, alive = asyncio.run(cancel_one())

    assert after == before
    assert (tasks, alive) == (1, [True] * 3)


@pytest.mark.usefixtures("path")
def test_waiting_costs_an_event_loop_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = []
    turn = Prober.turn

    def counted(prober: Prober, readable: Any) -> int:
        turns.append(readable)
        return turn(prober, readable)

    monkeypatch.setattr(Prober, "turn", counted)

    host = asyncio.run(async_ping(SILENT, count=2, interval=0.05, timeout=0.2))

    assert host.packets_sent == 2
    assert len(turns) < 30


@pytest.mark.usefixtures("path")
def test_a_cancelled_receive_leaves_the_socket_usable() -> None:
    async def receive() -> str:
        with AsyncSocket(ICMPv4Socket()) as sock:
            waiting = asyncio.create_task(sock.receive(timeout=60))
            await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            request = ICMPRequest(FAR, 1, 1)
            sock.send(request)
            return (await sock.receive(request, timeout=1)).source

    assert asyncio.run(receive()) == FAR
