"""The system calls a running service makes, and a filter that fails all others with EPERM."""

from __future__ import annotations

import os
from errno import EPERM

from pingsock.service.calls import syscall
from pingsock.wire import linux
from pingsock.wire.bpf import AND, JUMP_EQUAL, RETURN, any_of, assemble, op, pass_to_kernel
from pingsock.wire.seccomp import ALLOW, ERRNO, KILL_PROCESS, SET_MODE_FILTER, beginning, load_argument
from pingsock.wire.syscalls import ARCHITECTURES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.wire.bpf import Line

    Check = tuple[int, int, int]
    """Argument, mask, and what the masked argument must be."""

_DENY = ERRNO | EPERM
_WHOLE = 0xFFFFFFFF

CALLS = (
    "accept4",
    "brk",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "exit",
    "exit_group",
    "fcntl",
    "fstat",
    "futex",
    "getegid",
    "geteuid",
    "getgid",
    "getpeername",
    "getpid",
    "getrandom",
    "getsockname",
    "getsockopt",
    "gettid",
    "getuid",
    "ioctl",
    "lseek",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "newfstatat",
    "openat",
    "poll",
    "ppoll",
    "pread64",
    "read",
    "recvfrom",
    "recvmsg",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "sendmsg",
    "sendto",
    "setitimer",
    "setsockopt",
    "shutdown",
    "socket",
    "socketpair",
    "statx",
    "write",
    "writev",
)
"""What Python, the server and its links need; where an architecture lacks one, another does the same there."""

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
    numbers = {name: architecture.numbers[name] for name in CALLS if name in architecture.numbers}
    lines = [
        *beginning(architecture.audit, KILL_PROCESS),
        *(op(JUMP_EQUAL, numbers[name], name) for name in CONDITIONS),
        *any_of([number for name, number in numbers.items() if name not in CONDITIONS], "allow"),
        op(RETURN, _DENY),
        op(RETURN, ALLOW, label="allow"),
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
            lines.append(load_argument(argument, label=label))
            lines += [op(AND, mask)] if mask != _WHOLE else []
            lines.append(op(JUMP_EQUAL, wanted, "", otherwise))
            label = ""
        lines.append(op(RETURN, ALLOW))
    return [*lines, op(RETURN, _DENY, label=f"{name} {len(alternatives) + 1}")]


def install() -> None:
    """Filter this thread, and what it starts, from now on. Needs no_new_privs.

    OSError if the kernel takes no filter; KeyError on a machine without numbers.
    """
    machine = os.uname().machine
    number = ARCHITECTURES[machine].numbers["seccomp"]
    pass_to_kernel(program(machine), lambda head: syscall(number, SET_MODE_FILTER, 0, head))
