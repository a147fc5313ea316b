"""Section 4: sending, for both families where they agree and for IPv4 alone."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from bed.bed import V4, V6, Bed, outcome, request
from bed.families import SUBNET_BROADCAST, family_of
from bed.packets import sum_message
from pingsock.wire import linux
from sockets.rules import both_families, each, rows
from sockets.test_bind import ident

if TYPE_CHECKING:
    from collections.abc import Callable

    from bed.families import Family
    from bed.subject import Subject


def set_mtu_discover(sock: Subject, mode: int) -> None:
    ip = family_of(sock.family)
    sock.setsockopt(ip.level, ip.mtu_discover, mode)


# 4.1 Order of checks


@dataclass
class Call:
    """A sendmsg in the making."""

    bed: Bed
    ip: Family
    sock: Subject
    type: int
    size: int = 16
    flags: int = 0
    sockaddr: bytes | None = None
    ancillary: list[tuple[int, int, bytes]] = field(default_factory=list)

    def make(self) -> int:
        data = bytes([self.type]) + bytes(max(self.size - 1, 0))
        return self.sock.sendmsg_sockaddr([data[: self.size]], self.ancillary, self.flags, self.sockaddr)


def too_long(call: Call) -> None:
    call.size = 65536


def too_short(call: Call) -> None:
    call.size = 7


def out_of_band(call: Call) -> None:
    call.flags |= linux.MSG_OOB


def wrong_type(call: Call) -> None:
    call.type = call.ip.reply


def short_sockaddr(call: Call) -> None:
    call.sockaddr = call.ip.sockaddr(call.ip.far)[:15]


def wrong_family(call: Call) -> None:
    call.sockaddr = call.ip.sockaddr(call.ip.far, family=linux.AF_UNSPEC)


def no_address(call: Call) -> None:
    call.sockaddr = None


def bad_ancillary(call: Call) -> None:
    call.ancillary = [(call.ip.level, 99, bytes(4))]


def no_route(call: Call) -> None:
    call.sockaddr = call.ip.sockaddr(call.ip.unrouted)


def too_big(call: Call) -> None:
    set_mtu_discover(call.sock, linux.IP_PMTUDISC_DO)
    call.size = max(call.size, 1600) if call.size >= 16 else call.size


def pending_error(call: Call) -> None:
    call.bed.set_recverr(call.sock)
    call.bed.hard_error(call.sock)
    call.bed.settle()


def shut(call: Call) -> None:
    assert outcome(call.sock.shutdown, linux.SHUT_WR) == "ENOTCONN"


CHECKS: list[tuple[Callable[[Call], None], str]] = [
    (too_long, "EMSGSIZE"),
    (too_short, "EINVAL"),
    (out_of_band, "EOPNOTSUPP"),
    (wrong_type, "EINVAL"),
    (short_sockaddr, "EINVAL"),
    (wrong_family, "EAFNOSUPPORT"),
    (no_address, "EDESTADDRREQ"),
    (bad_ancillary, "EINVAL"),
    (no_route, "ENETUNREACH"),
    (too_big, "EMSGSIZE"),
    (pending_error, "ECONNREFUSED"),
    (shut, "EPIPE"),
]
"""In the order in which they are made."""
SAME_PLACE: dict[Callable[[Call], None], int] = {
    too_long: 1,
    too_short: 1,
    short_sockaddr: 2,
    wrong_family: 2,
    no_address: 2,
    no_route: 2,
}
"""Faults that cannot be combined: a message has one length, a call one address."""
PAIRS = {
    f"{first.__name__} before {second.__name__}": (first, second, result)
    for at, (first, result) in enumerate(CHECKS)
    for second, _ in CHECKS[at + 1 :]
    if not (first in SAME_PLACE and SAME_PLACE[first] == SAME_PLACE.get(second))
    and (first, second) != (too_long, too_big)
}


def _call(bed: Bed, ip: Family) -> Call:
    return Call(bed, ip, bed.bound(ip), ip.request, sockaddr=ip.sockaddr(ip.far))


@both_families
@pytest.mark.parametrize(("fault", "result"), CHECKS, ids=[fault.__name__ for fault, _ in CHECKS])
def test_send_refuses(bed: Bed, ip: Family, fault: Callable[[Call], None], result: str) -> None:
    call = _call(bed, ip)
    fault(call)
    assert outcome(call.make) == result
    assert bed.nothing_sent()


@both_families
@rows("first,second,result", PAIRS)
def test_send_checks(
    bed: Bed, ip: Family, first: Callable[[Call], None], second: Callable[[Call], None], result: str
) -> None:
    call = _call(bed, ip)
    second(call)
    first(call)
    assert outcome(call.make) == result
    assert bed.nothing_sent()


@both_families
@each(
    "fault", [too_long, too_short, out_of_band, wrong_type, wrong_family, no_address, bad_ancillary, no_route, too_big]
)
def test_a_failed_send_leaves_an_ident_behind(bed: Bed, ip: Family, fault: Callable[[Call], None]) -> None:
    call = Call(bed, ip, bed.socket(ip), ip.request, sockaddr=ip.sockaddr(ip.far))
    fault(call)
    assert outcome(call.make) != "OK"
    assert ident(call.sock) != 0


@both_families
@each(
    "fault", [too_long, too_short, out_of_band, wrong_type, wrong_family, no_address, bad_ancillary, no_route, too_big]
)
def test_a_refused_send_leaves_the_pending_error(bed: Bed, ip: Family, fault: Callable[[Call], None]) -> None:
    call = _call(bed, ip)
    pending_error(call)
    fault(call)
    assert outcome(call.make) != "ECONNREFUSED"
    assert bed.pending_error(call.sock) != 0


@both_families
def test_the_pending_error_is_returned_once_and_nothing_sent(bed: Bed, ip: Family) -> None:
    call = _call(bed, ip)
    pending_error(call)
    assert outcome(call.make) == "ECONNREFUSED"
    assert bed.nothing_sent()
    assert outcome(call.make) == "OK"
    assert bed.one_sent().destination == ip.far


ROUTES = {
    "no route": ("unrouted", "ENETUNREACH"),
    "unreachable": ("unreachable", "EHOSTUNREACH"),
    "prohibit": ("prohibited", "EACCES"),
    "blackhole": ("blackholed", "EINVAL"),
}


@both_families
@rows("destination,result", ROUTES)
def test_send_gives_the_errno_of_the_route(bed: Bed, ip: Family, destination: str, result: str) -> None:
    sock = bed.bound(ip, recverr=True)
    assert outcome(sock.sendto, request(ip), ip.name_of(getattr(ip, destination))) == result
    assert bed.queue_empty(sock)
    assert bed.pending_error(sock) == 0


@both_families
@each("size", [0, 1, 7])
def test_a_message_below_8_bytes_is_invalid(bed: Bed, ip: Family, size: int) -> None:
    assert outcome(bed.socket(ip).sendto, request(ip)[:size], ip.name_of(ip.far)) == "EINVAL"


@both_families
def test_an_empty_list_of_buffers_is_invalid(bed: Bed, ip: Family) -> None:
    assert outcome(bed.socket(ip).sendmsg, [], [], 0, ip.name_of(ip.far)) == "EINVAL"


SEND_SOCKADDRS = {
    "v4 longer": (V4, V4.sockaddr(V4.far) + bytes(12), "OK"),
    "v4 15 bytes": (V4, V4.sockaddr(V4.far)[:15], "EINVAL"),
    "v4 2 bytes": (V4, V4.sockaddr(V4.far)[:2], "EINVAL"),
    "v4 as AF_UNSPEC": (V4, V4.sockaddr(V4.far, family=linux.AF_UNSPEC), "EAFNOSUPPORT"),
    "v4 as AF_INET6": (V4, V4.sockaddr(V4.far, family=linux.AF_INET6), "EAFNOSUPPORT"),
    "v4 a sockaddr_in6": (V4, V6.sockaddr(V6.far), "EAFNOSUPPORT"),
    "v6 longer": (V6, V6.sockaddr(V6.far) + bytes(12), "OK"),
    "v6 27 bytes": (V6, V6.sockaddr(V6.far)[:27], "EINVAL"),
    "v6 24 bytes": (V6, V6.sockaddr(V6.far)[:24], "EINVAL"),
    "v6 2 bytes": (V6, V6.sockaddr(V6.far)[:2], "EINVAL"),
    "v6 as AF_UNSPEC": (V6, V6.sockaddr(V6.far, family=linux.AF_UNSPEC), "EAFNOSUPPORT"),
    "v6 as AF_INET": (V6, V6.sockaddr(V6.far, family=linux.AF_INET), "EAFNOSUPPORT"),
    "v6 a sockaddr_in": (V6, V4.sockaddr(V4.far), "EINVAL"),
}


@rows("ip,sockaddr,result", SEND_SOCKADDRS)
def test_send_sockaddr(bed: Bed, ip: Family, sockaddr: bytes, result: str) -> None:
    assert outcome(bed.socket(ip).sendmsg_sockaddr, [request(ip)], [], 0, sockaddr) == result


@both_families
@each("payload_size", [0, 1, 2, 3, 56, 1001])
def test_send_returns_the_length_given(bed: Bed, ip: Family, payload_size: int) -> None:
    message = request(ip, bytes(payload_size))
    assert bed.socket(ip).sendto(message, ip.name_of(ip.far)) == len(message)


@both_families
def test_a_message_in_pieces_of_one_byte_is_put_together(bed: Bed, ip: Family) -> None:
    message = request(ip, b"scattered")
    pieces = [bytes([byte]) for byte in message]
    assert bed.socket(ip).sendmsg(pieces, [], 0, ip.name_of(ip.far)) == len(message)
    assert bed.one_sent().payload == b"scattered"


# 4.2 Types


@both_families
@each("type_", range(256))
def test_send_type(bed: Bed, ip: Family, type_: int) -> None:
    permitted = type_ in {ip.request, ip.extended_request}
    sock = bed.socket(ip)
    assert outcome(sock.sendto, request(ip, type_=type_), ip.name_of(ip.far)) == ("OK" if permitted else "EINVAL")
    assert [seen.type for seen in bed.sent(int(permitted))] == [type_] * permitted


@both_families
@each("extended", [False, True])
def test_only_code_0_may_be_sent(bed: Bed, ip: Family, extended: bool) -> None:
    sock, type_ = bed.socket(ip), ip.extended_request if extended else ip.request
    results = [outcome(sock.sendto, request(ip, type_=type_, code=code), ip.name_of(ip.far)) for code in range(256)]
    assert results == ["OK"] + ["EINVAL"] * 255


# 4.3 What is rewritten


@both_families
@each("given", [0, 0xFFFF, 0x1234])
def test_the_checksum_is_recomputed(bed: Bed, ip: Family, given: int) -> None:
    message = request(ip, b"odd")
    message = message[:2] + given.to_bytes(2, "big") + message[4:]
    bed.socket(ip).sendto(message, ip.name_of(ip.far))
    assert bed.one_sent().checksum_right


@both_families
@each("given", [0, 1, 0xFFFF])
def test_the_id_is_replaced_by_the_ident(bed: Bed, ip: Family, given: int) -> None:
    sock = bed.bound(ip)
    message = request(ip)
    sock.sendto(message[:4] + given.to_bytes(2, "big") + message[6:], ip.name_of(ip.far))
    assert bed.one_sent().ident == ident(sock)


@both_families
@each("sequence", [0, 1, 255, 256, 65535])
def test_the_sequence_is_sent_as_given(bed: Bed, ip: Family, sequence: int) -> None:
    bed.socket(ip).sendto(request(ip, sequence=sequence), ip.name_of(ip.far))
    assert bed.one_sent().sequence == sequence


@both_families
@each("size", [0, 1, 7, 8, 55, 56, 1000])
def test_the_payload_is_sent_as_given(bed: Bed, ip: Family, size: int) -> None:
    payload = bytes(i * 7 % 256 for i in range(size))
    bed.socket(ip).sendto(request(ip, payload), ip.name_of(ip.far))
    seen = bed.one_sent()
    assert (seen.payload, seen.checksum_right) == (payload, True)


@both_families
def test_an_extended_request_keeps_its_sequence_byte_and_local_bit(bed: Bed, ip: Family) -> None:
    message = request(ip, b"\x20\0\0\0", type_=ip.extended_request, sequence=0x7701)
    sock = bed.bound(ip)
    sock.sendto(message, ip.name_of(ip.far))
    seen = bed.one_sent()
    assert (seen.type, seen.ident, seen.sequence, seen.checksum_right) == (
        ip.extended_request,
        ident(sock),
        0x7701,
        True,
    )


@both_families
def test_no_request_is_remembered_and_none_held_back(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip)
    for _ in range(100):
        sock.sendto(request(ip), ip.name_of(ip.far))
    assert len(bed.sent(100)) == 100


@both_families
def test_so_no_check_does_not_keep_the_checksum_out(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_NO_CHECK, 1)
    sock.sendto(request(ip, b"x"), ip.name_of(ip.far))
    assert bed.one_sent().checksum_right


def test_a_plain_v4_packet_has_ttl_64_and_tos_0_and_df(bed: Bed) -> None:
    bed.socket(V4).sendto(request(V4), V4.name_of(V4.far))
    seen = bed.one_sent()
    assert (seen.ttl, seen.tos, seen.df, seen.options) == (64, 0, True, b"")


def test_a_plain_v6_packet_has_hop_limit_64_and_class_0_and_a_flow_label(bed: Bed) -> None:
    bed.socket(V6).sendto(request(V6), V6.name_of(V6.far))
    seen = bed.one_sent()
    assert (seen.ttl, seen.tos, seen.extensions) == (64, 0, ())
    assert seen.flow_label != 0


# 4.4 Size and fragments

SIZES_V4 = {
    "largest": (65515, 0, "OK"),
    "one more": (65516, 0, "EMSGSIZE"),
    "largest with 40 bytes of options": (65475, 40, "OK"),
    "one more with 40 bytes of options": (65476, 40, "EMSGSIZE"),
    "longest message": (65535, 0, "EMSGSIZE"),
    "longer than a message": (65536, 0, "EMSGSIZE"),
}


@rows("size,options,result", SIZES_V4)
@each("destination", ["far", "loopback"])
def test_size_of_v4_message(bed: Bed, destination: str, size: int, options: int, result: str) -> None:
    sock = bed.socket(V4)
    if options:
        sock.setsockopt(linux.SOL_IP, linux.IP_OPTIONS, b"\x01" * options)
    assert outcome(sock.sendto, request(V4, bytes(size - 8)), (getattr(V4, destination), 0)) == result


QUEUED_SIZES = {"65516": (65516, True), "65535": (65535, True), "65536": (65536, False)}


@rows("size,queued", QUEUED_SIZES)
def test_a_message_too_long_for_ip_is_queued_as_a_local_error_but_not_one_longer_than_any(
    bed: Bed, size: int, queued: bool
) -> None:
    sock = bed.bound(V4, recverr=True)
    assert outcome(sock.sendto, request(V4, bytes(size - 8)), (V4.far, 0)) == "EMSGSIZE"
    assert bed.queue_empty(sock) != queued


@both_families
def test_a_packet_above_the_mtu_is_fragmented(bed: Bed, ip: Family) -> None:
    payload = bytes(range(256)) * 16
    sock = bed.socket(ip)
    sock.sendto(request(ip, payload), ip.name_of(ip.far))
    pieces = bed.sent(3)
    assert all(piece.fragment and len(piece.raw) <= 1500 and not piece.df for piece in pieces)
    assert [piece.more for piece in pieces] == [True, True, False]
    whole = b"".join(piece.message for piece in sorted(pieces, key=lambda piece: piece.offset))
    assert whole[8:] == payload
    assert sum_message(ip, pieces[0].source, pieces[0].destination, whole) == whole


@both_families
@rows("extra,pieces", {"just the MTU": (0, 1), "one byte more": (1, 2)})
def test_only_a_packet_above_the_mtu_is_fragmented(bed: Bed, ip: Family, extra: int, pieces: int) -> None:
    bed.socket(ip).sendto(request(ip, bytes(1500 - ip.header - 8 + extra)), ip.name_of(ip.far))
    assert [seen.fragment for seen in bed.sent(pieces)] == [pieces > 1] * pieces


# 4.5 Destinations and flags


@both_families
def test_the_port_of_the_destination_is_ignored(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    sock.sendto(request(ip), ip.name_of(ip.far, 4711))
    assert bed.one_sent().ident == ident(sock)


ANSWERED_BY_OURSELVES = {
    "v4 to 0.0.0.0": (V4, None, V4.any, "127.0.0.1"),
    "v4 to 0.0.0.0, bound": (V4, V4.host, V4.any, V4.host),
    "v4 own address": (V4, None, V4.host, V4.host),
    "v4 own address of the other interface": (V4, None, V4.elsewhere, V4.elsewhere),
    "v4 loopback": (V4, None, "127.0.0.1", "127.0.0.1"),
    "v4 any of the loopback net": (V4, None, "127.3.2.1", "127.3.2.1"),
    "v6 own address": (V6, None, V6.host, V6.host),
    "v6 loopback": (V6, None, "::1", "::1"),
}


@rows("ip,source,destination,answerer", ANSWERED_BY_OURSELVES)
def test_we_answer_ourselves(bed: Bed, ip: Family, source: str | None, destination: str, answerer: str) -> None:
    sock = bed.bound(ip, source)
    sock.sendto(request(ip, b"to myself"), ip.name_of(destination))
    answer = bed.take(sock)
    assert (answer.name[0], answer.data[0], answer.data[8:]) == (answerer, ip.reply, b"to myself")


@both_families
def test_our_own_request_is_never_received(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    sock.sendto(request(ip), ip.name_of(ip.loopback))
    assert bed.take(sock).data[0] == ip.reply
    assert bed.nothing_arrived(sock)


@each("address", [SUBNET_BROADCAST, "255.255.255.255"])
def test_broadcast_needs_permission(bed: Bed, address: str) -> None:
    sock = bed.socket(V4)
    assert outcome(sock.sendto, request(V4), (address, 0)) == "EACCES"
    assert bed.nothing_sent()


@each("address", [SUBNET_BROADCAST, "255.255.255.255"])
def test_broadcast_is_sent_with_the_ttl_of_unicast(bed: Bed, address: str) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BROADCAST, 1)
    sock.sendto(request(V4), (address, 0))
    seen = bed.one_sent()
    assert (seen.destination, seen.ttl) == (address, 64)


def test_the_route_is_looked_up_before_the_permission_to_broadcast(bed: Bed) -> None:
    sock = bed.bound(V4, "127.0.0.1")
    assert outcome(sock.sendto, request(V4), (SUBNET_BROADCAST, 0)) == "EINVAL"


@both_families
def test_multicast_needs_no_permission_and_goes_one_hop(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(ip.level, ip.hop_limit, 33)
    sock.sendto(request(ip), ip.name_of(ip.group))
    seen = bed.one_sent()
    assert (seen.destination, seen.ttl, seen.source) == (ip.group, 1, ip.host)


MULTICAST_HOPS = {"v4": (V4, linux.IP_MULTICAST_TTL), "v6": (V6, linux.IPV6_MULTICAST_HOPS)}


@rows("ip,option", MULTICAST_HOPS)
@each("hops", [2, 64, 255])
def test_multicast_hops_are_an_option_of_their_own(bed: Bed, ip: Family, option: int, hops: int) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(ip.level, option, hops)
    sock.sendto(request(ip), ip.name_of(ip.group))
    assert bed.one_sent().ttl == hops


def test_multicast_v4_leaves_by_the_chosen_address(bed: Bed) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(linux.SOL_IP, linux.IP_MULTICAST_IF, V4.pack(V4.elsewhere))
    sock.sendto(request(V4), (V4.group, 0))
    assert bed.one_sent("ps1").source == V4.elsewhere


@rows("source,expected", {"its own": (V4.any, V4.elsewhere), "a chosen one": (V4.host, V4.host)})
def test_multicast_v4_leaves_by_the_chosen_index(bed: Bed, source: str, expected: str) -> None:
    sock = bed.socket(V4)
    choice = struct.pack(linux.IP_MREQN_LAYOUT, bytes(4), V4.pack(source), bed.index("ps1"))
    sock.setsockopt(linux.SOL_IP, linux.IP_MULTICAST_IF, choice)
    sock.sendto(request(V4), (V4.group, 0))
    assert bed.one_sent("ps1").source == expected


def test_multicast_v4_keeps_the_bound_source(bed: Bed) -> None:
    sock = bed.bound(V4, V4.host)
    sock.setsockopt(linux.SOL_IP, linux.IP_MULTICAST_IF, V4.pack(V4.elsewhere))
    sock.sendto(request(V4), (V4.group, 0))
    assert bed.one_sent("ps1").source == V4.host


@each("loop", [1, 0])
def test_our_own_host_answers_its_group_unless_loop_is_off(bed: Bed, loop: int) -> None:
    sock, member = bed.bound(V4), bed.socket(V4)
    member.setsockopt(linux.SOL_IP, linux.IP_ADD_MEMBERSHIP, V4.pack(V4.group) + V4.pack(V4.host))
    sock.setsockopt(linux.SOL_IP, linux.IP_MULTICAST_LOOP, loop)
    with bed.sysctl("ipv4.icmp_echo_ignore_broadcasts", 0):
        sock.sendto(request(V4), (V4.group, 0))
        assert bed.arrived(sock) == bool(loop)


def test_our_own_host_keeps_silent_to_groups_by_default(bed: Bed) -> None:
    sock, member = bed.bound(V4), bed.socket(V4)
    member.setsockopt(linux.SOL_IP, linux.IP_ADD_MEMBERSHIP, V4.pack(V4.group) + V4.pack(V4.host))
    sock.sendto(request(V4), (V4.group, 0))
    assert bed.nothing_arrived(sock)


@both_families
@rows(
    "destination,interface",
    {"far": ("far", "ps0"), "far_elsewhere": ("far_elsewhere", "ps1"), "distant": ("distant", "ps0")},
)
def test_the_source_is_chosen_by_the_route(bed: Bed, ip: Family, destination: str, interface: str) -> None:
    bed.socket(ip).sendto(request(ip), ip.name_of(getattr(ip, destination)))
    assert bed.one_sent(interface).source == (ip.host if interface == "ps0" else ip.elsewhere)


@both_families
@each("address", ["host", "host_second", "elsewhere"])
def test_the_source_is_the_bound_address(bed: Bed, ip: Family, address: str) -> None:
    bed.bound(ip, getattr(ip, address)).sendto(request(ip), ip.name_of(ip.far))
    assert bed.one_sent().source == getattr(ip, address)


def test_bound_to_a_loopback_address_nobody_else_can_be_reached(bed: Bed) -> None:
    assert outcome(bed.bound(V4, "127.0.0.1").sendto, request(V4), (V4.far, 0)) == "EINVAL"


def test_freely_bound_to_a_foreign_address_send_finds_no_network(bed: Bed) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(linux.SOL_IP, linux.IP_FREEBIND, 1)
    sock.bind((V4.distant, 0))
    assert outcome(sock.sendto, request(V4), (V4.far, 0)) == "ENETUNREACH"


def test_transparently_bound_to_a_foreign_address_send_uses_it(bed: Bed) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(linux.SOL_IP, linux.IP_TRANSPARENT, 1)
    sock.bind((V4.distant, 0))
    sock.sendto(request(V4), (V4.far, 0))
    assert bed.one_sent().source == V4.distant


DONT_ROUTE = {
    "on link": (V4.far, "OK"),
    "behind the router": (V4.distant, "ENETUNREACH"),
    "on link elsewhere": (V4.far_elsewhere, "OK"),
}


@rows("destination,result", DONT_ROUTE)
@each("way", ["flag", "option"])
def test_dontroute_reaches_the_link_only(bed: Bed, way: str, destination: str, result: str) -> None:
    sock = bed.socket(V4)
    if way == "option":
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_DONTROUTE, 1)
    flags = linux.MSG_DONTROUTE if way == "flag" else 0
    assert outcome(sock.sendto, request(V4), flags, (destination, 0)) == result


def test_a_probe_returns_the_length_and_sends_nothing(bed: Bed) -> None:
    sock = bed.socket(V4)
    assert sock.sendto(request(V4, bytes(92)), linux.MSG_PROBE, (V4.far, 0)) == 100
    assert bed.nothing_sent()


@each("fault", [too_big, pending_error, shut])
def test_a_probe_ignores_the_later_checks(bed: Bed, fault: Callable[[Call], None]) -> None:
    call = _call(bed, V4)
    fault(call)
    call.flags = linux.MSG_PROBE
    assert outcome(call.make) == "OK"
    assert bed.nothing_sent()


@each("fault", [too_short, out_of_band, wrong_type, wrong_family, bad_ancillary, no_route])
def test_a_probe_makes_the_earlier_checks(bed: Bed, fault: Callable[[Call], None]) -> None:
    call = _call(bed, V4)
    call.flags = linux.MSG_PROBE
    fault(call)
    assert outcome(call.make) != "OK"


IGNORED_FLAGS = {
    "MSG_MORE": linux.MSG_MORE,
    "MSG_CONFIRM": linux.MSG_CONFIRM,
    "MSG_EOR": linux.MSG_EOR,
    "MSG_NOSIGNAL": linux.MSG_NOSIGNAL,
    "MSG_PEEK": linux.MSG_PEEK,
    "MSG_TRUNC": linux.MSG_TRUNC,
    "MSG_CTRUNC": linux.MSG_CTRUNC,
    "MSG_WAITALL": linux.MSG_WAITALL,
    "MSG_ERRQUEUE": linux.MSG_ERRQUEUE,
    "MSG_FASTOPEN": linux.MSG_FASTOPEN,
    "MSG_ZEROCOPY": linux.MSG_ZEROCOPY,
    "MSG_DONTWAIT": linux.MSG_DONTWAIT,
    "an unknown bit": 0x100000,
}


@both_families
@rows("flag", IGNORED_FLAGS)
def test_send_ignores_flag(bed: Bed, ip: Family, flag: int) -> None:
    bed.socket(ip).sendto(request(ip, b"flagged"), flag, ip.name_of(ip.far))
    assert bed.one_sent().payload == b"flagged"


EXTENDED_TO_OURSELVES = {
    "by default": (0, 1, None),
    "enabled": (1, 1, 0),
    "enabled, remote bit": (1, 0, None),
}


@rows("enabled,local,code", EXTENDED_TO_OURSELVES)
def test_an_extended_echo_to_ourselves(bed: Bed, enabled: int, local: int, code: int | None) -> None:
    sock = bed.bound(V4)
    by_name = b"\x20\0\0\0" + struct.pack("!HBB", 8, 3, 1) + b"ps0\0"
    with bed.sysctl("ipv4.icmp_echo_enable_probe", enabled):
        sock.sendto(request(V4, by_name, type_=V4.extended_request, sequence=local), (V4.host, 0))
        if code is None:
            assert bed.nothing_arrived(sock)
        else:
            assert bed.take(sock).data[:2] == bytes([V4.extended_reply, code])


@both_families
@each("call", ["send", "sendall"])
def test_send_without_address_goes_to_the_peer(bed: Bed, ip: Family, call: str) -> None:
    getattr(bed.connected(ip), call)(request(ip, b"peer"))
    seen = bed.one_sent()
    assert (seen.destination, seen.payload) == (ip.far, b"peer")


# Options of the socket that shape the packet


@both_families
@each("value", [1, 2, 64, 255])
def test_the_hop_limit_option_is_sent(bed: Bed, ip: Family, value: int) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(ip.level, ip.hop_limit, value)
    sock.sendto(request(ip), ip.name_of(ip.far))
    assert bed.one_sent().ttl == value


@rows("ip,option", {"v4": (V4, linux.IP_TOS), "v6": (V6, linux.IPV6_TCLASS)})
@each("value", [0x00, 0x08, 0xB8, 0xFC])
def test_the_traffic_class_option_is_sent(bed: Bed, ip: Family, option: int, value: int) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(ip.level, option, value)
    sock.sendto(request(ip), ip.name_of(ip.far))
    assert bed.one_sent().tos == value


@rows("ip,option", {"v4": (V4, linux.IP_TOS), "v6": (V6, linux.IPV6_TCLASS)})
@each("value", [1, 2, 3])
def test_ecn_bits_are_sent(bed: Bed, ip: Family, option: int, value: int) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(ip.level, option, value)
    sock.sendto(request(ip), ip.name_of(ip.far))
    assert bed.one_sent().tos == value


@both_families
def test_the_bound_device_is_forced(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, b"ps1")
    if ip is V4:
        sock.sendto(request(ip), ip.name_of(ip.distant))
        assert bed.one_sent("ps1").source == ip.elsewhere
    else:
        assert outcome(sock.sendto, request(ip), ip.name_of(ip.distant)) == "ENETUNREACH"


def test_the_bound_device_is_forced_even_for_127_0_0_1(bed: Bed) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, b"ps1")
    sock.sendto(request(V4), ("127.0.0.1", 0))
    seen = bed.one_sent("ps1")
    assert (seen.source, seen.destination) == (V4.elsewhere, "127.0.0.1")


def test_unicast_if_chooses_the_device_of_unbound_sends(bed: Bed) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(linux.SOL_IP, linux.IP_UNICAST_IF, struct.pack("!I", bed.index("ps1")))
    sock.sendto(request(V4), (V4.distant, 0))
    assert bed.one_sent("ps1").source == V4.elsewhere


# 4.7 IP options


def with_options(bed: Bed, options: bytes) -> Subject:
    sock = bed.socket(V4)
    sock.setsockopt(linux.SOL_IP, linux.IP_OPTIONS, options)
    return sock


def options_sent(bed: Bed, options: bytes, destination: str = V4.far) -> bytes:
    with_options(bed, options).sendto(request(V4), (destination, 0))
    return bed.one_sent().options


PLAIN_OPTIONS = {
    "one no-operation": (b"\x01", b"\x01\0\0\0"),
    "four no-operations": (b"\x01" * 4, b"\x01" * 4),
    "five no-operations": (b"\x01" * 5, b"\x01" * 5 + bytes(3)),
    "end of list": (bytes(4), bytes(4)),
    "forty no-operations": (b"\x01" * 40, b"\x01" * 40),
    "router alert": (b"\x94\x04\0\0", b"\x94\x04\0\0"),
    "an unknown type": (b"\x9e\x04ab", b"\x9e\x04ab"),
    "an unknown type, odd": (b"\x9e\x05abc", b"\x9e\x05abc\0\0\0"),
}


@rows("given,padded", PLAIN_OPTIONS)
def test_ip_options_are_padded_sent_and_shown(bed: Bed, given: bytes, padded: bytes) -> None:
    sock = with_options(bed, given)
    assert sock.getsockopt(linux.SOL_IP, linux.IP_OPTIONS, 64) == padded
    sock.sendto(request(V4), (V4.far, 0))
    assert bed.one_sent().options == padded


def test_empty_ip_options_remove_them(bed: Bed) -> None:
    sock = with_options(bed, b"\x01" * 4)
    sock.setsockopt(linux.SOL_IP, linux.IP_OPTIONS, b"")
    assert sock.getsockopt(linux.SOL_IP, linux.IP_OPTIONS, 64) == b""
    sock.sendto(request(V4), (V4.far, 0))
    assert bed.one_sent().options == b""


def test_record_route_carries_our_own_address_first(bed: Bed) -> None:
    sent = options_sent(bed, b"\x07\x0b\x04" + bytes(8) + b"\0")
    assert sent == b"\x07\x0b\x08" + V4.pack(V4.host) + bytes(4) + b"\0"


def test_record_route_is_shown_as_set(bed: Bed) -> None:
    given = b"\x07\x0b\x04" + bytes(8) + b"\0"
    assert with_options(bed, given).getsockopt(linux.SOL_IP, linux.IP_OPTIONS, 64) == given


def test_the_timestamp_option_carries_our_own_time(bed: Bed) -> None:
    sent = options_sent(bed, b"\x44\x0c\x05\x00" + bytes(8))
    assert sent[:4] == b"\x44\x0c\x09\x00"
    assert 0 <= int.from_bytes(sent[4:8], "big") < 86_400_000
    assert sent[8:] == bytes(4)


def test_the_timestamp_option_carries_our_own_address_and_time(bed: Bed) -> None:
    sent = options_sent(bed, b"\x44\x14\x05\x01" + bytes(16))
    assert sent[:8] == b"\x44\x14\x0d\x01" + V4.pack(V4.host)
    assert int.from_bytes(sent[8:12], "big") < 86_400_000


@rows("type_,name", {"loose": (0x83, "lsrr"), "strict": (0x89, "ssrr")})
def test_a_source_route_goes_to_its_first_hop(bed: Bed, type_: int, name: str) -> None:
    sock = with_options(bed, bytes([type_, 7, 4]) + V4.pack(V4.far) + b"\0")
    sock.sendto(request(V4), (V4.distant, 0))
    seen = bed.one_sent()
    assert seen.destination == V4.far
    assert seen.options == bytes([type_, 7, 4]) + V4.pack(V4.distant) + b"\0"


def test_a_strict_source_route_whose_first_hop_is_not_on_link_finds_no_network(bed: Bed) -> None:
    sock = with_options(bed, b"\x89\x07\x04" + V4.pack("198.51.100.1") + b"\0")
    assert outcome(sock.sendto, request(V4), (V4.distant, 0)) == "ENETUNREACH"


def test_a_source_route_to_0_0_0_0_is_invalid(bed: Bed) -> None:
    sock = with_options(bed, b"\x83\x07\x04" + V4.pack(V4.far) + b"\0")
    assert outcome(sock.sendto, request(V4), (V4.any, 0)) == "EINVAL"


BAD_OPTIONS = {
    "41 bytes": b"\x01" * 41,
    "length 0": b"\x9e\x00ab",
    "length 1": b"\x9e\x01ab",
    "cut off": b"\x9e\x08ab",
    "no length byte": b"\x01\x01\x01\x9e",
    "record route shorter than its header": b"\x07\x02\x04\x00",
    "record route with pointer 3": b"\x07\x07\x03" + bytes(5),
    "timestamp with pointer 4": b"\x44\x08\x04\x00" + bytes(4),
    "source route shorter than its header": b"\x83\x02\x04\x00",
    "source route with pointer 3": b"\x83\x07\x03" + bytes(5),
    "two record routes": b"\x07\x07\x04" + bytes(4) + b"\x07\x07\x04" + bytes(4),
}


@rows("options", BAD_OPTIONS)
def test_malformed_ip_options_are_invalid(bed: Bed, options: bytes) -> None:
    assert outcome(bed.socket(V4).setsockopt, linux.SOL_IP, linux.IP_OPTIONS, options) == "EINVAL"


UNPRIVILEGED_OPTIONS = {
    "no-operation": (b"\x01" * 4, "OK"),
    "record route": (b"\x07\x07\x04" + bytes(5), "OK"),
    "timestamp": (b"\x44\x08\x05\x00" + bytes(4), "OK"),
    "loose source route": (b"\x83\x07\x04" + V4.pack(V4.far) + b"\0", "EPERM"),
    "strict source route": (b"\x89\x07\x04" + V4.pack(V4.far) + b"\0", "EPERM"),
}


@rows("options,result", UNPRIVILEGED_OPTIONS)
def test_an_ordinary_user_may_set_ip_options(bed: Bed, options: bytes, result: str) -> None:
    def set_options(opened: Callable[[Family], Subject]) -> str:
        return outcome(opened(V4).setsockopt, linux.SOL_IP, linux.IP_OPTIONS, options)

    assert bed.unprivileged(set_options) == result
