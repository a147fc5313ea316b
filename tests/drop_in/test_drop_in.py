"""Debian's ping, iputils 20221126, beside ours in two networks alike: output, errors, exit status and packets.

Measured numbers are masked (`masking`); what iputils 20250605, whose behaviour ours has, does differently from 20221126
and what ours does better is listed with its reason (`differences`).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from drop_in.command_lines import BLOCKS, all_lines
from drop_in.comparison import Comparisons
from drop_in.differences import BETTER, NEWER
from drop_in.programs import missing_tools

LINES = all_lines()
OPTIONS = "346aAbBcCdDefFhHiIlLmMnNOpqQrRsStTUvVwW"


@pytest.fixture(scope="module")
def comparisons(request: pytest.FixtureRequest) -> Iterator[Comparisons]:
    if why := missing_tools():
        pytest.skip(why)
    selected = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    keys = [(each.get("text"), each.get("who")) for each in selected]
    with Comparisons([key for key in keys if key in LINES]) as running:
        yield running


@pytest.mark.parametrize(("text", "who"), LINES)
def test_ours_does_what_iputils_does(comparisons: Comparisons, text: str, who: str) -> None:
    result = comparisons.result(text, who)

    assert result.ours == result.expected


def test_there_are_enough_command_lines() -> None:
    assert len({text for text, _ in LINES}) >= 250


@pytest.mark.parametrize("letter", OPTIONS)
def test_every_option_is_among_them(letter: str) -> None:
    words = [word for line in LINES.values() for word in line.arguments if word[:1] == "-" and word[:2] != "--"]
    assert any(letter in word[1:] for word in words)


def test_every_line_that_is_said_to_differ_is_compared() -> None:
    named = [line.partition(" # ")[0] for each in NEWER + BETTER for line in each.lines.strip().splitlines()]
    assert set(named) <= {text for text, _ in LINES}


def test_every_difference_has_a_reason() -> None:
    assert all(difference.reason for difference in NEWER + BETTER)


def test_nobody_runs_a_line_twice() -> None:
    for title, (block, _) in BLOCKS.items():
        lines = block.strip().splitlines()
        assert len(lines) == len(set(lines)), title
