"""Many lines compared at once, each in a pair of beds that nobody else uses meanwhile."""

from __future__ import annotations

import contextlib
import queue
import re
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from drop_in.bed import Bed, write_files
from drop_in.command_lines import all_lines, parsed
from drop_in.differences import NOT_COMPARED, differences_of, expected_of_ours
from drop_in.masking import report
from drop_in.programs import Programs
from drop_in.runs import Line, Pair

PAIRS = 6
"""Most lines wait most of the time."""
ATTEMPTS = 3
"""A machine with other work can hold a process up for seconds, and then even two runs of one program differ."""


@dataclass(frozen=True)
class Result:
    """What ours did, and what it was to do."""

    ours: str
    expected: str


class Comparisons:
    """Runs lines, given as (text, who), from the first on while the `with` block lasts."""

    def __init__(self, wanted: list[tuple[str, str]]) -> None:
        self._wanted = wanted
        self._lines = all_lines()
        self._futures: dict[tuple[str, str], Future[Result]] = {}
        self._pairs: queue.SimpleQueue[Pair] = queue.SimpleQueue()
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            programs = Programs()
            cleanup.callback(programs.close)
            write_files(programs.directory)
            for theirs, ours in _pairs_of(_make_beds(programs, cleanup)):
                self._pairs.put(Pair(programs, theirs, ours))
            workers = ThreadPoolExecutor(PAIRS, thread_name_prefix="comparison")
            cleanup.callback(workers.shutdown, cancel_futures=True)
            self._futures = {key: workers.submit(self._compare, *key) for key in self._wanted}
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._cleanup.close()

    def result(self, text: str, who: str) -> Result:
        """Of one line. Whatever went wrong is raised here."""
        return self._futures[text, who].result()

    def _compare(self, text: str, who: str) -> Result:
        pair = self._pairs.get()
        try:
            for _ in range(ATTEMPTS):
                result = _attempt(pair, self._lines[text, who], text)
                if result.ours == result.expected:
                    break
        finally:
            self._pairs.put(pair)
        return result


def _attempt(pair: Pair, line: Line, text: str) -> Result:
    instead = next((each.instead for each in differences_of(text, line.who) if each.instead), "")
    theirs, ours = pair.run(parsed(instead, line.who) if instead else line, line)
    return Result(
        _without_what_is_not_compared(report(ours, line)),
        expected_of_ours(_without_what_is_not_compared(report(theirs, line)), text, line.who),
    )


def _without_what_is_not_compared(text: str) -> str:
    for pattern, shown, _reason in NOT_COMPARED:
        text = re.sub(pattern, shown, text, flags=re.MULTILINE)
    return text


def _make_beds(programs: Programs, cleanup: contextlib.ExitStack) -> list[Bed]:
    with ThreadPoolExecutor(2 * PAIRS) as builders:
        futures = [builders.submit(Bed, programs.directory) for _ in range(2 * PAIRS)]
    beds = []
    for future in futures:
        if future.exception() is None:
            beds.append(future.result())
            cleanup.callback(beds[-1].close)
    # Raises the first failure, when all that was made is sure to be closed.
    return [future.result() for future in futures]


def _pairs_of(beds: list[Bed]) -> list[tuple[Bed, Bed]]:
    return list(zip(beds[0::2], beds[1::2], strict=True))
