"""The system calls a running service makes, and a filter that fails all others with EPERM.

The filter is a classic BPF program over `struct seccomp_data`:

    0: number (u32)   4: architecture (u32)   8: instruction pointer (u64)   16...: six arguments (u64 each)

Only the low half of an argument is looked at: those that are checked are ints, and Linux itself looks no further.
Both architectures are little-endian.
"""

from __future__ import annotations

import ctypes
import os
import struct
from errno import EPERM

from pingsock.link.filters import assemble, op
from pingsock.service.calls import prctl
from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.link.filters import Line

    Check = tuple[int, int, int]
    """Argument, mask, and what the masked argument must be."""

_LOAD_WORD, _AND, _JUMP, _JUMP_EQUAL, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x06
_KILL, _ALLOW, _DENY = 0x80000000, 0x7FFF0000, 0x00050000 | EPERM
"""SECCOMP_RET_KILL_PROCESS, ALLOW and ERRNO."""
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_WHOLE = 0xFFFFFFFF

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""As uname calls a machine, AUDIT_ARCH_*."""

NUMBERS: dict[str, tuple[int, int]] = {
    "accept4": (288, 242),
    "brk": (12, 214),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "close": (3, 57),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22),
    "epoll_pwait2": (441, 441),
    "epoll_wait": (232, -1),
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
    "lseek": (8, 62),
    "madvise": (28, 233),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "newfstatat": (262, 79),
    "openat": (257, 56),
    "poll": (7, -1),
    "ppoll": (271, 73),
    "pread64": (17, 67),
    "read": (0, 63),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "restart_syscall": (219, 128),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "setsockopt": (54, 208),
    "shutdown": (48, 210),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "statx": (332, 291),
    "write": (1, 64),
    "writev": (20, 66),
}
"""System call: its numbers on x86-64 and arm64, -1 where there is none."""

_KIND = ~(linux.SOCK_CLOEXEC | linux.SOCK_NONBLOCK) & _WHOLE
_WRITING = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PROT_EXEC = 4
_FIONBIO, _FIOCLEX = 0x5421, 0x5451


def _ping_socket(family: int, protocol: int) -> tuple[Check, ...]:
    return (0, _WHOLE, family), (1, _KIND, linux.SOCK_DGRAM), (2, _WHOLE, protocol)


CONDITIONS: dict[str, tuple[tuple[Check, ...], ...]] = {
    # Ping sockets to hand over, and nothing else; the group range still decides.
    "socket": (
        _ping_socket(linux.AF_INET, linux.IPPROTO_ICMP),
        _ping_socket(linux.AF_INET6, linux.IPPROTO_ICMPV6),
    ),
    "socketpair": (((0, _WHOLE, linux.AF_UNIX),),),
    # The configuration is read again, settings of the network are asked for; nothing is written.
    "openat": (((2, _WRITING, os.O_RDONLY),),),
    "mmap": (((2, _PROT_EXEC, 0),),),
    "mprotect": (((2, _PROT_EXEC, 0),),),
    "ioctl": (((1, _WHOLE, _FIONBIO),), ((1, _WHOLE, _FIOCLEX),)),
}
"""System calls that are allowed only if all checks of one of these alternatives hold."""


def program(machine: str) -> bytes:
    """The filter for a machine as uname calls it. KeyError for one that has no numbers here."""
    architecture = ARCHITECTURES[machine]
    at = list(ARCHITECTURES).index(machine)
    numbers = {name: each[at] for name, each in NUMBERS.items() if each[at] >= 0}
    lines = [
        op(_LOAD_WORD, 4),
        op(_JUMP_EQUAL, architecture, "number"),
        op(_RETURN, _KILL),
        op(_LOAD_WORD, 0, label="number"),
        *(op(_JUMP_EQUAL, number, name if name in CONDITIONS else "allow") for name, number in numbers.items()),
        op(_RETURN, _DENY, label="deny"),
        op(_RETURN, _ALLOW, label="allow"),
    ]
    for name in CONDITIONS:
        lines += _conditional(name)
    return assemble(lines)


def _conditional(name: str) -> list[Line]:
    alternatives = CONDITIONS[name]
    lines: list[Line] = []
    for count, checks in enumerate(alternatives, 1):
        label, otherwise = name if count == 1 else f"{name} {count}", f"{name} {count + 1}"
        for argument, mask, wanted in checks:
            lines.append(op(_LOAD_WORD, 16 + 8 * argument, label=label))
            lines += [op(_AND, mask)] if mask != _WHOLE else []
            lines.append(op(_JUMP_EQUAL, wanted, "", otherwise))
            label = ""
        lines.append(op(_RETURN, _ALLOW))
    return [*lines, op(_RETURN, _DENY, label=f"{name} {len(alternatives) + 1}")]


def install() -> None:
    """Filter this thread, and what it starts, from now on. Needs no_new_privs.

    OSError if the kernel takes no filter; KeyError on a machine without numbers.
    """
    instructions = program(os.uname().machine)
    code = ctypes.create_string_buffer(instructions, len(instructions))
    count = len(instructions) // struct.calcsize(linux.SOCK_FILTER_LAYOUT)
    head = struct.pack(linux.SOCK_FPROG_LAYOUT, count, ctypes.addressof(code))
    whole = ctypes.create_string_buffer(head, len(head))
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(whole))
