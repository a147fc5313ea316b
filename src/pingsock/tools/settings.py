"""Settings of a ping socket that differ between the families, and the devices of this host. All raise OSError."""

from __future__ import annotations

import os
from _socket import AF_INET, AF_INET6, SOCK_DGRAM, inet_pton, socket
from fcntl import ioctl
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

_SIOCGIFADDR = 0x8915
_IFREQ = Struct("@16sH2s4s16x")
"""ifr_name and a sockaddr_in; the union behind the name is 24 bytes on 64-bit systems."""


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
    if family == AF_INET:
        return _device_has4(device, inet_pton(AF_INET, address))
    with open("/proc/net/if_inet6", encoding="utf-8", errors="surrogateescape") as table:
        rows = [line.split() for line in table]
    return any(row[5] == device and row[0] == inet_pton(AF_INET6, address).hex() for row in rows)


def _device_has4(device: str, address: bytes) -> bool:
    """The kernel answers with the address asked about if the device has it, else with the device's first (inet(4))."""
    probe = socket(AF_INET, SOCK_DGRAM)
    try:
        answer = ioctl(probe.fileno(), _SIOCGIFADDR, _IFREQ.pack(os.fsencode(device), AF_INET, b"", address))
    except OSError:
        return False
    finally:
        probe.close()
    has: bool = _IFREQ.unpack(answer)[3] == address
    return has
