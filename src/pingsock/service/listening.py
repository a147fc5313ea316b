"""Where a service listens: a path of its own, or a socket that systemd has opened for it."""

from __future__ import annotations

import os
import socket
import stat
from errno import EADDRINUSE, ECONNREFUSED, EINVAL

from pingsock.service.rights import refuse_rights
from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

BACKLOG = 4096
"""Connections that may wait to be accepted; the kernel cuts it to net.core.somaxconn."""
FIRST_ACTIVATED = 3
"""The first descriptor that systemd passes (sd_listen_fds(3))."""
EVERYBODY_MAY_CONNECT = 0o666
"""Who may have a socket is decided by who connects, not by the mode."""
EVERYBODY_MAY_PASS = 0o755
"""The directory of such a path, whatever the umask of whoever starts the service."""


def activated_listener(environment: MutableMapping[str, str] = os.environ) -> socket.socket | None:
    """The listening socket systemd passed to this process, None if it passed none.

    OSError EINVAL if it passed several, or not one of AF_UNIX and SOCK_SEQPACKET that listens.
    """
    passed_to, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "0")
    environment.pop("LISTEN_FDNAMES", None)
    if passed_to != str(os.getpid()) or count == "0":
        return None
    listener = socket.socket(fileno=FIRST_ACTIVATED)
    if count == "1" and _fits(listener):
        listener.set_inheritable(False)
        refuse_rights(listener)
        return listener
    listener.detach()
    raise OSError(EINVAL, "systemd must pass one socket, with ListenSequentialPacket= and a path")


def _fits(listener: socket.socket) -> bool:
    return (
        listener.family == socket.AF_UNIX
        and listener.type == socket.SOCK_SEQPACKET
        and bool(listener.getsockopt(linux.SOL_SOCKET, linux.SO_ACCEPTCONN))
    )


def listen_at(path: str) -> socket.socket:
    """A listening socket at `path`, in the place of one that a dead service left; its directory is made if need be.

    OSError: EADDRINUSE if a service listens there, or something else is there.
    """
    directory = os.path.dirname(path)
    if directory and not os.path.isdir(directory):
        _make_directory(directory)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        refuse_rights(listener)
        _bind(listener, path)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno or EINVAL, f"cannot listen at {path}: {error.strerror or error}") from error
    return listener


def _make_directory(path: str) -> None:
    mask = os.umask(0o777 & ~EVERYBODY_MAY_PASS)
    try:
        os.mkdir(path)
    finally:
        os.umask(mask)


def _bind(listener: socket.socket, path: str) -> None:
    mask = os.umask(0o777 & ~EVERYBODY_MAY_CONNECT)
    try:
        try:
            listener.bind(path)
        except OSError as error:
            if error.errno != EADDRINUSE or not _is_left_behind(path):
                raise
            os.unlink(path)
            listener.bind(path)
    finally:
        os.umask(mask)


def _is_left_behind(path: str) -> bool:
    """Whether a socket is there to which nobody listens any more."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) == ECONNREFUSED


class Manager:
    """The service manager, told what becomes of the service (sd_notify(3)). Nothing happens where there is none."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Takes the variable out of the environment; opened now, since a sandbox may come."""
        address = environment.pop("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.connect(f"\0{address[1:]}" if address.startswith("@") else address)

    def tell(self, state: str) -> None:
        """A line like "READY=1"."""
        if self._socket is not None:
            try:
                self._socket.send(state.encode(), linux.MSG_DONTWAIT)
            except OSError:
                pass  # a manager that does not listen must not stop a service
