"""Arithmetic on packed columns says what arithmetic on each number says."""

from __future__ import annotations

from array import array

from hypothesis import example, given
from hypothesis import strategies as some

from pingsock.probe.packed import subtract_range

WORDS = some.lists(some.integers(0, 2**30), min_size=1, max_size=300)
NEAR, FAR = some.integers(-(2**30), 2**30 - 256 * 2**20), some.integers(-(2**70), 2**70)


@given(WORDS, NEAR | FAR, some.integers(1, 2**20))
@example([0] * 256, 2**30 - 256 * 2**20, 2**20)
@example([2**30] * 256, -(2**30), 1)
@example([5], 6, 1)
@example([0], 2**30 - 1, 1)
@example([2**30], -(2**30) - 1, 1)
def test_each_word_is_less_by_the_number_at_its_place(words: list[int], start: int, step: int) -> None:
    numbers = range(start, start + step * len(words), step)
    expected = [word - number for word, number in zip(words, numbers, strict=True)]
    assert subtract_range(array("i", words).tobytes(), numbers) == expected


def test_nothing_less_nothing_is_nothing() -> None:
    assert subtract_range(b"", range(5, 5)) == []
