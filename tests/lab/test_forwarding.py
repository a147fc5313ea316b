from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.bench import ME, ME6, Bench, path
from pingsock import lab
from pingsock.lab.datagram import parse_datagram_untrusted
from pingsock.lab.prefixes import pack_address

if TYPE_CHECKING:
    from collections.abc import Iterable

FAR = {4: "192.0.2.1", 6: "2001:db8:aaaa::1"}
HOPS = {
    4: ["198.51.100.2", "10.0.1.2", "10.0.2.2"],
    6: ["2001:db8:ffff::2", "2001:db8:1::2", "2001:db8:2::2"],
}


@pytest.mark.parametrize("version", [4, 6])
def test_every_hop_reports_a_ttl_that_ran_out_there(version: int) -> None:
    bench = path(3, delay=0.01)
    for ttl, source in enumerate(HOPS[version], 1):
        begin = bench.network.now
        arrival = bench.answer(FAR[version], hop_limit=ttl)
        assert arrival.source == source
        assert arrival.kind == ((11, 0) if version == 4 else (3, 0))
        assert arrival.intact
        assert round((arrival.at - begin) * 1e6) == 20_000 * (ttl - 1)
    assert bench.answer(FAR[version], hop_limit=4).source == FAR[version]


def test_an_error_quotes_the_packet_as_it_arrived() -> None:
    bench = path(3)
    arrival = bench.answer(FAR[4], hop_limit=3, sequence=77, data=b"x" * 100)
    quoted = parse_datagram_untrusted(arrival.body)
    assert (quoted.source, quoted.destination) == (pack_address(ME), pack_address(FAR[4]))
    assert (quoted.hop_limit, quoted.sequence, quoted.payload[8:]) == (1, 77, b"x" * 100)


@pytest.mark.parametrize(("version", "size"), [(4, 576), (6, 1280)])
def test_an_error_is_as_large_as_the_standards_allow(version: int, size: int) -> None:
    assert path(3).answer(FAR[version], hop_limit=2, data=bytes(1400)).datagram.size == size


@pytest.mark.parametrize(("version", "kind"), [(4, (3, 4)), (6, (2, 0))])
def test_a_packet_too_big_for_the_next_link_is_reported_with_its_mtu(version: int, kind: tuple[int, int]) -> None:
    bench = path(3)
    bench.network.links[1].change(mtu=1400)
    arrival = bench.answer(FAR[version], data=bytes(1400), dont_fragment=version == 4)
    assert (arrival.kind, arrival.word) == (kind, 1400)
    assert arrival.source == HOPS[version][1]
    fits = 1400 - (28 if version == 4 else 48)
    assert bench.answer(FAR[version], data=bytes(fits), dont_fragment=version == 4).source == FAR[version]


def test_ipv4_without_df_is_fragmented_on_the_way() -> None:
    bench = path(3)
    bench.network.links[1].change(mtu=600)
    bench.ping(FAR[4], data=bytes(1400))
    sizes = [(arrival.datagram.size, arrival.datagram.offset) for arrival in bench.until(1.0)]
    assert sizes == [(596, 0), (596, 576), (276, 1152)]


def test_an_ipv6_host_learns_the_path_mtu_of_its_answers() -> None:
    bench = path(3)
    link = bench.network.links[1]
    link.change_direction(link.right, mtu=1300)
    bench.ping(FAR[6], data=bytes(1400))
    assert bench.until(1.0) == []
    bench.ping(FAR[6], data=bytes(1400))
    assert [arrival.datagram.size for arrival in bench.until(2.0)] == [1296, 208]


def test_a_black_hole_says_nothing() -> None:
    bench = path(3)
    bench.network.links[1].change(mtu=1400)
    bench.network.node("r2").configure(black_hole=True)
    bench.ping(FAR[4], data=bytes(1400), dont_fragment=True)
    assert bench.until(1.0) == []
    assert bench.network.drops["r2", "black hole"] == 1


def test_a_silent_router_forwards_and_reports_nothing() -> None:
    bench = path(3)
    bench.network.node("r2").configure(silent=True)
    bench.ping(FAR[4], hop_limit=2)
    assert bench.until(1.0) == []
    assert bench.answer(FAR[4]).source == FAR[4]


def test_a_hidden_router_is_no_hop() -> None:
    bench = path(3)
    bench.network.node("r2").configure(hidden=True)
    assert [bench.answer(FAR[4], hop_limit=ttl).source for ttl in (1, 2, 3)] == ["198.51.100.2", "10.0.2.2", FAR[4]]


@pytest.mark.parametrize(
    ("destination", "kind", "source"),
    [
        ("203.0.113.9", (3, 0), "198.51.100.2"),
        ("2001:db8:dead::1", (1, 0), "2001:db8:ffff::2"),
        ("10.0.3.77", (3, 1), "10.0.2.2"),
        ("2001:db8:3::77", (1, 3), "2001:db8:2::2"),
    ],
)
def test_what_cannot_be_reached_is_reported(destination: str, kind: tuple[int, int], source: str) -> None:
    arrival = path(3).answer(destination)
    assert (arrival.kind, arrival.source) == (kind, source)


def test_looking_for_a_neighbour_takes_its_time() -> None:
    bench = path(3)
    bench.network.node("r3").configure(neighbour_timeout=3.0)
    assert bench.answer("10.0.3.77").at == 3.0


@pytest.mark.parametrize(
    ("refuse", "kind", "kind6"),
    [("unreachable", (3, 1), (1, 3)), ("prohibit", (3, 13), (1, 1)), ("reject", (3, 0), (1, 0))],
)
def test_a_route_can_refuse(refuse: str, kind: tuple[int, int], kind6: tuple[int, int]) -> None:
    bench = path(3)
    bench.network.node("r2").route("192.0.2.0/24", refuse=refuse)
    bench.network.node("r2").route("2001:db8:aaaa::/48", refuse=refuse)
    assert (bench.answer(FAR[4]).kind, bench.answer(FAR[6]).kind) == (kind, kind6)


def test_a_blackhole_route_says_nothing() -> None:
    bench = path(3)
    bench.network.node("r2").route("192.0.2.0/24", refuse="blackhole")
    bench.ping(FAR[4])
    assert bench.until(1.0) == []


def test_errors_are_limited_in_rate() -> None:
    bench = path(3)
    bench.network.node("r2").configure(error_rate=10.0, error_burst=2)
    seen = []
    for step in range(20):
        bench.ping(FAR[4], hop_limit=2)
        seen.append(len(bench.until((step + 1) * 0.05)))
    assert seen[:6] == [1, 1, 1, 0, 1, 0]
    assert sum(seen) == 11
    assert bench.network.drops["r2", "error rate limit"] == 9


def test_errors_can_take_their_time() -> None:
    bench = path(3)
    bench.network.node("r2").configure(error_delay=0.75)
    assert bench.answer(FAR[4], hop_limit=2).at == 0.75


@pytest.mark.parametrize(
    ("reply_from", "source"),
    [("incoming", "10.0.1.2"), ("node", "10.255.0.2"), ("203.0.113.66", "203.0.113.66")],
)
def test_errors_come_from_the_chosen_address(reply_from: str, source: str) -> None:
    bench = path(3)
    bench.network.node("r2").configure(reply_from=reply_from)
    assert bench.answer(FAR[4], hop_limit=2).source == source


def diamond(**gate: str) -> Bench:
    """r1 - (up | down) - r4 - far."""
    network = lab.Network()
    network.router("r1", "10.255.0.1", **gate)
    for name, address in (("up", "10.255.0.2"), ("down", "10.255.0.3"), ("r4", "10.255.0.4")):
        network.router(name, address)
    network.host("far", "192.0.2.1")
    for left, right, subnet in (
        ("r1", "up", "10.0.1.0/24"),
        ("r1", "down", "10.0.2.0/24"),
        ("up", "r4", "10.0.3.0/24"),
        ("down", "r4", "10.0.4.0/24"),
        ("r4", "far", "10.0.5.0/24"),
    ):
        network.link(left, right, subnet)
    return Bench(network, "r1")


def test_the_way_back_can_be_another() -> None:
    bench = diamond()
    bench.network.node("r4").route("198.51.100.0/24", via="down")
    bench.network.node("r4").configure(reply_from="outgoing")
    assert bench.answer(FAR[4], hop_limit=2).source == "10.0.1.2"
    assert bench.answer(FAR[4], hop_limit=3).source == "10.0.4.2"


def spread(bench: Bench, probes: Iterable[dict[str, int]]) -> set[str]:
    return {bench.answer(FAR[4], hop_limit=2, **probe).source for probe in probes}


BOTH, ONE = {"10.0.1.2", "10.0.2.2"}, {"10.0.1.2"}


@pytest.mark.parametrize(
    ("multipath", "by_ident", "by_sequence", "by_nothing"),
    [
        ("", ONE, ONE, ONE),
        ("packet", BOTH, BOTH, BOTH),
        ("flow", BOTH, BOTH, None),
        ("ident", BOTH, None, None),
        ("sequence", None, BOTH, None),
        ("address", None, None, None),
    ],
)
def test_load_is_spread_by_what_the_router_looks_at(
    multipath: str, by_ident: set[str] | None, by_sequence: set[str] | None, by_nothing: set[str] | None
) -> None:
    bench = diamond(multipath=multipath)
    for probes, expected in (
        ([{"ident": number} for number in range(1, 20)], by_ident),
        ([{"sequence": number} for number in range(1, 20)], by_sequence),
        ([{"ident": 7}] * 20, by_nothing),
    ):
        ways = spread(bench, probes)
        assert ways == expected if expected else len(ways) == 1


def test_cost_decides_the_way() -> None:
    bench = diamond()
    bench.network.links[0].change(cost=5)
    assert bench.answer(FAR[4], hop_limit=2).source == "10.0.2.2"


def test_no_error_about_errors_groups_or_later_fragments() -> None:
    bench = path(3)
    bench.icmp(FAR[4], 11, 0, bytes(32), hop_limit=1)
    bench.ping("224.0.0.9", hop_limit=1)
    bench.ping(FAR[4], hop_limit=1, offset=64)
    bench.icmp(FAR[6], 1, 0, bytes(32), hop_limit=1)
    bench.ping("ff02::9", hop_limit=1)
    assert bench.until(1.0) == []


def test_incomplete_fragments_are_reported_after_thirty_seconds() -> None:
    bench = path(3)
    bench.ping(FAR[4], more_fragments=True, identification=5)
    (arrival,) = bench.until(100.0)
    assert (arrival.kind, arrival.at, arrival.source) == ((11, 1), 30.0, FAR[4])


def test_fragments_are_put_together_before_they_are_answered() -> None:
    bench = path(3)
    bench.ping(FAR[4], data=bytes(4000))
    assert bench.until(1.0) == []
    assert bench.network.drops[bench.attachment.name, "too big"] == 1
    source, target = pack_address(ME6), pack_address(FAR[6])
    message = bytes([128, 0, 0, 0, 0, 7, 0, 1]) + bytes(4000)
    whole = lab.Datagram(source, target, 58, message).sealed()
    for packet in whole.fragments(1500, 99):
        bench.near.send(packet)
    assert [arrival.datagram.offset for arrival in bench.until(2.0)] == [0, 1448, 2896]


def test_udp_finds_no_port_and_other_protocols_nobody() -> None:
    bench = path(1)
    source, target = pack_address(ME), pack_address(FAR[4])
    source6, target6 = pack_address(ME6), pack_address(FAR[6])
    bench.send(lab.Datagram(source, target, 17, bytes(8)))
    bench.send(lab.Datagram(source, target, 99, bytes(8)))
    bench.send(lab.Datagram(source6, target6, 17, bytes(8)))
    bench.send(lab.Datagram(source6, target6, 99, bytes(8)))
    arrivals = bench.until(1.0)
    assert [arrival.kind for arrival in arrivals] == [(3, 3), (3, 2), (1, 4), (4, 1)]
    assert arrivals[3].word == 6


def test_a_damaged_packet_is_dropped() -> None:
    bench = path(1)
    bench.near.send(b"\x45\0\0\x14")
    bench.near.send(b"")
    bench.near.send(bytes([0x45]) + bytes(19))
    assert bench.until(1.0) == []
    assert bench.network.drops["r1", "malformed"] == 3
