"""Section 4.6: ancillary data when sending."""

from __future__ import annotations

import array
import os
import struct
from typing import TYPE_CHECKING

from bed.bed import V4, V6, Bed, outcome, request
from bed.families import LINK_LOCAL
from pingsock.stack.ancillary_send import SCM_DEVMEM_DMABUF
from pingsock.wire import linux
from sockets.rules import both_families, each, rows
from sockets.test_bind import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Callable

    from bed.families import Family
    from bed.packets import Seen
    from bed.subject import Subject

IP, IP6, SOCKET = linux.SOL_IP, linux.SOL_IPV6, linux.SOL_SOCKET


def integer(value: int) -> bytes:
    return struct.pack("=i", value)


def send_with(bed: Bed, ip: Family, *ancillary: tuple[int, int, bytes], destination: str = "") -> str:
    sock = bed.socket(ip)
    return outcome(sock.sendmsg, [request(ip)], ancillary, 0, ip.name_of(destination or ip.far))


def sent_with(bed: Bed, ip: Family, *ancillary: tuple[int, int, bytes], destination: str = "") -> Seen:
    assert send_with(bed, ip, *ancillary, destination=destination) == "OK"
    return bed.one_sent()


V4_REFUSED = {
    "TTL 0": (IP, linux.IP_TTL, integer(0)),
    "TTL -1": (IP, linux.IP_TTL, integer(-1)),
    "TTL 256": (IP, linux.IP_TTL, integer(256)),
    "TTL of 1 byte": (IP, linux.IP_TTL, b"\x40"),
    "TTL of 2 bytes": (IP, linux.IP_TTL, b"\x40\0"),
    "TTL of 8 bytes": (IP, linux.IP_TTL, integer(64) + bytes(4)),
    "TOS 256": (IP, linux.IP_TOS, integer(256)),
    "TOS -1": (IP, linux.IP_TOS, integer(-1)),
    "TOS of 2 bytes": (IP, linux.IP_TOS, b"\0\0"),
    "TOS of nothing": (IP, linux.IP_TOS, b""),
    "PKTINFO too short": (IP, linux.IP_PKTINFO, bytes(11)),
    "PKTINFO too long": (IP, linux.IP_PKTINFO, bytes(16)),
    "malformed options": (IP, linux.IP_RETOPTS, b"\x9e\x08ab"),
    "IP_RECVTTL": (IP, linux.IP_RECVTTL, integer(1)),
    "IP_RECVERR": (IP, linux.IP_RECVERR, integer(1)),
    "IP_OPTIONS": (IP, linux.IP_OPTIONS, b"\x01" * 4),
    "an unknown IP item": (IP, 99, integer(1)),
    "SO_TIMESTAMP": (SOCKET, linux.SO_TIMESTAMP, integer(1)),
    "an unknown socket item": (SOCKET, 99, integer(1)),
    "mark of 1 byte": (SOCKET, linux.SO_MARK, b"\0"),
    "device memory of 8 bytes": (SOCKET, SCM_DEVMEM_DMABUF, bytes(8)),
    "time stamping of reception": (SOCKET, linux.SO_TIMESTAMPING, integer(linux.SOF_TIMESTAMPING_RX_SOFTWARE)),
}


@rows("level,kind,content", V4_REFUSED)
def test_v4_send_refuses(bed: Bed, level: int, kind: int, content: bytes) -> None:
    assert send_with(bed, V4, (level, kind, content)) == "EINVAL"


V6_REFUSED = {
    "hop limit -2": (IP6, linux.IPV6_HOPLIMIT, integer(-2)),
    "hop limit 256": (IP6, linux.IPV6_HOPLIMIT, integer(256)),
    "hop limit of 1 byte": (IP6, linux.IPV6_HOPLIMIT, b"\x40"),
    "class -2": (IP6, linux.IPV6_TCLASS, integer(-2)),
    "class 256": (IP6, linux.IPV6_TCLASS, integer(256)),
    "class of 1 byte": (IP6, linux.IPV6_TCLASS, b"\x40"),
    "DONTFRAG 2": (IP6, linux.IPV6_DONTFRAG, integer(2)),
    "DONTFRAG -1": (IP6, linux.IPV6_DONTFRAG, integer(-1)),
    "DONTFRAG of 1 byte": (IP6, linux.IPV6_DONTFRAG, b"\0"),
    "PKTINFO too short": (IP6, linux.IPV6_PKTINFO, bytes(19)),
    "flow information of 2 bytes": (IP6, linux.IPV6_FLOWINFO, bytes(2)),
    "hop-by-hop options cut off": (IP6, linux.IPV6_HOPOPTS, b"\0"),
    "hop-by-hop options shorter than they say": (IP6, linux.IPV6_HOPOPTS, bytes([0, 4]) + bytes(6)),
    "routing header of zeros": (IP6, linux.IPV6_RTHDR, bytes(8)),
    "routing header of segments": (IP6, linux.IPV6_RTHDR, bytes((0, 2, 4)) + bytes(21)),
    "old routing header": (IP6, linux.IPV6_2292RTHDR, bytes(8)),
    "IPV6_RECVERR": (IP6, linux.IPV6_RECVERR, integer(1)),
    "IPV6_UNICAST_HOPS": (IP6, linux.IPV6_UNICAST_HOPS, integer(1)),
    "an unknown IPv6 item": (IP6, 199, integer(1)),
    "an unknown socket item": (SOCKET, 99, integer(1)),
}


@rows("level,kind,content", V6_REFUSED)
def test_v6_send_refuses(bed: Bed, level: int, kind: int, content: bytes) -> None:
    assert send_with(bed, V6, (level, kind, content)) == "EINVAL"


# Accepted without any effect on the packet
V4_INDIFFERENT = {
    "IP_PROTOCOL": (IP, linux.IP_PROTOCOL, integer(1)),
    "SO_PRIORITY": (SOCKET, linux.SO_PRIORITY, integer(3)),
    "device memory": (SOCKET, SCM_DEVMEM_DMABUF, integer(1)),
    "an IPv6 item": (IP6, linux.IPV6_HOPLIMIT, integer(3)),
    "a malformed IPv6 item": (IP6, linux.IPV6_HOPLIMIT, b""),
    "another level": (255, 1, b"anything"),
    "mark": (SOCKET, linux.SO_MARK, integer(77)),
}
V6_INDIFFERENT = {
    "device memory": (SOCKET, SCM_DEVMEM_DMABUF, integer(1)),
    "an IP item": (IP, linux.IP_TTL, integer(3)),
    "a malformed IP item": (IP, linux.IP_TTL, b""),
    "SO_PRIORITY": (SOCKET, linux.SO_PRIORITY, integer(3)),
    "another level": (255, 1, b"anything"),
    "mark": (SOCKET, linux.SO_MARK, integer(77)),
    "DONTFRAG 1": (IP6, linux.IPV6_DONTFRAG, integer(1)),
    "hop-by-hop options": (IP6, linux.IPV6_HOPOPTS, bytes([0, 0, 1, 4, 0, 0, 0, 0])),
    "destination options": (IP6, linux.IPV6_DSTOPTS, bytes([0, 0, 1, 4, 0, 0, 0, 0])),
}


@rows("level,kind,content", V4_INDIFFERENT)
def test_v4_send_accepts_and_does_not_mind(bed: Bed, level: int, kind: int, content: bytes) -> None:
    seen = sent_with(bed, V4, (level, kind, content))
    assert (seen.ttl, seen.tos, seen.options, seen.source) == (64, 0, b"", V4.host)


@rows("level,kind,content", V6_INDIFFERENT)
def test_v6_send_accepts_and_does_not_mind(bed: Bed, level: int, kind: int, content: bytes) -> None:
    seen = sent_with(bed, V6, (level, kind, content))
    assert (seen.ttl, seen.tos, seen.extensions, seen.source) == (64, 0, (), V6.host)


@both_families
def test_descriptors_to_pass_are_ignored(bed: Bed, ip: Family) -> None:
    reader, writer = os.pipe()
    try:
        sent_with(bed, ip, (SOCKET, linux.SCM_RIGHTS, array.array("i", [reader]).tobytes()))
    finally:
        os.close(reader)
        os.close(writer)


@each("value", [1, 7, 255])
@each("destination", [V4.far, V4.group])
def test_ttl_of_one_packet(bed: Bed, destination: str, value: int) -> None:
    assert sent_with(bed, V4, (IP, linux.IP_TTL, integer(value)), destination=destination).ttl == value


@rows(
    "content,tos", {"int": (integer(0xB8), 0xB8), "byte": (b"\x2e", 0x2E), "0": (integer(0), 0), "255": (b"\xff", 255)}
)
def test_tos_of_one_packet(bed: Bed, content: bytes, tos: int) -> None:
    assert sent_with(bed, V4, (IP, linux.IP_TOS, content)).tos == tos


def test_ancillary_values_win_over_those_of_the_socket_and_for_one_packet_only(bed: Bed) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(IP, linux.IP_TTL, 9)
    sock.sendmsg([request(V4)], [(IP, linux.IP_TTL, integer(5))], 0, (V4.far, 0))
    sock.sendto(request(V4), (V4.far, 0))
    assert [seen.ttl for seen in bed.sent(2)] == [5, 9]


@rows("value,sent", {"0": (0, 0), "1": (1, 1), "255": (255, 255), "default": (-1, 64)})
def test_hop_limit_of_one_packet(bed: Bed, value: int, sent: int) -> None:
    assert sent_with(bed, V6, (IP6, linux.IPV6_HOPLIMIT, integer(value))).ttl == sent


@rows("value,sent", {"0": (0, 0), "46": (46, 46), "255": (255, 255), "-1 is 255": (-1, 255)})
def test_traffic_class_of_one_packet(bed: Bed, value: int, sent: int) -> None:
    assert sent_with(bed, V6, (IP6, linux.IPV6_TCLASS, integer(value))).tos == sent


def test_dontfrag_of_one_packet(bed: Bed) -> None:
    sock = bed.socket(V6)
    message = request(V6, bytes(1500))
    ancillary = [(IP6, linux.IPV6_DONTFRAG, integer(1))]
    assert outcome(sock.sendmsg, [message], ancillary, 0, V6.name_of(V6.far)) == "EMSGSIZE"


def test_flow_information_of_one_packet(bed: Bed) -> None:
    assert sent_with(bed, V6, (IP6, linux.IPV6_FLOWINFO, struct.pack("!I", 0x54321))).flow_label == 0x54321


# IP_PKTINFO


def pktinfo(bed: Bed, interface: str = "", source: str = V4.any, header: str = V4.any) -> tuple[int, int, bytes]:
    index = NOWHERE if interface == "nowhere" else bed.index(interface) if interface else 0
    return IP, linux.IP_PKTINFO, struct.pack(linux.IN_PKTINFO_LAYOUT, index, V4.pack(source), V4.pack(header))


def test_pktinfo_chooses_the_device(bed: Bed) -> None:
    assert send_with(bed, V4, pktinfo(bed, "ps1"), destination=V4.distant) == "OK"
    assert bed.one_sent("ps1").source == V4.elsewhere


def test_pktinfo_chooses_the_device_even_against_the_bound_one(bed: Bed) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(SOCKET, linux.SO_BINDTODEVICE, b"ps0")
    sock.sendmsg([request(V4)], [pktinfo(bed, "ps1")], 0, (V4.distant, 0))
    assert len(bed.sent(1, "ps1")) == 1


def test_pktinfo_chooses_the_source(bed: Bed) -> None:
    assert sent_with(bed, V4, pktinfo(bed, source=V4.host_second)).source == V4.host_second


def test_pktinfo_chooses_the_source_even_against_bind(bed: Bed) -> None:
    sock = bed.bound(V4, V4.host)
    sock.sendmsg([request(V4)], [pktinfo(bed, source=V4.host_second)], 0, (V4.far, 0))
    assert bed.one_sent().source == V4.host_second


def test_the_header_address_in_pktinfo_is_ignored(bed: Bed) -> None:
    assert sent_with(bed, V4, pktinfo(bed, header=V4.host_second)).source == V4.host


def test_an_unknown_index_in_pktinfo_is_no_device(bed: Bed) -> None:
    assert send_with(bed, V4, pktinfo(bed, "nowhere")) == "ENODEV"


def test_a_foreign_source_in_pktinfo_finds_no_network(bed: Bed) -> None:
    assert send_with(bed, V4, pktinfo(bed, source=V4.distant)) == "ENETUNREACH"


def test_v6_pktinfo_chooses_the_device(bed: Bed) -> None:
    info = struct.pack(linux.IN6_PKTINFO_LAYOUT, bytes(16), bed.index("ps1"))
    assert send_with(bed, V6, (IP6, linux.IPV6_PKTINFO, info), destination=V6.far_elsewhere) == "OK"
    assert bed.one_sent("ps1").destination == V6.far_elsewhere


def v6_source(source: str, interface: int) -> tuple[int, int, bytes]:
    return IP6, linux.IPV6_PKTINFO, struct.pack(linux.IN6_PKTINFO_LAYOUT, V6.pack(source), interface)


@rows("source", {"own": LINK_LOCAL["ps0"], "foreign": "fe80::77", "group": "ff02::77"})
def test_a_link_local_source_in_v6_pktinfo_needs_a_device(bed: Bed, source: str) -> None:
    sock = bed.socket(V6)
    sock.setsockopt(IP6, linux.IPV6_FREEBIND, 1)
    assert outcome(sock.sendmsg, [request(V6)], [v6_source(source, 0)], 0, V6.name_of(V6.far)) == "EINVAL"


def test_the_device_of_a_link_local_source_in_v6_pktinfo_may_be_the_bound_one(bed: Bed) -> None:
    sock = bed.socket(V6)
    sock.setsockopt(SOCKET, linux.SO_BINDTODEVICE, b"ps0")
    own = v6_source(LINK_LOCAL["ps0"], 0)
    assert outcome(sock.sendmsg, [request(V6)], [own], 0, V6.name_of(V6.far)) == "OK"


# IP_RETOPTS


def test_retopts_are_the_options_of_one_packet(bed: Bed) -> None:
    assert sent_with(bed, V4, (IP, linux.IP_RETOPTS, b"\x01" * 4)).options == b"\x01" * 4


def test_more_than_40_bytes_of_retopts_are_cut(bed: Bed) -> None:
    assert sent_with(bed, V4, (IP, linux.IP_RETOPTS, b"\x01" * 50)).options == b"\x01" * 40


def test_retopts_come_instead_of_the_options_of_the_socket(bed: Bed) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(IP, linux.IP_OPTIONS, b"\x94\x04\0\0")
    sock.sendmsg([request(V4)], [(IP, linux.IP_RETOPTS, b"\x01" * 4)], 0, (V4.far, 0))
    assert bed.one_sent().options == b"\x01" * 4


# Several items, and who may


def test_several_items_count_together(bed: Bed) -> None:
    seen = sent_with(
        bed, V4, (IP, linux.IP_TTL, integer(5)), (IP, linux.IP_TOS, integer(8)), pktinfo(bed, source=V4.host_second)
    )
    assert (seen.ttl, seen.tos, seen.source) == (5, 8, V4.host_second)


@both_families
def test_one_bad_item_refuses_the_send(bed: Bed, ip: Family) -> None:
    hops = (IP, linux.IP_TTL) if ip is V4 else (IP6, linux.IPV6_HOPLIMIT)
    assert send_with(bed, ip, (*hops, integer(5)), (ip.level, 199, b"")) == "EINVAL"
    assert bed.nothing_sent()


def test_too_much_ancillary_data_finds_no_buffer(bed: Bed) -> None:
    assert send_with(bed, V4, (IP, linux.IP_TTL, bytes(200_000))) == "ENOBUFS"


def source_route() -> tuple[int, int, bytes]:
    return IP, linux.IP_RETOPTS, b"\x83\x07\x04" + V4.pack(V4.far) + b"\0"


UNPRIVILEGED: dict[str, tuple[Family, tuple[int, int, bytes], str]] = {
    "v4 mark": (V4, (SOCKET, linux.SO_MARK, integer(1)), "EPERM"),
    "v6 mark": (V6, (SOCKET, linux.SO_MARK, integer(1)), "EPERM"),
    "v4 TTL": (V4, (IP, linux.IP_TTL, integer(1)), "OK"),
    "v6 hop limit": (V6, (IP6, linux.IPV6_HOPLIMIT, integer(1)), "OK"),
    "v4 options": (V4, (IP, linux.IP_RETOPTS, b"\x01" * 4), "OK"),
    "v4 priority": (V4, (SOCKET, linux.SO_PRIORITY, integer(6)), "OK"),
    "v4 high priority": (V4, (SOCKET, linux.SO_PRIORITY, integer(7)), "EPERM"),
    "v4 source route": (V4, source_route(), "EPERM"),
}


@rows("ip,item,result", UNPRIVILEGED)
def test_an_ordinary_user_sends_with(bed: Bed, ip: Family, item: tuple[int, int, bytes], result: str) -> None:
    def send(opened: Callable[[Family], Subject]) -> str:
        return outcome(opened(ip).sendmsg, [request(ip)], [item], 0, ip.name_of(ip.far))

    assert bed.unprivileged(send) == result
