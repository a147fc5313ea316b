"""Section 8.2: the pending error."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from bed.bed import Bed, outcome, request
from pingsock.wire import linux
from sockets.error_rules import pending
from sockets.rules import both_families, each, rows
from sockets.test_error_queue import local_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from bed.families import Family
    from bed.subject import Subject


def with_pending(bed: Bed, ip: Family, *, recverr: bool = True) -> Subject:
    """A connected socket with ECONNREFUSED pending."""
    sock = bed.connected(ip, recverr=recverr)
    bed.hard_error(sock)
    bed.settle()
    return sock


@both_families
@each("recverr", [False, True])
def test_so_error_returns_and_clears(bed: Bed, ip: Family, recverr: bool) -> None:
    sock = with_pending(bed, ip, recverr=recverr)
    assert [pending(bed, sock) for _ in range(2)] == ["ECONNREFUSED", "OK"]


@both_families
def test_so_error_leaves_the_queue(bed: Bed, ip: Family) -> None:
    sock = with_pending(bed, ip)
    pending(bed, sock)
    assert not bed.queue_empty(sock)


@both_families
@each("flags", [0, linux.MSG_PEEK])
def test_recv_returns_and_clears(bed: Bed, ip: Family, flags: int) -> None:
    sock = with_pending(bed, ip)
    assert outcome(sock.recv, 100, flags) == "ECONNREFUSED"
    assert outcome(sock.recv, 100, flags | linux.MSG_DONTWAIT) == "EAGAIN"


@both_families
@each("flags", [0, linux.MSG_PEEK])
def test_recv_returns_it_even_if_data_waits(bed: Bed, ip: Family, flags: int) -> None:
    sock = bed.connected(ip, recverr=True)
    bed.reply(sock)
    bed.hard_error(sock)
    bed.settle()
    assert outcome(sock.recv, 100, flags) == "ECONNREFUSED"
    assert bed.arrived(sock)


@both_families
def test_send_returns_it_clears_it_and_sends_nothing(bed: Bed, ip: Family) -> None:
    sock = with_pending(bed, ip)
    assert outcome(sock.send, request(ip)) == "ECONNREFUSED"
    assert bed.nothing_sent()
    assert outcome(sock.send, request(ip)) == "OK"


@both_families
def test_reading_the_last_entry_clears_it(bed: Bed, ip: Family) -> None:
    sock = with_pending(bed, ip)
    bed.take_error(sock)
    assert pending(bed, sock) == "OK"


@both_families
def test_reading_an_entry_makes_the_next_ones_errno_pending(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    bed.hard_error(sock)
    bed.soft_error(sock)
    assert pending(bed, sock) == "EHOSTUNREACH"
    bed.take_error(sock)
    assert pending(bed, sock) == "EHOSTUNREACH"


@both_families
def test_reading_an_entry_overwrites_the_pending_error_with_the_next_ones(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    bed.soft_error(sock)
    bed.hard_error(sock)
    bed.soft_error(sock)
    bed.take_error(sock)
    assert pending(bed, sock) == "ECONNREFUSED"


CALLS: dict[str, Callable[[Family, Subject], object]] = {
    "connect": lambda ip, sock: sock.connect(ip.name_of(ip.distant, 1)),
    "shutdown": lambda ip, sock: sock.shutdown(linux.SHUT_WR),
    "setsockopt": lambda ip, sock: sock.setsockopt(ip.level, ip.hop_limit, 3),
    "getsockname": lambda ip, sock: sock.getsockname(),
    "getpeername": lambda ip, sock: sock.getpeername(),
    "bind": lambda ip, sock: outcome(sock.bind, ip.name_of(ip.any)),
    "poll": lambda ip, sock: sock.poll_events(),
}


@both_families
@rows("call", CALLS)
def test_call_leaves_the_pending_error(bed: Bed, ip: Family, call: Callable[[Family, Subject], object]) -> None:
    sock = with_pending(bed, ip)
    call(ip, sock)
    assert pending(bed, sock) == "ECONNREFUSED"


@both_families
def test_a_blocked_recv_wakes_with_it(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(outcome(sock.recv, 100)))
    reader.start()
    bed.hard_error(sock)
    reader.join(3)
    assert found == ["ECONNREFUSED"]


@both_families
def test_queueing_a_local_error_leaves_it(bed: Bed, ip: Family) -> None:
    sock = with_pending(bed, ip)
    local_error(bed, sock, ip)
    assert pending(bed, sock) == "ECONNREFUSED"


@both_families
def test_a_local_error_alone_is_not_pending(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    local_error(bed, sock, ip)
    assert pending(bed, sock) == "OK"


@both_families
def test_reading_a_local_entry_makes_the_next_icmp_errno_pending(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    local_error(bed, sock, ip)
    bed.soft_error(sock)
    bed.settle()
    pending(bed, sock)
    bed.take_error(sock)
    assert pending(bed, sock) == "EHOSTUNREACH"


@both_families
def test_reading_the_last_local_entry_leaves_the_pending_error(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    local = bed.connected(ip, recverr=True)
    for one in (sock, local):
        bed.hard_error(one)
    bed.take_error(local)
    local_error(bed, local, ip)
    bed.hard_error(local, quote=bed.quote(local))
    bed.settle()
    assert bed.take_error(local).origin == linux.SO_EE_ORIGIN_LOCAL
    assert pending(bed, local) == "ECONNREFUSED"


@both_families
def test_reading_an_icmp_entry_before_a_local_one_clears_it(bed: Bed, ip: Family) -> None:
    sock = with_pending(bed, ip)
    local_error(bed, sock, ip)
    bed.take_error(sock)
    assert pending(bed, sock) == "OK"


@both_families
def test_receiving_from_the_queue_does_not_return_it(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    bed.hard_error(sock)
    bed.settle()
    assert outcome(sock.recv, 100, linux.MSG_ERRQUEUE) == "EAGAIN"
    assert pending(bed, sock) == "ECONNREFUSED"


@both_families
def test_a_soft_error_with_recverr_fails_the_next_send_once(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, recverr=True)
    bed.soft_error(sock)
    bed.settle()
    results = [outcome(sock.sendto, request(ip), ip.name_of(ip.far)) for _ in range(2)]
    assert results == ["EHOSTUNREACH", "OK"]
