"""What a seccomp filter decides, found out without a kernel of the machine it is for."""

from __future__ import annotations

import struct

LOAD_WORD, AND, JUMP, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06


def verdict(program: bytes, audit: int, number: int, arguments: list[int]) -> int:
    """The action for one call. Fails for an instruction that seccomp does not take."""
    data = struct.pack("<iIQ6Q", number, audit, 0, *arguments)
    instructions = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        code, then, otherwise, operand = instructions[at]
        at += 1
        if code == LOAD_WORD:
            accumulator = int.from_bytes(data[operand : operand + 4], "little")
        elif code == AND:
            accumulator &= operand
        elif code == JUMP:
            at += operand
        elif code in (JUMP_EQUAL, JUMP_AT_LEAST):
            holds = accumulator == operand if code == JUMP_EQUAL else accumulator >= operand
            at += then if holds else otherwise
        else:
            assert code == RETURN
            return int(operand)
