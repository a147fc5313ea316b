"""The filter notifies of exactly our calls; the tables are the kernel's."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.run import filter as filters
from pingsock.run.calls.table import HANDLERS
from pingsock.run.filter import ALLOW, NOTIFY, filter_program
from pingsock.run.launch import descriptor_range
from pingsock.run.syscalls import ARCHITECTURES, FCNTL_COMMANDS, ON_DESCRIPTOR

NUMBERS = range(768, 1024)
HEADERS = {"x86_64": "asm/unistd_64.h", "aarch64": "asm-generic/unistd.h"}
AUDIT_NAMES = {"x86_64": "AUDIT_ARCH_X86_64", "aarch64": "AUDIT_ARCH_AARCH64"}


def verdict(program: bytes, audit: int, number: int, arguments: list[int]) -> int:
    """What the kernel would decide, with its data in little-endian order."""
    data = struct.pack("<iIQ6Q", number, audit, 0, *arguments)
    instructions = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        code, then, otherwise, operand = instructions[at]
        at += 1
        if code == filters.LOAD:
            accumulator = int.from_bytes(data[operand : operand + 4], "little")
        elif code == filters.AND:
            accumulator &= operand
        elif code in (filters.EQUAL, filters.AT_LEAST):
            holds = accumulator == operand if code == filters.EQUAL else accumulator >= operand
            at += then if holds else otherwise
        else:
            assert code == filters.RETURN
            return int(operand)


def expected(names: dict[int, str], number: int, arguments: list[int]) -> int:
    name = names.get(number, "")
    first, second, third = (argument & 0xFFFFFFFF for argument in arguments[:3])
    if name == "socket":
        is_ours = second & 0xF == 2 and (first, third) in ((2, 1), (10, 58))
    else:
        is_ours = first in NUMBERS and (name in ON_DESCRIPTOR or (name == "fcntl" and second in FCNTL_COMMANDS))
    return NOTIFY if is_ours else ALLOW


words = st.one_of(
    st.sampled_from([0, 1, 2, 3, 4, 10, 58, 767, 768, 900, 1023, 1024, 1030, 0x802, 2**32 - 1, 2**32 + 800, 2**64 - 1]),
    st.integers(0, 2**64 - 1),
)


@pytest.mark.parametrize("machine", ARCHITECTURES)
@given(number=st.integers(-1, 500), arguments=st.lists(words, min_size=6, max_size=6))
def test_it_notifies_of_our_calls_and_allows_all_others(machine: str, number: int, arguments: list[int]) -> None:
    architecture = ARCHITECTURES[machine]
    program = filter_program(architecture, NUMBERS)

    assert verdict(program, architecture.audit, number, arguments) == expected(architecture.names, number, arguments)


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_calls_by_another_table_are_the_kernels(machine: str) -> None:
    program = filter_program(ARCHITECTURES[machine], NUMBERS)

    assert all(verdict(program, 0x40000003, number, [2, 2, 1, 0, 0, 0]) == ALLOW for number in range(500))


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    command = ["gcc", "-E", "-dM", "-include", HEADERS[machine], "-include", "linux/audit.h", "-x", "c", os.devnull]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # The generic table names fcntl differently, for 32-bit machines have another.
    numbers = dict(re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)", text))
    architecture = ARCHITECTURES[machine]

    assert {name: int(numbers[name]) for name in architecture.numbers} == dict(architecture.numbers)
    assert AUDIT_NAMES[machine] in text


def test_every_call_of_the_tables_has_somebody_to_execute_it() -> None:
    names = {name for architecture in ARCHITECTURES.values() for name in architecture.numbers}

    assert names - {"socket", "seccomp"} == set(HANDLERS)
    assert set(ON_DESCRIPTOR) | {"fcntl"} == set(HANDLERS)


@pytest.mark.parametrize(
    ("limit", "numbers"),
    [
        (1024, range(768, 1024)),
        (65536, range(768, 1024)),
        (-1, range(768, 1024)),
        (256, range(192, 256)),
        (8, range(6, 8)),
    ],
)
def test_served_sockets_get_the_highest_numbers_that_select_takes(limit: int, numbers: range) -> None:
    assert descriptor_range(limit) == numbers
