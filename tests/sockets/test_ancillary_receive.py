"""Section 6: ancillary data when receiving."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

from bed import packets
from bed.bed import V4, V6, Bed, Received
from pingsock.wire import linux
from sockets.rules import both_families, each, rows
from sockets.test_bind import ident
from sockets.test_receive import join6, reply_fragments

if TYPE_CHECKING:
    from bed.families import Family
    from bed.subject import Subject

IP, IP6, SOCKET = linux.SOL_IP, linux.SOL_IPV6, linux.SOL_SOCKET


def asking(bed: Bed, ip: Family, *options: tuple[int, int]) -> Subject:
    sock = bed.bound(ip)
    for level, option in options:
        sock.setsockopt(level, option, 1)
    return sock


def take_with(bed: Bed, sock: Subject, size: int = 4096) -> Received:
    return bed.take(sock, ancillary_size=size)


def integer(value: int) -> bytes:
    return struct.pack("=i", value)


@both_families
def test_nothing_is_delivered_unasked(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    bed.reply(sock)
    assert take_with(bed, sock).ancillary == []


# Single items


@each("ttl", [1, 64, 255])
def test_recvttl_delivers_the_ttl_as_int(bed: Bed, ttl: int) -> None:
    sock = asking(bed, V4, (IP, linux.IP_RECVTTL))
    bed.reply(sock, ttl=ttl)
    assert take_with(bed, sock).ancillary == [(IP, linux.IP_TTL, integer(ttl))]


@each("tos", [0, 0xB8, 0x03, 0xFF])
def test_recvtos_delivers_the_tos_as_one_byte(bed: Bed, tos: int) -> None:
    sock = asking(bed, V4, (IP, linux.IP_RECVTOS))
    bed.reply(sock, tos=tos)
    assert take_with(bed, sock).ancillary == [(IP, linux.IP_TOS, bytes([tos]))]


@each("interface", ["ps0", "ps1"])
@each("destination", [V4.host, V4.host_second, V4.elsewhere])
def test_pktinfo_delivers_arrival_index_no_local_address_and_the_destination(
    bed: Bed, interface: str, destination: str
) -> None:
    sock = asking(bed, V4, (IP, linux.IP_PKTINFO))
    bed.reply(sock, interface=interface, destination=destination)
    content = struct.pack(linux.IN_PKTINFO_LAYOUT, bed.index(interface), bytes(4), V4.pack(destination))
    assert take_with(bed, sock).ancillary == [(IP, linux.IP_PKTINFO, content)]


def test_recvorigdstaddr_delivers_the_destination_and_the_checksum_for_a_port(bed: Bed) -> None:
    sock = asking(bed, V4, (IP, linux.IP_RECVORIGDSTADDR))
    message = bed.reply(sock)
    content = V4.sockaddr(V4.host, int.from_bytes(message[2:4], "big"))
    assert take_with(bed, sock).ancillary == [(IP, linux.IP_ORIGDSTADDR, content)]


def test_ipv6_recvorigdstaddr_delivers_the_destination_and_the_checksum_for_a_port(bed: Bed) -> None:
    sock = asking(bed, V6, (IP6, linux.IPV6_RECVORIGDSTADDR))
    message = bed.reply(sock)
    content = V6.sockaddr(V6.host, int.from_bytes(message[2:4], "big"))
    assert take_with(bed, sock).ancillary == [(IP6, linux.IPV6_ORIGDSTADDR, content)]


def test_ip_checksum_delivers_a_number_of_32_bits(bed: Bed) -> None:
    sock = asking(bed, V4, (IP, linux.IP_CHECKSUM))
    bed.reply(sock)
    content = take_with(bed, sock).item(IP, linux.IP_CHECKSUM)
    assert content is not None
    assert len(content) == 4


@each("interface", ["ps0", "ps1"])
def test_ipv6_recvpktinfo_delivers_destination_and_index(bed: Bed, interface: str) -> None:
    sock = asking(bed, V6, (IP6, linux.IPV6_RECVPKTINFO))
    bed.reply(sock, interface=interface)
    content = struct.pack(linux.IN6_PKTINFO_LAYOUT, V6.pack(V6.host), bed.index(interface))
    assert take_with(bed, sock).ancillary == [(IP6, linux.IPV6_PKTINFO, content)]


def test_ipv6_recvpktinfo_delivers_the_group_for_a_group(bed: Bed) -> None:
    sock = asking(bed, V6, (IP6, linux.IPV6_RECVPKTINFO))
    join6(bed, sock, V6.group)
    bed.reply(sock, destination=V6.group)
    content = struct.pack(linux.IN6_PKTINFO_LAYOUT, V6.pack(V6.group), bed.index("ps0"))
    assert take_with(bed, sock).ancillary == [(IP6, linux.IPV6_PKTINFO, content)]


@each("hops", [1, 64, 255])
def test_ipv6_recvhoplimit_delivers_the_hop_limit_as_int(bed: Bed, hops: int) -> None:
    sock = asking(bed, V6, (IP6, linux.IPV6_RECVHOPLIMIT))
    bed.reply(sock, hop_limit=hops)
    assert take_with(bed, sock).ancillary == [(IP6, linux.IPV6_HOPLIMIT, integer(hops))]


@each("class_", [0, 0xB8, 0x03, 0xFF])
def test_ipv6_recvtclass_delivers_the_class_as_int(bed: Bed, class_: int) -> None:
    sock = asking(bed, V6, (IP6, linux.IPV6_RECVTCLASS))
    bed.reply(sock, traffic_class=class_)
    assert take_with(bed, sock).ancillary == [(IP6, linux.IPV6_TCLASS, integer(class_))]


@rows("class_,label", {"both": (0xB8, 0x12345), "label": (0, 1), "class": (3, 0)})
def test_ipv6_flowinfo_delivers_class_and_label(bed: Bed, class_: int, label: int) -> None:
    sock = asking(bed, V6, (IP6, linux.IPV6_FLOWINFO))
    bed.reply(sock, traffic_class=class_, flow_label=label)
    assert take_with(bed, sock).ancillary == [(IP6, linux.IPV6_FLOWINFO, struct.pack("!I", class_ << 20 | label))]


def test_ipv6_flowinfo_is_absent_if_zero(bed: Bed) -> None:
    sock = asking(bed, V6, (IP6, linux.IPV6_FLOWINFO))
    bed.reply(sock)
    assert take_with(bed, sock).ancillary == []


OLD_OPTIONS = {"PKTINFO": linux.IPV6_2292PKTINFO, "HOPLIMIT": linux.IPV6_2292HOPLIMIT}


@rows("option", OLD_OPTIONS)
def test_old_ipv6_options_deliver_under_their_old_numbers(bed: Bed, option: int) -> None:
    sock = asking(bed, V6, (IP6, option))
    bed.reply(sock, hop_limit=77)
    contents = {
        linux.IPV6_2292PKTINFO: struct.pack(linux.IN6_PKTINFO_LAYOUT, V6.pack(V6.host), bed.index("ps0")),
        linux.IPV6_2292HOPLIMIT: integer(77),
    }
    assert take_with(bed, sock).ancillary == [(IP6, option, contents[option])]


# Extension headers

PADDED = bytes([0, 0, 1, 4, 0, 0, 0, 0])
EXTENSIONS = {
    "HOPOPTS": (linux.IPV6_RECVHOPOPTS, linux.IPV6_HOPOPTS, 0),
    "DSTOPTS": (linux.IPV6_RECVDSTOPTS, linux.IPV6_DSTOPTS, 60),
}


@rows("option,kind,number", EXTENSIONS)
def test_extension_header_is_delivered_as_received(bed: Bed, option: int, kind: int, number: int) -> None:
    sock = asking(bed, V6, (IP6, option))
    bed.reply(sock, extensions=((number, PADDED),))
    assert take_with(bed, sock).ancillary == [(IP6, kind, b"\x3a" + PADDED[1:])]


@rows("option", {name: option for name, (option, _, _) in EXTENSIONS.items()} | {"RTHDR": linux.IPV6_RECVRTHDR})
def test_extension_header_is_absent_without_one(bed: Bed, option: int) -> None:
    sock = asking(bed, V6, (IP6, option))
    bed.reply(sock)
    assert take_with(bed, sock).ancillary == []


# IPv4 options


def test_recvopts_delivers_the_options_as_they_stand(bed: Bed) -> None:
    sock = asking(bed, V4, (IP, linux.IP_RECVOPTS))
    bed.reply(sock, options=b"\x01" * 4 + b"\x94\x04\0\0")
    assert take_with(bed, sock).ancillary == [(IP, linux.IP_RECVOPTS, b"\x01" * 4 + b"\x94\x04\0\0")]


@rows("option", {"RECVOPTS": linux.IP_RECVOPTS, "RETOPTS": linux.IP_RETOPTS})
def test_ip_options_are_absent_without_any(bed: Bed, option: int) -> None:
    sock = asking(bed, V4, (IP, option))
    bed.reply(sock)
    assert take_with(bed, sock).ancillary == []


RECORDED = b"\x07\x0b\x08" + V4.pack(V4.far) + bytes(4) + b"\0"
RECORDED_HERE = b"\x07\x0b\x0c" + V4.pack(V4.far) + V4.pack(V4.host) + b"\0"


def test_record_route_arrives_with_our_address_added(bed: Bed) -> None:
    sock = asking(bed, V4, (IP, linux.IP_RECVOPTS))
    bed.reply(sock, options=RECORDED)
    assert take_with(bed, sock).ancillary == [(IP, linux.IP_RECVOPTS, RECORDED_HERE)]


def test_retopts_copies_the_record_route(bed: Bed) -> None:
    sock = asking(bed, V4, (IP, linux.IP_RETOPTS))
    bed.reply(sock, options=RECORDED)
    content = take_with(bed, sock).item(IP, linux.IP_RETOPTS)
    assert content is not None
    assert content[:11] == RECORDED_HERE[:11]


def test_the_timestamp_option_arrives_with_our_time_added(bed: Bed) -> None:
    sock = asking(bed, V4, (IP, linux.IP_RECVOPTS))
    bed.reply(sock, options=b"\x44\x0c\x05\x00" + bytes(8))
    content = take_with(bed, sock).item(IP, linux.IP_RECVOPTS)
    assert content is not None
    assert content[:4] == b"\x44\x0c\x09\x00"
    assert int.from_bytes(content[4:8], "big") < 86_400_000


def test_retopts_drops_no_operations_and_may_be_empty(bed: Bed) -> None:
    sock = asking(bed, V4, (IP, linux.IP_RETOPTS))
    bed.reply(sock, options=b"\x01" * 4)
    assert take_with(bed, sock).ancillary == [(IP, linux.IP_RETOPTS, b"")]


def test_retopts_turns_a_source_route_round(bed: Bed) -> None:
    sock = asking(bed, V4, (IP, linux.IP_RETOPTS))
    first, second = "10.9.0.20", "10.9.0.30"
    with bed.sysctl("ipv4.conf.all.accept_source_route", 1), bed.sysctl("ipv4.conf.ps0.accept_source_route", 1):
        bed.reply(sock, options=b"\x83\x0b\x0c" + V4.pack(first) + V4.pack(second) + b"\0")
        content = take_with(bed, sock).item(IP, linux.IP_RETOPTS)
    assert content is not None
    assert content[:11] == b"\x83\x0b\x04" + V4.pack(second) + V4.pack(first)


def test_a_source_route_is_not_accepted_by_default(bed: Bed) -> None:
    sock = bed.bound(V4)
    bed.reply(sock, options=b"\x83\x07\x08" + V4.pack(V4.far) + b"\0")
    assert bed.nothing_arrived(sock)


# Fragments


def test_recvfragsize_delivers_the_largest_fragment(bed: Bed) -> None:
    sock = asking(bed, V4, (IP, linux.IP_RECVFRAGSIZE))
    for piece in reply_fragments(V4, sock, bytes(2500), 1400, fragment_ident=21):
        bed.inject(piece)
    assert take_with(bed, sock).ancillary == [(IP, linux.IP_RECVFRAGSIZE, integer(1420))]


def test_ipv6_recvfragsize_delivers_the_largest_fragment(bed: Bed) -> None:
    sock = asking(bed, V6, (IP6, linux.IPV6_RECVFRAGSIZE))
    for piece in reply_fragments(V6, sock, bytes(2500), 1400, fragment_ident=22):
        bed.inject(piece)
    assert take_with(bed, sock).ancillary == [(IP6, linux.IPV6_RECVFRAGSIZE, integer(1448))]


@rows("ip,option", {"v4": (V4, linux.IP_RECVFRAGSIZE), "v6": (V6, linux.IPV6_RECVFRAGSIZE)})
def test_recvfragsize_is_absent_from_a_whole_packet(bed: Bed, ip: Family, option: int) -> None:
    sock = asking(bed, ip, (ip.level, option))
    bed.reply(sock)
    assert take_with(bed, sock).ancillary == []


# Options that deliver nothing

SILENT = {
    "v4 IP_PASSSEC": (V4, IP, linux.IP_PASSSEC),
    "v4 SO_RCVMARK": (V4, SOCKET, linux.SO_RCVMARK),
    "v4 SO_RCVPRIORITY": (V4, SOCKET, linux.SO_RCVPRIORITY),
    "v4 SO_RXQ_OVFL": (V4, SOCKET, linux.SO_RXQ_OVFL),
    "v6 SO_RCVMARK": (V6, SOCKET, linux.SO_RCVMARK),
    "v6 SO_RXQ_OVFL": (V6, SOCKET, linux.SO_RXQ_OVFL),
    "v6 IPV6_RECVPATHMTU": (V6, IP6, linux.IPV6_RECVPATHMTU),
    "v6 IP_RECVTTL": (V6, IP, linux.IP_RECVTTL),
    "v6 IP_PKTINFO": (V6, IP, linux.IP_PKTINFO),
}


@rows("ip,level,option", SILENT)
def test_option_can_be_set_and_delivers_nothing(bed: Bed, ip: Family, level: int, option: int) -> None:
    sock = asking(bed, ip, (level, option))
    bed.reply(sock)
    assert take_with(bed, sock).ancillary == []


# Time stamps

STAMPS = {
    "SO_TIMESTAMP": (linux.SO_TIMESTAMP, 10**6),
    "SO_TIMESTAMPNS": (linux.SO_TIMESTAMPNS, 10**9),
    "SO_TIMESTAMP_NEW": (linux.SO_TIMESTAMP_NEW, 10**6),
    "SO_TIMESTAMPNS_NEW": (linux.SO_TIMESTAMPNS_NEW, 10**9),
}


@both_families
@rows("option,units", STAMPS)
def test_stamp_is_delivered_under_the_number_of_its_option(bed: Bed, ip: Family, option: int, units: int) -> None:
    sock = asking(bed, ip, (SOCKET, option))
    before = time.time_ns()
    bed.reply(sock)
    [(level, kind, content)] = take_with(bed, sock).ancillary
    seconds, fraction = struct.unpack("=qq", content)
    assert (level, kind) == (SOCKET, option)
    stamp = seconds * 10**9 + fraction * (10**9 // units)
    assert before - 1000 <= stamp <= time.time_ns()


@both_families
@rows(
    "first,second",
    {
        "microseconds last": (linux.SO_TIMESTAMPNS, linux.SO_TIMESTAMP),
        "nanoseconds last": (linux.SO_TIMESTAMP, linux.SO_TIMESTAMPNS),
    },
)
def test_of_two_stamp_formats_the_last_set_wins(bed: Bed, ip: Family, first: int, second: int) -> None:
    sock = asking(bed, ip, (SOCKET, first), (SOCKET, second))
    bed.reply(sock)
    assert take_with(bed, sock).kinds == [(SOCKET, second)]


def timestamping(bed: Bed, ip: Family, flags: int, option: int = linux.SO_TIMESTAMPING) -> Received:
    sock = bed.bound(ip)
    sock.setsockopt(SOCKET, option, flags)
    bed.reply(sock)
    return take_with(bed, sock)


RX, REPORT = linux.SOF_TIMESTAMPING_RX_SOFTWARE, linux.SOF_TIMESTAMPING_SOFTWARE


@both_families
@rows("flags,delivered", {"RX and report": (RX | REPORT, True), "report": (REPORT, True), "RX": (RX, False)})
def test_timestamping_delivers_what_is_to_be_reported(bed: Bed, ip: Family, flags: int, delivered: bool) -> None:
    assert timestamping(bed, ip, flags).kinds == [(SOCKET, linux.SO_TIMESTAMPING)] * delivered


@both_families
@rows("option", {"SO_TIMESTAMPING": linux.SO_TIMESTAMPING, "SO_TIMESTAMPING_NEW": linux.SO_TIMESTAMPING_NEW})
def test_timestamping_delivers_three_times_of_which_the_first_is_ours(bed: Bed, ip: Family, option: int) -> None:
    before = time.time_ns()
    content = timestamping(bed, ip, RX | REPORT, option).item(SOCKET, option)
    assert content is not None
    seconds, nanoseconds, *others = struct.unpack(linux.SCM_TIMESTAMPING_NEW_LAYOUT, content)
    assert others == [0, 0, 0, 0]
    assert before - 1000 <= seconds * 10**9 + nanoseconds <= time.time_ns()


@both_families
def test_options_are_looked_at_when_the_message_is_read(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    bed.reply(sock)
    bed.settle()
    option = linux.IP_RECVTTL if ip is V4 else linux.IPV6_RECVHOPLIMIT
    sock.setsockopt(ip.level, option, 1)
    assert len(take_with(bed, sock).ancillary) == 1


@both_families
def test_a_packet_that_waited_shows_its_time_of_arrival(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    bed.reply(sock)
    bed.settle()
    arrived = time.time_ns()
    sock.setsockopt(SOCKET, linux.SO_TIMESTAMPNS, 1)
    content = take_with(bed, sock).item(SOCKET, linux.SO_TIMESTAMPNS)
    assert content is not None
    seconds, nanoseconds = struct.unpack("=qq", content)
    assert seconds * 10**9 + nanoseconds <= arrived


# Order and truncation

ALL_V4 = [
    (SOCKET, linux.SO_TIMESTAMPNS),
    (IP, linux.IP_RECVORIGDSTADDR),
    (IP, linux.IP_RETOPTS),
    (IP, linux.IP_RECVOPTS),
    (IP, linux.IP_RECVTOS),
    (IP, linux.IP_RECVTTL),
    (IP, linux.IP_PKTINFO),
]
ALL_V6 = [
    (SOCKET, linux.SO_TIMESTAMPNS),
    (IP6, linux.IPV6_RECVORIGDSTADDR),
    (IP6, linux.IPV6_RECVTCLASS),
    (IP6, linux.IPV6_RECVHOPLIMIT),
    (IP6, linux.IPV6_RECVPKTINFO),
]


def test_order_of_v4_items(bed: Bed) -> None:
    sock = asking(bed, V4, *ALL_V4)
    sock.setsockopt(SOCKET, linux.SO_TIMESTAMPING, RX | REPORT)
    bed.reply(sock, options=b"\x01" * 4)
    assert take_with(bed, sock).kinds == [
        (SOCKET, linux.SO_TIMESTAMPNS),
        (SOCKET, linux.SO_TIMESTAMPING),
        (IP, linux.IP_PKTINFO),
        (IP, linux.IP_TTL),
        (IP, linux.IP_TOS),
        (IP, linux.IP_RECVOPTS),
        (IP, linux.IP_RETOPTS),
        (IP, linux.IP_ORIGDSTADDR),
    ]


def test_order_of_v6_items(bed: Bed) -> None:
    sock = asking(bed, V6, *ALL_V6)
    sock.setsockopt(SOCKET, linux.SO_TIMESTAMPING, RX | REPORT)
    bed.reply(sock)
    assert take_with(bed, sock).kinds == [
        (SOCKET, linux.SO_TIMESTAMPNS),
        (SOCKET, linux.SO_TIMESTAMPING),
        (IP6, linux.IPV6_PKTINFO),
        (IP6, linux.IPV6_HOPLIMIT),
        (IP6, linux.IPV6_TCLASS),
        (IP6, linux.IPV6_ORIGDSTADDR),
    ]


HEADER = 16
TRUNCATIONS = {
    # room: sizes of the contents delivered of PKTINFO (12 bytes) and TTL (4 bytes)
    "less than a header": (HEADER - 1, []),
    "just a header": (HEADER, [0]),
    "half an item": (HEADER + 6, [6]),
    "one item": (HEADER + 12, [12]),
    "one item padded and less than a header": (32 + HEADER - 1, [12]),
    "one item and a header": (32 + HEADER, [12, 0]),
    "one item and a half": (32 + HEADER + 2, [12, 2]),
    "both without padding": (52, [12, 4]),
}


@rows("room,sizes", TRUNCATIONS)
def test_a_small_control_buffer_cuts_what_meets_its_end(bed: Bed, room: int, sizes: list[int]) -> None:
    sock = asking(bed, V4, (IP, linux.IP_PKTINFO), (IP, linux.IP_RECVTTL))
    bed.reply(sock)
    taken = take_with(bed, sock, room)
    assert [len(content) for _, _, content in taken.ancillary] == sizes
    assert taken.flags == (0 if room == 52 else linux.MSG_CTRUNC)


@both_families
def test_without_a_control_buffer_the_loss_is_flagged(bed: Bed, ip: Family) -> None:
    option = linux.IP_RECVTTL if ip is V4 else linux.IPV6_RECVHOPLIMIT
    sock = asking(bed, ip, (ip.level, option))
    bed.reply(sock)
    assert take_with(bed, sock, 0).flags == linux.MSG_CTRUNC


@both_families
def test_switched_off_an_option_delivers_nothing_more(bed: Bed, ip: Family) -> None:
    option = linux.IP_RECVTTL if ip is V4 else linux.IPV6_RECVHOPLIMIT
    sock = asking(bed, ip, (ip.level, option))
    sock.setsockopt(ip.level, option, 0)
    bed.reply(sock)
    assert take_with(bed, sock).ancillary == []


def test_a_routing_header_is_delivered_as_received(bed: Bed) -> None:
    sock = asking(bed, V6, (IP6, linux.IPV6_RECVRTHDR))
    header = bytes([0, 2, 4, 0, 0, 0, 0, 0]) + V6.pack(V6.host)
    message = packets.echo(V6.reply, ident(sock))
    with bed.sysctl("ipv6.conf.all.seg6_enabled", 1), bed.sysctl("ipv6.conf.ps0.seg6_enabled", 1):
        bed.inject(packets.packet(V6, V6.far, V6.host, message, extensions=((43, header),)))
        assert take_with(bed, sock).ancillary == [(IP6, linux.IPV6_RTHDR, b"\x3a" + header[1:])]
