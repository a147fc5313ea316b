"""icmplib's sockets: one request out, its reply or the ICMP error about it in.

Theory of operation
-------------------

Underneath is a `Channel` with its ledger, as for every prober: it keeps the error queue empty, matches what arrives by
sequence number and sender, and times it by the kernel's stamps. What it hears waits in a queue until `receive` asks.

A reply counts only if it comes from the probed address, except with `broadcast` on, and for groups. Asked for the
answer to one request, `receive` passes over everything else; asked for anything, it returns strays and notes too.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from select import POLLIN, poll
from socket import AF_INET, AF_INET6, SO_BROADCAST, SOL_SOCKET, inet_pton

from pingsock.compat.icmplib.checks import options_of, time_of
from pingsock.compat.icmplib.exceptions import (
    ICMPSocketError,
    SocketAddressError,
    SocketUnavailableError,
    TimeoutExceeded,
    as_socket_error,
)
from pingsock.compat.icmplib.models import ICMPReply
from pingsock.probe.channel import Channel
from pingsock.probe.clock import MILLISECOND, Stepwatch
from pingsock.probe.flow import Flow, source_address
from pingsock.probe.jsonable import address_text
from pingsock.probe.ledger import Ledger
from pingsock.probe.records import EchoReply, IcmpReport, Note, Stray
from pingsock.probe.target import LARGEST_SIZES, Target
from pingsock.sockets.choose import open_ping_socket
from pingsock.sockets.errors import NoPingSocket
from pingsock.tools.destination import UnknownHost, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from pingsock.compat.icmplib.models import ICMPRequest
    from pingsock.probe.records import Record
    from pingsock.sockets.choose import PingSocket

_VERSIONS = {AF_INET: 4, AF_INET6: 6}


class ICMPSocket:
    """What the sockets of both families have in common.

    :param address: the address of this host to send from; None lets the route decide.
    :param privileged: without effect, since no privilege is used.
    :raises SocketPermissionError: no kind of ping socket can be opened here.
    :raises SocketAddressError: `address` is none of this host's.
    """

    __slots__ = ("__weakref__", "_address", "_channel", "_heard", "_is_blocking", "_sent_at")

    _FAMILY = AF_INET

    def __init__(self, address: str | None = None, privileged: bool = True) -> None:
        del privileged
        self._channel: Channel | None = None
        self._address = address
        self._is_blocking = True
        self._heard: deque[tuple[Record | Stray, float]] = deque()
        self._sent_at: dict[int, float] = {}
        self._channel = self._open()

    def _open(self) -> Channel:
        try:
            sock = open_ping_socket(self._FAMILY)
        except NoPingSocket as error:
            raise as_socket_error(error) from error
        try:
            self._bind(sock)
        except (OSError, ValueError) as error:
            sock.close()
            raise SocketAddressError(str(self._address)) from error
        stepwatch = Stepwatch()
        ledger = Ledger(self._FAMILY, stepwatch, b"")
        return Channel(sock, ledger, stepwatch, self._hear, LARGEST_SIZES[self._FAMILY])

    def _bind(self, sock: PingSocket) -> None:
        if self._address is not None:
            # bind() would resolve any text.
            inet_pton(self._FAMILY, self._address.partition("%")[0])
            sock.bind(source_address(self._address))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket. Idempotent."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _open_channel(self) -> Channel:
        if self._channel is None:
            raise SocketUnavailableError
        return self._channel

    # What it is

    @property
    def sock(self) -> PingSocket | None:
        """The ping socket underneath, None once closed."""
        return self._channel.sock if self._channel else None

    @property
    def blocking(self) -> bool:
        """Whether `receive` waits."""
        return self._is_blocking

    @blocking.setter
    def blocking(self, enable: bool) -> None:
        self._is_blocking = enable

    @property
    def address(self) -> str | None:
        """The address it sends from, None if the route decides."""
        return self._address

    @property
    def is_privileged(self) -> bool:
        """Never: a ping socket needs no privilege."""
        return False

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._channel is None

    # Sending

    def send(self, request: ICMPRequest) -> None:
        """Send a request, and do not wait for its reply.

        :raises SocketUnavailableError: the socket is closed.
        :raises SocketBroadcastError: it goes to a broadcast address and `broadcast` is off, or a route prohibits it.
        :raises ICMPSocketError: this host refused it otherwise, or the destination is unknown.
        :raises InvalidArgument: its payload, TTL or traffic class is not what can be sent.
        """
        channel = self._open_channel()
        flow = self._flow(request)
        sent_at = time.time()
        failure = channel.send(flow, request.sequence, flow.payload)
        if failure:
            error = OSError(failure, os.strerror(failure))
            raise as_socket_error(error) from error
        channel.ledger.sent(request.sequence, flow, request.sequence, channel.last_sent_at)
        self._sent_at[request.sequence] = sent_at
        request._was_sent(self._identifier(), sent_at)

    def _flow(self, request: ICMPRequest) -> Flow:
        try:
            destination = resolve(request.destination, self._FAMILY)[0]
        except UnknownHost as error:
            raise ICMPSocketError(str(error)) from error
        payload = request.payload
        options = options_of(None, payload, len(payload), request.ttl, request.traffic_class)
        answered_by_others = destination.answered_by_others or self._is_broadcasting()
        target = Target(request.destination, self._FAMILY, destination.address, answered_by_others, options)
        return Flow(target, payload)

    def _is_broadcasting(self) -> bool:
        return False

    def _identifier(self) -> int:
        identifier: int = self._open_channel().sock.getsockname()[1]
        return identifier

    # Receiving

    def receive(self, request: ICMPRequest | None = None, timeout: float = 2) -> ICMPReply:
        """The answer to a request that was sent, or without one the next message that arrives.

        :param timeout: seconds to wait for it.
        :raises TimeoutExceeded: it did not arrive in time; at once if `blocking` is off.
        :raises SocketUnavailableError: the socket is closed.
        """
        channel = self._open_channel()
        ends = time.monotonic_ns() + time_of("timeout", timeout)
        waiter = poll()
        waiter.register(channel.sock.fileno(), POLLIN)
        while True:
            reply = self._take(request)
            if reply is not None:
                return reply
            left = ends - time.monotonic_ns() if self._is_blocking else 0
            if left <= 0:
                raise TimeoutExceeded(timeout)
            waiter.poll(-(-left // MILLISECOND))

    def _take(self, request: ICMPRequest | None) -> ICMPReply | None:
        """Read what has arrived; the first of it that is asked for, if any."""
        self._open_channel().collect()
        while self._heard:
            record, at = self._heard.popleft()
            if request is None or (record.sequence == request.sequence and not isinstance(record, (Note, Stray))):
                return self._as_reply(record, at)
        return None

    def _hear(self, record: Record | Stray) -> None:
        self._heard.append((record, time.time()))

    def _as_reply(self, record: Record | Stray, at: float) -> ICMPReply:
        common = _VERSIONS[self._FAMILY], self._identifier(), record.sequence
        if isinstance(record, IcmpReport):
            return ICMPReply(address_text(record.reporter), *common, record.type, record.code, 0, at)
        assert isinstance(record, (EchoReply, Stray))
        if isinstance(record, EchoReply):
            at = self._sent_at[record.sequence] + record.round_trip
        message = record.message
        return ICMPReply(address_text(record.source), *common, message[0], message[1], len(message), at)


class ICMPv4Socket(ICMPSocket):
    """Sends echo requests over IPv4 and receives what answers them."""

    __slots__ = ()

    @property
    def broadcast(self) -> bool:
        """Whether broadcast addresses may be used."""
        return bool(self._open_channel().sock.getsockopt(SOL_SOCKET, SO_BROADCAST))

    @broadcast.setter
    def broadcast(self, enable: bool) -> None:
        self._open_channel().sock.setsockopt(SOL_SOCKET, SO_BROADCAST, int(enable))

    def _is_broadcasting(self) -> bool:
        return self.broadcast


class ICMPv6Socket(ICMPSocket):
    """Sends echo requests over IPv6 and receives what answers them."""

    __slots__ = ()

    _FAMILY = AF_INET6


class AsyncSocket:
    """A socket for use in asyncio programs: what it wraps, with a `receive` that is awaited, by one task at a time.

    Everything else is the wrapped socket's.
    """

    __slots__ = ("__weakref__", "_icmp_sock")

    def __init__(self, icmp_sock: ICMPSocket) -> None:
        self._icmp_sock: ICMPSocket | None = icmp_sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped(), name)

    def _wrapped(self) -> ICMPSocket:
        if self._icmp_sock is None:
            raise SocketUnavailableError
        return self._icmp_sock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.close()

    async def receive(self, request: ICMPRequest | None = None, timeout: float = 2) -> ICMPReply:  # noqa: ASYNC109
        """As `ICMPSocket.receive`, without blocking the event loop. It may be cancelled.

        :raises TimeoutExceeded: it did not arrive in time.
        :raises SocketUnavailableError: the socket is closed or detached.
        """
        wrapped = self._wrapped()
        seconds = time_of("timeout", timeout) / 1_000_000_000
        try:
            async with asyncio.timeout(seconds):
                while (reply := wrapped._take(request)) is None:
                    await _readable(wrapped._open_channel().sock.fileno())
        except TimeoutError:
            raise TimeoutExceeded(timeout) from None
        return reply

    def detach(self) -> ICMPSocket:
        """The wrapped socket, which this wrapper has nothing to do with any more."""
        wrapped = self._wrapped()
        self._icmp_sock = None
        return wrapped

    def close(self) -> None:
        """Close the wrapped socket. Idempotent."""
        if self._icmp_sock is not None:
            self.detach().close()

    @property
    def is_closed(self) -> bool:
        """Whether the wrapped socket was closed or detached."""
        return self._icmp_sock is None or self._icmp_sock.is_closed


async def _readable(descriptor: int) -> None:
    """Wait until there is something to read."""
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    loop.add_reader(descriptor, woken.set)
    try:
        await woken.wait()
    finally:
        loop.remove_reader(descriptor)
