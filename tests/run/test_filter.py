"""The filter notifies of exactly our calls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bed.judge import verdict
from pingsock.run.calls.table import HANDLERS
from pingsock.run.filter import filter_program
from pingsock.run.launch import descriptor_range
from pingsock.run.syscalls import FCNTL_COMMANDS, ON_DESCRIPTOR
from pingsock.wire.seccomp import ALLOW, NOTIFY
from pingsock.wire.syscalls import ARCHITECTURES

NUMBERS = range(768, 1024)


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


def test_every_call_that_is_held_has_somebody_to_execute_it() -> None:
    assert set(ON_DESCRIPTOR) | {"fcntl"} == set(HANDLERS)


@pytest.mark.parametrize(("machine", "missing"), [("x86_64", set()), ("aarch64", {"dup2"})])
def test_every_call_on_a_descriptor_has_a_number(machine: str, missing: set[str]) -> None:
    assert {*ON_DESCRIPTOR, "fcntl", "socket", "seccomp"} - ARCHITECTURES[machine].numbers.keys() == missing


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
