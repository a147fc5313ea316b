"""Many clients send much in the same moment, and the link has little room for the replies: none is lost."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from pingsock.service import frames
from pingsock.service.frames import MAXIMUM_FRAME, Answer, Message, Request, parse_answer_untrusted
from pingsock.service.guard import GuardedLink
from pingsock.service.server import MOST_EVENTS
from pingsock.stack.sockaddr import pack_in, pack_in6
from pingsock.wire import linux
from pingsock.wire.linux import AF_INET, AF_INET6, MSG_DONTWAIT, MSG_ERRQUEUE, SOL_SOCKET
from service.test_server import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("namespace")

CLIENTS, MESSAGES = 24, 40
UNPRIVILEGED_BUFFER = 212992
"""What SO_RCVBUF gives without CAP_NET_ADMIN where nobody has changed net.core.rmem_max."""
STAMPS = (
    linux.SOF_TIMESTAMPING_TX_SOFTWARE
    | linux.SOF_TIMESTAMPING_TX_SCHED
    | linux.SOF_TIMESTAMPING_SOFTWARE
    | linux.SOF_TIMESTAMPING_OPT_TSONLY
)
FAMILIES = {
    "IPv4": (AF_INET, 1, 8, pack_in(bytes((127, 0, 0, 1)))),
    "IPv6": (AF_INET6, 58, 128, pack_in6(bytes(15) + b"\1")),
}


class Crowd:
    """Clients that all ask the same at the same time."""

    def __init__(self, path: str) -> None:
        link = GuardedLink.open()
        for half in link._by_fileno.values():
            half.socket.setsockopt(SOL_SOCKET, linux.SO_RCVBUF, UNPRIVILEGED_BUFFER)
        self.link = link
        self.bench = Bench(path, link)  # type: ignore[arg-type]
        self.channels = [self.bench.client() for _ in range(CLIENTS)]
        while len(self.bench.server._peers) < CLIENTS:
            self.bench.server.turn(0)

    def close(self) -> None:
        for channel in self.channels:
            channel.close()
        self.bench.server.close()

    def ask(self, request: Request) -> list[Answer]:
        for channel in self.channels:
            channel.send(request.to_bytes())
        self.bench.server.turn(0)
        return [parse_answer_untrusted(channel.recv(MAXIMUM_FRAME)) for channel in self.channels]

    def received(self, flags: int = 0) -> int:
        """How many messages there are for all of them together."""
        request = Request(frames.RECEIVE, MSG_DONTWAIT | flags, 100, 200, body=frames.count_to_bytes(MESSAGES))
        count = 0
        while results := [answer.result for answer in self.ask(request) if not answer.errno]:
            count += sum(results)
        return count


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    assert CLIENTS < MOST_EVENTS
    with contextlib.closing(Crowd(os.fspath(tmp_path / "s"))) as made:
        yield made


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("stamps", [0, STAMPS])
def test_every_reply_and_every_stamp_finds_its_client(crowd: Crowd, name: str, stamps: int) -> None:
    family, protocol, kind, to = FAMILIES[name]
    messages = tuple(
        Message(struct.pack(">BBHHH", kind, 0, 0, 0, number) + bytes(56), address=to) for number in range(MESSAGES)
    )
    crowd.ask(Request(frames.OPEN, family, socket.SOCK_DGRAM, protocol))
    crowd.ask(Request(frames.SETSOCKOPT, SOL_SOCKET, linux.SO_TIMESTAMPING, body=struct.pack("=i", stamps)))
    sent = sum(answer.result for answer in crowd.ask(Request(frames.SEND, messages=messages)))
    assert sent == CLIENTS * MESSAGES
    assert crowd.link.dropped() == 0
    assert (crowd.received(), crowd.received(MSG_ERRQUEUE)) == (sent, 2 * sent if stamps else 0)
