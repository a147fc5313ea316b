"""Frames: how a served socket asks, and how its server answers. Bytes to values and back, no I/O.

Every frame is one datagram of a sequenced-packet connection, and one connection is one ping socket. A client sends a
request and waits for its answer; requests are answered in order. All numbers are big-endian.

    request   0: operation (1 byte)   1: number (u32)   5: three signed 32-bit arguments   17...: body
    answer    0: operation | 0x80     1: number (u32)   5: errno or 0 (u32)   9: result (i32)   13: flags (1 byte)
              14...: body

An answer repeats the number of its request, so that a client which an exception tore away from an answer knows it for
an old one.

    operation     arguments                        request's body    result        answer's body
    ------------  -------------------------------  ----------------  ------------  ---------------
    OPEN          family, kind, protocol                             socket's number   (*)
    BIND                                           socket address
    CONNECT                                        socket address
    SEND          flags                            messages          messages sent
    RECEIVE       flags, data size, control size   count (u16)       messages      messages
    GETSOCKNAME                                                                    socket address
    GETPEERNAME                                                                    socket address
    SETSOCKOPT    level, option                    value
    GETSOCKOPT    level, option, size                                              value
    SHUTDOWN      how (0 to 2)
    POLL                                                             POLL* events
    CLOSE
    BORROW        family                                                               (*)
    STATUS                                                                             JSON
    GOODBYE       (an answer only)

(*) Across processes the answer carries a descriptor (SCM_RIGHTS): OPEN's the client's end of the readiness channel,
BORROW's a ping socket of the kernel, lent for as long as the connection stays open. GOODBYE answers nothing: the server
ends the connection, its errno says why.

Inside one process nothing is encoded: requests and answers are passed as they are, with their messages as values.

A message, as many as a frame holds, one behind the other:

    0: msg_flags (u32)   4: data length (u32)   8: control messages (u16)   10: address length (u16; 0xFFFF: no address)
    then the socket address, the control messages (level i32, type i32, length u32, content), the data

Some facts about readiness: a program waits for a served socket with poll() on a descriptor of its own, so the
descriptor must be readable exactly when data or an error waits. What this means here: beside its connection a client
has a readiness channel, and only polls it. The server puts a byte in when the socket becomes readable, and takes it out
itself, before it sends the answer that ends this state: a client that is interrupted anywhere leaves nothing undone.
"""

from __future__ import annotations

import struct

from pingsock.wire.errors import BadPacket
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MAXIMUM_FRAME = 192 * 1024
"""Bytes; more than the largest message with the largest ancillary data, less than a default socket buffer."""
MAXIMUM_MESSAGES = 1024
"""In one frame."""
MAXIMUM_VALUE = 65536
"""Of a socket option, a socket address, or one control message, bytes."""

OPEN, BIND, CONNECT, SEND, RECEIVE, GETSOCKNAME, GETPEERNAME, SETSOCKOPT, GETSOCKOPT, SHUTDOWN, POLL = range(1, 12)
CLOSE, BORROW, STATUS, GOODBYE = range(12, 16)
OPERATIONS = frozenset(range(OPEN, GOODBYE))
ANSWERS = OPERATIONS | {GOODBYE}
ANSWER = 0x80

NO_ROOM = 0x01
"""Flag of an answer to SEND with EAGAIN: there is no room in a device's queue now; a blocking socket would wait."""

NO_ADDRESS = 0xFFFF

_REQUEST = struct.Struct(">BI3i")
_ANSWER = struct.Struct(">BIIiB")
MAXIMUM_MESSAGE = MAXIMUM_FRAME - _REQUEST.size
"""Bytes of the largest message that a frame can carry."""
_MESSAGE = struct.Struct(">IIHH")
_ITEM = struct.Struct(">iiI")
_COUNT = struct.Struct(">H")


class Request(Value):
    """What a client asks."""

    operation: int
    first: int = 0
    second: int = 0
    third: int = 0
    body: bytes = b""
    messages: tuple[Message, ...] = ()
    """Of a SEND that has no body."""
    number: int = 0

    def to_bytes(self) -> bytes:
        """The frame."""
        head = _REQUEST.pack(self.operation, self.number, self.first, self.second, self.third)
        return head + (messages_to_bytes(self.messages) if self.messages else self.body)


class Answer(Value):
    """What a server answers."""

    operation: int
    errno: int = 0
    result: int = 0
    flags: int = 0
    body: bytes = b""
    messages: tuple[Message, ...] = ()
    """Of an answer to RECEIVE that has no body."""
    number: int = 0

    def to_bytes(self) -> bytes:
        """The frame."""
        head = _ANSWER.pack(self.operation | ANSWER, self.number, self.errno, self.result, self.flags)
        return head + (messages_to_bytes(self.messages) if self.messages else self.body)


class Message(Value):
    """One datagram with what sendmsg or recvmsg carry beside it."""

    data: bytes
    items: tuple[tuple[int, int, bytes], ...] = ()
    """Control messages: level, type, content."""
    flags: int = 0
    """msg_flags of a received message."""
    address: bytes | None = None
    """Socket address; None: there is none."""

    @property
    def size(self) -> int:
        """Bytes it takes in a frame."""
        head = _MESSAGE.size + len(self.data) + len(self.address or b"")
        return head + sum([_ITEM.size + len(content) for _level, _kind, content in self.items])

    def to_bytes(self) -> bytes:
        """The message's part of a frame."""
        return b"".join(self.pieces())

    def pieces(self) -> list[bytes]:
        """What `to_bytes` joins."""
        data, items, address = self.data, self.items, self.address
        if address is None:
            pieces = [_MESSAGE.pack(self.flags, len(data), len(items), NO_ADDRESS)]
        else:
            pieces = [_MESSAGE.pack(self.flags, len(data), len(items), len(address)), address]
        for level, kind, content in items:
            pieces += (_ITEM.pack(level, kind, len(content)), content)
        pieces.append(data)
        return pieces


def parse_request_untrusted(frame: bytes) -> Request:
    """A request of a client.

    :raises BadPacket: too short, too long, or an unknown operation.
    """
    if not _REQUEST.size <= len(frame) <= MAXIMUM_FRAME:
        raise BadPacket(f"request of {len(frame)} bytes; {_REQUEST.size} to {MAXIMUM_FRAME} are needed")
    operation, number, first, second, third = _REQUEST.unpack_from(frame)
    if operation not in OPERATIONS:
        raise BadPacket(f"unknown operation {operation} in a request")
    return Request(operation, first, second, third, frame[_REQUEST.size :], (), number)


def parse_answer_untrusted(frame: bytes) -> Answer:
    """An answer of a server.

    :raises BadPacket: too short, too long, or not an answer to a known operation.
    """
    if not _ANSWER.size <= len(frame) <= MAXIMUM_FRAME:
        raise BadPacket(f"answer of {len(frame)} bytes; {_ANSWER.size} to {MAXIMUM_FRAME} are needed")
    operation, number, errno, result, flags = _ANSWER.unpack_from(frame)
    if operation & ~ANSWER not in ANSWERS or not operation & ANSWER:
        raise BadPacket(f"unknown operation {operation} in an answer")
    return Answer(operation & ~ANSWER, errno, result, flags, frame[_ANSWER.size :], (), number)


def parse_messages_untrusted(body: bytes) -> list[Message]:
    """The messages in the body of a SEND request or a RECEIVE answer.

    :raises BadPacket: more than MAXIMUM_MESSAGES, or a length that leads outside the body.
    """
    messages: list[Message] = []
    at = 0
    while at < len(body):
        if len(messages) == MAXIMUM_MESSAGES:
            raise BadPacket(f"more than {MAXIMUM_MESSAGES} messages in a frame")
        message, at = _message_untrusted(body, at)
        messages.append(message)
    return messages


def _message_untrusted(body: bytes, at: int) -> tuple[Message, int]:
    flags, data_length, count, address_length = _fields_untrusted(_MESSAGE, body, at)
    at += _MESSAGE.size
    address: bytes | None = None
    if address_length != NO_ADDRESS:
        address, at = _bytes_untrusted(body, at, address_length)
    items, at = _items_untrusted(body, at, count) if count else ((), at)
    data, at = _bytes_untrusted(body, at, data_length)
    return Message(data, items, flags, address), at


def _items_untrusted(body: bytes, at: int, count: int) -> tuple[tuple[tuple[int, int, bytes], ...], int]:
    items = []
    for _ in range(count):
        level, kind, length = _fields_untrusted(_ITEM, body, at)
        content, at = _bytes_untrusted(body, at + _ITEM.size, length)
        items.append((level, kind, content))
    return tuple(items), at


def _fields_untrusted(layout: struct.Struct, body: bytes, at: int) -> tuple[int, ...]:
    if at + layout.size > len(body):
        raise BadPacket(f"message cut at byte {at} of {len(body)}; {layout.size} bytes of header are needed")
    return layout.unpack_from(body, at)


def _bytes_untrusted(body: bytes, at: int, length: int) -> tuple[bytes, int]:
    if at + length > len(body):
        raise BadPacket(f"message cut: {length} bytes at byte {at} of {len(body)}")
    return body[at : at + length], at + length


def messages_to_bytes(messages: Iterable[Message]) -> bytes:
    """The body that `parse_messages_untrusted` reads."""
    return b"".join([piece for message in messages for piece in message.pieces()])


def count_to_bytes(count: int) -> bytes:
    """The body of a RECEIVE request: how many messages at most."""
    return _COUNT.pack(count)


def parse_count_untrusted(body: bytes) -> int:
    """How many messages a RECEIVE request wants, 1 to MAXIMUM_MESSAGES.

    :raises BadPacket: another number, or not two bytes.
    """
    count = int(_fields_untrusted(_COUNT, body, 0)[0])
    if not 1 <= count <= MAXIMUM_MESSAGES:
        raise BadPacket(f"{count} messages asked for; 1 to {MAXIMUM_MESSAGES} are possible")
    return count
