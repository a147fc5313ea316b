"""A cable whose far end is the kernel of a network namespace: a TUN device.

Needs CAP_NET_ADMIN in the user namespace that owns the network namespace, so any user has it inside a namespace of
their own, and read and write permission on /dev/net/tun.
"""

from __future__ import annotations

import errno
import os
import struct

from pingsock.link.tun_config import DeviceConfigurator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn, Self

_CLONE_DEVICE = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_NAME_SIZE = 16
_LARGEST_PACKET = 65575
"""An IPv6 header and its largest payload; nothing longer can come through."""


class TunDevice:
    """One end of a layer-3 cable; the other is the network device `name` of the kernel.

    The device is made in the network namespace of the calling thread, stays there, and disappears with `close`.
    A `%d` in the name lets the kernel choose a number; `name` and `index` tell what it became. `mtu` counts bytes of
    IP packet. OSError: EPERM without the capability, EBUSY if the name is taken, ENOENT without /dev/net/tun.
    """

    def __init__(self, name: str, mtu: int = 1500) -> None:
        self.name = name
        self.mtu = mtu
        self.index = 0
        self._fd = -1
        self._configurator: DeviceConfigurator | None = None
        try:
            self._open()
        except OSError as err:
            self.close()
            self._fail("open", err)

    def _open(self) -> None:
        import fcntl

        encoded = os.fsencode(self.name)
        if len(encoded) >= _NAME_SIZE:
            raise OSError(errno.EINVAL, f"its name is longer than {_NAME_SIZE - 1} bytes")
        self._fd = os.open(_CLONE_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        request = struct.pack("16sH22x", encoded, _IFF_TUN | _IFF_NO_PI)
        given: bytes = fcntl.ioctl(self._fd, _TUNSETIFF, request)
        self.name = os.fsdecode(given[:_NAME_SIZE].rstrip(b"\0"))
        self._configurator = DeviceConfigurator()
        self.index = self._configurator.index(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def configure(self, addresses: Iterable[str] = (), up: bool = True) -> None:
        """Set the MTU, switch the kernel's end on, give it addresses such as "10.9.0.1/24" and "fd00::1/64".

        All of them are usable when this returns, without duplicate address detection. OSError; ValueError for a bad
        address.
        """
        try:
            self._opened().set_link(self.index, up=up, mtu=self.mtu)
            for address in (addresses := list(addresses)):
                self._opened().add_address(self.index, address)
            for address in addresses:
                if up and ":" in address:
                    self._opened().wait_until_local(self.index, address)
        except OSError as err:
            self._fail("configure", err)

    def add_route(self, prefix: str, via: str | None = None) -> None:
        """Let the kernel send a prefix ("192.0.2.0/24", "::/0") here, on-link or through the router `via`."""
        try:
            self._opened().add_route(self.index, prefix, via)
        except OSError as err:
            self._fail(f"route {prefix} to", err)

    def send(self, packet: bytes) -> None:
        """Let the kernel receive one IP packet. ENOBUFS: its queue is full; EIO: the device is down."""
        try:
            os.write(self._fd, packet)
        except BlockingIOError as err:
            raise OSError(errno.ENOBUFS, f"the queue of TUN device {self.name} is full") from err
        except OSError as err:
            self._fail("send to", err)

    def receive(self) -> bytes | None:
        """The next IP packet the kernel sent out by this device; None if there is none now."""
        try:
            return os.read(self._fd, _LARGEST_PACKET)
        except BlockingIOError:
            return None
        except OSError as err:
            self._fail("receive from", err)

    def fileno(self) -> int:
        """Polls readable when a packet waits; -1 once closed."""
        return self._fd

    def close(self) -> None:
        """Remove the device; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._configurator is not None:
            self._configurator.close()
            self._configurator = None

    def _opened(self) -> DeviceConfigurator:
        if self._configurator is None:
            raise OSError(errno.EBADF, "it is closed")
        return self._configurator

    def _fail(self, action: str, cause: OSError) -> NoReturn:
        raise OSError(cause.errno, f"cannot {action} TUN device {self.name}: {cause.strerror}") from cause
