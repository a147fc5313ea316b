"""What passes on a lab's links, as a file that tcpdump and Wireshark read."""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from pingsock.lab.links import Interface

_FILE_HEADER = Struct("<IHHiIII")
_RECORD_HEADER = Struct("<IIII")
_NANOSECOND_MAGIC = 0xA1B23C4D
_RAW_IP = 101
_LARGEST = 0x40000


class PcapWriter:
    """Writes packets to an open binary file; add its `observe` to `Network.observers`.

    With `sender`, only packets which that interface puts on its link. Times are the network's monotonic ones plus
    its epoch.
    """

    def __init__(self, file: BinaryIO, sender: Interface | None = None) -> None:
        self._file = file
        self._sender = sender
        file.write(_FILE_HEADER.pack(_NANOSECOND_MAGIC, 2, 4, 0, 0, _LARGEST, _RAW_IP))

    def observe(self, now: float, sender: Interface, packet: bytes) -> None:
        """Write one packet."""
        if self._sender in (None, sender):
            # Added as integers: a float of today's date is good for a quarter of a microsecond only.
            stamp = round(sender.node.network.epoch * 1e6) * 1000 + round(now * 1e9)
            seconds, nanoseconds = divmod(stamp, 1_000_000_000)
            self._file.write(_RECORD_HEADER.pack(seconds, nanoseconds, len(packet), len(packet)) + packet)
