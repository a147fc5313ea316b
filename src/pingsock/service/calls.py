"""System calls that Python has no function for, by way of the C library."""

from __future__ import annotations

import ctypes
import os
from errno import EFAULT

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, first: int = 0, second: int = 0, third: int = 0, fourth: int = 0) -> int:
    """prctl(2). OSError with its errno."""
    return _checked(_libc.prctl(option, *map(ctypes.c_ulong, (first, second, third, fourth))))


def capset(header: bytes, sets: bytes) -> None:
    """capset(2) with the bytes of its two structures. OSError with its errno."""
    _checked(_libc.capset(header, sets))


def syscall(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """syscall(2): integers, bytes, buffers, or None for a null pointer. OSError with its errno."""
    _libc.syscall.restype = ctypes.c_long
    passed = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *passed))


def getsockopt(fileno: int, level: int, option: int, size: int) -> bytes:
    """getsockopt(2) of any size; Python's takes 1024 bytes at most. OSError with its errno."""
    buffer = ctypes.create_string_buffer(size)
    length = ctypes.c_uint32(size)
    _checked(_libc.getsockopt(fileno, level, option, buffer, ctypes.byref(length)))
    return buffer.raw[: length.value]


def own_memory(address: int, size: int) -> bytes:
    """Bytes of this process at an address. OSError EFAULT if they are not there, as if a system call had them."""
    copy = os.memfd_create("copy")
    try:
        if _checked(_libc.write(copy, ctypes.c_void_p(address), ctypes.c_size_t(size))) != size:
            raise OSError(EFAULT, os.strerror(EFAULT))
        return os.pread(copy, size, 0)
    finally:
        os.close(copy)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
