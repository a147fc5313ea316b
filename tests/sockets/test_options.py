"""Section 10: socket options."""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING

from bed.bed import V4, V6, Bed, outcome, request
from pingsock.wire import linux
from sockets.rules import both_families, each, rows
from sockets.test_bind import NOWHERE, bound_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from bed.families import Family
    from bed.subject import Subject

IP, IP6, SOCKET = linux.SOL_IP, linux.SOL_IPV6, linux.SOL_SOCKET

# Values set and read back: (level, option, given, what getsockopt says, or the name of an errno)
V4_VALUES: dict[str, tuple[int, int, int, int | str]] = {
    "TTL 1": (IP, linux.IP_TTL, 1, 1),
    "TTL 255": (IP, linux.IP_TTL, 255, 255),
    "TTL -1": (IP, linux.IP_TTL, -1, 64),
    "TTL 0": (IP, linux.IP_TTL, 0, "EINVAL"),
    "TTL 256": (IP, linux.IP_TTL, 256, "EINVAL"),
    "TTL -2": (IP, linux.IP_TTL, -2, "EINVAL"),
    "TOS 0xb8": (IP, linux.IP_TOS, 0xB8, 0xB8),
    "TOS with ECN": (IP, linux.IP_TOS, 0xBB, 0xBB),
    "TOS above a byte": (IP, linux.IP_TOS, 0x1B8, 0xB8),
    "MULTICAST_TTL 0": (IP, linux.IP_MULTICAST_TTL, 0, 0),
    "MULTICAST_TTL 255": (IP, linux.IP_MULTICAST_TTL, 255, 255),
    "MULTICAST_TTL -1": (IP, linux.IP_MULTICAST_TTL, -1, 1),
    "MULTICAST_TTL 256": (IP, linux.IP_MULTICAST_TTL, 256, "EINVAL"),
    "MULTICAST_LOOP 0": (IP, linux.IP_MULTICAST_LOOP, 0, 0),
    "MULTICAST_LOOP 5": (IP, linux.IP_MULTICAST_LOOP, 5, 1),
    "RECVERR 5": (IP, linux.IP_RECVERR, 5, 1),
    "RECVERR_RFC4884 1": (IP, linux.IP_RECVERR_RFC4884, 1, 1),
    "RECVERR_RFC4884 2": (IP, linux.IP_RECVERR_RFC4884, 2, "EINVAL"),
    "RECVTTL 1": (IP, linux.IP_RECVTTL, 1, 1),
    "RECVTOS 1": (IP, linux.IP_RECVTOS, 1, 1),
    "PKTINFO 1": (IP, linux.IP_PKTINFO, 1, 1),
    "FREEBIND 1": (IP, linux.IP_FREEBIND, 1, 1),
    "TRANSPARENT 1": (IP, linux.IP_TRANSPARENT, 1, 1),
    "MINTTL 7": (IP, linux.IP_MINTTL, 7, 7),
    "MINTTL 256": (IP, linux.IP_MINTTL, 256, "EINVAL"),
    "BIND_ADDRESS_NO_PORT 1": (IP, linux.IP_BIND_ADDRESS_NO_PORT, 1, 1),
    "an unknown IP option": (IP, 190, 1, "ENOPROTOOPT"),
}
V6_VALUES: dict[str, tuple[int, int, int, int | str]] = {
    "UNICAST_HOPS 0": (IP6, linux.IPV6_UNICAST_HOPS, 0, 0),
    "UNICAST_HOPS 255": (IP6, linux.IPV6_UNICAST_HOPS, 255, 255),
    "UNICAST_HOPS -1": (IP6, linux.IPV6_UNICAST_HOPS, -1, 64),
    "UNICAST_HOPS -2": (IP6, linux.IPV6_UNICAST_HOPS, -2, "EINVAL"),
    "UNICAST_HOPS 256": (IP6, linux.IPV6_UNICAST_HOPS, 256, "EINVAL"),
    "MULTICAST_HOPS 0": (IP6, linux.IPV6_MULTICAST_HOPS, 0, 0),
    "MULTICAST_HOPS 255": (IP6, linux.IPV6_MULTICAST_HOPS, 255, 255),
    "MULTICAST_HOPS -1": (IP6, linux.IPV6_MULTICAST_HOPS, -1, 1),
    "MULTICAST_HOPS 256": (IP6, linux.IPV6_MULTICAST_HOPS, 256, "EINVAL"),
    "TCLASS 0": (IP6, linux.IPV6_TCLASS, 0, 0),
    "TCLASS 255": (IP6, linux.IPV6_TCLASS, 255, 255),
    "TCLASS -1": (IP6, linux.IPV6_TCLASS, -1, 0),
    "TCLASS -2": (IP6, linux.IPV6_TCLASS, -2, "EINVAL"),
    "TCLASS 256": (IP6, linux.IPV6_TCLASS, 256, "EINVAL"),
    "MULTICAST_LOOP 0": (IP6, linux.IPV6_MULTICAST_LOOP, 0, 0),
    "MULTICAST_LOOP 2": (IP6, linux.IPV6_MULTICAST_LOOP, 2, "EINVAL"),
    "RECVERR 5": (IP6, linux.IPV6_RECVERR, 5, 1),
    "RECVHOPLIMIT 1": (IP6, linux.IPV6_RECVHOPLIMIT, 1, 1),
    "RECVTCLASS 1": (IP6, linux.IPV6_RECVTCLASS, 1, 1),
    "RECVPKTINFO 1": (IP6, linux.IPV6_RECVPKTINFO, 1, 1),
    "DONTFRAG 1": (IP6, linux.IPV6_DONTFRAG, 1, 1),
    "AUTOFLOWLABEL 0": (IP6, linux.IPV6_AUTOFLOWLABEL, 0, 0),
    "FLOWINFO_SEND 1": (IP6, linux.IPV6_FLOWINFO_SEND, 1, 1),
    "MINHOPCOUNT 7": (IP6, linux.IPV6_MINHOPCOUNT, 7, 7),
    "V6ONLY 0": (IP6, linux.IPV6_V6ONLY, 0, 0),
    "CHECKSUM": (IP6, linux.IPV6_CHECKSUM, 2, "ENOPROTOOPT"),
    "ICMP6_FILTER": (linux.SOL_ICMPV6, linux.ICMP6_FILTER, 0, "ENOPROTOOPT"),
    "an unknown IPv6 option": (IP6, 190, 1, "ENOPROTOOPT"),
    "IP_TTL": (IP, linux.IP_TTL, 7, 7),
    "IP_TOS": (IP, linux.IP_TOS, 0xB8, 0xB8),
    "IP_RECVERR": (IP, linux.IP_RECVERR, 1, 1),
}
BOTH_VALUES: dict[str, tuple[int, int, int, int | str]] = {
    "REUSEADDR 0": (SOCKET, linux.SO_REUSEADDR, 0, 0),
    "REUSEPORT 1": (SOCKET, linux.SO_REUSEPORT, 1, 1),
    "BROADCAST 1": (SOCKET, linux.SO_BROADCAST, 1, 1),
    "DONTROUTE 1": (SOCKET, linux.SO_DONTROUTE, 1, 1),
    "NO_CHECK 1": (SOCKET, linux.SO_NO_CHECK, 1, 1),
    "RXQ_OVFL 1": (SOCKET, linux.SO_RXQ_OVFL, 1, 1),
    "MARK 77": (SOCKET, linux.SO_MARK, 77, 77),
    "PRIORITY 6": (SOCKET, linux.SO_PRIORITY, 6, 6),
    "SELECT_ERR_QUEUE 1": (SOCKET, linux.SO_SELECT_ERR_QUEUE, 1, 1),
    "TIMESTAMP 1": (SOCKET, linux.SO_TIMESTAMP, 1, 1),
    "TIMESTAMPNS 1": (SOCKET, linux.SO_TIMESTAMPNS, 1, 1),
    "DEBUG 1": (SOCKET, linux.SO_DEBUG, 1, 1),
    "BSDCOMPAT 1": (SOCKET, linux.SO_BSDCOMPAT, 1, 0),
    "NOFCS 1": (SOCKET, linux.SO_NOFCS, 1, 1),
    "BUF_LOCK 3": (SOCKET, linux.SO_BUF_LOCK, 3, 3),
    "BUF_LOCK 4": (SOCKET, linux.SO_BUF_LOCK, 4, "EINVAL"),
    "RCVLOWAT 0": (SOCKET, linux.SO_RCVLOWAT, 0, 1),
    "RCVLOWAT 100": (SOCKET, linux.SO_RCVLOWAT, 100, 100),
    "RCVLOWAT -1": (SOCKET, linux.SO_RCVLOWAT, -1, 2**31 - 1),
    "PASSCRED": (SOCKET, linux.SO_PASSCRED, 1, "EOPNOTSUPP"),
    "TXREHASH": (SOCKET, linux.SO_TXREHASH, 1, "EOPNOTSUPP"),
    "PEEK_OFF": (SOCKET, linux.SO_PEEK_OFF, 0, "EOPNOTSUPP"),
    "ZEROCOPY": (SOCKET, linux.SO_ZEROCOPY, 1, "EOPNOTSUPP"),
    "RESERVE_MEM": (SOCKET, linux.SO_RESERVE_MEM, 4096, "EOPNOTSUPP"),
    "RESERVE_MEM 0": (SOCKET, linux.SO_RESERVE_MEM, 0, "EOPNOTSUPP"),
    "RESERVE_MEM -1": (SOCKET, linux.SO_RESERVE_MEM, -1, "EINVAL"),
    "TYPE": (SOCKET, linux.SO_TYPE, 1, "ENOPROTOOPT"),
    "ERROR": (SOCKET, linux.SO_ERROR, 1, "ENOPROTOOPT"),
    "an unknown socket option": (SOCKET, 200, 1, "ENOPROTOOPT"),
    "ICMP_FILTER": (linux.SOL_RAW, linux.ICMP_FILTER, 0, "ENOPROTOOPT"),
    "UDP_CORK": (linux.IPPROTO_UDP, 1, 1, "ENOPROTOOPT"),
}


# What getsockopt says of an option given as bytes, or the name of an errno: (family, level, option, given, shown)
SEGMENTS = bytes((0, 2, 4, 0, 0, 0, 0, 0)) + V6.pack(V6.far)
PADDING = bytes((0, 0, 1, 4, 0, 0, 0, 0))
WITH_TLVS = b"\0\3" + SEGMENTS[2:] + PADDING[2:] + b"\4\0"
BYTES: dict[str, tuple[Family, int, int, bytes, bytes | str]] = {
    "empty FREEBIND": (V4, IP, linux.IP_FREEBIND, b"", "EINVAL"),
    "empty MINTTL": (V4, IP, linux.IP_MINTTL, b"", "EINVAL"),
    "empty MULTICAST_TTL": (V4, IP, linux.IP_MULTICAST_TTL, b"", "EINVAL"),
    "empty MULTICAST_LOOP": (V4, IP, linux.IP_MULTICAST_LOOP, b"", "EINVAL"),
    "empty MULTICAST_ALL": (V4, IP, linux.IP_MULTICAST_ALL, b"", "EINVAL"),
    "empty TOS": (V4, IP, linux.IP_TOS, b"", bytes(4)),
    "empty MTU_DISCOVER": (V4, IP, linux.IP_MTU_DISCOVER, b"", bytes(4)),
    "MINTTL of one byte": (V4, IP, linux.IP_MINTTL, b"\7", b"\7\0\0\0"),
    "short UNICAST_HOPS": (V6, IP6, linux.IPV6_UNICAST_HOPS, b"\7", "EINVAL"),
    "short DONTFRAG": (V6, IP6, linux.IPV6_DONTFRAG, b"\1\0\0", bytes(4)),
    "empty AUTOFLOWLABEL": (V6, IP6, linux.IPV6_AUTOFLOWLABEL, b"", bytes(4)),
    "empty RECVFRAGSIZE": (V6, IP6, linux.IPV6_RECVFRAGSIZE, b"", bytes(4)),
    "empty PKTINFO": (V6, IP6, linux.IPV6_PKTINFO, b"", "EINVAL"),
    "destination options": (V6, IP6, linux.IPV6_DSTOPTS, PADDING, PADDING),
    "destination options with more behind": (V6, IP6, linux.IPV6_DSTOPTS, PADDING + bytes(8), PADDING),
    "destination options that are cut": (V6, IP6, linux.IPV6_DSTOPTS, b"\0\1" + bytes(6), "EINVAL"),
    "no routing header": (V6, IP6, linux.IPV6_RTHDR, b"", b""),
    "routing header of zeros": (V6, IP6, linux.IPV6_RTHDR, bytes(8), "EINVAL"),
    "segments": (V6, IP6, linux.IPV6_RTHDR, SEGMENTS, SEGMENTS),
    "more segments left than there are": (V6, IP6, linux.IPV6_RTHDR, SEGMENTS[:3] + b"\1" + SEGMENTS[4:], "EINVAL"),
    "segments cut": (V6, IP6, linux.IPV6_RTHDR, b"\0\1" + SEGMENTS[2:16], "EINVAL"),
    "segments with more behind": (V6, IP6, linux.IPV6_RTHDR, SEGMENTS + bytes(8), "EINVAL"),
    "segments and TLVs": (V6, IP6, linux.IPV6_RTHDR, WITH_TLVS, WITH_TLVS),
    "segments and a TLV that is cut": (V6, IP6, linux.IPV6_RTHDR, WITH_TLVS[:-1] + b"\1", "EINVAL"),
}


@rows("ip,level,option,given,shown", BYTES)
def test_option_of_bytes(bed: Bed, ip: Family, level: int, option: int, given: bytes, shown: bytes | str) -> None:
    sock = bed.socket(ip)
    if isinstance(shown, str):
        assert outcome(sock.setsockopt, level, option, given) == shown
    else:
        sock.setsockopt(level, option, given)
        assert sock.getsockopt(level, option, max(len(shown), 4)) == shown


def check_value(sock: Subject, level: int, option: int, given: int, shown: int | str) -> None:
    if isinstance(shown, str):
        assert outcome(sock.setsockopt, level, option, given) == shown
    else:
        sock.setsockopt(level, option, given)
        assert sock.getsockopt(level, option) == shown


@rows("level,option,given,shown", V4_VALUES)
def test_v4_option(bed: Bed, level: int, option: int, given: int, shown: int | str) -> None:
    check_value(bed.socket(V4), level, option, given, shown)


@rows("level,option,given,shown", V6_VALUES)
def test_v6_option(bed: Bed, level: int, option: int, given: int, shown: int | str) -> None:
    check_value(bed.socket(V6), level, option, given, shown)


@both_families
@rows("level,option,given,shown", BOTH_VALUES)
def test_option(bed: Bed, ip: Family, level: int, option: int, given: int, shown: int | str) -> None:
    check_value(bed.socket(ip), level, option, given, shown)


@rows("option", {"TTL": linux.IP_TTL, "TOS": linux.IP_TOS, "RECVERR": linux.IP_RECVERR})
def test_v4_options_may_be_given_in_one_byte(bed: Bed, option: int) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(IP, option, b"\x01")
    assert sock.getsockopt(IP, option) == 1


def test_v6_options_need_four_bytes(bed: Bed) -> None:
    assert outcome(bed.socket(V6).setsockopt, IP6, linux.IPV6_UNICAST_HOPS, b"\x01") == "EINVAL"


@each("option", [linux.SO_TYPE, linux.SO_BROADCAST, linux.SO_ZEROCOPY, linux.SO_DETACH_FILTER, 99])
def test_options_of_the_socket_level_need_four_bytes_before_anything_else(bed: Bed, option: int) -> None:
    assert outcome(bed.socket(V4).setsockopt, SOCKET, option, bytes(3)) == "EINVAL"


def test_an_option_may_be_longer_than_what_counts_of_it(bed: Bed) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(IP, linux.IP_TTL, struct.pack("=i", 7) + bytes(200_000))
    assert sock.getsockopt(IP, linux.IP_TTL) == 7


NOT_OURS = {
    "IP_HDRINCL": (V4, IP, linux.IP_HDRINCL, 1),
    "IPV6_UNICAST_HOPS on v4": (V4, IP6, linux.IPV6_UNICAST_HOPS, 1),
    "IPV6_RECVERR on v4": (V4, IP6, linux.IPV6_RECVERR, 1),
    "IPV6_ADDRFORM": (V6, IP6, linux.IPV6_ADDRFORM, linux.AF_INET),
}


@rows("ip,level,option,value", NOT_OURS)
def test_no_such_option(bed: Bed, ip: Family, level: int, option: int, value: int) -> None:
    assert outcome(bed.socket(ip).setsockopt, level, option, value) == "ENOPROTOOPT"


READ_ONLY_BY_NAME = {
    "ICMP_FILTER": (V4, linux.SOL_RAW, linux.ICMP_FILTER, "EOPNOTSUPP"),
    "IPV6 on v4": (V4, IP6, linux.IPV6_UNICAST_HOPS, "EOPNOTSUPP"),
    "an unknown IP option": (V4, IP, 190, "ENOPROTOOPT"),
    "an unknown socket option": (V4, SOCKET, 200, "ENOPROTOOPT"),
}


@rows("ip,level,option,refusal", READ_ONLY_BY_NAME)
def test_getsockopt_refuses(bed: Bed, ip: Family, level: int, option: int, refusal: str) -> None:
    assert outcome(bed.socket(ip).getsockopt, level, option) == refusal


def test_hdrincl_reads_0(bed: Bed) -> None:
    assert bed.socket(V4).getsockopt(IP, linux.IP_HDRINCL) == 0


@rows("tos,priority", {"low delay": (0x10, 6), "throughput": (0x08, 2), "plain": (0x00, 0)})
def test_tos_sets_the_priority(bed: Bed, tos: int, priority: int) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(IP, linux.IP_TOS, tos)
    assert sock.getsockopt(SOCKET, linux.SO_PRIORITY) == priority


def test_ip_options_of_a_v6_socket_do_not_shape_its_packets(bed: Bed) -> None:
    sock = bed.bound(V6)
    sock.setsockopt(IP, linux.IP_TTL, 7)
    sock.setsockopt(IP, linux.IP_TOS, 0xB8)
    sock.sendto(request(V6), V6.name_of(V6.far))
    seen = bed.one_sent()
    assert (seen.ttl, seen.tos) == (64, 0)


def test_the_priority_is_not_visible_on_the_wire(bed: Bed) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(SOCKET, linux.SO_PRIORITY, 6)
    sock.sendto(request(V4), (V4.far, 0))
    assert bed.one_sent().tos == 0


# Devices


@both_families
def test_the_bound_device_is_read_back(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(SOCKET, linux.SO_BINDTODEVICE, b"ps1")
    assert bound_device(sock) == b"ps1"
    assert sock.getsockopt(SOCKET, linux.SO_BINDTOIFINDEX) == bed.index("ps1")


@both_families
def test_a_device_can_be_bound_by_its_index(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(SOCKET, linux.SO_BINDTOIFINDEX, bed.index("ps1"))
    assert bound_device(sock) == b"ps1"


@both_families
def test_an_empty_name_unbinds_the_device(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(SOCKET, linux.SO_BINDTODEVICE, b"ps1")
    sock.setsockopt(SOCKET, linux.SO_BINDTODEVICE, b"")
    assert bound_device(sock) == b""


@both_families
def test_a_device_of_an_unknown_name_is_none(bed: Bed, ip: Family) -> None:
    assert outcome(bed.socket(ip).setsockopt, SOCKET, linux.SO_BINDTODEVICE, b"nowhere0") == "ENODEV"


def test_a_device_can_be_bound_by_an_index_nobody_has(bed: Bed) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(SOCKET, linux.SO_BINDTOIFINDEX, NOWHERE)
    assert sock.getsockopt(SOCKET, linux.SO_BINDTOIFINDEX) == NOWHERE
    assert outcome(sock.sendto, request(V4), (V4.far, 0)) == "ENODEV"


UNICAST_IFS = {"v4": (V4, linux.IP_UNICAST_IF), "v6": (V6, linux.IPV6_UNICAST_IF)}


@rows("ip,option", UNICAST_IFS)
def test_unicast_if_takes_an_index_in_network_order(bed: Bed, ip: Family, option: int) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(ip.level, option, struct.pack("!I", bed.index("ps1")))
    assert sock.getsockopt(ip.level, option, 4) == struct.pack("!I", bed.index("ps1"))


@rows("ip,option", UNICAST_IFS)
def test_unicast_if_of_an_unknown_index(bed: Bed, ip: Family, option: int) -> None:
    assert outcome(bed.socket(ip).setsockopt, ip.level, option, struct.pack("!I", NOWHERE)) == "EADDRNOTAVAIL"


MULTICAST_IFS = {
    "own address": (lambda bed: V4.pack(V4.elsewhere), "OK"),
    "foreign address": (lambda bed: V4.pack(V4.distant), "EADDRNOTAVAIL"),
    "index": (lambda bed: struct.pack(linux.IP_MREQN_LAYOUT, bytes(4), bytes(4), bed.index("ps1")), "OK"),
    "unknown index": (lambda bed: struct.pack(linux.IP_MREQN_LAYOUT, bytes(4), bytes(4), NOWHERE), "EADDRNOTAVAIL"),
    "nothing": (lambda bed: bytes(4), "OK"),
    "too short": (lambda bed: bytes(3), "EINVAL"),
}


@rows("value,result", MULTICAST_IFS)
def test_multicast_if_v4(bed: Bed, value: Callable[[Bed], bytes], result: str) -> None:
    assert outcome(bed.socket(V4).setsockopt, IP, linux.IP_MULTICAST_IF, value(bed)) == result


@rows("interface,result", {"ps1": ("ps1", "OK"), "none": ("", "OK"), "unknown": ("nowhere", "ENODEV")})
def test_multicast_if_v6(bed: Bed, interface: str, result: str) -> None:
    index = NOWHERE if interface == "nowhere" else bed.index(interface) if interface else 0
    assert outcome(bed.socket(V6).setsockopt, IP6, linux.IPV6_MULTICAST_IF, index) == result


# What only reading shows


@both_families
def test_ip_protocol_reads_the_ident(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip)
    assert sock.getsockopt(IP, linux.IP_PROTOCOL) == 0
    sock.bind(ip.name_of(ip.any))
    assert sock.getsockopt(IP, linux.IP_PROTOCOL) == sock.getsockname()[1]


@both_families
@each("option", [linux.SO_TIMESTAMPING, linux.SO_TIMESTAMPING_NEW])
def test_timestamping_reads_flags_and_a_clock(bed: Bed, ip: Family, option: int) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(SOCKET, option, 0x18)
    assert sock.getsockopt(SOCKET, option, 64) == struct.pack("=II", 0x18, 0)
    assert sock.getsockopt(SOCKET, option) == 0x18


TIMESTAMPING_REFUSALS = {
    "a hardware clock": (linux.SOF_TIMESTAMPING_BIND_PHC, "EOPNOTSUPP"),
    "OPT_ID_TCP without OPT_ID": (linux.SOF_TIMESTAMPING_OPT_ID_TCP, "EINVAL"),
}


@rows("flags,result", TIMESTAMPING_REFUSALS)
def test_timestamping_refuses(bed: Bed, flags: int, result: str) -> None:
    assert outcome(bed.socket(V4).setsockopt, SOCKET, linux.SO_TIMESTAMPING, flags) == result


TIMEOUTS = {
    "a microsecond": ((0, 1), (0, 4000)),
    "a tick": ((0, 4000), (0, 4000)),
    "more than a tick": ((0, 4001), (0, 8000)),
    "almost two seconds": ((1, 999_999), (2, 0)),
    "negative": ((-1, 0), (0, 0)),
    "very long": ((2**54, 0), (2**54, 0)),
    "for ever": ((2**62, 5), (0, 0)),
}


@both_families
@each("option", [linux.SO_RCVTIMEO, linux.SO_SNDTIMEO])
@rows("given,shown", TIMEOUTS)
def test_timeouts_are_kept_in_ticks(
    bed: Bed, ip: Family, option: int, given: tuple[int, int], shown: tuple[int, int]
) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(SOCKET, option, struct.pack(linux.TIMEVAL_NEW_LAYOUT, *given))
    assert struct.unpack(linux.TIMEVAL_NEW_LAYOUT, sock.getsockopt(SOCKET, option, 16)) == shown


READ_ONLY: dict[str, tuple[Family, int, int, int | str]] = {
    "v6 PKTINFO": (V6, IP6, linux.IPV6_PKTINFO, "ENOPROTOOPT"),
    "v4 PASSCRED": (V4, SOCKET, linux.SO_PASSCRED, "EOPNOTSUPP"),
    "v4 PEEK_OFF": (V4, SOCKET, linux.SO_PEEK_OFF, "EOPNOTSUPP"),
    "v4 ZEROCOPY": (V4, SOCKET, linux.SO_ZEROCOPY, 0),
    "v4 ROUTER_ALERT": (V4, IP, linux.IP_ROUTER_ALERT, 0),
    "v4 NODEFRAG": (V4, IP, linux.IP_NODEFRAG, 0),
    "v4 MULTICAST_ALL": (V4, IP, linux.IP_MULTICAST_ALL, 1),
    "v6 IP_MULTICAST_ALL": (V6, IP, linux.IP_MULTICAST_ALL, 0),
    "v6 MULTICAST_ALL": (V6, IP6, linux.IPV6_MULTICAST_ALL, 1),
}


@rows("ip,level,option,shown", READ_ONLY)
def test_what_a_new_socket_reads(bed: Bed, ip: Family, level: int, option: int, shown: int | str) -> None:
    sock = bed.socket(ip)
    if isinstance(shown, str):
        assert outcome(sock.getsockopt, level, option) == shown
    else:
        assert sock.getsockopt(level, option) == shown


# V6ONLY


def test_v6only_cannot_be_changed_once_there_is_an_ident(bed: Bed) -> None:
    assert outcome(bed.bound(V6).setsockopt, IP6, linux.IPV6_V6ONLY, 0) == "EINVAL"


def test_without_v6only_connect_to_a_mapped_address_succeeds_and_no_send_does(bed: Bed) -> None:
    sock = bed.socket(V6)
    sock.setsockopt(IP6, linux.IPV6_V6ONLY, 0)
    sock.connect(V6.name_of("::ffff:10.9.0.2", 1))
    assert outcome(sock.send, request(V6)) == "EINVAL"


# Who may

UNPRIVILEGED: dict[str, tuple[Family, int, int, int | bytes, str]] = {
    "v4 SO_MARK": (V4, SOCKET, linux.SO_MARK, 1, "EPERM"),
    "v6 SO_MARK": (V6, SOCKET, linux.SO_MARK, 1, "EPERM"),
    "IP_TRANSPARENT": (V4, IP, linux.IP_TRANSPARENT, 1, "EPERM"),
    "SO_RCVBUFFORCE": (V4, SOCKET, linux.SO_RCVBUFFORCE, 100_000, "EPERM"),
    "SO_SNDBUFFORCE": (V4, SOCKET, linux.SO_SNDBUFFORCE, 100_000, "EPERM"),
    "priority 7": (V4, SOCKET, linux.SO_PRIORITY, 7, "EPERM"),
    "priority 6": (V4, SOCKET, linux.SO_PRIORITY, 6, "OK"),
    "SO_BINDTODEVICE": (V4, SOCKET, linux.SO_BINDTODEVICE, b"ps1", "OK"),
    "SO_RCVBUF": (V4, SOCKET, linux.SO_RCVBUF, 100_000, "OK"),
    "SO_BROADCAST": (V4, SOCKET, linux.SO_BROADCAST, 1, "OK"),
    "IP_TOS": (V4, IP, linux.IP_TOS, 0xB8, "OK"),
    "IP_FREEBIND": (V4, IP, linux.IP_FREEBIND, 1, "OK"),
    "IPV6_TCLASS": (V6, IP6, linux.IPV6_TCLASS, 0xB8, "OK"),
}


@rows("ip,level,option,value,result", UNPRIVILEGED)
def test_an_ordinary_user_sets(bed: Bed, ip: Family, level: int, option: int, value: int | bytes, result: str) -> None:
    def set_option(opened: Callable[[Family], Subject]) -> str:
        return outcome(opened(ip).setsockopt, level, option, value)

    assert bed.unprivileged(set_option) == result


@each("second", [b"ps0", b""])
def test_an_ordinary_user_binds_a_device_once(bed: Bed, second: bytes) -> None:
    def bind_twice(opened: Callable[[Family], Subject]) -> list[str]:
        sock = opened(V4)
        return [outcome(sock.setsockopt, SOCKET, linux.SO_BINDTODEVICE, name) for name in (b"ps1", second)]

    assert bed.unprivileged(bind_twice) == ["OK", "EPERM"]


@both_families
def test_options_can_be_set_before_there_is_an_ident(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip)
    with contextlib.suppress(OSError):
        sock.setsockopt(ip.level, ip.hop_limit, 7)
    sock.sendto(request(ip), ip.name_of(ip.far))
    assert bed.one_sent().ttl == 7
