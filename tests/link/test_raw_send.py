"""What a raw link puts on the wire is compared with what a kernel ping socket with the same settings puts there."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from link.raw_bed import Hosts, Listener, echo_request, family_of, icmp_of, packed
from pingsock.link.raw import RawLink
from pingsock.link.raw_pack import Identifications, Packer
from pingsock.link.raw_send import RawSender
from pingsock.link.raw_stamps import MOST_WAITING, TransmitStamps
from pingsock.wire import linux
from pingsock.wire.checksum import checksum_holds, with_checksum
from pingsock.wire.linux import AF_INET, AF_INET6, SOL_IP, SOL_IPV6, SOL_SOCKET
from pingsock.wire.transit import Outbound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IDENT = 0x4711
TX = linux.SOF_TIMESTAMPING_TX_SOFTWARE
SCHED = linux.SOF_TIMESTAMPING_TX_SCHED
RECORD_ROUTE = bytes([7, 15, 4]) + bytes(12) + b"\0"
TIMESTAMP = bytes([68, 20, 5, 1]) + bytes(16)
LOOSE_ROUTE = bytes([131, 7, 4]) + packed("10.50.1.2") + b"\0"
UNFILTERED = bytes([1, 7, 3, 8])


@pytest.fixture
def link(hosts: Hosts) -> Iterator[RawLink]:
    del hosts
    with RawLink.open() as opened:
        yield opened


@pytest.fixture
def listener(link: RawLink) -> Listener:
    return Listener(link)


def outbound(source: str, destination: str, payload: bytes = b"payload.", **settings: Any) -> Outbound:
    message = echo_request(source, destination, IDENT, payload)
    settings = {"hop_limit": 64} | settings
    return Outbound(family_of(destination), packed(source), packed(destination), message, **settings)


def ping_socket(family: int, options: list[tuple[int, int, Any]], source: str = "") -> socket.socket:
    protocol = linux.IPPROTO_ICMPV6 if family == AF_INET6 else linux.IPPROTO_ICMP
    kernel = socket.socket(family, socket.SOCK_DGRAM, protocol)
    kernel.bind((source or ("::" if family == AF_INET6 else "0.0.0.0"), IDENT))
    for level, option, value in options:
        kernel.setsockopt(level, option, value)
    return kernel


def without_identification(packet: bytes) -> bytes:
    """With the fields blank that are different in each packet."""
    if packet[0] >> 4 == 4:
        assert checksum_holds(packet[: (packet[0] & 15) * 4])
        return packet[:4] + bytes(2) + packet[6:10] + bytes(2) + packet[12:]
    return packet[:44] + bytes(4) + packet[48:] if packet[6] == 44 else packet


CASES: dict[str, tuple[str, str, dict[str, Any], list[tuple[int, int, Any]]]] = {
    "plain": ("10.50.1.1", "10.50.1.2", {"dont_fragment": True}, []),
    "ttl and tos": (
        "10.50.1.1",
        "10.50.1.2",
        {"hop_limit": 3, "traffic_class": 0xBB, "dont_fragment": True, "priority": 6},
        [(SOL_IP, linux.IP_TTL, 3), (SOL_IP, linux.IP_TOS, 0xBB)],
    ),
    "without DF": ("10.50.1.1", "10.50.1.2", {}, [(SOL_IP, linux.IP_MTU_DISCOVER, linux.IP_PMTUDISC_DONT)]),
    "through a router": ("10.50.1.1", "10.50.3.2", {"dont_fragment": True}, []),
    "record route": (
        "10.50.1.1",
        "10.50.1.2",
        {"options": RECORD_ROUTE, "dont_fragment": True},
        [(SOL_IP, linux.IP_OPTIONS, RECORD_ROUTE)],
    ),
    "loose source route": (
        "10.50.1.1",
        "10.50.3.2",
        {"options": LOOSE_ROUTE, "dont_fragment": True},
        [(SOL_IP, linux.IP_OPTIONS, LOOSE_ROUTE)],
    ),
    "broadcast": (
        "10.50.1.1",
        "10.50.1.255",
        {"dont_fragment": True},
        [(SOL_SOCKET, linux.SO_BROADCAST, 1)],
    ),
    "group": (
        "10.50.1.1",
        "239.1.2.3",
        {"hop_limit": 1, "interface": "a0", "dont_fragment": True},
        [(SOL_IP, linux.IP_MULTICAST_IF, packed("10.50.1.1"))],
    ),
    "other interface": (
        "10.50.2.1",
        "10.50.1.2",
        {"interface": "a1", "dont_fragment": True},
        [(SOL_SOCKET, linux.SO_BINDTODEVICE, b"a1")],
    ),
    "IPv6": ("fd50:1::1", "fd50:1::2", {"flow_label": 0}, [(SOL_IPV6, linux.IPV6_AUTOFLOWLABEL, 0)]),
    "IPv6 hop limit 0": (
        "fd50:1::1",
        "fd50:1::2",
        {"flow_label": 0, "hop_limit": 0, "traffic_class": 0x2B},
        [
            (SOL_IPV6, linux.IPV6_AUTOFLOWLABEL, 0),
            (SOL_IPV6, linux.IPV6_UNICAST_HOPS, 0),
            (SOL_IPV6, linux.IPV6_TCLASS, 0x2B),
        ],
    ),
    "IPv6 link-local": (
        "fe80::a:2",
        "fe80::b:2",
        {"flow_label": 0, "interface": "a1"},
        [(SOL_IPV6, linux.IPV6_AUTOFLOWLABEL, 0)],
    ),
    "IPv6 group": (
        "fe80::a:1",
        "ff02::1",
        {"flow_label": 0, "hop_limit": 1, "interface": "a0"},
        [(SOL_IPV6, linux.IPV6_AUTOFLOWLABEL, 0)],
    ),
}


@pytest.mark.parametrize("size", [0, 1445, 1473, 3001])
@pytest.mark.parametrize("case", CASES)
def test_packets_are_those_of_the_kernel(hosts: Hosts, link: RawLink, case: str, size: int) -> None:
    """Small, as large as one IPv6 packet nearly is, just too large for one, and in three fragments."""
    source, destination, settings, options = CASES[case]
    settings = dict(settings)
    name = settings.pop("interface", "")
    index = socket.if_nametoindex(name) if name else 0
    count = fragments_of(size, options, ":" in destination)
    settings["fragment_size"] = 1500
    if count > 1:
        settings["dont_fragment"] = False
    on_a1 = name == "a1"
    tap = hosts.tap("router", "b1" if on_a1 else "b0")
    payload = bytes(each & 0xFF for each in range(size))
    link.transmit(outbound(source, destination, payload, interface=index, **settings))
    with ping_socket(family_of(destination), options) as kernel:
        to = (destination, 0, 0, index) if ":" in destination else (destination, 0)
        kernel.sendto(echo_request(source, destination, IDENT, payload), to)

    def ours(packet: bytes) -> bool:
        found = packet[12:16] if packet[0] >> 4 == 4 else packet[8:24]
        return found == packed(source) and not is_neighbour_discovery(packet)

    protocol = (44 if count > 1 else 58) if ":" in destination else 1
    seen = [tap.next(protocol, ours) for _ in range(count)]
    same = [tap.next(protocol, ours) for _ in range(count)]
    assert [without_identification(packet) for packet in seen] == [without_identification(packet) for packet in same]
    tap.close()


def fragments_of(size: int, options: list[tuple[int, int, Any]], ipv6: bool) -> int:
    """How many packets carry a message with `size` bytes of payload."""
    header = 40 if ipv6 else 20 + sum(len(value) for _, option, value in options if option == linux.IP_OPTIONS)
    if header + 8 + size <= 1500:
        return 1
    step = 1500 - header - (8 if ipv6 else 0) & ~7
    return -(-(size + 8) // step)


def is_neighbour_discovery(packet: bytes) -> bool:
    return packet[0] >> 4 == 6 and packet[6] == 58 and packet[40] in range(133, 138)


def test_a_timestamp_option_gets_our_address_and_time(hosts: Hosts, link: RawLink) -> None:
    tap = hosts.tap("router", "b0")
    link.transmit(outbound("10.50.1.1", "10.50.1.2", options=TIMESTAMP))
    with ping_socket(AF_INET, [(SOL_IP, linux.IP_OPTIONS, TIMESTAMP)]) as kernel:
        kernel.sendto(echo_request("10.50.1.1", "10.50.1.2", IDENT), ("10.50.1.2", 0))
    mine, theirs = tap.next(1)[20:40], tap.next(1)[20:40]
    assert mine[:8] == theirs[:8]
    assert 0 <= int.from_bytes(theirs[8:12], "big") - int.from_bytes(mine[8:12], "big") < 1000
    tap.close()


@pytest.mark.parametrize("payload", [b"", bytes(4000)])
def test_a_flow_label_is_sent_as_given(hosts: Hosts, link: RawLink, payload: bytes) -> None:
    tap = hosts.tap("router", "b0")
    link.transmit(outbound("fd50:1::1", "fd50:1::2", payload, flow_label=0xABCDE, fragment_size=1280))
    packet = tap.next(44 if payload else 58, lambda packet: not is_neighbour_discovery(packet))
    assert int.from_bytes(packet[:4], "big") & 0xFFFFF == 0xABCDE
    tap.close()


def test_an_automatic_flow_label_is_the_same_for_a_flow_and_differs_between_flows(hosts: Hosts, link: RawLink) -> None:
    tap = hosts.tap("router", "b0")
    idents = (1, 1, 2, 3, 4)
    for ident in idents:
        message = echo_request("fd50:1::1", "fd50:1::2", ident)
        link.transmit(Outbound(AF_INET6, packed("fd50:1::1"), packed("fd50:1::2"), message, 64))
    labels = [int.from_bytes(tap.next(58, lambda p: p[40] == 128)[:4], "big") & 0xFFFFF for _ in idents]
    assert labels[0] == labels[1] != 0
    assert len(set(labels)) > 1
    with open("/proc/sys/net/ipv6/auto_flowlabels", "w") as file:
        file.write("0")
    link.transmit(outbound("fd50:1::1", "fd50:1::2"))
    assert int.from_bytes(tap.next(58, lambda p: p[40] == 128)[:4], "big") & 0xFFFFF == 0
    tap.close()


@pytest.mark.parametrize(("source", "destination"), [("10.9.9.9", "10.50.1.2"), ("fd99::9", "fd50:1::2")])
def test_a_foreign_source_leaves_if_transparent_and_has_no_route_otherwise(
    hosts: Hosts, link: RawLink, source: str, destination: str
) -> None:
    tap = hosts.tap("router", "b0")
    link.transmit(outbound(source, destination, transparent=True))
    protocol = 58 if ":" in source else 1
    assert tap.next(protocol, lambda packet: not is_neighbour_discovery(packet) and packed(source) in packet)
    with pytest.raises(OSError, match="unreachable"):
        link.transmit(outbound(source, destination))
    tap.close()


def test_a_group_is_looped_back_or_not(link: RawLink, listener: Listener) -> None:
    """Our own host answers a looped request."""
    index = socket.if_nametoindex("a0")
    with open("/proc/sys/net/ipv4/icmp_echo_ignore_broadcasts", "w") as file:
        file.write("0")
    link.join_group(AF_INET, packed("239.1.2.3"), index)
    for loop in (False, True):
        link.transmit(outbound("10.50.1.1", "239.1.2.3", bytes([loop]), interface=index, multicast_loop=loop))
        link.transmit(
            outbound("fe80::a:1", "ff02::1", bytes([loop]), interface=index, multicast_loop=loop, hop_limit=1)
        )
    answers = {(AF_INET, 1), (AF_INET6, 1)}

    def own() -> set[tuple[int, int]]:
        ours = (packed("10.50.1.1"), packed("fe80::a:1"))
        found = [packet for packet, *_ in listener.packets if packet[12:16] == ours[0] or packet[8:24] == ours[1]]
        return {(AF_INET if packet[0] >> 4 == 4 else AF_INET6, packet[-1]) for packet in found}

    listener.until(lambda: own() >= answers)
    assert own() == answers


def leaves_by(hosts: Hosts, link: RawLink, interface: str, source: str, destination: str) -> bool:
    """Whether a packet sent by that interface of `near` does leave by it."""
    tap = hosts.tap("router", "b" + interface[-1])
    link.transmit(outbound(source, destination, interface=socket.if_nametoindex(interface)))
    found = tap.next(58, lambda packet: packed(destination) in packet)
    tap.close()
    return packed(source) == found[8:24]


@pytest.mark.parametrize(("interface", "source"), [("a0", "fd50:1::1"), ("a0", "fd50:2::1"), ("a1", "fd50:2::1")])
def test_ipv6_leaves_by_its_interface_whatever_routes_there_are(
    hosts: Hosts, link: RawLink, interface: str, source: str
) -> None:
    hosts.ip("near", "route add fd51::/64 via fd50:1::2 dev a0 metric 10")
    hosts.ip("near", "route add fd51::/64 via fd50:2::2 dev a1 metric 20")

    assert leaves_by(hosts, link, interface, source, "fd51::1")


def test_ipv6_does_not_leave_by_another_interface(link: RawLink) -> None:
    index = socket.if_nametoindex("a1")
    for call in (
        lambda: link.route(AF_INET6, packed("fd50:3::2"), source=packed("fd50:1::1"), interface=index),
        lambda: link.transmit(outbound("fd50:1::1", "fd50:3::2", interface=index)),
    ):
        with pytest.raises(OSError, match="unreachable") as failure:
            call()
        assert failure.value.errno == errno.ENETUNREACH


def test_a_rule_about_the_source_counts_beside_the_interface(hosts: Hosts, link: RawLink) -> None:
    """Two providers: the main table leads out by one of them, a table for the other's addresses by the other."""
    subprocess.run(["ip", "-6", "rule", "add", "from", "fd50:2::1", "lookup", "52"], check=True)
    hosts.ip("near", "route add fd51::/64 via fd50:1::2")
    hosts.ip("near", "route add fd51::/64 via fd50:2::2 table 52")

    assert link.route(AF_INET6, packed("fd51::1"), source=packed("fd50:2::1"), interface=socket.if_nametoindex("a1"))
    assert leaves_by(hosts, link, "a1", "fd50:2::1", "fd51::1")


REFUSALS: dict[str, tuple[Outbound, int]] = {
    "no route": (outbound("10.50.1.1", "10.66.4.1"), errno.ENETUNREACH),
    "unreachable": (outbound("10.50.1.1", "10.66.1.1"), errno.EHOSTUNREACH),
    "prohibited": (outbound("10.50.1.1", "10.66.2.1"), errno.EACCES),
    "off-link": (outbound("10.50.1.1", "10.50.3.2", dont_route=True), errno.ENETUNREACH),
    "no such interface": (outbound("10.50.1.1", "10.50.1.2", interface=12345), errno.ENODEV),
    "too big": (outbound("10.50.1.1", "10.50.1.2", bytes(1473), dont_fragment=True), errno.EMSGSIZE),
    "too big for IP": (outbound("127.0.0.1", "127.0.0.1", bytes(65508), fragment_size=65535), errno.EMSGSIZE),
    "bad traffic class": (outbound("10.50.1.1", "10.50.1.2", traffic_class=256), errno.EINVAL),
    "IPv6 no route": (outbound("fd50:1::1", "fd66:4::1"), errno.ENETUNREACH),
    "IPv6 too big": (outbound("fd50:1::1", "fd50:1::2", bytes(1453)), errno.EMSGSIZE),
    "IPv6 too big for IP": (outbound("::1", "::1", bytes(65528), fragment_size=65576), errno.EMSGSIZE),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_sent_is_refused_with_the_kernels_errno(link: RawLink, case: str) -> None:
    packet, number = REFUSALS[case]
    for _ in range(2):
        with pytest.raises(OSError, match=r"\w") as failure:
            link.transmit(packet)
        assert failure.value.errno == number


@pytest.mark.parametrize(("source", "destination"), [("10.50.1.1", "10.50.1.2"), ("fd50:1::1", "fd50:1::2")])
def test_a_full_device_queue_is_told(hosts: Hosts, link: RawLink, source: str, destination: str) -> None:
    link.transmit(outbound(source, destination))
    with hosts.on("near"):
        traffic_control("replace dev a0 root pfifo limit 0")
    with pytest.raises(OSError, match="No buffer space") as failure:
        link.transmit(outbound(source, destination))
    assert failure.value.errno == errno.ENOBUFS


def firewall(rule: str) -> None:
    rules = f"table inet t {{ chain o {{ type filter hook output priority 0; {rule}; }}; }}\n"
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


@pytest.mark.parametrize(("source", "destination"), [("10.50.1.1", "10.50.1.2"), ("fd50:1::1", "fd50:1::2")])
def test_the_local_firewall_says_no(link: RawLink, source: str, destination: str) -> None:
    firewall("icmp type echo-request drop; icmpv6 type echo-request drop")
    with pytest.raises(PermissionError):
        link.transmit(outbound(source, destination))


def test_a_full_send_buffer_is_eagain_and_the_link_goes_on_afterwards(hosts: Hosts, link: RawLink) -> None:
    for half in link._senders.values():
        half.socket.setsockopt(SOL_SOCKET, linux.SO_SNDBUF, 4608)
    hosts.ip("near", "neighbour replace 10.50.1.77 lladdr 02:00:00:00:00:77 dev a0 nud permanent")
    subprocess.run(
        ["tc", "qdisc", "replace", "dev", "a0", "root", "tbf", "rate", "8kbit", "burst", "1600", "limit", "100000"],
        check=True,
    )
    packet = outbound("10.50.1.1", "10.50.1.77", bytes(1000))
    with pytest.raises(BlockingIOError):
        send_until_refused(link, packet)
    traffic_control("delete dev a0 root")
    writable = select.poll()
    writable.register(link._senders[AF_INET].socket, select.POLLOUT)
    assert writable.poll(5000)
    link.transmit(packet)


def send_until_refused(link: RawLink, packet: Outbound) -> None:
    for _ in range(1000):
        link.transmit(packet)


def traffic_control(command: str) -> None:
    subprocess.run(["tc", "qdisc", *command.split()], check=True)


def test_a_mark_chooses_the_route(hosts: Hosts, link: RawLink) -> None:
    hosts.ip("near", "rule add fwmark 5 to 10.50.1.2 prohibit")
    subprocess.run(["ip", "-6", "rule", "add", "fwmark", "5", "to", "fd50:1::2", "prohibit"], check=True)
    for source, destination in (("10.50.1.1", "10.50.1.2"), ("fd50:1::1", "fd50:1::2")):
        link.transmit(outbound(source, destination))
        with pytest.raises(PermissionError) as failure:
            link.transmit(outbound(source, destination, mark=5))
        assert failure.value.errno == errno.EACCES


@pytest.mark.parametrize("by_ancillary_data", [True, False])
def test_a_priority_reaches_the_queue(hosts: Hosts, link: RawLink, by_ancillary_data: bool) -> None:
    """The firewall counts it, which sees what a queueing discipline sees."""
    del hosts
    firewall("meta priority 0:5 icmp type echo-request drop; meta priority 0:3 icmpv6 type echo-request drop")
    for half in link._senders.values():
        half._priority_item = half._priority_item and by_ancillary_data
    for source, destination, priority in (("10.50.1.1", "10.50.1.2", 5), ("fd50:1::1", "fd50:1::2", 3)):
        for traffic_class in (0, 0x10):
            with pytest.raises(PermissionError):
                link.transmit(outbound(source, destination, priority=priority))
            if by_ancillary_data:
                with pytest.raises(PermissionError):
                    link.transmit(outbound(source, destination, priority=priority, traffic_class=traffic_class))
            link.transmit(outbound(source, destination, priority=1))


# Transmit stamps.


@pytest.fixture(params=["named", "counted"])
def stamping(request: pytest.FixtureRequest, link: RawLink) -> Listener:
    """Both ways of numbering: that of Linux 6.13 and the older one."""
    for half in link._senders.values():
        if request.param == "named" and not half._stamps._named:
            pytest.skip("this kernel does not let senders name the number of a stamp (it came with Linux 6.13)")
        half._stamps = TransmitStamps(named=request.param == "named")
    return Listener(link)


@pytest.mark.parametrize(("source", "destination"), [("10.50.1.1", "10.50.1.2"), ("fd50:1::1", "fd50:1::2")])
def test_stamps_come_with_their_keys_and_the_packets_as_sent(
    hosts: Hosts, stamping: Listener, source: str, destination: str
) -> None:
    tap = hosts.tap("router", "b0")
    for key, flags in ((100, TX), (101, 0), (102, TX | SCHED), (103, SCHED)):
        payload = bytes([key])
        stamping.link.transmit(outbound(source, destination, payload, stamp_flags=flags, stamp_key=key))
    stamping.until(lambda: len(stamping.stamps) == 4)
    assert sorted((key, scheduled) for key, _, scheduled, _ in stamping.stamps) == [
        (100, False),
        (102, False),
        (102, True),
        (103, True),
    ]
    seen = {}
    for _ in range(4):
        packet = tap.next(58 if ":" in source else 1, lambda packet: not is_neighbour_discovery(packet))
        seen[packet[-1]] = packet
    assert all(packet == seen[key] for key, _, _, packet in stamping.stamps)
    assert all(half._stamps._waiting == {} for half in stamping.link._senders.values())
    tap.close()


@pytest.mark.parametrize(("source", "destination"), [("10.50.1.1", "10.50.1.2"), ("fd50:1::1", "fd50:1::2")])
def test_refused_packets_do_not_shift_the_stamps_of_others(
    hosts: Hosts, stamping: Listener, source: str, destination: str
) -> None:
    """Some refusals come before the kernel counts the packet, some after."""
    link = stamping.link
    unrouted = "fd66:4::1" if ":" in source else "10.66.4.1"
    blocked = "fd50:1::99" if ":" in source else "10.50.1.99"
    link.transmit(outbound(source, destination, stamp_flags=TX, stamp_key=1))
    with hosts.on("near"):
        firewall("ip daddr 10.50.1.99 drop; ip6 daddr fd50:1::99 drop")
    refused: list[Callable[[], None]] = [
        lambda: link.transmit(outbound(source, unrouted, stamp_flags=TX, stamp_key=2)),
        lambda: link.transmit(outbound(source, destination, bytes(1500), stamp_flags=TX, stamp_key=3)),
        lambda: link.transmit(outbound(source, blocked, stamp_flags=TX, stamp_key=4)),
    ]
    for send in refused:
        with pytest.raises(OSError, match=r"\w"):
            send()
    link.transmit(outbound(source, destination, b"x" * 5, stamp_flags=TX, stamp_key=5))
    stamping.until(lambda: len(stamping.stamps) >= 2)
    assert [key for key, *_ in stamping.stamps] == [1, 5]


def test_a_packet_dropped_by_the_queue_does_not_shift_stamps(hosts: Hosts, stamping: Listener) -> None:
    link = stamping.link
    link.transmit(outbound("10.50.1.1", "10.50.1.2", stamp_flags=TX, stamp_key=1))
    with hosts.on("near"):
        traffic_control("replace dev a0 root pfifo limit 0")
    with pytest.raises(OSError, match="No buffer"):
        link.transmit(outbound("10.50.1.1", "10.50.1.2", stamp_flags=TX, stamp_key=2))
    link.transmit(outbound("10.50.2.1", "10.50.2.2", stamp_flags=TX, stamp_key=3))
    stamping.until(lambda: len(stamping.stamps) >= 2)
    assert [key for key, *_ in stamping.stamps] == [1, 3]


def test_the_first_fragment_is_stamped(stamping: Listener) -> None:
    for source, destination in (("10.50.1.1", "10.50.1.2"), ("fd50:1::1", "fd50:1::2")):
        packet = outbound(source, destination, bytes(3000), fragment_size=1500, stamp_flags=TX, stamp_key=9)
        stamping.link.transmit(packet)
    stamping.until(lambda: len(stamping.stamps) == 2)
    lengths = [len(packet) for *_, packet in stamping.stamps]
    assert lengths == [1500, 1496]


def test_memory_for_stamps_that_never_come_is_bounded() -> None:
    stamps = TransmitStamps(named=True)
    for key in range(MOST_WAITING + 10):
        stamps.sent(key, TX, b"packet")
    assert len(stamps._waiting) == MOST_WAITING
    assert min(stamps._waiting) == 10


# Errors that are not for us.


def quote_of_protocol_255(source: str, destination: str) -> bytes:
    quote = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 255, 0, packed(source), packed(destination))
    return with_checksum(struct.pack("!BBHI", 3, 3, 0, 0) + quote + bytes(20))


def test_an_icmp_error_about_protocol_255_does_not_make_a_send_fail(
    hosts: Hosts, link: RawLink, listener: Listener
) -> None:
    with hosts.on("router"), socket.socket(AF_INET, socket.SOCK_RAW, linux.IPPROTO_ICMP) as router:
        router.sendto(quote_of_protocol_255("10.50.1.1", "10.50.1.2"), ("10.50.1.1", 0))
        router.sendto(echo_reply(), ("10.50.1.1", 0))
    listener.packet()
    link.transmit(outbound("10.50.1.1", "10.50.1.2"))


class Refusing:
    """A socket with errors pending, as kernels leave them that believe errors about protocol 255."""

    def __init__(self, *pending: int) -> None:
        self.pending = list(pending)
        self.sent = 0

    def sendmsg(self, *_arguments: object) -> None:
        if self.pending:
            number = self.pending.pop(0)
            raise OSError(number, os.strerror(number))
        self.sent += 1


def test_a_pending_error_costs_no_packet_but_a_lasting_one_is_told(hosts: Hosts) -> None:
    del hosts
    sender = RawSender(AF_INET, Packer(tuple, bool))
    sender.socket.close()
    once, lasting = Refusing(errno.ECONNREFUSED), Refusing(errno.EHOSTUNREACH, errno.EHOSTUNREACH)
    sender.socket = once  # type: ignore[assignment]
    sender.transmit(outbound("10.50.1.1", "10.50.1.2"))
    assert once.sent == 1
    sender.socket = lasting  # type: ignore[assignment]
    with pytest.raises(OSError, match="No route to host"):
        sender.transmit(outbound("10.50.1.1", "10.50.1.2"))


def echo_reply() -> bytes:
    return with_checksum(b"\0\0\0\0" + IDENT.to_bytes(2, "big") + b"\0\1")


def test_packets_of_protocol_255_do_not_fill_the_sending_socket(hosts: Hosts, link: RawLink) -> None:
    with hosts.on("router"), socket.socket(AF_INET, socket.SOCK_RAW, linux.IPPROTO_RAW) as router:
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, 255, 0, packed("10.50.1.2"), packed("10.50.1.1"))
        router.sendto(header + b"junk", ("10.50.1.1", 0))
    with pytest.raises(BlockingIOError):
        link._senders[AF_INET].socket.recv(100)


# Without privileges.


def drop_capabilities() -> None:
    """All, for good; unlike another uid, that is possible in a user namespace with one uid too."""
    version, sets = struct.pack("=Ii", 0x20080522, 0), bytes(2 * 3 * 4)
    if ctypes.CDLL(None, use_errno=True).capset(version, sets):
        raise OSError(ctypes.get_errno(), "capset")


def as_nobody(function: Callable[[], object]) -> str:
    """What a function returns, or the name of its error's number, in a child without any capability."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            drop_capabilities()
            result = str(function())
        except OSError as err:
            result = errno.errorcode.get(err.errno or 0, repr(err))
        except BaseException as err:
            result = repr(err)
        finally:
            os.write(writer, result.encode())
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with open(reader, "rb") as result_file:
        return result_file.read().decode()


def test_nothing_needs_a_privilege_once_the_link_is_open(link: RawLink, listener: Listener) -> None:
    index = socket.if_nametoindex("a0")

    def everything() -> str:
        link.update_idents({IDENT})
        link.join_group(AF_INET6, packed("ff02::4711"), index)
        for source, destination in (("10.50.1.1", "10.50.1.2"), ("fd50:1::1", "fd50:1::2")):
            link.route(family_of(destination), packed(destination), mark=7)
            link.transmit(outbound(source, destination, priority=6, traffic_class=0xB8, stamp_flags=TX, stamp_key=1))
            link.transmit(outbound("10.9.9.9", "10.50.1.2", transparent=True))
            listener.until(lambda: bool(listener.stamps) and bool(listener.packets))
            assert icmp_of(listener.packets.pop()[0])[4:6] == IDENT.to_bytes(2, "big")
            listener.stamps.clear()
        link.learn_path_mtu(AF_INET, packed("10.50.1.2"), 1000)
        return f"ttl {link.sysctl('ipv4.ip_default_ttl')}"

    assert as_nobody(everything) == "ttl 64"


@pytest.mark.parametrize("setting", ["mark", "priority"])
@pytest.mark.parametrize(("source", "destination"), [("10.50.1.1", "10.50.1.2"), ("fd50:1::1", "fd50:1::2")])
def test_marks_and_high_priorities_are_the_kernels_to_refuse(
    link: RawLink, source: str, destination: str, setting: str
) -> None:
    packet = outbound(source, destination).replace(**{setting: 7})
    link.transmit(packet)
    assert as_nobody(lambda: link.transmit(packet)) == "EPERM"


def test_opening_names_the_privilege_and_leaves_nothing_open(hosts: Hosts) -> None:
    del hosts

    def open_and_count() -> str:
        before = len(os.listdir("/proc/self/fd"))
        try:
            RawLink.open()
        except PermissionError as err:
            return f"{err.errno} {'CAP_NET_RAW' in str(err)} {len(os.listdir('/proc/self/fd')) - before}"
        return "opened"

    assert as_nobody(open_and_count) == "1 True 0"


def test_identifications_differ_and_the_lower_half_is_never_zero() -> None:
    numbers = Identifications(lambda count: b"\xff" * count)
    assert numbers.next(b"a", b"b") == 1
    numbers = Identifications(lambda count: b"\xff\xff\0\0" * (count // 4))
    assert [numbers.next(b"a", b"b") for _ in range(2)] == [0x10001, 0x10002]


def test_kernels_without_the_newer_ancillary_data_are_noticed(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown item stands for one that an older kernel does not know."""
    del hosts
    monkeypatch.setattr(linux, "SCM_TS_OPT_ID", 9999)
    monkeypatch.setattr(linux, "SO_PRIORITY", 9998)
    sender = RawSender(AF_INET, Packer(tuple, bool))
    assert (sender._stamps._named, sender._priority_item) == (False, False)
    sender.close()
