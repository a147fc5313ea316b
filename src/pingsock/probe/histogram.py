"""Round trips as a histogram: any percentile afterwards, within one per cent, and two can be added up.

Layout of the buckets
---------------------

Each power of two is divided into 64 buckets of equal width, so a bucket's width is never more than 1/64 of the round
trips in it. Bucket numbers follow one another without a gap:

    round trip, ns    width    bucket
    0 ... 127         1        0 ... 127
    128 ... 255       2        128 ... 191
    256 ... 511       4        192 ... 255
    ...

A bucket stands for the value in its middle. This differs from what was entered by less than 1/128 (0.79 %), and not at
all below 128 ns. Only buckets that hold something exist. The least and the greatest round trip are kept exactly.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Self

_BITS = 6
"""Each power of two has 2 ** _BITS buckets."""
RELATIVE_ERROR = 1 / 2 ** (_BITS + 1)
"""What `Histogram.percentile` returns differs from the exact value by less than this share of it."""


def bucket_of(nanoseconds: int) -> int:
    """The number of the bucket a round trip belongs to."""
    shift = nanoseconds.bit_length() - _BITS - 1
    return (shift << _BITS) + (nanoseconds >> shift) if shift > 0 else nanoseconds


def bounds_of(bucket: int) -> tuple[int, int]:
    """The least and the greatest round trip of a bucket, nanoseconds."""
    shift = max((bucket >> _BITS) - 1, 0)
    least = bucket - (shift << _BITS) << shift
    return least, least + (1 << shift) - 1


class Histogram:
    """How many round trips there were of which length. All times are whole nanoseconds, 0 or more.

    Equal to another if both would answer every question alike.
    """

    __slots__ = ("count", "counts", "maximum", "minimum")

    def __init__(self) -> None:
        self.count = 0
        self.counts: dict[int, int] = {}
        """Bucket -> how many round trips are in it; no zeroes, in no order."""
        self.minimum = 0
        """0 without round trips."""
        self.maximum = 0

    def add(self, nanoseconds: int) -> None:
        """Enter one round trip. ValueError if it is negative."""
        if nanoseconds < 0:
            raise ValueError(f"a round trip of {nanoseconds} ns")
        if not self.count or nanoseconds < self.minimum:
            self.minimum = nanoseconds
        self.maximum = max(self.maximum, nanoseconds)
        self.count += 1
        shift = nanoseconds.bit_length() - _BITS - 1
        bucket = (shift << _BITS) + (nanoseconds >> shift) if shift > 0 else nanoseconds
        self.counts[bucket] = self.counts.get(bucket, 0) + 1

    def add_many(self, nanoseconds: Iterable[int]) -> None:
        """Enter many round trips, all or none: ValueError if one is negative."""
        column = nanoseconds if isinstance(nanoseconds, (list, tuple)) else list(nanoseconds)
        if not column:
            return
        self._stretch(min(column), max(column))
        self.count += len(column)
        counts, seen = self.counts, self.counts.get
        for each in column:
            shift = each.bit_length() - _BITS - 1
            bucket = (shift << _BITS) + (each >> shift) if shift > 0 else each
            counts[bucket] = seen(bucket, 0) + 1

    def merge(self, other: Histogram) -> None:
        """Enter all that was entered into another one."""
        if not other.count:
            return
        self._stretch(other.minimum, other.maximum)
        self.count += other.count
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count

    def _stretch(self, least: int, greatest: int) -> None:
        if least < 0:
            raise ValueError(f"a round trip of {least} ns")
        self.minimum = min(self.minimum, least) if self.count else least
        self.maximum = max(self.maximum, greatest)

    def percentile(self, percent: float) -> int | None:
        """The smallest round trip that is not exceeded by `percent` of all, nanoseconds; None without round trips.

        This is the nearest-rank definition: of n round trips in ascending order the one at rank
        ceil(n * percent / 100), counted from 1, and for 0 the first. Exact at the first and the last rank, within
        RELATIVE_ERROR elsewhere. ValueError if `percent` is not in 0 ... 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"percentile {percent!r}: it must be in 0 ... 100")
        if not self.count:
            return None
        rank = _rank(self.count, percent)
        if rank == 1:
            return self.minimum
        return self.maximum if rank == self.count else self._at(rank)

    def _at(self, rank: int) -> int:
        passed = 0
        for bucket in sorted(self.counts):
            passed += self.counts[bucket]
            if passed >= rank:
                break
        least, greatest = bounds_of(bucket)
        return min(max((least + greatest) // 2, self.minimum), self.maximum)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; `from_dict` is the way back. Buckets are pairs [bucket, count], ascending."""
        return {
            "count": self.count,
            "minimum_ns": self.minimum,
            "maximum_ns": self.maximum,
            "buckets": [[bucket, self.counts[bucket]] for bucket in sorted(self.counts)],
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """What `as_dict` gave. ValueError, KeyError or TypeError if it gave no such thing."""
        histogram = cls()
        histogram.counts = {int(bucket): int(count) for bucket, count in content["buckets"]}
        histogram.count = sum(histogram.counts.values())
        histogram.minimum, histogram.maximum = int(content["minimum_ns"]), int(content["maximum_ns"])
        if not histogram._is_sound() or histogram.count != content["count"]:
            raise ValueError("this is no histogram of round trips, or a damaged one")
        return histogram

    def _is_sound(self) -> bool:
        if not self.counts:
            return self.minimum == self.maximum == 0
        ends = bucket_of(self.minimum), bucket_of(self.maximum)
        return (min(self.counts), max(self.counts)) == ends and ends[0] >= 0 and min(self.counts.values()) > 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return (self.minimum, self.maximum, self.counts) == (other.minimum, other.maximum, other.counts)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Histogram of {self.count} round trips, {self.minimum} ... {self.maximum} ns>"


def _rank(count: int, percent: float) -> int:
    """ceil(count * percent / 100), 1 at least; `percent` as it is written, to nine decimals.

    99.9 as a float is a little more than 99.9, and would else choose the last of a thousand.
    """
    return max(-(-count * round(percent * 10**9) // (100 * 10**9)), 1)
