"""Where ours is not to do what iputils 20221126 does, and why.

`NEWER` and `BETTER` are said of iputils' report (`masking.report`): a pattern that stands in it, and what ours has
there. Each holds for all lines whose report has the pattern, or for the lines it names; then every pattern must be
there, so that no difference outlives its cause. `NOT_COMPARED` is hidden in both reports.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """`changes`: patterns (multi-line) in iputils' report, and what stands there in ours."""

    reason: str
    changes: tuple[tuple[str, str], ...] = ()
    lines: str = ""
    """The command lines it is for, "" for all; with " # WHO" behind, only as run by these."""
    instead: str = ""
    """The command line that iputils is given instead, if it does not know this one."""

    def concerns(self, text: str, who: str) -> bool:
        """Whether it is for this line by name."""
        for line in self.lines.strip().splitlines():
            named, _, everybody = line.partition(" # ")
            if named == text and (not everybody or who in everybody.split()):
                return True
        return False


NOT_COMPARED = ((r"^\nUsage\n(?:.*\n)*?(?=^--- |\Z)", "(the usage)\n", "it lists other options in other words"),)
"""Pattern, what hides it, and why it is not compared."""

NEWER: list[Difference] = []

BETTER: list[Difference] = []


def differences_of(text: str, who: str) -> list[Difference]:
    """Those that name the line."""
    return [difference for difference in NEWER + BETTER if difference.concerns(text, who)]


def expected_of_ours(report: str, text: str, who: str) -> str:
    """What ours is to do, given iputils' report. AssertionError if a difference is no longer there."""
    for difference in NEWER + BETTER:
        if not difference.lines or difference.concerns(text, who):
            for pattern, ours in difference.changes:
                report, count = re.subn(pattern, ours, report, flags=re.MULTILINE)
                assert count or not difference.lines, f"iputils does not do it any more: {pattern!r} in\n{report}"
    return report
