"""Where a test may set who may open ping sockets: a child process in namespaces of its own."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from bed.child import Credentials, can_change_user, in_child
from bed.namespace import NoNamespace, entered, run_ip
from pingsock.wire import linux

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
SYSTEM_CALL_SOCKET = {"x86_64": 41, "aarch64": 198, "riscv64": 198}

RANGE = Path("/proc/sys/net/ipv4/ping_group_range")
EVERYBODY = "0 2147483647"


def in_private_network(
    function: Callable[[], T], *, group_range: str = "", ip: str = "", who: Credentials | None = None
) -> T:
    """The function's result in a fresh network namespace, its loopback up.

    `group_range` is written to the sysctl, `ip` are lines for ip(8). Where one id is mapped, EVERYBODY is that one.
    """

    def inside() -> tuple[str, T | None]:
        try:
            with entered():
                write_range(group_range)
                run_ip(ip)
                return "", in_child(function, who)
        except NoNamespace as err:
            return str(err), None

    why_not, result = in_child(inside)
    if why_not:
        pytest.skip(why_not)
    return result  # type: ignore[return-value] # None only together with a reason


def write_range(group_range: str) -> None:
    if group_range:
        RANGE.write_text(group_range if can_change_user() or group_range != EVERYBODY else "0 0")


def in_user_namespace(function: Callable[[], T], *, gid_map: str, gid: int | None, group_range: str) -> T:
    """The function's result in fresh user and network namespaces with that map of groups, run by that group.

    None as group keeps the present one, which has no number inside if the map leaves it out.
    """
    if not can_change_user():
        pytest.skip("writing a map of several ranges needs root")
    unshared_reader, unshared_writer = os.pipe()
    mapped_reader, mapped_writer = os.pipe()

    def map_ids() -> None:
        folder = Path("/proc", os.read(unshared_reader, 16).decode())
        (folder / "uid_map").write_text("0 0 1")
        (folder / "gid_map").write_text(gid_map)
        os.write(mapped_writer, b"!")

    def inside() -> T:
        os.setgroups([])
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        os.write(unshared_writer, str(os.getpid()).encode())
        os.read(mapped_reader, 1)
        if gid is not None:
            os.setresgid(gid, gid, gid)
        RANGE.write_text(group_range)
        return function()

    mapper = threading.Thread(target=map_ids)
    mapper.start()
    try:
        return in_child(inside)
    finally:
        mapper.join()
        for end in (unshared_reader, unshared_writer, mapped_reader, mapped_writer):
            os.close(end)


def unshare(flags: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def refuse_sockets(number: int) -> None:
    """From now on, in this process, a seccomp filter answers socket() with that errno."""
    call = SYSTEM_CALL_SOCKET[platform.machine()]
    instructions = (
        (0x20, 0, 0, 0),  # load the number of the system call
        (0x15, 0, 1, call),
        (0x06, 0, 0, 0x00050000 | number),  # SECCOMP_RET_ERRNO
        (0x06, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
    )
    program = b"".join(struct.pack(linux.SOCK_FILTER_LAYOUT, *instruction) for instruction in instructions)
    code = ctypes.create_string_buffer(program)
    head = ctypes.create_string_buffer(struct.pack(linux.SOCK_FPROG_LAYOUT, len(instructions), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, head, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
