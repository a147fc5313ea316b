"""The kernel's hands on IPv4 options, asked line by line; runs as a program in a network namespace of its own.

set HEX [user]   -> what getsockopt(IP_OPTIONS) shows after setsockopt, or the errno's name; `user`: no capabilities
out HEX DEST     -> IP destination and options as the packet leaves, for a datagram to DEST
in HEX           -> IP_RECVOPTS, IP_RETOPTS (or -) of a datagram that arrived with these options, or `dropped`
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
from pathlib import Path

from pingsock.wire.ipv4 import IPv4Header, build_ipv4, parse_ipv4_untrusted

HERE, THERE = "10.77.0.1", "10.77.0.2"
PORT, SENTINEL = 7777, b"sentinel"
IP_OPTIONS, IP_RECVOPTS, IP_RETOPTS = 4, 6, 7
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_PROTOCOL_UDP = 17
_SYSCTLS = {
    "ipv6/conf/tun0/disable_ipv6": "1",
    "ipv4/conf/all/accept_source_route": "1",
    "ipv4/conf/tun0/accept_source_route": "1",
    "ipv4/conf/all/rp_filter": "0",
}


def _make_tun() -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH", b"tun0", _IFF_TUN | _IFF_NO_PI))
    for setting in (
        "ipv6.conf.tun0.disable_ipv6=1",
        "ipv4.conf.all.accept_source_route=1",
        "ipv4.conf.all.rp_filter=0",
    ):
        name, _, value = setting.partition("=")
        Path("/proc/sys/net", *name.split(".")).write_text(value)
    Path("/proc/sys/net/ipv4/conf/tun0/accept_source_route").write_text("1")
    for command in (f"addr add {HERE}/24 dev tun0", "link set tun0 up", "link set lo up"):
        subprocess.run(["ip", *command.split()], check=True)
    return tun


def _set(options: bytes) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.SOL_IP, IP_OPTIONS, options)
            return probe.getsockopt(socket.SOL_IP, IP_OPTIONS, 64).hex() or "-"
        except OSError as error:
            return errno.errorcode[error.errno or 0]


def _set_as_user(options: bytes) -> str:
    command = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", sys.executable, __file__, options.hex() or "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _drain(tun: int) -> None:
    """Take what the kernel sent on its own: parameter problems about what it dropped."""
    while select.select([tun], [], [], 0)[0]:
        os.read(tun, 2000)


def _out(tun: int, options: bytes, destination: str) -> str:
    _drain(tun)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_IP, IP_OPTIONS, options)
        sender.sendto(b"", (destination, PORT))
    if not select.select([tun], [], [], 5)[0]:
        return "nothing left"
    header, _ = parse_ipv4_untrusted(os.read(tun, 2000))
    return f"{socket.inet_ntoa(header.destination)} {header.options.hex() or '-'}"


def _in(tun: int, receiver: socket.socket, options: bytes) -> str:
    source, destination = socket.inet_aton(THERE), socket.inet_aton(HERE)
    for packed, payload in ((options, b""), (b"", SENTINEL)):
        datagram = struct.pack("!HHHH", PORT, PORT, 8 + len(payload), 0) + payload
        header = IPv4Header(source, destination, _PROTOCOL_UDP, options=packed)
        os.write(tun, build_ipv4(header, datagram))
    data, controls, _, _ = receiver.recvmsg(100, 1000)
    if data == SENTINEL:
        return "dropped"
    receiver.recv(100)
    found = {kind: contents.hex() or "-" for _, kind, contents in controls}
    return f"{found.get(IP_RECVOPTS, '-')} {found.get(IP_RETOPTS, 'none')}"


def main() -> None:
    tun = _make_tun()
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind((HERE, PORT))
    receiver.settimeout(10)
    receiver.setsockopt(socket.SOL_IP, IP_RECVOPTS, 1)
    receiver.setsockopt(socket.SOL_IP, IP_RETOPTS, 1)
    print("ready", flush=True)
    for line in sys.stdin:
        verb, text, *rest = line.split()
        options = bytes.fromhex(text.strip("-"))
        if verb == "set":
            print(_set_as_user(options) if rest else _set(options), flush=True)
        elif verb == "out":
            print(_out(tun, options, rest[0]), flush=True)
        else:
            print(_in(tun, receiver, options), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(_set(bytes.fromhex(sys.argv[1].strip("-"))))
    else:
        main()
