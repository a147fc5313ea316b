"""Classic BPF programs written as lines with labels, assembled to what the kernel takes (linux/filter.h).

Instructions are 8 bytes (code u16, jump if true u8, jump if false u8, operand u32); a jump counts the instructions to
skip. Notation here: A is the accumulator, X the index register, [n] a load at n.
"""

from __future__ import annotations

import struct
from array import array

from pingsock.wire.linux import SOCK_FILTER_LAYOUT, SOCK_FPROG_LAYOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeVar

    T = TypeVar("T")

    Line = tuple[str, int, int, str, str]
    """Label or "", code, operand, label to go to if true, if false; "" is the next line."""

LOAD_WORD = 0x20
"""A = 32 bits [operand]: big-endian of a packet, the machine's own order of a system call."""
LOAD_HALF = 0x28
"""A = big-endian 16 bits [operand]"""
LOAD_BYTE = 0x30
"""A = byte [operand]"""
LOAD_HALF_AT_X = 0x48
"""A = big-endian 16 bits [X + operand]"""
LOAD_BYTE_AT_X = 0x50
"""A = byte [X + operand]"""
LOAD_X_HEADER_LENGTH = 0xB1
"""X = 4 * (byte [operand] & 15), the length of an IPv4 header"""
ADD_X = 0x0C
AND = 0x54
SHIFT_LEFT = 0x64
X_IS_A = 0x07
JUMP = 0x05
JUMP_EQUAL = 0x15
JUMP_AT_LEAST = 0x35
RETURN = 0x06

_INSTRUCTION = struct.Struct(SOCK_FILTER_LAYOUT)
INSTRUCTION_SIZE = _INSTRUCTION.size
MOST_INSTRUCTIONS = 4096
"""BPF_MAXINSNS"""
_LONGEST_JUMP = 255
_HEAD = struct.Struct(SOCK_FPROG_LAYOUT)


def op(code: int, operand: int = 0, then: str = "", otherwise: str = "", *, label: str = "") -> Line:
    """One line of a program."""
    return label, code, operand, then, otherwise


def any_of(values: Iterable[int], then: str) -> list[Line]:
    """Go to `then` if A is one of `values`, else on."""
    return [op(JUMP_EQUAL, value, then) for value in values]


def labelled(label: str, lines: Sequence[Line]) -> list[Line]:
    """The same lines, the first with a label."""
    first, *rest = lines
    return [(label, *first[1:]), *rest]


def assemble(lines: Sequence[Line]) -> bytes:
    """The program with its labels resolved.

    ValueError: a jump leads back, or a conditional one over more than 255 lines. KeyError: no such label.
    """
    labels = {line[0]: at for at, line in enumerate(lines) if line[0]}
    return b"".join([_instruction(line, at, labels) for at, line in enumerate(lines)])


def _instruction(line: Line, at: int, labels: dict[str, int]) -> bytes:
    _, code, operand, then, otherwise = line
    jumps = [labels[label] - at - 1 if label else 0 for label in (then, otherwise)]
    if min(jumps) < 0 or (code != JUMP and max(jumps) > _LONGEST_JUMP):
        raise ValueError(f"a jump of {jumps} instructions to {then or otherwise!r} does not fit 8 bits")
    if code == JUMP:
        return _INSTRUCTION.pack(code, 0, 0, jumps[0])
    return _INSTRUCTION.pack(code, *jumps, operand)


def pass_to_kernel(instructions: bytes, take: Callable[[bytes], T]) -> T:
    """Call a function with the struct sock_fprog of a program, which points to memory that is there during the call."""
    memory = array("B", instructions)
    address, size = memory.buffer_info()
    return take(_HEAD.pack(size // INSTRUCTION_SIZE, address))


def taken_from(head: bytes, read: Callable[[int, int], bytes]) -> bytes:
    """The program a struct sock_fprog points to; `read` gives the bytes at an address, so many.

    Empty, which is no program, where the kernel says EINVAL without a look at the memory: for a structure of another
    size, for a null pointer, for no instruction and for too many.
    """
    if len(head) != _HEAD.size:
        return b""
    count, address = _HEAD.unpack(head)
    return read(address, count * INSTRUCTION_SIZE) if address and count <= MOST_INSTRUCTIONS else b""
