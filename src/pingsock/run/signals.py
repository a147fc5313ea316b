"""Signals as events: which arrived, and whether the terminal sent it to the whole group or somebody to us alone."""

from __future__ import annotations

import os
import signal
import struct

from pingsock.run.libc import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Self

_INFORMATION = struct.Struct("=Iii116x")
"""The beginning of struct signalfd_siginfo: number, errno, code."""
_SIGNAL_SET_SIZE = 128
_BLOCK_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK
"""SFD_CLOEXEC, SFD_NONBLOCK."""
SI_KERNEL = 0x80


class SignalQueue:
    """Keeps some signals from doing anything to this process, and tells of them instead."""

    def __init__(self, signals: Collection[signal.Signals]) -> None:
        self.mask_before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        """The blocked signals as they were."""
        self._descriptor = _signalfd(signals)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        os.close(self._descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask_before)

    def fileno(self) -> int:
        """Polls readable while a signal waits."""
        return self._descriptor

    def take(self) -> list[tuple[signal.Signals, bool]]:
        """The signals that arrived; of each, whether the kernel sent it, as it does for keys to a whole group."""
        taken: list[tuple[signal.Signals, bool]] = []
        while True:
            try:
                content = os.read(self._descriptor, _INFORMATION.size)
            except BlockingIOError:
                return taken
            number, _errno, code = _INFORMATION.unpack(content)
            taken.append((signal.Signals(number), code == SI_KERNEL))


def _signalfd(signals: Collection[signal.Signals]) -> int:
    bits = sum([1 << (number - 1) for number in signals])
    mask = bits.to_bytes(_SIGNAL_SET_SIZE, "little")
    return call("signalfd", -1, mask, _BLOCK_FLAGS)
