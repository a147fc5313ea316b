"""A running program's memory, as its system calls see it. Whatever is read is a stranger's.

The layouts are those of 64-bit Linux, the same on x86-64 and arm64.
"""

from __future__ import annotations

import ctypes
import os
import struct
from errno import EFAULT, EINVAL
from functools import cache

from pingsock.run.libc import function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    Vector = tuple[int, int]
    """Where a piece of memory is, and its bytes."""

LONGEST_COPY = 1 << 20
"""Bytes. More than any call here needs at once, so that no number a program gives costs us memory."""
_PAGE = 4096
_VECTOR = struct.Struct("=2Q")
_INT = struct.Struct("=i")
_ADDRESS_MASK = (1 << 64) - 1


@cache
def _copier(name: str) -> Any:
    """process_vm_readv(2) or process_vm_writev(2)."""
    copier = function(name)
    pointer, size = ctypes.c_void_p, ctypes.c_ulong
    copier.argtypes = [ctypes.c_int, pointer, size, pointer, size, size]
    copier.restype = ctypes.c_ssize_t
    return copier


class Memory:
    """The memory of the process that a thread belongs to. Every access fails with EFAULT if it leads nowhere."""

    def __init__(self, thread: int) -> None:
        self._thread = thread

    def read(self, address: int, size: int) -> bytes:
        """Bytes at an address."""
        return self.gather(((address, size),))

    def read_below(self, end: int, size: int) -> bytes:
        """What lies before an address: `size` bytes, or less if that is no memory."""
        try:
            return self.read(max(0, end - size), min(end, size))
        except OSError:
            return b"" if size <= _PAGE else self.read_below(end, size // 2)

    def read_int(self, address: int) -> int:
        """A C int."""
        return int(_INT.unpack(self.read(address, _INT.size))[0])

    def write(self, address: int, content: bytes) -> None:
        """Put bytes at an address."""
        self.scatter(((address, len(content)),), content)

    def write_int(self, address: int, number: int) -> None:
        """Put a C int."""
        self.write(address, _INT.pack(number))

    def gather(self, vectors: Sequence[Vector]) -> bytes:
        """The content of several pieces of memory, one behind the other."""
        size = sum([length for _address, length in vectors])
        if size > LONGEST_COPY:
            raise OSError(EINVAL, os.strerror(EINVAL))
        if not size:
            return b""
        buffer = ctypes.create_string_buffer(size)
        self._copy("process_vm_readv", buffer, size, vectors)
        return buffer.raw

    def scatter(self, vectors: Iterable[Vector], content: bytes) -> None:
        """Fill several pieces of memory, one after the other, as far as the content goes."""
        pieces = cut(vectors, len(content))
        size = sum([length for _address, length in pieces])
        if size:
            self._copy("process_vm_writev", ctypes.create_string_buffer(content, len(content)), size, pieces)

    def _copy(
        self,
        name: str,
        buffer: ctypes.Array[ctypes.c_char],
        size: int,
        vectors: Sequence[Vector],
    ) -> None:
        ours = _VECTOR.pack(ctypes.addressof(buffer), size)
        theirs = b"".join([_VECTOR.pack(address & _ADDRESS_MASK, length) for address, length in vectors])
        if _copier(name)(self._thread, ours, 1, theirs, len(vectors), 0) != size:
            raise OSError(EFAULT, os.strerror(EFAULT))

    def is_accessible(self) -> bool:
        """Whether we may read and write it: not in a program that its user may only execute, or of another user."""
        try:
            os.close(os.open(f"/proc/{self._thread}/mem", os.O_RDWR | os.O_CLOEXEC))
        except OSError:
            return False
        return True


def cut(vectors: Iterable[Vector], size: int) -> list[Vector]:
    """The first `size` bytes of several pieces of memory."""
    pieces = []
    for address, length in vectors:
        if size <= 0:
            break
        pieces.append((address, min(length, size)))
        size -= length
    return [piece for piece in pieces if piece[1]]
