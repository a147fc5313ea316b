"""Settings of a ping socket that differ between the families, and the devices of this host. All raise OSError."""

from __future__ import annotations

import errno
import os
from _socket import AF_INET, AF_INET6, SOCK_DGRAM, if_nametoindex, inet_pton, socket
from struct import Struct

from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pingsock.sockets.choose import PingSocket

    AnySocket = PingSocket | socket

_HOP_LIMITS = {
    AF_INET: (linux.SOL_IP, linux.IP_TTL),
    AF_INET6: (linux.SOL_IPV6, linux.IPV6_UNICAST_HOPS),
}
_GROUP_HOP_LIMITS = {
    AF_INET: (linux.SOL_IP, linux.IP_MULTICAST_TTL),
    AF_INET6: (linux.SOL_IPV6, linux.IPV6_MULTICAST_HOPS),
}
_TRAFFIC_CLASSES = {AF_INET: (linux.SOL_IP, linux.IP_TOS), AF_INET6: (linux.SOL_IPV6, linux.IPV6_TCLASS)}
_MTU_DISCOVERIES = {
    AF_INET: (linux.SOL_IP, linux.IP_MTU_DISCOVER),
    AF_INET6: (linux.SOL_IPV6, linux.IPV6_MTU_DISCOVER),
}
_GROUP_LOOPS = {
    AF_INET: (linux.SOL_IP, linux.IP_MULTICAST_LOOP),
    AF_INET6: (linux.SOL_IPV6, linux.IPV6_MULTICAST_LOOP),
}
_MREQN = Struct("=4s4si")
_FLOW_LABEL_AT = 16
_FLOW_LABEL_REQUEST = Struct("=2B3H4x")
"""What stands behind destination (16) and label (4) in struct in6_flowlabel_req: action, share, flags, two times."""
_FLOW_GET, _FLOW_EXCLUSIVE, _FLOW_CREATE = 0, 1, 1

_NOP, _RECORD_ROUTE, _TIMESTAMP, _LOOSE_ROUTE, _STRICT_ROUTE = 1, 7, 68, 131, 137
_FIRST_SLOT, _FIRST_STAMP = 4, 5
_ROUTE_SLOTS = 9
TIMES_ONLY, TIMES_GIVEN = 0, 3
_STAMPS_BYTES = {TIMES_ONLY: 40}
_STAMPS_BYTES_ELSE = 36

_SIOCGIFADDR = 0x8915
_IFREQ = Struct("@16sH2s4s16x")
"""ifr_name and a sockaddr_in; the union behind the name is 24 bytes on 64-bit systems."""


def set_hop_limit(sock: PingSocket, hop_limit: int) -> None:
    """TTL or hop limit of what is sent to hosts. EINVAL for 0 with IPv4."""
    sock.setsockopt(*_HOP_LIMITS[sock.family], hop_limit)


def set_group_hop_limit(sock: PingSocket, hop_limit: int) -> None:
    """TTL or hop limit of what is sent to groups."""
    sock.setsockopt(*_GROUP_HOP_LIMITS[sock.family], hop_limit)


def set_traffic_class(sock: AnySocket, traffic_class: int) -> None:
    """Type of service or traffic class of all that is sent."""
    sock.setsockopt(*_TRAFFIC_CLASSES[sock.family], traffic_class)


def set_mtu_discovery(sock: PingSocket, how: int) -> None:
    """What becomes of packets larger than the MTU: one of IP_PMTUDISC_*, which are the same for both families."""
    sock.setsockopt(*_MTU_DISCOVERIES[sock.family], how)


def do_not_loop(sock: PingSocket) -> None:
    """Keep what is sent to groups from coming back to this host."""
    sock.setsockopt(*_GROUP_LOOPS[sock.family], 0)


def bind_to_device(sock: AnySocket, device: str) -> None:
    """Send and receive by one device, or VRF, only. ENODEV if there is none of that name."""
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, os.fsencode(device) + b"\0")


def send_groups_by(sock: AnySocket, device: str) -> None:
    """Send to IPv4 groups by this device, for kernels that let only root bind to one."""
    request = _MREQN.pack(bytes(4), bytes(4), if_nametoindex(device))
    sock.setsockopt(linux.SOL_IP, linux.IP_MULTICAST_IF, request)


def set_mark(sock: AnySocket, mark: int) -> None:
    """Mark what is sent, for routing rules and firewalls. EPERM without CAP_NET_ADMIN or CAP_NET_RAW."""
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_MARK, mark if mark < 2**31 else mark - 2**32)


def set_switch(sock: AnySocket, option: int) -> None:
    """Switch an option of SOL_SOCKET on: SO_BROADCAST, SO_DEBUG, SO_DONTROUTE."""
    sock.setsockopt(linux.SOL_SOCKET, option, 1)


def set_send_buffer(sock: PingSocket, size: int) -> None:
    """Size of the send buffer in bytes, at most what the system allows."""
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_SNDBUF, size)


def enlarge_receive_buffer(sock: PingSocket, size: int) -> bool:
    """See that the receive buffer has so many bytes; False if the system does not allow it."""
    held: int = sock.getsockopt(linux.SOL_SOCKET, linux.SO_RCVBUF)
    if held < size:
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_RCVBUF, min(size, 2**31 - 1))
        held = sock.getsockopt(linux.SOL_SOCKET, linux.SO_RCVBUF)
    return held >= size


def stop_stamping(sock: PingSocket) -> None:
    """No time stamps of the kernel."""
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING, 0)


def choose_flow_label(sock: PingSocket, destination: str, label: int) -> int:
    """Lease a flow label, `label` or for 0 one of the kernel's choice, and have it sent; returns it.

    To be sent it has to be in the address as well.
    """
    wanted = _FLOW_LABEL_REQUEST.pack(_FLOW_GET, _FLOW_EXCLUSIVE, _FLOW_CREATE, 0, 0)
    # The kernel writes its choice into the request.
    request = bytearray(inet_pton(AF_INET6, destination) + label.to_bytes(4, "big") + wanted)
    try:
        sock.setsockopt(linux.SOL_IPV6, linux.IPV6_FLOWLABEL_MGR, request)
    except OSError as error:
        # A socket of our own layer has nobody to lease from, and sends any label.
        if error.errno != errno.ENOPROTOOPT:
            raise
        request[_FLOW_LABEL_AT : _FLOW_LABEL_AT + 4] = (label or _random_flow_label()).to_bytes(4, "big")
    sock.setsockopt(linux.SOL_IPV6, linux.IPV6_FLOWINFO_SEND, 1)
    return int.from_bytes(request[_FLOW_LABEL_AT : _FLOW_LABEL_AT + 4], "big")


def _random_flow_label() -> int:
    return 1 + int.from_bytes(os.urandom(4), "big") % 0xFFFFF


# IPv4 options (RFC 791, section 3.1)


def show_options(sock: PingSocket) -> None:
    """Have the IP options of replies delivered with them."""
    sock.setsockopt(linux.SOL_IP, linux.IP_RETOPTS, 1)


def record_route(sock: PingSocket) -> None:
    """Let every host on the way, there and back, write its address into the packet, up to nine."""
    room = bytes(4 * _ROUTE_SLOTS)
    option = bytes([_NOP, _RECORD_ROUTE, 3 + len(room), _FIRST_SLOT]) + room
    sock.setsockopt(linux.SOL_IP, linux.IP_OPTIONS, option)


def set_source_route(sock: PingSocket, hops: Sequence[str], *, strict: bool) -> None:
    """Send by these hosts, `strict` by no others. EPERM without CAP_NET_RAW."""
    route = b"".join(inet_pton(AF_INET, hop) for hop in hops)
    kind = _STRICT_ROUTE if strict else _LOOSE_ROUTE
    sock.setsockopt(linux.SOL_IP, linux.IP_OPTIONS, bytes([_NOP, kind, 3 + len(route), _FIRST_SLOT]) + route)


def record_times(sock: PingSocket, kind: int, hosts: Sequence[str] = ()) -> None:
    """Let hosts on the way write the time into the packet: every one, or with TIMES_GIVEN `hosts`."""
    size = _STAMPS_BYTES.get(kind, _STAMPS_BYTES_ELSE)
    entries = (
        b"".join(inet_pton(AF_INET, host) + bytes(4) for host in hosts) if kind == TIMES_GIVEN else bytes(size - 4)
    )
    option = bytes([_TIMESTAMP, 4 + len(entries), _FIRST_STAMP, kind]) + entries
    sock.setsockopt(linux.SOL_IP, linux.IP_OPTIONS, option)


# Devices


def device_has_address(device: str, family: int, address: str) -> bool:
    """Whether `address`, without a scope, belongs to that device itself."""
    if family == AF_INET:
        return _device_has4(device, inet_pton(AF_INET, address))
    with open("/proc/net/if_inet6", encoding="utf-8", errors="surrogateescape") as table:
        rows = [line.split() for line in table]
    return any(row[5] == device and row[0] == inet_pton(AF_INET6, address).hex() for row in rows)


def _device_has4(device: str, address: bytes) -> bool:
    """The kernel answers with the address asked about if the device has it, else with the device's first (inet(4))."""
    from fcntl import ioctl  # lazy: an extension module of its own

    probe = socket(AF_INET, SOCK_DGRAM)
    try:
        answer = ioctl(probe.fileno(), _SIOCGIFADDR, _IFREQ.pack(os.fsencode(device), AF_INET, b"", address))
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.EADDRNOTAVAIL):
            return False
        raise
    finally:
        probe.close()
    has: bool = _IFREQ.unpack(answer)[3] == address
    return has
