"""A raw ICMP socket that behaves as a ping socket with an identifier of the caller's choice.

The kernel's ping sockets choose an identifier themselves if they are asked for 0, so `ping -e 0` needs this one, and
CAP_NET_RAW. Everything else should be done with the sockets of `pingsock.sockets`.

Some facts about raw ICMP sockets
---------------------------------

* Every one gets a copy of every message of the host, so of each that arrives it has to be looked whose it is; those of
  IPv4 come with their IP header, and with a wrong checksum too.
* The kernel fills in the checksum of ICMPv6, not that of ICMPv4.
* With IP_RECVERR, ICMP errors and transmit stamps are queued as for a ping socket, quoting from the ICMP header on.

What this means here
--------------------

Identifier and checksum are written before sending; IP headers and messages of others are removed on receiving. Messages
with a wrong checksum are passed on, since iputils counts them.
"""

from __future__ import annotations

import _socket
from struct import Struct

from pingsock.wire import linux
from pingsock.wire.checksum import with_checksum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self

    Received = tuple[bytes, list[tuple[int, int, bytes]], int, Any]

_PROTOCOLS = {linux.AF_INET: linux.IPPROTO_ICMP, linux.AF_INET6: linux.IPPROTO_ICMPV6}
_SOCK_RAW = 3
_IDENT = slice(4, 6)
_LONGEST_IP_HEADER = 60
_ECHO_REPLY, _ECHO_REPLY_6 = 0, 129
_TYPES_4 = Struct("=I")
_TYPES_6 = Struct("=8I")
_ALL = 0xFFFFFFFF


class RawEchoSocket(_socket.socket):
    """A ping socket's methods as far as a prober needs them, with the identifier `ident`.

    OSError as socket(2), EPERM without CAP_NET_RAW.
    """

    kind: ClassVar[str] = "raw"
    reply_types: ClassVar[dict[int, int]] = {linux.AF_INET: _ECHO_REPLY, linux.AF_INET6: _ECHO_REPLY_6}

    def __init__(self, family: int, ident: int) -> None:
        super().__init__(family, _SOCK_RAW, _PROTOCOLS[family])
        self._is_ipv4 = family == linux.AF_INET
        self._ident = ident.to_bytes(2, "big")
        try:
            self._receive_only(self.reply_types[family])
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _receive_only(self, icmp_type: int) -> None:
        """Errors come by the error queue, so one type of message is all there is to receive."""
        if self._is_ipv4:
            self.setsockopt(linux.SOL_RAW, linux.ICMP_FILTER, _TYPES_4.pack(_ALL & ~(1 << icmp_type)))
            return
        words = [_ALL] * 8
        words[icmp_type // 32] &= ~(1 << icmp_type % 32)
        self.setsockopt(linux.SOL_ICMPV6, linux.ICMP6_FILTER, _TYPES_6.pack(*words))

    def sendto(self, message: bytes, address: Any) -> int:  # type: ignore[override]
        """Send an ICMP message with our identifier."""
        return super().sendto(self._outgoing(message), address)

    def _outgoing(self, message: bytes) -> bytes:
        ours = message[:2] + bytes(2) + self._ident + message[6:]
        return with_checksum(ours) if self._is_ipv4 else ours

    def recvmsg(self, size: int, ancillary_size: int = 0, flags: int = 0) -> Received:
        """The next message of ours, from its ICMP header on; what others get is passed over."""
        room = size + _LONGEST_IP_HEADER if self._is_ipv4 else size
        while True:
            content, items, told, address = super().recvmsg(room, ancillary_size, flags)
            message = content
            if self._is_ipv4 and not flags & linux.MSG_ERRQUEUE:
                message = content[4 * (content[0] & 0xF) :] if content else content
            # What is queued without a quote is a time stamp, or this host's own refusal.
            if self._is_ours(message) or (flags & linux.MSG_ERRQUEUE and not content):
                return message[:size], items, told, address

    def _is_ours(self, message: bytes) -> bool:
        return message[_IDENT] == self._ident
