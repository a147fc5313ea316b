"""The interpreter of socket filters, held to the kernel's."""

from __future__ import annotations

import ctypes
import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingsock.stack.bpf import ARITHMETIC, COMPARISONS, SocketFilter
from pingsock.stack.bpf_check import CODES
from pingsock.stack.packet import Packet
from pingsock.wire.linux import (
    AF_INET,
    SO_ATTACH_FILTER,
    SO_DETACH_FILTER,
    SOCK_FILTER_LAYOUT,
    SOCK_FPROG_LAYOUT,
    SOL_SOCKET,
)

PACKET = bytes(range(1, 65))
operands = st.sampled_from([0, 1, 2, 3, 8, 31, 60, 61, 62, 63, 64, 255, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF])
loads = st.sampled_from([0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x00, 0x80, 0x60, 0x01, 0x81, 0x61, 0xB1])
arithmetic = st.sampled_from([4 | operation | source for operation in ARITHMETIC for source in (0, 8)])
jumps = st.sampled_from([5 | comparison | source for comparison in COMPARISONS for source in (0, 8)])
moves = st.sampled_from([0x02, 0x03, 0x07, 0x87])
codes = st.one_of(st.integers(0, 0xFF), st.sampled_from([*CODES]))
words = st.one_of(operands, st.integers(0, 40), st.sampled_from([0xFFFFF000, 0xFFFFF008, 0xFFFFF001, 0xFFFFF040]))
small = st.integers(0, 15)
steps = st.one_of(
    st.tuples(st.one_of(loads, arithmetic), st.just(0), st.just(0), operands),
    st.tuples(st.one_of(moves, st.sampled_from([0x60, 0x61])), st.just(0), st.just(0), small),
    st.tuples(jumps, st.integers(0, 2), st.integers(0, 2), operands),
)
programs = st.lists(steps, max_size=8).map(lambda body: [(0x20, 0, 0, 0), *body, *[(0x16, 0, 0, 0)] * 3])


def kept_here(program: bytes) -> int | None:
    """Bytes we keep of PACKET, None if we refuse the program."""
    try:
        socket_filter = SocketFilter(program, lambda limit: limit // 2)
    except OSError:
        return None
    return min(socket_filter.keeps(Packet(AF_INET, PACKET, 0, 1, 0, 0)), len(PACKET))


def to_bytes(program: list[tuple[int, int, int, int]]) -> bytes:
    return b"".join(struct.pack(SOCK_FILTER_LAYOUT, *step) for step in program)


def kernel_keeps(program: bytes) -> int | None:
    """Bytes the kernel keeps of PACKET, None if it refuses the program."""
    memory = ctypes.create_string_buffer(program)
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        count = len(program) // struct.calcsize(SOCK_FILTER_LAYOUT)
        try:
            far.setsockopt(
                SOL_SOCKET, SO_ATTACH_FILTER, struct.pack(SOCK_FPROG_LAYOUT, count, ctypes.addressof(memory))
            )
        except OSError:
            return None
        near.setblocking(False)
        far.setblocking(False)
        try:
            near.send(PACKET)
            return len(far.recv(100))
        except OSError:
            return 0
        finally:
            far.setsockopt(SOL_SOCKET, SO_DETACH_FILTER, 0)


@settings(max_examples=400)
@given(programs)
def test_a_program_keeps_what_the_kernel_keeps(program: list[tuple[int, int, int, int]]) -> None:
    code = to_bytes(program)
    assert kept_here(code) == kernel_keeps(code)


@settings(max_examples=400)
@given(st.lists(st.tuples(codes, st.integers(0, 3), st.integers(0, 3), words), min_size=1, max_size=6), st.booleans())
def test_a_program_is_refused_if_the_kernel_refuses_it(program: list[tuple[int, int, int, int]], ends: bool) -> None:
    code = to_bytes([*program, (0x06, 0, 0, 1)] if ends else program)
    assert (kept_here(code) is None) == (kernel_keeps(code) is None)


@pytest.mark.parametrize("code", range(0x200))
def test_an_instruction_is_known_if_the_kernel_knows_it(code: int) -> None:
    program = to_bytes([(0x02, 0, 0, 1), (code, 0, 0, 1), (0x06, 0, 0, 1)])
    assert (kept_here(program) is None) == (kernel_keeps(program) is None)


@pytest.mark.parametrize(
    "program",
    [
        [],
        [(0x20, 0, 0, 0)],
        [(0x05, 0, 0, 5), (0x06, 0, 0, 1)],
        [(0x15, 9, 0, 0), (0x06, 0, 0, 1)],
        [(0x34, 0, 0, 0), (0x06, 0, 0, 1)],
        [(0x60, 0, 0, 16), (0x06, 0, 0, 1)],
        [(0xF4, 0, 0, 1), (0x06, 0, 0, 1)],
        [(0x0E, 0, 0, 1)],
        [(0x64, 0, 0, 32), (0x06, 0, 0, 1)],
        [(0x21, 0, 0, 0), (0x06, 0, 0, 1)],
        [(0x60, 0, 0, 1), (0x06, 0, 0, 1)],
        [(0x15, 1, 0, 0), (0x02, 0, 0, 1), (0x60, 0, 0, 1), (0x06, 0, 0, 1)],
        [(0x06, 0, 0, 1), (0x60, 0, 0, 1), (0x06, 0, 0, 1)],
        [(0x20, 0, 0, 0xFFFFF040), (0x06, 0, 0, 1)],
        [(0x20, 0, 0, 0xFFFFF001), (0x06, 0, 0, 1)],
        [(0x05, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 1)],
    ],
    ids=[
        "empty",
        "no return",
        "jump out",
        "branch out",
        "division by 0",
        "word 16",
        "unknown operation",
        "return of X",
        "shift of 32",
        "absolute load into X",
        "unwritten word",
        "word written on one way only",
        "unwritten word behind a return",
        "unknown ancillary load",
        "ancillary load between two",
        "jump around",
    ],
)
def test_a_broken_program_is_refused_as_by_the_kernel(program: list[tuple[int, int, int, int]]) -> None:
    assert kernel_keeps(to_bytes(program)) is None
    with pytest.raises(OSError, match="Invalid argument"):
        SocketFilter(to_bytes(program), lambda _limit: 0)
