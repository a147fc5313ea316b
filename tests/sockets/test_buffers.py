"""Section 9: the receive and send buffers."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from bed.bed import V4, V6, Bed, outcome, request
from pingsock.wire import linux
from sockets.rules import both_families, rows

if TYPE_CHECKING:
    from bed.families import Family
    from bed.subject import Subject

SOCKET = linux.SOL_SOCKET


def drain(bed: Bed, sock: Subject) -> int:
    """How many datagrams wait."""
    count = 0
    while bed.arrived(sock):
        count += 1
    return count


def dropped(sock: Subject) -> int:
    info = sock.getsockopt(SOCKET, linux.SO_MEMINFO, 36)
    return int(struct.unpack("=9I", info)[linux.SK_MEMINFO_DROPS])


# Setting a size

SIZES = {
    "SO_RCVBUF doubled": (linux.SO_RCVBUF, 10_000, 20_000),
    "SO_RCVBUF smallest": (linux.SO_RCVBUF, 0, 2304),
    "SO_RCVBUF 1": (linux.SO_RCVBUF, 1, 2304),
    "SO_SNDBUF doubled": (linux.SO_SNDBUF, 10_000, 20_000),
    "SO_SNDBUF smallest": (linux.SO_SNDBUF, 0, 4608),
}


@both_families
@rows("option,given,shown", SIZES)
def test_buffer_size(bed: Bed, ip: Family, option: int, given: int, shown: int) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(SOCKET, option, given)
    assert sock.getsockopt(SOCKET, option) == shown


LIMITS = {"SO_RCVBUF": (linux.SO_RCVBUF, "core.rmem_max"), "SO_SNDBUF": (linux.SO_SNDBUF, "core.wmem_max")}


@both_families
@rows("option,sysctl", LIMITS)
def test_a_buffer_is_at_most_twice_the_maximum_of_the_host(bed: Bed, ip: Family, option: int, sysctl: str) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(SOCKET, option, 2**30)
    assert sock.getsockopt(SOCKET, option) == 2 * int(bed.read_sysctl(sysctl))


@pytest.mark.usefixtures("every_id")
@rows(
    "option,shown",
    {
        "SO_RCVBUFFORCE": (linux.SO_RCVBUFFORCE, linux.SO_RCVBUF),
        "SO_SNDBUFFORCE": (linux.SO_SNDBUFFORCE, linux.SO_SNDBUF),
    },
)
def test_force_goes_beyond_the_maximum(bed: Bed, option: int, shown: int) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(SOCKET, option, 2**25)
    assert sock.getsockopt(SOCKET, shown) == 2**26


# Filling it

CHARGES = {
    "small": (56, 79),
    "of 500 bytes": (500, 52),
    "of 1200 bytes": (1200, 29),
}


@both_families
@rows("payload,kept", CHARGES)
def test_a_receive_buffer_of_65536_holds_messages(bed: Bed, ip: Family, payload: int, kept: int) -> None:
    sock = bed.bound(ip)
    sock.setsockopt(SOCKET, linux.SO_RCVBUF, 32768)
    for _ in range(kept + 10):
        bed.reply(sock, bytes(payload))
    assert drain(bed, sock) == kept


@both_families
def test_the_smallest_buffer_takes_messages_while_less_than_its_size_is_charged(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    sock.setsockopt(SOCKET, linux.SO_RCVBUF, 0)
    for _ in range(10):
        bed.reply(sock, bytes(56))
    assert drain(bed, sock) == 3


@both_families
def test_the_newcomer_is_dropped_and_the_oldest_stay(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    sock.setsockopt(SOCKET, linux.SO_RCVBUF, 0)
    for sequence in range(10):
        bed.reply(sock, bytes(56), sequence=sequence)
    assert [bed.take(sock).data[7] for _ in range(3)] == [0, 1, 2]


@both_families
def test_a_drop_is_no_error(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    sock.setsockopt(SOCKET, linux.SO_RCVBUF, 0)
    for _ in range(10):
        bed.reply(sock)
    assert bed.pending_error(sock) == 0
    assert bed.queue_empty(sock)


@both_families
def test_drops_are_counted(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    sock.setsockopt(SOCKET, linux.SO_RCVBUF, 0)
    for _ in range(10):
        bed.reply(sock, bytes(56))
    bed.settle()
    assert dropped(sock) == 7
    drain(bed, sock)
    assert dropped(sock) == 7


@both_families
def test_read_messages_make_room(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    sock.setsockopt(SOCKET, linux.SO_RCVBUF, 0)
    for _ in range(10):
        bed.reply(sock)
    drain(bed, sock)
    bed.reply(sock, b"after")
    assert bed.take(sock).data[8:] == b"after"


# Sending without room


@rows("ip,recverr", {"v4 plain": (V4, False), "v4 with recverr": (V4, True)})
def test_a_packet_the_queue_of_the_device_drops_is_an_error_on_v4(bed: Bed, ip: Family, recverr: bool) -> None:
    sock = bed.bound(ip, recverr=recverr)
    with bed.full_queue():
        assert outcome(sock.sendto, request(ip), ip.name_of(ip.far)) == "ENOBUFS"


def test_a_packet_the_queue_of_the_device_drops_is_a_success_on_v6(bed: Bed) -> None:
    sock = bed.bound(V6)
    with bed.full_queue():
        assert outcome(sock.sendto, request(V6), V6.name_of(V6.far)) == "OK"


def fill(sock: Subject, ip: Family, address: str) -> None:
    """Send until there is no room."""
    sock.setsockopt(SOCKET, linux.SO_SNDBUF, 0)
    for _ in range(100):
        if outcome(sock.sendto, request(ip), linux.MSG_DONTWAIT, ip.name_of(address)) == "EAGAIN":
            return
    raise AssertionError("the send buffer never filled up")


@both_families
def test_a_full_send_buffer_gives_eagain(bed: Bed, ip: Family) -> None:
    with bed.silent_neighbours() as addresses:
        sock = bed.bound(ip)
        fill(sock, ip, addresses[ip])
        assert outcome(sock.sendto, request(ip), linux.MSG_DONTWAIT, ip.name_of(addresses[ip])) == "EAGAIN"


@both_families
def test_a_socket_with_a_full_send_buffer_is_not_writable(bed: Bed, ip: Family) -> None:
    with bed.silent_neighbours() as addresses:
        sock = bed.bound(ip)
        fill(sock, ip, addresses[ip])
        assert sock.poll_events() & 0x4 == 0


def test_a_blocking_v4_socket_waits_for_room_as_long_as_the_send_timeout(bed: Bed) -> None:
    with bed.silent_neighbours() as addresses:
        sock = bed.bound(V4)
        fill(sock, V4, addresses[V4])
        sock.setsockopt(SOCKET, linux.SO_SNDTIMEO, struct.pack(linux.TIMEVAL_LAYOUT, 0, 20_000))
        assert outcome(sock.sendto, request(V4), (addresses[V4], 0)) == "EAGAIN"


def test_a_blocking_v6_socket_does_not_wait_for_room(bed: Bed) -> None:
    with bed.silent_neighbours() as addresses:
        sock = bed.bound(V6)
        fill(sock, V6, addresses[V6])
        assert outcome(sock.sendto, request(V6), V6.name_of(addresses[V6])) == "EAGAIN"


# A neighbour that does not answer (section 7.5)

NO_NEIGHBOUR = {"v4": (V4, 3, 1), "v6": (V6, 1, 3)}


@rows("ip,type_,code", NO_NEIGHBOUR)
def test_a_neighbour_that_does_not_answer_is_an_icmp_error_of_our_own(
    bed: Bed, ip: Family, type_: int, code: int
) -> None:
    with bed.silent_neighbours(retry_milliseconds=10) as addresses:
        sock = bed.bound(ip, recverr=True)
        assert outcome(sock.sendto, request(ip), ip.name_of(addresses[ip])) == "OK"
        bed.wait_for(sock)
        error = bed.take_error(sock)
    assert (error.errno, error.origin, error.type, error.code) == (113, ip.ee_origin, type_, code)
    assert error.name[0] == addresses[ip]
    assert error.offender[1] == bed.silent_host[ip]
