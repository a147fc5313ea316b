"""The program, in classic BPF, that decides which system calls are ours: assembled from the tables of `syscalls`.

Ours are socket(2) for ping sockets, and calls whose descriptor is in the range of numbers served sockets get.
Everything else is allowed at once; the kernel knows beforehand which system calls the filter allows whatever their
arguments, and does not even run it for those.

    struct seccomp_data   0: nr (i32)   4: arch (u32)   8: instruction pointer (u64)   16: six arguments (u64 each)

Only the lower half of an argument is read, as the kernel itself does with descriptors and small numbers.
"""

from __future__ import annotations

import struct

from pingsock.run.syscalls import FCNTL_COMMANDS, ON_DESCRIPTOR
from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.run.syscalls import Architecture

_INSTRUCTION = struct.Struct(linux.SOCK_FILTER_LAYOUT)

LOAD, AND, EQUAL, AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
"""Codes of linux/filter.h: BPF_LD | BPF_W | BPF_ABS, BPF_ALU | BPF_AND, BPF_JMP | BPF_JEQ or BPF_JGE, BPF_RET."""
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000
"""SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF."""
NUMBER_AT, ARCHITECTURE_AT = 0, 4
SOCKET_TYPE_MASK = 0xF

PING_PROTOCOLS = ((linux.AF_INET, linux.IPPROTO_ICMP), (linux.AF_INET6, linux.IPPROTO_ICMPV6))


def argument_at(number: int) -> int:
    """Where the lower half of an argument is, on a little-endian machine."""
    return 16 + 8 * number


class Assembler:
    """Collects instructions; jumps name labels that come later."""

    def __init__(self) -> None:
        self._instructions: list[tuple[int, int, str, str]] = []
        self._labels: dict[str, int] = {}

    def add(self, code: int, operand: int, then: str = "", otherwise: str = "") -> None:
        """One instruction; an empty label is the next instruction."""
        self._instructions.append((code, operand, then, otherwise))

    def label(self, name: str) -> None:
        """Name the place where the next instruction will be."""
        self._labels[name] = len(self._instructions)

    def to_bytes(self) -> bytes:
        """An array of struct sock_filter."""
        return b"".join(
            [
                _INSTRUCTION.pack(code, self._distance(at, then), self._distance(at, otherwise), operand)
                for at, (code, operand, then, otherwise) in enumerate(self._instructions)
            ]
        )

    def _distance(self, at: int, label: str) -> int:
        return self._labels[label] - at - 1 if label else 0


def filter_program(architecture: Architecture, descriptors: range) -> bytes:
    """The program for one architecture's table; other tables' calls are allowed (and the kernel's matter)."""
    program = Assembler()
    numbers = architecture.numbers
    program.add(LOAD, ARCHITECTURE_AT)
    program.add(EQUAL, architecture.audit, "", "allow")
    program.add(LOAD, NUMBER_AT)
    for name in ON_DESCRIPTOR:
        if name in numbers:
            program.add(EQUAL, numbers[name], "descriptor")
    program.add(EQUAL, numbers["fcntl"], "fcntl")
    program.add(EQUAL, numbers["socket"], "socket", "allow")
    _add_socket(program)
    _add_fcntl(program)
    program.label("descriptor")
    program.add(LOAD, argument_at(0))
    program.add(AT_LEAST, descriptors.start, "", "allow")
    program.add(AT_LEAST, descriptors.stop, "allow", "notify")
    program.label("allow")
    program.add(RETURN, ALLOW)
    program.label("notify")
    program.add(RETURN, NOTIFY)
    return program.to_bytes()


def _add_socket(program: Assembler) -> None:
    program.label("socket")
    program.add(LOAD, argument_at(1))
    program.add(AND, SOCKET_TYPE_MASK)
    program.add(EQUAL, linux.SOCK_DGRAM, "", "allow")
    program.add(LOAD, argument_at(0))
    for family, _protocol in PING_PROTOCOLS:
        program.add(EQUAL, family, f"family {family}")
    program.add(RETURN, ALLOW)
    for family, protocol in PING_PROTOCOLS:
        program.label(f"family {family}")
        program.add(LOAD, argument_at(2))
        program.add(EQUAL, protocol, "notify", "allow")


def _add_fcntl(program: Assembler) -> None:
    program.label("fcntl")
    program.add(LOAD, argument_at(1))
    for command in FCNTL_COMMANDS:
        program.add(EQUAL, command, "descriptor")
    program.add(RETURN, ALLOW)
