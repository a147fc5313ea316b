"""How the round trips of a ping are spread: percentiles, jitter and a small histogram, for `ping --percentiles`."""

from __future__ import annotations

from pingsock.probe.histogram import bounds_of, bucket_of
from pingsock.probe.statistics import PERCENTILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pingsock.probe.delays import Delays
    from pingsock.probe.histogram import Histogram

    Row = tuple[int, int, int]

_MOST_ROWS = 10
_LONGEST_BAR = 40
_STEPS = (1, 2, 5)
_MICROSECOND, _MILLISECOND = 1_000, 1_000_000
_WIDE = 8
"""The longest of round trips that are spread so much, in shortest ones, are shown in rows of growing width."""


def distribution(delays: Delays) -> str:
    """The lines behind the summary."""
    names = "/".join(f"p{percent}" for percent in PERCENTILES)
    figures = "/".join(_milliseconds(delays.percentile(percent) or 0) for percent in PERCENTILES)
    return f"rtt {names} = {figures} ms, jitter {_milliseconds(delays.jitter)} ms\n{_chart(rows(delays.histogram))}"


def rows(histogram: Histogram) -> list[Row]:
    """The round trips in at most ten rows: (from, up to but not with, how many), nanoseconds, ascending.

    Edges are round numbers. A round trip is in its row within the error of the histogram.
    """
    edges = _edges(histogram.minimum, histogram.maximum)
    counts = [0] * (len(edges) - 1)
    row = 0
    for round_trip, count in _round_trips(histogram):
        while round_trip >= edges[row + 1]:
            row += 1
        counts[row] += count
    return list(zip(edges, edges[1:], counts, strict=False))


def _round_trips(histogram: Histogram) -> Iterator[tuple[int, int]]:
    """Round trips and how many, ascending: shortest and longest as they were, others in the middle of a bucket."""
    least, greatest = histogram.minimum, histogram.maximum
    counts = dict(histogram.counts)
    yield least, 1
    counts[bucket_of(least)] -= 1
    is_longer = histogram.count > 1
    if is_longer:
        counts[bucket_of(greatest)] -= 1
    for bucket in sorted(counts):
        middle = sum(bounds_of(bucket)) // 2
        yield min(max(middle, least), greatest), counts[bucket]
    if is_longer:
        yield greatest, 1


def _edges(least: int, greatest: int) -> list[int]:
    if greatest < _WIDE * max(least, _MICROSECOND):
        return _equal(least, greatest)
    edges = _growing(least, greatest, _STEPS)
    return edges if len(edges) <= _MOST_ROWS + 1 else _growing(least, greatest, _STEPS[:1])


def _growing(least: int, greatest: int, steps: tuple[int, ...]) -> list[int]:
    """These steps in each power of ten, as far as is needed: 1, 2, 5, 10, 20, 50, ..."""
    edges = [0] if least < _MICROSECOND else []
    scale = _MICROSECOND
    while not edges or edges[-1] <= greatest:
        edges += [step * scale for step in steps]
        scale *= 10
    first = max(at for at, edge in enumerate(edges) if edge <= least)
    last = next(at for at, edge in enumerate(edges) if edge > greatest)
    return edges[first : last + 1]


def _equal(least: int, greatest: int) -> list[int]:
    """Rows of one width, 1, 2 or 5 times a power of ten."""
    scale = _MICROSECOND
    while True:
        for width in (step * scale for step in _STEPS):
            first, last = least // width, greatest // width
            if last - first < _MOST_ROWS:
                return [number * width for number in range(first, last + 2)]
        scale *= 10


def _chart(shown: list[Row]) -> str:
    labels = [f"{_short(least)} ... {_short(above)} ms" for least, above, _ in shown]
    width = max(map(len, labels))
    digits = len(str(max(count for _, _, count in shown)))
    highest = max(count for _, _, count in shown)
    return "".join(
        f"{label:>{width}}  {count:>{digits}}  {'#' * -(-count * _LONGEST_BAR // highest)}".rstrip() + "\n"
        for label, (_, _, count) in zip(labels, shown, strict=True)
    )


def _short(nanoseconds: int) -> str:
    """Milliseconds without needless digits; an edge is whole microseconds."""
    return _milliseconds(nanoseconds).rstrip("0").rstrip(".")


def _milliseconds(nanoseconds: int) -> str:
    return f"{nanoseconds // _MILLISECOND}.{nanoseconds % _MILLISECOND // _MICROSECOND:03}"
