"""A call that a signal interrupted before is told from one that was just made again, with a program that does both."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pingsock.run.seccomp import Notification, own_architecture
from pingsock.run.signal_frame import SignalFrames

READER = r"""
#include <signal.h>
#include <unistd.h>
static void on_signal(int number) { write(1, "s", 1); }
int main(int count, char **words)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = count > 1 ? SA_RESTART : 0};
    char byte;
    sigaction(SIGUSR1, &action, NULL);
    write(1, "b", 1);
    while (read(0, &byte, 1))
        write(1, "r", 1);
}
"""
FRAMES = SignalFrames(lambda _call: True)
BEGUN, SIGNALLED, READ = b"b", b"s", b"r"


class Reader:
    """A program in read(2), by the same call always."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._input = process.stdin
        self._output = process.stdout
        self.expect(BEGUN)

    def expect(self, word: bytes) -> None:
        assert self._output.read(1) == word

    def interrupt(self) -> None:
        self.call()
        self._process.send_signal(signal.SIGUSR1)
        self.expect(SIGNALLED)

    def satisfy(self) -> None:
        self._input.write(b".")
        self.expect(READ)

    def call(self) -> Notification:
        """The call it waits in, once it does."""
        architecture = own_architecture()
        assert architecture is not None
        number = architecture.numbers["read"]
        while True:
            words = Path(f"/proc/{self._process.pid}/syscall").read_text().split()
            if words[0] == str(number):
                arguments = tuple(int(word, 16) for word in words[1:7])
                return Notification(0, self._process.pid, number, int(words[8], 16), arguments)
            os.sched_yield()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    folder = tmp_path_factory.mktemp("reader")
    (folder / "reader.c").write_text(READER)
    subprocess.run(["gcc", "-w", "-o", folder / "reader", folder / "reader.c"], check=True)
    return str(folder / "reader")


@contextmanager
def reader(*words: str) -> Iterator[Reader]:
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, bufsize=0) as process:
        try:
            yield Reader(process)
        finally:
            process.kill()


def test_a_call_that_was_never_interrupted(program: str) -> None:
    with reader(program, "restart") as process:
        assert not FRAMES.take(process.call())


def test_a_restart_is_told_once(program: str) -> None:
    with reader(program, "restart") as process:
        process.interrupt()

        assert FRAMES.take(process.call())
        assert not FRAMES.take(process.call())


def test_a_call_that_no_longer_waits(program: str) -> None:
    with reader(program, "restart") as process:
        process.interrupt()

        assert not SignalFrames(lambda _call: False).take(process.call())


def test_each_restart_is_told(program: str) -> None:
    with reader(program, "restart") as process:
        for _signal in range(3):
            process.interrupt()

            assert FRAMES.take(process.call())


def test_the_same_call_made_again_after_a_restart(program: str) -> None:
    with reader(program, "restart") as process:
        process.interrupt()
        assert FRAMES.take(process.call())
        process.satisfy()

        assert not FRAMES.take(process.call())


def test_a_call_that_failed_with_eintr_and_was_made_again_at_once(program: str) -> None:
    with reader(program) as process:
        process.interrupt()

        assert FRAMES.take(process.call())
        assert not FRAMES.take(process.call())


def test_a_process_that_is_gone(program: str) -> None:
    with reader(program) as process:
        call = process.call()

    assert not FRAMES.take(call)
