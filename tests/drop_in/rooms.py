"""Threads that live in network and mount namespaces of their own.

Namespaces belong to threads, and children started by a thread inherit its own. So no namespace needs a name, no file
of this host is written for one, and nothing is left behind however the tests end.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_CLONE_NEWNS = 0x00020000
_MS_BIND = 0x1000
_MS_REC_PRIVATE = 0x4000 | 0x40000


class Room:
    """One thread, its network and its mounts. `files` maps paths to what programs in the room read there."""

    def __init__(self, name: str, files: Mapping[str, Path] | None = None) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self.do(lambda: _move_in(files or {}))
        self.identity = self.do(threading.get_native_id)
        """For `ip link ... netns IDENTITY`."""

    def start(self, call: Callable[[], T]) -> Future[T]:
        """Let the thread make a call."""
        return self._thread.submit(call)

    def do(self, call: Callable[[], T]) -> T:
        """Let the thread make a call, and return its result."""
        return self.start(call).result()

    def close(self) -> None:
        self._thread.shutdown()

    def ip(self, commands: str) -> None:
        """Run lines of ip(8) commands."""
        self.run("ip", "-batch", "-", given=commands)

    def run(self, *words: str, given: str = "") -> None:
        """Run a program with this input; whatever it prints on standard output is dropped."""
        self.do(lambda: subprocess.run(words, input=given, text=True, check=True, stdout=subprocess.DEVNULL))

    def set(self, settings: Mapping[str, str]) -> None:
        """Write below /proc/sys, which shows each thread its own network."""
        self.do(lambda: write_settings(settings))


def write_settings(settings: Mapping[str, str]) -> None:
    """Set the sysctls of the calling thread's network; names with slashes."""
    for name, value in settings.items():
        Path("/proc/sys", name).write_text(value)


def _move_in(files: Mapping[str, Path]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_CLONE_NEWNET | _CLONE_NEWNS))
    # Else what is mounted here would be seen outside.
    _check(libc.mount(None, b"/", None, _MS_REC_PRIVATE, None))
    for path, shown in files.items():
        _check(libc.mount(os.fsencode(shown), os.fsencode(path), None, _MS_BIND, None))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
