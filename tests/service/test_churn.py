"""Clients come, ping and die at random, the service is reloaded, and restarted under them: nothing is left behind.

PINGSOCK_CHURN_SECONDS makes it longer than the moment it takes by default. It is reloaded every minute then, and
restarted at half time.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import signal
import socket
import time
import traceback
from pathlib import Path

import pytest

from bed.bed import errno_of
from bed.child import Credentials, fork
from bed.running import RunningService, as_somebody, running_service
from pingsock.service import frames
from pingsock.service.client import LentSocket, borrow_kernel_socket, connect_service
from pingsock.service.frames import Request
from pingsock.sockets.served import ServedPingSocket
from sockets_unit.private import RANGE

pytestmark = [pytest.mark.usefixtures("users"), pytest.mark.timeout(0)]

SECONDS = float(os.environ.get("PINGSOCK_CHURN_SECONDS", "4"))
PROCESSES = 4
WARM_UP = 60
"""Clients at least until the service has all the memory it works with."""
MARGIN = 4096
"""Kibibytes of memory it may have beyond that: what more sockets at once than ever before need, not what leaks."""
CONFIGURATIONS = [
    f'[access]\ngroup_range = "0 4294967294"\n[permit]\nhand_over = {hand_over}\nowner_exclusive_idents = {exclusive}\n'
    for hand_over in ("true", "false")
    for exclusive in ("true", "false")
]
NOBODY_HAS_A_SOCKET = {"idents": 0, "queued_bytes": 0, "handed_over": 0}
PING_SOCKETS = [Path("/proc/net/icmp"), Path("/proc/net/icmp6")]
TARGETS = {socket.AF_INET: (8, ("127.0.0.1", 0)), socket.AF_INET6: (128, ("::1", 0))}


def borrow_as(who: Credentials, family: int, service: RunningService) -> LentSocket:
    with as_somebody(who):
        return borrow_kernel_socket(family, service.path)


def serve_as(who: Credentials, family: int, service: RunningService) -> ServedPingSocket:
    return ServedPingSocket(family, service.connect(who))


def live(service: RunningService, seed: int) -> None:
    """A client: sockets come and go, some with requests under way; then it dies as it is."""
    source = random.Random(seed)
    who = Credentials(3000 + seed % 7, 3000 + seed % 7)
    kept: list[ServedPingSocket | LentSocket] = []
    for _ in range(source.randrange(1, 25)):
        family = source.choice(list(TARGETS))
        kind, destination = TARGETS[family]
        with contextlib.suppress(OSError):
            sock = borrow_as(who, family, service) if source.random() < 0.2 else serve_as(who, family, service)
            kept.append(sock)
            for _ in range(source.randrange(6)):
                sock.sendto(bytes((kind, 0)) + bytes(6) + source.randbytes(20), destination)
            if source.random() < 0.4:
                sock.settimeout(0.05)
                sock.recv(200)
            if source.random() < 0.4:
                kept.remove(sock)
                sock.close()
    os.kill(os.getpid(), signal.SIGKILL)


class Churn:
    """Clients in processes of their own, so many at any time, and a service that is reloaded while they live."""

    def __init__(self, service: RunningService) -> None:
        self._service = service
        self._running: set[int] = set()
        self._seeds = 0
        self._reload_at = time.monotonic()

    def go_on(self, seconds: float, clients: int = 1) -> None:
        """For so long, and until so many more clients have died."""
        until, last = time.monotonic() + seconds, self._seeds + clients
        while time.monotonic() < until or self._seeds < last:
            while len(self._running) < PROCESSES:
                self._start_one()
            self._bury_one()
            if time.monotonic() > self._reload_at:
                self._reload_at = time.monotonic() + min(60, SECONDS / 8)
                self._service.reload(random.choice(CONFIGURATIONS))

    def end(self) -> None:
        """Return when no client is left."""
        while self._running:
            self._bury_one()
        self._service.settled(0)

    def _start_one(self) -> None:
        self._seeds += 1
        pid = fork()
        if pid == 0:
            try:
                live(self._service, self._seeds)
            except BaseException:
                traceback.print_exc()
            finally:
                # Nothing gets out of here: it would go on with the tests.
                os._exit(1)
        self._running.add(pid)

    def _bury_one(self) -> None:
        pid, status = os.wait()
        self._running.remove(pid)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "a client failed otherwise than by an OSError"


class Witness:
    """A client that certainly lives while the service is restarted: it has a socket of each kind."""

    def __init__(self, service: RunningService) -> None:
        service.reload(CONFIGURATIONS[0])
        self._served = ServedPingSocket(socket.AF_INET, service.connect())
        self._lent = borrow_kernel_socket(socket.AF_INET, service.path)
        for sock in (self._served, self._lent):
            sock.settimeout(20)
            self._ping(sock)

    def _ping(self, sock: ServedPingSocket | LentSocket) -> None:
        sock.sendto(bytes((8, 0)) + bytes(14), ("127.0.0.1", 0))
        assert sock.recv(100)[0] == 0

    def has_seen_it_end(self) -> None:
        assert errno_of(self._ping, self._served) == errno.ECONNRESET
        self._ping(self._lent)
        self._served.close()
        self._lent.close()


def memory_of(service: RunningService) -> int:
    """Kibibytes."""
    lines = Path(f"/proc/{service.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def descriptors_of(service: RunningService) -> int:
    """When nobody is connected but who asks: an earlier connection of ours may take a moment to go."""
    connection = connect_service(service.path)
    try:
        status = Request(frames.STATUS)
        service._wait_until(lambda: json.loads(connection.ask(status).body)["connections"] == 1)
        return service.descriptors()
    finally:
        connection.close()


def is_as_at_the_beginning(service: RunningService, descriptors: int, memory: int) -> None:
    status = service.status()
    assert {name: status[name] for name in NOBODY_HAS_A_SOCKET} == NOBODY_HAS_A_SOCKET
    assert [path.read_text().count("\n") for path in PING_SOCKETS] == [1, 1], "the kernel has no more than headings"
    assert descriptors_of(service) == descriptors
    assert memory_of(service) <= memory + MARGIN
    assert status["packets"] > 0
    assert status["reloads"] > 0
    assert "closed uid" not in service.log
    assert "old configuration" not in service.log


def test_memory_and_descriptors_stay_flat_and_no_ident_leaks() -> None:
    RANGE.write_text("0 2147483647")
    try:
        with running_service(CONFIGURATIONS[0]) as service:
            descriptors = descriptors_of(service)
            clients = Churn(service)
            clients.go_on(SECONDS / 8, WARM_UP)
            clients.end()
            memory = memory_of(service)
            clients.go_on(SECONDS / 2, 4 * PROCESSES)
            clients.end()
            is_as_at_the_beginning(service, descriptors, memory)

            clients.go_on(0, PROCESSES)
            witness = Witness(service)
            service.kill()
            service.start()
            witness.has_seen_it_end()
            clients.go_on(SECONDS / 2, 4 * PROCESSES)
            clients.end()
            is_as_at_the_beginning(service, descriptors, memory)
    finally:
        RANGE.write_text("1 0")
