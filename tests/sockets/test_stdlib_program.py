"""Programs that know nothing but the standard library's socket interface run unchanged on every kind of socket.

Each is a small ping: it sends three echo requests to an address that answers by itself, and returns the payloads that
came back.
"""

from __future__ import annotations

import asyncio
import select
import selectors
import struct
from typing import TYPE_CHECKING, Any

import pytest

from bed.bed import V4, V6, Bed
from sockets.rules import both_families, rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from bed.families import Family

PAYLOADS = [b"one", b"two", b"three"]
PATIENCE = 5.0
ECHO_REQUEST = {V4.af: 8, V6.af: 128}


def echo_request(sock: Any, payload: bytes) -> bytes:
    return struct.pack("!BBHHH", ECHO_REQUEST[sock.family], 0, 0, 0, 1) + payload


# The programs


def blocking(sock: Any, address: tuple[Any, ...]) -> list[bytes]:
    sock.connect(address)
    received: list[bytes] = []
    for payload in PAYLOADS:
        sock.send(echo_request(sock, payload))
        received.append(sock.recv(2048)[8:])
    return received


def with_timeout(sock: Any, address: tuple[Any, ...]) -> list[bytes]:
    sock.settimeout(PATIENCE)
    received: list[bytes] = []
    for payload in PAYLOADS:
        sock.sendto(echo_request(sock, payload), address)
        data, sender = sock.recvfrom(2048)
        assert sender[0] == address[0]
        received.append(data[8:])
    return received


def into_buffers(sock: Any, address: tuple[Any, ...]) -> list[bytes]:
    sock.settimeout(PATIENCE)
    received: list[bytes] = []
    for payload in PAYLOADS:
        sock.sendmsg([echo_request(sock, b""), payload], [], 0, address)
        header, body = bytearray(8), bytearray(100)
        size, _, _, sender = sock.recvmsg_into([header, body])
        assert sender[0] == address[0]
        received.append(bytes(body[: size - 8]))
    return received


def under_selectors(sock: Any, address: tuple[Any, ...]) -> list[bytes]:
    sock.setblocking(False)
    for payload in PAYLOADS:
        sock.sendto(echo_request(sock, payload), address)
    received: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        while len(received) < len(PAYLOADS):
            assert selector.select(PATIENCE), "nothing to read"
            received.append(sock.recv(2048)[8:])
        assert selector.select(0) == []
    return received


def under_poll(sock: Any, address: tuple[Any, ...]) -> list[bytes]:
    sock.setblocking(False)
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    received: list[bytes] = []
    for payload in PAYLOADS:
        sock.sendto(echo_request(sock, payload), address)
        assert poller.poll(PATIENCE * 1000)
        received.append(sock.recv(2048)[8:])
    return received


def under_asyncio_reader(sock: Any, address: tuple[Any, ...]) -> list[bytes]:
    async def ping() -> list[bytes]:
        loop = asyncio.get_running_loop()
        received: list[bytes] = []
        done = loop.create_future()

        def read() -> None:
            received.append(sock.recv(2048)[8:])
            if len(received) == len(PAYLOADS):
                done.set_result(None)

        loop.add_reader(sock, read)
        for payload in PAYLOADS:
            sock.sendto(echo_request(sock, payload), address)
        await done
        loop.remove_reader(sock)
        return received

    sock.setblocking(False)
    return asyncio.run(asyncio.wait_for(ping(), PATIENCE))


def under_asyncio_sock_calls(sock: Any, address: tuple[Any, ...]) -> list[bytes]:
    async def ping() -> list[bytes]:
        loop = asyncio.get_running_loop()
        received: list[bytes] = []
        for payload in PAYLOADS:
            await loop.sock_sendto(sock, echo_request(sock, payload), address)
            data, sender = await loop.sock_recvfrom(sock, 2048)
            assert sender[0] == address[0]
            received.append(data[8:])
        return received

    sock.setblocking(False)
    return asyncio.run(asyncio.wait_for(ping(), PATIENCE))


class Collector(asyncio.DatagramProtocol):
    """Collects datagrams and errors until there are enough."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.received: list[bytes] = []
        self.errors: list[Exception] = []
        self.done = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _sender: tuple[Any, ...]) -> None:
        self.received.append(data[8:])
        self._count()

    def error_received(self, error: Exception) -> None:
        self.errors.append(error)
        self._count()

    def _count(self) -> None:
        if len(self.received) + len(self.errors) == self.wanted:
            self.done.set_result(None)


def under_an_asyncio_transport(sock: Any, address: tuple[Any, ...]) -> list[bytes]:
    async def ping() -> list[bytes]:
        transport, collector = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Collector(len(PAYLOADS)), sock=sock
        )
        for payload in PAYLOADS:
            transport.sendto(echo_request(sock, payload), address)
        await collector.done
        transport.close()
        return collector.received

    sock.setblocking(False)
    return asyncio.run(asyncio.wait_for(ping(), PATIENCE))


PROGRAMS: dict[str, Callable[[Any, tuple[Any, ...]], list[bytes]]] = {
    "blocking": blocking,
    "with a timeout": with_timeout,
    "into buffers": into_buffers,
    "under selectors": under_selectors,
    "under poll": under_poll,
    "under asyncio with a reader": under_asyncio_reader,
    "under asyncio with sock calls": under_asyncio_sock_calls,
    "under an asyncio transport": under_an_asyncio_transport,
}
DESTINATIONS = {"loopback": "loopback", "our own address": "host"}


@both_families
@rows("destination", DESTINATIONS)
@rows("program", PROGRAMS)
def test_program(
    bed: Bed, ip: Family, destination: str, program: Callable[[Any, tuple[Any, ...]], list[bytes]]
) -> None:
    address = ip.name_of(getattr(ip, destination), 9 if program is blocking else 0)
    assert program(bed.socket(ip), address) == PAYLOADS


# What such programs see of errors


@both_families
def test_a_timeout_is_a_timeout_error(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    sock.settimeout(0.02)
    with pytest.raises(TimeoutError):
        sock.recv(100)


@both_families
def test_an_unreachable_peer_is_a_connection_refused_error(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    sock.settimeout(PATIENCE)
    sock.send(echo_request(sock, b"refused"))
    bed.hard_error(sock, quote=bed.one_sent().raw)
    with pytest.raises(ConnectionRefusedError):
        sock.recv(100)


@both_families
def test_an_asyncio_transport_tells_of_errors_and_goes_on(bed: Bed, ip: Family) -> None:
    sock: Any = bed.connected(ip)
    sock.setblocking(False)

    async def ping() -> Collector:
        transport, collector = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Collector(2), sock=sock
        )
        bed.hard_error(sock)
        bed.reply(sock, b"after the error")
        await collector.done
        transport.close()
        return collector

    collector = asyncio.run(asyncio.wait_for(ping(), PATIENCE))
    assert [type(error) for error in collector.errors] == [ConnectionRefusedError]
    assert collector.received == [b"after the error"]


@both_families
def test_the_objects_attributes_are_those_of_a_socket(bed: Bed, ip: Family) -> None:
    sock: Any = bed.socket(ip)
    assert (sock.family, sock.type, sock.proto, sock.gettimeout()) == (ip.af, 2, ip.protocol, None)
    assert sock.fileno() >= 0
    sock.close()
    assert sock.fileno() == -1
