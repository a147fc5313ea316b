"""Section 1: creation and permission."""

from __future__ import annotations

import fcntl
import os
import socket
from typing import TYPE_CHECKING

import pytest

from bed.bed import V4, V6, Bed, outcome
from bed.child import Credentials
from pingsock.wire import linux
from sockets.rules import both_families, each, rows

if TYPE_CHECKING:
    from bed.families import Family

IN, IN6, DGRAM = socket.AF_INET, socket.AF_INET6, socket.SOCK_DGRAM

WRONG_TRIPLES = {
    "inet dgram icmpv6": (IN, DGRAM, 58, "EPROTONOSUPPORT"),
    "inet6 dgram icmp": (IN6, DGRAM, 1, "EPROTONOSUPPORT"),
    "inet stream icmp": (IN, socket.SOCK_STREAM, 1, "EPROTONOSUPPORT"),
    "inet stream icmpv6": (IN, socket.SOCK_STREAM, 58, "EPROTONOSUPPORT"),
    "inet6 stream icmpv6": (IN6, socket.SOCK_STREAM, 58, "EPROTONOSUPPORT"),
    "inet6 stream icmp": (IN6, socket.SOCK_STREAM, 1, "EPROTONOSUPPORT"),
    "inet dgram igmp": (IN, DGRAM, 2, "EPROTONOSUPPORT"),
    "inet dgram raw": (IN, DGRAM, 255, "EPROTONOSUPPORT"),
    "inet seqpacket icmp": (IN, socket.SOCK_SEQPACKET, 1, "ESOCKTNOSUPPORT"),
}


@rows("family,type_,protocol,refusal", WRONG_TRIPLES)
def test_other_combinations_of_family_type_and_protocol_are_refused(
    bed: Bed, family: int, type_: int, protocol: int, refusal: str
) -> None:
    assert outcome(bed.create, family, type_, protocol) == refusal


FRESH_VALUES = {
    "SO_TYPE": (linux.SOL_SOCKET, linux.SO_TYPE, 2, 2),
    "SO_PROTOCOL": (linux.SOL_SOCKET, linux.SO_PROTOCOL, 1, 58),
    "SO_DOMAIN": (linux.SOL_SOCKET, linux.SO_DOMAIN, 2, 10),
    "SO_REUSEADDR": (linux.SOL_SOCKET, linux.SO_REUSEADDR, 1, 1),
    "SO_REUSEPORT": (linux.SOL_SOCKET, linux.SO_REUSEPORT, 0, 0),
    "SO_BROADCAST": (linux.SOL_SOCKET, linux.SO_BROADCAST, 0, 0),
    "SO_ERROR": (linux.SOL_SOCKET, linux.SO_ERROR, 0, 0),
    "SO_MARK": (linux.SOL_SOCKET, linux.SO_MARK, 0, 0),
    "SO_PRIORITY": (linux.SOL_SOCKET, linux.SO_PRIORITY, 0, 0),
    "SO_DONTROUTE": (linux.SOL_SOCKET, linux.SO_DONTROUTE, 0, 0),
    "SO_TIMESTAMP": (linux.SOL_SOCKET, linux.SO_TIMESTAMP, 0, 0),
    "SO_TIMESTAMPING": (linux.SOL_SOCKET, linux.SO_TIMESTAMPING, 0, 0),
    "SO_ACCEPTCONN": (linux.SOL_SOCKET, linux.SO_ACCEPTCONN, 0, 0),
    "IP_TTL": (linux.SOL_IP, linux.IP_TTL, 64, 64),
    "IP_MULTICAST_TTL": (linux.SOL_IP, linux.IP_MULTICAST_TTL, 1, 1),
    "IP_MULTICAST_LOOP": (linux.SOL_IP, linux.IP_MULTICAST_LOOP, 1, 1),
    "IP_TOS": (linux.SOL_IP, linux.IP_TOS, 0, 0),
    "IP_MTU_DISCOVER": (linux.SOL_IP, linux.IP_MTU_DISCOVER, 1, 1),
    "IP_RECVERR": (linux.SOL_IP, linux.IP_RECVERR, 0, 0),
    "IP_RECVTTL": (linux.SOL_IP, linux.IP_RECVTTL, 0, 0),
    "IP_PKTINFO": (linux.SOL_IP, linux.IP_PKTINFO, 0, 0),
    "IP_FREEBIND": (linux.SOL_IP, linux.IP_FREEBIND, 0, 0),
    "IPV6_V6ONLY": (linux.SOL_IPV6, linux.IPV6_V6ONLY, None, 1),
    "IPV6_UNICAST_HOPS": (linux.SOL_IPV6, linux.IPV6_UNICAST_HOPS, None, 64),
    "IPV6_MULTICAST_HOPS": (linux.SOL_IPV6, linux.IPV6_MULTICAST_HOPS, None, 1),
    "IPV6_MULTICAST_LOOP": (linux.SOL_IPV6, linux.IPV6_MULTICAST_LOOP, None, 1),
    "IPV6_MTU_DISCOVER": (linux.SOL_IPV6, linux.IPV6_MTU_DISCOVER, None, 1),
    "IPV6_TCLASS": (linux.SOL_IPV6, linux.IPV6_TCLASS, None, 0),
    "IPV6_AUTOFLOWLABEL": (linux.SOL_IPV6, linux.IPV6_AUTOFLOWLABEL, None, 1),
    "IPV6_RECVERR": (linux.SOL_IPV6, linux.IPV6_RECVERR, None, 0),
    "IPV6_DONTFRAG": (linux.SOL_IPV6, linux.IPV6_DONTFRAG, None, 0),
    "IPV6_FLOWINFO_SEND": (linux.SOL_IPV6, linux.IPV6_FLOWINFO_SEND, None, 0),
}
FRESH_V4 = {name: (level, option, v4) for name, (level, option, v4, _) in FRESH_VALUES.items() if v4 is not None}
FRESH_V6 = {name: (level, option, v6) for name, (level, option, _, v6) in FRESH_VALUES.items()}


@rows("level,option,value", FRESH_V4)
def test_fresh_value_of_option_v4(bed: Bed, level: int, option: int, value: int) -> None:
    assert bed.socket(V4).getsockopt(level, option) == value


@rows("level,option,value", FRESH_V6)
def test_fresh_value_of_option_v6(bed: Bed, level: int, option: int, value: int) -> None:
    assert bed.socket(V6).getsockopt(level, option) == value


@both_families
@rows(
    "option,sysctl",
    {"SO_RCVBUF": (linux.SO_RCVBUF, "core.rmem_default"), "SO_SNDBUF": (linux.SO_SNDBUF, "core.wmem_default")},
)
def test_fresh_buffer_sizes_are_the_defaults_of_the_host(bed: Bed, ip: Family, option: int, sysctl: str) -> None:
    assert bed.socket(ip).getsockopt(linux.SOL_SOCKET, option) == int(bed.read_sysctl(sysctl))


def test_no_path_mtu_discovery_at_all_is_a_setting_of_the_host_read_at_creation(bed: Bed) -> None:
    before = bed.socket(V4)
    with bed.sysctl("ipv4.ip_no_pmtu_disc", 1):
        assert bed.socket(V4).getsockopt(linux.SOL_IP, linux.IP_MTU_DISCOVER) == linux.IP_PMTUDISC_DONT
        assert before.getsockopt(linux.SOL_IP, linux.IP_MTU_DISCOVER) == linux.IP_PMTUDISC_WANT


def test_fresh_ttl_is_the_default_of_the_host(bed: Bed) -> None:
    with bed.sysctl("ipv4.ip_default_ttl", 77):
        assert bed.socket(V4).getsockopt(linux.SOL_IP, linux.IP_TTL) == 77


@both_families
def test_a_fresh_socket_has_the_unspecified_name(bed: Bed, ip: Family) -> None:
    assert bed.socket(ip).getsockname() == ip.name_of(ip.any)


@both_families
def test_a_fresh_socket_has_no_peer(bed: Bed, ip: Family) -> None:
    assert outcome(bed.socket(ip).getpeername) == "ENOTCONN"


@both_families
@each("state", ["fresh", "bound", "connected"])
def test_listen_is_not_supported_in_any_state(bed: Bed, ip: Family, state: str) -> None:
    assert outcome(bed.in_state(ip, state).listen, 1) == "EOPNOTSUPP"


@both_families
@each("state", ["fresh", "bound", "connected"])
def test_accept_is_not_supported_in_any_state(bed: Bed, ip: Family, state: str) -> None:
    assert outcome(bed.in_state(ip, state).accept) == "EOPNOTSUPP"


@both_families
def test_nonblocking_can_be_asked_for_in_the_type(bed: Bed, ip: Family) -> None:
    with bed.create(ip.af, DGRAM | socket.SOCK_NONBLOCK, ip.protocol) as sock:
        sock.bind(ip.name_of(ip.any))
        assert outcome(sock.recv, 100) == "EAGAIN"


@both_families
def test_the_descriptor_is_not_inheritable(bed: Bed, ip: Family) -> None:
    descriptor = bed.socket(ip).fileno()
    assert fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    assert not os.get_inheritable(descriptor)


ANY_USER = 1000
PERMISSIONS = {
    "gid inside": ((90, 110), Credentials(ANY_USER, 100), "OK"),
    "gid at the low end": ((100, 110), Credentials(ANY_USER, 100), "OK"),
    "gid at the high end": ((90, 100), Credentials(ANY_USER, 100), "OK"),
    "gid alone": ((100, 100), Credentials(ANY_USER, 100), "OK"),
    "gid below": ((101, 110), Credentials(ANY_USER, 100), "EACCES"),
    "gid above": ((90, 99), Credentials(ANY_USER, 100), "EACCES"),
    "a supplementary group inside": ((50, 60), Credentials(ANY_USER, 100, (10, 55, 200)), "OK"),
    "the last of 61 supplementary groups inside": (
        (5060, 5060),
        Credentials(ANY_USER, 100, tuple(range(5000, 5061))),
        "OK",
    ),
    "no supplementary group inside": ((50, 60), Credentials(ANY_USER, 100, (49, 61)), "EACCES"),
    "uid inside, gid not": ((ANY_USER, ANY_USER), Credentials(ANY_USER, 100), "EACCES"),
    "root with every capability outside": ((100, 200), Credentials(0, 0, (), True), "EACCES"),
    "root in the empty range": ((1, 0), Credentials(0, 0, (), True), "EACCES"),
    "root inside": ((0, 0), Credentials(0, 0, (), True), "OK"),
    "nobody in the widest range": ((0, 4294967294), Credentials(), "OK"),
}


@pytest.mark.usefixtures("every_id")
@both_families
@rows("group_range,who,result", PERMISSIONS)
def test_permission_is_a_matter_of_groups_alone(
    bed: Bed, ip: Family, group_range: tuple[int, int], who: Credentials, result: str
) -> None:
    def refuse() -> None:
        number = bed.may_open(ip, group_range, who)
        if number:
            raise OSError(number, "")

    assert outcome(refuse) == result


@pytest.mark.usefixtures("every_id")
@both_families
def test_a_range_closed_later_leaves_open_sockets_alone(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip)
    with bed.sysctl("ipv4.ping_group_range", "1 0"):
        sock.bind(ip.name_of(ip.any))
        sock.connect(ip.name_of(ip.far, 1))
        assert sock.send(bytes([ip.request]) + bytes(7)) == 8


RANGE_TEXTS = {
    "two numbers": ("10 20", "10\t20"),
    "a tab between": ("10\t20", "10\t20"),
    "more blanks": ("  10    20", "10\t20"),
    "hexadecimal": ("0x10 0x20", "16\t32"),
    "a vertical tab before": ("\v10 \v20", "10\t20"),
    "a line end behind": ("10 20\n", "10\t20"),
    "more numbers": ("10 20 30", "10\t20"),
    "the largest": ("0 4294967294", "0\t4294967294"),
    "low above high": ("20 10", "1\t0"),
    "one number": ("2000000000", "1\t0"),
}
BAD_RANGE_TEXTS = {
    "too large": "0 4294967295",
    "negative": "-1 10",
    "no number": "all of them",
    "a line end alone": "\n",
    "blanks alone": "  ",
    "a vertical tab between": "1\v2",
    "a vertical tab behind": "1 2\v",
    "an underscore": "1_000 2000",
    "binary": "0b1 5",
    "octal as in Python": "0o7 9",
    "a sign before": "+5 6",
    "a sign between": "5 +6",
    "octal that is none": "08 9",
    "hexadecimal without digits": "0x 5",
    "hexadecimal twice": "0x0x5 9",
}


@pytest.mark.usefixtures("every_id")
@rows("written,read", RANGE_TEXTS)
def test_group_range_as_written_and_read(bed: Bed, written: str, read: str) -> None:
    with bed.sysctl("ipv4.ping_group_range", "0 1000"), bed.sysctl("ipv4.ping_group_range", written):
        assert bed.read_sysctl("ipv4.ping_group_range") == read


@pytest.mark.usefixtures("every_id")
@rows("written", BAD_RANGE_TEXTS)
def test_a_group_range_that_is_refused_leaves_the_old_one(bed: Bed, written: str) -> None:
    with bed.sysctl("ipv4.ping_group_range", "0 1000"):
        assert outcome(bed.write_sysctl, "ipv4.ping_group_range", written) == "EINVAL"
        assert bed.read_sysctl("ipv4.ping_group_range") == "0\t1000"
