"""One host pinged over one ping socket, sending and ending as iputils' ping does: probes out, typed records in.

    with open_ping_socket(destination.family) as sock:
        run = PingRun(sock, PingPlan(target, count=3))
        for record in run.records():
            ...
        run.tally.loss_percent

Matching, outcomes and round trips are the prober's (`pingsock.probe`): this is its ledger with one target, for which
every sender's reply counts (with a mark), and probes wait for as long as the run lasts.

The first 16 bytes of a payload are the sending time, as in iputils, so that both look alike on the wire; nobody reads
them here.
"""

from __future__ import annotations

import errno
from select import POLLERR, POLLHUP, POLLIN, poll
from struct import Struct
from time import monotonic_ns, sleep

from pingsock.probe.channel import Channel
from pingsock.probe.clock import MILLISECOND, SECOND, Stepwatch, read_clocks
from pingsock.probe.flow import Flow, fill_payload
from pingsock.probe.outcome import packet_went_on
from pingsock.probe.records import Duplicate, EchoReply, IcmpReport, Record, SendFailure, Stray
from pingsock.probe.tally import Tally
from pingsock.tools.ping_ledger import PingLedger
from pingsock.tools.ping_schedule import Schedule
from pingsock.wire import linux
from pingsock.wire.checksum import checksum_holds
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pingsock.probe.target import Target
    from pingsock.sockets.choose import PingSocket
    from pingsock.tools.ping_silence import Silence

TIME_BYTES = 16
"""Size of the sending time at the start of a payload; shorter payloads have none."""
_TIME = Struct(linux.TIMEVAL_NEW_LAYOUT)
_ICMP_HEADER = 8
_NOT_NOW = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)
_MOST_UNREAD = 64
"""Probes sent in a row before their replies are read, so that the receive buffer has room for them and their stamps."""
_LONGEST_WAIT = 3600 * SECOND
_FOR_GOOD = 2**62
"""A late window that no run outlives: as long as its number is not used again a probe can be answered."""
_MOST_SLOWDOWN = 50_000
"""Microseconds by which a full device queue may lengthen an adaptive interval each time."""


class Interruption(Value):
    """The descriptor given as `waker` became readable; whoever gave it knows why."""


class Sent(Value):
    """A probe left."""

    sequence: int


class Unanswered(Value):
    """The probe before the one that is due has no reply yet."""

    sequence: int


class Corrupted(Value):
    """An echo reply whose checksum is wrong; its probe still waits."""

    reply: EchoReply


class PingPlan(Value):
    """Whom to ping, how often and for how long. Times are nanoseconds."""

    target: Target
    """Its options say how large the probes are."""
    count: int = 0
    """Probes to send; 0 is no limit."""
    interval: int = SECOND
    deadline: int = 0
    """End after this time, or with the first ICMP error; 0 is no deadline."""
    linger: int = 10 * SECOND
    """How long to wait for the first reply when all probes have been sent; 0 is for ever."""
    preload: int = 1
    """Probes that may be sent ahead of their time."""
    shortest_interval: int = -1
    """If not negative, the interval follows the round trip and is at least this."""
    tells_unanswered: bool = False
    tells_sent: bool = False
    timeout: int = 0
    """After this time the silence of a probe is told, and its reply is late; 0 is never."""
    ends_with_error: bool = True
    """Whether with a deadline an ICMP error is the end."""
    wants_options: bool = False
    """Whether `reply_options` is of interest; the socket has to be asked for them too."""


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
        ready = woken = False
        for descriptor, events in self._poll.poll(max(milliseconds, 0)):
            if descriptor == self._waker:
                woken = True
            elif events & (POLLIN | POLLERR | POLLHUP):
                ready = True
        return ready, woken


if TYPE_CHECKING:
    Happening = Record | Stray | Interruption | Sent | Unanswered | Corrupted


class PingRun:
    """Pings one target over a ping socket of its own, which is made non-blocking.

    The socket should have been opened as `open_ping_socket` does: error queue on, time stamps on. `clocks` gives
    nanoseconds, monotonic and since 1970.
    """

    def __init__(
        self,
        sock: PingSocket,
        plan: PingPlan,
        waker: int = -1,
        *,
        waiter: Waiter | None = None,
        clocks: Callable[[], tuple[int, int]] = read_clocks,
    ) -> None:
        self.plan = plan
        self.tally = Tally()
        options = plan.target.options
        size = options.size
        self.timed = size >= TIME_BYTES
        """Are round trips in the statistics? (iputils leaves them out when a payload has no room for the time.)"""
        self._is_ipv4 = plan.target.family == linux.AF_INET
        # The kernel looks at the checksum only after raw IPv4 sockets have had their copy.
        self._checks_sums = self._is_ipv4 and sock.kind == "raw"
        self._waiter = waiter or Waiter(sock, waker)
        self._clocks = clocks
        # It is asked ten times an echo.
        self._now: Callable[[], int] = monotonic_ns if clocks is read_clocks else lambda: clocks()[0]
        self._flow = Flow(plan.target, fill_payload(b"", options))
        self.payload = self._flow.payload
        """What a probe carries; at its start the sending time takes the place of TIME_BYTES."""
        self.reply_options = b""
        """The IP options of the reply that was yielded last, if the plan wants them."""
        self._schedule = Schedule(
            plan.count,
            plan.interval,
            plan.deadline,
            plan.linger,
            plan.preload,
            ends_with_error=plan.ends_with_error,
            makes_up=not plan.tells_unanswered and plan.shortest_interval < 0,
        )
        self._slowdown = 0
        self._told_unanswered = 0
        self._heard: list[tuple[Happening, bytes]] = []
        self._stopped = False
        stepwatch = Stepwatch()
        stepwatch.show(*clocks())
        self._ledger = PingLedger(self._flow, stepwatch, compared_from=TIME_BYTES)
        self._channel = Channel(sock, self._ledger, stepwatch, self._hear, size, clocks=clocks)
        self._silence = self._silence_told() if plan.timeout else None
        self._opened = self._started = self._last_sent = self._now()

    def _silence_told(self) -> Silence:
        from pingsock.tools.ping_silence import Silence  # lazy: not for what iputils does

        return Silence(self._ledger, self._channel)

    def stop(self) -> None:
        """Let `records` end before its next record."""
        self._stopped = True

    @property
    def elapsed(self) -> int:
        """Nanoseconds from the start to the last probe sent."""
        return self._last_sent - self._started

    @property
    def interval(self) -> int:
        """Nanoseconds between probes, as it is now."""
        return self._schedule.interval

    def spare_ns(self) -> int:
        """How long until the next probe is due, nanoseconds."""
        return self._schedule.next_send(self.tally) - self._now()

    def records(self) -> Iterator[Happening]:
        """Ping, and yield what happens as it happens. Ends as the plan says, or after `stop`.

        OSError: the socket failed in a way that no ICMP error explains: its service is lost (ECONNRESET, ETIMEDOUT), or
        the kernel has no memory. What was heard before is yielded before.
        """
        self._start()
        try:
            while not self._over():
                if self._is_due():
                    yield from self._send_due()
                    if self._over():
                        return
                ready, woken = self._wait()
                if woken:
                    yield Interruption()
                if ready:
                    self._channel.collect()
                    yield from self._take()
                if self._silence is not None:
                    yield from self._tell_silence(self._silence)
        except OSError:
            yield from self._take()
            raise

    def _wait(self) -> tuple[bool, bool]:
        wakes = self._schedule.wakes(self.tally)
        if self._silence is None:
            return self._waiter.wait(wakes - self._now())
        happened = self._waiter.wait(self._silence.wakes(wakes) - self._now())
        self._silence.woken(self._now())
        return happened

    def _tell_silence(self, silence: Silence) -> Iterator[Happening]:
        """Those whose timeout has passed; at the end of the last wait, all that are waited for."""
        now = self._now()
        if not self._stopped and self._schedule.waited_in_vain(now):
            self._ledger.give_up(now)
        if silence.is_due(now):
            self._channel.collect()
            yield from self._take()
            for record in () if self._stopped else silence.records(now):
                yield record
                if self._stopped:
                    return

    def _start(self) -> None:
        # The kernel switches time stamping on a moment after it was asked for.
        while (early := self._opened + MILLISECOND - self._now()) > 0:
            sleep(early / SECOND)
        self._started = self._last_sent = self._now()
        self._schedule.start(self._started)

    def _over(self) -> bool:
        return self._stopped or self._schedule.finished(self._now(), self.tally)

    # Sending

    def _is_due(self) -> bool:
        return self._schedule.next_send(self.tally) <= self._now()

    def _send_due(self) -> Iterator[Happening]:
        """Send what is due, and yield what was heard meanwhile."""
        unread = 0
        while True:
            self._send()
            unread += 1
            is_alone = self.plan.preload == 1
            if is_alone:
                self._channel.collect_stamps()
            # What may be sent ahead of its time leaves before anything is read, or it would not be ahead.
            elif unread % _MOST_UNREAD == 0:
                self._channel.collect()
            if self._heard:
                yield from self._take()
            # A probe that makes up for a late one is not ahead of its time.
            if is_alone or self._over() or not self._is_due():
                return

    def _send(self) -> None:
        if self.plan.tells_unanswered:
            self._tell_unanswered()
        number = self.tally.transmitted + 1
        sequence = number & 0xFFFF
        failure = self._channel.send(self._flow, sequence, self._payload())
        if not failure:
            sent_at = self._channel.last_sent_at
            self._ledger.sent(sequence, self._flow, number, sent_at, self.plan.timeout, _FOR_GOOD)
            self._count_as_sent()
            if self.plan.tells_sent:
                self._heard.append((Sent(sequence), b""))
        elif failure not in _NOT_NOW or not self._postpone(failure):
            self._ledger.passed_over(sequence)
            self._refused(sequence, failure)

    def _tell_unanswered(self) -> None:
        """Once for each probe, however often the next one is tried."""
        number = self.tally.transmitted
        if number > self._told_unanswered and not self._ledger.is_answered(number & 0xFFFF, number):
            self._heard.append((Unanswered(number & 0xFFFF), b""))
        self._told_unanswered = number

    def _postpone(self, failure: int) -> bool:
        if failure != errno.EAGAIN and self.plan.shortest_interval >= 0:
            self._slowdown += min(self.tally.round_trips.smoothed, _MOST_SLOWDOWN)
            self._adapt()
        return self._schedule.postpone(self._now(), failure == errno.EAGAIN)

    def _adapt(self) -> None:
        """The interval becomes the smoothed round trip, in whole milliseconds as iputils counts them."""
        smoothed = self.tally.round_trips.smoothed or self._schedule.interval // 1000
        milliseconds = (smoothed + self._slowdown + 500) // 1000
        self._schedule.adapt(max(milliseconds * MILLISECOND, self.plan.shortest_interval))

    def _payload(self) -> bytes:
        if not self.timed:
            return self._flow.payload
        calendar = self._clocks()[1]
        return _TIME.pack(calendar // SECOND, calendar % SECOND // 1000) + self._flow.payload[TIME_BYTES:]

    def _count_as_sent(self) -> None:
        self.tally.transmitted += 1
        self._last_sent = self._now()
        self._schedule.sent(self._last_sent, self.tally)

    def _refused(self, sequence: int, failure: int) -> None:
        mtu = self._channel.exceeded_mtu()
        if failure == errno.EMSGSIZE:
            self.tally.reported_errors += 1
        else:
            self.tally.failures += 1
        self._count_as_sent()
        known_mtu = mtu if failure == errno.EMSGSIZE else 0
        record = SendFailure(self.plan.target, self.tally.transmitted, sequence, 0, failure, known_mtu)
        self._heard.append((record, b""))

    # Hearing

    def _take(self) -> Iterator[Happening]:
        """What was heard, each counted when its turn comes: a run may end between two.

        As with iputils, what arrived together is told together as long as more is awaited, even if it is enough.
        """
        heard, self._heard = self._heard, []
        for record, self.reply_options in heard:
            self._count(record)
            yield record
            if self._stopped or (not self.tally.under_way and self._over()):
                return

    def _hear(self, record: Record | Stray) -> None:
        if self._checks_sums and isinstance(record, EchoReply) and not checksum_holds(record.message):
            self._ledger.take_back(record)
            self._heard.append((Corrupted(record), b""))
            return
        beside = self._channel.beside if self.plan.wants_options else None
        self._heard.append((record, beside.return_options if beside is not None else b""))

    def _count(self, record: Happening) -> None:
        if isinstance(record, EchoReply):
            self._count_reply(record)
        elif isinstance(record, Stray):
            self.tally.strays += 1
        elif isinstance(record, Corrupted):
            self.tally.corrupted += 1
        elif isinstance(record, IcmpReport) and not packet_went_on(record.type, is_ipv4=self._is_ipv4):
            self.tally.reported_errors += 1
            # iputils lets only IPv4 errors count for the "pipe" figure.
            if self._is_ipv4:
                self.tally.acknowledge(record.sequence)

    def _count_reply(self, record: EchoReply) -> None:
        self.tally.acknowledge(record.sequence)
        if isinstance(record, Duplicate):
            self.tally.duplicates += 1
        else:
            self.tally.received += 1
        if self.timed and len(record.message) >= _ICMP_HEADER + TIME_BYTES:
            self.tally.round_trips.add(record.round_trip_ns // 1000)
            if self.plan.shortest_interval >= 0:
                self._adapt()
