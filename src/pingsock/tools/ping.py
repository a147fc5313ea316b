"""One host pinged over one ping socket: probes out, typed records in.

    with open_ping_socket(destination.family) as sock:
        pinger = Pinger(sock, Plan(destination.family, destination.address, count=3))
        for record in pinger.records():
            ...
        pinger.tally.loss_percent

Theory of operation
-------------------

A ping socket with its error queue on has one trap: an ICMP error that nobody has read yet, a mere redirect too, makes
the **next send or receive fail once**, with the errno of that error. A program that takes this for a failed send counts
every other probe as lost. So the error queue is read before each send and before each receive, and when a send fails
nevertheless, the queue is read and the send repeated, as long as the queue explains the failure.

The same queue holds ICMP errors (origin 2 and 3), what this host itself refused (origin 1) and transmit time stamps
(origin 4). Origin is looked at first, then the type: redirect and source quench are notes, since the probe went on.

The kernel has matched the identifier. Here a reply is matched by its sequence number, its source is compared with the
destination, and its payload with what was sent. The first 16 bytes of the payload are the sending time, as in
iputils, so that both look alike on the wire; nobody reads them here.
"""

from __future__ import annotations

import errno
import time
from _socket import AF_INET
from select import POLLERR, POLLHUP, POLLIN, poll
from struct import Struct

from pingsock.sockets.ancillary import CONTROL_BYTES, read_ancillary_untrusted
from pingsock.tools.flight import Flight
from pingsock.tools.records import Duplicate, Interruption, Note, Reply, ReportedError, SendFailure, Stray
from pingsock.tools.schedule import MILLISECOND, Schedule
from pingsock.tools.statistics import Tally
from pingsock.wire import linux
from pingsock.wire.echo import echo_request, parse_echo_untrusted
from pingsock.wire.errors import BadPacket
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pingsock.sockets.ancillary import ExtendedError
    from pingsock.sockets.choose import PingSocket
    from pingsock.tools.records import Record, SocketAddress

SECOND = 1000 * MILLISECOND
TIME_BYTES = 16
"""Size of the sending time at the start of a payload; shorter payloads have none."""
_TIME = Struct(linux.TIMEVAL_NEW_LAYOUT)
_ICMP_HEADER = 8
_REQUEST, _REPLY = {True: 8, False: 128}, {True: 0, False: 129}
_SOURCE_QUENCH, _REDIRECT = 4, 5
_REPORTERS = (linux.SO_EE_ORIGIN_ICMP, linux.SO_EE_ORIGIN_ICMP6)
_HOP_LIMIT_WANTED = {
    True: (linux.SOL_IP, linux.IP_RECVTTL),
    False: (linux.SOL_IPV6, linux.IPV6_RECVHOPLIMIT),
}
_NOT_NOW = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)
_LARGER_REPLY = 128
"""Room for replies that are longer than their probe; more is cut off."""
_REPLIES_A_ROUND = 256
"""What the default receive buffer holds. After as many it is looked whether a probe is due."""
_SEND_ATTEMPTS = 8
_LONGEST_WAIT = 3600 * SECOND


class Plan(Value):
    """What to send, how often and for how long. Times are nanoseconds."""

    family: int
    destination: SocketAddress
    size: int = 56
    """Bytes of payload, up to 65507 (IPv4) or 65527 (IPv6)."""
    count: int = 0
    """Probes to send; 0 is no limit."""
    interval: int = SECOND
    deadline: int = 0
    """End after this time, or with the first ICMP error; 0 is no deadline."""
    linger: int = 10 * SECOND
    """How long to wait for the first reply when all probes have been sent; 0 is for ever."""
    answered_by_others: bool = False
    """Replies may come from any address, because the destination is a group."""


class Waiter:
    """Waits until a socket, or the descriptor `waker` (-1: none), has something to read."""

    def __init__(self, sock: PingSocket, waker: int = -1) -> None:
        self._waker = waker
        self._poll = poll()
        self._poll.register(sock.fileno(), POLLIN)
        if waker >= 0:
            self._poll.register(waker, POLLIN)

    def wait(self, nanoseconds: int) -> tuple[bool, bool]:
        """Whether the socket and whether the waker is ready, after at most that time."""
        milliseconds = -(-min(nanoseconds, _LONGEST_WAIT) // MILLISECOND)
        ready = self._poll.poll(max(milliseconds, 0))
        woken = any(descriptor == self._waker for descriptor, _ in ready)
        return any(d != self._waker and events & (POLLIN | POLLERR | POLLHUP) for d, events in ready), woken


class Pinger:
    """Pings one destination over a ping socket of its own, which is made non-blocking.

    The socket should have been opened as `open_ping_socket` does: error queue on, time stamps on. `clock` and
    `calendar` give nanoseconds, monotonic and since 1970.
    """

    def __init__(
        self,
        sock: PingSocket,
        plan: Plan,
        waker: int = -1,
        *,
        waiter: Waiter | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        calendar: Callable[[], int] = time.time_ns,
    ) -> None:
        self.plan = plan
        self.tally = Tally()
        self.timed = plan.size >= TIME_BYTES
        """Are round trips in the statistics? (iputils leaves them out when a payload has no room for the time.)"""
        self._sock = sock
        self._waiter = waiter or Waiter(sock, waker)
        self._clock = clock
        self._calendar = calendar
        self._is_ipv4 = plan.family == AF_INET
        self._flight = Flight()
        self._schedule = Schedule(plan.count, plan.interval, plan.deadline, plan.linger)
        self._payload = bytes(index & 0xFF for index in range(plan.size))
        self._stopped = False
        self._explained = False
        self._exceeded_mtu = 0
        self._opened = self._started = self._last_sent = self._clock()
        sock.setblocking(False)
        sock.setsockopt(*_HOP_LIMIT_WANTED[self._is_ipv4], 1)
        self._restart_stamp_keys()

    def stop(self) -> None:
        """Let `records` end before its next record."""
        self._stopped = True

    @property
    def elapsed(self) -> int:
        """Nanoseconds from the start to the last probe sent."""
        return self._last_sent - self._started

    def records(self) -> Iterator[Record]:
        """Ping, and yield what happens as it happens. Ends as the plan says, or after `stop`."""
        self._start()
        while not self._over():
            if self._schedule.next_send(self.tally) <= self._clock():
                yield from self._send()
                if self._over():
                    return
            ready, woken = self._waiter.wait(self._schedule.wakes(self.tally) - self._clock())
            if woken:
                yield Interruption()
            if ready:
                yield from self._collect()

    def _start(self) -> None:
        # The kernel switches time stamping on a moment after it was asked for.
        while (early := self._opened + MILLISECOND - self._clock()) > 0:
            time.sleep(early / SECOND)
        self._started = self._last_sent = self._clock()
        self._schedule.start(self._started)

    def _over(self) -> bool:
        return self._stopped or self._schedule.finished(self._clock(), self.tally)

    # Sending

    def _send(self) -> Iterator[Record]:
        yield from self._read_error_queue()
        sequence = (self.tally.transmitted + 1) & 0xFFFF
        for _ in range(_SEND_ATTEMPTS):
            failure = self._try_to_send(sequence)
            if not failure:
                self._count_as_sent()
                return
            self._explained = False
            yield from self._read_error_queue()
            if not self._explained:
                break
        self._restart_stamp_keys()
        if failure in _NOT_NOW and self._schedule.postpone(self._clock(), failure == errno.EAGAIN):
            return
        yield self._refusal(sequence, failure)

    def _try_to_send(self, sequence: int) -> int:
        """Send a probe; 0 or the errno of the failure."""
        calendar, clock = self._calendar(), self._clock()
        payload = self._payload
        if self.timed:
            payload = _TIME.pack(calendar // SECOND, calendar % SECOND // 1000) + payload[TIME_BYTES:]
        try:
            self._sock.sendto(echo_request(self.plan.family, 0, sequence, payload), self.plan.destination)
        except OSError as error:
            return error.errno or errno.EIO
        self._flight.sent(sequence, clock, calendar)
        return 0

    def _count_as_sent(self) -> None:
        self.tally.transmitted += 1
        self._last_sent = self._clock()
        self._schedule.sent(self._last_sent, self.tally)

    def _refusal(self, sequence: int, failure: int) -> SendFailure:
        if failure == errno.EMSGSIZE:
            self.tally.reported_errors += 1
        else:
            self.tally.failures += 1
        self._count_as_sent()
        mtu, self._exceeded_mtu = self._exceeded_mtu, 0
        return SendFailure(sequence, failure, mtu if failure == errno.EMSGSIZE else 0)

    def _restart_stamp_keys(self) -> None:
        """Let the socket count its sends from 0 again; sockets without transmit stamps are left alone."""
        self._flight.forget_keys()
        try:
            flags = self._sock.getsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING)
            if flags & linux.SOF_TIMESTAMPING_OPT_ID:
                without = flags & ~linux.SOF_TIMESTAMPING_OPT_ID
                self._sock.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING, without)
                self._sock.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING, flags)
        except OSError:
            pass

    # Receiving

    def _collect(self) -> Iterator[Record]:
        yield from self._read_error_queue()
        for _ in range(_REPLIES_A_ROUND):
            if self._over():
                return
            try:
                message, items, _, source = self._sock.recvmsg(
                    _ICMP_HEADER + self.plan.size + _LARGER_REPLY, CONTROL_BYTES
                )
            except BlockingIOError:
                return
            except OSError:
                yield from self._read_error_queue()
            else:
                yield from self._reply_untrusted(message, items, source)

    def _reply_untrusted(
        self, message: bytes, items: list[tuple[int, int, bytes]], source: SocketAddress
    ) -> Iterator[Record]:
        clock, calendar = self._clock(), self._calendar()
        try:
            kind, _, _, sequence = parse_echo_untrusted(message)
            beside = read_ancillary_untrusted(items)
        except BadPacket:
            return
        if kind != _REPLY[self._is_ipv4]:
            return
        if not self._flight.knows(sequence):
            self.tally.strays += 1
            yield Stray(sequence, source)
            return
        round_trip, how = self._flight.round_trip(sequence, beside.stamp, clock, calendar)
        first = self._flight.answer(sequence)
        self._count_reply(sequence, first, len(message), round_trip)
        yield (Reply if first else Duplicate)(
            sequence,
            source,
            message,
            beside.hop_limit,
            round_trip,
            how,
            other_source=source[0] != self.plan.destination[0] and not self.plan.answered_by_others,
            truncated=len(message) < _ICMP_HEADER + self.plan.size,
            altered_at=self._altered_at(message[_ICMP_HEADER:]),
        )

    def _count_reply(self, sequence: int, first: bool, size: int, round_trip: int) -> None:
        self.tally.acknowledge(sequence)
        if first:
            self.tally.received += 1
        else:
            self.tally.duplicates += 1
        if self.timed and size >= _ICMP_HEADER + TIME_BYTES:
            self.tally.round_trips.add(round_trip // 1000)

    def _altered_at(self, payload: bytes) -> int:
        received, sent = payload[TIME_BYTES : self.plan.size], self._payload[TIME_BYTES : len(payload)]
        if received == sent:
            return -1
        return TIME_BYTES + next(
            at for at, (got, wanted) in enumerate(zip(received, sent, strict=False)) if got != wanted
        )

    # The error queue

    def _read_error_queue(self) -> Iterator[Record]:
        while True:
            try:
                quote, items, _, destination = self._sock.recvmsg(
                    _ICMP_HEADER, CONTROL_BYTES, linux.MSG_ERRQUEUE | linux.MSG_DONTWAIT
                )
            except OSError as error:
                # PyPy raises a plain OSError where CPython raises BlockingIOError.
                if error.errno == errno.EAGAIN:
                    return
                raise
            try:
                beside = read_ancillary_untrusted(items)
            except BadPacket:
                continue
            if beside.error is None:
                continue
            if beside.error.origin in _REPORTERS:
                self._explained = True
                yield from self._reported_untrusted(quote, destination, beside.error)
            else:
                self._note_local(beside.error, beside.stamp)

    def _note_local(self, entry: ExtendedError, stamp: int) -> None:
        if entry.origin == linux.SO_EE_ORIGIN_TIMESTAMPING and entry.info == linux.SCM_TSTAMP_SND:
            self._flight.left(entry.data, stamp)
        elif entry.origin == linux.SO_EE_ORIGIN_LOCAL and entry.errno == errno.EMSGSIZE:
            self._exceeded_mtu = entry.info

    def _reported_untrusted(self, quote: bytes, destination: SocketAddress, entry: ExtendedError) -> Iterator[Record]:
        try:
            kind, _, _, sequence = parse_echo_untrusted(quote)
        except BadPacket:
            return
        ours = kind == _REQUEST[self._is_ipv4] and destination[0] == self.plan.destination[0]
        if not (ours and self._flight.knows(sequence)):
            return
        record = Note if self._is_ipv4 and entry.type in (_SOURCE_QUENCH, _REDIRECT) else ReportedError
        if record is ReportedError:
            self.tally.reported_errors += 1
            # iputils lets only IPv4 errors count for the "pipe" figure.
            if self._is_ipv4:
                self.tally.acknowledge(sequence)
        reporter = (entry.offender, 0) if self._is_ipv4 else (entry.offender, 0, 0, entry.offender_scope)
        yield record(sequence, reporter, self.plan.family, entry.type, entry.code, entry.info)
