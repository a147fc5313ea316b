"""Clients come, ping and die at random, the service is reloaded and restarted: nothing is left behind.

PINGSOCK_CHURN_SECONDS makes it longer than the moment it takes by default.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import time
from pathlib import Path

import pytest

from bed.child import Credentials, fork
from bed.running import RunningService, running_service
from pingsock.service.client import LentSocket, borrow_kernel_socket
from pingsock.sockets.served import ServedPingSocket
from sockets_unit.private import RANGE

pytestmark = [pytest.mark.usefixtures("users"), pytest.mark.timeout(0)]

SECONDS = float(os.environ.get("PINGSOCK_CHURN_SECONDS", "4"))
PROCESSES = 4
CONFIGURATIONS = [
    f'[access]\ngroup_range = "0 4294967294"\n[permit]\nhand_over = {hand_over}\nowner_exclusive_idents = {exclusive}\n'
    for hand_over in ("true", "false")
    for exclusive in ("true", "false")
]
TARGETS = {socket.AF_INET: (8, ("127.0.0.1", 0)), socket.AF_INET6: (128, ("::1", 0))}


def live(service: RunningService, seed: int) -> None:
    """A client: sockets come and go, some with requests under way; then it dies as it is."""
    source = random.Random(seed)
    who = Credentials(3000 + seed % 7, 3000 + seed % 7)
    kept: list[ServedPingSocket | LentSocket] = []
    for _ in range(source.randrange(1, 25)):
        family = source.choice(list(TARGETS))
        kind, destination = TARGETS[family]
        with contextlib.suppress(OSError):
            if source.random() < 0.2:
                kept.append(borrow_kernel_socket(family, service.path))
                continue
            sock = ServedPingSocket(family, service.connect(who))
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


def churn(service: RunningService, seconds: float) -> int:
    """How many clients there were."""
    until, seeds, reload_at = time.monotonic() + seconds, 0, time.monotonic()
    running: set[int] = set()
    while time.monotonic() < until or running:
        while len(running) < PROCESSES and time.monotonic() < until:
            seeds += 1
            pid = fork()
            if pid == 0:
                live(service, seeds)
            running.add(pid)
        pid, _ = os.wait()
        running.discard(pid)
        if time.monotonic() > reload_at:
            reload_at += min(60, seconds / 4)
            service.configuration_path.write_text(random.choice(CONFIGURATIONS))
            service.process.send_signal(signal.SIGHUP)
    return seeds


def memory_of(service: RunningService) -> int:
    """Kibibytes."""
    lines = Path(f"/proc/{service.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_memory_and_descriptors_stay_flat_and_no_ident_leaks() -> None:
    RANGE.write_text("0 2147483647")
    try:
        with running_service(CONFIGURATIONS[0]) as service:
            churn(service, SECONDS / 2)
            service.settled(0)
            memory, descriptors = memory_of(service), service.descriptors()
            assert churn(service, SECONDS) > 5
            service.settled(0)
            status = service.status()
            assert (status["idents"], status["queued_bytes"], status["handed_over"]) == (0, 0, 0)
            assert abs(service.descriptors() - descriptors) <= 1
            assert memory_of(service) - memory < 4096
            service.kill()
            service.start()
            assert churn(service, SECONDS / 4)
            service.settled(0)
            assert "closed uid" not in service.log
    finally:
        RANGE.write_text("1 0")
