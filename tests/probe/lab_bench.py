"""A prober in a lab: sockets, network and clocks are all in the test's hand, and no time passes by itself."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any
from unittest import mock

from pingsock import lab
from pingsock.probe.clock import NEVER, SECOND
from pingsock.probe.prober import Prober
from pingsock.probe.target import DEFAULT_OPTIONS, ProbeOptions, Target
from pingsock.run.served_file import READABLE
from pingsock.service.session import Session
from pingsock.sockets.choose import OPENERS
from pingsock.sockets.served import ServedPingSocket
from pingsock.stack.policy import Credentials
from pingsock.stack.stack import Stack
from pingsock.wire import linux

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from pingsock.probe.course import Course
    from pingsock.probe.engine import Happening, Lane
    from pingsock.probe.records import Record, Stray, Summary
    from pingsock.probe.schedule import Plan
    from pingsock.service.frames import Answer, Request

EPOCH = 1_700_000_000 * SECOND
MOST_IDLE_TURNS = 3
"""Turns at one time that bring nothing; more would be a loop that burns the processor."""


class Clock:
    """Time that passes only when the test lets it. `offset` may be changed, as people and NTP do."""

    def __init__(self) -> None:
        self.now = 5 * SECOND
        self.offset = EPOCH

    def monotonic_ns(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.now / SECOND

    def realtime_ns(self) -> int:
        return self.now + self.offset

    def both(self) -> tuple[int, int]:
        return self.now, self.now + self.offset


class LabConnection:
    """A connection to a stack without a server: calls are answered at once, in the caller's thread."""

    kind = "memory"

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.readiness, self._signals = socket.socketpair()
        self.readiness.setblocking(False)
        self._session = Session(bench.stack, Credentials(capable=True), bench.clock.realtime_ns, self._put, self._drain)

    def _put(self) -> None:
        self._signals.send(b"\0")

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.readiness.recv(64)

    def exchange(self, request: Request) -> Answer:
        self._bench.arrive()
        return self._session.handle(request)

    def close(self) -> None:
        self._session.close()
        self.readiness.close()
        self._signals.close()

    abandon = close


class Bench:
    """A prober on a host at one node of a lab network."""

    def __init__(self, network: lab.Network, node: str, *addresses: str, delay: float = 0.0, **settings: Any) -> None:
        self.clock = Clock()
        self.network = network
        self.host = lab.LabHost(
            network,
            node,
            *(addresses or ("10.0.0.1/24", "2001:db8::1/64")),
            monotonic=self.clock.monotonic,
            realtime_ns=self.clock.realtime_ns,
            delay=delay,
        )
        self._numbers = network.random_for("Bench")
        self.stack = Stack(self.host, self._numbers.randrange)
        self.host.attach(self.stack)
        self.host.want_types(self.stack.pairs.replies)
        self.prober = Prober(kinds=("memory",), clock=self.clock.monotonic_ns, clocks=self.clock.both, **settings)
        self._patch = mock.patch.dict(OPENERS, {"memory": self._open})
        self.told: list[Happening] = []

    def _open(self, family: int) -> ServedPingSocket:
        return ServedPingSocket(family, LabConnection(self))

    def __enter__(self) -> Self:
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.prober.close()
        self.host.close()
        self._patch.stop()

    # What is probed

    def add(self, address: str, plan: Plan, *, after: int = 0, **target: Any) -> Course:
        course = self.prober.course(target_at(address, **target), plan)
        self.prober.engine.add(course, self.clock.now + after)
        return course

    # Time

    def arrive(self) -> None:
        """What the network brings by now is in the sockets' queues."""
        self.host.run(self.clock.monotonic())

    def pass_to(self, time: int) -> None:
        """Time passes, and the network works, but the prober does not run."""
        assert time < NEVER, "nobody would ever wake the prober again"
        while (event := self._next_event()) <= time:
            self.clock.now = max(event, self.clock.now)
            self.arrive()
        self.clock.now = max(time, self.clock.now)

    def _next_event(self) -> int:
        event = self.host.next_event()
        return NEVER if event is None else int(event * SECOND) + 1

    def turn(self) -> int:
        """One turn of the prober, as its drivers do it."""
        wake = self.prober.turn([lane for lane in self.prober.channels if self._is_readable(lane)])
        self.told += self.prober.engine.take()
        return wake

    def _is_readable(self, lane: Lane) -> bool:
        sock = self.prober.channels[lane].sock
        assert isinstance(sock, ServedPingSocket)
        return bool(sock.poll_events() & READABLE)

    def run(self, until: int = NEVER) -> list[Record | Stray | Summary]:
        """Let the prober work until nothing is left to do, or that time has come; what was told, in order."""
        begin = len(self.told)
        idle = 0
        while self.prober.engine.busy and self.clock.now < until:
            before = self._progress()
            wake = self.turn()
            if not self.prober.engine.busy:
                break
            if wake > self.clock.now and not any(map(self._is_readable, self.prober.channels)):
                self.pass_to(min(wake, max(self._next_event(), self.clock.now), until))
            idle = idle + 1 if before == self._progress() else 0
            assert idle <= MOST_IDLE_TURNS, "the prober turns and turns, and nothing comes of it"
        return [record for _, record in self.told[begin:]]

    def _progress(self) -> tuple[object, ...]:
        return self.clock.now, len(self.told), [lane.ledger.next_number for lane in self.prober.engine.lanes]

    def settle(self, for_: int) -> list[Record | Stray | Summary]:
        """For so long nothing is to be done any more; what is heard all the same."""
        begin, until = len(self.told), self.clock.now + for_
        while self.clock.now < until:
            self.turn()
            self.pass_to(min(max(self._next_event(), self.clock.now + 1), until))
        self.turn()
        return [record for _, record in self.told[begin:]]


def target_at(address: str, *, options: ProbeOptions = DEFAULT_OPTIONS, answered_by_others: bool = False) -> Target:
    """The target with that address."""
    is_ipv4 = ":" not in address
    family = linux.AF_INET if is_ipv4 else linux.AF_INET6
    return Target(address, family, (address, 0) if is_ipv4 else (address, 0, 0, 0), answered_by_others, options)


@contextlib.contextmanager
def bench(make: Callable[[lab.Network], str], *, seed: int = 1, **settings: Any) -> Iterator[Bench]:
    """A bench on a network that `make` fills; it returns the node that is next to us."""
    network = lab.Network(seed=seed)
    with Bench(network, make(network), **settings) as made:
        yield made


def path(network: lab.Network) -> str:
    """A host behind two routers: 10 milliseconds there and back."""
    network.router("r1", "10.255.0.1", "2001:db8:ff::1")
    network.router("r2", "10.255.0.2", "2001:db8:ff::2")
    network.host("far", "192.0.2.1", "192.0.2.2", "198.18.0.0/16", "2001:db8:aaaa::1")
    network.link("r1", "r2", "10.0.1.0/24", "2001:db8:1::/64", delay=0.002)
    network.link("r2", "far", "10.0.2.0/24", "2001:db8:2::/64", delay=0.003)
    return "r1"


FAR, FAR6 = "192.0.2.1", "2001:db8:aaaa::1"
ROUND_TRIP = 10_000_000
