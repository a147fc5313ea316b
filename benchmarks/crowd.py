"""Thousands of ping processes at once on a host with a load average of 80: who dies, what is lost, what it takes.

    sudo python3 benchmarks/crowd.py [--processes 2000] [--seconds 60] [--load 80] [--order processes-first]
                                     [--only pingsock]

Needs root, for namespaces, and stress-ng. So many processes of `ping -i 0.2 -D 127.0.0.1`, ours and then iputils', run
as an ordinary user, each with its output in a file. When all have had a reply, stress-ng keeps as many of its own
computing in the same scheduling group (session) for so many seconds; then all pings get a SIGINT. With
`--order load-first` the load runs before the first process is started, in a session of its own.

Figures, of which those of sending and CPU are of the time under load alone:

    died                 processes that ended early, or not with status 0 and a summary of their own
    sent of due %        of one echo each 0.2 s in the time between a process' last reply before and first reply after
    worst process %      the same of the process that sent least
    lost                 replies the kernel sent (its own counter) of which no process printed a line
    lost in summaries    the sum of what the summaries say was lost
    start                seconds from starting a process to its first line of a reply
    all up               seconds from starting the first process until all have had a reply
    PSS, PSS in all      MiB of a process and of all, before and after the load
    memory               MiB the machine had less available, at most
    CPU s                of all processes, for 60 seconds; and microseconds an echo
    largest rtt ms       that any process printed
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from bed import (
    available_memory,
    enclose,
    installed_environment,
    load,
    percentile,
    pingsock_command,
    proportional_set_size,
    start_as_nobody,
)

INTERVAL = 0.2
ARGUMENTS = ["-i", str(INTERVAL), "-D", "127.0.0.1"]
SETTLING = 2.0
PRIORITY = -10
"""Niceness of the process that starts the others, lest those that run already leave it nothing; theirs is 0."""
START_PATIENCE, END_PATIENCE = 600.0, 120.0
_REPLY = re.compile(rb"^\[(\d+\.\d+)\] 64 bytes from 127\.0\.0\.1: icmp_seq=(\d+) ttl=\d+ time=([\d.]+) ms$", re.M)
_SUMMARY = re.compile(rb"^(\d+) packets transmitted, (\d+) received, [\d.]+% packet loss, time \d+ms$", re.M)
_SEQUENCES = 1 << 16


class Process:
    """One ping, and what is known of it."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        # Without a name: nothing is left behind, however this ends.
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `read`
        self.started = time.time()
        self._process: subprocess.Popen[bytes] = start_as_nobody(
            command, env=environment, stdout=self._output, stderr=self._output, close_fds=False
        )
        os.setpriority(os.PRIO_PROCESS, self.pid, 0)
        self.replies: list[tuple[float, int, float]] = []
        """Of each line: seconds since 1970, the number of the echo, milliseconds."""
        self.transmitted = self.received = 0
        self.complaint = ""
        self.died = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def is_up(self) -> bool:
        """Whether it had a reply."""
        return b"icmp_seq=" in os.pread(self._output.fileno(), 4096, 0)

    def cpu(self) -> float:
        """Seconds on a processor until now."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9

    def interrupt(self) -> None:
        self.died = self.has_ended
        if not self.died:
            self._process.send_signal(signal.SIGINT)

    def read(self, until: float) -> None:
        """Wait for its end, and read what it wrote."""
        try:
            status = self._process.wait(max(until - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            status = None
        content = os.pread(self._output.fileno(), os.fstat(self._output.fileno()).st_size, 0)
        self._output.close()
        previous = 0
        for stamp, sequence, took in _REPLY.findall(content):
            previous = _unwrapped(int(sequence), previous)
            self.replies.append((float(stamp), previous, float(took)))
        summary = _SUMMARY.search(content)
        if summary:
            self.transmitted, self.received = int(summary[1]), int(summary[2])
        if status or not summary:
            self.died = True
            self.complaint = f"status {status}: {content[-300:].decode(errors='replace')}"

    def under_load(self, begin: float, end: float) -> tuple[int, int]:
        """Echoes sent and due from the last reply before `begin` to the first one after `end`."""
        before = [reply for reply in self.replies if reply[0] < begin]
        after = [reply for reply in self.replies if reply[0] > end]
        if not before or not after:
            return 0, round((end - begin) / INTERVAL)
        return after[0][1] - before[-1][1], round((after[0][0] - before[-1][0]) / INTERVAL)


def _unwrapped(sequence: int, previous: int) -> int:
    """The number of the echo with this sequence number, whose last 16 bits are told, next to `previous`."""
    return previous + (sequence - previous + _SEQUENCES // 2) % _SEQUENCES - _SEQUENCES // 2


class Crowd:
    """Processes of one kind, from their start to their figures."""

    def __init__(self, command: list[str], environment: dict[str, str], processes: int) -> None:
        self._command, self._environment, self._size = command, environment, processes
        self._processes: list[Process] = []
        self._available = self._least_available = available_memory()
        self._replies_before = replies_by_kernel()
        self._figures: dict[str, float] = {}
        self._watching = threading.Event()

    def run(self, seconds: int, hogs: int, *, load_first: bool) -> dict[str, float]:
        """Start them, load the machine, end them; the figures."""
        watch = threading.Thread(target=self._watch_memory, daemon=True)
        watch.start()
        with ExitStack() as loaded:
            if load_first:
                loaded.enter_context(load(hogs, own_group=True))
            self._start()
            begin, cpu = self._look("before load")
            if not load_first:
                loaded.enter_context(load(hogs, own_group=False))
            time.sleep(seconds)
            self._figures["load average"] = os.getloadavg()[0]
        end, cpu_after = self._look("after load")
        self._end()
        self._watching.set()
        watch.join()
        self._evaluate(begin, end)
        self._evaluate_cpu(cpu_after - cpu, end - begin)
        return self._figures

    def _watch_memory(self) -> None:
        while not self._watching.wait(1.0):
            self._least_available = min(self._least_available, available_memory())

    def _start(self) -> None:
        begin = time.monotonic()
        for _ in range(self._size):
            self._processes.append(Process(self._command, self._environment))
        self._figures["started after s"] = time.monotonic() - begin
        waited_for = self._processes
        while waited_for := [process for process in waited_for if not process.is_up and not process.has_ended]:
            if time.monotonic() - begin > START_PATIENCE:
                raise SystemExit(f"{len(waited_for)} of {self._size} processes are not up after {START_PATIENCE} s")
            time.sleep(0.1)
        self._figures["all up after s"] = time.monotonic() - begin

    def _look(self, when: str) -> tuple[float, float]:
        """Seconds since 1970 and CPU seconds of all, at a moment when the pings have caught up."""
        time.sleep(SETTLING)
        alive = [process for process in self._processes if not process.has_ended]
        sizes = [proportional_set_size(process.pid) for process in alive]
        self._figures[f"PSS {when} MiB"] = statistics.median(sizes)
        self._figures[f"PSS in all {when} MiB"] = sum(sizes)
        moment = time.time()
        cpu = sum(process.cpu() for process in alive)
        # Its first reply after this moment is still part of what is looked at.
        time.sleep(SETTLING)
        return moment, cpu

    def _end(self) -> None:
        for process in self._processes:
            process.interrupt()
        until = time.monotonic() + END_PATIENCE
        for process in self._processes:
            process.read(until)
        for process in [process for process in self._processes if process.died][:5]:
            print(f"process {process.pid}, {process.complaint or 'ended early'}", file=sys.stderr)

    def _evaluate(self, begin: float, end: float) -> None:
        figures, processes = self._figures, self._processes
        lines = sum(len(process.replies) for process in processes)
        spans = [process.under_load(begin, end) for process in processes]
        starts = [process.replies[0][0] - process.started for process in processes if process.replies]
        round_trips = [took for process in processes for _, _, took in process.replies]
        figures["died"] = sum(process.died for process in processes)
        figures["sent of due %"] = 100 * sum(sent for sent, _ in spans) / sum(due for _, due in spans)
        figures["worst process %"] = min(100 * sent / due for sent, due in spans)
        figures["replies"] = lines
        figures["lost"] = replies_by_kernel() - self._replies_before - lines
        figures["lost in summaries"] = sum(process.transmitted - process.received for process in processes)
        figures["start median s"] = statistics.median(starts)
        figures["start largest s"] = max(starts)
        figures["memory MiB"] = self._available - self._least_available
        figures["memory each MiB"] = figures["memory MiB"] / self._size
        figures["rtt median ms"] = statistics.median(round_trips)
        figures["rtt p99.9 ms"] = percentile(round_trips, 99.9)
        figures["rtt largest ms"] = max(round_trips)
        self._sent = sum(sent for sent, _ in spans)

    def _evaluate_cpu(self, cpu: float, seconds: float) -> None:
        self._figures["CPU s in 60 s"] = cpu * 60 / seconds
        self._figures["CPU us an echo"] = cpu / self._sent * 1e6


def replies_by_kernel() -> int:
    """Echo replies the kernel of this namespace has sent."""
    lines = Path("/proc/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Icmp:"))
    return int(values[names.index("OutEchoReps")])


def allow_descriptors(count: int) -> None:
    """See that this process may have so many descriptors open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))


def show(figures: dict[str, dict[str, float]]) -> None:
    """A line each, a column each contender, the last column ours over iputils'."""
    ours, *others = figures.values()
    print(f"{'':<28}" + "".join(f"{name:>16}" for name in figures) + f"{'ratio':>12}" * len(others))
    for name, figure in ours.items():
        ratios = "".join(f"{figure / other[name]:>12.3g}" if other[name] else f"{'-':>12}" for other in others)
        print(f"{name:<28}" + "".join(f"{each[name]:>16.6g}" for each in figures.values()) + ratios)


def contenders(interpreter: str) -> dict[str, list[str]]:
    """The commands, by name."""
    found = {"pingsock": pingsock_command("ping", *ARGUMENTS, interpreter=interpreter)}
    iputils = shutil.which("ping")
    return found | ({"iputils": [iputils, *ARGUMENTS]} if iputils else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--load", type=int, default=80)
    parser.add_argument("--order", choices=("processes-first", "load-first"), default="processes-first")
    parser.add_argument("--only", choices=("pingsock", "iputils"), help="one of the two, for long runs")
    parser.add_argument("--interpreter", default="/usr/bin/python3")
    options = parser.parse_args()
    environment = installed_environment(options.interpreter)
    enclose()
    os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    allow_descriptors(options.processes + 100)
    condition = f"{options.seconds} s with a load of {options.load}, {options.order}"
    print(f"{options.processes} processes, {condition}, {options.interpreter}", flush=True)
    figures = {}
    for name, command in contenders(options.interpreter).items():
        if options.only not in (None, name):
            continue
        crowd = Crowd(command, environment, options.processes)
        figures[name] = crowd.run(options.seconds, options.load, load_first=options.order == "load-first")
    show(figures)


if __name__ == "__main__":
    main()
