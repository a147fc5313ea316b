"""What sockets of one owner may queue together."""

from __future__ import annotations

from pingsock.stack.account import Account
from pingsock.stack.endpoint import charge_for
from pingsock.stack.policy import Credentials
from pingsock.stack.sockaddr import pack_in
from pingsock.wire.linux import AF_INET, IP_RECVERR, IPPROTO_ICMP, MSG_DONTWAIT, MSG_ERRQUEUE, SOCK_DGRAM, SOL_IP
from stack.quiet import arriving, make_stack

ONE = charge_for(len(arriving(0, 77)))


def two_sockets(account: Account) -> tuple:  # type: ignore[type-arg]
    stack, _ = make_stack()
    endpoints = [stack.socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP, Credentials()) for _ in range(2)]
    for ident, endpoint in enumerate(endpoints, 77):
        endpoint.account = account
        endpoint.bind(pack_in(bytes(4), ident))
        endpoint.setsockopt(SOL_IP, IP_RECVERR, b"\1\0\0\0")
    return stack, *endpoints


def test_what_waits_in_all_sockets_counts_together() -> None:
    account = Account(3 * ONE)
    stack, first, second = two_sockets(account)
    for ident in (77, 77, 78, 78, 77):
        stack.deliver_untrusted(arriving(0, ident), 2, 1)
    assert (len(first.queue), len(second.queue), first.drops, second.drops) == (2, 1, 1, 1)
    assert account.queued == first.charged + second.charged == 3 * ONE


def test_reading_makes_room_for_both() -> None:
    account = Account(ONE)
    stack, first, second = two_sockets(account)
    stack.deliver_untrusted(arriving(0, 77), 2, 1)
    first.recvmsg(100, 0, MSG_DONTWAIT, 1)
    stack.deliver_untrusted(arriving(0, 78), 2, 1)
    assert (account.queued, len(second.queue)) == (ONE, 1)


def test_closing_gives_everything_back() -> None:
    account = Account()
    stack, first, second = two_sockets(account)
    for ident in (77, 78):
        stack.deliver_untrusted(arriving(0, ident), 2, 1)
    first.close()
    second.close()
    assert account.queued == 0


def test_errors_count_too_and_a_full_account_loses_them() -> None:
    account = Account(ONE)
    _, first, second = two_sockets(account)
    for endpoint in (first, second):
        endpoint.setsockopt(SOL_IP, IP_RECVERR, b"\1\0\0\0")
        endpoint.connect(pack_in(bytes((10, 9, 0, 2)), 1))
        endpoint.setsockopt(SOL_IP, 10, b"\3\0\0\0")  # IP_MTU_DISCOVER: probe
        try:
            endpoint.sendmsg(bytes((8, 0)) + bytes(60000))
        except OSError:
            pass
    assert (len(first.error_queue), len(second.error_queue)) == (1, 0)
    first.recvmsg(10, 100, MSG_ERRQUEUE, 1)
    assert account.queued == 0
