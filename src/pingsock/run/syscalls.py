"""What the filter makes of system calls on the descriptors of served sockets: tables only."""

from __future__ import annotations

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
