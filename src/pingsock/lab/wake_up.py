"""Something another thread can do to end a wait."""

from __future__ import annotations

import os


class WakeUp:
    """A descriptor that is readable from `give` until `take`, by whichever threads these are called."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        for end in (self._read_end, self._write_end):
            os.set_blocking(end, False)

    def fileno(self) -> int:
        """The descriptor; -1 once it is closed."""
        return self._read_end

    def give(self) -> None:
        """Make the descriptor readable, if it is not."""
        try:
            os.write(self._write_end, b"\0")
        except BlockingIOError:
            pass  # The pipe is full of wake-ups already.

    def take(self) -> None:
        """Make it unreadable, if it is not."""
        try:
            os.read(self._read_end, 65536)
        except BlockingIOError:
            pass  # There was none.

    def close(self) -> None:
        """Idempotent."""
        if self._read_end >= 0:
            os.close(self._read_end)
            os.close(self._write_end)
            self._read_end = self._write_end = -1
