"""The stack's one way to fail, OSError with the kernel's errno; and how people are told of one."""

from __future__ import annotations

import os


def failure(number: int) -> OSError:
    """The OSError (or its subclass, BlockingIOError for EAGAIN and so on) that a system call would raise."""
    return OSError(number, os.strerror(number))


def in_words(error: Exception) -> str:
    """What went wrong, in a line: of an OSError the file, if it is about one, and the kernel's words."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
