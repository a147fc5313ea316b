"""Starts a program under the filter, supervises it, and ends as it does.

The program is our child and stays in our process group: the terminal's keys reach it by themselves, and signals sent to
us are passed on. Orphans among its descendants become our children. We wait for all of them, since they all
may have ping sockets, and return what the program itself returned.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import traceback
from errno import EBUSY, ENOENT
from functools import partial

from pingsock.run import seccomp
from pingsock.run.filter import filter_program
from pingsock.run.libc import call
from pingsock.run.signals import SignalQueue
from pingsock.run.supervisor import Supervisor
from pingsock.run.watchdog import Watchdog, allow_most_descriptors
from pingsock.sockets.errors import PingsockError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from pingsock.run.sources import Sources
    from pingsock.wire.syscalls import Architecture

NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""Exit statuses for a program that cannot be executed, as shells have them."""
MOST_NUMBERS = 256
"""Descriptors of served sockets a process can have."""
HIGHEST_FOR_SELECT = 1024
"""select(2) knows no higher descriptors."""
PASSED_ON = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_LISTENER, _NESTED, _FAILED = b"L", b"N", b"F"


class CannotSupervise(PingsockError):
    """The system cannot hold a program's system calls for us; the text says why."""


def run_program(words: list[str], sources: Sources, warn: Callable[[str], None]) -> int:
    """Run a program with its arguments. Its exit status, or minus the number of the signal that ended it.

    Does not return if the kernel gives the program ping sockets anyway: then this process becomes the program.

    :raises NoPingSocket: there is no way to a ping socket here.
    :raises CannotSupervise: the kernel or the machine lacks what is needed.
    """
    if sources.check() == "kernel":
        _become(words, warn)
    architecture = required_architecture()
    numbers = descriptor_range(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    seccomp.adopt_orphans()
    with SignalQueue((signal.SIGCHLD, *PASSED_ON)) as signals, contextlib.closing(Watchdog()) as watchdog:
        ours, theirs = socket.socketpair()
        if theirs.fileno() >= numbers.start:
            raise CannotSupervise(f"too many open descriptors: {numbers.start} and more are needed for the program")
        process = os.fork()
        if process == 0:
            ours.close()
            _start(words, theirs, signals.mask_before, filter_program(architecture, numbers), warn)
        theirs.close()
        allow_most_descriptors()
        make = partial(
            Supervisor, architecture=architecture, numbers=numbers, sources=sources, watchdog=watchdog, warn=warn
        )
        return _supervise(process, ours, signals, make, warn)


def required_architecture() -> Architecture:
    """The table of this machine. CannotSupervise if the kernel is too old, or the machine unknown."""
    architecture = seccomp.own_architecture()
    if architecture is None:
        raise CannotSupervise(f"no table of the system calls of {os.uname().machine}; x86_64 and aarch64 are known")
    release = os.uname().release
    if _version(release) < seccomp.OLDEST_KERNEL:
        needed = ".".join(map(str, seccomp.OLDEST_KERNEL))
        raise CannotSupervise(f"Linux {release} is too old; {needed} or later is needed")
    return architecture


def _version(release: str) -> tuple[int, ...]:
    return tuple([int(part) for part in release.replace("-", ".").split(".")[:2] if part.isdigit()])


def descriptor_range(limit: int) -> range:
    """The numbers for served sockets: the highest select(2) and the limit of descriptors allow."""
    highest = HIGHEST_FOR_SELECT if limit == resource.RLIM_INFINITY else min(limit, HIGHEST_FOR_SELECT)
    return range(highest - min(MOST_NUMBERS, highest // 4), highest)


# In the child


def _start(
    words: list[str],
    channel: socket.socket,
    mask: set[int | signal.Signals],
    program: bytes,
    warn: Callable[[str], None],
) -> NoReturn:
    status = NOT_EXECUTABLE
    try:
        _submit(channel, program)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        status = _execute(words, warn)
    finally:
        os._exit(status)


def _submit(channel: socket.socket, program: bytes) -> None:
    """Install the filter, hand its listener over, and wait until somebody listens."""
    try:
        listener = seccomp.install(program)
    except OSError as error:
        # Under another of us already, who serves this program too.
        channel.send(_NESTED if error.errno == EBUSY else _FAILED + str(error).encode())
        if error.errno != EBUSY:
            os._exit(NOT_EXECUTABLE)
        return
    socket.send_fds(channel, [_LISTENER], [listener])
    os.close(listener)
    channel.recv(1)


def _execute(words: list[str], warn: Callable[[str], None]) -> int:
    """Become the program; the exit status if that fails."""
    for number in IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    try:
        # Not os.execvp(): it looks on where the kernel has refused a program for good, and tells of another failure.
        call("execvp", os.fsencode(words[0]), _c_strings(words))
    except OSError as error:
        warn(f"{words[0]}: {os.strerror(error.errno or ENOENT)}")
        if error.errno == ENOENT:
            return NOT_FOUND
    return NOT_EXECUTABLE


def _c_strings(words: list[str]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * (len(words) + 1))(*[os.fsencode(word) for word in words], None)


def _become(words: list[str], warn: Callable[[str], None]) -> NoReturn:
    os._exit(_execute(words, warn))


# In the parent


def _supervise(
    process: int,
    channel: socket.socket,
    signals: SignalQueue,
    make: Callable[[seccomp.Listener], Supervisor],
    warn: Callable[[str], None],
) -> int:
    family = _Family(process)
    with channel:
        said, descriptors, _flags, _address = socket.recv_fds(channel, 4096, 1)
        if said.startswith(_FAILED):
            os.waitpid(process, 0)
            raise CannotSupervise(said[len(_FAILED) :].decode())
        if not descriptors:
            return family.wait(signals)
        supervisor = make(seccomp.Listener(descriptors[0]))
        channel.send(b"\0")
    supervisor.watch(signals.fileno(), partial(family.heed, signals))
    try:
        supervisor.run(lambda: family.is_dismissed or (family.status is not None and supervisor.is_over))
    except Exception:  # noqa: BLE001 - the program goes on without us, and its status is still to be told
        warn(f"ended by a fault in pingsock itself\n{traceback.format_exc()}")
    finally:
        # Whatever happens to us, the program's calls return.
        supervisor.close()
    return family.wait(signals)


class _Family:
    """The program and those of its descendants that have become our children."""

    def __init__(self, program: int) -> None:
        self._program = program
        self.status: int | None = None
        """Exit status of the program, or minus a signal's number; None while it runs."""
        self.is_dismissed = False
        """The program has ended, and somebody wants us to end too, whatever its descendants do."""

    def heed(self, signals: SignalQueue) -> None:
        """Pass signals on, and see who has ended."""
        for number, is_for_group in signals.take():
            if number == signal.SIGCHLD:
                self._reap()
            elif self.status is not None:
                self.is_dismissed = True
            elif not is_for_group:
                os.kill(self._program, number)

    def wait(self, signals: SignalQueue) -> int:
        """The program's status, when it has ended."""
        import select

        poller = select.poll()
        poller.register(signals, select.POLLIN)
        self._reap()
        while self.status is None:
            poller.poll()
            self.heed(signals)
        return self.status

    def _reap(self) -> None:
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not process:
                return
            if process == self._program:
                self.status = os.waitstatus_to_exitcode(status)
