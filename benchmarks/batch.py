"""The batch driver beside C and fping: round trips a second, and whole runs of the programs.

    python3 benchmarks/batch.py [--rounds 5] [--hosts 262144] [--whole 65534]

The yardstick is benchmarks/yardstick/pingblast.c, compiled here: one ping socket a core with the same options,
sendmmsg and recvmmsg of 256, replies matched by sequence number and address, their payload compared, round trips
accounted: least, mean, most. The batch driver does the same, and keeps what a record of each reply is made of;
neither keeps a histogram. The batch driver's probes are too small to be fragmented anywhere and never are
(IP_PMTUDISC_DO), which saves the kernel some work; C is measured without that option, and with it ("C -d"). All run
in a network namespace of their own (as root, or in a user namespace) in which ping sockets are open to everybody;
hosts are addresses of 127.0.0.0/8. Rounds are interleaved; printed are medians, and medians of the rounds' ratios.

"engine" is what a program measures of itself, first probe to last reply, one core being CPU 0; with processes their
start is in it. "whole" is the time of a process from its start to its end; it prints each address that is alive.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
SOURCE = HERE.parent.parent / "src"
YARDSTICK = HERE.parent / "yardstick" / "pingblast.c"
FIRST_HOST = 0x7F000001
TARGETS = {"one core, of C's": 0.9, "two cores, of one": 1.6, "whole run, of fping's rate": 1.2}


def worker(hosts: int, jobs: int, processes: int, *, alive: bool) -> None:
    """Probe the hosts with the batch driver; print those alive, or figures as JSON."""
    sys.path.insert(0, str(SOURCE))
    from pingsock.probe.batch_jobs import BatchRun
    from pingsock.probe.batch_replies import Replies
    from pingsock.probe.batch_tally import RunTally
    from pingsock.probe.batch_targets import ipv4_blocks
    from pingsock.probe.records import Reply
    from pingsock.probe.schedule import Plan
    from pingsock.sockets.mmsg import require_batch_calls

    # This imports ctypes, which is part of starting and not of the engine.
    require_batch_calls()
    begin, cpu = time.perf_counter(), time.process_time()
    tally = RunTally()
    for what in BatchRun(ipv4_blocks(FIRST_HOST, hosts), Plan(), jobs=jobs, processes=processes):
        if isinstance(what, Replies):
            tally.enter_replies(what)
            if alive:
                print("\n".join(what.hosts()))
        else:
            tally.enter(what)
            if alive and isinstance(what, Reply):
                print(what.target.host)
    seconds = time.perf_counter() - begin
    if alive:
        return
    figures = {
        "sent": hosts,
        "received": tally.replies,
        "round_trips_per_second": tally.replies / seconds,
        "cpu_seconds": time.process_time() - cpu + sum(os.times()[2:4]),
        "rtt_min_ns": tally.minimum,
        "rtt_mean_ns": tally.mean,
        "rtt_max_ns": tally.maximum,
        "resident_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }
    print(json.dumps(figures))


def engine_commands(pingblast: str, hosts: int) -> dict[str, list[str]]:
    """Programs that print their own figures."""
    ours = [sys.executable, str(HERE), "--worker", "--hosts", str(hosts)]
    blast = [pingblast, "-n", str(hosts)]
    return {
        "C, one core": ["taskset", "-c", "0", *blast],
        "C -d, one core": ["taskset", "-c", "0", *blast, "-d"],
        "batch driver, one core": ["taskset", "-c", "0", *ours],
        "C, two processes": [*blast, "-j", "2"],
        "batch driver, two threads": [*ours, "--jobs", "2"],
        "batch driver, two processes": [*ours, "--processes", "2"],
    }


def whole_commands(pingblast: str, hosts: int) -> dict[str, list[str]]:
    """Programs whose run as a whole is measured."""
    ours = [sys.executable, str(HERE), "--worker", "--alive", "--hosts", str(hosts)]
    found = {
        "C": [pingblast, "-n", str(hosts)],
        "batch driver": ours,
        "batch driver, two threads": [*ours, "--jobs", "2"],
        "batch driver, two processes": [*ours, "--processes", "2"],
    }
    fping = shutil.which("fping")
    if fping:
        last = FIRST_HOST + hosts - 1
        text = ".".join(str(octet) for octet in last.to_bytes(4, "big"))
        found["fping"] = [fping, "-a", "-q", "-i", "0", "-r", "0", "-t", "1000", "-g", "127.0.0.1", text]
    return found


def run(command: list[str]) -> tuple[str, float, float]:
    """Output, seconds and CPU seconds of one run."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, text=True, check=False)
    seconds, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, seconds, cpu


def measure(rounds: int, hosts: int, whole: int, pingblast: str) -> None:
    """All rounds, and the report."""
    engine: dict[str, list[dict[str, Any]]] = defaultdict(list)
    whole_runs: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(rounds):
        for name, command in engine_commands(pingblast, hosts).items():
            engine[name].append(json.loads(run(command)[0]))
        for name, command in whole_commands(pingblast, whole).items():
            out, seconds, cpu = run(command)
            alive = json.loads(out)["received"] if name == "C" else out.count("\n")
            whole_runs[name].append({"rate": whole / seconds, "cpu": cpu, "missing": whole - alive})
    report(engine, whole_runs, rounds, hosts, whole)


def report(engine: dict[str, Any], whole_runs: dict[str, Any], rounds: int, hosts: int, whole: int) -> None:
    """Print medians and ratios."""
    print(f"engine: {rounds} interleaved rounds, {hosts:,} hosts, Python {sys.version.split()[0]}")
    for name, results in engine.items():
        rate, cpu = (median(results, field) for field in ("round_trips_per_second", "cpu_seconds"))
        lost = max(result["sent"] - result["received"] for result in results)
        mean = median(results, "rtt_mean_ns") / 1000
        print(f"  {name:<28}{rate:>10,.0f} a second  {cpu / hosts * 1e6:6.2f} us CPU  lost {lost}  mean {mean:.1f} us")
    print(f"whole: {whole:,} hosts")
    for name, results in whole_runs.items():
        cpu = median(results, "cpu") / whole * 10_000
        missing = max(result["missing"] for result in results)
        print(
            f"  {name:<28}{median(results, 'rate'):>10,.0f} hosts/s   {cpu:6.3f} s CPU for 10,000  false down {missing}"
        )
    ours, two = engine["batch driver, one core"], engine["batch driver, two threads"]
    print_ratio("one core, of C's", ratio(ours, engine["C, one core"], "round_trips_per_second"))
    print(f"  {'of C -d':<28}{ratio(ours, engine['C -d, one core'], 'round_trips_per_second'):.2f}")
    cpu = 1 / ratio(ours, engine["C, one core"], "cpu_seconds")
    print(f"  {'the same by CPU time':<28}{cpu:.2f}")
    print_ratio("two cores, of one", ratio(two, ours, "round_trips_per_second"))
    processes = ratio(engine["batch driver, two processes"], ours, "round_trips_per_second")
    print(f"  {'two processes, of one core':<28}{processes:.2f}")
    if "fping" in whole_runs:
        best = max(("batch driver", "batch driver, two threads"), key=lambda name: median(whole_runs[name], "rate"))
        single = ratio(whole_runs["batch driver"], whole_runs["fping"], "rate")
        print_ratio("whole run, of fping's rate", single)
        print(f"  {'the same, ' + best:<28}{ratio(whole_runs[best], whole_runs['fping'], 'rate'):.2f}")


def median(results: list[dict[str, Any]], field: str) -> float:
    return float(statistics.median(result[field] for result in results))


def ratio(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], field: str) -> float:
    """Median of the rounds' ratios."""
    return float(statistics.median(one[field] / other[field] for one, other in zip(ours, theirs, strict=True)))


def print_ratio(name: str, reached: float) -> None:
    print(f"  {name:<28}{reached:.2f}  (to reach: {TARGETS[name]})")


def enter_namespace() -> None:
    """Start again inside a network namespace of our own."""
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    os.execvp(unshare[0], [*unshare, sys.executable, str(HERE), "--inside", *sys.argv[1:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds, at least 5")
    parser.add_argument("--hosts", type=int, default=262_144, help="hosts of an engine's run")
    parser.add_argument("--whole", type=int, default=65_534, help="hosts of a program's whole run")
    for hidden in ("--inside", "--worker", "--alive"):
        parser.add_argument(hidden, action="store_true", help=argparse.SUPPRESS)
    for hidden in ("--jobs", "--processes"):
        parser.add_argument(hidden, type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.hosts, options.jobs, options.processes, alive=options.alive)
        return
    if not options.inside:
        enter_namespace()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 0")
    with tempfile.TemporaryDirectory(prefix="pingsock-yardstick-") as directory:
        pingblast = os.path.join(directory, "pingblast")
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", pingblast, str(YARDSTICK)], check=True)
        measure(max(options.rounds, 5), options.hosts, options.whole, pingblast)


if __name__ == "__main__":
    main()
