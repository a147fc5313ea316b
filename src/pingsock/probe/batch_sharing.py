"""What the workers of a batch run share: the stream they take targets from, and the queue of what they found out."""

from __future__ import annotations

from collections import deque
from threading import Condition, Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pingsock.probe.batch_targets import TargetBlock
    from pingsock.probe.engine import Happening
    from pingsock.probe.target import Target

MOST_QUEUED = 512
"""Happenings, of which one may stand for hundreds of replies, that wait to be looked at."""


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


class Results:
    """A bounded queue of lists, from several threads to one."""

    def __init__(self, writers: int) -> None:
        self.stopped = False
        self._lists: deque[list[Happening]] = deque()
        self._queued = 0
        self._failure: BaseException | None = None
        self._writers = writers
        self._changed = Condition()

    def put(self, results: list[Happening]) -> None:
        """Enter a list; waits while there is no room. Once it is stopped nothing is entered."""
        with self._changed:
            self._changed.wait_for(lambda: self._queued < MOST_QUEUED or self.stopped)
            if not self.stopped:
                self._lists.append(results)
                self._queued += len(results)
                self._changed.notify_all()

    def finish(self, failure: BaseException | None) -> None:
        """A writer has ended. If it failed the others are stopped."""
        with self._changed:
            self._writers -= 1
            self._failure = self._failure or failure
            self.stopped = self.stopped or failure is not None
            self._changed.notify_all()

    def stop(self) -> None:
        """No more is wanted."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()

    @property
    def expected(self) -> bool:
        """Whether there are lists, or writers left that may enter some."""
        with self._changed:
            return bool(self._writers or self._lists or self._failure)

    def take(self, patience: float | None = None) -> list[list[Happening]]:
        """All that is there, at least one list; nothing when all writers have ended. Then raises what ended one.

        Nothing, too, after `patience` seconds without a list.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._lists or self._failure or not self._writers, patience)
            if self._failure and not self._lists:
                raise self._failure
            taken = list(self._lists)
            self._lists.clear()
            self._queued = 0
            self._changed.notify_all()
            return taken
