"""The stack's one way to fail: OSError with the kernel's errno."""

from __future__ import annotations

import os


def failure(number: int) -> OSError:
    """The OSError (or its subclass, BlockingIOError for EAGAIN and so on) that a system call would raise."""
    return OSError(number, os.strerror(number))
