"""The server a process shares: it comes with the first socket and goes with the last, leaving nothing."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from pingsock.link.raw import RawLink
from pingsock.service.embedded import EmbeddedServer
from pingsock.service.shared import connect_embedded
from pingsock.sockets.choose import open_ping_socket
from pingsock.sockets.served import ServedPingSocket
from pingsock.stack.policy import Policy


@pytest.fixture(autouse=True)
def _raw_sockets_are_possible() -> None:
    try:
        connect_embedded().close()
    except PermissionError as refusal:
        pytest.skip(f"raw sockets need CAP_NET_RAW: {refusal}")


def resources() -> tuple[int, list[str]]:
    """Descriptors, and the names of our threads."""
    return len(os.listdir("/proc/self/fd")), [t.name for t in threading.enumerate() if "pingsock" in t.name]


def echo(sock: object) -> bytes:
    assert isinstance(sock, ServedPingSocket)
    sock.settimeout(10)
    sock.sendto(bytes((8, 0)) + bytes(14), ("127.0.0.1", 0))
    return sock.recv(100)


def test_sockets_share_one_thread_and_leave_nothing() -> None:
    before = resources()
    with open_ping_socket(kinds=("embedded",)) as one, open_ping_socket(kinds=("embedded",)) as other:
        assert resources()[1] == [*before[1], "pingsock-embedded"]
        assert one.kind == other.kind == "embedded"
    assert resources() == before


def test_closing_twice_counts_once() -> None:
    with open_ping_socket(kinds=("embedded",)) as staying:
        going = open_ping_socket(kinds=("embedded",))
        going.close()
        going.close()
        assert echo(staying)[0] == 0


def test_a_forked_child_can_open_its_own() -> None:
    with open_ping_socket(kinds=("embedded",)):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = echo(open_ping_socket(kinds=("embedded",)))[0]
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_pair_the_policy_allows_is_answered_by_the_kernel() -> None:
    server = EmbeddedServer(RawLink.open(), Policy(pairs=frozenset({"timestamp"})))
    with ServedPingSocket(socket.AF_INET, server.connect()) as sock:
        sock.settimeout(10)
        sock.sendto(bytes((13, 0, 0, 0, 0, 0, 0, 7)) + bytes(12), ("127.0.0.1", 0))
        reply = sock.recv(100)
    server.close()
    assert (reply[0], reply[7], len(reply)) == (14, 7, 20)
