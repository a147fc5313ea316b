"""Arithmetic on packed columns of numbers: on all of them at once, as on one long integer.

Theory of operation
-------------------

A column of N words is an integer of N digits, each of 32 bits. A difference of two such integers has in each digit the
difference of the digits, as long as no digit borrows from its neighbour. So the top bit of each digit is set before,
and turned over afterwards, which leaves the digit as a two's complement number.

A range is START * (1, 1, 1, ...) + STEP * (0, 1, 2, ...): two products with constants.
"""

from __future__ import annotations

import sys
from array import array
from operator import sub

WORD = 4
"""Bytes of a number in a column."""
_MOST = 256
_SIZE = WORD * _MOST
_LIMIT = 2**30
"""Where words are no greater, and numbers on both sides of zero nearer to it, a difference is one word."""


def _digits(words: array[int]) -> int:
    return int.from_bytes(words.tobytes(), sys.byteorder)


_ONES = _digits(array("I", (1,)) * _MOST)
_COUNTING = _digits(array("I", range(_MOST)))
_TOP_BITS = _ONES << 31


def subtract_range(column: bytes, numbers: range) -> list[int]:
    """Each of the column's words less the number at its place in the range, whose step is above zero.

    The words are signed, in native byte order, and from 0 to 2**30.
    """
    start, step = numbers.start, numbers.step
    if len(column) > _SIZE or start <= -_LIMIT or start + _MOST * step > _LIMIT:
        return list(map(sub, memoryview(column).cast("i").tolist(), numbers))
    # Of a short column the other digits are worked out as well, and cut off.
    words = int.from_bytes(column.ljust(_SIZE, b"\0"), sys.byteorder) + _TOP_BITS
    differences = (words - start * _ONES - step * _COUNTING) ^ _TOP_BITS
    return memoryview(differences.to_bytes(_SIZE, sys.byteorder)[: len(column)]).cast("i").tolist()
