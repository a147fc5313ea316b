"""Functions run in forked processes: whatever becomes of them, no second run of the tests begins there."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from bed.child import FailedInChild, in_child

if TYPE_CHECKING:
    from collections.abc import Iterator


class GivenUpError(Exception):
    pass


@contextmanager
def given_up_after(seconds: float) -> Iterator[None]:
    """As pytest-timeout does it: an exception in the middle of whatever this process waits for."""

    def give_up(_number: int, _frame: object) -> None:
        raise GivenUpError

    alarm = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)


def children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as listed:
        return [int(pid) for pid in listed.read().split()]


def test_what_cannot_be_sent_back_is_a_failure_of_the_test() -> None:
    with pytest.raises(FailedInChild, match="pickle"):
        in_child(lambda: lambda: None)


def test_a_child_nobody_waits_for_any_longer_ends() -> None:
    before = children()
    with pytest.raises(GivenUpError), given_up_after(0.2):
        in_child(lambda: time.sleep(600))
    assert children() == before


def test_a_child_whose_parent_has_gone_ends() -> None:
    """The child of a child: it finds nobody to tell, and must not go on as if it were the parent."""
    reader, writer = os.pipe()

    def lonely() -> None:
        os.kill(os.getppid(), signal.SIGKILL)

    with pytest.raises(FailedInChild, match="without an answer"):
        in_child(lambda: in_child(lonely))
    os.close(writer)
    # The pipe's other end is closed when nobody is left who inherited it.
    assert os.read(reader, 1) == b""
    os.close(reader)
