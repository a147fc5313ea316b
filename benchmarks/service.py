"""The service beside the kernel: one client's round trips, and many clients that ping at an interval.

    python benchmarks/service.py                  one client, each kind of socket; and whether a borrowed one is slower
    python benchmarks/service.py --clients 2000   so many sockets of one user, each pinging every 0.2 s for 60 s

Round trips are to 127.0.0.1, by plain send and receive calls; what it costs is added up for client and service. As
root.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import multiprocessing
import os
import random
import resource
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import cycle, permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bed import SOURCE, enter_namespace
from pingsock.service.client import ask_status, connect_service
from pingsock.sockets.borrowed import BorrowedPingSocket
from pingsock.sockets.kernel import KernelPingSocket
from pingsock.sockets.served import ServedPingSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROCESSES = 8
"""That share the clients."""
SENT_AT_ONCE = 32
"""Requests of one process before it reads again."""
ROUND_TRIPS = 200
"""Of one socket before it is another's turn: too few for the machine to change meanwhile."""
GRACE = 1
"""Seconds for requests that are late, and again for the last replies."""
ECHO = bytes((8, 0)) + bytes(62)
HOST = ("127.0.0.1", 0)
CONFIGURATION = '[access]\ngroup_range = "0 4294967294"\n[quota]\nsockets = 65535\n'
START = "import sys; from pingsock.cli.main import main; sys.exit(main(['pingsockd', *sys.argv[1:]]))"


@contextmanager
def running_service() -> Iterator[tuple[str, int]]:
    """A service as a user of its own; where it listens, and its process id."""
    with tempfile.TemporaryDirectory(prefix="pingsock-benchmark-") as directory:
        configuration, path = Path(directory, "pingsockd.toml"), str(Path(directory, "service.sock"))
        configuration.write_text(CONFIGURATION)
        arguments = ["--config", str(configuration), "--socket", path, "--user=64990:64990", "--sandbox=required"]
        command = [sys.executable, "-c", START, *arguments]
        with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(SOURCE)}) as process:
            while process.poll() is None and not Path(path).exists():
                time.sleep(0.01)
            try:
                yield path, process.pid
            finally:
                process.terminate()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024


def one_client(name: str, sock: Any, count: int, pid: int) -> None:
    """Prints round trips a second, latency, and CPU a round trip."""
    sock.settimeout(10)
    for _ in range(200):
        sock.sendto(ECHO, HOST)
        sock.recv(200)
    service, own, started = cpu_seconds(pid), time.process_time(), time.perf_counter()
    latencies = []
    for _ in range(count):
        at = time.perf_counter()
        sock.sendto(ECHO, HOST)
        sock.recv(200)
        latencies.append(time.perf_counter() - at)
    seconds = time.perf_counter() - started
    own, service = time.process_time() - own, cpu_seconds(pid) - service
    latencies.sort()
    median, high = (latencies[int(count * share)] * 1e6 for share in (0.5, 0.99))
    print(
        f"{name:<10}{count / seconds:>9,.0f} round trips/s  median {median:>6.0f} us, 99 % {high:>6.0f} us;"
        f" CPU a round trip: client {own / count * 1e6:.0f} us, service {service / count * 1e6:.0f} us"
    )
    sock.close()


def beside_the_kernels(path: str, rounds: int) -> None:
    """Prints how the rate of a borrowed socket compares to that of a socket the kernel gave us, round by round.

    Both are sockets of the kernel in this process, and a third, opened as the first, shows what the method can tell.
    """
    sockets = [KernelPingSocket(), KernelPingSocket(), borrow(path)]
    for sock in sockets:
        sock.settimeout(10)
        seconds_of_round(sock)
    times = [[0.0] * len(sockets) for _ in range(rounds)]
    # Whoever is first finds other caches than whoever follows: each has each place behind each other one as often.
    for row, order in zip(times, cycle(permutations(range(len(sockets)))), strict=False):
        for turn in order:
            row[turn] = seconds_of_round(sockets[turn])
    print(f"rate of a socket of the kernel = 1; {rounds} rounds of {ROUND_TRIPS} round trips each, in turn:")
    for name, column in (("another", 1), ("borrowed", 2)):
        print(f"{name:<10}{spread([row[0] / row[column] for row in times])}")
    for sock in sockets:
        sock.close()


def seconds_of_round(sock: KernelPingSocket) -> float:
    started = time.perf_counter()
    for _ in range(ROUND_TRIPS):
        sock.sendto(ECHO, HOST)
        sock.recv(200)
    return time.perf_counter() - started


def spread(ratios: list[float]) -> str:
    """The median with its interval of confidence (95 %, from the order of the values alone), and the quartiles."""
    ordered, count = sorted(ratios), len(ratios)
    reach = 0.98 * math.sqrt(count)
    low, high = ordered[max(0, int(count / 2 - reach))], ordered[min(count - 1, math.ceil(count / 2 + reach))]
    return (
        f"median {statistics.median(ordered):.3f} (95 %: {low:.3f} to {high:.3f});"
        f" half of the rounds {ordered[count // 4]:.3f} to {ordered[count * 3 // 4]:.3f}"
    )


def many_clients(name: str, opener: Callable[[], Any], clients: int, interval: float, seconds: float, pid: int) -> None:
    """Prints how many were answered, and what it took."""
    service = cpu_seconds(pid)
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("fork")) as pool:
        jobs = [pool.submit(ping, opener, clients // PROCESSES, interval, seconds) for _ in range(PROCESSES)]
        sent, answered, late, own = (sum(column) for column in zip(*[job.result() for job in jobs], strict=True))
    service = cpu_seconds(pid) - service
    print(
        f"{name:<10}{clients} sockets, {sent:,} requests in {seconds:.0f} s: {sent - answered} not answered,"
        f" {late} sent an interval late; service {service / seconds * 100:.0f} % of a core and {memory(pid)} MiB,"
        f" clients {own / seconds * 100:.0f} % of a core"
    )


def ping(opener: Callable[[], Any], clients: int, interval: float, seconds: float) -> tuple[int, int, int, float]:
    """Requests sent, answered, and sent an interval late; seconds of CPU."""
    sockets = [opener() for _ in range(clients)]
    by_fileno = {sock.fileno(): sock for sock in sockets}
    epoll = select.epoll()
    for sock in sockets:
        sock.setblocking(False)
        epoll.register(sock.fileno(), select.EPOLLIN)
    start = time.monotonic()
    due = [(start + random.random() * interval, number) for number in range(clients)]
    heapq.heapify(due)
    own = time.process_time()
    sent = answered = late = 0
    while (now := time.monotonic()) < start + seconds + 2 * GRACE:
        if now > start + seconds + GRACE:
            # Whoever is so late sends no more: the last replies have time to come.
            due.clear()
        for _ in range(SENT_AT_ONCE):
            if not due or due[0][0] > now:
                break
            at, number = heapq.heappop(due)
            sockets[number].sendto(ECHO, HOST)
            sent += 1
            late += now > at + interval
            if at + interval < start + seconds:
                heapq.heappush(due, (at + interval, number))
        wait = max(0.0, due[0][0] - time.monotonic()) if due else 0.1
        for fileno, _ in epoll.poll(wait):
            answered += len(list(read_all(by_fileno[fileno])))
    own = time.process_time() - own
    for sock in sockets:
        sock.close()
    return sent, answered, late, own


def read_all(sock: Any) -> Iterator[bytes]:
    try:
        yield sock.recv(200)
    except BlockingIOError:
        return


def borrow(path: str) -> BorrowedPingSocket:
    return BorrowedPingSocket(path=path)


def serve(path: str) -> ServedPingSocket:
    return ServedPingSocket(socket.AF_INET, connect_service(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=0)
    parser.add_argument("--interval", type=float, default=0.2)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--count", type=int, default=10000, help="round trips of one client")
    parser.add_argument(
        "--rounds", type=int, default=3000, help="in which a borrowed socket is compared to the kernel's"
    )
    options = parser.parse_args()
    enter_namespace()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with running_service() as (path, pid):
        openers: dict[str, Callable[[], Any]]
        openers = {"kernel": KernelPingSocket, "borrowed": partial(borrow, path), "served": partial(serve, path)}
        for name, opener in openers.items():
            if options.clients:
                many_clients(name, opener, options.clients, options.interval, options.seconds, pid)
            else:
                one_client(name, opener(), options.count, pid)
        if not options.clients:
            beside_the_kernels(path, options.rounds)
        print(f"packets the service was too slow to read: {json.loads(ask_status(path))['packets_lost_unread']}")


if __name__ == "__main__":
    main()
