"""Section 8.1: the error queue."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

from bed.bed import V4, V6, Bed, outcome, request
from bed.packets import checksum
from pingsock.wire import linux
from sockets.error_rules import pending, shows_nothing
from sockets.rules import both_families, each, rows
from sockets.test_path_mtu import fresh

if TYPE_CHECKING:
    from bed.families import Family
    from bed.subject import Subject

ERRQUEUE = linux.MSG_ERRQUEUE
EMSGSIZE = 90


def local_error(bed: Bed, sock: Subject, ip: Family, destination: str = "", port: int = 0) -> None:
    """Let a send be refused with EMSGSIZE."""
    sock.setsockopt(ip.level, ip.mtu_discover, linux.IP_PMTUDISC_DO)
    name = ip.name_of(destination or ip.far, port)
    assert outcome(sock.sendto, request(ip, bytes(1600)), name) == "EMSGSIZE"


# An entry of an ICMP error


@both_families
@each("size", [0, 1, 6, 100, 1000])
def test_data_is_the_quoted_icmp_message(bed: Bed, ip: Family, size: int) -> None:
    sock = bed.bound(ip, recverr=True)
    quote = bed.soft_error(sock, quote=bed.quote(sock, payload=bytes(size)))
    assert bed.take_error(sock).data == quote[ip.header :]


@both_families
def test_data_is_as_much_as_was_quoted(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    quote = bed.quote(sock)[: ip.header + 8]
    bed.soft_error(sock, quote=quote)
    assert bed.take_error(sock).data == quote[ip.header :]


@both_families
def test_the_name_is_the_quoted_destination_with_port_0(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    bed.soft_error(sock, quote=bed.quote(sock, destination=ip.distant))
    assert bed.take_error(sock).name == ip.name_of(ip.distant, 0)


@both_families
def test_the_offender_is_the_reporter(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    bed.soft_error(sock, reporter=ip.router)
    assert bed.take_error(sock).offender == (ip.af, ip.router, 0, 0)


@both_families
def test_origin_and_flags_of_an_icmp_entry(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    bed.soft_error(sock)
    error = bed.take_error(sock)
    assert (error.origin, error.ee_data, error.flags) == (ip.ee_origin, 0, ERRQUEUE)


@rows("ip,size", {"v4": (V4, 32), "v6": (V6, 44)})
def test_size_of_the_extended_error_and_its_offender(bed: Bed, ip: Family, size: int) -> None:
    sock = bed.bound(ip, recverr=True)
    bed.soft_error(sock)
    [(level, kind, content)] = bed.take_entry(sock).ancillary
    assert (level, kind, len(content)) == (ip.level, ip.recverr, size)


# An entry of a local error


@both_families
def test_a_refused_size_is_queued_as_a_local_error(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    local_error(bed, sock, ip)
    error = bed.take_error(sock)
    assert (error.errno, error.origin, error.type, error.code) == (EMSGSIZE, linux.SO_EE_ORIGIN_LOCAL, 0, 0)
    assert (error.info, error.ee_data, error.data, error.flags) == (1500, 0, b"", ERRQUEUE)


@both_families
def test_a_local_error_has_no_offender(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    local_error(bed, sock, ip)
    assert bed.take_error(sock).offender == (0, "", 0, 0)


@both_families
def test_without_recverr_a_refused_size_is_not_queued(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    local_error(bed, sock, ip)
    assert shows_nothing(bed, sock)


def test_the_name_of_a_v4_local_error_is_the_destination_and_port_0(bed: Bed) -> None:
    sock = bed.bound(V4, recverr=True)
    local_error(bed, sock, V4, V4.distant, port=99)
    assert bed.take_error(sock).name == (V4.distant, 0)


def test_the_name_of_a_v4_local_error_has_the_connected_port(bed: Bed) -> None:
    sock = bed.connected(V4, port=4711, recverr=True)
    local_error(bed, sock, V4, V4.distant)
    assert bed.take_error(sock).name == (V4.distant, 4711)


@rows("type_,port", {"echo": (128, 32768), "extended": (160, 40960)})
def test_the_name_of_a_v6_local_error_has_type_and_code_for_a_port(bed: Bed, type_: int, port: int) -> None:
    sock = bed.bound(V6, recverr=True)
    sock.setsockopt(linux.SOL_IPV6, linux.IPV6_DONTFRAG, 1)
    message = request(V6, bytes(1600), type_=type_)
    assert outcome(sock.sendto, message, V6.name_of(V6.distant, 99)) == "EMSGSIZE"
    assert bed.take_error(sock).name[:2] == (V6.distant, port)


# Reading


@both_families
@each("state", ["fresh", "bound", "connected"])
@each("recverr", [False, True])
def test_an_empty_queue_gives_eagain_at_once(bed: Bed, ip: Family, state: str, recverr: bool) -> None:
    sock = bed.in_state(ip, state)
    if recverr:
        bed.set_recverr(sock)
    assert outcome(sock.recv, 100, ERRQUEUE) == "EAGAIN"


@both_families
def test_data_is_no_entry(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    bed.reply(sock)
    assert bed.queue_empty(sock)
    assert bed.arrived(sock)


@both_families
def test_entries_are_read_in_the_order_they_came(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    for sequence in range(5):
        bed.soft_error(sock, quote=bed.quote(sock, sequence=sequence))
    assert [bed.take_error(sock).data[7] for _ in range(5)] == [0, 1, 2, 3, 4]


@both_families
def test_a_small_buffer_cuts_the_quote_and_says_so(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    quote = bed.soft_error(sock)
    error = bed.take_error(sock, 8)
    assert (error.data, error.flags) == (quote[ip.header : ip.header + 8], ERRQUEUE | linux.MSG_TRUNC)
    assert bed.queue_empty(sock)


@both_families
def test_a_small_control_buffer_is_flagged(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    bed.soft_error(sock)
    entry = bed.take_entry(sock, ancillary_size=24)
    assert entry.flags == ERRQUEUE | linux.MSG_CTRUNC
    assert [len(content) for _, _, content in entry.ancillary] == [8]


@both_families
def test_peek_does_not_peek_into_the_queue(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    bed.soft_error(sock)
    bed.settle()
    sock.recvmsg(100, 100, ERRQUEUE | linux.MSG_PEEK)
    assert bed.queue_empty(sock)


@both_families
def test_asking_for_truncation_does_not_tell_the_full_length_of_an_entry(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    bed.soft_error(sock)
    bed.settle()
    assert sock.recv_into(bytearray(8), 8, ERRQUEUE | linux.MSG_TRUNC) == 8


def test_receive_options_describe_the_v4_error_packet_and_come_first(bed: Bed) -> None:
    sock = bed.bound(V4, recverr=True)
    for option in (linux.IP_RECVTTL, linux.IP_RECVTOS, linux.IP_PKTINFO):
        sock.setsockopt(linux.SOL_IP, option, 1)
    bed.soft_error(sock, ttl=61, tos=0xC0, quote=bed.quote(sock, ttl=1))
    info = struct.pack(linux.IN_PKTINFO_LAYOUT, bed.index("ps0"), bytes(4), V4.pack(V4.host))
    assert bed.take_entry(sock).ancillary[:3] == [
        (linux.SOL_IP, linux.IP_PKTINFO, info),
        (linux.SOL_IP, linux.IP_TTL, struct.pack("=i", 61)),
        (linux.SOL_IP, linux.IP_TOS, b"\xc0"),
    ]


def test_receive_options_describe_the_v6_error_packet_and_come_first(bed: Bed) -> None:
    sock = bed.bound(V6, recverr=True)
    for option in (linux.IPV6_RECVHOPLIMIT, linux.IPV6_RECVTCLASS, linux.IPV6_RECVPKTINFO):
        sock.setsockopt(linux.SOL_IPV6, option, 1)
    bed.soft_error(sock, hop_limit=61, traffic_class=0xC0, quote=bed.quote(sock, hop_limit=1))
    info = struct.pack(linux.IN6_PKTINFO_LAYOUT, V6.pack(V6.host), bed.index("ps0"))
    assert bed.take_entry(sock).ancillary[:3] == [
        (linux.SOL_IPV6, linux.IPV6_PKTINFO, info),
        (linux.SOL_IPV6, linux.IPV6_HOPLIMIT, struct.pack("=i", 61)),
        (linux.SOL_IPV6, linux.IPV6_TCLASS, struct.pack("=i", 0xC0)),
    ]


@both_families
def test_an_entry_carries_the_time_of_the_error_packet(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPNS, 1)
    before = time.time_ns()
    bed.soft_error(sock)
    entry = bed.take_entry(sock)
    content = entry.item(linux.SOL_SOCKET, linux.SO_TIMESTAMPNS)
    assert content is not None
    seconds, nanoseconds = struct.unpack("=qq", content)
    assert before - 1000 <= seconds * 10**9 + nanoseconds <= time.time_ns()
    assert entry.kinds[-1] == (ip.level, ip.recverr)


@both_families
def test_switching_recverr_off_empties_the_queue_and_leaves_the_pending_error(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    bed.hard_error(sock)
    bed.settle()
    sock.setsockopt(ip.level, ip.recverr, 0)
    assert bed.queue_empty(sock)
    assert pending(bed, sock) == "ECONNREFUSED"


@both_families
def test_switched_off_recverr_queues_no_more(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    sock.setsockopt(ip.level, ip.recverr, 0)
    bed.hard_error(sock)
    assert shows_nothing(bed, sock)


@both_families
def test_what_the_receive_buffer_does_not_hold_is_lost_but_the_error_is_pending(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_RCVBUF, 0)
    for _ in range(10):
        bed.soft_error(sock)
    assert pending(bed, sock) == "EHOSTUNREACH"
    kept = 0
    while not bed.queue_empty(sock):
        kept += 1
    assert kept < 10


# RFC 4884 extensions

RFC4884 = {"v4": (V4, linux.IP_RECVERR_RFC4884, 108), "v6": (V6, linux.IPV6_RECVERR_RFC4884, 88)}


def extension_structure(payload: bytes = bytes.fromhex("0008010100064141"), version: int = 2) -> bytes:
    blank = bytes([version << 4, 0, 0, 0]) + payload
    return blank[:2] + checksum(blank).to_bytes(2, "big") + blank[4:]


def padded_quote(bed: Bed, sock: Subject, ip: Family, size: int = 128) -> bytes:
    return bed.quote(sock, payload=bytes(size))[:size]


def rfc4884_rest(ip: Family, quoted: int) -> bytes:
    """The length field: in 32-bit words at byte 1 for IPv4, in 64-bit words at byte 0 for IPv6."""
    return bytes([0, quoted // 4, 0, 0]) if ip is V4 else bytes([quoted // 8, 0, 0, 0])


def extended_error(bed: Bed, sock: Subject, ip: Family, extension: bytes, quoted: int = 128) -> None:
    quote = padded_quote(bed, sock, ip, quoted) + extension
    bed.error(sock, *ip.time_exceeded, rfc4884_rest(ip, quoted), quote=quote)


@rows("ip,option,offset", RFC4884)
def test_with_the_rfc4884_option_ee_data_tells_where_the_extension_starts(
    bed: Bed, ip: Family, option: int, offset: int
) -> None:
    sock = bed.bound(ip, recverr=True)
    sock.setsockopt(ip.level, option, 1)
    extended_error(bed, sock, ip, extension_structure())
    error = bed.take_error(sock)
    assert struct.unpack(linux.SOCK_EE_DATA_RFC4884_LAYOUT, struct.pack("=I", error.ee_data)) == (offset, 0, 0)
    assert error.data[offset:] == extension_structure()


@rows("ip,option,offset", RFC4884)
def test_without_the_rfc4884_option_the_data_is_the_same_and_ee_data_0(
    bed: Bed, ip: Family, option: int, offset: int
) -> None:
    sock = bed.bound(ip, recverr=True)
    extended_error(bed, sock, ip, extension_structure())
    error = bed.take_error(sock)
    assert (error.ee_data, error.data[offset:]) == (0, extension_structure())


BROKEN = {
    "wrong checksum": b"\x20\x00\x12\x34" + bytes.fromhex("0008010100064141"),
    "an object longer than the rest": extension_structure(bytes.fromhex("0010010100064141")),
    "an object shorter than its header": extension_structure(bytes.fromhex("0002010100064141")),
}


@rows("extension", BROKEN)
@rows("ip,option,offset", RFC4884)
def test_a_broken_extension_is_flagged(bed: Bed, ip: Family, option: int, offset: int, extension: bytes) -> None:
    sock = bed.bound(ip, recverr=True)
    sock.setsockopt(ip.level, option, 1)
    extended_error(bed, sock, ip, extension)
    found = struct.pack("=I", bed.take_error(sock).ee_data)
    assert struct.unpack(linux.SOCK_EE_DATA_RFC4884_LAYOUT, found) == (offset, linux.SO_EE_RFC4884_FLAG_INVALID, 0)


UNJUDGED = {
    "another version": extension_structure(bytes.fromhex("0002010100064141"), version=1),
    "no checksum": b"\x20\0\0\0" + bytes.fromhex("0008010100064141"),
}


@rows("extension", UNJUDGED)
@rows("ip,option,offset", RFC4884)
def test_an_extension_that_cannot_be_checked_is_not_flagged(
    bed: Bed, ip: Family, option: int, offset: int, extension: bytes
) -> None:
    sock = bed.bound(ip, recverr=True)
    sock.setsockopt(ip.level, option, 1)
    extended_error(bed, sock, ip, extension)
    found = struct.pack("=I", bed.take_error(sock).ee_data)
    assert struct.unpack(linux.SOCK_EE_DATA_RFC4884_LAYOUT, found) == (offset, 0, 0)


@rows("ip,option,offset", RFC4884)
@rows("quoted,extension", {"below 128 bytes": (120, extension_structure()), "nothing behind": (128, b"")})
def test_ee_data_is_0_for_an_extension(
    bed: Bed, ip: Family, option: int, offset: int, quoted: int, extension: bytes
) -> None:
    sock = bed.bound(ip, recverr=True)
    sock.setsockopt(ip.level, option, 1)
    extended_error(bed, sock, ip, extension, quoted)
    assert bed.take_error(sock).ee_data == 0


@rows("ip,option,offset", RFC4884)
def test_ee_data_is_0_without_a_length(bed: Bed, ip: Family, option: int, offset: int) -> None:
    sock = bed.bound(ip, recverr=True)
    sock.setsockopt(ip.level, option, 1)
    bed.error(sock, *ip.time_exceeded, quote=padded_quote(bed, sock, ip) + extension_structure())
    assert bed.take_error(sock).ee_data == 0


@both_families
def test_a_learned_path_mtu_is_the_info_of_a_local_error(bed: Bed, ip: Family) -> None:
    destination = fresh(ip)
    sock = bed.bound(ip, recverr=True)
    type_and_code = (3, 4) if ip is V4 else (2, 0)
    bed.error(sock, *type_and_code, 1300, quote=bed.quote(sock, destination=destination))
    assert bed.take_error(sock).info == 1300
    local_error(bed, sock, ip, destination)
    assert bed.take_error(sock).info == 1300
