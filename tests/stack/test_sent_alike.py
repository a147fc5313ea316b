"""A message like the one before is sent by what is remembered of that; what changes in between shows all the same."""

from __future__ import annotations

import struct
from errno import EHOSTUNREACH, EMSGSIZE, ENETUNREACH, ENOTCONN, EPIPE, EPROTO
from typing import TYPE_CHECKING, Any

import pytest

from pingsock.stack.sockaddr import pack_in
from pingsock.stack.stack import Stack
from pingsock.wire import linux
from pingsock.wire.checksum import checksum_holds
from pingsock.wire.linux import MSG_DONTROUTE, SOL_IP, SOL_SOCKET
from pingsock.wire.transit import UNICAST, Route
from stack.quiet import FAR, HOST, QuietHost, error_about, open_v4

if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.stack.endpoint import Endpoint

TO, ELSEWHERE = pack_in(FAR), pack_in(bytes((10, 9, 0, 3)))


class SteadyHost(QuietHost):
    """Gives the same route as long as it is the same, as a network that remembers does."""

    def __init__(self) -> None:
        super().__init__()
        self.way: Route | OSError = Route(UNICAST, HOST, 2, 1500, 1500)
        self.time_to_live = 64
        self.asked: list[str] = []

    def route(self, family: int, _destination: bytes, **_how: object) -> Route:
        if isinstance(self.way, OSError):
            raise self.way
        return self.way

    def sysctl(self, name: str) -> int:
        self.asked.append(name)
        return self.time_to_live if name == "ipv4.ip_default_ttl" else super().sysctl(name)


@pytest.fixture
def host() -> SteadyHost:
    return SteadyHost()


@pytest.fixture
def endpoint(host: SteadyHost) -> Endpoint:
    made = open_v4(Stack(host, lambda limit: limit // 3), ident=77)  # type: ignore[arg-type]
    send(made)
    return made


def echo(sequence: int = 1, size: int = 12) -> bytes:
    return struct.pack(">BBHHH", 8, 0, 0, 0, sequence) + bytes(size)


def send(endpoint: Endpoint, message: bytes = b"", to: bytes = TO, flags: int = 0) -> None:
    endpoint.sendmsg(message or echo(), to, (), flags)


def test_only_the_message_differs(endpoint: Endpoint, host: SteadyHost) -> None:
    host.asked.clear()
    send(endpoint, echo(2))
    first, second = host.sent
    assert second == first.replace(message=second.message)
    assert struct.unpack(">BBxxHH", second.message[:8]) == (8, 0, 77, 2)
    assert checksum_holds(second.message)
    assert host.asked == []


def errno_of(call: Callable[[], object]) -> int:
    """Of the OSError that a call raises; 0 for none."""
    try:
        call()
    except OSError as error:
        return error.errno or -1
    return 0


def set_option(level: int, option: int, value: int) -> Callable[[Endpoint], None]:
    return lambda endpoint: endpoint.setsockopt(level, option, struct.pack("=i", value))


CHANGES: dict[str, tuple[Callable[[Endpoint], None], dict[str, Any]]] = {
    "time to live": (set_option(SOL_IP, linux.IP_TTL, 9), {"hop_limit": 9}),
    "type of service": (set_option(SOL_IP, linux.IP_TOS, 8), {"traffic_class": 8, "priority": 2}),
    "path MTU discovery": (set_option(SOL_IP, linux.IP_MTU_DISCOVER, 0), {"dont_fragment": False}),
    "routing": (set_option(SOL_SOCKET, linux.SO_DONTROUTE, 1), {"dont_route": True}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_option_counts_for_the_next_packet(endpoint: Endpoint, host: SteadyHost, name: str) -> None:
    change, difference = CHANGES[name]
    change(endpoint)
    send(endpoint)
    first, second = host.sent
    assert second == first.replace(**difference)


def test_another_route_brings_its_source_and_the_hosts_settings(endpoint: Endpoint, host: SteadyHost) -> None:
    host.way, host.time_to_live = Route(UNICAST, bytes((10, 9, 9, 9)), 3, 1500, 1500), 33
    send(endpoint)
    assert (host.sent[1].source, host.sent[1].hop_limit) == (bytes((10, 9, 9, 9)), 33)


def test_a_route_that_is_gone_fails_the_next_packet(endpoint: Endpoint, host: SteadyHost) -> None:
    host.way = OSError(ENETUNREACH, "")
    assert (errno_of(lambda: send(endpoint)), len(host.sent)) == (ENETUNREACH, 1)


def test_another_destination_length_or_flag_is_another_packet(endpoint: Endpoint, host: SteadyHost) -> None:
    send(endpoint, to=ELSEWHERE)
    assert host.sent[1].destination == bytes((10, 9, 0, 3))
    host.way = Route(UNICAST, HOST, 2, 600, 600)
    endpoint.setsockopt(SOL_IP, linux.IP_MTU_DISCOVER, struct.pack("=i", linux.IP_PMTUDISC_DO))
    send(endpoint)
    assert errno_of(lambda: send(endpoint, echo(size=700))) == EMSGSIZE
    send(endpoint, flags=MSG_DONTROUTE)
    assert len(host.sent) == 4


def test_a_peer_set_in_between_is_where_the_next_goes(endpoint: Endpoint, host: SteadyHost) -> None:
    for peer in (TO, ELSEWHERE):
        endpoint.connect(peer)
        endpoint.sendmsg(echo())
    assert [packet.destination for packet in host.sent[1:]] == [FAR, bytes((10, 9, 0, 3))]


def test_a_pending_error_is_reported_once_and_nothing_is_sent(endpoint: Endpoint, host: SteadyHost) -> None:
    endpoint.setsockopt(SOL_IP, linux.IP_RECVERR, struct.pack("=i", 1))
    send(endpoint)
    endpoint.stack.deliver_untrusted(error_about(8, 77), 2, 1)
    assert (errno_of(lambda: send(endpoint)), len(host.sent)) == (EHOSTUNREACH, 2)
    send(endpoint)
    assert len(host.sent) == 3


def test_a_socket_shut_down_for_writing_sends_no_more(endpoint: Endpoint, host: SteadyHost) -> None:
    assert errno_of(lambda: endpoint.shutdown(1)) == ENOTCONN
    assert (errno_of(lambda: send(endpoint)), len(host.sent)) == (EPIPE, 1)


def test_each_packet_has_a_stamp_of_its_own(endpoint: Endpoint, host: SteadyHost) -> None:
    flags = linux.SOF_TIMESTAMPING_TX_SOFTWARE | linux.SOF_TIMESTAMPING_SOFTWARE | linux.SOF_TIMESTAMPING_OPT_ID
    endpoint.setsockopt(SOL_SOCKET, linux.SO_TIMESTAMPING, struct.pack("=i", flags))
    for _ in range(3):
        send(endpoint)
    keys = [packet.stamp_key for packet in host.sent[1:]]
    assert len(set(keys)) == 3
    for key in keys:
        endpoint.stack.transmitted(key, 5, False, bytes(84))
    assert [entry.data for entry in endpoint.error_queue] == [0, 1, 2]


def test_ancillary_data_is_for_one_packet(endpoint: Endpoint, host: SteadyHost) -> None:
    endpoint.sendmsg(echo(), TO, ((SOL_IP, linux.IP_TTL, struct.pack("=i", 5)),))
    send(endpoint)
    assert [packet.hop_limit for packet in host.sent] == [64, 5, 64]


def test_a_network_that_refuses_is_asked_again(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_packet: object) -> None:
        raise OSError(EPROTO, "")

    monkeypatch.setattr(endpoint.stack.network, "transmit", refuse)
    assert [errno_of(lambda: send(endpoint)) for _ in range(2)] == [EPROTO, EPROTO]
