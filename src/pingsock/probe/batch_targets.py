"""Targets by the hundred: a column of packed addresses stands for as many targets, until one is asked for."""

from __future__ import annotations

from array import array
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from pingsock.probe.target import DEFAULT_OPTIONS, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pingsock.probe.target import ProbeOptions

LARGEST_RUN = 512
"""Most single targets that `blocks_of` joins to a block."""
LARGEST_BLOCK = 4096
"""Most targets of a block that `blocks_of` makes: however much is under way, what is begun is ended; and workers share
blocks, not targets. Blocks of a range end at its multiples."""
_LAST_OCTETS = bytes(range(256))
_LINK_LOCAL = 0xFE80 << 112
_LINK_LOCAL_MASK = 0xFFC0 << 112


class TargetBlock:
    """Targets of one family with the same options, in order. Their `host` is their address.

    A column holds the addresses as the socket structures do: one of 32-bit words for IPv4, two of 64-bit words for
    IPv6, both in network byte order.
    """

    __slots__ = ("_targets", "columns", "family", "options")

    def __init__(
        self,
        family: int,
        columns: tuple[array[int], ...],
        options: ProbeOptions = DEFAULT_OPTIONS,
        targets: Sequence[Target] | None = None,
    ) -> None:
        self.family = family
        self.columns = columns
        self.options = options
        self._targets = targets

    @classmethod
    def from_packed(cls, family: int, packed: bytes, options: ProbeOptions = DEFAULT_OPTIONS) -> TargetBlock:
        """Addresses of 4 or 16 bytes, one behind the other. ValueError if there is a piece of one."""
        if family == AF_INET:
            return cls(family, (array("I", packed),), options)
        if len(packed) % 16:
            raise ValueError(f"{len(packed)} bytes are no whole number of IPv6 addresses")
        words = array("Q", packed)
        return cls(family, (words[::2], words[1::2]), options)

    @classmethod
    def from_targets(cls, targets: Sequence[Target]) -> TargetBlock:
        """Targets that exist already; `can_share_block` must hold for each with the first."""
        family, options = targets[0].family, targets[0].options
        packed = b"".join([inet_pton(family, target.address[0]) for target in targets])
        return cls(family, cls.from_packed(family, packed).columns, options, targets)

    def __len__(self) -> int:
        return len(self.columns[0])

    def host(self, number: int) -> str:
        """What `target(number).host` is."""
        if self._targets is not None:
            return self._targets[number].host
        return inet_ntop(self.family, b"".join([column[number : number + 1].tobytes() for column in self.columns]))

    def target(self, number: int) -> Target:
        """One of them, from 0."""
        if self._targets is not None:
            return self._targets[number]
        text = self.host(number)
        address = (text, 0) if self.family == AF_INET else (text, 0, 0, 0)
        return Target(text, self.family, address, options=self.options)

    def part(self, numbers: Sequence[int]) -> TargetBlock:
        """Those with these numbers, in this order, as a block of their own."""
        targets = None if self._targets is None else [self._targets[number] for number in numbers]
        if isinstance(numbers, range):
            columns = [column[numbers.start : numbers.stop : numbers.step] for column in self.columns]
        else:
            columns = [array(column.typecode, [column[number] for number in numbers]) for column in self.columns]
        return TargetBlock(self.family, tuple(columns), self.options, targets)

    def __iter__(self) -> Iterator[Target]:
        return map(self.target, range(len(self)))


def ipv4_blocks(first: int, count: int, options: ProbeOptions = DEFAULT_OPTIONS) -> Iterator[TargetBlock]:
    """`count` IPv4 addresses from the number `first` on, as blocks."""
    last = first + count
    while first < last:
        end = min((first | LARGEST_BLOCK - 1) + 1, last)
        yield TargetBlock.from_packed(AF_INET, _packed_range(first, end), options)
        first = end


def _packed_range(first: int, end: int) -> bytes:
    """The addresses from `first` to before `end`, which share their first two octets."""
    size = end - first
    packed = bytearray(4 * size)
    upper, lower = divmod(first, 0x10000)
    packed[0::4] = bytes((upper >> 8,)) * size
    packed[1::4] = bytes((upper & 0xFF,)) * size
    thirds = b"".join([bytes((octet,)) * 256 for octet in range(lower >> 8, (lower + size - 1 >> 8) + 1)])
    packed[2::4] = thirds[lower & 0xFF :][:size]
    packed[3::4] = (_LAST_OCTETS * (size // 256 + 2))[lower & 0xFF :][:size]
    return bytes(packed)


def blocks_of(stream: Iterable[Target | TargetBlock], largest: int = LARGEST_RUN) -> Iterator[TargetBlock | Target]:
    """The same targets in the same order, in blocks, none too large; those that no block may hold come singly."""
    run: list[Target] = []
    for item in stream:
        if run and (len(run) == largest or type(item) is not Target or not can_share_block(run[0], item)):
            yield TargetBlock.from_targets(run)
            run = []
        if isinstance(item, TargetBlock):
            yield from _parts(item)
        elif can_share_block(item, item):
            run.append(item)
        else:
            yield item
    if run:
        yield TargetBlock.from_targets(run)


def _parts(block: TargetBlock) -> Iterator[TargetBlock]:
    if 0 < len(block) <= LARGEST_BLOCK:
        yield block
        return
    for first in range(0, len(block), LARGEST_BLOCK):
        yield block.part(range(first, min(first + LARGEST_BLOCK, len(block))))


def can_share_block(first: Target, other: Target) -> bool:
    """Whether one block may hold both: alike, each answering for itself, and known by the address alone."""
    return (
        other.family == first.family
        and (other.options is first.options or other.options == first.options)
        and not other.answered_by_others
        and (other.family != AF_INET6 or not _has_scope(other))
    )


def _has_scope(target: Target) -> bool:
    if any(target.address[3:]):
        return True
    number = int.from_bytes(inet_pton(AF_INET6, target.address[0]), "big")
    return number & _LINK_LOCAL_MASK == _LINK_LOCAL
