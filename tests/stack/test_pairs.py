"""Message pairs beyond Linux's two: refused unless the policy allows them, and then whole."""

from __future__ import annotations

import errno
import struct

import pytest

from pingsock.stack.pairs import OPTIONAL_PAIRS, PAIRS, Pair, PairTable
from pingsock.stack.policy import Policy
from pingsock.stack.sockaddr import pack_in
from pingsock.wire.checksum import checksum_holds
from pingsock.wire.linux import IP_RECVERR, MSG_DONTWAIT, MSG_ERRQUEUE, SOL_IP
from stack.quiet import FAR, arriving, error_about, make_stack, open_v4

OPTIONAL = [pair for pair in PAIRS if not pair.on_linux]
optional_pairs = pytest.mark.parametrize("pair", OPTIONAL, ids=[pair.name for pair in OPTIONAL])


def request(pair: Pair) -> bytes:
    return struct.pack(">BBHHH", pair.request, 0, 0xDEAD, 0xBEEF, 7) + bytes(12)


@optional_pairs
def test_a_pair_is_refused_by_default_in_every_direction(pair: Pair) -> None:
    stack, host = make_stack()
    endpoint = open_v4(stack, ident=77)
    endpoint.setsockopt(SOL_IP, IP_RECVERR, b"\1\0\0\0")
    with pytest.raises(OSError, match="Invalid") as caught:
        endpoint.sendmsg(request(pair), pack_in(FAR))
    stack.deliver_untrusted(arriving(pair.reply, 77), 2, 1)
    stack.deliver_untrusted(error_about(pair.request, 77), 2, 1)
    assert (caught.value.errno, host.sent, len(endpoint.queue), len(endpoint.error_queue)) == (errno.EINVAL, [], 0, 0)


@optional_pairs
def test_an_allowed_request_goes_out_with_ident_and_checksum_rewritten(pair: Pair) -> None:
    stack, host = make_stack(Policy(pairs=frozenset({pair.name})))
    open_v4(stack, ident=77).sendmsg(request(pair), pack_in(FAR))
    message = host.sent[0].message
    assert (message[0], message[4:6], message[6:]) == (pair.request, b"\0\x4d", request(pair)[6:])
    assert checksum_holds(message)


@optional_pairs
def test_the_reply_of_an_allowed_pair_is_delivered(pair: Pair) -> None:
    stack, _host = make_stack(Policy(pairs=frozenset({pair.name})))
    endpoint = open_v4(stack, ident=77)
    packet = arriving(pair.reply, 77)
    stack.deliver_untrusted(packet, 2, 1)
    assert endpoint.recvmsg(2048, 0, MSG_DONTWAIT, 1)[0] == packet[20:]


@optional_pairs
def test_errors_about_an_allowed_request_are_delivered(pair: Pair) -> None:
    stack, _host = make_stack(Policy(pairs=frozenset({pair.name})))
    endpoint = open_v4(stack, ident=77)
    endpoint.setsockopt(SOL_IP, IP_RECVERR, b"\1\0\0\0")
    stack.deliver_untrusted(error_about(pair.request, 77), 2, 1)
    assert endpoint.pending_error == errno.EHOSTUNREACH
    assert endpoint.recvmsg(2048, 512, MSG_ERRQUEUE, 1)[0][0] == pair.request


@optional_pairs
def test_a_pair_does_not_open_another(pair: Pair) -> None:
    stack, _host = make_stack(Policy(pairs=OPTIONAL_PAIRS - {pair.name}))
    with pytest.raises(OSError, match="Invalid"):
        open_v4(stack, ident=77).sendmsg(request(pair), pack_in(FAR))


def test_a_request_of_a_stranger_is_never_delivered() -> None:
    stack, _host = make_stack(Policy(pairs=OPTIONAL_PAIRS))
    endpoint = open_v4(stack, ident=77)
    for pair in PAIRS:
        stack.deliver_untrusted(arriving(pair.request, 77), 2, 1)
    assert not endpoint.queue


def test_an_unknown_pair_is_named() -> None:
    with pytest.raises(ValueError, match="'telepathy'"):
        PairTable({"telepathy"})


def test_a_policy_with_an_unknown_pair_leaves_the_old_one() -> None:
    stack, _host = make_stack(Policy(pairs=frozenset({"timestamp"})))
    with pytest.raises(ValueError, match="telepathy"):
        stack.apply_policy(Policy(pairs=frozenset({"telepathy"})))
    assert stack.policy.pairs == {"timestamp"}
