"""System calls by name and number, for each architecture, and what the filter makes of them: tables only.

Numbers are those of the kernel's `asm/unistd.h`; arm64 has the generic table, which lacks dup2.
"""

from __future__ import annotations

from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Architecture(Value):
    """One system call table, as programs of one kind use it."""

    audit: int
    """AUDIT_ARCH_*: the `arch` of struct seccomp_data (linux/audit.h)."""
    numbers: Mapping[str, int]
    """Name -> number of the calls a socket is used with, and of seccomp(2)."""

    @property
    def names(self) -> dict[int, str]:
        """Number -> name."""
        return {number: name for name, number in self.numbers.items()}


ARCHITECTURES: dict[str, Architecture] = {
    "x86_64": Architecture(
        0xC000003E,
        {
            "read": 0,
            "write": 1,
            "close": 3,
            "ioctl": 16,
            "readv": 19,
            "writev": 20,
            "dup": 32,
            "dup2": 33,
            "socket": 41,
            "connect": 42,
            "accept": 43,
            "sendto": 44,
            "recvfrom": 45,
            "sendmsg": 46,
            "recvmsg": 47,
            "shutdown": 48,
            "bind": 49,
            "listen": 50,
            "getsockname": 51,
            "getpeername": 52,
            "setsockopt": 54,
            "getsockopt": 55,
            "fcntl": 72,
            "accept4": 288,
            "dup3": 292,
            "recvmmsg": 299,
            "sendmmsg": 307,
            "seccomp": 317,
        },
    ),
    "aarch64": Architecture(
        0xC00000B7,
        {
            "dup": 23,
            "dup3": 24,
            "fcntl": 25,
            "ioctl": 29,
            "close": 57,
            "read": 63,
            "write": 64,
            "readv": 65,
            "writev": 66,
            "socket": 198,
            "bind": 200,
            "listen": 201,
            "accept": 202,
            "connect": 203,
            "getsockname": 204,
            "getpeername": 205,
            "sendto": 206,
            "recvfrom": 207,
            "setsockopt": 208,
            "getsockopt": 209,
            "shutdown": 210,
            "sendmsg": 211,
            "recvmsg": 212,
            "accept4": 242,
            "recvmmsg": 243,
            "sendmmsg": 269,
            "seccomp": 277,
        },
    ),
}
"""Machine, as uname(2) calls it -> its 64-bit table."""

PIDFD_GETFD = 438
"""The same number everywhere, as for all calls since 2019."""

ON_DESCRIPTOR = (
    "recvmsg",
    "sendto",
    "recvfrom",
    "sendmsg",
    "read",
    "write",
    "close",
    "readv",
    "writev",
    "recvmmsg",
    "sendmmsg",
    "bind",
    "connect",
    "getsockname",
    "getpeername",
    "getsockopt",
    "setsockopt",
    "shutdown",
    "ioctl",
    "listen",
    "accept",
    "accept4",
    "dup",
    "dup2",
    "dup3",
)
"""Calls whose first argument is a descriptor; those on a served socket are ours. fcntl(2) is for some commands only."""

F_DUPFD, F_SETFL, F_DUPFD_CLOEXEC = 0, 4, 1030
FCNTL_COMMANDS = (F_DUPFD, F_SETFL, F_DUPFD_CLOEXEC)
"""The other commands mean the descriptor or its file, not the socket behind, and the kernel obeys them."""
