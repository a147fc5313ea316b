"""Section 11: where sending over IPv6 differs."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from bed.bed import V6, Bed, outcome, request
from bed.families import LINK_LOCAL, LINK_LOCAL_FAR
from pingsock.wire import linux
from sockets.rules import each, rows
from sockets.test_bind import NOWHERE, bound_device

if TYPE_CHECKING:
    from bed.subject import Subject

LINK_GROUP = "ff02::1"


def set6(sock: Subject, option: int, value: int | bytes) -> None:
    sock.setsockopt(linux.SOL_IPV6, option, value)


def pktinfo(bed: Bed, interface: str = "", source: str = V6.any) -> bytes:
    return struct.pack(linux.IN6_PKTINFO_LAYOUT, V6.pack(source), bed.index(interface) if interface else 0)


# Flow labels


def test_the_flow_label_is_automatic_and_stays_for_one_flow(bed: Bed) -> None:
    sock = bed.bound(V6)
    for _ in range(2):
        sock.sendto(request(V6), V6.name_of(V6.far))
    first, second = bed.sent(2)
    assert first.flow_label == second.flow_label != 0


def test_without_automatic_flow_labels_there_is_none(bed: Bed) -> None:
    sock = bed.bound(V6)
    set6(sock, linux.IPV6_AUTOFLOWLABEL, 0)
    sock.sendto(request(V6), V6.name_of(V6.far))
    assert bed.one_sent().flow_label == 0


@each("label", [1, 0x12345, 0xFFFFF])
def test_a_flow_label_of_the_address_is_sent_if_asked_for(bed: Bed, label: int) -> None:
    sock = bed.bound(V6)
    set6(sock, linux.IPV6_FLOWINFO_SEND, 1)
    sock.sendto(request(V6), (V6.far, 0, label, 0))
    assert bed.one_sent().flow_label == label


def test_a_flow_label_of_the_address_is_not_sent_unless_asked_for(bed: Bed) -> None:
    sock = bed.bound(V6)
    set6(sock, linux.IPV6_AUTOFLOWLABEL, 0)
    sock.sendto(request(V6), (V6.far, 0, 0x12345, 0))
    assert bed.one_sent().flow_label == 0


def test_a_flow_label_of_the_peer_is_sent_if_asked_for(bed: Bed) -> None:
    sock = bed.socket(V6)
    set6(sock, linux.IPV6_FLOWINFO_SEND, 1)
    sock.connect((V6.far, 1, 0x12345, 0))
    sock.send(request(V6))
    assert bed.one_sent().flow_label == 0x12345


def test_class_bits_in_the_address_are_ignored(bed: Bed) -> None:
    sock = bed.bound(V6)
    set6(sock, linux.IPV6_FLOWINFO_SEND, 1)
    set6(sock, linux.IPV6_TCLASS, 0x10)
    name = V6.sockaddr(V6.far, flow_info=0xB8 << 20 | 0x12345)
    sock.sendmsg_sockaddr([request(V6)], [], 0, name)
    seen = bed.one_sent()
    assert (seen.tos, seen.flow_label) == (0x10, 0x12345)


# Size

SIZES = {
    "unfragmented": (1460, 1, "OK"),
    "just fragmented": (1461, 2, "OK"),
    "largest": (65535, 46, "OK"),
    "one more": (65536, 0, "EMSGSIZE"),
}


@rows("size,pieces,result", SIZES)
def test_size_of_v6_message(bed: Bed, size: int, pieces: int, result: str) -> None:
    sock = bed.bound(V6)
    assert outcome(sock.sendto, request(V6, bytes(size - 8)), V6.name_of(V6.far)) == result
    assert len(bed.sent(pieces)) == pieces


# Choice of device


def test_a_scope_chooses_the_device_of_a_link_local_destination(bed: Bed) -> None:
    sock = bed.bound(V6)
    sock.sendto(request(V6), V6.name_of(LINK_LOCAL_FAR, 0, bed.index("ps1")))
    assert bed.one_sent("ps1").source == LINK_LOCAL["ps1"]


def test_a_scope_chooses_the_device_of_a_link_scope_group(bed: Bed) -> None:
    sock = bed.bound(V6)
    sock.sendto(request(V6), V6.name_of(LINK_GROUP, 0, bed.index("ps1")))
    assert bed.one_sent("ps1").destination == LINK_GROUP


def test_sending_with_a_scope_does_not_bind_the_device(bed: Bed) -> None:
    sock = bed.bound(V6)
    sock.sendto(request(V6), V6.name_of(LINK_LOCAL_FAR, 0, bed.index("ps1")))
    assert bound_device(sock) == b""


def test_a_scope_is_ignored_for_a_global_destination(bed: Bed) -> None:
    sock = bed.bound(V6)
    sock.sendto(request(V6), V6.name_of(V6.far, 0, bed.index("ps1")))
    assert bed.one_sent("ps0").destination == V6.far


CHOICES = {
    "bound device": (linux.SOL_SOCKET, linux.SO_BINDTOIFINDEX),
    "sticky IPV6_PKTINFO": (linux.SOL_IPV6, linux.IPV6_PKTINFO),
}


def choose_device(bed: Bed, sock: Subject, level: int, option: int) -> None:
    index = bed.index("ps1")
    value: int | bytes = pktinfo(bed, "ps1") if option == linux.IPV6_PKTINFO else index
    if option == linux.IPV6_UNICAST_IF:
        value = struct.pack("!I", index)
    sock.setsockopt(level, option, value)


@each("address", [LINK_LOCAL_FAR, LINK_GROUP])
@rows("level,option", CHOICES)
def test_device_without_scope(bed: Bed, address: str, level: int, option: int) -> None:
    sock = bed.bound(V6)
    choose_device(bed, sock, level, option)
    sock.sendto(request(V6), V6.name_of(address))
    assert bed.one_sent("ps1").source == LINK_LOCAL["ps1"]


def test_unicast_if_gives_the_device_of_a_link_local_destination(bed: Bed) -> None:
    sock = bed.bound(V6)
    choose_device(bed, sock, linux.SOL_IPV6, linux.IPV6_UNICAST_IF)
    sock.sendto(request(V6), V6.name_of(LINK_LOCAL_FAR))
    assert bed.one_sent("ps1").source == LINK_LOCAL["ps1"]


@each("address", [LINK_GROUP, V6.group])
def test_multicast_if_gives_the_device_of_a_group(bed: Bed, address: str) -> None:
    sock = bed.bound(V6)
    choose_device(bed, sock, linux.SOL_IPV6, linux.IPV6_MULTICAST_IF)
    sock.sendto(request(V6), V6.name_of(address))
    assert bed.one_sent("ps1").destination == address


INVALID_DESTINATIONS = {
    "link-local without device": LINK_LOCAL_FAR,
    "link-scope group without device": LINK_GROUP,
    "mapped": "::ffff:10.9.0.2",
}


@rows("address", INVALID_DESTINATIONS)
def test_destination_is_invalid(bed: Bed, address: str) -> None:
    assert outcome(bed.bound(V6).sendto, request(V6), V6.name_of(address)) == "EINVAL"


@rows("address", INVALID_DESTINATIONS)
def test_destination_is_checked_before_ancillary_data(bed: Bed, address: str) -> None:
    sock = bed.bound(V6)
    bad = [(linux.SOL_SOCKET, linux.SO_MARK, b"x")]
    foreign = [(linux.SOL_IPV6, linux.IPV6_PKTINFO, struct.pack(linux.IN6_PKTINFO_LAYOUT, bytes(16), NOWHERE))]
    for ancillary in (bad, foreign):
        assert outcome(sock.sendmsg, [request(V6)], ancillary, 0, V6.name_of(address)) == "EINVAL"


@each("address", [LINK_LOCAL_FAR, LINK_GROUP])
def test_a_device_in_ancillary_data_comes_too_late_for_a_destination_without_scope(bed: Bed, address: str) -> None:
    ancillary = [(linux.SOL_IPV6, linux.IPV6_PKTINFO, pktinfo(bed, "ps0"))]
    assert outcome(bed.bound(V6).sendmsg, [request(V6)], ancillary, 0, V6.name_of(address)) == "EINVAL"


def test_a_scope_other_than_the_bound_device_is_invalid(bed: Bed) -> None:
    sock = bed.bound(V6)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, b"ps1")
    assert outcome(sock.sendto, request(V6), V6.name_of(LINK_LOCAL_FAR, 0, bed.index("ps0"))) == "EINVAL"


def test_a_scope_that_does_not_exist_finds_no_network(bed: Bed) -> None:
    assert outcome(bed.bound(V6).sendto, request(V6), V6.name_of(LINK_LOCAL_FAR, 0, NOWHERE)) == "ENETUNREACH"


@each("option", [linux.IPV6_UNICAST_IF, linux.IPV6_PKTINFO])
def test_a_device_without_a_route_finds_no_network(bed: Bed, option: int) -> None:
    sock = bed.bound(V6)
    choose_device(bed, sock, linux.SOL_IPV6, option)
    assert outcome(sock.sendto, request(V6), V6.name_of(V6.distant)) == "ENETUNREACH"


def test_the_unspecified_destination_goes_out_by_the_default_route(bed: Bed) -> None:
    bed.bound(V6).sendto(request(V6), V6.name_of(V6.any))
    assert bed.one_sent().destination == V6.any


# Source


@each("way", ["cmsg", "sticky"])
def test_the_source_in_pktinfo_is_ignored(bed: Bed, way: str) -> None:
    sock = bed.bound(V6)
    info = pktinfo(bed, source=V6.host_second)
    ancillary = [(linux.SOL_IPV6, linux.IPV6_PKTINFO, info)] if way == "cmsg" else []
    if way == "sticky":
        set6(sock, linux.IPV6_PKTINFO, info)
    sock.sendmsg([request(V6)], ancillary, 0, V6.name_of(V6.far))
    assert bed.one_sent().source == V6.host


def test_freely_bound_to_a_foreign_address_send_uses_it(bed: Bed) -> None:
    sock = bed.socket(V6)
    set6(sock, linux.IPV6_FREEBIND, 1)
    sock.bind(V6.name_of(V6.distant))
    sock.sendto(request(V6), V6.name_of(V6.far))
    assert bed.one_sent().source == V6.distant


@each("source", [V6.distant, V6.group])
def test_the_source_in_pktinfo_of_one_packet_is_checked(bed: Bed, source: str) -> None:
    ancillary = [(linux.SOL_IPV6, linux.IPV6_PKTINFO, pktinfo(bed, source=source))]
    assert outcome(bed.bound(V6).sendmsg, [request(V6)], ancillary, 0, V6.name_of(V6.far)) == "EINVAL"


@each("source", [V6.distant, V6.group])
def test_the_source_in_sticky_pktinfo_is_not_even_checked(bed: Bed, source: str) -> None:
    sock = bed.bound(V6)
    set6(sock, linux.IPV6_PKTINFO, pktinfo(bed, source=source))
    sock.sendto(request(V6), V6.name_of(V6.far))
    assert bed.one_sent().source == V6.host


# Hop limits


@rows("hops,sent", {"0": (0, 0), "1": (1, 1), "255": (255, 255), "default": (-1, 64)})
def test_unicast_hops(bed: Bed, hops: int, sent: int) -> None:
    sock = bed.bound(V6)
    set6(sock, linux.IPV6_UNICAST_HOPS, hops)
    sock.sendto(request(V6), V6.name_of(V6.far))
    assert bed.one_sent().ttl == sent


@rows("hops,sent", {"2": (2, 2), "255": (255, 255), "default": (-1, 1)})
def test_multicast_hops(bed: Bed, hops: int, sent: int) -> None:
    sock = bed.bound(V6)
    set6(sock, linux.IPV6_MULTICAST_HOPS, hops)
    sock.sendto(request(V6), V6.name_of(V6.group))
    assert bed.one_sent().ttl == sent


# Flags and extension headers

IGNORED_FLAGS = {"MSG_PROBE": linux.MSG_PROBE, "MSG_DONTROUTE": linux.MSG_DONTROUTE, "MSG_MORE": linux.MSG_MORE}


@rows("flag", IGNORED_FLAGS)
def test_v6_sends_in_spite_of(bed: Bed, flag: int) -> None:
    bed.bound(V6).sendto(request(V6), flag, V6.name_of(V6.distant))
    assert bed.one_sent().destination == V6.distant


PADDED_HEADER = bytes([0, 0, 1, 4, 0, 0, 0, 0])
"""An options header with nothing but padding."""


@rows("option", {"IPV6_HOPOPTS": linux.IPV6_HOPOPTS, "IPV6_DSTOPTS": linux.IPV6_DSTOPTS})
@each("way", ["cmsg", "sticky"])
def test_extension_headers_are_accepted_and_never_sent(bed: Bed, way: str, option: int) -> None:
    sock = bed.bound(V6)
    ancillary = [(linux.SOL_IPV6, option, PADDED_HEADER)] if way == "cmsg" else []
    if way == "sticky":
        set6(sock, option, PADDED_HEADER)
    sock.sendmsg([request(V6)], ancillary, 0, V6.name_of(V6.far))
    assert bed.one_sent().extensions == ()


# Groups


@each("loop", [1, 0])
def test_our_own_host_answers_a_v6_group_it_is_in_unless_loop_is_off(bed: Bed, loop: int) -> None:
    sock, member = bed.bound(V6), bed.socket(V6)
    set6(member, linux.IPV6_ADD_MEMBERSHIP, struct.pack(linux.IPV6_MREQ_LAYOUT, V6.pack(V6.group), bed.index("ps0")))
    set6(sock, linux.IPV6_MULTICAST_LOOP, loop)
    sock.sendto(request(V6), V6.name_of(V6.group))
    assert bed.arrived(sock) == bool(loop)
