"""An engine with its sockets: one turn of work at a time, for the drivers to call.

A driver waits until a channel is readable or the time that `turn` returned has come, and calls `turn` again. How it
waits is all that the blocking and the asyncio driver differ in.
"""

from __future__ import annotations

import errno
import os
from time import monotonic_ns

from pingsock.probe.channel import Channel
from pingsock.probe.clock import MILLISECOND, SECOND, Stepwatch, read_clocks
from pingsock.probe.course import Course
from pingsock.probe.engine import Engine
from pingsock.probe.flow import TOKEN_BYTES, fill_payload, source_address
from pingsock.probe.ledger import Ledger
from pingsock.sockets.choose import KINDS, open_ping_socket
from pingsock.sockets.errors import NoPingSocket
from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pingsock.probe.engine import Departure, Lane
    from pingsock.probe.flow import SocketSettings
    from pingsock.probe.records import Record, Stray
    from pingsock.probe.schedule import Plan
    from pingsock.probe.target import ProbeOptions, Target
    from pingsock.sockets.choose import PingSocket

BURST = 64
"""Probes sent before what arrived is read; their transmit stamps fill a quarter of the default receive buffer."""
IN_FLIGHT = 8192
"""Replies a socket's receive buffer is asked to hold; the system may grant fewer (net.core.rmem_max)."""
OTHER_FAMILY = {linux.AF_INET: linux.AF_INET6, linux.AF_INET6: linux.AF_INET}
NEVER_FRAGMENT = {
    linux.AF_INET: (linux.SOL_IP, linux.IP_MTU_DISCOVER, linux.IP_PMTUDISC_DO),
    linux.AF_INET6: (linux.SOL_IPV6, linux.IPV6_MTU_DISCOVER, linux.IPV6_PMTUDISC_DO),
}
_WARM_UP = 2 * MILLISECOND
"""The kernel switches time stamping on a moment after it was asked for; first packets would lack their stamps."""
_AT_ONCE = 0
_TRIED_AGAIN = SECOND
"""Until a socket that could not be opened is tried again: descriptors become free, source addresses are added."""
_PAYLOADS_KEPT = 256
"""Each kind of target has one; more are made anew."""


class Prober:
    """Probes courses over as many ping sockets as it needs, each opened when it is needed."""

    def __init__(
        self,
        *,
        rate: float = 0.0,
        kinds: Sequence[str] = KINDS,
        in_flight: int = IN_FLIGHT,
        summaries: bool = True,
        open_socket: Callable[..., PingSocket] = open_ping_socket,
        on_open: Callable[[Lane, Channel], None] = lambda _lane, _channel: None,
        clock: Callable[[], int] = monotonic_ns,
        clocks: Callable[[], tuple[int, int]] = read_clocks,
    ) -> None:
        """`on_open` is told of each new channel.

        `clock` and `clocks`, which reads it together with the realtime clock, are for tests.
        """
        self.engine = Engine(rate=rate, summaries=summaries)
        self.channels: dict[Lane, Channel] = {}
        self.token = os.urandom(TOKEN_BYTES)
        self._payloads: dict[ProbeOptions, bytes] = {}
        self._kinds = kinds
        self._in_flight = in_flight
        self._open_socket = open_socket
        self._on_open = on_open
        self._clock = clock
        self._clocks = clocks
        self._stepwatch = Stepwatch()
        self._stepwatch.show(*clocks())

    def course(self, target: Target, plan: Plan, owner: object = None) -> Course:
        """A course whose probes carry this prober's token."""
        return Course(target, plan, self._payload(target.options), owner)

    def _payload(self, options: ProbeOptions) -> bytes:
        payload = self._payloads.get(options)
        if payload is None:
            if len(self._payloads) >= _PAYLOADS_KEPT:
                self._payloads.clear()
            payload = self._payloads[options] = fill_payload(self.token, options)
        return payload

    def turn(self, readable: Iterable[Lane]) -> int:
        """Read what arrived by these lanes, decide, and send what is due; returns when to call again, `monotonic_ns`.

        What happened is then in `engine.take()`.

        :raises NoPingSocket: no socket can be opened, of any kind and either family.
        """
        now = self._clock()
        self.engine.called(now)
        everything_read = self._read(readable, now)
        if everything_read:
            self.engine.advance(now)
        sent_all = self._send()
        return self.engine.wakes_at(self._clock()) if everything_read and sent_all else _AT_ONCE

    def close(self) -> None:
        """Close all sockets. Idempotent."""
        for channel in self.channels.values():
            channel.close()
        self.channels.clear()

    # Reading

    def _read(self, readable: Iterable[Lane], now: int) -> bool:
        lanes = {lane for lane in readable if lane in self.channels}
        for lane in self.channels:
            if lane.ledger.next_deadline() <= now:
                lanes.add(lane)
        everything = True
        for lane in lanes:
            everything = self._collect(lane) and everything
        return everything

    def _collect(self, lane: Lane) -> bool:
        channel = self.channels[lane]
        everything = channel.collect()
        self.engine.dropped(lane, channel.drops(), self._clock())
        return everything

    # Sending

    def _send(self) -> bool:
        """Send what is due; False if there is more."""
        engine, channels, now = self.engine, self.channels, self._clock()
        for _ in range(BURST):
            departure = engine.departure(now)
            if departure is not None:
                lane, course, sequence = departure
                channel = channels[lane]
                failure = channel.send(course, sequence, course.payload)
                # Which is as good as another look at the clock.
                now = channel.last_sent_at
                if failure:
                    self._refused(departure, channel, failure)
                else:
                    engine.sent(departure, now)
            elif engine.wanted is not None:
                self._open_lane(engine.wanted)
            else:
                return True
        return False

    def _refused(self, departure: Departure, channel: Channel, failure: int) -> None:
        mtu = channel.exceeded_mtu() if failure == errno.EMSGSIZE else 0
        self.engine.refused(departure, failure, mtu, self._clock())

    # Opening

    def _open_lane(self, settings: SocketSettings) -> None:
        try:
            sock = self._open_with(settings)
        except NoPingSocket as refused:
            if not self.channels and not self._opens(OTHER_FAMILY[settings[0]]):
                raise
            # The best kind's reason: that the next one needs a privilege is no news.
            self._refuse_lane(settings, refused.refusals[0][1])
        except OSError as error:
            self._refuse_lane(settings, error)
        else:
            self._add_lane(settings, sock)

    def _refuse_lane(self, settings: SocketSettings, error: OSError) -> None:
        self.engine.refuse_lane(settings, error.errno or errno.EIO, self._clock() + _TRIED_AGAIN)

    def _opens(self, family: int) -> bool:
        try:
            self._open_socket(family, kinds=self._kinds).close()
        except (NoPingSocket, OSError):
            return False
        return True

    def _open_with(self, settings: SocketSettings) -> PingSocket:
        family, dont_fragment, broadcast, source, _ = settings
        sock = self._open_socket(family, kinds=self._kinds)
        try:
            if dont_fragment:
                sock.setsockopt(*NEVER_FRAGMENT[family])
            if broadcast:
                sock.setsockopt(linux.SOL_SOCKET, linux.SO_BROADCAST, 1)
            if source:
                sock.bind(source_address(source))
        except OSError:
            sock.close()
            raise
        return sock

    def _add_lane(self, settings: SocketSettings, sock: PingSocket) -> None:
        def hear(record: Record | Stray) -> None:
            self.engine.heard(lane, record)

        family, *_, largest = settings
        ledger = Ledger(family, self._stepwatch, self.token)
        try:
            channel = Channel(sock, ledger, self._stepwatch, hear, largest, clocks=self._clocks)
            room = channel.reserve(self._in_flight, largest, BURST)
        except BaseException:
            sock.close()
            raise
        lane = self.engine.add_lane(settings, ledger, room, self._clock() + _WARM_UP)
        self.channels[lane] = channel
        self._on_open(lane, channel)
