"""A network namespace for this process: nothing a test does is seen outside, and root is not needed.

Namespaces belong to threads; a thread started after `entered()` inherits the new one. Root comes back to the old
namespace afterwards. Anybody else needs a user namespace around, which a process cannot leave again.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_OWN_NAMESPACE = "/proc/thread-self/ns/net"


class NoNamespace(Exception):
    """This process cannot make a network namespace; the text says why."""


def _libc_call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _unshare() -> None:
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        _libc_call("unshare", _CLONE_NEWNET)
        return
    _libc_call("unshare", _CLONE_NEWUSER | _CLONE_NEWNET)
    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{file}", "w") as opened:
            opened.write(text)


@contextlib.contextmanager
def entered() -> Iterator[None]:
    """Inside, the calling thread is in a fresh network namespace with its loopback up. NoNamespace says why not."""
    old = os.open(_OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
    can_return = os.geteuid() == 0
    try:
        _unshare()
        run_ip("link set lo up")
    except (OSError, subprocess.CalledProcessError) as err:
        os.close(old)
        raise NoNamespace(f"no network namespace can be made here: {err}") from err
    try:
        yield
    finally:
        if can_return:
            _libc_call("setns", old, _CLONE_NEWNET)
        os.close(old)


def run_ip(commands: str, *options: str) -> None:
    """Run lines of ip(8) commands in one process; CalledProcessError if one fails."""
    subprocess.run(["ip", *options, "-batch", "-"], input=commands, text=True, check=True, capture_output=True)
