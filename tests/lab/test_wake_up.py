from __future__ import annotations

import os
import select

import pytest

from pingsock.lab.wake_up import WakeUp


def readable(wake_up: WakeUp) -> bool:
    return bool(select.select([wake_up], [], [], 0)[0])


def test_it_is_readable_from_give_until_take() -> None:
    wake_up = WakeUp()
    wake_up.take()
    assert not readable(wake_up)
    wake_up.give()
    wake_up.give()
    assert readable(wake_up)
    wake_up.take()
    assert not readable(wake_up)
    wake_up.close()


def test_any_number_can_be_given() -> None:
    wake_up = WakeUp()
    for _ in range(70_000):
        wake_up.give()
    assert readable(wake_up)
    wake_up.close()


def test_it_leaves_no_descriptor() -> None:
    before = os.listdir("/proc/self/fd")
    wake_up = WakeUp()
    wake_up.close()
    wake_up.close()
    assert (os.listdir("/proc/self/fd"), wake_up.fileno()) == (before, -1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        wake_up.give()
