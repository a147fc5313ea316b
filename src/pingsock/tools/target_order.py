"""A random order of any number of things, without a list of them.

A Feistel network is a permutation of the numbers of so many bits, whatever its round function is (Luby and Rackoff,
1988). For a count that is no power of two, a number that falls outside is put through again until it falls inside
(cycle walking: Black and Rogaway, 2002), fewer than two times on average. Any position can be asked for at once, so an
order is continued anywhere from its seed alone.

The round function mixes well enough that neighbours are not probed together; it is no cipher.
"""

from __future__ import annotations

_ROUNDS = 4
_WORD = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Constants of the finaliser of splitmix64 (Steele, Lea and Flood, 2014)."""
SEEDS = 2**63
"""Seeds are from 0 to before this."""


def _mixed(number: int) -> int:
    number = (number ^ number >> 30) * _MIX_1 & _WORD
    number = (number ^ number >> 27) * _MIX_2 & _WORD
    return number ^ number >> 31


class Permutation:
    """The numbers from 0 to before `count` in an order that `seed` decides: `permutation[position]`."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        bits = max((count - 1).bit_length(), 2)
        self._right_bits = bits // 2
        self._left_bits = bits - self._right_bits
        self._keys = [_mixed(seed + _GOLDEN * (number + 1) & _WORD) for number in range(_ROUNDS)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int) -> int:
        """What comes at that position. IndexError beyond the last."""
        if not 0 <= position < self.count:
            raise IndexError(position)
        number = self._permuted(position)
        while number >= self.count:
            number = self._permuted(number)
        return number

    def _permuted(self, number: int) -> int:
        left_bits, right_bits = self._left_bits, self._right_bits
        left, right = number >> right_bits, number & (1 << right_bits) - 1
        for key in self._keys:
            # One half is changed by the other, then they change places, and widths with them.
            mixed = (right + key) * _MIX_1 & _WORD
            mixed = (mixed ^ mixed >> 32) * _MIX_2 & _WORD
            left, right = right, left ^ mixed >> 64 - left_bits
            left_bits, right_bits = right_bits, left_bits
        return left << right_bits | right
