"""No writing to the file system and no running of programs, by Landlock (Linux 5.13)."""

from __future__ import annotations

import ctypes
import os
import struct

from pingsock.service.calls import syscall

_CREATE_RULESET, _RESTRICT_SELF = 444, 446
"""The same on every architecture."""
_ASK_VERSION = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIRECTORY = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_ALL_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""LANDLOCK_ACCESS_FS_* that a version knows: 2 has renaming across directories, 3 truncating, 5 ioctl."""


def version() -> int:
    """What the kernel has. OSError ENOSYS or EOPNOTSUPP if it has none."""
    return syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)


def forbid_changes() -> int:
    """Forbid this thread everything on files but to read them, as far as the kernel's version goes, which is returned.

    Needs no_new_privs. OSError if the kernel has no Landlock.
    """
    found = version()
    known = max(each for each in _ALL_BY_VERSION if each <= found)
    handled = struct.pack("=Q", _ALL_BY_VERSION[known] & ~(READ_FILE | READ_DIRECTORY))
    ruleset = syscall(_CREATE_RULESET, ctypes.create_string_buffer(handled, len(handled)), len(handled), 0)
    try:
        syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return found
