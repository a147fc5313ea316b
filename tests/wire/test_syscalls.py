"""The tables of system calls are those of the kernel's headers: of every machine, on any."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from pingsock.wire.syscalls import ARCHITECTURES

HEADERS = {
    "x86_64": ["-include", "asm/unistd_64.h"],
    # The generic table, and what arm64 chooses of it.
    "aarch64": ["-D__BITS_PER_LONG=64", "-D__ARCH_WANT_NEW_STAT", "-include", "asm-generic/unistd.h"],
}
AUDIT_NAMES = {"x86_64": "AUDIT_ARCH_X86_64", "aarch64": "AUDIT_ARCH_AARCH64"}
EVERYWHERE = {name for architecture in ARCHITECTURES.values() for name in architecture.numbers}


def expanded(machine: str, macros: set[str]) -> dict[str, str]:
    """What the kernel's headers make of these names."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    if machine == "x86_64" != os.uname().machine:
        pytest.skip("x86-64's own table is among the headers of x86-64 only")
    lines = "".join([f'expanded "{macro}" {macro}\n' for macro in sorted(macros)])
    command = ["gcc", "-E", "-P", *HEADERS[machine], "-include", "linux/audit.h", "-x", "c", "-"]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    if "No such file" in done.stderr:
        pytest.skip(f"needs the headers of linux-libc-dev for {machine}")
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r'^expanded "(\w+)" (.+)$', done.stdout, re.MULTILINE))


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_every_number_is_the_kernels_and_none_is_left_out(machine: str) -> None:
    found = expanded(machine, {f"__NR_{name}" for name in EVERYWHERE})
    numbers = {macro.removeprefix("__NR_"): int(text) for macro, text in found.items() if text.isdigit()}

    assert numbers == dict(ARCHITECTURES[machine].numbers)


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_architecture_has_the_kernels_number(machine: str) -> None:
    bits = re.findall(r"\w+", expanded(machine, {AUDIT_NAMES[machine]})[AUDIT_NAMES[machine]])

    assert sum(int(bit, 0) for bit in bits) == ARCHITECTURES[machine].audit


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_names_and_numbers_are_one_to_one(machine: str) -> None:
    architecture = ARCHITECTURES[machine]

    assert {name: number for number, name in architecture.names.items()} == dict(architecture.numbers)
