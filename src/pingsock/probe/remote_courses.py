"""What stands here for the courses of another process: whatever happens to one of them happens to the same object."""

from __future__ import annotations

from typing import cast

from pingsock.probe.records import Stray, Summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pingsock.probe.batch_replies import Replies
    from pingsock.probe.engine import Happening
    from pingsock.probe.records import Record
    from pingsock.probe.statistics import Statistics

    RemoteHappening = tuple[int, bool, Record | Stray | Summary | Replies]


class RemoteCourse:
    """A course, as far as it is of use to those who take results."""

    __slots__ = ("ended_at", "owner", "statistics")

    def __init__(self) -> None:
        self.owner: object = None
        """As that of a course."""
        self.statistics: Statistics | None = None
        """Those of its Summary, once that was told: what is heard later is counted in them."""
        self.ended_at = 0


class RemoteCourses:
    """The courses of one process, by number, for as long as something can be heard of them."""

    def __init__(self, kept: int) -> None:
        """Those that have ended are `kept` for so many nanoseconds."""
        self._kept = kept
        self._active: dict[int, RemoteCourse] = {}
        self._ended: dict[int, RemoteCourse] = {}
        """In the order in which they ended."""
        self._told_at = 0
        """When what was told last had happened."""

    def __len__(self) -> int:
        return len(self._active) + len(self._ended)

    def happenings(self, now: int, happened: Iterable[RemoteHappening]) -> list[Happening]:
        """What happened, with its courses; it was told at `now`, all together."""
        # In the order of courses of this process: a record may be late by the time for which the other one stood still.
        self._forget(self._told_at)
        self._told_at = now
        summaries: list[tuple[RemoteCourse, Summary]] = []
        found: list[Happening] = []
        for number, ended, what in happened:
            course = self._course(number, ended, now) if number else None
            if course is not None and isinstance(what, Summary):
                summaries.append((course, what))
            elif course is not None and course.statistics is not None:
                course.statistics.enter(cast("Record", what))
            found.append(cast("Happening", (course, what)))
        # What was told together with a summary is counted in it already.
        for course, summary in summaries:
            course.statistics = summary.statistics
        return found

    def _course(self, number: int, ended: bool, now: int) -> RemoteCourse:
        course = self._ended.get(number) or self._active.pop(number, None) or RemoteCourse()
        if not ended:
            self._active[number] = course
        elif number not in self._ended:
            self._ended[number] = course
            course.ended_at = now
        return course

    def _forget(self, now: int) -> None:
        while self._ended:
            number = next(iter(self._ended))
            if self._ended[number].ended_at + self._kept > now:
                return
            del self._ended[number]
