"""Runs a program in a network namespace of its own and talks with it line by line."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Ask = Callable[[str], str]


@contextmanager
def kernel_program(name: str) -> Iterator[Ask]:
    """Yield a function from question to answer; skip, with the reason, where no such namespace can be had."""
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*unshare, sys.executable, str(Path(__file__).with_name(name))]
    pipe = subprocess.PIPE
    try:
        program = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)
    except FileNotFoundError:
        pytest.skip("unshare(1) is not installed")
    with program:
        stdin, stdout, stderr = program.stdin, program.stdout, program.stderr
        assert stdin
        assert stdout
        assert stderr
        if stdout.readline() != "ready\n":
            pytest.skip(f"no network namespace with what this needs: {stderr.read().strip().rpartition(chr(10))[2]}")

        def ask(question: str) -> str:
            print(question, file=stdin, flush=True)
            answer = stdout.readline()
            assert answer, f"{name} ended: {stderr.read()}"
            return answer.strip()

        try:
            yield ask
        finally:
            stdin.close()
