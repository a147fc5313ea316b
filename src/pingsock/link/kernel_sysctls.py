"""The host's network settings, readable also after a sandbox has taken the file system away.

A setting is opened once and read again at each question: an open file under /proc/sys keeps telling the present value,
and keeps to the network namespace in which it was opened.

Sizes of socket buffers are the same in all network namespaces, but older kernels (6.1 is one) tell them in the first
namespace only, and so not in a container. There they are read off a new socket.
"""

from __future__ import annotations

import os
import socket

from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_ROOT = "/proc/sys/net"

USUAL = (
    "core.rmem_default",
    "core.rmem_max",
    "core.wmem_default",
    "core.wmem_max",
    "ipv4.icmp_ignore_bogus_error_responses",
    "ipv4.ip_default_ttl",
    "ipv4.ip_no_pmtu_disc",
    "ipv4.ip_nonlocal_bind",
    "ipv4.route.min_pmtu",
    "ipv4.route.mtu_expires",
    "ipv6.auto_flowlabels",
    "ipv6.conf.all.hop_limit",
    "ipv6.conf.default.hop_limit",
    "ipv6.ip_nonlocal_bind",
    "ipv6.route.mtu_expires",
)
"""What a stack or a link asks for; opened at once."""

_OF_BUFFERS = {
    "core.rmem_default": (linux.SO_RCVBUF, False),
    "core.rmem_max": (linux.SO_RCVBUF, True),
    "core.wmem_default": (linux.SO_SNDBUF, False),
    "core.wmem_max": (linux.SO_SNDBUF, True),
}
"""The option that shows a setting, and whether it is the most that may be asked for."""
_MORE_THAN_ANY = 2**31 - 1


def _buffer_size(option: int, is_maximum: bool) -> int:
    # A pair, since a sandboxed service may make no other sockets that have these options.
    one, other = socket.socketpair()
    with one, other:
        if is_maximum:
            one.setsockopt(linux.SOL_SOCKET, option, _MORE_THAN_ANY)
        size = one.getsockopt(linux.SOL_SOCKET, option)
    # What is asked for is doubled, for the kernel's own structures (socket(7)).
    return size // 2 if is_maximum else size


class KernelSysctls:
    """Settings below `net` by name, "ipv4.ip_default_ttl" for net/ipv4/ip_default_ttl."""

    def __init__(self, names: Iterable[str] = USUAL) -> None:
        self._files: dict[str, int] = {}
        for name in names:
            self.get(name, 0)

    def close(self) -> None:
        """Idempotent."""
        while self._files:
            os.close(self._files.popitem()[1])

    def get(self, name: str, default: int) -> int:
        """The setting, or `default` if the host has none."""
        try:
            return self[name]
        except KeyError:
            return default

    def __getitem__(self, name: str) -> int:
        """The setting, the first if it holds several numbers; KeyError if the host has none of that name."""
        try:
            return int(os.pread(self._file(name), 64, 0).split()[0])
        except (OSError, ValueError, IndexError) as err:
            if name in _OF_BUFFERS:
                return _buffer_size(*_OF_BUFFERS[name])
            raise KeyError(name) from err

    def _file(self, name: str) -> int:
        file = self._files.get(name)
        if file is None:
            path = f"{_ROOT}/{name.replace('.', '/')}"
            file = self._files[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return file
