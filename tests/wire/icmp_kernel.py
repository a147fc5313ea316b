"""The kernel as the other end of ICMP; runs as a program in a network namespace of its own.

Each line asks with the bytes of one message, `4 HEX` or `6 HEX` (checksum right between ::1 and ::1), sent to the
loopback address; the answer is the next message of another type that comes back, in hex, or `nothing`.
`port 4` and `port 6` send a datagram to a closed port instead.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from pathlib import Path

SYSCTL = Path("/proc/sys/net/ipv4/icmp_echo_enable_probe")
ADDRESS = {"4": "127.0.0.1", "6": "::1"}
FAMILY = {"4": socket.AF_INET, "6": socket.AF_INET6}
PROTOCOL = {"4": socket.IPPROTO_ICMP, "6": socket.IPPROTO_ICMPV6}
CLOSED_PORT = 9


def _answer(raw: socket.socket, version: str, own_type: int) -> str:
    while select.select([raw], [], [], 2)[0]:
        packet = raw.recv(5000)
        message = packet[(packet[0] & 0xF) * 4 :] if version == "4" else packet
        if message[0] != own_type:
            return message.hex()
    return "nothing"


def _ask(raw: socket.socket, version: str, message: bytes) -> str:
    raw.sendto(message, (ADDRESS[version], 0))
    return _answer(raw, version, message[0])


def _knock(raw: socket.socket, version: str) -> str:
    with socket.socket(FAMILY[version], socket.SOCK_DGRAM) as sender:
        sender.bind((ADDRESS[version], 4242))
        sender.sendto(b"knock", (ADDRESS[version], CLOSED_PORT))
    return _answer(raw, version, -1)


def main() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    if SYSCTL.exists():
        SYSCTL.write_text("1")
    raw = {version: socket.socket(FAMILY[version], socket.SOCK_RAW, PROTOCOL[version]) for version in ADDRESS}
    print("ready", flush=True)
    for line in sys.stdin:
        verb, argument = line.split()
        answer = _knock(raw[argument], argument) if verb == "port" else _ask(raw[verb], verb, bytes.fromhex(argument))
        print(answer, flush=True)


if __name__ == "__main__":
    main()
