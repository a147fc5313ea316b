"""What a sweep goes through: specifications become a stream of targets, of any length, in constant memory.

Every place in the stream has a position, counted from 0: that of an address, or of a name whatever number of addresses
it will have. The same specifications, exclusions and seed give the same stream, which can be begun at any position.

In the given order nothing is held but the exclusions. A random order (`seed`) holds each specification, not each
address; the order itself is computed.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from socket import AF_INET, AF_INET6

from pingsock.probe.batch_targets import TargetBlock, ipv4_blocks
from pingsock.probe.records import Unresolved
from pingsock.probe.target import DEFAULT_OPTIONS, Target
from pingsock.sockets.errors import InvalidArgument
from pingsock.tools.arguments import check_family, flag, integer
from pingsock.tools.destination import OTHER_FAMILY, Destination, is_broadcast
from pingsock.tools.names import look_up
from pingsock.tools.target_order import SEEDS, Permutation
from pingsock.tools.target_ranges import Exclusions
from pingsock.tools.target_sources import Words
from pingsock.tools.target_specs import BITS, InvalidTarget, Name, Span, number_of, parse_spec, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Any, Self

    from pingsock.probe.target import ProbeOptions, SocketAddress
    from pingsock.tools.target_sources import Source

    Piece = Span | Name | Unresolved
    Item = TargetBlock | Target | Name | Unresolved
    Run = tuple[Piece, int, int]

_GROUPS4 = 224 << 24, 240 << 24
_EVERYBODY4 = 2**32 - 1
_GROUPS6 = 0xFF << 120
_LINK_LOCAL6 = 0xFE80 << 112, 0xFEC0 << 112
_INTERFACE_BITS = 64
_BLOCK = 256
"""Most addresses gathered into one block: as many as an IPv4 /24 has, and as one system call is given."""
_WORTH_A_BLOCK = 16
"""So many addresses in a row are made into blocks of their own; fewer are gathered with others."""


def read_exclusions(sources: Iterable[Source]) -> Exclusions:
    """What these specifications leave out: whole prefixes, and every address of a name.

    :raises InvalidTarget: a specification is none, or a name is not known.
    """
    return Exclusions([span for source in sources for word, place in source for span in _left_out(word, place)])


def _left_out(word: str, place: str) -> list[Span]:
    try:
        piece = parse_spec(word, whole_prefixes=True)
    except InvalidTarget as refusal:
        raise InvalidTarget(word, refusal.requirement, place, "exclusion") from refusal
    if isinstance(piece, Span):
        return [piece]
    found = look_up(word, every_address=True)
    if isinstance(found, Unresolved):
        raise InvalidTarget(word, f"a name that is known, to be left out ({found.reason})", place, "exclusion")
    return [_span_of(destination) for destination in found]


def _span_of(destination: Destination) -> Span:
    scope = destination.address[3] if destination.family == AF_INET6 else 0
    return Span(int(destination.family), int.from_bytes(destination.packed, "big"), 1, scope)


class TargetList:
    """All targets of a sweep. It owns its sources: use it in a `with` block, or close it."""

    count: int
    """How many positions there are."""
    only_addresses: bool
    """Whether there is neither a name nor anything that is no target."""
    longest_name: int
    """Characters; 0 if there are no names."""
    families: frozenset[int]
    """Of the addresses that were written."""
    digest: str
    """Differs if the specifications, what they leave out, or the order differ."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        excluded: Sequence[Source] = (),
        family: int = 0,
        options: ProbeOptions = DEFAULT_OPTIONS,
        whole_prefixes: bool = False,
        seed: int | None = None,
    ) -> None:
        """Check everything that is written, which reads it once. `seed` makes the order random.

        `family` 0 is both; what is of the other one is an `Unresolved`.

        :raises InvalidTarget: a specification means nothing or too much.
        :raises InvalidArgument: another argument is not what it must be.
        """
        self.seed = None if seed is None else integer("seed", seed, 0, SEEDS - 1)
        self.options = options
        self._sources = (*sources, *excluded)
        self._included = tuple(sources)
        self.family = check_family(family)
        self._whole_prefixes = flag("whole_prefixes", whole_prefixes)
        self._exclusions = read_exclusions(excluded)
        self._check()

    @classmethod
    def of(cls, *specs: str, exclude: Iterable[str] = (), **settings: Any) -> Self:
        """A list of specifications; `settings` as for the class."""
        return cls([_words("target", specs)], excluded=[_words("exclude", exclude)], **settings)

    def _check(self) -> None:
        digest = hashlib.sha256(repr((self.family, self._whole_prefixes, self.seed)).encode())
        for source in self._sources:
            digest.update(b"\0")
            for word, _ in source:
                digest.update(word.encode("utf-8", "surrogatepass") + b"\n")
        self.digest = digest.hexdigest()
        self._table = None if self.seed is None else _Table()
        self.count = 0
        self.longest_name = 0
        self.only_addresses = True
        families = set()
        for piece in self._pieces():
            self.count += _count(piece)
            if isinstance(piece, Span):
                families.add(piece.family)
            else:
                self.only_addresses = False
                self.longest_name = max(self.longest_name, len(piece.text if isinstance(piece, Name) else piece.host))
            if self._table is not None:
                self._table.enter(piece)
        self.families = frozenset(families)

    def close(self) -> None:
        """Close the sources. Idempotent."""
        for source in self._sources:
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.close()

    # Reading

    def _pieces(self) -> Iterator[Piece]:
        for source in self._included:
            for word, place in source:
                try:
                    piece = parse_spec(word, whole_prefixes=self._whole_prefixes)
                except InvalidTarget as refusal:
                    raise refusal.at(place) from None
                yield from self._wanted(piece, word)

    def _wanted(self, piece: Span | Name, word: str) -> Iterator[Piece]:
        if isinstance(piece, Name):
            yield piece
        elif self.family not in (0, piece.family):
            yield Unresolved(word, OTHER_FAMILY)
        elif self._exclusions:
            yield from self._exclusions.rest_of(piece, self.options.interface)
        else:
            yield piece

    def _runs(self, start: int) -> Iterator[Run]:
        """Pieces, with the offset and count of the addresses meant, from a position on."""
        if self._table is not None:
            order = Permutation(self.count, self.seed or 0)
            yield from map(self._table.run, map(order.__getitem__, range(start, self.count)))
            return
        for piece in self._pieces():
            count = _count(piece)
            if start < count:
                yield piece, start, count - start
            start = max(start - count, 0)

    # The stream

    def items(self, start: int = 0) -> Iterator[Item]:
        """Everything from a position on: blocks of targets, targets that fit into none, names, and what is no target.

        A block stands for as many positions as it has targets, all else for one.
        """
        gathered = _Gathered(self.options)
        for piece, offset, count in self._runs(start):
            if not isinstance(piece, Span):
                yield from gathered.take()
                yield piece
            elif self._needs_targets(piece):
                yield from gathered.take()
                yield from (self._target(piece, offset + number) for number in range(count))
            elif count >= _WORTH_A_BLOCK:
                yield from gathered.take()
                yield from _blocks(piece.family, piece.first + offset, count, self.options)
            else:
                for number in range(count):
                    yield from gathered.enter(piece.family, piece.first + offset + number)
        yield from gathered.take()

    def blocks(self, start: int = 0) -> Iterator[TargetBlock | Target]:
        """As `items`, without what is no target; the same if there are `only_addresses`."""
        return (item for item in self.items(start) if isinstance(item, (TargetBlock, Target)))

    def targets(self, start: int = 0) -> Iterator[Target | Name | Unresolved]:
        """As `items`, one by one: what is at each position."""
        for item in self.items(start):
            if isinstance(item, TargetBlock):
                yield from item
            else:
                yield item

    def targets_of(self, name: str, found: Iterable[Destination]) -> list[Target]:
        """The targets a name became, those that are excluded left out."""
        spans = [_span_of(destination) for destination in found]
        left_out, interface = self._exclusions.leaves_out, self.options.interface
        wanted = [span for span in spans if not left_out(span.family, span.first, span.scope or interface)]
        return [self._target(span.replace(text=name), 0) for span in wanted]

    def _needs_targets(self, span: Span) -> bool:
        """Whether the addresses of a span cannot be in a block, which tells addresses and nothing else."""
        if span.scope or (span.text and span.family == AF_INET6 and span.text != text_of(AF_INET6, span.first)):
            return True
        if span.family == AF_INET:
            return self.options.broadcast or _has_special4(span.first, span.first + span.count - 1)
        return _has_special6(span.first, span.first + span.count - 1)

    def _target(self, span: Span, offset: int) -> Target:
        text = text_of(span.family, span.first + offset)
        address: SocketAddress = (text, 0) if span.family == AF_INET else (text, 0, 0, span.scope)
        destination = Destination(span.family, address, text)
        if destination.is_link_local and not span.scope:
            address = (text, 0, 0, self.options.interface)
        by_others = destination.answered_by_others or (self.options.broadcast and is_broadcast(destination))
        return Target(span.text or text, span.family, address, by_others, self.options)


def _words(name: str, given: Iterable[str]) -> Words:
    """Texts, but not one alone, whose letters would be taken for hosts."""
    if isinstance(given, Iterable) and not isinstance(given, str):
        words = tuple(given)
        if all(isinstance(word, str) for word in words):
            return Words(words)
    raise InvalidArgument(name, given, "an iterable of addresses, ranges, prefixes and names, each a str")


def _count(piece: Piece) -> int:
    return piece.count if isinstance(piece, Span) else 1


def _has_special4(first: int, last: int) -> bool:
    """Whether one of these is a group, or everybody."""
    return last == _EVERYBODY4 or (first < _GROUPS4[1] and last >= _GROUPS4[0])


def _has_special6(first: int, last: int) -> bool:
    """Whether one of these is a group, link-local, or a subnet-router anycast address of a /64."""
    link_local = first < _LINK_LOCAL6[1] and last >= _LINK_LOCAL6[0]
    return last >= _GROUPS6 or link_local or last >> _INTERFACE_BITS != (first - 1) >> _INTERFACE_BITS


def _blocks(family: int, first: int, count: int, options: ProbeOptions) -> Iterator[TargetBlock]:
    if family == AF_INET:
        yield from ipv4_blocks(first, count, options)
        return
    for start in range(first, first + count, _BLOCK):
        numbers = range(start, min(start + _BLOCK, first + count))
        yield _block(family, numbers, options)


def _block(family: int, numbers: Iterable[int], options: ProbeOptions) -> TargetBlock:
    size = BITS[family] // 8
    return TargetBlock.from_packed(family, b"".join([number.to_bytes(size, "big") for number in numbers]), options)


class _Gathered:
    """Scattered addresses on their way into a block."""

    def __init__(self, options: ProbeOptions) -> None:
        self._options = options
        self.family = 0
        self._numbers: list[int] = []

    def enter(self, family: int, number: int) -> Iterator[TargetBlock]:
        """Add an address; yields the block before if this one does not fit into it."""
        if family != self.family or len(self._numbers) == _BLOCK:
            yield from self.take()
            self.family = family
        self._numbers.append(number)

    def take(self) -> Iterator[TargetBlock]:
        """What was gathered, if anything."""
        if self._numbers:
            yield _block(self.family, self._numbers, self._options)
            self._numbers = []


class _Table:
    """Pieces by position: 16 bytes of each IPv4 address or range, the others as they are."""

    def __init__(self) -> None:
        self._starts = array("Q")
        self._firsts = array("Q")
        self._others: dict[int, Piece] = {}
        self._count = 0

    def enter(self, piece: Piece) -> None:
        """Add a piece at the end."""
        is_plain = isinstance(piece, Span) and piece.family == AF_INET
        if not is_plain:
            self._others[len(self._starts)] = piece
        self._firsts.append(piece.first if isinstance(piece, Span) and is_plain else 0)
        self._starts.append(self._count)
        self._count += _count(piece)

    def run(self, position: int) -> Run:
        """What stands at a position of the given order."""
        at = bisect_right(self._starts, position) - 1
        offset = position - self._starts[at]
        other = self._others.get(at)
        if other is not None:
            return other, offset, 1
        return Span(AF_INET, self._firsts[at] + offset, 1), 0, 1


__all__ = ["InvalidTarget", "Name", "TargetList", "Unresolved", "number_of", "read_exclusions"]
