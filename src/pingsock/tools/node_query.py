"""IPv6 node information queries (RFC 4620): asking a node for its names or addresses, one question a probe.

`NodeQuerySocket` is a socket on which a prober sends echo requests, and out go queries; replies come back as echo
replies whose payload is the whole reply. The first two bytes of a nonce are the sequence number, the rest a secret of
this run, so that replies are told from those to others, and from forged ones.
"""

from __future__ import annotations

import os
from _socket import inet_pton

from pingsock.sockets.raw_echo import RawEchoSocket
from pingsock.wire import icmp6, linux, types
from pingsock.wire.message import message_without_checksum
from pingsock.wire.node_information import (
    NONCE,
    NONCE_BYTES,
    SUBJECT_IS_ADDRESS_6,
    NodeInformationQuery,
)
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from pingsock.sockets.raw_echo import Received

_SEQUENCE_BYTES = 2
_SECRET_BYTES = NONCE_BYTES - _SEQUENCE_BYTES
_ECHO_SEQUENCE = slice(6, 8)
UNSAID = -1


class NodeQuery(Value):
    """A question."""

    wanted: int = UNSAID
    """NAMES, ADDRESSES_6 or ADDRESSES_4 of `pingsock.wire.node_information`."""
    flags: int = 0
    subject_type: int = UNSAID
    """SUBJECT_IS_...; UNSAID makes the node that is asked the subject."""
    subject: bytes = b""

    @property
    def is_asked(self) -> bool:
        """It has been said what is wanted; a subject alone is no question."""
        return self.wanted != UNSAID


class NodeQuerySocket(RawEchoSocket):
    """Sends a query for each echo request. OSError as socket(2), EPERM without CAP_NET_RAW."""

    reply_types: ClassVar[dict[int, int]] = {linux.AF_INET6: types.ICMP6_NODE_INFORMATION_REPLY}

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
        nonce = message[_ECHO_SEQUENCE] + self._secret
        asking = NodeInformationQuery(kind, query.wanted, query.flags, nonce, query.subject or self._destination)
        return asking.to_bytes()

    def recvmsg(self, size: int, ancillary_size: int = 0, flags: int = 0) -> Received:
        """The next reply, as an echo reply that carries it; in the error queue a quoted query as an echo request."""
        content, items, told, address = super().recvmsg(size, ancillary_size, flags)
        if not content:
            return content, items, told, address
        sequence = int.from_bytes(content[NONCE][:_SEQUENCE_BYTES], "big")
        is_quote = flags & linux.MSG_ERRQUEUE
        echo = icmp6.EchoRequest(0, sequence) if is_quote else icmp6.EchoReply(0, sequence, content)
        return message_without_checksum(echo), items, told, address

    def _is_ours(self, message: bytes) -> bool:
        return message[NONCE][_SEQUENCE_BYTES:] == self._secret


def _packed(address: str) -> bytes:
    """The 16 bytes of an IPv6 address, whatever scope it has."""
    return inet_pton(linux.AF_INET6, address.partition("%")[0])
