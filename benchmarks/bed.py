"""What several benchmarks stand on: namespaces of their own, commands, C programs, long paths, load, and figures."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import resource
    from collections.abc import Callable, Iterable, Iterator

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1
NOBODY = 65534
YARDSTICKS = Path(__file__).resolve().parent / "yardstick"
SOURCE = Path(__file__).resolve().parent.parent / "src"
ETH_P_ALL = 3
"""Only packet sockets for all protocols are shown what leaves."""
SO_TIMESTAMPNS = 35
BUFFER = 4 << 20
ECHO_REPLY, ECHO_REQUEST, IPPROTO_ICMP = 0, 8, 1
_PROTOCOL_AT = 9
_ICMP = struct.Struct("!BBHHH")
_TIMESPEC = struct.Struct("=qq")
SCRIPT = SOURCE.parent / "scripts" / "pingsock"
# What is measured is the source beside the benchmarks, installed or not; each of them imports this file first.
sys.path.insert(0, str(SOURCE))
_ENTRY = struct.Struct("=4sHHQ")


def enter_namespace() -> None:
    """Move this process into a network namespace in which everybody may open ping sockets."""
    _unshare(CLONE_NEWNET)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")


def _unshare(flags: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        raise SystemExit(f"{sys.argv[0]}: needs root, to make namespaces")


def enclose() -> None:
    """Go on in a new process, the first of a session and of namespaces of its own, for network, processes and mounts.

    When it ends the kernel kills all that was started in it; and it is killed when the process that called this ends,
    however that comes.
    """
    enter_namespace()
    # The next child is the first of its process namespace, so there must be none before.
    _unshare(CLONE_NEWPID | CLONE_NEWNS)
    parent = os.getpid()
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if not os.path.exists(f"/proc/{parent}"):
        os._exit(1)
    os.setsid()
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)


def start_as_nobody(command: list[str], **arguments: Any) -> subprocess.Popen[bytes]:
    """Start a command without privileges; `arguments` are those of Popen."""
    # This process stays root: a program with file capabilities, as Debian's ping, shows its memory to nobody else.
    return subprocess.Popen(command, user=NOBODY, group=NOBODY, extra_groups=[], **arguments)


def pingsock_command(*arguments: str, interpreter: str = sys.executable) -> list[str]:
    """The installed script with these arguments."""
    return [interpreter, str(SCRIPT), *arguments]


def installed_environment(interpreter: str = sys.executable) -> dict[str, str]:
    """In which the script runs as if it were installed: the package is found and its byte code is there."""
    subprocess.run([interpreter, "-m", "compileall", "-qq", SOURCE], check=True)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(SOURCE)}


def proportional_set_size(process: int | str = "self") -> float:
    """MiB of a process, what it shares counted in proportion."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"/proc/{process}/smaps_rollup tells no Pss")


def available_memory() -> float:
    """MiB the kernel thinks it could still give to programs."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("/proc/meminfo tells no MemAvailable")


def build(name: str) -> str:
    """Compile a program of `yardstick/`; the path of the result, in a temporary folder."""
    result = Path(tempfile.mkdtemp(prefix="pingsock-yardstick-")) / name
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", result, YARDSTICKS / f"{name}.c"], check=True)
    return str(result)


class Paths:
    """All of 10.0.0.0/8 behind a TUN device, each address as far away as `delay_of` says."""

    def __init__(self, program: str, shortest_ms: int, longest_ms: int) -> None:
        self._log = Path(tempfile.mkdtemp(prefix="pingsock-paths-")) / "log"
        command = [program, "paths", str(shortest_ms), str(longest_ms), str(self._log)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._process.stdout.readline()
        for line in (
            "link set paths txqueuelen 50000",
            "link set paths up",
            "address add 192.0.2.1/32 dev paths",
            "route add 10.0.0.0/8 dev paths src 192.0.2.1",
        ):
            subprocess.run(["ip", *line.split()], check=True)

    def stop(self) -> dict[tuple[str, int], int]:
        """End it; how long each reply was really under way there: (address, sequence) -> nanoseconds."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
        entries = _ENTRY.iter_unpack(self._log.read_bytes())
        return {(socket.inet_ntoa(address), sequence): took for address, sequence, _zero, took in entries}


class Capture:
    """What passes a device: when each echo request left and when its reply came."""

    def __init__(self, device: str) -> None:
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._sock.bind((device, ETH_P_ALL))

    def round_trips(self) -> list[int]:
        """Nanoseconds of each request since the last call, in the order of leaving; -1 if it had no reply."""
        left: dict[tuple[int, int], int] = {}
        took: dict[tuple[int, int], int] = {}
        while (packet := self._read()) is not None:
            stamp, kind, probe = packet
            if kind == ECHO_REQUEST:
                left[probe] = stamp
            elif kind == ECHO_REPLY and probe in left:
                took.setdefault(probe, stamp - left[probe])
        return [took.get(probe, -1) for probe in left]

    def first_request(self) -> int:
        """When the first request since the last call left, nanoseconds since 1970; 0 if there was none."""
        stamps = [stamp for stamp, kind, _ in iter(self._read, None) if kind == ECHO_REQUEST]
        return min(stamps, default=0)

    def _read(self) -> tuple[int, int, tuple[int, int]] | None:
        """The next packet's stamp, its ICMP type (-1: another protocol), identifier and sequence."""
        try:
            packet, ((_, _, stamp),), _, _ = self._sock.recvmsg(2048, 64)
        except BlockingIOError:
            return None
        seconds, nanoseconds = _TIMESPEC.unpack(stamp)
        if packet[0] >> 4 != 4 or packet[_PROTOCOL_AT] != IPPROTO_ICMP:
            return 0, -1, (0, 0)
        kind, _, _, ident, sequence = _ICMP.unpack_from(packet, (packet[0] & 15) * 4)
        return seconds * 10**9 + nanoseconds, kind, (ident, sequence)


def address(network: str, index: int) -> str:
    """The address `index` behind `network`."""
    (first,) = struct.unpack("!I", socket.inet_aton(network))
    return socket.inet_ntoa(struct.pack("!I", first + index))


def addresses(network: str, count: int) -> list[str]:
    """The first `count` addresses from `network` on."""
    return [address(network, index) for index in range(count)]


@contextmanager
def load(processes: int, *, own_group: bool) -> Iterator[None]:
    """Keep so many processes computing. In a group of their own, the scheduler (autogroup) shares by groups first."""
    if not processes:
        yield
        return
    command = ["stress-ng", "--quiet", "--cpu", str(processes), "--cpu-method", "int64"]
    hogs = subprocess.Popen(command, start_new_session=own_group)
    time.sleep(5)
    try:
        yield
    finally:
        hogs.terminate()
        hogs.wait()


def in_child(work: Callable[..., Any], *arguments: Any) -> tuple[dict[str, float], Any]:
    """Run `work` in a forked process; its `wall` and `cpu` seconds and `peak` MiB resident, and what it returned."""
    reader, writer = os.pipe()
    begin = time.perf_counter()
    child = os.fork()
    if not child:
        status = 1
        try:
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(work(*arguments), pipe)
            status = 0
        finally:
            if status:
                traceback.print_exc()
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as results:
        content = results.read()
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"{work.__name__} failed with status {status}")
    return _usage(usage, time.perf_counter() - begin), pickle.loads(content)


def run_command(command: list[str], read: Callable[[TextIO], Any], **environment: str) -> tuple[dict[str, float], Any]:
    """Run a command to its end; `wall`, `cpu` and `peak` as in `in_child`, and what `read` makes of what it wrote.

    A child begins as a copy of this process, whose own size is a lower bound of `peak`: keep little of long outputs.
    """
    with tempfile.TemporaryFile("w+") as output:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
        )
        _, _status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = 0
        output.seek(0)
        return _usage(usage, wall), read(output)


def _usage(usage: resource.struct_rusage, wall: float) -> dict[str, float]:
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss / 1024}


def percentile(values: Iterable[float], percent: float) -> float:
    """The value that `percent` of all do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)] if ordered else float("nan")


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure over the rounds."""
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def interleaved(
    contenders: dict[str, Callable[[], dict[str, float]]], rounds: int
) -> dict[str, list[dict[str, float]]]:
    """Run all contenders in turn, so many rounds; the figures of each, round by round."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            results[name].append(run())
    return results


def table(results: dict[str, list[dict[str, float]]], yardstick: str, ratio_of: str) -> str:
    """Medians of each contender, a line each, with the median of the ratios to the yardstick round by round."""
    figures = list(next(iter(results.values()))[0])
    lines = [f"{'':<34}" + "".join(f"{name:>14}" for name in figures) + f"{ratio_of + ' ratio':>16}"]
    for contender, rounds in results.items():
        ratios = [mine[ratio_of] / its[ratio_of] for mine, its in zip(rounds, results[yardstick], strict=True)]
        middle = medians(rounds)
        cells = "".join(f"{middle[name]:>14.4g}" for name in figures)
        lines.append(f"{contender:<34}{cells}{statistics.median(ratios):>16.2f}")
    return "\n".join(lines)
