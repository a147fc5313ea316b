"""Sections 7.1, 7.2 and 7.4: ICMPv6 errors."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from bed import packets
from bed.bed import V6, WRONG, Bed
from bed.families import LINK_LOCAL, LINK_LOCAL_FAR
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
from sockets.test_receive import join6

if TYPE_CHECKING:
    from collections.abc import Callable

    from bed.subject import Subject

REST = 0x01020304
"""The 32 bits behind the checksum; ee_info of every error."""

UNREACHABLE = {
    0: Reported("ENETUNREACH", hard=False, info=REST),
    1: Reported("EACCES", hard=True, info=REST),
    2: Reported("EHOSTUNREACH", hard=False, info=REST),
    3: Reported("EHOSTUNREACH", hard=False, info=REST),
    4: Reported("ECONNREFUSED", hard=True, info=REST),
    5: Reported("EACCES", hard=True, info=REST),
    6: Reported("EACCES", hard=True, info=REST),
    7: Reported("EPROTO", hard=True, info=REST),
    8: Reported("EPROTO", hard=True, info=REST),
    255: Reported("EPROTO", hard=True, info=REST),
}
OTHERS = {
    (2, 0): Reported("EMSGSIZE", hard=False, info=REST),
    (2, 1): Reported("EMSGSIZE", hard=False, info=REST),
    (2, 255): Reported("EMSGSIZE", hard=False, info=REST),
    (3, 0): Reported("EHOSTUNREACH", hard=False, info=REST),
    (3, 1): Reported("EHOSTUNREACH", hard=False, info=REST),
    (3, 255): Reported("EHOSTUNREACH", hard=False, info=REST),
    (4, 0): Reported("EPROTO", hard=True, info=REST),
    (4, 1): Reported("EPROTO", hard=True, info=REST),
    (4, 3): Reported("EPROTO", hard=True, info=REST),
    (4, 255): Reported("EPROTO", hard=True, info=REST),
}
UNKNOWN_ERRORS = {(type_, 0): Reported("EPROTO", hard=False, info=REST) for type_ in (0, *range(5, 128))}
NO_ERRORS = {(type_, 0): NOT_REPORTED for type_ in range(128, 256) if type_ not in {129, 161}}
TABLE = {(1, code): reported for code, reported in UNREACHABLE.items()} | OTHERS | UNKNOWN_ERRORS | NO_ERRORS
ROWS = {f"{type_}/{code}": (type_, code, reported) for (type_, code), reported in TABLE.items()}


@rows("type_,code,reported", ROWS)
def test_v6_error_with_recverr(bed: Bed, type_: int, code: int, reported: Reported | None) -> None:
    sock = bed.bound(V6, recverr=True)
    check_with_recverr(bed, sock, type_, code, REST, reported)


@rows("type_,code,reported", ROWS)
def test_v6_error_on_a_connected_socket(bed: Bed, type_: int, code: int, reported: Reported | None) -> None:
    check_without_recverr(bed, bed.connected(V6), type_, code, reported)


REPORTED = {row: (type_, code) for row, (type_, code, reported) in ROWS.items() if reported}


@rows("type_,code", REPORTED)
def test_v6_error_on_an_unconnected_socket_without_recverr_shows_nothing(bed: Bed, type_: int, code: int) -> None:
    sock = bed.bound(V6)
    bed.error(sock, type_, code)
    assert shows_nothing(bed, sock)


@each("mtu", [0, 68, 1279, 1280, 1400, 65535, 0xFFFFFFFF])
def test_packet_too_big_names_the_mtu_as_received(bed: Bed, mtu: int) -> None:
    sock = bed.bound(V6, recverr=True)
    bed.error(sock, 2, 0, mtu, quote=bed.quote(sock, destination=fresh(V6)))
    assert bed.take_error(sock).info == mtu


@each("mode", range(6))
def test_packet_too_big_is_reported_in_every_mode(bed: Bed, mode: int) -> None:
    sock = bed.bound(V6, recverr=True)
    sock.setsockopt(linux.SOL_IPV6, linux.IPV6_MTU_DISCOVER, mode)
    bed.error(sock, 2, 0, 1400, quote=bed.quote(sock, destination=fresh(V6)))
    assert bed.take_error(sock).info == 1400


def test_a_redirect_is_not_reported(bed: Bed) -> None:
    sock = bed.bound(V6, recverr=True)
    redirect = packets.icmp(137, 0, bytes(4), V6.pack(LINK_LOCAL_FAR) + V6.pack(V6.distant) + bed.quote(sock))
    bed.inject(packets.packet(V6, LINK_LOCAL_FAR, V6.host, redirect, hop_limit=255))
    assert shows_nothing(bed, sock)


# 7.1 When an error counts as ours


def counts(bed: Bed, sock: Subject, **how: object) -> bool:
    bed.soft_error(sock, **how)
    return not bed.queue_empty(sock)


QUOTED_ICMP = {
    "echo request": (128, 0, True),
    "extended echo request": (160, 0, False),
    "echo request with code 1": (128, 1, False),
    "echo reply": (129, 0, False),
    "ICMPv4 echo request": (8, 0, False),
    "neighbour solicitation": (135, 0, False),
}


@rows("type_,code,ours", QUOTED_ICMP)
def test_quoted_v6_message(bed: Bed, type_: int, code: int, ours: bool) -> None:
    sock = bed.bound(V6, recverr=True)
    assert counts(bed, sock, quote=bed.quote(sock, type_=type_, code=code)) == ours


PADDED = bytes([0, 0, 1, 4, 0, 0, 0, 0])
FIRST_FRAGMENT = struct.pack("!BBHI", 0, 0, 1, 7)
LATER_FRAGMENT = struct.pack("!BBHI", 0, 0, 8 | 1, 7)
QUOTES: dict[str, tuple[Callable[[bytes], bytes], bool]] = {
    "with nothing behind the ICMP header": (lambda quote: quote[:48], True),
    "cut one byte before": (lambda quote: quote[:47], False),
    "cut within the IP header": (lambda quote: quote[:39], False),
    "only the IP header": (lambda quote: quote[:40], False),
    "empty": (lambda quote: b"", False),
    "of another protocol": (lambda quote: quote[:6] + b"\x11" + quote[7:], False),
    "of ICMPv4's protocol number": (lambda quote: quote[:6] + b"\x01" + quote[7:], False),
    "with a foreign source": (lambda quote: quote[:8] + V6.pack(V6.distant) + quote[24:], True),
    "to another destination": (lambda quote: quote[:24] + V6.pack("2001:db8:99::1") + quote[40:], True),
    "to a group": (lambda quote: quote[:24] + V6.pack(V6.group) + quote[40:], True),
    "with the wrong version": (lambda quote: b"\x40" + quote[1:], True),
    "with a wrong length": (lambda quote: quote[:4] + b"\xff\xff" + quote[6:], True),
    "with a wrong ICMP checksum": (lambda quote: quote[:42] + b"\xde\xad" + quote[44:], True),
    "with a changed payload": (lambda quote: quote[:48] + b"altered", True),
}


@rows("change,ours", QUOTES)
def test_v6_quote(bed: Bed, change: Callable[[bytes], bytes], ours: bool) -> None:
    sock = bed.bound(V6, recverr=True)
    assert counts(bed, sock, quote=change(bed.quote(sock))) == ours


CHAINS = {
    "hop-by-hop options": (((0, PADDED),), True),
    "destination options": (((60, PADDED),), True),
    "two headers": (((0, PADDED), (60, PADDED)), True),
    "a first fragment": (((44, FIRST_FRAGMENT),), True),
    "a later fragment": (((44, LATER_FRAGMENT),), False),
}


@rows("chain,ours", CHAINS)
def test_v6_quote_with(bed: Bed, chain: tuple[tuple[int, bytes], ...], ours: bool) -> None:
    sock = bed.bound(V6, recverr=True)
    assert counts(bed, sock, quote=bed.quote(sock, extensions=chain)) == ours


def test_v6_quote_of_another_ident(bed: Bed) -> None:
    sock = bed.bound(V6, recverr=True)
    assert not counts(bed, sock, quote=bed.quote(sock, ident=WRONG))


def test_the_v6_error_of_a_wrong_checksum_is_dropped(bed: Bed) -> None:
    sock = bed.bound(V6, recverr=True)
    assert not counts(bed, sock, message_checksum=0x1234)


@rows(
    "reporter,ours", {"a router": (V6.router, True), "somebody else": (V6.distant, True), "a group": (V6.group, False)}
)
def test_v6_error_from(bed: Bed, reporter: str, ours: bool) -> None:
    sock = bed.bound(V6, recverr=True)
    assert counts(bed, sock, reporter=reporter) == ours


OUTER_DESTINATIONS = {
    "the first address": (V6.host, True),
    "the second address": (V6.host_second, True),
    "the address elsewhere": (V6.elsewhere, True),
    "all nodes": ("ff02::1", True),
    "somebody else": (V6.distant, False),
}


@rows("destination,ours", OUTER_DESTINATIONS)
def test_v6_error_to(bed: Bed, destination: str, ours: bool) -> None:
    sock = bed.bound(V6, recverr=True)
    assert counts(bed, sock, destination=destination) == ours


def test_a_v6_error_to_a_group_we_are_in_counts(bed: Bed) -> None:
    sock = bed.bound(V6, recverr=True)
    join6(bed, sock, V6.group)
    assert counts(bed, sock, destination=V6.group)


def test_the_v6_socket_is_selected_by_the_outer_destination_not_the_quoted_source(bed: Bed) -> None:
    sock = bed.socket(V6, bound=V6.host_second)
    bed.set_recverr(sock)
    assert not counts(bed, sock, quote=bed.quote(sock, source=V6.host_second), destination=V6.host)
    assert counts(bed, sock, quote=bed.quote(sock, source=V6.host), destination=V6.host_second)


def test_the_v6_socket_is_selected_by_the_arrival_device(bed: Bed) -> None:
    sock = bed.socket(V6)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, b"ps1")
    sock.bind(V6.name_of(V6.any))
    bed.set_recverr(sock)
    assert not counts(bed, sock, interface="ps0")
    assert counts(bed, sock, interface="ps1")


def test_of_several_the_most_recently_bound_gets_the_v6_error(bed: Bed) -> None:
    first = bed.bound(V6, recverr=True)
    second = bed.socket(V6, bound=V6.any, ident=ident(first))
    bed.set_recverr(second)
    assert not counts(bed, first)
    assert not bed.queue_empty(second)


def test_a_link_local_reporter_and_destination_have_their_scope(bed: Bed) -> None:
    sock = bed.bound(V6, recverr=True)
    quote = bed.quote(sock, source=LINK_LOCAL["ps1"], destination=LINK_LOCAL_FAR)
    bed.soft_error(sock, quote=quote, reporter=LINK_LOCAL_FAR, destination=LINK_LOCAL["ps1"], interface="ps1")
    error = bed.take_error(sock)
    assert error.offender == (10, LINK_LOCAL_FAR, 0, bed.index("ps1"))
    assert error.name == (LINK_LOCAL_FAR, 0, 0, bed.index("ps1"))


# 7.2 What happens then


def test_the_v4_option_has_no_effect_on_a_v6_socket(bed: Bed) -> None:
    sock = bed.bound(V6)
    sock.setsockopt(linux.SOL_IP, linux.IP_RECVERR, 1)
    bed.hard_error(sock)
    assert shows_nothing(bed, sock)


@pytest.mark.parametrize("connected", [False, True], ids=["unconnected", "connected"])
def test_with_recverr_soft_v6_errors_are_pending_too(bed: Bed, connected: bool) -> None:
    sock = bed.connected(V6, recverr=True) if connected else bed.bound(V6, recverr=True)
    bed.soft_error(sock)
    assert pending(bed, sock) == "EHOSTUNREACH"


def test_the_latest_v6_error_overwrites_the_pending_one(bed: Bed) -> None:
    sock = bed.bound(V6, recverr=True)
    bed.hard_error(sock)
    bed.soft_error(sock)
    assert pending(bed, sock) == "EHOSTUNREACH"
