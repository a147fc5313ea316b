"""A network namespace for one test, entered by the test's own thread; children started in it inherit it."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

import pytest

from pingsock.link.tun_config import DeviceConfigurator

if TYPE_CHECKING:
    from collections.abc import Iterator

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@pytest.fixture
def private_network() -> Iterator[None]:
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(LIBC.unshare(CLONE_NEWNET))
    except OSError as err:
        os.close(home)
        pytest.skip(f"needs a network namespace of its own ({err}); run as root or inside `unshare -rn`")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("needs /dev/net/tun")
    with DeviceConfigurator() as configurator:
        configurator.set_link(configurator.index("lo"), up=True)
    try:
        yield
    finally:
        _check(LIBC.setns(home, CLONE_NEWNET))
        os.close(home)
