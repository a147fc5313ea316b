"""Functions of the C library that Python does not offer; looked up when first called."""

from __future__ import annotations

import ctypes
import os
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@cache
def function(name: str) -> Any:
    """One function, whose errno is kept. AttributeError if this library has none of that name."""
    return getattr(ctypes.CDLL(None, use_errno=True), name)


def call(name: str, *arguments: Any) -> int:
    """Call a function that returns an int. A negative result is raised as OSError.

    Integers are C ints unless they come as another type of `ctypes`.
    """
    result: int = function(name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def system_call(number: int, *arguments: Any) -> int:
    """syscall(2); integers are longs. OSError as `call`."""
    longs = [ctypes.c_long(each) if isinstance(each, int) else each for each in (number, *arguments)]
    return call("syscall", *longs)
