"""A program may do to its own ping socket whatever it likes: neither the supervisor nor the service minds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pingsock.run.syscalls import ON_DESCRIPTOR
from pingsock.wire.syscalls import ARCHITECTURES
from run.programs import RunNetwork

ROUNDS = "1500"
DULL = {"shutdown", "close"}
"""After them every call says the same."""


def numbered_calls() -> list[str]:
    numbers = ARCHITECTURES[os.uname().machine].numbers
    return [f"{name}={numbers[name]}" for name in sorted({*ON_DESCRIPTOR, "fcntl"} - DULL) if name in numbers]


@pytest.mark.parametrize("seed", ["1", "2", "3"])
@pytest.mark.parametrize("way", ["served", "embedded"])
def test_nonsense_harms_nobody(network: RunNetwork, way: str, seed: str) -> None:
    program = network.programs / "hostile.py"
    shutil.copyfile(Path(__file__).with_name("hostile.py"), program)
    result = network.supervised(["/usr/bin/python3", str(program), seed, ROUNDS, *numbered_calls()], way)

    assert "pingsock" not in result.err
    assert result.out == "still there\n"
    assert result.status == 0
