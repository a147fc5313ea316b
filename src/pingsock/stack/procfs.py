"""The text of /proc/net/icmp and /proc/net/icmp6.

Only sockets that own an ident are shown, each in the file of its family, by bucket and newest first within one.
"""

from __future__ import annotations

import struct

from pingsock.stack.sockaddr import ANY
from pingsock.wire.linux import AF_INET, AF_INET6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.stack.endpoint import Endpoint
    from pingsock.stack.idents import IdentTable

LINE_LENGTH = 127
HEADER4 = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops"
)
HEADER6 = (
    "  sl  local_address                         remote_address                        "
    "st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops"
)
CONNECTED, UNCONNECTED = 1, 7
REFERENCES = 2


def proc_net_icmp(idents: IdentTable) -> str:
    """All IPv4 sockets; every line is padded with blanks to 127 characters."""
    lines = [HEADER4, *(_line(idents, endpoint) for endpoint in idents if endpoint.family == AF_INET)]
    return "".join(f"{line:<{LINE_LENGTH}}\n" for line in lines)


def proc_net_icmp6(idents: IdentTable) -> str:
    """All IPv6 sockets; lines are not padded."""
    lines = [HEADER6, *(_line(idents, endpoint) for endpoint in idents if endpoint.family == AF_INET6)]
    return "".join(f"{line}\n" for line in lines)


def _line(idents: IdentTable, endpoint: Endpoint) -> str:
    peer = endpoint.peer
    state = CONNECTED if peer else UNCONNECTED
    remote, port = (peer.address, peer.port) if peer else (ANY[endpoint.family], 0)
    return (
        f"{idents.bucket(endpoint.ident):5}: {_hex(endpoint.receive_address)}:{endpoint.ident:04X} "
        f"{_hex(remote)}:{port:04X} {state:02X} 00000000:{endpoint.charged:08X} 00:00000000 00000000 "
        f"{endpoint.credentials.uid:5}        0 {endpoint.number} {REFERENCES} {endpoint.number:016x} {endpoint.drops}"
    )


def _hex(address: bytes) -> str:
    """An address as the 32-bit words of this machine's memory."""
    return "".join(f"{word:08X}" for (word,) in struct.iter_unpack("=I", address))
