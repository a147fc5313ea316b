from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
DEAR = {"argparse", "asyncio", "dataclasses", "fcntl", "ipaddress", "json", "re", "subprocess", "textwrap", "typing"}
"""Modules that cost more than sending an echo request."""


@pytest.mark.parametrize("module", ["errors", "kernel", "ancillary", "surroundings", "cures", "diagnosis"])
def test_importing_costs_little(module: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); import pingsock.sockets.{module}; print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", code]
    imported = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert DEAR.isdisjoint(imported)
