"""Settings of a ping socket that differ between the families, and the devices of this host. All raise OSError."""

from __future__ import annotations

import os
import socket
from array import array
from fcntl import ioctl
from socket import AF_INET, AF_INET6, inet_ntop
from struct import Struct

from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.sockets.choose import PingSocket

_HOP_LIMIT_OPTIONS = {
    True: ((linux.SOL_IP, linux.IP_MULTICAST_TTL), (linux.SOL_IP, linux.IP_TTL)),
    False: ((linux.SOL_IPV6, linux.IPV6_MULTICAST_HOPS), (linux.SOL_IPV6, linux.IPV6_UNICAST_HOPS)),
}
"""By "is it IPv4": groups first, as iputils sets them."""

_SIOCGIFCONF = 0x8912
_IFCONF = Struct("@iP")
_IFREQ = Struct("@16sH2s4s16x")
"""ifr_name and a sockaddr_in; the union behind the name is 24 bytes on 64-bit systems."""
_MOST_INTERFACES = 4096


def set_hop_limit(sock: PingSocket, hop_limit: int) -> None:
    """TTL or hop limit of all that is sent, to groups too. EINVAL for 0 with IPv4."""
    for level, option in _HOP_LIMIT_OPTIONS[sock.family == AF_INET]:
        sock.setsockopt(level, option, hop_limit)


def bind_to_device(sock: PingSocket, device: str) -> None:
    """Send and receive by one device, or VRF, only. ENODEV if there is none of that name."""
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, os.fsencode(device) + b"\0")


def keep_whole(sock: PingSocket) -> None:
    """Never fragment: what is larger than the MTU is refused with EMSGSIZE."""
    if sock.family == AF_INET:
        sock.setsockopt(linux.SOL_IP, linux.IP_MTU_DISCOVER, linux.IP_PMTUDISC_DO)
    else:
        sock.setsockopt(linux.SOL_IPV6, linux.IPV6_MTU_DISCOVER, linux.IPV6_PMTUDISC_DO)


def device_has_address(device: str, family: int, address: str) -> bool:
    """Whether `address`, without a scope, belongs to that device itself."""
    return (device, address) in (_addresses4() if family == AF_INET else _addresses6())


def _addresses4() -> set[tuple[str, str]]:
    room = array("B", bytes(_MOST_INTERFACES * _IFREQ.size))
    with socket.socket(AF_INET, socket.SOCK_DGRAM) as sock:
        answer = ioctl(sock.fileno(), _SIOCGIFCONF, _IFCONF.pack(len(room), room.buffer_info()[0]))
    used = _IFCONF.unpack(answer)[0]
    entries = (_IFREQ.unpack_from(room, at) for at in range(0, used, _IFREQ.size))
    return {(os.fsdecode(name.rstrip(b"\0")), inet_ntop(AF_INET, packed)) for name, _, _, packed in entries}


def _addresses6() -> set[tuple[str, str]]:
    with open("/proc/net/if_inet6", encoding="utf-8", errors="surrogateescape") as table:
        rows = [line.split() for line in table]
    return {(row[5], inet_ntop(AF_INET6, bytes.fromhex(row[0]))) for row in rows}
