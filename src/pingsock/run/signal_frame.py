"""Whether a waiting call was made before and interrupted by a signal, as the thread's stack shows.

Some facts about interrupted calls
----------------------------------

* For a signal's handler the kernel puts a frame on the thread's stack, with all registers; rt_sigreturn(2) loads them
  from there. If a call is to start again they are those it began with, and the instruction pointer is at the system
  call instruction itself. So nothing runs between rt_sigreturn and the call, and the frame is intact while it waits.
* If it is not to start again, because the handler has no SA_RESTART, the instruction pointer is behind the instruction
  and one register has the call's result, -EINTR. The program may make the same call again.
* The frame stays below the stack pointer until something else is written there, perhaps for long.
* Every frame is written whole. Its link to another context, uc_link, is null then, and nobody ever reads it.

What this means here
--------------------

A frame with the very registers of the call and a null link shows an interruption. The link is set then, so that what is
left of the frame is not taken for another one later.

Not seen are interruptions by signals without a handler (SIGSTOP and SIGCONT), or with one on a stack of its own
(sigaltstack(2)); and those after which the program has used its stack, unless the call started again.
"""

from __future__ import annotations

import os
import struct
from errno import EINTR

from pingsock.run.libc import function
from pingsock.run.memory import Memory
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pingsock.run.seccomp import Notification


class FrameLayout(Value):
    """Where the kernel saves registers: bytes from the saved stack pointer, behind which is the instruction pointer."""

    instruction_size: int
    """Bytes of the system call instruction."""
    number: int
    arguments: tuple[int, ...]
    result: int
    link: int

    def saved(self, stack: bytes, at: int) -> tuple[int, ...]:
        """The call's number and arguments in a frame whose stack pointer was saved at `at`."""
        return tuple([_WORD.unpack_from(stack, at + offset)[0] for offset in (self.number, *self.arguments)])

    def interrupted(self, call: tuple[int, ...]) -> tuple[int, ...]:
        """What a frame has instead of a call's number and arguments if it failed with EINTR."""
        offsets = (self.number, *self.arguments)
        return tuple([_EINTR if at == self.result else word for at, word in zip(offsets, call, strict=True)])


LAYOUTS: Mapping[str, FrameLayout] = {
    # asm/ucontext.h and asm/sigcontext.h of each
    "x86_64": FrameLayout(2, -16, (-56, -48, -24, -104, -120, -112), -16, -152),
    "aarch64": FrameLayout(4, -184, (-248, -240, -232, -224, -216, -208), -248, -424),
}
"""By `uname -m`."""

_WORD = struct.Struct("=Q")
_POINTERS = struct.Struct("=2Q")
_USED = _WORD.pack(1)
_EINTR = -EINTR & (1 << 64) - 1
_AT_MINSIGSTKSZ = 51
"""Of getauxval(3): the bytes of this machine's largest frame."""
_SMALLEST_FRAME = 8192
"""Bytes, for kernels that do not tell."""
_AROUND_FRAME = 256
"""Bytes between the stack pointer and a frame: 128 that belong to the function, and what alignment takes."""
_MOST_LOOKS = 1000
"""At a thread that is about to fall asleep."""


class SignalFrames:
    """Looks for frames on the stacks of threads that wait in a call."""

    def __init__(self, is_valid: Callable[[Notification], bool]) -> None:
        """`is_valid`: whether a call still waits."""
        self._is_valid = is_valid
        self._layout = LAYOUTS[os.uname().machine]
        largest = function("getauxval")(_AT_MINSIGSTKSZ)
        self._depth = max(largest, _SMALLEST_FRAME) + _AROUND_FRAME

    def take(self, notification: Notification) -> bool:
        """Whether this call was interrupted before; of each interruption it is said once.

        Not if it no longer waits: then it may have been interrupted itself.
        """
        memory = Memory(notification.thread)
        stack_pointer = self._stack_pointer(notification)
        stack = memory.read_below(stack_pointer, self._depth)
        link = self._link(notification, stack_pointer, stack)
        if link is None or stack.startswith(_USED, link) or not self._is_valid(notification):
            return False
        try:
            memory.write(stack_pointer - len(stack) + link, _USED)
        except OSError:
            return False  # gone meanwhile
        return True

    def _link(self, notification: Notification, stack_pointer: int, stack: bytes) -> int | None:
        """Where on the stack the link of the frame is that has the registers of this call."""
        layout = self._layout
        call = (notification.number, *notification.arguments)
        for place, registers in (
            (notification.place - layout.instruction_size, call),
            (notification.place, layout.interrupted(call)),
        ):
            at = stack.rfind(_POINTERS.pack(stack_pointer, place))
            if at + layout.link >= 0 and layout.saved(stack, at) == registers:
                return at + layout.link
        return None

    def _stack_pointer(self, notification: Notification) -> int:
        """Of the thread; 0 if it no longer waits or we cannot see."""
        for _look in range(_MOST_LOOKS):
            try:
                with open(f"/proc/{notification.thread}/syscall", "rb", buffering=0) as file:
                    words = file.read().split()
            except OSError:
                return 0  # gone, or not ours to look into
            if len(words) == 9:
                return int(words[7], 16)
            if not self._is_valid(notification):
                return 0
            os.sched_yield()
        return 0
