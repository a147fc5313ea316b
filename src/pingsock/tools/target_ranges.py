"""Sets of addresses as sorted ranges: what a sweep leaves out."""

from __future__ import annotations

from bisect import bisect_right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pingsock.tools.target_specs import Span


class Exclusions:
    """Addresses to leave out. Memory grows with the number of spans, not of addresses.

    A span with a scope leaves out its address on that interface only, one without on every interface.
    """

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        by_kind: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for span in spans:
            by_kind.setdefault((span.family, span.scope), []).append((span.first, span.first + span.count))
        self._ranges = {kind: _merged(ranges) for kind, ranges in by_kind.items()}

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def leaves_out(self, family: int, number: int, scope: int = 0) -> bool:
        """Whether that address is left out."""
        for kind in {(family, 0), (family, scope)}:
            ranges = self._ranges.get(kind, [])
            at = bisect_right(ranges, number, key=_first) - 1
            if at >= 0 and number < ranges[at][1]:
                return True
        return False

    def rest_of(self, span: Span, scope: int = 0) -> Iterator[Span]:
        """What is left of a span, in order. Without a scope of its own it is meant on the interface `scope`."""
        pieces = [(span.first, span.first + span.count)]
        for kind in {(span.family, 0), (span.family, span.scope or scope)}:
            ranges = self._ranges.get(kind)
            if ranges:
                pieces = [left for piece in pieces for left in _without(piece, ranges)]
        for first, end in pieces:
            yield span if end - first == span.count else span.replace(first=first, count=end - first)


def _first(interval: tuple[int, int]) -> int:
    return interval[0]


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same addresses in ranges that are sorted and do not touch."""
    merged: list[tuple[int, int]] = []
    for first, end in sorted(ranges):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((first, end))
    return merged


def _without(piece: tuple[int, int], ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    first, end = piece
    for at in range(max(bisect_right(ranges, first, key=_first) - 1, 0), len(ranges)):
        hole_first, hole_end = ranges[at]
        if hole_first >= end:
            break
        if hole_first > first:
            yield first, hole_first
        first = max(first, hole_end)
    if first < end:
        yield first, end
