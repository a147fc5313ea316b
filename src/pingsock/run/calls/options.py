"""setsockopt and getsockopt."""

from __future__ import annotations

import os
from errno import EINVAL

from pingsock.service import frames
from pingsock.service.frames import MAXIMUM_VALUE, Request
from pingsock.wire import linux
from pingsock.wire.bpf import taken_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.run.call import Call


def _size(number: int) -> int:
    if number < 0:
        raise OSError(EINVAL, os.strerror(EINVAL))
    return min(number, MAXIMUM_VALUE)


def setsockopt(call: Call) -> int:
    """setsockopt(descriptor, level, option, value's address, size)."""
    level, option = call.number(1), call.number(2)
    content = call.memory.read(call.arguments[3], _size(call.number(4)))
    if (level, option) == (linux.SOL_SOCKET, linux.SO_ATTACH_FILTER):
        content = taken_from(content, call.memory.read)
    call.commit()
    call.file.ask(Request(frames.SETSOCKOPT, level, option, body=content))
    call.file.note_option(level, option, content)
    if (level, option) == (linux.SOL_SOCKET, linux.SO_SELECT_ERR_QUEUE):
        # The program's descriptor then shows POLLPRI beside POLLERR, as the kernel's would.
        with call.borrow() as borrowed:
            borrowed.setsockopt(level, option, content[:4])
    return 0


def getsockopt(call: Call) -> int:
    """getsockopt(descriptor, level, option, value's address, size's address)."""
    size = _size(call.memory.read_int(call.arguments[4]))
    call.commit()
    content = call.file.ask(Request(frames.GETSOCKOPT, call.number(1), call.number(2), size)).body
    call.commit()
    call.memory.write(call.arguments[3], content[:size])
    call.memory.write_int(call.arguments[4], len(content[:size]))
    return 0
