"""Which position of a stream a target came from, for drivers that know targets only."""

from __future__ import annotations

import sys
from socket import AF_INET, inet_pton
from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from pingsock.probe.batch_targets import TargetBlock
    from pingsock.probe.target import Target

_WORD = 8


class Positions:
    """Targets under way, by address. The same address may be under way any number of times. Threads may share it."""

    def __init__(self) -> None:
        self._open: dict[Hashable, int] = {}
        self._again: dict[Hashable, list[int]] = {}
        """Further positions of addresses that are in `_open`."""
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._open) + sum(map(len, self._again.values()))

    def enter(self, target: Target, position: int) -> None:
        """A target that is at this position."""
        with self._lock:
            self._enter([_key(target)], position)

    def enter_block(self, block: TargetBlock, position: int) -> None:
        """A block whose first target is at this position."""
        columns = block.columns
        with self._lock:
            self._enter(list(columns[0] if len(columns) == 1 else zip(*columns, strict=True)), position)

    def _enter(self, keys: list[Hashable], position: int) -> None:
        if len(set(keys)) == len(keys) and self._open.keys().isdisjoint(keys):
            self._open.update(zip(keys, range(position, position + len(keys)), strict=True))
            return
        for key in keys:
            if key in self._open:
                self._again.setdefault(key, []).append(position)
            else:
                self._open[key] = position
            position += 1

    def take(self, target: Target) -> int:
        """The first position the target is at, which it is no longer. KeyError if it is at none."""
        with self._lock:
            return self._take(_key(target))

    def _take(self, key: Hashable) -> int:
        position = self._open[key]
        further = self._again.get(key)
        if further is None:
            del self._open[key]
            return position
        self._open[key] = further.pop(0)
        if not further:
            del self._again[key]
        return position


def _key(target: Target) -> Hashable:
    """As the columns of a block have the address; with the scope if it has one."""
    packed = inet_pton(target.family, target.address[0])
    if target.family == AF_INET:
        return int.from_bytes(packed, sys.byteorder)
    words: Iterable[bytes] = packed[:_WORD], packed[_WORD:]
    scope = target.address[3:]
    return *(int.from_bytes(word, sys.byteorder) for word in words), *(scope if any(scope) else ())
