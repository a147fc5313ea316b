"""System calls by name and number, for each architecture whose programs we filter: the one table of them.

Numbers are those of the kernel's `asm/unistd.h`. arm64 has the generic table, which lacks calls that others replace.
"""

from __future__ import annotations

from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Architecture(Value):
    """One system call table, as 64-bit programs use it."""

    audit: int
    """AUDIT_ARCH_*: the `arch` of struct seccomp_data (linux/audit.h)."""
    numbers: Mapping[str, int]
    """Name -> number."""

    @property
    def names(self) -> dict[int, str]:
        """Number -> name."""
        return {number: name for name, number in self.numbers.items()}


_MISSING = -1
_NUMBERS: dict[str, tuple[int, int]] = {
    "accept": (43, 202),
    "accept4": (288, 242),
    "bind": (49, 200),
    "brk": (12, 214),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "close": (3, 57),
    "connect": (42, 203),
    "dup": (32, 23),
    "dup2": (33, _MISSING),
    "dup3": (292, 24),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22),
    "epoll_pwait2": (441, 441),
    "epoll_wait": (232, _MISSING),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "fcntl": (72, 25),
    "fstat": (5, 80),
    "futex": (202, 98),
    "getegid": (108, 177),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getpeername": (52, 205),
    "getpid": (39, 172),
    "getrandom": (318, 278),
    "getsockname": (51, 204),
    "getsockopt": (55, 209),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "ioctl": (16, 29),
    "listen": (50, 201),
    "lseek": (8, 62),
    "madvise": (28, 233),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "newfstatat": (262, 79),
    "openat": (257, 56),
    "poll": (7, _MISSING),
    "ppoll": (271, 73),
    "pread64": (17, 67),
    "read": (0, 63),
    "readv": (19, 65),
    "recvfrom": (45, 207),
    "recvmmsg": (299, 243),
    "recvmsg": (47, 212),
    "restart_syscall": (219, 128),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "seccomp": (317, 277),
    "sendmmsg": (307, 269),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "setitimer": (38, 103),
    "setsockopt": (54, 208),
    "shutdown": (48, 210),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "statx": (332, 291),
    "write": (1, 64),
    "writev": (20, 66),
}
"""On x86-64, on arm64."""

_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

ARCHITECTURES: dict[str, Architecture] = {
    machine: Architecture(audit, {name: each[at] for name, each in _NUMBERS.items() if each[at] != _MISSING})
    for at, (machine, audit) in enumerate(_AUDIT.items())
}
"""Machine, as uname(2) calls it -> its 64-bit table."""
