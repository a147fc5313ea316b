from __future__ import annotations

import socket
import struct

import pytest

from lab.bench import Bench, beside, path
from pingsock import lab
from pingsock.lab.prefixes import pack_address
from pingsock.wire import icmp4, icmp6
from pingsock.wire.checksum import checksum_holds
from pingsock.wire.extensions import UnknownObject, build_extensions

FAR = {4: "192.0.2.1", 6: "2001:db8:aaaa::1"}


def told(version: int, **options: object) -> tuple[int, bytes]:
    """The length field of r2's time exceeded, and what is behind the quote."""
    bench = path(3)
    bench.network.node("r2").configure(**options)
    arrival = bench.answer(FAR[version], hop_limit=2)
    words = arrival.datagram.payload[5 if version == 4 else 4]
    return words, arrival.body[words * (4 if version == 4 else 8) :]


@pytest.mark.parametrize(("version", "words"), [(4, 32), (6, 16)])
def test_labels_follow_a_quote_padded_to_128_bytes(version: int, words: int) -> None:
    length, behind = told(version, labels=[{"label": 16001, "traffic_class": 5, "ttl": 1}, 3])
    assert length == words
    assert behind[0] == 0x20
    assert checksum_holds(behind)
    assert behind[4:8] == bytes([0, 12, 1, 1])
    assert struct.unpack("!II", behind[8:]) == (16001 << 12 | 5 << 9 | 1, 3 << 12 | 1 << 8 | 1)


def test_without_rfc4884_the_length_field_stays_zero() -> None:
    length, body = told(4, labels=[16001], rfc4884=False)
    assert (length, len(body)) == (0, 128 + 12)
    assert body[128] == 0x20


@pytest.mark.parametrize(("version", "size"), [(4, 576), (6, 1280)])
def test_a_long_quote_makes_room_for_extensions(version: int, size: int) -> None:
    bench = path(3)
    bench.network.node("r2").configure(labels=[16001])
    arrival = bench.answer(FAR[version], hop_limit=2, data=bytes(1400))
    assert size - 8 < arrival.datagram.size <= size
    words = arrival.datagram.payload[5 if version == 4 else 4]
    assert checksum_holds(arrival.body[words * (4 if version == 4 else 8) :])


def test_interfaces_are_told_with_index_address_name_and_mtu() -> None:
    _, behind = told(4, interface_info=["incoming", "outgoing"])
    first, second = behind[4:28], behind[28:]
    assert first == struct.pack("!HBBIHH4s4sI", 24, 2, 0x0F, 1, 1, 0, pack_address("10.0.1.2"), b"\x04r1\0", 1500)
    assert second == struct.pack("!HBBIHH4s4sI", 24, 2, 0x8F, 2, 1, 0, pack_address("10.0.2.1"), b"\x04r3\0", 1500)


def test_only_types_that_can_carry_extensions_do() -> None:
    bench = path(3)
    bench.network.node("r2").configure(labels=[16001])
    bench.network.links[1].change(mtu=1300)
    assert bench.answer(FAR[6], data=bytes(1400)).datagram.size == 1280
    assert bench.answer(FAR[4], data=bytes(1400), dont_fragment=True).datagram.payload[5] > 0


# Extended echo.


def probe(
    bench: Bench, version: int, kind: int, identification: bytes, *, local: bool = True
) -> icmp4.ExtendedEchoReply:
    data = build_extensions([UnknownObject(3, kind, identification)])
    return ask(bench, version, data, local=local)


def ask(bench: Bench, version: int, data: bytes, *, local: bool = True) -> icmp4.ExtendedEchoReply:
    rest = struct.pack("!HBB", 7, 1, local) + data
    bench.icmp(FAR[version], 42 if version == 4 else 160, 0, rest)
    (arrival,) = bench.until(bench.network.now + 1.0)
    message = arrival.datagram
    reply = (
        icmp4.parse_icmp4_untrusted(message.payload)
        if message.family == socket.AF_INET
        else icmp6.parse_icmp6_untrusted(message.payload, message.source, message.destination)
    )
    assert isinstance(reply, icmp4.ExtendedEchoReply | icmp6.ExtendedEchoReply)
    assert (reply.identifier, reply.sequence, reply.data) == (7, 1, data)
    return icmp4.ExtendedEchoReply(**reply.as_dict())


BY_NAME, BY_INDEX, BY_ADDRESS = 1, 2, 3
GATE = struct.pack("!HBx", 1, 4) + pack_address("198.51.100.2")
ME = struct.pack("!HBx", 1, 4) + pack_address("198.51.100.1")
ME6 = struct.pack("!HBx", 2, 16) + pack_address("2001:db8:ffff::1")
NOBODY = struct.pack("!HBx", 1, 4) + pack_address("203.0.113.7")


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("kind", "identification"), [(BY_NAME, b"cable1\0\0"), (BY_INDEX, b"\0\0\0\1"), (BY_ADDRESS, GATE)]
)
def test_an_interface_is_found_by_name_index_and_address(version: int, kind: int, identification: bytes) -> None:
    reply = probe(beside()[0], version, kind, identification)
    assert (reply.code, reply.active, reply.ipv4, reply.ipv6, reply.state) == (0, True, True, True, 0)


@pytest.mark.parametrize("version", [4, 6])
def test_a_neighbour_is_found_by_address_with_its_state(version: int) -> None:
    bench, _ = beside()
    assert [probe(bench, version, BY_ADDRESS, who, local=False).state for who in (ME, ME6)] == [2, 2]
    assert probe(bench, version, BY_ADDRESS, NOBODY, local=False).code == 3


@pytest.mark.parametrize(
    ("kind", "identification", "local", "code"),
    [
        (BY_NAME, b"eth9", True, 2),
        (BY_INDEX, b"\0\0\0\7", True, 2),
        (BY_ADDRESS, NOBODY, True, 2),
        (BY_INDEX, b"\0\1", True, 1),
        (BY_ADDRESS, GATE[:6], True, 1),
        (BY_ADDRESS, b"\0", True, 1),
        (9, b"\0\0\0\1", True, 1),
        (BY_NAME, b"cable1\0\0", False, 1),
    ],
)
def test_what_cannot_be_found_has_its_code(kind: int, identification: bytes, local: bool, code: int) -> None:
    assert probe(beside()[0], 4, kind, identification, local=local).code == code


@pytest.mark.parametrize(
    "data", [b"", b"\x20\0\0\0", b"\x20\0\1\1\0\x08\3\2\0\0\0\1", b"\x20\0\0\0\0\x08\\9\2\0\0\0\1"]
)
def test_a_malformed_query_is_called_so(data: bytes) -> None:
    assert ask(beside()[0], 4, data).code == 1


def test_an_interface_that_is_down_is_not_active() -> None:
    network = lab.Network()
    network.router("far", *FAR.values())
    network.host("other")
    network.link("far", "other", "10.0.9.0/24").up = False
    assert not probe(Bench(network, "far"), 4, BY_NAME, b"other\0\0\0").active


def test_two_interfaces_with_one_address_are_several() -> None:
    network = lab.Network()
    network.router("far", *FAR.values())
    for name in ("a", "b"):
        network.host(name)
        network.link("far", name, left_addresses=["203.0.113.7/24"])
    assert probe(Bench(network, "far"), 4, BY_ADDRESS, NOBODY).code == 4
