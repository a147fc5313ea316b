"""Classic BPF programs: their instructions, and which programs a kernel refuses (linux/bpf_common.h, linux/filter.h).

A program that passes `check` ends with a return, jumps forward and inside only, and reads no word of its memory that
it has not written on every way there.
"""

from __future__ import annotations

from errno import EINVAL

from pingsock.stack.failure import failure
from pingsock.wire.bpf import MOST_INSTRUCTIONS

Instruction = tuple[int, int, int, int]
"""code, jt, jf, k."""

MEMORY_WORDS = 16
WORD_BITS = 32

# Instruction classes (the three low bits of a code).
LD, LDX, ST, STX, ALU, JMP, RET, MISC = range(8)
# Sizes and modes of loads.
SIZES = {0x00: 4, 0x08: 2, 0x10: 1}
IMM, ABS, IND, MEM, LEN, MSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
# Where an operand comes from.
FROM_X = 0x08
# Arithmetic, jumps.
DIVISION, LEFT_SHIFT, RIGHT_SHIFT, NEGATION, MODULO = 0x30, 0x60, 0x70, 0x80, 0x90
BINARY_ARITHMETIC = (0x00, 0x10, 0x20, DIVISION, 0x40, 0x50, LEFT_SHIFT, RIGHT_SHIFT, MODULO, 0xA0)
JUMP_ALWAYS = 0x00
BRANCHES = (0x10, 0x20, 0x30, 0x40)
RETURN_K, RETURN_A = RET, RET | 0x10
TAX, TXA = MISC, MISC | 0x80

MEMORY_READS = frozenset((LD | MEM, LDX | MEM))
MEMORY_WRITES = frozenset((ST, STX))
CODES = frozenset(
    (
        *(LD | mode | size for mode in (ABS, IND) for size in SIZES),
        *(kind | mode for kind in (LD, LDX) for mode in (IMM, MEM, LEN)),
        LDX | MSH | 0x10,
        *MEMORY_WRITES,
        *(ALU | operation | source for operation in BINARY_ARITHMETIC for source in (0, FROM_X)),
        ALU | NEGATION,
        JMP | JUMP_ALWAYS,
        *(JMP | branch | source for branch in BRANCHES for source in (0, FROM_X)),
        RETURN_K,
        RETURN_A,
        TAX,
        TXA,
    )
)
"""Every instruction there is."""


class AncillaryLoad:
    """Absolute offsets that load no bytes of the packet, as unsigned numbers (SKF_AD_OFF and on)."""

    FIRST = 0xFFFFF000
    (
        PROTOCOL,
        PACKET_TYPE,
        INTERFACE,
        ATTRIBUTE,
        NESTED_ATTRIBUTE,
        MARK,
        QUEUE,
        HARDWARE_TYPE,
        HASH,
        CPU,
        XOR_X,
        VLAN_TAG,
        VLAN_TAG_PRESENT,
        PAYLOAD_OFFSET,
        RANDOM,
        VLAN_PROTOCOL,
    ) = KNOWN = range(FIRST, FIRST + 64, 4)


def check(program: list[Instruction]) -> list[Instruction]:
    """The program itself; EINVAL if the kernel would refuse it."""
    if not 0 < len(program) <= MOST_INSTRUCTIONS or program[-1][0] not in (RETURN_K, RETURN_A):
        raise failure(EINVAL)
    for at, instruction in enumerate(program):
        if not _is_legal(instruction) or any(target >= len(program) for target in _targets(at, instruction)):
            raise failure(EINVAL)
    if _reads_unwritten_memory(program):
        raise failure(EINVAL)
    return program


def _is_legal(instruction: Instruction) -> bool:
    code, _jt, _jf, k = instruction
    if code not in CODES:
        return False
    if code in (ALU | DIVISION, ALU | MODULO):
        return k != 0
    if code in (ALU | LEFT_SHIFT, ALU | RIGHT_SHIFT):
        return k < WORD_BITS
    if code in MEMORY_READS or code in MEMORY_WRITES:
        return k < MEMORY_WORDS
    if code & 0xE7 == LD | ABS and k >= AncillaryLoad.FIRST:
        return k in AncillaryLoad.KNOWN
    return True


def _targets(at: int, instruction: Instruction) -> tuple[int, ...]:
    """Where a jump at `at` may lead; nowhere for what is no jump."""
    code, jt, jf, k = instruction
    if code & 7 != JMP:
        return ()
    return (at + 1 + k,) if code == JMP | JUMP_ALWAYS else (at + 1 + jt, at + 1 + jf)


def _reads_unwritten_memory(program: list[Instruction]) -> bool:
    """Whether some way through the program reads a word before it was written; one bit a word.

    As in the kernel what stands behind a return counts as reached from it.
    """
    everything = (1 << MEMORY_WORDS) - 1
    written_before = [everything] * len(program)
    written = 0
    for at, instruction in enumerate(program):
        code, _jt, _jf, k = instruction
        written &= written_before[at]
        if code in MEMORY_WRITES:
            written |= 1 << k
        elif code in MEMORY_READS and not written >> k & 1:
            return True
        elif targets := _targets(at, instruction):
            for target in targets:
                written_before[target] &= written
            written = everything
    return False
