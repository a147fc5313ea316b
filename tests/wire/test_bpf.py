"""Lines with labels become instructions of classic BPF."""

from __future__ import annotations

import ctypes
import struct

import pytest

from pingsock.wire.bpf import (
    AND,
    JUMP,
    JUMP_EQUAL,
    LOAD_WORD,
    RETURN,
    any_of,
    assemble,
    labelled,
    op,
    pass_to_kernel,
    taken_from,
)


def instructions(program: bytes) -> list[tuple[int, ...]]:
    return list(struct.iter_unpack("=HBBI", program))


def test_an_instruction_is_code_jumps_and_operand() -> None:
    assert assemble([op(LOAD_WORD, 16), op(AND, 0xF), op(RETURN, 7)]) == struct.pack(
        "=HBBIHBBIHBBI", 0x20, 0, 0, 16, 0x54, 0, 0, 0xF, 0x06, 0, 0, 7
    )


def test_a_jump_counts_what_it_skips_and_an_empty_label_skips_nothing() -> None:
    program = [op(JUMP_EQUAL, 5, "far", "near"), op(JUMP_EQUAL, 6, "", "far"), op(RETURN, 0, label="near")]

    assert instructions(assemble([*program, op(RETURN, 1, label="far")]))[:2] == [(0x15, 2, 1, 5), (0x15, 0, 1, 6)]


def test_an_unconditional_jump_reaches_further() -> None:
    program = [op(JUMP, then="end"), *[op(RETURN, 0)] * 300, op(RETURN, 1, label="end")]

    assert instructions(assemble(program))[0] == (0x05, 0, 0, 300)


@pytest.mark.parametrize("jump", [op(JUMP_EQUAL, 1, "end"), op(JUMP_EQUAL, 1, "", "end")])
def test_a_conditional_jump_over_more_than_255_lines_is_an_error(jump: tuple[str, int, int, str, str]) -> None:
    between = [op(RETURN, 0)] * 255
    end = op(RETURN, 1, label="end")
    assert len(assemble([jump, *between, end])) == 257 * 8

    with pytest.raises(ValueError, match=r"256.*'end'"):
        assemble([jump, *between, op(RETURN, 0), end])


@pytest.mark.parametrize("code", [JUMP, JUMP_EQUAL])
def test_a_jump_back_is_an_error(code: int) -> None:
    with pytest.raises(ValueError, match="start"):
        assemble([op(RETURN, 0, label="start"), op(code, 0, "start")])


def test_a_label_that_is_nowhere_is_an_error() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        assemble([op(JUMP, then="nowhere")])


def test_any_of_several_values_leads_to_one_place() -> None:
    program = assemble(labelled("start", [*any_of([3, 4], "found"), op(RETURN, 0), op(RETURN, 1, label="found")]))

    assert instructions(program) == [(0x15, 2, 0, 3), (0x15, 1, 0, 4), (0x06, 0, 0, 0), (0x06, 0, 0, 1)]


def test_the_kernel_gets_a_count_and_a_pointer() -> None:
    program = assemble([op(LOAD_WORD, 0), op(RETURN, 1)])

    def read(head: bytes) -> bytes:
        count, address = struct.unpack("@HP", head)
        return ctypes.string_at(address, count * 8)

    assert pass_to_kernel(program, read) == program


def test_what_is_passed_can_be_taken() -> None:
    program = assemble([op(LOAD_WORD, 0), op(RETURN, 1)])

    assert pass_to_kernel(program, lambda head: taken_from(head, ctypes.string_at)) == program


@pytest.mark.parametrize(
    "head",
    [
        b"",
        struct.pack("@HP", 1, 4096)[:-1],
        struct.pack("@HP", 1, 4096) + b"\0",
        struct.pack("@HP", 1, 0),
        struct.pack("@HP", 4097, 4096),
    ],
)
def test_where_the_kernel_would_not_look_nobody_looks(head: bytes) -> None:
    def read(address: int, size: int) -> bytes:
        raise AssertionError(f"{size} bytes at {address} were read")

    assert taken_from(head, read) == b""
