"""Reading and writing a program's messages, here in this process's own memory."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.run.memory import LONGEST_COPY, Memory, cut
from pingsock.run.messages import (
    join_control,
    read_address,
    read_header,
    read_message,
    read_vectors,
    split_control,
    write_message,
)
from pingsock.service.frames import Message

HEADER = struct.Struct("=Qi4xQQQQi4x")
VECTOR = struct.Struct("=2Q")
items = st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1), st.binary(max_size=40))


def memory() -> Memory:
    return Memory(threading.get_native_id())


class Program:
    """A struct msghdr with all it points to, as a program would have it."""

    def __init__(self, data_sizes: list[int], control: bytes = b"", name: bytes = b"") -> None:
        self.parts = [ctypes.create_string_buffer(max(size, 1)) for size in data_sizes]
        self.control = ctypes.create_string_buffer(control, max(len(control), 1))
        self.name = ctypes.create_string_buffer(name, max(len(name), 1))
        vectors = b"".join(
            VECTOR.pack(ctypes.addressof(part), size) for part, size in zip(self.parts, data_sizes, strict=True)
        )
        self.vectors = ctypes.create_string_buffer(vectors, max(len(vectors), 1))
        self.header = ctypes.create_string_buffer(
            HEADER.pack(
                ctypes.addressof(self.name) if name else 0,
                len(name),
                ctypes.addressof(self.vectors),
                len(data_sizes),
                ctypes.addressof(self.control) if control else 0,
                len(control),
                -1,
            ),
            HEADER.size,
        )
        self.address = ctypes.addressof(self.header)

    def fields(self) -> tuple[int, ...]:
        return HEADER.unpack(self.header.raw)


@given(st.lists(items, max_size=5))
def test_control_messages_are_read_as_they_were_laid_out(content: list[tuple[int, int, bytes]]) -> None:
    control, is_cut = join_control(content, 4096)

    assert split_control(control) == tuple(content)
    assert not is_cut


@given(st.integers(0, 120))
def test_control_messages_are_cut_as_the_kernel_cuts_them(room: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        for option in (socket.IP_RECVTOS, socket.IP_TTL + 10):
            sock.setsockopt(socket.SOL_IP, option, 1)
        sock.sendto(b"x", sock.getsockname())
        sock.sendto(b"x", sock.getsockname())
        whole = sock.recvmsg(10, 500)[1]
        program = Program([10], b"\xff" * room)
        got = ctypes.CDLL(None).recvmsg(sock.fileno(), ctypes.c_void_p(program.address), 0)
        kernels = bytes(program.control.raw)[: program.fields()[5]]
    control, is_cut = join_control(whole, room)

    assert got == 1
    assert len(control) == len(kernels)
    assert is_cut == bool(program.fields()[6] & socket.MSG_CTRUNC)
    at = 0
    for kind in whole:
        if at + 16 > len(control):
            break
        length = struct.unpack_from("=Q", control, at)[0]
        assert control[at : at + length] == kernels[at : at + length], kind
        at += -(-length // 8) * 8


@given(st.binary(max_size=200))
def test_control_data_of_any_kind_is_read_or_refused(control: bytes) -> None:
    if is_well_formed(control):
        split_control(control)
    else:
        with pytest.raises(OSError, match="Invalid argument"):
            split_control(control)


def is_well_formed(control: bytes) -> bool:
    while len(control) >= 16:
        length = int.from_bytes(control[:8], "little")
        if not 16 <= length <= len(control):
            return False
        control = control[-(-length // 8) * 8 :]
    return True


@given(
    st.binary(max_size=50),
    st.lists(st.integers(0, 20), max_size=6),
    st.binary(max_size=28),
    st.lists(items, max_size=2),
)
def test_a_message_is_scattered_and_its_lengths_told(
    data: bytes, sizes: list[int], name: bytes, content: list[tuple[int, int, bytes]]
) -> None:
    program = Program(sizes, bytes(128), bytes(16))
    header = read_header(memory(), program.address)
    written = min(len(data), sum(sizes))
    after = write_message(memory(), header, Message(data, tuple(content), 0, name))
    got = b"".join(part.raw[:size] for part, size in zip(program.parts, sizes, strict=True))

    assert after == program.header.raw
    assert got[:written] == data[:written]
    assert program.name.raw[:16] == name[:16].ljust(16, b"\0")
    assert program.fields()[1] == len(name)
    assert program.fields()[5] == len(join_control(content, 128)[0])


@given(st.lists(st.binary(max_size=10), max_size=5))
def test_a_message_is_gathered(parts: list[bytes]) -> None:
    program = Program([len(part) for part in parts], b"", b"abcd")
    for buffer, part in zip(program.parts, parts, strict=True):
        ctypes.memmove(buffer, part, len(part))
    message = read_message(memory(), read_header(memory(), program.address))

    assert message == Message(b"".join(parts), (), 0, b"abcd")


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ((0, -1, 0, 0, 0, 0, 0), errno.EINVAL),
        ((0, 0, 8, 1025, 0, 0, 0), errno.EMSGSIZE),
        ((0, 0, 8, 2**63, 0, 0, 0), errno.EMSGSIZE),
        ((0, 0, 8, 1, 0, 0, 0), errno.EFAULT),
        ((8, 16, 0, 0, 0, 0, 0), errno.EFAULT),
        ((0, 0, 0, 0, 8, 2**40, 0), errno.ENOBUFS),
        ((0, 0, 0, 0, 8, 64, 0), errno.EFAULT),
    ],
)
def test_headers_that_lead_nowhere(fields: tuple[int, ...], number: int) -> None:
    header = ctypes.create_string_buffer(HEADER.pack(*fields))
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        read_message(memory(), read_header(memory(), ctypes.addressof(header)))


def test_a_length_that_is_negative() -> None:
    vector = ctypes.create_string_buffer(VECTOR.pack(0, 2**63))
    with pytest.raises(OSError, match="Invalid argument"):
        read_vectors(memory(), ctypes.addressof(vector), 1)


@pytest.mark.parametrize("length", [-1, 129])
def test_addresses_of_impossible_length(length: int) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        read_address(memory(), 8, length)


def test_no_size_a_program_names_costs_us_memory() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        memory().read(0, LONGEST_COPY + 1)


@pytest.mark.parametrize("address", [0, 8, 2**47, 2**63, 2**64 - 1])
def test_addresses_that_lead_nowhere(address: int) -> None:
    with pytest.raises(OSError, match="Bad address"):
        memory().read(address, 1)
    with pytest.raises(OSError, match="Bad address"):
        memory().write(address, b"x")


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 9)), max_size=5), st.integers(0, 30))
def test_vectors_are_cut_to_a_size(vectors: list[tuple[int, int]], size: int) -> None:
    total = sum(length for _address, length in vectors)

    assert sum(length for _address, length in cut(vectors, size)) == min(size, total)
