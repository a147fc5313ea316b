from __future__ import annotations

import errno
import random
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from link.harness import MIDNIGHT_MS, NOW, Bench, Recorder, echo4, ip, outbound, packet4, packet6
from pingsock.link.cable import MemoryCable, memory_cable
from pingsock.link.fragments import Reassembler, fragment_ipv4, fragment_ipv6
from pingsock.link.host import PACKETS_PER_CALL, HostLink
from pingsock.wire.checksum import checksum_holds
from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4 import IPv4Header, build_ipv4, parse_ipv4_untrusted
from pingsock.wire.ipv6 import ExtensionHeader, IPv6Header, build_ipv6, parse_ipv6_untrusted
from pingsock.wire.linux import AF_INET, AF_INET6, SOF_TIMESTAMPING_TX_SCHED, SOF_TIMESTAMPING_TX_SOFTWARE

REPLY4, REPLY6 = echo4(0), b"\x81\0\0\0\x12\x34\0\1data"


@pytest.fixture
def bench() -> Bench:
    return Bench()


# What arrives.


def test_a_packet_for_us_is_delivered_with_its_interface_and_stamp(bench: Bench) -> None:
    four, six = packet4("10.9.0.2", "10.9.0.1", REPLY4), packet6("2001:db8:9::2", "2001:db8:9::1", REPLY6)
    bench.inject(four, six)
    assert bench.receiver.delivered == [(four, 2, NOW, 0), (six, 2, NOW, 0)]


def test_our_other_addresses_are_ours_on_every_interface(bench: Bench) -> None:
    bench.inject(packet4("10.9.0.2", "10.8.0.1", REPLY4), packet6("2001:db8:9::2", "2001:db8:8::1", REPLY6))
    assert len(bench.receiver.delivered) == 2


@pytest.mark.parametrize(
    ("destination", "arrives"),
    [
        ("10.9.0.1", True),
        ("10.9.0.255", True),
        ("10.8.0.255", True),
        ("255.255.255.255", True),
        ("224.0.0.1", True),
        ("224.0.0.2", False),
        ("10.9.0.0", False),
        ("10.9.0.2", False),
        ("203.0.113.1", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("2001:db8:9::1", True),
        ("fe80::1", True),
        ("fe80::2", False),  # eth1's
        ("ff02::1", True),
        ("ff02::1:ff00:1", True),
        ("ff02::1:ff00:2", False),
        ("ff01::1", False),
        ("ff02::2", False),
        ("2001:db8:9::2", False),
        ("::1", False),
        ("::", False),
        ("::ffff:10.9.0.1", False),
    ],
)
def test_only_packets_for_us_arrive(bench: Bench, destination: str, arrives: bool) -> None:
    is_6 = ":" in destination
    packet = packet6("2001:db8:9::2", destination, REPLY6) if is_6 else packet4("10.9.0.2", destination, REPLY4)
    bench.inject(packet)
    assert bench.receiver.packets == [packet] * arrives
    assert bench.host.dropped == (not arrives)


@pytest.mark.parametrize(
    ("source", "arrives"),
    [
        ("10.9.0.77", True),
        ("203.0.113.1", True),
        ("240.0.0.1", True),
        ("10.9.0.255", True),
        ("10.9.0.0", True),
        ("0.0.0.1", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("255.255.255.255", False),
        ("224.0.0.1", False),
        ("10.9.0.1", False),
        ("10.8.0.1", False),
        ("2001:db8:9::1", True),
        ("::", True),
        ("ff02::1", False),
        ("::1", False),
        ("::ffff:10.9.0.2", True),
    ],
)
def test_impossible_sources_are_dropped(bench: Bench, source: str, arrives: bool) -> None:
    packet = packet6(source, "2001:db8:9::1", REPLY6) if ":" in source else packet4(source, "10.9.0.1", REPLY4)
    bench.inject(packet)
    assert bench.receiver.packets == [packet] * arrives


@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
def test_a_group_arrives_only_on_the_interface_where_it_was_joined(bench: Bench, family: int) -> None:
    group = "239.1.2.3" if family == AF_INET else "ff05::77"
    make = packet4 if family == AF_INET else packet6
    packet = make("10.9.0.2" if family == AF_INET else "fe80::9", group, REPLY4 if family == AF_INET else REPLY6)
    bench.inject(packet)
    bench.host.join_group(family, ip(group), 2)
    bench.inject(packet, packet)
    bench.inject(packet, cable=bench.far1)
    bench.host.leave_group(family, ip(group), 2)
    bench.inject(packet)
    assert bench.receiver.packets == [packet, packet]


def test_a_group_may_be_joined_without_naming_an_interface(bench: Bench) -> None:
    bench.host.join_group(AF_INET, ip("239.1.2.3"), 0)
    bench.inject(packet4("10.9.0.2", "239.1.2.3", REPLY4))
    assert len(bench.receiver.packets) == 1


def spoiled(packet: bytes, at: int, value: int) -> bytes:
    return packet[:at] + bytes([value]) + packet[at + 1 :]


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45",
        packet4("10.9.0.2", "10.9.0.1", REPLY4)[:-1],
        spoiled(packet4("10.9.0.2", "10.9.0.1", REPLY4), 10, 0),
        spoiled(packet4("10.9.0.2", "10.9.0.1", REPLY4), 0, 0x55),
        spoiled(packet4("10.9.0.2", "10.9.0.1", REPLY4), 0, 0x4F),
        packet6("2001:db8:9::2", "2001:db8:9::1", REPLY6)[:-1],
        packet6("2001:db8:9::2", "2001:db8:9::1", REPLY6)[:39],
        packet4("10.9.0.2", "10.9.0.1", bytes(8), protocol=17),
        build_ipv6(IPv6Header(ip("2001:db8:9::2"), ip("2001:db8:9::1"), 17), bytes(8)),
    ],
)
def test_what_is_no_sound_ip_packet_with_icmp_inside_is_dropped_with_a_reason(bench: Bench, packet: bytes) -> None:
    bench.inject(packet)
    assert bench.receiver.delivered == []
    assert bench.host.last_drop != ""


def test_icmp_itself_is_not_checked(bench: Bench) -> None:
    bench.inject(packet4("10.9.0.2", "10.9.0.1", b"\0\0\xff"), packet6("2001:db8:9::2", "2001:db8:9::1", b"\x80\0\0\0"))
    assert len(bench.receiver.delivered) == 2


def test_padding_behind_the_ip_length_is_cut_off(bench: Bench) -> None:
    four, six = packet4("10.9.0.2", "10.9.0.1", REPLY4), packet6("2001:db8:9::2", "2001:db8:9::1", REPLY6)
    bench.inject(four + b"padding", six + b"padding")
    assert bench.receiver.packets == [four, six]


def test_fragments_arrive_as_one_packet_that_tells_its_largest_fragment(bench: Bench) -> None:
    four = packet4("10.9.0.2", "10.9.0.1", echo4(0, bytes(3000)))
    six = packet6("2001:db8:9::2", "2001:db8:9::1", REPLY6 + bytes(3000))
    bench.inject(*reversed(fragment_ipv4(four, 1420)), *fragment_ipv6(six, 1448, 7))
    assert bench.receiver.delivered == [(four, 2, NOW, 1420), (six, 2, NOW, 1448)]


def test_run_forgets_incomplete_packets_when_it_said_it_would(bench: Bench) -> None:
    first, second = fragment_ipv4(packet4("10.9.0.2", "10.9.0.1", echo4(0, bytes(1000))), 600)
    assert bench.host.next_event() is None
    bench.inject(first)
    assert bench.host.next_event() == bench.now + 30
    bench.host.run(bench.now + 30)
    assert bench.host.next_event() is None
    bench.inject(second)
    assert bench.receiver.delivered == []


def test_record_route_gets_our_address_and_timestamp_our_time(bench: Bench) -> None:
    options = bytes([7, 7, 4, 0, 0, 0, 0]) + bytes([68, 12, 5, 1]) + bytes(8) + b"\0"
    bench.inject(packet4("10.9.0.2", "10.9.0.1", REPLY4, options=options))
    (packet,) = bench.receiver.packets
    own = bytes([10, 9, 0, 1])
    assert (
        packet[20:40] == bytes([7, 7, 8]) + own + bytes([68, 12, 13, 1]) + own + MIDNIGHT_MS.to_bytes(4, "big") + b"\0"
    )
    assert checksum_holds(packet[:40])


def test_a_group_packet_records_the_interfaces_address(bench: Bench) -> None:
    packet = packet4("10.8.0.2", "224.0.0.1", REPLY4, options=bytes([7, 7, 4, 0, 0, 0, 0, 0]))
    bench.inject(packet, cable=bench.far1)
    assert bench.receiver.packets[0][23:27] == bytes([10, 8, 0, 1])


def test_malformed_options_and_source_routes_are_dropped(bench: Bench) -> None:
    bench.inject(packet4("10.9.0.2", "10.9.0.1", REPLY4, options=bytes([7, 3, 3, 0])))
    source_route = packet4("10.9.0.2", "10.9.0.1", REPLY4, options=bytes([131, 7, 8, 10, 9, 0, 9, 0]))
    bench.inject(source_route)
    assert bench.receiver.packets == []
    bench.host.set_sysctl("ipv4.conf.all.accept_source_route", 1)
    bench.inject(source_route)
    assert bench.receiver.packets == [source_route]


def with_extension(kind: int, data: bytes) -> bytes:
    message = packet6("2001:db8:9::2", "2001:db8:9::1", REPLY6)[40:]
    header = IPv6Header(ip("2001:db8:9::2"), ip("2001:db8:9::1"))
    return build_ipv6(header, message, [ExtensionHeader(kind, b"\0" + data)])


@pytest.mark.parametrize("kind", [0, 60])
def test_ipv6_options_are_skipped_unless_they_forbid_it(bench: Bench, kind: int) -> None:
    known = with_extension(kind, bytes([0, 5, 2, 0, 0, 1, 0]))
    skippable = with_extension(kind, bytes([0, 0x1E, 4, 1, 2, 3, 4]))
    forbidding = with_extension(kind, bytes([0, 0x80, 4, 0, 0, 0, 0]))
    cut = with_extension(kind, bytes([0, 1, 5, 0, 0, 0, 0]))
    bench.inject(known, skippable, forbidding, cut)
    assert bench.receiver.packets == [known, skippable]


def test_a_routing_header_passes_only_at_its_end(bench: Bench) -> None:
    at_end, on_the_way = (
        with_extension(43, bytes([0, 0, 0, 0, 0, 0, 0])),
        with_extension(43, bytes([0, 0, 1, 0, 0, 0, 0])),
    )
    bench.inject(at_end, on_the_way)
    assert bench.receiver.packets == [at_end]


# What is sent.


def test_a_message_leaves_in_an_ip_packet_with_all_its_wishes(bench: Bench) -> None:
    bench.host.transmit(outbound("10.9.0.1", "10.9.0.2", hop_limit=9, traffic_class=0xB8, dont_fragment=True))
    header, payload = parse_ipv4_untrusted(bench.one_sent())
    assert (header.source, header.destination) == (ip("10.9.0.1"), ip("10.9.0.2"))
    assert (header.ttl, header.traffic_class, header.dont_fragment, header.protocol) == (9, 0xB8, True, 1)
    assert payload == echo4()
    six = outbound("2001:db8:9::1", "2001:db8:9::2", hop_limit=0, traffic_class=0xB8, flow_label=0xABCDE)
    bench.host.transmit(six)
    header6, payload = parse_ipv6_untrusted(bench.one_sent())
    assert (header6.hop_limit, header6.traffic_class, header6.flow_label) == (0, 0xB8, 0xABCDE)
    assert payload == six.message


def labels(bench: Bench, *, flow_label: int = -1, destination: str = "2001:db8:9::2") -> list[int]:
    for _ in range(2):
        bench.host.transmit(outbound("2001:db8:9::1", destination, flow_label=flow_label))
    return [parse_ipv6_untrusted(packet)[0].flow_label for packet in bench.sent()]


def test_the_automatic_flow_label_is_constant_for_two_addresses_and_never_zero(bench: Bench) -> None:
    first, second = labels(bench)
    assert first == second != 0
    assert labels(bench, destination="2001:db8:9::3")[0] != first
    assert labels(bench, flow_label=0) == [0, 0]
    bench.host.set_sysctl("ipv6.auto_flowlabels", 0)
    assert labels(bench) == [0, 0]


def identifications(bench: Bench, **wishes: Any) -> list[int]:
    for _ in range(3):
        bench.host.transmit(outbound("10.9.0.1", "10.9.0.2", **wishes))
    return [parse_ipv4_untrusted(packet)[0].identification for packet in bench.sent()]


def test_identifications_count_up_for_one_destination_and_are_zero_where_useless(bench: Bench) -> None:
    first, second, third = identifications(bench)
    assert (second - first) % 65536 == (third - second) % 65536 == 1
    assert identifications(bench, dont_fragment=True) == [0, 0, 0]
    assert len(set(identifications(bench, dont_fragment=True, fragment_size=1500))) == 3


def test_options_are_filled_on_the_way_out(bench: Bench) -> None:
    options = bytes([7, 7, 4, 0, 0, 0, 0, 1]) + bytes([68, 8, 5, 0]) + bytes(4)
    bench.host.transmit(outbound("10.9.0.1", "10.9.0.2", options=options))
    header, _ = parse_ipv4_untrusted(bench.one_sent())
    assert header.options == bytes([7, 7, 8, 10, 9, 0, 1, 1, 68, 8, 9, 0]) + MIDNIGHT_MS.to_bytes(4, "big")


def test_large_packets_are_fragmented_to_the_size_asked_for(bench: Bench) -> None:
    four = outbound("10.9.0.1", "10.9.0.2", echo4(8, bytes(5000)), fragment_size=1400)
    six = outbound("2001:db8:9::1", "2001:db8:9::2", bytes(5000), fragment_size=1280)
    for packet, size in [(four, 1400), (six, 1280)]:
        bench.host.transmit(packet)
        fragments = bench.sent()
        assert max(map(len, fragments)) <= size
        reassembler = Reassembler()
        *nothing, whole = [reassembler.add_untrusted(fragment, 0.0) for fragment in fragments]
        assert nothing == [None] * (len(fragments) - 1)
        assert whole is not None
        assert whole[0].endswith(packet.message)


def test_fragments_never_exceed_the_device(bench: Bench) -> None:
    bench.host.set_mtu("eth0", 1300)
    bench.host.transmit(outbound("10.9.0.1", "10.9.0.2", echo4(8, bytes(5000)), fragment_size=65535))
    assert max(map(len, bench.sent())) <= 1300


@pytest.mark.parametrize(
    ("source", "destination", "room"),
    [("10.9.0.1", "10.9.0.2", 1480), ("2001:db8:9::1", "2001:db8:9::2", 1460)],
)
def test_what_must_not_be_fragmented_and_does_not_fit_is_EMSGSIZE(
    bench: Bench, source: str, destination: str, room: int
) -> None:
    bench.host.transmit(outbound(source, destination, bytes(room)))
    with pytest.raises(OSError, match="too long") as caught:
        bench.host.transmit(outbound(source, destination, bytes(room + 1)))
    assert caught.value.errno == errno.EMSGSIZE
    assert len(bench.sent()) == 1


@pytest.mark.parametrize(
    ("source", "destination", "limit"),
    [("10.9.0.1", "10.9.0.2", 65515), ("2001:db8:9::1", "2001:db8:9::2", 65535)],
)
def test_what_does_not_fit_ip_is_EMSGSIZE(bench: Bench, source: str, destination: str, limit: int) -> None:
    bench.host.transmit(outbound(source, destination, bytes(limit), fragment_size=1500))
    with pytest.raises(OSError, match="too long"):
        bench.host.transmit(outbound(source, destination, bytes(limit + 1), fragment_size=1500))


def test_a_full_cable_is_ENOBUFS(bench: Bench) -> None:
    class FullCable(MemoryCable):
        def send(self, packet: bytes) -> None:
            raise OSError(errno.ENOBUFS, "full")

    bench.host.add_interface("eth2", FullCable(), ["172.16.0.1/24"])
    with pytest.raises(OSError, match="full") as caught:
        bench.host.transmit(outbound("172.16.0.1", "172.16.0.2"))
    assert caught.value.errno == errno.ENOBUFS


def test_route_errors_are_raised(bench: Bench) -> None:
    bench.host.add_route("192.0.2.0/24", kind="prohibit")
    with pytest.raises(PermissionError):
        bench.host.transmit(outbound("10.9.0.1", "192.0.2.1"))


@pytest.mark.parametrize(
    "wrong", [{"hop_limit": 256}, {"traffic_class": 300}, {"options": b"\7\3"}, {"options": b"\1"}]
)
def test_numbers_that_do_not_fit_are_EINVAL(bench: Bench, wrong: dict[str, Any]) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        bench.host.transmit(outbound("10.9.0.1", "10.9.0.2", **wrong))
    assert caught.value.errno == errno.EINVAL


def test_a_source_route_leads_to_its_first_hop(bench: Bench) -> None:
    options = bytes([131, 7, 4]) + ip("10.8.0.9") + b"\0"
    bench.host.transmit(outbound("10.9.0.1", "192.0.2.1", options=options))
    packet = bench.one_sent(bench.far1)
    assert packet[16:20] == ip("10.8.0.9")
    assert packet[20:28] == bytes([131, 7, 4]) + ip("192.0.2.1") + b"\0"


def test_a_foreign_source_is_sent_as_it_is(bench: Bench) -> None:
    bench.host.transmit(outbound("198.51.100.7", "10.9.0.2", transparent=True))
    assert bench.one_sent()[12:16] == ip("198.51.100.7")


def test_the_interface_asked_for_is_used(bench: Bench) -> None:
    bench.host.transmit(outbound("10.8.0.1", "10.9.0.2", interface=3))
    assert bench.sent() == []
    assert len(bench.sent(bench.far1)) == 1


# What comes back to ourselves.


@pytest.mark.parametrize(
    ("source", "destination", "interface"),
    [
        ("127.0.0.1", "127.5.6.7", 1),
        ("10.9.0.1", "10.9.0.1", 1),
        ("127.0.0.1", "10.8.0.1", 1),
        ("::1", "::1", 1),
        ("2001:db8:9::1", "2001:db8:8::1", 3),
        ("fe80::1", "fe80::1", 2),
    ],
)
def test_a_request_to_ourselves_is_answered_before_transmit_returns(
    bench: Bench, source: str, destination: str, interface: int
) -> None:
    wish = 2 if source == destination == "fe80::1" else 0
    bench.host.transmit(outbound(source, destination, interface=wish))
    request, reply = bench.receiver.packets
    addresses = slice(8, 40) if ":" in source else slice(12, 20)
    assert request[addresses] == ip(source) + ip(destination)
    assert reply[addresses] == ip(destination) + ip(source)
    assert bench.receiver.delivered[0][1] == interface
    assert bench.sent() == []


def test_record_route_to_ourselves_fills_a_slot_at_each_step(bench: Bench) -> None:
    options = bytes([7, 39, 4]) + bytes(36) + b"\0"
    bench.host.transmit(outbound("127.0.0.1", "127.0.0.1", options=options))
    request, reply = bench.receiver.packets
    assert (request[22], reply[22]) == (12, 20)


def test_the_largest_packets_fit_the_loopback(bench: Bench) -> None:
    bench.host.transmit(outbound("127.0.0.1", "127.0.0.1", echo4(8, bytes(65507))))
    message = b"\x80\0\0\0\x12\x34\0\1" + bytes(65527)
    bench.host.transmit(outbound("::1", "::1", message, fragment_size=65536))
    assert [len(packet) for packet in bench.receiver.packets] == [65535, 65535, 65575]


def test_a_receiver_that_sends_while_it_is_handed_a_packet_is_not_entered_twice(bench: Bench) -> None:
    depths: list[int] = []

    class Sender(Recorder):
        depth = 0

        def deliver_untrusted(self, packet: bytes, *about: int) -> None:
            self.depth += 1
            depths.append(self.depth)
            if len(depths) < 5:
                bench.host.transmit(outbound("127.0.0.1", "127.0.0.1"))
            self.depth -= 1

    bench.host.attach(Sender())
    bench.host.transmit(outbound("127.0.0.1", "127.0.0.1"))
    assert depths == [1] * len(depths)
    assert len(depths) >= 5


def test_two_hosts_on_a_memory_cable_answer_each_other_before_transmit_returns(bench: Bench) -> None:
    other = HostLink(random=random.Random(8))
    other.add_interface("eth0", bench.far, ["10.9.0.2/24"])
    bench.host.transmit(outbound("10.9.0.1", "10.9.0.2", stamp_flags=SOF_TIMESTAMPING_TX_SOFTWARE, stamp_key=5))
    (reply,) = bench.receiver.packets
    assert reply[12:20] == ip("10.9.0.2") + ip("10.9.0.1")
    assert len(bench.receiver.stamps) == 1


@pytest.mark.parametrize("group", ["224.0.0.1", "ff02::1"])
def test_a_group_we_belong_to_hears_us_unless_told_not_to(bench: Bench, group: str) -> None:
    source = "fe80::1" if ":" in group else "10.9.0.1"
    bench.host.transmit(outbound(source, group, interface=2))
    assert bench.receiver.delivered[0][:2] == (bench.one_sent(), 2)
    bench.receiver.delivered.clear()
    bench.host.transmit(outbound(source, group, interface=2, multicast_loop=False))
    assert bench.receiver.delivered == []
    assert len(bench.sent()) == 1


def test_groups_we_do_not_belong_to_do_not_loop(bench: Bench) -> None:
    bench.host.transmit(outbound("10.9.0.1", "224.0.0.9"))
    assert bench.receiver.delivered == []


def test_a_group_packet_without_hops_stays_here(bench: Bench) -> None:
    bench.host.transmit(outbound("fe80::1", "ff02::1", interface=2, hop_limit=0))
    bench.host.transmit(outbound("fe80::1", "ff01::1", interface=2))
    assert bench.sent() == []
    assert bench.receiver.packets


@pytest.mark.parametrize("destination", ["10.9.0.255", "255.255.255.255"])
def test_a_broadcast_goes_out_and_comes_back(bench: Bench, destination: str) -> None:
    bench.host.transmit(outbound("10.9.0.1", destination))
    assert bench.receiver.packets == [bench.one_sent()]


# Transmit stamps.


def test_transmit_stamps_are_given_as_asked_for(bench: Bench) -> None:
    flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED
    bench.host.transmit(outbound("10.9.0.1", "10.9.0.2", stamp_flags=flags, stamp_key=77))
    packet = bench.one_sent()
    assert bench.receiver.stamps == [(77, NOW, True, packet), (77, NOW, False, packet)]


def test_a_fragmented_packet_is_stamped_once_with_its_first_fragment(bench: Bench) -> None:
    for source, destination in [("10.9.0.1", "10.9.0.2"), ("2001:db8:9::1", "2001:db8:9::2")]:
        bench.receiver.stamps.clear()
        packet = outbound(
            source, destination, bytes(5000), fragment_size=1500, stamp_flags=SOF_TIMESTAMPING_TX_SOFTWARE
        )
        bench.host.transmit(packet)
        assert [stamp[3] for stamp in bench.receiver.stamps] == bench.sent()[:1]


def test_no_stamp_is_made_unasked(bench: Bench) -> None:
    bench.host.transmit(outbound("10.9.0.1", "10.9.0.2"))
    assert bench.receiver.stamps == []


# Driving.


class Descriptor:
    def __init__(self, packets: list[bytes]) -> None:
        self.packets = packets
        self.closed = 0

    def send(self, packet: bytes) -> None:
        raise OSError(errno.EIO, "down")

    def receive(self) -> bytes | None:
        return self.packets.pop(0) if self.packets else None

    def fileno(self) -> int:
        return 99

    def close(self) -> None:
        self.closed += 1


def test_a_descriptor_is_read_in_bounded_turns(bench: Bench) -> None:
    cable = Descriptor([packet4("172.16.0.2", "172.16.0.1", REPLY4)] * (PACKETS_PER_CALL + 10))
    bench.host.add_interface("tun0", cable, ["172.16.0.1/24"])
    assert bench.host.filenos() == [99]
    bench.host.receive(99)
    assert len(bench.receiver.delivered) == PACKETS_PER_CALL
    bench.host.receive(99)
    assert len(bench.receiver.delivered) == PACKETS_PER_CALL + 10
    bench.host.receive(98)


def test_a_reply_that_cannot_leave_is_no_error_of_the_reader(bench: Bench) -> None:
    cable = Descriptor([packet4("172.16.0.2", "172.16.0.1")])
    bench.host.add_interface("tun0", cable, ["172.16.0.1/24"])
    bench.host.receive(99)
    assert "could not be sent" in bench.host.last_drop


def test_packets_of_a_removed_interface_are_dropped(bench: Bench) -> None:
    class Remover(Recorder):
        def deliver_untrusted(self, packet: bytes, *about: int) -> None:
            self.delivered.append((packet, 0, 0, 0))
            bench.inject(packet)
            bench.host.remove_interface("eth0")

    receiver = Remover()
    bench.host.attach(receiver)
    bench.inject(packet4("10.9.0.2", "10.9.0.1", REPLY4))
    assert len(receiver.delivered) == 1


def test_closing_closes_every_cable_and_may_be_repeated(bench: Bench) -> None:
    cable = Descriptor([])
    bench.host.add_interface("tun0", cable)
    bench.host.close()
    bench.host.close()
    assert cable.closed == 2
    bench.inject(packet4("10.9.0.2", "10.9.0.1"))
    assert bench.receiver.delivered == []


def test_what_arrives_from_another_thread_waits_for_the_lock() -> None:
    lock = threading.RLock()
    host, receiver = HostLink(lock=lock), Recorder()
    near, far = memory_cable()
    host.add_interface("eth0", near, ["10.9.0.1/24"])
    host.attach(receiver)
    with lock:
        thread = threading.Thread(target=far.send, args=(packet4("10.9.0.2", "10.9.0.1"),))
        thread.start()
        assert receiver.delivered == []
    thread.join(10)
    assert len(receiver.delivered) == 1


# Hostile packets.

ADDRESSES4 = [ip(text) for text in ("10.9.0.1", "10.9.0.2", "255.255.255.255", "224.0.0.1", "0.0.0.0", "127.0.0.1")]
ADDRESSES6 = [ip(text) for text in ("2001:db8:9::1", "2001:db8:9::2", "fe80::1", "ff02::1", "::", "::1")]


@st.composite
def nearly_ipv4(draw: st.DrawFn) -> bytes:
    options = draw(st.binary(max_size=40).map(lambda raw: raw + bytes(-len(raw) % 4)))
    message = draw(st.binary(max_size=60) | st.builds(echo4, st.sampled_from([8, 13, 42, 0]), st.binary(max_size=40)))
    source, destination = draw(st.sampled_from(ADDRESSES4)), draw(st.sampled_from(ADDRESSES4))
    more, offset = draw(st.booleans()), draw(st.sampled_from([0, 0, 8]))
    header = IPv4Header(source, destination, options=options, more_fragments=more, fragment_offset=offset)
    return build_ipv4(header, message)


@st.composite
def nearly_ipv6(draw: st.DrawFn) -> bytes:
    source, destination = draw(st.sampled_from(ADDRESSES6)), draw(st.sampled_from(ADDRESSES6))
    header = IPv6Header(source, destination, draw(st.sampled_from([58, 0, 43, 44, 60, 51, 59])))
    return build_ipv6(header, draw(st.binary(max_size=80)))


@given(st.lists(st.binary(max_size=100) | nearly_ipv4() | nearly_ipv6(), max_size=8))
@settings(deadline=None, max_examples=300)
def test_no_packet_makes_the_host_raise(packets: list[bytes]) -> None:
    bench = Bench()
    for name in ("ipv4.icmp_echo_enable_probe", "ipv4.conf.all.accept_source_route"):
        bench.host.set_sysctl(name, 1)
    bench.host.set_sysctl("ipv4.icmp_echo_ignore_broadcasts", 0)
    bench.inject(*packets)
    for packet in bench.sent():
        assert parses(packet)


def parses(packet: bytes) -> bool:
    try:
        (parse_ipv4_untrusted if packet[0] >> 4 == 4 else parse_ipv6_untrusted)(packet)
    except BadPacket:
        return False
    return True
