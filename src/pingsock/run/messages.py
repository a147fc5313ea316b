"""struct msghdr and what it points to, in a program's memory.

struct msghdr    0: name   8: namelen (u32)   16: iov   24: iovlen   32: control   40: controllen   48: flags (i32)
struct mmsghdr   0: struct msghdr   56: length of the message (u32)
struct iovec     0: base   8: length
struct cmsghdr   0: length, itself included   8: level (i32)   12: type (i32)   16: content; aligned to 8 bytes
"""

from __future__ import annotations

import os
import struct
from errno import EINVAL, EMSGSIZE, ENOBUFS

from pingsock.run.memory import cut
from pingsock.service.frames import MAXIMUM_VALUE, Message
from pingsock.wire.linux import MSG_CTRUNC
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pingsock.run.memory import Memory, Vector

    Item = tuple[int, int, bytes]

_HEADER = struct.Struct("=Qi4xQQQQi4x")
_VECTOR = struct.Struct("=2Q")
_ITEM = struct.Struct("=Qii")
_LENGTHS = struct.Struct("=Qi")
_INT = struct.Struct("=i")

MANY_HEADER_SIZE = 64
"""Of struct mmsghdr."""
_NAME_LENGTH_AT, _CONTROL_LENGTH_AT, _MESSAGE_LENGTH_AT = 8, 40, 56
MOST_VECTORS = 1024
"""UIO_MAXIOV: pieces of one message, and messages of one call."""
LONGEST_ADDRESS = 128
"""sizeof(struct sockaddr_storage)."""
LONGEST_CONTROL = MAXIMUM_VALUE
LONGEST_DATA = 65536
"""Bytes of a message that are read: one more than the longest a socket takes, which then refuses it by its length."""


class Header(Value):
    """A struct msghdr with its vectors."""

    at: int
    name: int
    name_length: int
    vectors: tuple[Vector, ...]
    control: int
    control_length: int
    original: bytes
    """The structure as it stood."""

    @property
    def size(self) -> int:
        """Bytes of data there is room for."""
        return sum([length for _address, length in self.vectors])


def read_header(memory: Memory, address: int) -> Header:
    """The struct msghdr at an address. OSError as sendmsg(2) and recvmsg(2) for a bad one."""
    original = memory.read(address, _HEADER.size)
    name, name_length, vectors, count, control, control_length, _flags = _HEADER.unpack(original)
    if name_length < 0:
        raise _error(EINVAL)
    if count > MOST_VECTORS:
        raise _error(EMSGSIZE)
    name_length = min(name_length, LONGEST_ADDRESS) if name else 0
    return Header(
        address,
        name,
        name_length,
        read_vectors(memory, vectors, count),
        control,
        control_length if control else 0,
        original,
    )


def read_vectors(memory: Memory, address: int, count: int) -> tuple[Vector, ...]:
    """An array of struct iovec. OSError EINVAL for too many or an impossible length."""
    if count > MOST_VECTORS:
        raise _error(EINVAL)
    vectors = tuple(_VECTOR.iter_unpack(memory.read(address, count * _VECTOR.size)))
    if any(length >= 1 << 63 for _address, length in vectors):
        raise _error(EINVAL)
    return vectors


# Sending


def read_address(memory: Memory, address: int, length: int) -> bytes | None:
    """The socket address of a call; None if it has none. OSError EINVAL for an impossible length."""
    if not address:
        return None
    if not 0 <= length <= LONGEST_ADDRESS:
        raise _error(EINVAL)
    return memory.read(address, length)


def read_message(memory: Memory, header: Header) -> Message:
    """What sendmsg(2) shall send."""
    data = memory.gather(cut(header.vectors, LONGEST_DATA))
    name = memory.read(header.name, header.name_length) if header.name_length else None
    return Message(data, split_control(read_control(memory, header)), 0, name)


def read_control(memory: Memory, header: Header) -> bytes:
    """The control messages of a header as they stand. OSError ENOBUFS for too many."""
    if header.control_length > LONGEST_CONTROL:
        raise _error(ENOBUFS)
    return memory.read(header.control, header.control_length)


def split_control(control: bytes) -> tuple[Item, ...]:
    """Control messages as values: level, type, content. OSError EINVAL for a length that leads nowhere."""
    items = []
    at = 0
    while at + _ITEM.size <= len(control):
        length, level, kind = _ITEM.unpack_from(control, at)
        if not _ITEM.size <= length <= len(control) - at:
            raise _error(EINVAL)
        items.append((level, kind, control[at + _ITEM.size : at + length]))
        at += _aligned(length)
    return tuple(items)


# Receiving


def write_message(memory: Memory, header: Header, message: Message) -> bytes:
    """Let recvmsg(2) deliver a message; the structure as it stands then."""
    control, is_cut = join_control(message.items, header.control_length)
    memory.scatter(header.vectors, message.data)
    after = bytearray(header.original)
    if header.name:
        name = message.address or b""
        memory.write(header.name, name[: header.name_length])
        _INT.pack_into(after, _NAME_LENGTH_AT, len(name))
    if control:
        memory.write(header.control, control)
    flags = message.flags | (MSG_CTRUNC if is_cut else 0)
    _LENGTHS.pack_into(after, _CONTROL_LENGTH_AT, len(control), flags)
    memory.write(header.at, bytes(after))
    return bytes(after)


def write_message_length(memory: Memory, header: Header, length: int) -> None:
    """msg_len of a struct mmsghdr."""
    memory.write_int(header.at + _MESSAGE_LENGTH_AT, length)


def join_control(items: Iterable[Item], room: int) -> tuple[bytes, bool]:
    """Control messages as recvmsg(2) lays them out, and whether some were cut; the last is not padded beyond `room`."""
    control = b""
    for level, kind, content in items:
        left = room - len(control)
        if left < _ITEM.size:
            return control, True
        length = min(_ITEM.size + len(content), left)
        item = _ITEM.pack(length, level, kind) + content[: length - _ITEM.size]
        control += item.ljust(min(_aligned(length), left), b"\0")
        if length < _ITEM.size + len(content):
            return control, True
    return control, False


def write_address(memory: Memory, address: int, length_at: int, content: bytes) -> None:
    """Let a call deliver a socket address: cut to the room there is, its true length told. OSError EINVAL."""
    room = memory.read_int(length_at)
    if room < 0:
        raise _error(EINVAL)
    memory.write(address, content[:room])
    memory.write_int(length_at, len(content))


def total_size(vectors: Sequence[Vector]) -> int:
    """Bytes of several pieces of memory."""
    return sum([length for _address, length in vectors])


def _aligned(length: int) -> int:
    return -(-length // 8) * 8


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
