"""Sections 7.1 to 7.3: ICMP errors over IPv4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bed import packets
from bed.bed import V4, WRONG, Bed, outcome
from bed.families import SUBNET_BROADCAST
from pingsock.wire import linux
from sockets.error_rules import (
    NOT_REPORTED,
    Reported,
    check_with_recverr,
    check_without_recverr,
    pending,
    shows_nothing,
)
from sockets.rules import each, rows
from sockets.test_bind import ident
from sockets.test_path_mtu import fresh

if TYPE_CHECKING:
    from collections.abc import Callable

    from bed.subject import Subject

REST = 0x0A0900FD
"""What the 32 bits behind the checksum are in these tests: 10.9.0.253, or pointer 10, or MTU 253."""

UNREACHABLE = {
    0: Reported("ENETUNREACH", hard=False),
    1: Reported("EHOSTUNREACH", hard=False),
    2: Reported("ENOPROTOOPT", hard=True),
    3: Reported("ECONNREFUSED", hard=True),
    4: Reported("EMSGSIZE", hard=True, info=REST & 0xFFFF),
    5: Reported("EOPNOTSUPP", hard=False),
    6: Reported("ENETUNREACH", hard=True),
    7: Reported("EHOSTDOWN", hard=True),
    8: Reported("ENONET", hard=True),
    9: Reported("ENETUNREACH", hard=True),
    10: Reported("EHOSTUNREACH", hard=True),
    11: Reported("ENETUNREACH", hard=False),
    12: Reported("EHOSTUNREACH", hard=False),
    13: Reported("EHOSTUNREACH", hard=True),
    14: Reported("EHOSTUNREACH", hard=True),
    15: Reported("EHOSTUNREACH", hard=True),
    16: NOT_REPORTED,
    17: NOT_REPORTED,
    255: NOT_REPORTED,
}
OTHERS = {
    (4, 0): Reported("EREMOTEIO", hard=False),
    (4, 1): Reported("EREMOTEIO", hard=False),
    (4, 255): Reported("EREMOTEIO", hard=False),
    (5, 0): Reported("EREMOTEIO", hard=False, info=REST),
    (5, 1): Reported("EREMOTEIO", hard=False, info=REST),
    (5, 2): Reported("EREMOTEIO", hard=False, info=REST),
    (5, 3): Reported("EREMOTEIO", hard=False, info=REST),
    (5, 4): Reported("EREMOTEIO", hard=False, info=REST),
    (11, 0): Reported("EHOSTUNREACH", hard=False),
    (11, 1): NOT_REPORTED,
    (11, 2): Reported("EHOSTUNREACH", hard=False),
    (11, 255): Reported("EHOSTUNREACH", hard=False),
    (12, 0): Reported("EPROTO", hard=True, info=REST >> 24),
    (12, 1): Reported("EPROTO", hard=True, info=REST >> 24),
    (12, 255): Reported("EPROTO", hard=True, info=REST >> 24),
}
NO_ERRORS = {(type_, 0): NOT_REPORTED for type_ in range(256) if type_ not in {0, 3, 4, 5, 11, 12, 43}}
TABLE = {(3, code): reported for code, reported in UNREACHABLE.items()} | OTHERS | NO_ERRORS
ROWS = {f"{type_}/{code}": (type_, code, reported) for (type_, code), reported in TABLE.items()}


@rows("type_,code,reported", ROWS)
def test_v4_error_with_recverr(bed: Bed, type_: int, code: int, reported: Reported | None) -> None:
    sock = bed.bound(V4, recverr=True)
    check_with_recverr(bed, sock, type_, code, REST, reported)


@rows("type_,code,reported", ROWS)
def test_v4_error_on_a_connected_socket(bed: Bed, type_: int, code: int, reported: Reported | None) -> None:
    check_without_recverr(bed, bed.connected(V4), type_, code, reported)


REPORTED = {row: (type_, code) for row, (type_, code, reported) in ROWS.items() if reported}


@rows("type_,code", REPORTED)
def test_v4_error_on_an_unconnected_socket_without_recverr_shows_nothing(bed: Bed, type_: int, code: int) -> None:
    sock = bed.bound(V4)
    bed.error(sock, type_, code)
    assert shows_nothing(bed, sock)


# ee_info


@each("mtu", [0, 68, 576, 1400, 65535])
def test_frag_needed_names_the_mtu_as_received(bed: Bed, mtu: int) -> None:
    sock = bed.bound(V4, recverr=True)
    bed.error(sock, 3, 4, mtu)
    assert bed.take_error(sock).info == mtu


def test_the_unused_half_of_frag_needed_is_no_part_of_the_mtu(bed: Bed) -> None:
    sock = bed.bound(V4, recverr=True)
    bed.error(sock, 3, 4, 0xFFFF0000 | 1400)
    assert bed.take_error(sock).info == 1400


def test_a_redirect_names_the_gateway_as_a_number_in_host_order(bed: Bed) -> None:
    sock = bed.bound(V4, recverr=True)
    bed.error(sock, 5, 1, V4.pack("10.9.0.253"))
    assert bed.take_error(sock).info == 0x0A0900FD


@each("pointer", [0, 1, 20, 255])
def test_a_parameter_problem_names_its_pointer(bed: Bed, pointer: int) -> None:
    sock = bed.bound(V4, recverr=True)
    bed.error(sock, 12, 0, pointer << 24)
    assert bed.take_error(sock).info == pointer


# Frag needed and the modes of path MTU discovery

DISC_MODES = {
    "DONT": (0, False),
    "WANT": (1, True),
    "DO": (2, True),
    "PROBE": (3, True),
    "INTERFACE": (4, True),
    "OMIT": (5, True),
}


@rows("mode,reported", DISC_MODES)
def test_frag_needed_is_reported_in_mode(bed: Bed, mode: int, reported: bool) -> None:
    sock = bed.bound(V4, recverr=True)
    sock.setsockopt(linux.SOL_IP, linux.IP_MTU_DISCOVER, mode)
    bed.error(sock, 3, 4, 1400, quote=bed.quote(sock, destination=fresh(V4)))
    assert (not bed.queue_empty(sock)) == reported


@rows("mode,reported", DISC_MODES)
def test_frag_needed_without_recverr_is_a_hard_error_in_mode(bed: Bed, mode: int, reported: bool) -> None:
    sock = bed.connected(V4)
    sock.setsockopt(linux.SOL_IP, linux.IP_MTU_DISCOVER, mode)
    bed.error(sock, 3, 4, 1400, quote=bed.quote(sock, destination=fresh(V4)))
    assert pending(bed, sock) == ("EMSGSIZE" if reported else "OK")


NO_PMTU_DISC = {"0": (0, 1400), "1": (1, 0), "2": (2, None), "3": (3, None)}


@rows("setting,info", NO_PMTU_DISC)
def test_frag_needed_under_sysctl_no_pmtu_disc(bed: Bed, setting: int, info: int | None) -> None:
    sock = bed.bound(V4, recverr=True)
    with bed.sysctl("ipv4.ip_no_pmtu_disc", setting):
        bed.error(sock, 3, 4, 1400, quote=bed.quote(sock, destination=fresh(V4)))
        bed.settle()
    if info is None:
        assert shows_nothing(bed, sock)
    else:
        assert bed.take_error(sock).info == info


# 7.1 When an error counts as ours


def counts(bed: Bed, sock: Subject, **how: object) -> bool:
    bed.soft_error(sock, **how)
    return not bed.queue_empty(sock)


QUOTED_ICMP = {
    "echo request": (8, 0, True),
    "extended echo request": (42, 0, True),
    "echo request with code 1": (8, 1, False),
    "extended echo request with code 1": (42, 1, False),
    "echo reply": (0, 0, False),
    "extended echo reply": (43, 0, False),
    "timestamp request": (13, 0, False),
    "ICMPv6 echo request": (128, 0, False),
}


@rows("type_,code,ours", QUOTED_ICMP)
def test_quoted_v4_message(bed: Bed, type_: int, code: int, ours: bool) -> None:
    sock = bed.bound(V4, recverr=True)
    assert counts(bed, sock, quote=bed.quote(sock, type_=type_, code=code)) == ours


QUOTES: dict[str, tuple[Callable[[bytes], bytes], bool]] = {
    "with nothing behind the ICMP header": (lambda quote: quote[:28], True),
    "cut one byte before": (lambda quote: quote[:27], False),
    "cut within the IP header": (lambda quote: quote[:19], False),
    "only the IP header": (lambda quote: quote[:20], False),
    "empty": (lambda quote: b"", False),
    "of another protocol": (lambda quote: quote[:9] + b"\x11" + quote[10:], False),
    "of ICMPv6's protocol number": (lambda quote: quote[:9] + b"\x3a" + quote[10:], False),
    "with a foreign source": (lambda quote: quote[:12] + V4.pack(V4.distant) + quote[16:], True),
    "with the wrong version": (lambda quote: b"\x65" + quote[1:], True),
    "with a wrong length": (lambda quote: quote[:2] + b"\xff\xff" + quote[4:], True),
    "with a wrong header checksum": (lambda quote: quote[:10] + b"\xde\xad" + quote[12:], True),
    "with a wrong ICMP checksum": (lambda quote: quote[:22] + b"\xde\xad" + quote[24:], True),
    "of a later fragment": (lambda quote: quote[:6] + b"\x00\x64" + quote[8:], True),
    "with a changed payload": (lambda quote: quote[:28] + b"altered", True),
    "to another destination": (lambda quote: quote[:16] + V4.pack("203.0.113.9") + quote[20:], True),
    "to a broadcast address": (lambda quote: quote[:16] + V4.pack(SUBNET_BROADCAST) + quote[20:], True),
}


@rows("change,ours", QUOTES)
def test_v4_quote(bed: Bed, change: Callable[[bytes], bytes], ours: bool) -> None:
    sock = bed.bound(V4, recverr=True)
    assert counts(bed, sock, quote=change(bed.quote(sock))) == ours


def test_v4_quote_with_ip_options(bed: Bed) -> None:
    sock = bed.bound(V4, recverr=True)
    assert counts(bed, sock, quote=bed.quote(sock, options=b"\x01" * 8))


def test_v4_quote_with_ip_options_cut_within_the_icmp_header(bed: Bed) -> None:
    sock = bed.bound(V4, recverr=True)
    assert not counts(bed, sock, quote=bed.quote(sock, options=b"\x01" * 8)[:35])


def test_v4_quote_of_another_ident(bed: Bed) -> None:
    sock = bed.bound(V4, recverr=True)
    assert not counts(bed, sock, quote=bed.quote(sock, ident=WRONG))


def test_the_v4_error_of_a_wrong_checksum_is_dropped(bed: Bed) -> None:
    sock = bed.bound(V4, recverr=True)
    assert not counts(bed, sock, message_checksum=0x1234)


OUTER_SOURCES = {
    "a router": (V4.router, True),
    "the destination itself": (V4.distant, True),
    "somebody else": ("203.0.113.77", True),
    "a group": ("224.0.0.9", False),
    "loopback": ("127.0.0.1", False),
    "our own": (V4.host, False),
}


@rows("reporter,ours", OUTER_SOURCES)
def test_v4_error_from(bed: Bed, reporter: str, ours: bool) -> None:
    sock = bed.bound(V4, recverr=True)
    assert counts(bed, sock, reporter=reporter) == ours


OUTER_DESTINATIONS = {
    "the first address": (V4.host, True),
    "the second address": (V4.host_second, True),
    "the address elsewhere": (V4.elsewhere, True),
    "subnet broadcast": (SUBNET_BROADCAST, False),
    "limited broadcast": ("255.255.255.255", False),
    "all hosts": ("224.0.0.1", False),
    "somebody else": (V4.distant, False),
}


@rows("destination,ours", OUTER_DESTINATIONS)
def test_v4_error_to(bed: Bed, destination: str, ours: bool) -> None:
    sock = bed.bound(V4, recverr=True)
    assert counts(bed, sock, destination=destination) == ours


@rows("setting,ours", {"ignored": (1, True), "not ignored": (0, False)})
def test_an_error_about_a_broadcast_under_sysctl_bogus_error_responses(bed: Bed, setting: int, ours: bool) -> None:
    sock = bed.bound(V4, recverr=True)
    with bed.sysctl("ipv4.icmp_ignore_bogus_error_responses", setting):
        assert counts(bed, sock, quote=bed.quote(sock, destination=SUBNET_BROADCAST)) == ours


def test_the_socket_is_selected_by_the_outer_destination_not_the_quoted_source(bed: Bed) -> None:
    sock = bed.socket(V4, bound=V4.host_second)
    bed.set_recverr(sock)
    assert not counts(bed, sock, quote=bed.quote(sock, source=V4.host_second), destination=V4.host)
    assert counts(bed, sock, quote=bed.quote(sock, source=V4.host), destination=V4.host_second)


def test_the_socket_is_selected_by_the_arrival_device(bed: Bed) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, b"ps1")
    sock.bind((V4.any, 0))
    bed.set_recverr(sock)
    assert not counts(bed, sock, interface="ps0")
    assert counts(bed, sock, interface="ps1")


def test_of_several_the_most_recently_bound_gets_the_error(bed: Bed) -> None:
    first = bed.bound(V4, recverr=True)
    second = bed.socket(V4, bound=V4.any, ident=ident(first))
    bed.set_recverr(second)
    assert not counts(bed, first)
    assert not bed.queue_empty(second)


def test_an_error_in_fragments_is_put_together(bed: Bed) -> None:
    sock = bed.bound(V4, recverr=True)
    quote = bed.quote(sock, payload=bytes(1200))
    whole = packets.packet(V4, V4.router, V4.host, packets.icmp(11, 0, bytes(4), quote))
    for piece in packets.fragments(whole, 400, 31):
        bed.inject(piece)
    assert bed.take_error(sock).data == quote[20:]


# 7.2 What happens then


def test_the_option_of_the_other_family_has_no_effect(bed: Bed) -> None:
    sock = bed.bound(V4)
    assert outcome(sock.setsockopt, linux.SOL_IPV6, linux.IPV6_RECVERR, 1) == "ENOPROTOOPT"
    bed.hard_error(sock)
    assert shows_nothing(bed, sock)


@pytest.mark.parametrize("connected", [False, True], ids=["unconnected", "connected"])
def test_with_recverr_soft_errors_are_pending_too(bed: Bed, connected: bool) -> None:
    sock = bed.connected(V4, recverr=True) if connected else bed.bound(V4, recverr=True)
    bed.soft_error(sock)
    assert pending(bed, sock) == "EHOSTUNREACH"


def test_the_latest_error_overwrites_the_pending_one(bed: Bed) -> None:
    sock = bed.bound(V4, recverr=True)
    bed.hard_error(sock)
    bed.soft_error(sock)
    assert pending(bed, sock) == "EHOSTUNREACH"


def test_a_soft_error_leaves_the_pending_hard_one_of_a_connected_socket(bed: Bed) -> None:
    sock = bed.connected(V4)
    bed.hard_error(sock)
    bed.soft_error(sock)
    assert pending(bed, sock) == "ECONNREFUSED"
