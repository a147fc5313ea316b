"""What a stack holds on to: nothing that was read, closed or given up."""

from __future__ import annotations

import contextlib
import gc
import struct
import tracemalloc
import weakref
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.stack import stack as stack_module
from pingsock.stack.sockaddr import pack_in
from pingsock.wire import linux
from pingsock.wire.linux import IP_RECVERR, MSG_DONTWAIT, MSG_ERRQUEUE, SOL_IP, SOL_SOCKET
from stack.quiet import FAR, arriving, error_about, make_stack, open_v4

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUEST = struct.pack(">BBHHH", 8, 0, 0, 0, 1) + bytes(8)
STEPS = ["reply", "error", "stamp", "read", "read error", "purge", "send", "SO_ERROR"]


@given(st.lists(st.sampled_from(STEPS), max_size=60))
def test_the_receive_buffer_is_charged_for_what_waits_and_for_nothing_else(steps: list[str]) -> None:
    stack, _host = make_stack()
    endpoint = open_v4(stack, ident=77)
    endpoint.setsockopt(SOL_SOCKET, linux.SO_RCVBUF, struct.pack("=i", 1))
    endpoint.options.receive_buffer = 5000
    endpoint.setsockopt(SOL_IP, IP_RECVERR, b"\1\0\0\0")
    do = {
        "reply": lambda: stack.deliver_untrusted(arriving(0, 77), 2, 1),
        "error": lambda: stack.deliver_untrusted(error_about(8, 77), 2, 1),
        "stamp": lambda: stack.transmitted(
            stack.expect_stamp(endpoint, None, linux.SOF_TIMESTAMPING_TX_SOFTWARE), 5, False, bytes(28)
        ),
        "read": lambda: endpoint.recvmsg(100, 100, MSG_DONTWAIT, 1),
        "read error": lambda: endpoint.recvmsg(100, 100, MSG_ERRQUEUE, 1),
        "purge": endpoint.purge_errors,
        "send": lambda: endpoint.sendmsg(REQUEST, pack_in(FAR)),
        "SO_ERROR": endpoint.take_pending_error,
    }
    for step in steps:
        with contextlib.suppress(OSError):
            do[step]()
        assert endpoint.charged == 832 * (len(endpoint.queue) + len(endpoint.error_queue))


def test_stamps_that_never_come_are_given_up_oldest_first() -> None:
    stack, _host = make_stack()
    endpoint = open_v4(stack, ident=77)
    keys = [
        stack.expect_stamp(endpoint, None, linux.SOF_TIMESTAMPING_TX_SOFTWARE)
        for _ in range(stack_module.MAXIMUM_AWAITED_STAMPS + 1)
    ]
    for key in (keys[0], keys[-1]):
        stack.transmitted(key, 5, False, bytes(28))
    assert len(endpoint.error_queue) == 1


def test_a_stamp_for_a_closed_socket_is_nobodys() -> None:
    stack, _host = make_stack()
    endpoint = open_v4(stack, ident=77)
    key = stack.expect_stamp(endpoint, None, linux.SOF_TIMESTAMPING_TX_SOFTWARE)
    endpoint.close()
    stack.transmitted(key, 5, False, bytes(28))
    assert not endpoint.error_queue


@pytest.fixture
def no_collections() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_a_closed_socket_is_gone_without_a_collection(no_collections: None) -> None:
    stack, _host = make_stack()
    endpoint = open_v4(stack)
    endpoint.sendmsg(REQUEST, pack_in(FAR))
    gone = weakref.ref(endpoint)
    endpoint.close()
    del endpoint
    assert gone() is None


def test_large_messages_are_not_kept_after_they_were_sent() -> None:
    stack, host = make_stack()
    endpoints = [open_v4(stack) for _ in range(20)]
    tracemalloc.start()
    try:
        for endpoint in endpoints:
            endpoint.setsockopt(SOL_IP, linux.IP_MTU_DISCOVER, struct.pack("=i", linux.IP_PMTUDISC_DONT))
            for message in (REQUEST, REQUEST + bytes(60000)):
                endpoint.sendmsg(message, pack_in(FAR))
            host.sent.clear()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < len(endpoints) * 60000 / 4


def test_a_closed_socket_leaves_no_ident_behind() -> None:
    stack, _host = make_stack()
    for _ in range(3):
        open_v4(stack, ident=77).close()
    assert not stack.idents.idents()


def test_the_same_calls_and_the_same_random_give_the_same_packets() -> None:
    def run() -> list[bytes]:
        stack, host = make_stack()
        for _ in range(3):
            open_v4(stack).sendmsg(REQUEST, pack_in(FAR))
        return [packet.message for packet in host.sent]

    assert run() == run()
