"""Where target specifications are written: arguments, files, standard input. Read as often as needed, never held.

In a file, specifications stand between blanks or line ends, and what follows a # up to the end of its line is a
comment. What is no regular file (a pipe, a terminal) is copied to a temporary file first, so that it too can be checked
whole before anything is sent, and read once more for sending.
"""

from __future__ import annotations

import os
import stat
import tempfile

from pingsock.tools.target_specs import InvalidTarget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Protocol

    class Source(Protocol):
        """Specifications in order, each with its place; the same ones each time it is iterated."""

        def __iter__(self) -> Iterator[tuple[str, str]]: ...
        def close(self) -> None: ...  # noqa: D102


_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Editors of other systems begin a UTF-8 file so."""
STANDARD_INPUT = "-"


class Words:
    """Specifications as arguments; they have no place, as they are their own."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = tuple(words)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((word, "") for word in self._words)

    def close(self) -> None:
        """Nothing to do."""


class WordFile:
    """Specifications in a file; "-" is standard input. Close it."""

    def __init__(self, path: str) -> None:
        """:raises InvalidTarget: it cannot be read."""
        self.name = "standard input" if path == STANDARD_INPUT else path
        try:
            self._descriptor, self._start = _opened(path)
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from error

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for number, line in enumerate(self._lines(), 1):
            words = line.partition(b"#")[0].split()
            if words:
                place = f"{self.name}, line {number}"
                for word in words:
                    yield word.decode("utf-8", "surrogateescape"), place

    def _lines(self) -> Iterator[bytes]:
        rest = self._chunk(self._start).removeprefix(_BYTE_ORDER_MARK)
        at = self._start + _CHUNK
        while chunk := self._chunk(at):
            lines = (rest + chunk).split(b"\n")
            at += _CHUNK
            rest = lines.pop()
            if len(rest) > _LONGEST_LINE:
                raise InvalidTarget(self.name, f"a file with lines of at most {_LONGEST_LINE} bytes", name="file")
            yield from lines
        yield from rest.split(b"\n")

    def _chunk(self, at: int) -> bytes:
        """So many bytes from there; fewer only at the end of the file."""
        chunk = b""
        try:
            while len(chunk) < _CHUNK and (more := os.pread(self._descriptor, _CHUNK - len(chunk), at + len(chunk))):
                chunk += more
        except OSError as error:
            raise _unreadable(self.name, error) from error
        return chunk

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _unreadable(path: str, error: OSError | ValueError) -> InvalidTarget:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return InvalidTarget(path, f"a file that can be read ({reason})", name="file")


def _opened(path: str) -> tuple[int, int]:
    """A descriptor that can be read at any offset, and where its text begins."""
    descriptor = os.dup(0) if path == STANDARD_INPUT else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            # Of standard input others may have read a part.
            return descriptor, os.lseek(descriptor, 0, os.SEEK_CUR)
        copy = _copied(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return copy, 0


def _copied(descriptor: int) -> int:
    with tempfile.TemporaryFile() as copy:
        while chunk := os.read(descriptor, _CHUNK):
            copy.write(chunk)
        copy.flush()
        return os.dup(copy.fileno())
