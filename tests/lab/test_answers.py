from __future__ import annotations

import struct

import pytest

from lab.bench import GATE, ME, Arrival, Bench, beside, path
from pingsock import lab
from pingsock.lab.prefixes import address_text, pack_address
from pingsock.wire.icmp4 import AddressMaskReply, TimestampReply, parse_icmp4_untrusted

FAR, FAR6 = "192.0.2.1", "2001:db8:aaaa::1"


def asked(bench: Bench, kind: int, rest: bytes, target: str = FAR) -> list[Arrival]:
    bench.icmp(target, kind, 0, rest)
    return bench.until(bench.network.now + 1.0)


@pytest.mark.parametrize(("target", "kind"), [(FAR, (0, 0)), (FAR6, (129, 0))])
def test_echo_brings_everything_back(target: str, kind: tuple[int, int]) -> None:
    arrival = beside()[0].answer(target, 0xABCD, ident=0x1234, data=b"payload", traffic_class=0x48)
    message = arrival.datagram
    assert (arrival.kind, message.ident, message.sequence, arrival.body) == (kind, 0x1234, 0xABCD, b"payload")
    assert (arrival.source, address_text(message.destination)) == (target, ME if target == FAR else "2001:db8:ffff::1")
    assert (message.hop_limit, message.traffic_class, arrival.intact) == (64, 0x48, True)


def test_a_timestamp_reply_tells_milliseconds_of_the_day() -> None:
    bench, _ = beside(clock_offset=2.5)
    bench.network.epoch = 86400.0 * 365
    bench.network.run_until(10.0)
    (arrival,) = asked(bench, 13, struct.pack("!HHIII", 7, 1, 4242, 0, 0))
    reply = parse_icmp4_untrusted(arrival.datagram.payload)
    assert reply == TimestampReply(7, 1, 4242, 12_500, 12_500)


def test_a_clock_can_be_nonstandard() -> None:
    bench, _ = beside(nonstandard_clock=True)
    (arrival,) = asked(bench, 13, struct.pack("!HHIII", 7, 1, 4242, 0, 0))
    reply = parse_icmp4_untrusted(arrival.datagram.payload)
    assert isinstance(reply, TimestampReply)
    assert reply.receive == 0x80000000


def test_information_and_address_mask() -> None:
    bench, far = beside()
    assert [arrival.kind for arrival in asked(bench, 15, struct.pack("!HH", 7, 1))] == [(16, 0)]
    (arrival,) = asked(bench, 17, struct.pack("!HHI", 7, 1, 0))
    assert parse_icmp4_untrusted(arrival.datagram.payload) == AddressMaskReply(7, 1, pack_address("255.255.255.0"))
    far.configure(mask="255.255.240.0")
    (arrival,) = asked(bench, 17, struct.pack("!HHI", 7, 1, 0))
    assert parse_icmp4_untrusted(arrival.datagram.payload) == AddressMaskReply(7, 1, pack_address("255.255.240.0"))


@pytest.mark.parametrize("kind", [8, 13, 15, 17, 42])
def test_every_answer_can_be_switched_off(kind: int) -> None:
    assert asked(beside(answers=[])[0], kind, bytes(20)) == []


def test_a_request_with_a_wrong_checksum_is_not_answered() -> None:
    bench, far = beside()
    message = bytes([8, 0, 0, 0, 0, 7, 0, 1])
    bench.send(lab.Datagram(pack_address(ME), pack_address(FAR), 1, message))
    assert bench.until(1.0) == []
    assert bench.network.drops[far.name, "bad checksum"] == 1


def test_replies_unknown_types_and_stumps_are_not_answered() -> None:
    bench, _ = beside()
    for kind in (0, 14, 99, 255):
        assert asked(bench, kind, bytes(20)) == []
    bench.send(lab.Datagram(pack_address(ME), pack_address(FAR), 1, b"\x08\0"))
    assert asked(bench, 13, bytes(4)) == []


def test_a_host_can_own_a_whole_network() -> None:
    network = lab.Network()
    network.router("r1", "10.255.0.1")
    network.host("many", "10.9.0.0/16", "2001:db8:9::/64")
    network.link("r1", "many")
    bench = Bench(network, "r1")
    for address in ("10.9.0.0", "10.9.1.2", "10.9.255.255", "2001:db8:9::", "2001:db8:9::ffff:1"):
        assert bench.answer(address).source == address
    assert bench.answer("10.10.0.1").kind == (3, 0)


def test_a_router_answers_on_all_its_addresses() -> None:
    bench = path(2)
    for address in ("198.51.100.2", "10.255.0.1", "10.0.1.1", "10.0.1.2", "10.255.0.2", "10.0.2.1", "2001:db8:ff::2"):
        assert bench.answer(address).source == address


def test_record_route_is_recorded_there_and_back() -> None:
    bench = path(1)
    route = bytes([7, 39, 4]) + bytes(36) + b"\0"
    options = bench.answer(FAR, options=route).datagram.options
    hops = [address_text(options[at : at + 4]) for at in range(3, options[2] - 1, 4)]
    assert hops == ["10.0.1.1", FAR, FAR, "198.51.100.2"]


def test_malformed_options_are_a_parameter_problem_at_the_first_router() -> None:
    arrival = path(2).answer(FAR, options=bytes([7, 99, 4, 0]))
    assert (arrival.kind, arrival.word, arrival.source) == ((12, 0), 20 << 24, GATE.partition("/")[0])


def test_the_hop_limit_of_answers_is_the_hosts() -> None:
    assert path(2, host={"hop_limit": 255}).answer(FAR).datagram.hop_limit == 253


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"colour": "red"}, "far: a node has no option 'colour'; it has answers, hop_limit"),
        ({"silent": 1}, "far: silent is 1, needed a bool"),
        ({"hop_limit": 0}, "far: hop_limit is 0, needed 1 to 255"),
        ({"answers": ["mail"]}, "far: answers is 'mail', needed one of 'echo', 'extended echo'"),
        ({"answers": "echo"}, "far: answers is 'echo', needed a list"),
        ({"multipath": "luck"}, "far: multipath is 'luck', needed one of '', 'packet', 'address'"),
        ({"reply_from": "nowhere"}, "'nowhere' is neither an IPv4 nor an IPv6 address"),
        ({"error_rate": -1}, "far: error_rate is -1, needed 0 or more"),
        ({"labels": [{"tag": 1}]}, "far: labels has {'tag': 1}, needed a label or a table"),
        ({"labels": ["x"]}, "far: labels has 'x', needed a label or a table"),
        ({"labels": [1 << 20]}, "far: labels has 1048576, needed a label or a table"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], told: str) -> None:
    with pytest.raises(lab.LabError) as raised:
        beside(**options)
    assert told in str(raised.value)
