"""One system call of a program that we execute, and the ways it can end."""

from __future__ import annotations

import time

from pingsock.run.memory import Memory
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from pingsock.run.channel import Borrow
    from pingsock.run.seccomp import Notification
    from pingsock.run.served_file import ServedFile


class Duplicate(Value):
    """The call returns another descriptor of the same file."""

    lowest: int
    """The lowest number that will do, or with `exact` the number."""
    exact: bool = False
    close_on_exec: bool = False


KERNEL = None
"""The call is the kernel's to execute, on the descriptor the program has."""

Outcome: TypeAlias = "int | Duplicate | None"


class Blocked(Exception):
    """The call has to wait; it is to be tried again when the socket is readable, or after a pause."""

    def __init__(self, timeout: float | None, *, for_room: bool = False) -> None:
        self.timeout = timeout
        """Seconds from the call's beginning, None: for ever; then it fails with EAGAIN."""
        self.for_room = for_room
        """It is a send, that waits for room in a device's queue."""
        super().__init__(timeout)


class Void(Exception):
    """The call no longer waits for us: a signal has interrupted it, or its thread is gone."""


class Finished(Value):
    """A call that was executed but no longer there to be told."""

    call: tuple[int, ...]
    result: int
    errno: int
    content: bytes
    """What it was executed with, beside its arguments."""


class Call:
    """A call on a served socket. It may be tried many times, if it has to wait."""

    def __init__(
        self,
        notification: Notification,
        name: str,
        file: ServedFile,
        is_valid: Callable[[Notification], bool],
        borrow: Borrow,
    ) -> None:
        self.notification = notification
        self.name = name
        self.file = file
        self.memory = Memory(notification.thread)
        self.arguments = notification.arguments
        """Unsigned, 64 bits each: addresses and sizes."""
        self.borrow = borrow
        """Gets the caller's own descriptor of the readiness channel."""
        self.started = time.monotonic()
        self.undo: list[Callable[[], None]] = []
        """What to do, last first, if the result can no longer be delivered; if nothing, the result is kept."""
        self.progress = 0
        """Messages dealt with, of a call with many."""
        self.content = b""
        """What the call reads from memory, if calling again with other content would not be the same call."""
        self.earlier: Finished | None = None
        """The same call, executed before but interrupted by a signal before it could return."""
        self._is_valid = is_valid

    def commit(self) -> None:
        """To be called between reading the program's memory and doing anything that shows. Raises Void."""
        if not self._is_valid(self.notification):
            raise Void

    def number(self, position: int) -> int:
        """An argument that is a C int."""
        return signed(self.arguments[position])

    def roll_back(self) -> bool:
        """Undo what was done; False if there is no way to."""
        undone = bool(self.undo)
        while self.undo:
            self.undo.pop()()
        return undone


def signed(argument: int) -> int:
    """The C int in the lower half of an argument."""
    return (argument & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
