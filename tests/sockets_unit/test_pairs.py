"""Sockets for the pairs that the kernel's ping sockets refuse."""

from __future__ import annotations

import errno
import socket

import pytest

from bed.bed import errno_of
from bed.child import Credentials
from pingsock.service.shared import connect_embedded
from pingsock.sockets.errors import NoPingSocket
from pingsock.sockets.pairs import open_pair_socket
from pingsock.sockets.served import ServedPingSocket
from sockets_unit.private import in_private_network

TIMESTAMP, INFORMATION = (bytes((kind, 0)) + bytes(18) for kind in (13, 15))
HERE = ("127.0.0.1", 0)


def test_a_pair_can_be_sent_over_our_own_layer_and_is_answered() -> None:
    def asked() -> tuple[str, int, int]:
        with open_pair_socket("timestamp", 13) as sock:
            sock.settimeout(10)
            sock.sendto(TIMESTAMP, HERE)
            return sock.kind, sock.recv(100)[0], errno_of(lambda: sock.sendto(INFORMATION, HERE))

    assert in_private_network(asked) == ("embedded", 14, errno.EINVAL)


def test_pairs_are_permitted_beside_those_before() -> None:
    def permitted() -> list[int]:
        with (
            ServedPingSocket(socket.AF_INET, connect_embedded()) as plain,
            ServedPingSocket(socket.AF_INET, connect_embedded(["timestamp"])),
            ServedPingSocket(socket.AF_INET, connect_embedded(["information"])),
        ):
            return [
                errno_of(lambda message=message: plain.sendto(message, HERE)) for message in (TIMESTAMP, INFORMATION)
            ]

    assert in_private_network(permitted) == [0, 0]


def test_a_pair_nobody_knows_leaves_no_server_behind() -> None:
    def refused() -> str:
        with pytest.raises(ValueError, match="unknown message pair 'nonsense'"):
            connect_embedded(["nonsense"])
        with ServedPingSocket(socket.AF_INET, connect_embedded()) as sock:
            return sock.kind

    assert in_private_network(refused) == "embedded"


def test_without_raw_sockets_and_service_each_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINGSOCK_SOCKET", "/nonexistent")

    def refusals() -> list[tuple[str, int | None]]:
        with pytest.raises(NoPingSocket) as raised:
            open_pair_socket("timestamp", 13)
        return [(kind, error.errno) for kind, error in raised.value.refusals]

    assert in_private_network(refusals, who=Credentials()) == [("embedded", errno.EPERM), ("served", errno.ENOENT)]
