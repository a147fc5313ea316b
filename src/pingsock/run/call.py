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


SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.05
"""Seconds between two tries of a call that no event will wake: a send that waits for a device's queue, a receive from a
socket that is readable for its error queue alone."""


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


class Overwritten(Value):
    """A piece of the program's memory that a call reads, and writes its results to."""

    address: int
    before: bytes
    after: bytes


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
        self.overwritten: list[Overwritten] = []
        """What the call would not find again, should it be started again."""
        self.progress = 0
        """Messages dealt with, of a call with many."""
        self.content = b""
        """What the call reads from memory, if calling again with other content would not be the same call."""
        self.earlier: Finished | None = None
        """The same call, executed before but interrupted by a signal before it could return."""
        self._is_valid = is_valid

    def waits(self) -> bool:
        """Whether the program still waits for this call, so that its memory is what it was for it."""
        return self._is_valid(self.notification)

    def commit(self) -> None:
        """To be called between reading the program's memory and doing anything that shows. Raises Void.

        Again before writing to its memory, if the server was asked meanwhile: that may take long.
        """
        if not self.waits():
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

    def restore_memory(self, again: Notification) -> None:
        """Let the same call, made again, find what this one found.

        Not where the program has meanwhile put something else. Until it calls again its memory may be anything.
        """
        while self.overwritten:
            piece = self.overwritten.pop()
            try:
                is_as_left = self.memory.read(piece.address, len(piece.after)) == piece.after
                if is_as_left and self._is_valid(again):
                    self.memory.write(piece.address, piece.before)
            except OSError:
                pass  # it is no memory any more


class Waiting:
    """A call that is to be tried again."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.timeout: float | None = None
        self.pause = SHORTEST_PAUSE
        self.retry_at: float | None = None
        """Monotonic seconds; None: when the socket becomes readable."""

    @property
    def deadline(self) -> float | None:
        """Monotonic seconds."""
        return None if self.timeout is None else self.call.started + self.timeout

    def wait(self, now: float | None) -> None:
        """Try again after a pause, monotonic seconds given; None: when the socket becomes readable."""
        if now is None:
            self.retry_at, self.pause = None, SHORTEST_PAUSE
        else:
            self.retry_at, self.pause = now + self.pause, min(2 * self.pause, LONGEST_PAUSE)

    @property
    def next_event(self) -> float:
        """When there is something to do by itself, monotonic seconds; infinity if never."""
        return min([moment for moment in (self.deadline, self.retry_at) if moment is not None], default=float("inf"))


def signed(argument: int) -> int:
    """The C int in the lower half of an argument."""
    return (argument & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
