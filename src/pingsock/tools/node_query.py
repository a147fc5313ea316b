"""IPv6 Node Information queries (RFC 4620): asking a node for its names or addresses, one question a probe.

A query and its reply, after the ICMPv6 header (type 139 or 140; code, checksum):

    4-5: what is asked   6-7: flags   8-15: nonce   16...: the subject, or in a reply the answer

What this means here
--------------------

`NodeQuerySocket` is a socket on which a prober sends echo requests, and out go queries; replies come back as echo
replies whose payload is the whole reply. The first two bytes of a nonce are the sequence number, the rest a secret of
this run, so that replies are told from those to others, and from forged ones.
"""

from __future__ import annotations

import os
from _socket import inet_pton
from struct import Struct

from pingsock.sockets.raw_echo import RawEchoSocket
from pingsock.wire import linux
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from pingsock.sockets.raw_echo import Received

_QUERY, _REPLY, _ECHO_REQUEST, _ECHO_REPLY = 139, 140, 128, 129
_HEADER = Struct("!BBHHH8s")
_ECHO = Struct("!BBHHH")
_SECRET_BYTES = 6
_SEQUENCE, _SECRET = slice(8, 10), slice(10, 16)

NAMES, ADDRESSES_6, ADDRESSES_4 = 2, 3, 4
"""What can be asked for."""
SUBJECT_IS_ADDRESS_6, SUBJECT_IS_NAME, SUBJECT_IS_ADDRESS_4 = 0, 1, 2
SUCCESS, REFUSED, UNKNOWN = 0, 1, 2
"""Codes of a reply."""
TRUNCATED = 1
"""Flag of a reply: there was more."""


class NodeQuery(Value):
    """A question."""

    wanted: int = -1
    """NAMES, ADDRESSES_6 or ADDRESSES_4; -1 if that was not said."""
    flags: int = 0
    subject_type: int = -1
    """SUBJECT_IS_...; -1 makes the node that is asked the subject."""
    subject: bytes = b""


class NodeReply(Value):
    """An answer."""

    code: int
    wanted: int
    flags: int
    sequence: int
    content: bytes


def parse_node_reply(message: bytes) -> NodeReply:
    """The parts of a reply of 16 bytes or more."""
    _, code, _, wanted, flags, nonce = _HEADER.unpack_from(message)
    return NodeReply(code, wanted, flags, int.from_bytes(nonce[:2], "big"), message[_HEADER.size :])


class NodeQuerySocket(RawEchoSocket):
    """Sends a query for each echo request. OSError as socket(2), EPERM without CAP_NET_RAW."""

    reply_types: ClassVar[dict[int, int]] = {linux.AF_INET6: _REPLY}

    def __init__(self, query: NodeQuery) -> None:
        super().__init__(linux.AF_INET6, 0)
        self._query = query
        self._secret = os.urandom(_SECRET_BYTES)
        self._destination = b""

    def sendto(self, message: bytes, address: Any) -> int:  # type: ignore[override]
        """Ask the node at `address`, with the sequence number of the echo request `message`."""
        self._destination = _packed(address[0])
        return super().sendto(message, address)

    def _outgoing(self, message: bytes) -> bytes:
        query = self._query
        kind = query.subject_type if query.subject else SUBJECT_IS_ADDRESS_6
        header = _HEADER.pack(_QUERY, kind, 0, query.wanted, query.flags, message[6:8] + self._secret)
        return header + (query.subject or self._destination)

    def recvmsg(self, size: int, ancillary_size: int = 0, flags: int = 0) -> Received:
        """The next reply, as an echo reply that carries it; in the error queue a quoted query as an echo request."""
        content, items, told, address = super().recvmsg(size, ancillary_size, flags)
        if not content:
            return content, items, told, address
        is_quote = bool(flags & linux.MSG_ERRQUEUE)
        sequence = int.from_bytes(content[_SEQUENCE], "big")
        header = _ECHO.pack(_ECHO_REQUEST if is_quote else _ECHO_REPLY, 0, 0, 0, sequence)
        return header + (b"" if is_quote else content), items, told, address

    def _is_ours(self, message: bytes) -> bool:
        return message[_SECRET] == self._secret


def _packed(address: str) -> bytes:
    """The 16 bytes of an IPv6 address, whatever scope it has."""
    return inet_pton(linux.AF_INET6, address.partition("%")[0])
