"""A ping socket, a clock and a wait of our own: a `PingRun` runs in them without a kernel and without time."""

from __future__ import annotations

import errno
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from pingsock.probe.target import ProbeOptions, Target
from pingsock.tools.ping import PingPlan, PingRun
from pingsock.wire import linux

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
EPOCH = 1_700_000_000 * SECOND
ROUTER = "10.0.0.1"
TARGET = "10.0.0.9"
TARGET6 = "fd00::9"


class Clock:
    """Time that passes only when somebody waits. `calendar` may be set anew, as a real one may."""

    def __init__(self) -> None:
        self.monotonic = 5 * SECOND
        self.offset = EPOCH

    def now(self) -> int:
        return self.monotonic

    def calendar(self) -> int:
        return self.monotonic + self.offset


class FakeSocket:
    """Holds what the network sends us, each from a certain time on. `on_send` decides what a probe brings about."""

    def __init__(self, clock: Clock, family: int = linux.AF_INET) -> None:
        self.clock = clock
        self.family = family
        self.sent: list[tuple[bytes, object]] = []
        self.on_send: Callable[[int], None] = lambda _sequence: None
        self.failures: deque[int] = deque()
        self.options: dict[tuple[int, int], int] = {}
        self._messages: list[tuple[int, tuple[object, ...]]] = []
        self._errors: list[tuple[int, tuple[object, ...]]] = []

    # What a PingRun uses

    kind = "kernel"

    def fileno(self) -> int:
        return -1

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.options[level, option] = value

    def getsockopt(self, level: int, option: int, size: int = 0) -> int | bytes:
        return b"" if size else self.options.get((level, option), 0)

    def sendto(self, message: bytes, address: object) -> int:
        if self.failures:
            number = self.failures.popleft()
            raise OSError(number, "")
        self.sent.append((message, address))
        self.on_send(struct.unpack("!H", message[6:8])[0])
        return len(message)

    def recvmsg(self, size: int, _room: int = 0, flags: int = 0) -> tuple[object, ...]:
        queue = self._errors if flags & linux.MSG_ERRQUEUE else self._messages
        for at, (when, content) in enumerate(queue):
            if when <= self.clock.monotonic:
                del queue[at]
                message, *rest = content
                assert isinstance(message, bytes)
                return message[:size], *rest
        raise BlockingIOError(errno.EAGAIN, "")

    # What a test does

    def refuse(self, *numbers: int) -> None:
        """The next probes fail so, one each. But for EAGAIN, a channel sends again to see whether it fails again."""
        for number in numbers:
            self.failures.extend([number] if number == errno.EAGAIN else [number, number])

    def next_arrival(self) -> int:
        return min((when for when, _ in self._messages + self._errors), default=2**63)

    def reply(
        self, sequence: int, after: int, *, source: str = "", payload: bytes | None = None, stamp: bool = True
    ) -> None:
        when = self.clock.monotonic + after
        sent = next(message for message, _ in reversed(self.sent) if message[6:8] == struct.pack("!H", sequence))
        kind = 0 if self.family == linux.AF_INET else 129
        message = bytes([kind, 0, 0, 0, 0, 0]) + sent[6:8] + (sent[8:] if payload is None else payload)
        items = [(linux.SOL_IP, linux.IP_TTL, struct.pack("=i", 63))]
        if stamp:
            items.append(stamping(when + self.clock.offset))
        address = (source or (TARGET if self.family == linux.AF_INET else TARGET6), 0)
        self._messages.append((when, (message, items, 0, address)))

    def stray(self, sequence: int) -> None:
        message = struct.pack("!BBHHH", 0, 0, 0, 0, sequence)
        self._messages.append((self.clock.monotonic, (message, [], 0, (TARGET, 0))))

    def error(self, sequence: int, kind: int, code: int, *, info: int = 0, after: int = 0, about: str = TARGET) -> None:
        quote = struct.pack("!BBHHH", 8, 0, 0, 1, sequence)
        items = [extended_error(errno.EHOSTUNREACH, linux.SO_EE_ORIGIN_ICMP, kind, code, info, 0)]
        self._errors.append((self.clock.monotonic + after, (quote, items, 0, (about, 0))))

    def refused_too_long(self, mtu: int) -> None:
        items = [extended_error(errno.EMSGSIZE, linux.SO_EE_ORIGIN_LOCAL, 0, 0, mtu, 0)]
        self._errors.append((self.clock.monotonic, (b"", items, 0, (TARGET, 0))))

    def transmitted(self, key: int, after: int = 0) -> None:
        entry = extended_error(errno.ENOMSG, linux.SO_EE_ORIGIN_TIMESTAMPING, 0, 0, linux.SCM_TSTAMP_SND, key)
        items = [stamping(self.clock.calendar() + after), entry]
        self._errors.append((self.clock.monotonic, (b"", items, 0, ())))


class FakeWaiter:
    """Lets the clock pass to the next arrival, or to the end of the wait."""

    def __init__(self, sock: FakeSocket) -> None:
        self._socket = sock
        self.woken = False

    def wait(self, nanoseconds: int) -> tuple[bool, bool]:
        clock = self._socket.clock
        ends = clock.monotonic + nanoseconds
        clock.monotonic = max(clock.monotonic, min(ends, self._socket.next_arrival()))
        woken, self.woken = self.woken, False
        return self._socket.next_arrival() <= clock.monotonic, woken


def stamping(nanoseconds: int) -> tuple[int, int, bytes]:
    content = struct.pack("=6q", nanoseconds // SECOND, nanoseconds % SECOND, 0, 0, 0, 0)
    return linux.SOL_SOCKET, linux.SO_TIMESTAMPING, content


def extended_error(number: int, origin: int, kind: int, code: int, info: int, data: int) -> tuple[int, int, bytes]:
    offender = struct.pack("=H2s4s8x", linux.AF_INET, b"", bytes(map(int, ROUTER.split("."))))
    content = struct.pack("=I4B2I", number, origin, kind, code, 0, info, data) + offender
    return linux.SOL_IP, linux.IP_RECVERR, content


def run_on(sock: FakeSocket, *, size: int = 56, answered_by_others: bool = False, **plan: Any) -> PingRun:
    address = (TARGET, 0) if sock.family == linux.AF_INET else (TARGET6, 0, 0, 0)
    target = Target(address[0], sock.family, address, answered_by_others, ProbeOptions(size=size))
    run = PingRun(
        sock,  # type: ignore[arg-type]
        PingPlan(target, **plan),
        waiter=FakeWaiter(sock),  # type: ignore[arg-type]
        clocks=lambda: (sock.clock.now(), sock.clock.calendar()),
    )
    # The millisecond a real socket is given before its first probe.
    sock.clock.monotonic += MILLISECOND
    return run
