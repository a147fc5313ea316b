"""An interpreter of classic BPF, for SO_ATTACH_FILTER on sockets that no kernel holds (bpf(4), linux/filter.h).

A program is a list of instructions (code, jt, jf, k). It returns how many bytes of the packet to keep; 0 drops it.
"""

from __future__ import annotations

import struct
from errno import EINVAL

from pingsock.stack.failure import failure
from pingsock.wire.linux import SOCK_FILTER_LAYOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAXIMUM_INSTRUCTIONS = 4096
MEMORY_WORDS = 16
_WORD = 0xFFFFFFFF

# Instruction classes (the three low bits of a code).
LD, LDX, ST, STX, ALU, JMP, RET, MISC = range(8)
# Sizes and modes of loads.
SIZES = {0x00: 4, 0x08: 2, 0x10: 1}
IMM, ABS, IND, MEM, LEN, MSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
# Where an operand comes from.
FROM_X = 0x08

ARITHMETIC: dict[int, Callable[[int, int], int]] = {
    0x00: lambda a, b: a + b,
    0x10: lambda a, b: a - b,
    0x20: lambda a, b: a * b,
    0x30: lambda a, b: a // b,
    0x40: lambda a, b: a | b,
    0x50: lambda a, b: a & b,
    0x60: lambda a, b: a << (b & 31),
    0x70: lambda a, b: a >> (b & 31),
    0x80: lambda a, _b: -a,
    0x90: lambda a, b: a % b,
    0xA0: lambda a, b: a ^ b,
}
DIVISION, MODULO = 0x30, 0x90

COMPARISONS: dict[int, Callable[[int, int], bool]] = {
    0x10: lambda a, b: a == b,
    0x20: lambda a, b: a > b,
    0x30: lambda a, b: a >= b,
    0x40: lambda a, b: a & b != 0,
}
JUMP_ALWAYS = 0x00


class SocketFilter:
    """One checked program."""

    def __init__(self, program: bytes) -> None:
        """`program` is an array of `struct sock_filter`; EINVAL if the kernel would refuse it."""
        size = struct.calcsize(SOCK_FILTER_LAYOUT)
        if not program or len(program) % size or len(program) // size > MAXIMUM_INSTRUCTIONS:
            raise failure(EINVAL)
        self._program = list(struct.iter_unpack(SOCK_FILTER_LAYOUT, program))
        self._check()

    def _check(self) -> None:
        last = len(self._program) - 1
        for index, instruction in enumerate(self._program):
            if not (_is_known(instruction) and _jumps_within(index, last, instruction)):
                raise failure(EINVAL)
        if self._program[-1][0] & 7 != RET:
            raise failure(EINVAL)

    def keeps(self, packet: bytes) -> int:
        """Bytes of `packet` to keep. A load outside the packet or a division by zero drops it, as in the kernel."""
        try:
            return _run(self._program, packet)
        except (IndexError, ZeroDivisionError):
            return 0


def _is_known(instruction: tuple[int, int, int, int]) -> bool:
    code, _jt, _jf, k = instruction
    kind = code & 7
    if kind in (LD, LDX):
        mode = code & 0xE0
        return code & 0x18 in SIZES and mode in (IMM, ABS, IND, MEM, LEN, MSH) and (mode != MEM or k < MEMORY_WORDS)
    if kind in (ST, STX):
        return k < MEMORY_WORDS
    if kind == ALU:
        divides_by_zero = code & 0xF0 in (DIVISION, MODULO) and not code & FROM_X and k == 0
        return code & 0xF0 in ARITHMETIC and not divides_by_zero
    if kind == JMP:
        return code & 0xF0 == JUMP_ALWAYS or code & 0xF0 in COMPARISONS
    return True


def _jumps_within(index: int, last: int, instruction: tuple[int, int, int, int]) -> bool:
    code, jt, jf, k = instruction
    if code & 7 != JMP:
        return True
    return index + 1 + (k if code & 0xF0 == JUMP_ALWAYS else max(jt, jf)) <= last


def _load(packet: bytes, offset: int, size: int) -> int:
    if offset < 0 or offset + size > len(packet):
        raise IndexError(offset)
    return int.from_bytes(packet[offset : offset + size], "big")


def _fetch(code: int, k: int, packet: bytes, index_register: int, memory: list[int]) -> int:
    mode = code & 0xE0
    if mode == IMM:
        return k
    if mode == MEM:
        return memory[k]
    if mode == LEN:
        return len(packet)
    if mode == MSH:
        return 4 * (_load(packet, k, 1) & 15)
    return _load(packet, k + (index_register if mode == IND else 0), SIZES[code & 0x18])


def _run(program: list[tuple[int, int, int, int]], packet: bytes) -> int:
    a = x = at = 0
    memory = [0] * MEMORY_WORDS
    while True:
        code, jt, jf, k = program[at]
        at += 1
        kind = code & 7
        operand = x if code & FROM_X else k
        if kind == LD:
            a = _fetch(code, k, packet, x, memory)
        elif kind == LDX:
            x = _fetch(code, k, packet, x, memory)
        elif kind == ST:
            memory[k] = a
        elif kind == STX:
            memory[k] = x
        elif kind == ALU:
            a = ARITHMETIC[code & 0xF0](a, operand) & _WORD
        elif kind == JMP:
            at += k if code & 0xF0 == JUMP_ALWAYS else (jt if COMPARISONS[code & 0xF0](a, operand) else jf)
        elif kind == RET:
            return a if code & 0x18 == 0x10 else k
        elif code & 0xF8:
            a = x
        else:
            x = a
