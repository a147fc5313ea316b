"""One run of one program in a bed: its command line, the signals it gets, and what it printed, returned and sent."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass, field

from drop_in.bed import CLOSED, OPEN, Bed
from drop_in.capture import Capture, described
from drop_in.programs import Programs, as_user, ignoring

PATIENCE = 30.0
"""Seconds until a program that does not end is killed."""
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Signal:
    """A signal for a running ping: sent when it has printed `after` so many times, or has sent so many requests."""

    name: str
    after: str
    """"" counts requests."""
    times: int = 1


@dataclass(frozen=True)
class Who:
    """Who runs the program, and whether ping sockets are allowed."""

    is_user: bool
    group_range: str


WHO = {
    "root": Who(False, OPEN),
    "user": Who(True, OPEN),
    # iputils takes raw sockets then.
    "raw": Who(False, CLOSED),
    "nobody": Who(True, CLOSED),
}


@dataclass(frozen=True)
class Line:
    """A command line, and the circumstances of its run."""

    arguments: tuple[str, ...]
    who: str
    program: str = "ping"
    """The name it is called by."""
    signals: tuple[Signal, ...] = ()
    ignores: tuple[str, ...] = ()
    """Signals it inherits as ignored."""
    environment: dict[str, str] = field(default_factory=dict)
    on_terminal: bool = False
    """Whether standard output is a terminal; else it is a pipe, as standard error always."""


@dataclass
class Observation:
    out: str
    err: str
    status: int
    packets: list[tuple[str, bytes]]


def run(bed: Bed, programs: Programs, which: str, line: Line) -> Observation:
    """Run a line with the program `which` ("iputils" or "ours"), in the thread of the bed's client."""
    process = start(bed, programs, which, line)
    try:
        out, err, packets = _attend(process, list(line.signals), bed.capture)
    finally:
        process.kill()
        process.wait()
    return Observation(_text(out), _text(err), process.returncode, packets)


def start(bed: Bed, programs: Programs, which: str, line: Line) -> subprocess.Popen[bytes]:
    """Start it, likewise. The process is the ping itself."""
    who = WHO[line.who]
    words = ignoring(list(line.ignores), [line.program, *line.arguments])
    bed.prepare(who.group_range)
    near, far = os.openpty() if line.on_terminal else (-1, subprocess.PIPE)
    process = subprocess.Popen(
        as_user(words) if who.is_user else words,
        env=programs.environment(which) | line.environment,
        stdin=subprocess.DEVNULL,
        stdout=far,
        stderr=subprocess.PIPE,
    )
    if line.on_terminal:
        os.close(far)
        process.stdout = open(near, "rb", buffering=0)  # noqa: SIM115 - the process' streams are closed with it
    return process


def _attend(
    process: subprocess.Popen[bytes], signals: list[Signal], capture: Capture
) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Read both streams until they end, and send the signals when their time has come."""
    assert process.stdout is not None
    assert process.stderr is not None
    streams = {process.stdout.fileno(): b"", process.stderr.fileno(): b""}
    packets: list[tuple[str, bytes]] = []
    is_open = set(streams)
    end = time.monotonic() + PATIENCE
    with process.stdout, process.stderr:
        while is_open:
            readable, _, _ = select.select([*is_open, capture.fileno()], [], [], max(0.0, end - time.monotonic()))
            if not readable:
                raise TimeoutError(f"still running after {PATIENCE} s: {streams}")
            for descriptor in is_open.intersection(readable):
                content = _read(descriptor)
                streams[descriptor] += content
                if not content:
                    is_open.remove(descriptor)
            packets += capture.packets()
            _send_due(process, signals, b"".join(streams.values()), packets)
        process.wait(max(0.0, end - time.monotonic()))
    out, err = streams.values()
    return out, err, [*packets, *capture.packets()]


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _CHUNK)
    except OSError as err:
        # How a terminal ends whose other side was closed.
        if err.errno != errno.EIO:
            raise
        return b""


def _send_due(
    process: subprocess.Popen[bytes], signals: list[Signal], printed: bytes, packets: list[tuple[str, bytes]]
) -> None:
    while signals:
        wanted = signals[0]
        sent = len(described(packets, shows_ident=False, shows_label=False))
        if (printed.count(wanted.after.encode()) if wanted.after else sent) < wanted.times:
            return
        process.send_signal(getattr(signal, signals.pop(0).name))


def _text(content: bytes) -> str:
    return content.decode(errors="surrogateescape")


class Pair:
    """Two beds alike, one for each program, so that both can run at the same time and neither sees the other's."""

    def __init__(self, programs: Programs, theirs: Bed, ours: Bed) -> None:
        self._programs = programs
        self._theirs = theirs
        self._ours = ours

    def run(self, line_of_theirs: Line, line_of_ours: Line) -> tuple[Observation, Observation]:
        """What iputils did, and what ours did."""
        theirs = self._theirs.client.start(lambda: run(self._theirs, self._programs, "iputils", line_of_theirs))
        ours = self._ours.client.start(lambda: run(self._ours, self._programs, "ours", line_of_ours))
        return theirs.result(), ours.result()
