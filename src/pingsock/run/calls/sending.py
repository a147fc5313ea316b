"""sendto, sendmsg, sendmmsg, write, writev."""

from __future__ import annotations

import os
from errno import EAGAIN

from pingsock.run.call import Blocked
from pingsock.run.memory import cut
from pingsock.run.messages import (
    LONGEST_DATA,
    MANY_HEADER_SIZE,
    MOST_VECTORS,
    Header,
    read_address,
    read_header,
    read_message,
    read_vectors,
    write_message_length,
)
from pingsock.service.frames import MAXIMUM_MESSAGE, Message
from pingsock.wire.linux import MSG_DONTWAIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pingsock.run.call import Call
    from pingsock.run.memory import Vector


def sendto(call: Call) -> int:
    """sendto(descriptor, data, length, flags, address, address's length)."""
    _descriptor, data, length, _flags, address, _address_length = call.arguments
    content = call.memory.gather(cut([(data, length)], LONGEST_DATA))
    sockaddr = read_address(call.memory, address, call.number(5))
    return _send_one(call, Message(content, (), 0, sockaddr), call.number(3))


def sendmsg(call: Call) -> int:
    """sendmsg(descriptor, header, flags)."""
    header = read_header(call.memory, call.arguments[1])
    return _send_one(call, read_message(call.memory, header), call.number(2))


def write(call: Call) -> int:
    """write(descriptor, data, length)."""
    return _write(call, [(call.arguments[1], call.arguments[2])])


def writev(call: Call) -> int:
    """writev(descriptor, vectors, count)."""
    return _write(call, read_vectors(call.memory, call.arguments[1], call.arguments[2]))


def _write(call: Call, vectors: Sequence[Vector]) -> int:
    return _send_one(call, Message(call.memory.gather(cut(vectors, LONGEST_DATA))), 0)


def _send_one(call: Call, message: Message, flags: int) -> int:
    call.content = message.to_bytes()
    if call.earlier is not None and call.earlier.content == call.content:
        return _as_before(call)
    call.commit()
    sent, waits = call.file.send((message,), flags)
    if waits:
        _wait_for_room(call, flags)
    return len(message.data) if sent else 0


def _as_before(call: Call) -> int:
    """It has been sent; only its return was interrupted by a signal."""
    assert call.earlier is not None
    if call.earlier.errno:
        raise OSError(call.earlier.errno, os.strerror(call.earlier.errno))
    return call.earlier.result


def _wait_for_room(call: Call, flags: int) -> None:
    if flags & MSG_DONTWAIT or call.file.nonblocking:
        raise OSError(EAGAIN, os.strerror(EAGAIN))
    raise Blocked(call.file.send_timeout, for_room=True)


def sendmmsg(call: Call) -> int:
    """sendmmsg(descriptor, headers, count, flags): as many as one frame carries; programs call again for the rest."""
    headers, messages = _read_messages(call)
    if not messages:
        return 0
    call.content = b"".join([message.to_bytes() for message in messages])
    sent = _send_many(call, messages)
    if call.waits():
        for header, message in zip(headers[:sent], messages, strict=False):
            write_message_length(call.memory, header, len(message.data))
    return sent


def _send_many(call: Call, messages: Sequence[Message]) -> int:
    if call.earlier is not None and call.earlier.content == call.content:
        return _as_before(call)
    call.commit()
    sent, waits = call.file.send(messages, call.number(3))
    if waits:
        _wait_for_room(call, call.number(3))
    return sent


def _read_messages(call: Call) -> tuple[list[Header], list[Message]]:
    """The messages of a sendmmsg, as far as they can be read and fit. OSError if the first cannot be read."""
    headers: list[Header] = []
    messages: list[Message] = []
    size = 0
    for position in range(min(call.arguments[2] & 0xFFFFFFFF, MOST_VECTORS)):
        try:
            header = read_header(call.memory, call.arguments[1] + position * MANY_HEADER_SIZE)
            message = read_message(call.memory, header)
        except OSError:
            if not messages:
                raise
            break
        size += message.size
        if messages and size > MAXIMUM_MESSAGE:
            break
        headers.append(header)
        messages.append(message)
    return headers, messages
