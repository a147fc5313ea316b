"""The error queue: ICMP errors, local errors and transmit time stamps, read with MSG_ERRQUEUE.

Some facts about the error queue
--------------------------------
* One queue for all three, first in, first out. A full receive buffer loses entries without a trace.
* Reading an entry changes the pending error: to the errno of the next entry if that one is an ICMP error; else to none
  if the entry read was one.
* MSG_PEEK does not peek. An empty queue is EAGAIN at once, on a blocking socket too.
* ee_info of a redirect is the gateway as a number in host byte order; of an ICMPv6 error it is always the four bytes
  behind the checksum.
"""

from __future__ import annotations

import struct
import sys

from pingsock.stack.sockaddr import SOCKADDR_IN6_SIZE, SOCKADDR_IN_SIZE
from pingsock.wire import linux
from pingsock.wire.checksum import checksum_holds
from pingsock.wire.linux import AF_INET, SOL_IP, SOL_IPV6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.stack.packet import Packet

    Item = tuple[int, int, bytes]

_EXTENDED_ERROR = struct.Struct(linux.SOCK_EXTENDED_ERR_LAYOUT)
_RFC4884 = struct.Struct(linux.SOCK_EE_DATA_RFC4884_LAYOUT)

ICMP_ORIGINS = (linux.SO_EE_ORIGIN_ICMP, linux.SO_EE_ORIGIN_ICMP6)
NO_OFFENDER = {AF_INET: bytes(SOCKADDR_IN_SIZE), linux.AF_INET6: bytes(SOCKADDR_IN6_SIZE)}

MINIMUM_QUOTE = 128
"""RFC 4884 section 4: extensions stand behind at least this many bytes of quoted packet."""
EXTENSION_VERSION = 2


class ErrorEntry:
    """One entry: `struct sock_extended_err` and what comes with it."""

    __slots__ = (
        "charge",
        "code",
        "data",
        "errno",
        "info",
        "name",
        "offender",
        "origin",
        "packet",
        "payload",
        "stamp",
        "type",
    )

    def __init__(
        self,
        errno: int,
        origin: int,
        *,
        icmp_type: int = 0,
        code: int = 0,
        info: int = 0,
        data: int = 0,
        payload: bytes = b"",
        name: bytes | None = None,
        offender: bytes = b"",
        packet: Packet | None = None,
        stamp: int = 0,
    ) -> None:
        self.errno = errno
        self.origin = origin
        self.type = icmp_type
        self.code = code
        self.info = info
        self.data = data
        self.payload = payload
        """What recvmsg gives as data."""
        self.name = name
        """The socket address recvmsg gives as name."""
        self.offender = offender
        """Socket address of who reported, empty for none."""
        self.packet = packet
        """The ICMP error packet itself, for the receive options."""
        self.stamp = stamp
        """Nanoseconds of a transmit time stamp."""
        self.charge = 0
        """Bytes it is charged to the receive buffer."""

    @property
    def is_icmp(self) -> bool:
        """Whether an ICMP error made this entry."""
        return self.origin in ICMP_ORIGINS

    def as_item(self, family: int) -> Item:
        """The IP_RECVERR or IPV6_RECVERR control message."""
        error = _EXTENDED_ERROR.pack(self.errno, self.origin, self.type, self.code, 0, self.info, self.data)
        level, kind = (SOL_IP, linux.IP_RECVERR) if family == AF_INET else (SOL_IPV6, linux.IPV6_RECVERR)
        return level, kind, error + (self.offender or NO_OFFENDER[family])


def extension_offset(quote_length: int, stripped: int, payload: bytes) -> int:
    """ee_data of IP_RECVERR_RFC4884: where in `payload` the extension structure starts, and whether it is sound.

    `quote_length` is what the ICMP header says of the quoted packet in bytes, `stripped` the IP header bytes that were
    cut off the quote. 0 if there is no extension.
    """
    offset = quote_length - stripped
    if quote_length < MINIMUM_QUOTE or offset < 0 or offset + 4 > len(payload):
        return 0
    flags = 0 if _is_sound_extension(payload[offset:]) else linux.SO_EE_RFC4884_FLAG_INVALID
    return int.from_bytes(_RFC4884.pack(offset, flags, 0), sys.byteorder)


def _is_sound_extension(structure: bytes) -> bool:
    if structure[0] >> 4 != EXTENSION_VERSION:
        # Not one Linux could judge, so not one it calls wrong.
        return True
    if structure[2:4] != b"\0\0" and not checksum_holds(structure):
        return False
    at = 4
    while at < len(structure):
        length = int.from_bytes(structure[at : at + 2], "big")
        if len(structure) - at < 4 or length < 4:
            return False
        at += length
    return at == len(structure)
