"""Our ping in the bed of `drop_in`, as the callers find it: by its name, as an ordinary user."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from drop_in.bed import Bed, write_files
from drop_in.programs import Programs, missing_tools
from drop_in.runs import Line, Observation, run, start


class Ours:
    """Our ping, run by a user."""

    def __init__(self, bed: Bed, programs: Programs) -> None:
        self._bed = bed
        self._programs = programs

    def run(self, *arguments: str, program: str = "ping") -> Observation:
        line = Line(arguments, "user", program=program)
        return self._bed.client.do(lambda: run(self._bed, self._programs, "ours", line))

    def start(self, *arguments: str, program: str = "ping") -> subprocess.Popen[bytes]:
        line = Line(arguments, "user", program=program)
        return self._bed.client.do(lambda: start(self._bed, self._programs, "ours", line))


@pytest.fixture(scope="package")
def ours() -> Iterator[Ours]:
    if why := missing_tools():
        pytest.skip(why)
    programs = Programs()
    try:
        write_files(programs.directory)
        bed = Bed(programs.directory)
        try:
            yield Ours(bed, programs)
        finally:
            bed.close()
    finally:
        programs.close()
