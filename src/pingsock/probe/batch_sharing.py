"""What the workers of a batch run share: the stream they take targets from, and the queue of what they found out."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from threading import Lock
from time import sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pingsock.probe.batch_targets import TargetBlock
    from pingsock.probe.engine import Happening
    from pingsock.probe.target import Target

MOST_QUEUED = 512
"""Happenings, of which one may stand for hundreds of replies, that wait to be looked at."""
_PATIENCE = 0.005
"""Seconds."""


class Stream:
    """An iterator that threads may share."""

    def __init__(self, targets: Iterable[Target | TargetBlock]) -> None:
        self._targets = iter(targets)
        self._lock = Lock()

    def __iter__(self) -> Iterator[Target | TargetBlock]:
        return self

    def __next__(self) -> Target | TargetBlock:
        with self._lock:
            return next(self._targets)


class _Ended:
    """What a writer enters last: why it ended, or None."""

    def __init__(self, failure: BaseException | None) -> None:
        self.failure = failure


class Results:
    """A bounded queue of lists, from several threads to one.

    An interrupt is an exception at any point of the reader, and would leave a condition locked for ever. So the reader
    takes no lock; writers who find the queue full look again from time to time.
    """

    def __init__(self, writers: int) -> None:
        self.stopped = False
        self._items: SimpleQueue[list[Happening] | _Ended] = SimpleQueue()
        self._writing = Lock()
        self._entered = 0
        """Happenings, counted by the writers."""
        self._taken = 0
        """Happenings, counted by the reader."""
        self._writers = writers
        self._failure: BaseException | None = None

    @property
    def _is_full(self) -> bool:
        return self._entered - self._taken >= MOST_QUEUED

    def put(self, results: list[Happening]) -> None:
        """Enter a list; waits while there is no room. Once it is stopped nothing is entered."""
        while self._is_full and not self.stopped:
            sleep(_PATIENCE)
        if not self.stopped:
            with self._writing:
                self._entered += len(results)
            self._items.put(results)

    def finish(self, failure: BaseException | None) -> None:
        """A writer has ended. If it failed the others are stopped."""
        self.stopped = self.stopped or failure is not None
        self._items.put(_Ended(failure))

    def stop(self) -> None:
        """No more is wanted."""
        self.stopped = True

    @property
    def expected(self) -> bool:
        """Whether `take` has anything more to tell, if only that there is no more."""
        return bool(self._writers or self._failure)

    def take(self, patience: float | None = None) -> list[list[Happening]]:
        """All that is there, at least one list; nothing when all writers have ended. Then raises what ended one.

        Nothing, too, after `patience` seconds without a list.
        """
        lists: list[list[Happening]] = []
        while self._writers and not self._failure:
            try:
                item = self._items.get(not lists, patience)
            except Empty:
                break
            if isinstance(item, _Ended):
                self._writers -= 1
                self._failure = item.failure
            else:
                self._taken += len(item)
                lists.append(item)
        if self._failure and not lists:
            raise self._failure
        return lists
