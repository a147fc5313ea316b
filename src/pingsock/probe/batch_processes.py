"""A batch run over several processes, as it looks from the one that iterates.

Some facts about processes here
-------------------------------

* A fork of a program with threads has locks in it that nobody will release. A `multiprocessing` "spawn" runs the
  caller's main module again. A fresh interpreter that imports this package alone does neither.
* An interrupt from the keyboard is sent to all processes of the terminal's group.
* Pickled, a record costs as much as it took to probe its target; hundreds of replies in columns cost nothing to speak
  of.

What this means here
--------------------

Each process is `sys.executable` with one end of a socket pair (`batch_worker`), and a thread here holds the other one.
It hands out targets as they are wanted, by the block, and enters what is told into the queue of the run. Whoever does
not look at the results leaves the queue full, the thread waiting, the socket full, and the process waiting.

Signals that end a program by the group are blocked in the processes: they are ended by us. Their end is that of their
socket, so they do not outlive us either, however we end.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import deque
from contextlib import contextmanager
from threading import Lock

from pingsock.probe.batch_messages import (
    BEGIN,
    ENDED,
    HAPPENED,
    HOLD,
    ITEM,
    ITEMS_AHEAD,
    NO_MORE,
    WANTED,
    frame,
    take_messages,
)
from pingsock.probe.batch_sharing import Results, Stream
from pingsock.probe.batch_targets import blocks_of
from pingsock.probe.remote_courses import RemoteCourses
from pingsock.sockets.errors import InvalidArgument, PingsockError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from pingsock.probe.batch_targets import TargetBlock
    from pingsock.probe.schedule import Plan
    from pingsock.probe.target import Target

_READ_AT_ONCE = 1 << 18
_SETTINGS = frozenset(("kinds", "in_flight", "summaries"))
"""Of a prober, those that mean the same in another process."""
_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; import pingsock.probe.batch_worker as it; it.main(int(sys.argv[1]))"
_OUR_FOLDER = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_OURS_TO_OBEY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class _HungUpError(Exception):
    """The other end of the socket is gone. Not an OSError or EOFError, which the stream of targets may raise too."""


class LostProcess(PingsockError):
    """A process of a batch run has ended without being told to. What it had under way is not known."""

    pid: int
    """It had this number."""
    status: int
    """Its exit status; below zero the number of the signal that killed it."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self.status = status
        super().__init__(pid, status)

    def __str__(self) -> str:
        how = f"was killed by {_signal_name(-self.status)}" if self.status < 0 else f"ended with status {self.status}"
        return f"process {self.pid} of this run {how}; what it had under way is not known"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def process_workers(
    targets: Iterable[Target | TargetBlock], plan: Plan, processes: int, settings: dict[str, Any]
) -> list[ProcessWorker]:
    """So many processes that share a stream.

    :raises InvalidArgument: there is no interpreter to start, or one of the settings does not mean anything elsewhere.
    """
    for name in settings.keys() - _SETTINGS:
        raise InvalidArgument(name, settings[name], "left out where there are several processes")
    if not sys.executable or getattr(sys, "frozen", False):
        raise InvalidArgument("processes", processes, "1 where there is no Python interpreter to start")
    stream = Stream(blocks_of(targets))
    return [ProcessWorker(stream, plan, settings) for _ in range(processes)]


class ProcessWorker:
    """One process, and what is known of it here."""

    def __init__(self, stream: Stream, plan: Plan, settings: dict[str, Any]) -> None:
        self._stream = stream
        self._begin = plan, settings
        self._courses = RemoteCourses(2 * (plan.timeout_ns + plan.late_window_ns))
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self._received = bytearray()
        self._messages: deque[tuple[int, Any]] = deque()
        self._sending = Lock()
        self._held = False
        self._all_handed_out = False

    def start(self) -> None:
        """Start it; a thread has to call `work` then."""
        self._sock, theirs = socket.socketpair()
        with theirs, _signals_blocked():
            self._process = _start_interpreter(theirs.fileno())
        try:
            self._send(BEGIN, (*self._begin, self._held))
        except _HungUpError:
            # `work` finds out too, and why.
            pass

    def work(self, results: Results) -> None:
        """Hand out targets, and enter what is told, until everything is.

        :raises LostProcess: it has ended before.
        """
        try:
            for _ in range(ITEMS_AHEAD):
                self._hand_out()
            while not self._obey(*self._receive(), results):
                pass
        except _HungUpError:
            if not results.stopped:
                raise self._lost() from None

    def _obey(self, kind: int, content: Any, results: Results) -> bool:
        """Do what a message asks for; whether it was the last one."""
        if kind == WANTED:
            self._hand_out()
        elif kind == HAPPENED:
            results.put(self._courses.happenings(*content))
        elif kind == ENDED:
            return True
        else:
            raise content
        return False

    def _hand_out(self) -> None:
        if self._all_handed_out:
            return
        item = next(self._stream, None)
        self._all_handed_out = item is None
        self._send(NO_MORE if item is None else ITEM, item)

    def _send(self, kind: int, content: object) -> None:
        message = frame(kind, content)
        assert self._sock is not None
        with self._sending:
            try:
                self._sock.sendall(message)
            except ConnectionError:
                raise _HungUpError from None

    def _receive(self) -> tuple[int, Any]:
        assert self._sock is not None
        while not self._messages:
            try:
                chunk = self._sock.recv(_READ_AT_ONCE)
            except ConnectionError:
                chunk = b""
            if not chunk:
                raise _HungUpError
            self._received += chunk
            self._messages += take_messages(self._received)
        return self._messages.popleft()

    def _lost(self) -> LostProcess:
        assert self._process is not None
        return LostProcess(self._process.pid, self._process.wait())

    def hold(self, held: bool) -> None:
        """Begin no more targets while `held`."""
        if held == self._held:
            return
        self._held = held
        if self._sock is not None:
            try:
                self._send(HOLD, held)
            except _HungUpError:
                # `work` finds out too, and why.
                pass

    def interrupt(self) -> None:
        """End the conversation: whatever waits for it goes on."""
        if self._sock is not None:
            try:
                self._sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                # The other end is gone.
                pass

    def close(self) -> None:
        """End the process. Idempotent."""
        if self._process is not None:
            # What it had to tell is here; what it has left behind goes with it.
            self._process.kill()
            self._process.wait()
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def _start_interpreter(descriptor: int) -> subprocess.Popen[bytes]:
    """An interpreter that has this descriptor, and looks for modules where we do."""
    options = ["-I", "-S"] + ["-B"] * sys.dont_write_bytecode
    path = [folder for folder in sys.path if isinstance(folder, str)]
    # Some ways to install a package in place add no folder to the path.
    path.append(_OUR_FOLDER)
    return subprocess.Popen(
        [sys.executable, *options, "-c", _PROGRAM, str(descriptor), *path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(descriptor,),
    )


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Processes that are started have these signals blocked for ever, and we until what is started is known."""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, _OURS_TO_OBEY)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
