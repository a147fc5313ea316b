"""Section 9: shutdown, close and ioctl."""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING

from bed.bed import Bed, outcome, request
from pingsock.wire import linux
from sockets.rules import both_families, each, rows
from sockets.test_bind import hold_alone, ident

if TYPE_CHECKING:
    from bed.families import Family

HOWS = {"SHUT_RD": linux.SHUT_RD, "SHUT_WR": linux.SHUT_WR, "SHUT_RDWR": linux.SHUT_RDWR}


@both_families
@rows("how", HOWS)
@each("state", ["fresh", "bound"])
def test_shutdown_of_an_unconnected_socket_says_so(bed: Bed, ip: Family, how: int, state: str) -> None:
    sock = bed.in_state(ip, state)
    assert outcome(sock.shutdown, how) == "ENOTCONN"


@both_families
@rows("how", HOWS)
def test_shutdown_of_a_connected_socket_can_be_repeated(bed: Bed, ip: Family, how: int) -> None:
    sock = bed.connected(ip)
    assert [outcome(sock.shutdown, how) for _ in range(2)] == ["OK", "OK"]


@both_families
@each("how", [-1, 3, 99])
def test_other_ways_to_shut_down_are_invalid(bed: Bed, ip: Family, how: int) -> None:
    assert outcome(bed.connected(ip).shutdown, how) == "EINVAL"


@both_families
@each("connected", [False, True])
def test_shut_for_reading_recv_returns_nothing_at_once(bed: Bed, ip: Family, connected: bool) -> None:
    sock = bed.connected(ip) if connected else bed.bound(ip)
    outcome(sock.shutdown, linux.SHUT_RD)
    assert sock.recv(100) == b""


@both_families
def test_shut_for_reading_a_recv_that_must_not_wait_is_told_to_try_again(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    sock.shutdown(linux.SHUT_RD)
    assert outcome(sock.recv, 100, linux.MSG_DONTWAIT) == "EAGAIN"


@both_families
def test_shut_for_reading_data_still_arrives(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    sock.shutdown(linux.SHUT_RD)
    sent = bed.reply(sock)
    bed.settle()
    assert [sock.recv(100), sock.recv(100)] == [sent, b""]


@both_families
def test_shutdown_wakes_a_blocked_recv(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_RCVTIMEO, struct.pack(linux.TIMEVAL_LAYOUT, 3, 0))
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(sock.recv(100)))
    reader.start()
    sock.shutdown(linux.SHUT_RD)
    reader.join(5)
    assert found == [b""]


@both_families
@each("how", [linux.SHUT_WR, linux.SHUT_RDWR])
@each("connected", [False, True])
def test_shut_for_writing_send_finds_a_broken_pipe(bed: Bed, ip: Family, how: int, connected: bool) -> None:
    sock = bed.connected(ip) if connected else bed.bound(ip)
    outcome(sock.shutdown, how)
    assert outcome(sock.sendto, request(ip), ip.name_of(ip.far)) == "EPIPE"
    assert bed.nothing_sent()


@both_families
def test_shut_for_writing_stays_so_after_another_connect(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    sock.shutdown(linux.SHUT_WR)
    assert outcome(sock.connect, ip.name_of(ip.distant, 1)) == "OK"
    assert outcome(sock.send, request(ip)) == "EPIPE"


@both_families
def test_shut_for_writing_receives_as_before(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    sock.shutdown(linux.SHUT_WR)
    bed.reply(sock)
    assert bed.arrived(sock)


@both_families
def test_shut_for_reading_sends_as_before(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    sock.shutdown(linux.SHUT_RD)
    assert outcome(sock.send, request(ip)) == "OK"


@both_families
def test_close_frees_the_ident(bed: Bed, ip: Family) -> None:
    sock = hold_alone(bed, ip, 0)
    number = ident(sock)
    sock.close()
    assert ident(hold_alone(bed, ip, number)) == number


@both_families
def test_what_waits_is_gone_with_close(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    number = ident(sock)
    bed.reply(sock)
    bed.settle()
    sock.close()
    assert bed.nothing_arrived(bed.socket(ip, bound=ip.any, ident=number))


IOCTLS = {"FIONREAD": 0x541B, "SIOCOUTQ": 0x5411, "SIOCATMARK": 0x8905}


@both_families
@rows("number", IOCTLS)
def test_ioctl_of_other_sockets_is_unknown(bed: Bed, ip: Family, number: int) -> None:
    sock = bed.bound(ip)
    bed.reply(sock)
    bed.settle()
    assert outcome(bed.ioctl, sock, number) == "ENOTTY"
