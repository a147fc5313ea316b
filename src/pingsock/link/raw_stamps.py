"""Transmit time stamps of a raw socket: which belongs to which packet."""

from __future__ import annotations

import errno
import struct

from pingsock.link.raw_receive import stamp_of
from pingsock.wire import linux
from pingsock.wire.linux import SOL_IP, SOL_IPV6, SOL_SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    Item = tuple[int, int, bytes]

SOCKET_FLAGS = linux.SOF_TIMESTAMPING_SOFTWARE | linux.SOF_TIMESTAMPING_OPT_ID | linux.SOF_TIMESTAMPING_OPT_TSONLY
"""SO_TIMESTAMPING of the socket: stamps come with a number and without the packet, which is remembered here."""
STAMPS_ON_REQUEST = linux.SOF_TIMESTAMPING_TX_SOFTWARE | linux.SOF_TIMESTAMPING_TX_SCHED
"""What a packet may ask for."""
MOST_WAITING = 4096
"""Packets remembered at once until their stamps come."""

_U32 = struct.Struct("=I")
_EXTENDED_ERROR = struct.Struct(linux.SOCK_EXTENDED_ERR_LAYOUT)
_ERROR_ITEMS = ((SOL_IP, linux.IP_RECVERR), (SOL_IPV6, linux.IPV6_RECVERR))

_NOT_COUNTED = frozenset(
    {errno.EACCES, errno.EAGAIN, errno.EMSGSIZE, errno.ENETUNREACH, errno.ENODEV, errno.EPIPE, errno.EINVAL}
)
"""Failures of a send that come before the kernel gives a stamp its number; the others come after."""


class TransmitStamps:
    """Which transmit stamp belongs to which packet.

    The kernel numbers packets that ask for stamps. Since Linux 6.13 the sender names the number with the packet;
    before, the kernel counts, and this class counts along.
    """

    def __init__(self, *, named: bool) -> None:
        self._named = named
        self._next = 0
        self._waiting: dict[int, tuple[int, int, bytes]] = {}

    def request(self, flags: int) -> list[Item]:
        """The ancillary data that asks for the stamps of the next packet."""
        items = [(SOL_SOCKET, linux.SO_TIMESTAMPING, _U32.pack(flags & STAMPS_ON_REQUEST))]
        if self._named:
            items.append((SOL_SOCKET, linux.SCM_TS_OPT_ID, _U32.pack(self._next)))
        return items

    def sent(self, key: int, flags: int, packet: bytes) -> None:
        """The packet that asked is on its way."""
        if len(self._waiting) >= MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[self._next] = (key, flags, packet)
        self._advance()

    def failed(self, number: int) -> None:
        """The packet that asked was refused with that errno."""
        if number not in _NOT_COUNTED:
            self._advance()

    def _advance(self) -> None:
        self._next = self._next + 1 & 0xFFFFFFFF

    def take(self, ancillary: list[Item]) -> tuple[int, int, bool, bytes] | None:
        """Key, stamp, whether it is that of scheduling, and packet, from an entry of the error queue.

        None: not a stamp, or of a packet no longer known.
        """
        stamp = kind = number = 0
        origin = -1
        for level, item, content in ancillary:
            if level == SOL_SOCKET and item == linux.SO_TIMESTAMPING:
                stamp = stamp_of(content)
            elif (level, item) in _ERROR_ITEMS:
                _, origin, _, _, _, kind, number = _EXTENDED_ERROR.unpack_from(content)
        if origin != linux.SO_EE_ORIGIN_TIMESTAMPING:
            return None
        scheduled = kind == linux.SCM_TSTAMP_SCHED
        known = self._packet(number, scheduled)
        return None if known is None else (known[0], stamp, scheduled, known[1])

    def _packet(self, number: int, scheduled: bool) -> tuple[int, bytes] | None:
        """Key and packet; the last stamp it asked for ends its entry."""
        entry = self._waiting.get(number)
        if entry is None:
            return None
        key, flags, packet = entry
        if not scheduled or not flags & linux.SOF_TIMESTAMPING_TX_SOFTWARE:
            del self._waiting[number]
        return key, packet
