"""ICMPv6 node information: asking a node for its names or addresses, and what it answers (RFC 4620).

A query or reply has, after type, code and checksum:

    4-5: what is asked for   6-7: flags   8-15: nonce   16...: data, in a query the subject, in a reply the answer

The code of a query says what its subject is, that of a reply how the query was received. An answer of addresses is a
row of time to live (4 bytes) and address; one of names is a time to live and a row of names, each a row of labels
(length 1, text) that ends with an empty one. A name without its domain ends with two (section 6.3).

Messages have a zero checksum here: raw ICMPv6 sockets, the only ones that carry these, fill it in and verify it. To
`pingsock.wire.icmp6` they are `Unknown`.
"""

from __future__ import annotations

from struct import Struct

from pingsock.wire import types
from pingsock.wire.errors import BadPacket
from pingsock.wire.message import message_without_checksum, need
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Self

NAMES, ADDRESSES_6, ADDRESSES_4 = 2, 3, 4
"""What can be asked for (section 6)."""
SUBJECT_IS_ADDRESS_6, SUBJECT_IS_NAME, SUBJECT_IS_ADDRESS_4 = 0, 1, 2
"""Codes of a query."""
SUCCESS, REFUSED, UNKNOWN = 0, 1, 2
"""Codes of a reply."""
TRUNCATED = 1
"""Flag of a reply: there was more."""
ALL_ADDRESSES, COMPATIBLE_ADDRESSES, LINK_LOCAL_ADDRESSES, SITE_LOCAL_ADDRESSES, GLOBAL_ADDRESSES = 2, 4, 8, 16, 32
"""Flags of a query for addresses: which of them (sections 6.3 and 6.4)."""
NONCE_BYTES = 8
NONCE = slice(8, 8 + NONCE_BYTES)
"""Where the nonce is, in whole messages and in quotes of them."""

_HEAD = Struct("!HH8s")
_MINIMUM = 4 + _HEAD.size
_TTL_BYTES = 4
_ADDRESS_BYTES = {ADDRESSES_4: 4, ADDRESSES_6: 16}
_LONGEST_LABEL = 63
_POINTER = 0xC0
_OFFSET_BITS = 0x3FFF
_MOST_STEPS = 128
"""Labels and pointers of one name; a name of 255 bytes has no more labels, and pointers can go in circles."""


class _NodeInformation(Value):
    code: int
    wanted: int
    """NAMES, ADDRESSES_6 or ADDRESSES_4, or another number of the registry. 16 bits."""
    flags: int
    nonce: bytes
    """8 bytes, the same in query and reply."""
    data: bytes = b""

    type: ClassVar[int]

    def rest(self) -> bytes:
        """All that follows the checksum."""
        if len(self.nonce) != NONCE_BYTES:
            raise BadPacket(f"a nonce has {NONCE_BYTES} bytes, not {len(self.nonce)}")
        return _HEAD.pack(self.wanted, self.flags, self.nonce) + self.data

    @classmethod
    def from_rest_untrusted(cls, code: int, rest: bytes) -> Self:
        """Raise BadPacket if it is cut off."""
        need("node information message", rest, _HEAD.size)
        wanted, flags, nonce = _HEAD.unpack_from(rest)
        return cls(code, wanted, flags, nonce, rest[_HEAD.size :])

    def to_bytes(self) -> bytes:
        """The whole message with a zero checksum.

        :raises BadPacket: a field is out of its range.
        """
        return message_without_checksum(self)


class NodeInformationQuery(_NodeInformation):
    """Asks. The code is SUBJECT_IS_..., the data an address or a name (`NodeName.to_bytes`)."""

    type: ClassVar[int] = types.ICMP6_NODE_INFORMATION_QUERY


class NodeInformationReply(_NodeInformation):
    """Answers. The code is SUCCESS, REFUSED or UNKNOWN."""

    type: ClassVar[int] = types.ICMP6_NODE_INFORMATION_REPLY


NodeInformation = NodeInformationQuery | NodeInformationReply
_CLASSES = {cls.type: cls for cls in (NodeInformationQuery, NodeInformationReply)}


def parse_node_information_untrusted(message: bytes) -> NodeInformation:
    """The value of a whole message; its checksum is not looked at.

    :raises BadPacket: shorter than 16 bytes, or of another type.
    """
    if len(message) < _MINIMUM:
        raise BadPacket(f"node information message of {len(message)} bytes is shorter than {_MINIMUM}")
    cls = _CLASSES.get(message[0])
    if cls is None:
        raise BadPacket(f"ICMPv6 message of type {message[0]} is no node information")
    return cls.from_rest_untrusted(message[1], message[4:])


class NodeName(Value):
    """A domain name, or the part of one that a node knows of itself."""

    labels: tuple[bytes, ...]
    is_whole: bool = True
    """It goes up to the root."""

    def to_bytes(self) -> bytes:
        """The labels, each behind its length, and one empty one; two if the name is not whole.

        :raises BadPacket: a label that is empty or longer than 63 bytes.
        """
        for label in self.labels:
            if not 0 < len(label) <= _LONGEST_LABEL:
                raise BadPacket(f"a label has 1 to {_LONGEST_LABEL} bytes, not {len(label)}")
        return b"".join(bytes((len(label),)) + label for label in self.labels) + bytes(1 if self.is_whole else 2)


def parse_names_untrusted(data: bytes) -> tuple[tuple[NodeName, ...], bool]:
    """The names in the data of a reply, and whether that is all: false if something else follows, or half a name.

    :raises BadPacket: shorter than the time to live before the names.
    """
    if len(data) < _TTL_BYTES:
        raise BadPacket(f"names in {len(data)} bytes, of which a time to live takes {_TTL_BYTES}")
    names: list[NodeName] = []
    at = _TTL_BYTES
    while at < len(data):
        try:
            labels, at = _labels_untrusted(data, at)
        except BadPacket:
            return tuple(names), False
        is_whole = data[at : at + 1] != b"\0"
        names.append(NodeName(labels, is_whole))
        at += not is_whole
    return tuple(names), True


def _labels_untrusted(data: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    """The labels of the name at an index, and where it ends; pointers count from the beginning of the data."""
    labels: list[bytes] = []
    end = 0
    for _ in range(_MOST_STEPS):
        head = data[at : at + 2]
        length = head[0] if head else _LONGEST_LABEL + 1
        if not length:
            return tuple(labels), end or at + 1
        if length >= _POINTER and len(head) == 2:
            end = end or at + 2
            at = int.from_bytes(head, "big") & _OFFSET_BITS
        elif length > _LONGEST_LABEL or at + length >= len(data):
            break
        else:
            labels.append(data[at + 1 : at + 1 + length])
            at += 1 + length
    raise BadPacket(f"the name goes beyond its {len(data)} bytes, or round in circles, at {at}")


def parse_addresses_untrusted(wanted: int, data: bytes) -> tuple[tuple[bytes, ...], bool]:
    """The packed addresses in the data of a reply, and whether that is all: false if half a one follows.

    `wanted` is ADDRESSES_4 or ADDRESSES_6. Cannot fail.
    """
    size = _TTL_BYTES + _ADDRESS_BYTES[wanted]
    count, rest = divmod(len(data), size)
    return tuple(data[size * index + _TTL_BYTES : size * (index + 1)] for index in range(count)), not rest
