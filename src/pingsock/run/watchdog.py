"""A small process that wakes whoever polls a served socket, should the supervisor be killed.

When the supervisor is gone every call of the program on its sockets fails with ENOSYS, by itself. But a program that
waits in poll(2) makes no call, and a datagram socket is not told that its peer is gone. So another process keeps a
copy of our end of each readiness channel, and makes them readable when it hears no more of the supervisor.

Each message is one datagram: the inode of a channel, in decimal; with our end of it as a descriptor when the channel
begins, without when it is over.
"""

from __future__ import annotations

import os
import resource
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pingsock.run.channel import ReadinessChannel

LONGEST_MESSAGE = 32


class Watchdog:
    """The supervisor's side."""

    def __init__(self) -> None:
        """Starts the process, which blocks the signals that we block. To be done before we have a listener."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            self._channel.close()
            _watch(theirs)
        theirs.close()

    def add(self, channel: ReadinessChannel) -> None:
        """Wake those who poll this channel when we are gone."""
        self._send(channel, [channel.our_descriptor])

    def remove(self, channel: ReadinessChannel) -> None:
        """Nobody polls this channel any more."""
        self._send(channel, [])

    def _send(self, channel: ReadinessChannel, descriptors: list[int]) -> None:
        message = [b"%d" % channel.inode]
        try:
            if descriptors:
                socket.send_fds(self._channel, message, descriptors)
            else:
                self._channel.sendmsg(message)
        except OSError:
            pass  # killed, as we may be; nothing else depends on it

    def close(self) -> None:
        """End the process, which wakes whoever still polls."""
        self._channel.close()


def _watch(channel: socket.socket) -> NoReturn:
    try:
        allow_most_descriptors()
        for end in _ends_when_over(channel):
            _wake(end)
    finally:
        os._exit(0)


def _ends_when_over(channel: socket.socket) -> list[socket.socket]:
    """Our ends of all channels there are when the supervisor is gone."""
    ends: dict[bytes, socket.socket] = {}
    while True:
        message, descriptors, _flags, _address = socket.recv_fds(channel, LONGEST_MESSAGE, 1)
        if not message:
            return list(ends.values())
        if descriptors:
            ends[message] = socket.socket(fileno=descriptors[0])
        elif message in ends:
            ends.pop(message).close()


def allow_most_descriptors() -> None:
    """Raise our own limit as far as we may: each socket of each process of the program takes some of ours."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _wake(end: socket.socket) -> None:
    try:
        end.send(b"\0", socket.MSG_DONTWAIT)
    except OSError:
        pass  # nobody has it any more, or it is readable already
