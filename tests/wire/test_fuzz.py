"""The fuzz targets run, and find nothing in a short while."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"
TARGETS = [
    "echo",
    "extensions",
    "frames",
    "icmp4",
    "icmp6",
    "ipv4",
    "ipv4_options",
    "ipv6",
    "nd_options",
    "node_information",
    "quote",
    "stack",
]


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(FUZZ / f"{name}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_finds_nothing(name: str) -> None:
    result = run(name, "--count", "1500", "--plain")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("1500 inputs in ")


def test_every_target_is_in_the_readme() -> None:
    readme = (FUZZ / "README.md").read_text()
    assert [name for name in TARGETS if f"`{name}.py`" not in readme] == []


def test_a_bug_ends_the_run_with_its_input(tmp_path: Path) -> None:
    broken = "from harness import fuzz\ndef target(data):\n    assert b'x' not in data\nfuzz(target, [b'', b'x'])\n"
    program = tmp_path / "broken.py"
    program.write_text(broken)
    environment = {**os.environ, "PYTHONPATH": str(FUZZ)}
    command = [sys.executable, str(program), "--count", "10", "--plain"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 1
    assert "AssertionError" in result.stderr
    assert result.stderr.rstrip().endswith("--input 78")
