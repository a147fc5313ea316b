"""Section 8.3: poll()."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from bed.bed import Bed, outcome, request
from pingsock.wire import linux
from sockets.error_rules import pending
from sockets.rules import both_families, each, rows
from sockets.test_error_queue import local_error
from sockets.test_transmit_stamps import REPORT, SOFTWARE

if TYPE_CHECKING:
    from collections.abc import Callable

    from bed.families import Family
    from bed.subject import Subject

OUT = select.POLLOUT | select.POLLWRNORM | select.POLLWRBAND
IN = select.POLLIN | select.POLLRDNORM
ERR, HUP, PRI, RDHUP = select.POLLERR, select.POLLHUP, select.POLLPRI, select.POLLRDHUP


def events(bed: Bed, sock: Subject) -> int:
    """The mask; the writable kinds count as one."""
    mask = bed.poll(sock)
    return mask | OUT if mask & select.POLLOUT else mask


@both_families
@each("state", ["fresh", "bound", "connected"])
def test_an_idle_socket_is_writable_only(bed: Bed, ip: Family, state: str) -> None:
    sock = bed.in_state(ip, state)
    assert events(bed, sock) == OUT


@both_families
def test_data_is_readable_until_read(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    bed.reply(sock)
    assert events(bed, sock) == OUT | IN
    bed.take(sock)
    assert events(bed, sock) == OUT


@both_families
def test_a_pending_error_without_queue_is_an_error_until_it_is_returned(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    bed.hard_error(sock)
    assert events(bed, sock) == OUT | ERR
    pending(bed, sock)
    assert events(bed, sock) == OUT


def icmp_entry(bed: Bed, ip: Family) -> Subject:
    sock = bed.bound(ip, recverr=True)
    bed.soft_error(sock)
    return sock


def local_entry(bed: Bed, ip: Family) -> Subject:
    sock = bed.bound(ip, recverr=True)
    local_error(bed, sock, ip)
    return sock


def stamp_entry(bed: Bed, ip: Family) -> Subject:
    sock = bed.bound(ip)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING, SOFTWARE | REPORT)
    sock.sendto(request(ip), ip.name_of(ip.far))
    return sock


ENTRIES = {"icmp": icmp_entry, "local": local_entry, "stamp": stamp_entry}


@both_families
@rows("make", ENTRIES)
def test_a_queue_entry_is_an_error_until_it_is_read_whatever_so_error_says(
    bed: Bed, ip: Family, make: Callable[[Bed, Family], Subject]
) -> None:
    sock = make(bed, ip)
    assert events(bed, sock) == OUT | ERR
    pending(bed, sock)
    assert events(bed, sock) == OUT | ERR
    bed.take_entry(sock)
    assert events(bed, sock) == OUT


@both_families
@rows("make", ENTRIES)
def test_select_err_queue_adds_pri(bed: Bed, ip: Family, make: Callable[[Bed, Family], Subject]) -> None:
    sock = make(bed, ip)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_SELECT_ERR_QUEUE, 1)
    assert events(bed, sock) == OUT | ERR | PRI


@both_families
def test_data_and_an_error_show_together(bed: Bed, ip: Family) -> None:
    sock = icmp_entry(bed, ip)
    bed.reply(sock)
    assert events(bed, sock) == OUT | IN | ERR


SHUTDOWNS = {
    "read": (linux.SHUT_RD, IN | RDHUP),
    "write": (linux.SHUT_WR, 0),
    "both": (linux.SHUT_RDWR, IN | RDHUP | HUP),
}


@both_families
@each("connected", [False, True])
@rows("how,added", SHUTDOWNS)
def test_shutdown_shows(bed: Bed, ip: Family, connected: bool, how: int, added: int) -> None:
    sock = bed.connected(ip) if connected else bed.bound(ip)
    assert outcome(sock.shutdown, how) == ("OK" if connected else "ENOTCONN")
    assert events(bed, sock) == OUT | added


# The descriptor, which programs put into select, poll and epoll


def descriptor_readable(bed: Bed, sock: Subject) -> bool:
    bed.settle()
    return bool(select.select([sock], [], [], 0)[0])


@both_families
@each("state", ["fresh", "bound", "connected"])
def test_the_descriptor_of_an_idle_socket_is_not_readable(bed: Bed, ip: Family, state: str) -> None:
    sock = bed.in_state(ip, state)
    assert not descriptor_readable(bed, sock)


@both_families
def test_the_descriptor_is_readable_while_data_waits(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    for _ in range(2):
        bed.reply(sock)
    assert descriptor_readable(bed, sock)
    bed.take(sock)
    assert descriptor_readable(bed, sock)
    bed.take(sock)
    assert not descriptor_readable(bed, sock)


@both_families
@rows("make", ENTRIES)
def test_the_descriptor_is_readable_while_the_queue_holds_an_entry(
    bed: Bed, ip: Family, make: Callable[[Bed, Family], Subject]
) -> None:
    sock = make(bed, ip)
    assert descriptor_readable(bed, sock)
    pending(bed, sock)
    assert descriptor_readable(bed, sock)
    bed.take_entry(sock)
    assert not descriptor_readable(bed, sock)


@both_families
def test_the_descriptor_is_readable_while_an_error_is_pending(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    bed.hard_error(sock)
    assert descriptor_readable(bed, sock)
    pending(bed, sock)
    assert not descriptor_readable(bed, sock)


@both_families
def test_epoll_reports_data(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    with select.epoll() as poller:
        poller.register(sock.fileno(), select.EPOLLIN)
        assert poller.poll(0) == []
        bed.reply(sock)
        bed.settle()
        assert poller.poll(3) == [(sock.fileno(), select.EPOLLIN)]
