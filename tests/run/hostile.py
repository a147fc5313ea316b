"""A program that makes nonsense of system calls on a ping socket, for some seconds, then asks for one reply.

Arguments: seed, rounds, the calls as name=number... It runs by itself, without anything of this project.
"""

from __future__ import annotations

import ctypes
import random
import signal
import socket
import sys

DONT_WAIT = 0x40


def main(seed: int, rounds: int, numbers: dict[str, int]) -> None:
    chance = random.Random(seed)
    libc = ctypes.CDLL(None, use_errno=True)
    memory = ctypes.create_string_buffer(1 << 16)
    start = ctypes.addressof(memory)
    opened = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) for _ in range(2)]
    opened.append(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6))
    signal.signal(signal.SIGALRM, lambda *_: None)
    # Whatever waits is interrupted.
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)

    def word() -> int:
        return chance.choice(
            (
                0,
                1,
                2,
                3,
                16,
                28,
                56,
                DONT_WAIT,
                0x2040,
                1024,
                5000,
                2**31 - 1,
                2**31,
                2**32 - 1,
                2**63,
                2**64 - 1,
                8,
                0x5421,
            )
        )

    def place() -> int:
        return start + chance.randrange(0, 1 << 16, 8) if chance.random() < 0.8 else word()

    for _ in range(rounds):
        at = chance.randrange(0, (1 << 16) - 512, 8)
        for offset in range(0, chance.randrange(8, 128), 8):
            content = (place() if chance.random() < 0.6 else word()).to_bytes(8, "little")
            ctypes.memmove(start + at + offset, content, len(content))
        name = chance.choice(list(numbers))
        second = start + at if chance.random() < 0.7 else word()
        arguments = [
            chance.choice(opened).fileno(),
            second,
            *(place() if chance.random() < 0.4 else word() for _ in range(4)),
        ]
        result = libc.syscall(ctypes.c_long(numbers[name]), *[ctypes.c_ulong(argument) for argument in arguments])
        if name in ("dup", "dup2", "dup3", "fcntl") and result > 2 and result not in [each.fileno() for each in opened]:
            libc.close(result)
    signal.setitimer(signal.ITIMER_REAL, 0)
    for each in opened:
        each.close()
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    one.settimeout(5)
    one.sendto(b"\x08" + bytes(7) + b"still there", ("127.0.0.1", 0))
    sys.stdout.write(f"{one.recv(100)[8:].decode()}\n")


if __name__ == "__main__":
    pairs = [word.split("=") for word in sys.argv[3:]]
    main(int(sys.argv[1]), int(sys.argv[2]), {name: int(number) for name, number in pairs})
