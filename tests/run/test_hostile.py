"""A program may do to its own ping socket whatever it likes: neither the supervisor nor the service minds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from run.programs import RunNetwork

ROUNDS = "1500"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="its system call numbers are those of x86-64")
@pytest.mark.parametrize("seed", ["1", "2", "3"])
@pytest.mark.parametrize("way", ["served", "embedded"])
def test_nonsense_harms_nobody(network: RunNetwork, way: str, seed: str) -> None:
    program = network.programs / "hostile.py"
    shutil.copyfile(Path(__file__).with_name("hostile.py"), program)
    result = network.supervised(["/usr/bin/python3", str(program), seed, ROUNDS], way)

    assert "pingsock" not in result.err
    assert result.out == "still there\n"
    assert result.status == 0
