"""Rules at the edges of several chapters: what a second bind, a late option or a strange argument does."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from bed.bed import V4, V6, outcome
from pingsock.wire import linux
from sockets.rules import both_families, each, rows

if TYPE_CHECKING:
    from bed.bed import Bed
    from bed.families import Family

DISCONNECT = bytes(2)


@both_families
def test_an_address_given_to_bind_once_makes_disconnect_keep_later_ones(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip, bound=ip.host)
    sock.connect_sockaddr(DISCONNECT)
    sock.bind(ip.name_of(ip.any))
    sock.connect(ip.name_of(ip.far_elsewhere, 9))
    sock.connect_sockaddr(DISCONNECT)
    assert sock.getsockname()[0] == ip.elsewhere


def test_freely_bound_to_a_foreign_v6_address_send_uses_it(bed: Bed) -> None:
    sock = bed.socket(V6)
    sock.setsockopt(linux.SOL_IPV6, linux.IPV6_FREEBIND, 1)
    sock.bind(("2001:db8:ff::9", 0))
    sock.sendto(bytes((128, *bytes(7))), (V6.far, 0))
    assert bed.one_sent().source == "2001:db8:ff::9"


@both_families
def test_ip_protocol_reads_the_ident(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip)
    assert sock.getsockopt(linux.SOL_IP, linux.IP_PROTOCOL) == 0
    sock.bind(ip.name_of(ip.any))
    assert sock.getsockopt(linux.SOL_IP, linux.IP_PROTOCOL) == sock.getsockname()[1]


@each("option", (linux.SO_TYPE, linux.SO_BROADCAST, linux.SO_ZEROCOPY, linux.SO_DETACH_FILTER, 99))
def test_options_of_the_socket_level_need_four_bytes_before_anything_else(bed: Bed, option: int) -> None:
    assert outcome(bed.socket(V4).setsockopt, linux.SOL_SOCKET, option, bytes(3)) == "EINVAL"


def test_a_device_can_be_bound_by_an_index_nobody_has(bed: Bed) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTOIFINDEX, 4711)
    assert sock.getsockopt(linux.SOL_SOCKET, linux.SO_BINDTOIFINDEX) == 4711
    assert outcome(sock.sendto, bytes([8, *bytes(7)]), (V4.far, 0)) == "ENODEV"


TIMESTAMPING = {
    "a hardware clock": (linux.SOF_TIMESTAMPING_BIND_PHC, "EOPNOTSUPP"),
    "OPT_ID_TCP without OPT_ID": (linux.SOF_TIMESTAMPING_OPT_ID_TCP, "EINVAL"),
}


@rows("flags, expected", TIMESTAMPING)
def test_timestamping_refuses(bed: Bed, flags: int, expected: str) -> None:
    assert outcome(bed.socket(V4).setsockopt, linux.SOL_SOCKET, linux.SO_TIMESTAMPING, flags) == expected


@each("text", ("1_000 2000", "0b1 5", "0o7 9", "+5 6", "5 +6", "08 9", "0x 5", "0x0x5 9"))
def test_a_group_range_is_written_as_c_writes_numbers(bed: Bed, text: str) -> None:
    with bed.sysctl("ipv4.ping_group_range", "100 200"):
        assert outcome(bed.write_sysctl, "ipv4.ping_group_range", text) == "EINVAL"
        assert bed.read_sysctl("ipv4.ping_group_range") == "100\t200"


def test_data_must_be_bytes(bed: Bed) -> None:
    with pytest.raises(TypeError):
        bed.bound(V4).sendto(8, (V4.far, 0))


@each("number", (2**31, -(2**31) - 1))
def test_a_number_that_is_no_c_int_overflows(bed: Bed, number: int) -> None:
    sock = bed.socket(V4)
    with pytest.raises(OverflowError):
        sock.setsockopt(linux.SOL_IP, number, 1)
    with pytest.raises(OverflowError):
        sock.sendto(bytes(8), number, (V4.far, 0))
    with pytest.raises(TypeError):
        sock.setsockopt(linux.SOL_IP, linux.IP_TTL, number)


def test_too_much_ancillary_data_finds_no_buffer(bed: Bed) -> None:
    huge = [(linux.SOL_IP, linux.IP_TTL, bytes(200_000))]
    assert outcome(bed.bound(V4).sendmsg, [bytes([8, *bytes(7)])], huge, 0, (V4.far, 0)) == "ENOBUFS"


def test_an_option_may_be_longer_than_what_counts_of_it(bed: Bed) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(linux.SOL_IP, linux.IP_TTL, struct.pack("=i", 7) + bytes(200_000))
    assert sock.getsockopt(linux.SOL_IP, linux.IP_TTL) == 7


def test_a_read_only_buffer_is_refused_before_anything_is_read(bed: Bed) -> None:
    sock = bed.bound(V4)
    bed.reply(sock)
    bed.settle()
    with pytest.raises(TypeError):
        sock.recv_into(bytes(100))
    assert bed.arrived(sock)


def test_a_timeout_is_a_number(bed: Bed) -> None:
    with pytest.raises(ValueError, match=r"."):
        bed.socket(V4).settimeout(float("nan"))
