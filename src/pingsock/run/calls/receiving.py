"""recvfrom, recvmsg, recvmmsg, read, readv."""

from __future__ import annotations

import os
import struct
import time
from errno import EAGAIN, EINVAL
from functools import partial

from pingsock.run.call import Blocked, Overwritten
from pingsock.run.messages import (
    MANY_HEADER_SIZE,
    MOST_VECTORS,
    Header,
    read_header,
    read_vectors,
    total_size,
    write_address,
    write_message,
    write_message_length,
)
from pingsock.wire.linux import MSG_DONTWAIT, MSG_ERRQUEUE, MSG_WAITFORONE, TIMESPEC_NEW_LAYOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pingsock.run.call import Call
    from pingsock.run.memory import Vector
    from pingsock.service.frames import Message

LARGEST = 2**31 - 1
_TIMESPEC = struct.Struct(TIMESPEC_NEW_LAYOUT)
_INT = struct.Struct("=i")


def recvfrom(call: Call) -> int:
    """recvfrom(descriptor, data, length, flags, address, length's address)."""
    _descriptor, data, length, _flags, address, length_at = call.arguments
    message = _next_message(call, call.number(3), length, 0)
    call.memory.scatter([(data, length)], message.data)
    if address:
        # If its length cannot be written the message is lost, in the kernel too.
        _deliver_name(call, address, length_at, message)
    return len(message.data)


def _deliver_name(call: Call, address: int, length_at: int, message: Message) -> None:
    name = message.address or b""
    room = call.memory.read(length_at, _INT.size)
    write_address(call.memory, address, length_at, name)
    call.overwritten.append(Overwritten(length_at, room, _INT.pack(len(name))))


def read(call: Call) -> int:
    """read(descriptor, data, length)."""
    return _read(call, [(call.arguments[1], call.arguments[2])])


def readv(call: Call) -> int:
    """readv(descriptor, vectors, count)."""
    return _read(call, read_vectors(call.memory, call.arguments[1], call.arguments[2]))


def _read(call: Call, vectors: Sequence[Vector]) -> int:
    size = total_size(vectors)
    if not size:
        return 0
    message = _next_message(call, 0, size, 0)
    call.memory.scatter(vectors, message.data)
    return len(message.data)


def recvmsg(call: Call) -> int:
    """recvmsg(descriptor, header, flags)."""
    header = read_header(call.memory, call.arguments[1])
    return _receive_into(call, header, call.number(2))


def _receive_into(call: Call, header: Header, flags: int) -> int:
    message = _next_message(call, flags, header.size, header.control_length)
    call.overwritten.append(Overwritten(header.at, header.original, write_message(call.memory, header, message)))
    return min(len(message.data), header.size)


def _next_message(call: Call, flags: int, size: int, control_size: int) -> Message:
    """The next message, to be given back should the program not be there any more to get it. Raises Blocked."""
    file = call.file
    if file.nonblocking:
        flags |= MSG_DONTWAIT
    call.commit()
    try:
        message = file.receive(flags & ~MSG_WAITFORONE, min(size, LARGEST), min(control_size, LARGEST))
    except BlockingIOError:
        if flags & (MSG_DONTWAIT | MSG_ERRQUEUE):
            raise
        raise Blocked(file.receive_timeout) from None
    call.undo.append(partial(file.give_back, message, flags))
    call.commit()
    return message


def recvmmsg(call: Call) -> int:
    """recvmmsg(descriptor, headers, count, flags, timeout's address)."""
    count = min(call.arguments[2] & 0xFFFFFFFF, MOST_VECTORS)
    until = _until(call)
    while call.progress < count and (until is None or not call.progress or time.monotonic() < until):
        try:
            _receive_one_of_many(call)
        except OSError:
            if not call.progress:
                raise
            break
    if until is not None and call.progress:
        _tell_time_left(call, until)
    return call.progress


def _receive_one_of_many(call: Call) -> None:
    flags = call.number(3)
    if flags & MSG_WAITFORONE and call.progress:
        flags |= MSG_DONTWAIT
    header = read_header(call.memory, call.arguments[1] + call.progress * MANY_HEADER_SIZE)
    write_message_length(call.memory, header, _receive_into(call, header, flags))
    call.progress += 1


def _until(call: Call) -> float | None:
    """When the call has lasted long enough, which as in the kernel is asked after each message only."""
    if not call.arguments[4]:
        return None
    seconds, nanoseconds = _TIMESPEC.unpack(call.memory.read(call.arguments[4], _TIMESPEC.size))
    if seconds < 0 or not 0 <= nanoseconds < 1_000_000_000:
        raise OSError(EINVAL, os.strerror(EINVAL))
    return float(call.started + seconds + nanoseconds / 1e9)


def _tell_time_left(call: Call, until: float) -> None:
    left = int(max(0.0, until - time.monotonic()) * 1e9)
    call.memory.write(call.arguments[4], _TIMESPEC.pack(*divmod(left, 1_000_000_000)))


def timed_out(call: Call) -> int:
    """What a call returns whose time is over: the messages it has, or EAGAIN."""
    if call.progress:
        return call.progress
    raise OSError(EAGAIN, os.strerror(EAGAIN))
