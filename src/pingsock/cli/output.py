"""Standard output and standard error of a command, unbuffered, for text of any kind.

`print` will not do for a ping: a name may hold bytes that are no text, a line must be out before the next wait, and a
reader that has gone away is no reason for a traceback. Failures of standard output are kept, and reported at the end
as C programs do.
"""

from __future__ import annotations

import errno
import os

STDOUT, STDERR = 1, 2
_NEWLINE = "\n"
_PLAIN = "\x1b[0m"


class Output:
    """Where a command's lines go. `program` stands before each line on standard error."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.failure: OSError | None = None
        """The first failure of standard output."""
        self.colour = ""
        """The escape sequence before what is written; "" for none."""
        for descriptor in (0, STDOUT, STDERR):
            self._occupy(descriptor)

    def _occupy(self, descriptor: int) -> None:
        """See that a closed standard descriptor is not given to the next socket, which would then be sent our lines."""
        try:
            os.fstat(descriptor)
        except OSError as error:
            os.open(os.devnull, os.O_RDWR)
            if descriptor == STDOUT:
                self.failure = error

    def write(self, text: str) -> None:
        """Text to standard output, at once. A full disk may have room for the next line."""
        try:
            _write_all(STDOUT, _encoded(_painted(text, self.colour) if self.colour else text))
        except OSError as error:
            self.failure = self.failure or error

    @property
    def unread(self) -> bool:
        """Whether the reader of standard output has gone away."""
        return self.failure is not None and self.failure.errno == errno.EPIPE

    def warn(self, text: str) -> None:
        """A line to standard error; nothing happens if that is closed or full."""
        self.warn_plainly(f"{self.program}: {text}\n")

    def warn_plainly(self, text: str) -> None:
        """Text to standard error as it is."""
        try:
            _write_all(STDERR, _encoded(text))
        except OSError:
            pass

    def close(self, status: int) -> int:
        """The exit status: 1 instead of `status` if standard output could not take all that was written.

        A reader that closed its end of a pipe has had enough; that is no error worth a line.
        """
        if self.failure is None:
            return status
        if not self.unread:
            self.warn(f"write error: {os.strerror(self.failure.errno or errno.EIO)}")
        return 1


def _encoded(text: str) -> bytes:
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        # A name from the network that the user's locale cannot show.
        return text.encode("ascii", "backslashreplace")


def _painted(text: str, colour: str) -> str:
    """Not the ends of lines: what comes next has its own colour."""
    return "".join(
        f"{colour}{line.rstrip(_NEWLINE)}{_PLAIN}{line[len(line.rstrip(_NEWLINE)) :]}" if line != _NEWLINE else line
        for line in text.splitlines(keepends=True)
    )


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        try:
            content = content[os.write(descriptor, content) :]
        except BlockingIOError:
            _wait_until_writable(descriptor)


def _wait_until_writable(descriptor: int) -> None:
    import select  # lazy: only for descriptors that somebody made non-blocking

    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()
