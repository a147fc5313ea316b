"""Filters of system calls: what a program sees of a call, and what it may decide (seccomp(2), linux/seccomp.h).

    struct seccomp_data   0: nr (i32)   4: arch (u32)   8: instruction pointer (u64)   16: six arguments (u64 each)

Only the lower half of an argument is read, as the kernel itself does with descriptors and small numbers; all known
architectures are little-endian.
"""

from __future__ import annotations

from pingsock.wire.bpf import JUMP_EQUAL, LOAD_WORD, RETURN, op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.wire.bpf import Line

SET_MODE_FILTER = 1
FILTER_FLAG_NEW_LISTENER = 8

KILL_PROCESS, ERRNO, NOTIFY, ALLOW = 0x80000000, 0x00050000, 0x7FC00000, 0x7FFF0000
"""What a program returns (SECCOMP_RET_*); ERRNO is completed by the error's number."""

_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16


def beginning(audit: int, otherwise: int) -> list[Line]:
    """Decide `otherwise` about calls by the table of another architecture; then A is the call's number."""
    return [
        op(LOAD_WORD, _ARCHITECTURE_AT),
        op(JUMP_EQUAL, audit, "known architecture"),
        op(RETURN, otherwise),
        op(LOAD_WORD, _NUMBER_AT, label="known architecture"),
    ]


def load_argument(number: int, *, label: str = "") -> Line:
    """A is the lower half of an argument."""
    return op(LOAD_WORD, _ARGUMENTS_AT + 8 * number, label=label)
