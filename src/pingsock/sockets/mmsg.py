"""Hundreds of packets by one system call: sendmmsg(2) and recvmmsg(2), with buffers that are built once.

Layout of the buffers
---------------------

A batch of N messages has one array for each of these, and message number n has the n-th piece of each:

    headers     struct mmsghdr     where the rest of the message is; what the kernel tells of it
    vectors     struct iovec       the pieces of the message
    names       sockaddr           16 bytes for IPv4, 28 of 32 for IPv6
    messages    the ICMP message
    controls    control messages

A *column* is one field of all messages: a strided memoryview, which copies from and to arrays at C speed. Nothing is
done for each message in Python, so a batch costs a few nanoseconds a message beside the system call.

An *image* is an array as it should be after a call: whether everything is as it should be is one comparison then.

Some facts about these calls
----------------------------

* Both return how many messages were dealt with. An error is told only if it met the first one. Met later, it is kept by
  recvmmsg for the next call; sendmmsg forgets it, and the next call meets it again, unless it was about a packet sent
  before: an ICMP error is told once. Its entry stays in the error queue.
* recvmmsg writes the lengths of name and control data and the flags into the headers, so these must be set again
  before each call; unless it wrote what was there before.
* ctypes releases the interpreter lock while they run.
"""

from __future__ import annotations

import mmap
import os
import struct
from socket import AF_INET

from pingsock.sockets.errors import PingsockError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_HEADER = struct.Struct("@PIPNPNi0PI0P")
"""struct mmsghdr: name, namelen, iov, iovlen, control, controllen, flags; length of the message."""
_VECTOR = struct.Struct("@PN")
_NAME_STRIDES = {4: 16, 6: 32}
_NAME_LENGTHS = {4: 16, 6: 28}
_functions: dict[str, Any] = {}


class NoBatchCalls(PingsockError):
    """There are no calls that move many packets, on this system or from this Python; another driver needs none."""


def _function(name: str) -> Any:
    """A function of the C library, or a NoBatchCalls."""
    if name not in _functions:
        try:
            import ctypes

            function = getattr(ctypes.CDLL(None, use_errno=True), name)
        except (ImportError, OSError, AttributeError, TypeError) as error:
            raise NoBatchCalls(f"there is no {name}() here: {error}") from error
        extra = [ctypes.c_void_p] if name == "recvmmsg" else []
        function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, *extra]
        function.restype = ctypes.c_int
        _functions[name] = function
    return _functions[name]


def _comparison() -> Any:
    """memcmp(3)."""
    import ctypes

    # It is over before another thread could be let in.
    function = ctypes.PyDLL(None).memcmp
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    function.restype = ctypes.c_int
    return function


def require_batch_calls() -> None:
    """Raise NoBatchCalls unless both calls are there."""
    _function("sendmmsg")
    _function("recvmmsg")


def _last_error() -> OSError:
    import ctypes

    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def _cast(view: Any, kind: str) -> memoryview:
    column: memoryview = view.cast(kind)
    return column


class _Memory:
    """Zeroed memory that stays where it is."""

    def __init__(self, size: int) -> None:
        import ctypes

        self.map = mmap.mmap(-1, max(size, 1))
        self.view = memoryview(self.map)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))

    def column(self, at: int, stride: int, kind: str, count: int) -> memoryview:
        """The field of format `kind`, `at` bytes from the start of each `stride` bytes."""
        size = struct.calcsize(kind)
        length = (len(self.view) - at) // size * size
        return _cast(self.view[at : at + length], kind)[:: stride // size][:count]


class _Batch:
    """What batches of either direction have in common."""

    def __init__(self, family: int, capacity: int, stride: int, control_stride: int) -> None:
        version = 4 if family == AF_INET else 6
        self.capacity = capacity
        self.stride = stride
        """Bytes from one message to the next."""
        self.name_stride = _NAME_STRIDES[version]
        self._name_length = _NAME_LENGTHS[version]
        self._headers = _Memory(capacity * _HEADER.size)
        self._names = _Memory(capacity * self.name_stride)
        self._messages = _Memory(capacity * stride)
        self._controls = _Memory(capacity * control_stride)
        self.names_at = self._names.address
        self.headers = self._headers.view
        self.names = self._names.view
        self.messages = self._messages.view
        self.controls = self._controls.view

    def message_column(self, at: int, kind: str) -> memoryview:
        """The field of that format at byte `at` of each message."""
        return self._messages.column(at, self.stride, kind, self.capacity)

    def name_column(self, at: int, kind: str) -> memoryview:
        """The field of that format at byte `at` of each address."""
        return self._names.column(at, self.name_stride, kind, self.capacity)


def stride_of(length: int) -> int:
    """Bytes from one message to the next, for messages of `length` bytes."""
    return -(-length // 8) * 8


class SendBatch(_Batch):
    """Up to `capacity` messages of `length` bytes, each to an address of its own, all with the same control data.

    `messages`, `names` and the columns of both are to be filled before `send`. NoBatchCalls where that is impossible.
    """

    def __init__(self, family: int, capacity: int, length: int, control: bytes = b"") -> None:
        self._call = _function("sendmmsg")
        super().__init__(family, capacity, stride_of(length), 0)
        self._control = _Memory(len(control))
        self._control.view[: len(control)] = control
        self._vectors = _Memory(capacity * _VECTOR.size)
        control_at = self._control.address if control else 0
        for number in range(capacity):
            message = self._messages.address + number * self.stride
            vector = self._vectors.address + number * _VECTOR.size
            name = self._names.address + number * self.name_stride
            _VECTOR.pack_into(self._vectors.view, number * _VECTOR.size, message, length)
            _HEADER.pack_into(
                self.headers, number * _HEADER.size, name, self._name_length, vector, 1, control_at, len(control), 0, 0
            )

    def send(self, descriptor: int, first: int, count: int) -> int:
        """Send `count` messages from number `first` on; how many were sent, at least 1. OSError if not the first."""
        sent: int = self._call(descriptor, self._headers.address + first * _HEADER.size, count, 0)
        if sent < 0:
            raise _last_error()
        return sent


class MessageImage:
    """What the messages of a `ReceiveBatch` should be: `message` all of them, but for columns filled later."""

    def __init__(self, batch: ReceiveBatch, message: bytes) -> None:
        self._stride, self._capacity = batch.stride, batch.capacity
        self._memory = _Memory(batch.capacity * batch.stride)
        self._memory.view[:] = message.ljust(batch.stride, b"\0") * batch.capacity
        self.address = self._memory.address

    def column(self, at: int, kind: str) -> memoryview:
        """The field of that format at byte `at` of each message."""
        return self._memory.column(at, self._stride, kind, self._capacity)


class ReceiveBatch(_Batch):
    """Room for up to `capacity` messages of up to `room` bytes, with up to `control_length` bytes of control data each.

    Ordinary messages have `length` bytes and all that control data. NoBatchCalls where that is impossible.
    """

    # A second piece of memory for what is longer than `length` costs a twentieth of the rate: the kernel copies both.

    def __init__(self, family: int, capacity: int, length: int, room: int, control_length: int) -> None:
        self._call = _function("recvmmsg")
        super().__init__(family, capacity, stride_of(room), control_length)
        self._length = length
        self._control_length = control_length
        self._vectors = _Memory(capacity * _VECTOR.size)
        self._compare = _comparison()
        self._is_clean = True
        """Nothing is in memory behind the first `length` bytes of each message."""
        self._written = 0
        """So many headers may be other than in the image."""
        for number in range(capacity):
            message = self._messages.address + number * self.stride
            vector = self._vectors.address + number * _VECTOR.size
            name = self._names.address + number * self.name_stride
            control = self._controls.address + number * control_length
            _VECTOR.pack_into(self._vectors.view, number * _VECTOR.size, message, room)
            header = (name, self._name_length, vector, 1, control, control_length, 0, length)
            _HEADER.pack_into(self.headers, number * _HEADER.size, *header)
        self._image = _Memory(capacity * _HEADER.size)
        self._image.view[:] = self.headers

    def receive(self, descriptor: int, flags: int) -> int:
        """Receive what there is, up to `capacity` messages; how many. OSError if there is none."""
        if not self._is_clean:
            self.messages[:] = bytes(len(self.messages))
            self._is_clean = True
        if self._written:
            written = self._written * _HEADER.size
            self.headers[:written] = self._image.view[:written]
        received: int = self._call(descriptor, self._headers.address, self.capacity, flags, None)
        if received < 0:
            self._written = 0
            raise _last_error()
        self._written = received
        return received

    def are_ordinary(self, first: int, last: int) -> bool:
        """Whether the messages from `first` to before `last` have the length and the control data that were planned."""
        begin, size = first * _HEADER.size, (last - first) * _HEADER.size
        if self._compare(self._headers.address + begin, self._image.address + begin, size):
            return False
        if last - first == self._written:
            self._written = 0
        return True

    def are_like(self, image: MessageImage, first: int, last: int) -> bool:
        """Whether the messages from `first` to before `last` are what they should be, with only zeros behind them."""
        begin = first * self.stride
        return not self._compare(self._messages.address + begin, image.address + begin, (last - first) * self.stride)

    def all_answer(self, requests: SendBatch, first: int, image: MessageImage, count: int) -> bool:
        """Whether the first `count` messages are ordinary, like the image, and from where those requests went.

        That is the requests from number `first` on.
        """
        compare = self._compare
        if (
            compare(self._headers.address, self._image.address, count * _HEADER.size)
            or compare(self._messages.address, image.address, count * self.stride)
            or compare(self.names_at, requests.names_at + first * self.name_stride, count * self.name_stride)
        ):
            return False
        if count == self._written:
            self._written = 0
        return True

    def control_octets(self, at: int, count: int) -> bytes:
        """The byte `at` of the control data of the first `count` messages."""
        # A slice of the map takes a sixth of the time a column takes.
        return self._controls.map[at : at + count * self._control_length : self._control_length]

    def control_column(self, at: int, kind: str) -> memoryview:
        """The field of that format at byte `at` of each message's control data."""
        return self._controls.column(at, self._control_length, kind, self.capacity)

    def message(self, number: int) -> bytes:
        """One message, as much of it as there was room for."""
        length, at = self._header(number)[7], number * self.stride
        self._is_clean = self._is_clean and length <= self._length
        return bytes(self.messages[at : at + length])

    def name(self, number: int) -> bytes:
        """The sender's address as the kernel wrote it."""
        at = number * self.name_stride
        return bytes(self.names[at : at + self._header(number)[1]])

    def control(self, number: int) -> bytes:
        """The control data that came with one message."""
        at = number * self._control_length
        return bytes(self.controls[at : at + self._header(number)[5]])

    def _header(self, number: int) -> tuple[int, ...]:
        return _HEADER.unpack_from(self.headers, number * _HEADER.size)


_CONTROL_ITEM = struct.Struct("@Nii")


def split_control(control: bytes) -> list[tuple[int, int, bytes]]:
    """Control data as recvmsg() returns it: (level, type, content) each. What is cut off at the end is left out."""
    items = []
    at = 0
    while at + _CONTROL_ITEM.size <= len(control):
        length, level, number = _CONTROL_ITEM.unpack_from(control, at)
        if length < _CONTROL_ITEM.size:
            break
        items.append((level, number, control[at + _CONTROL_ITEM.size : at + length]))
        at += _aligned(length)
    return items


def join_control(items: Iterable[tuple[int, int, bytes]]) -> bytes:
    """Control data for `SendBatch` out of (level, type, content) each."""
    pieces = []
    for level, number, content in items:
        length = _CONTROL_ITEM.size + len(content)
        pieces.append(_CONTROL_ITEM.pack(length, level, number) + content + bytes(_aligned(length) - length))
    return b"".join(pieces)


def _aligned(length: int) -> int:
    step = struct.calcsize("@N")
    return -(-length // step) * step


CONTROL_HEADER = _CONTROL_ITEM.size
"""Bytes of a control message before its content."""
