"""What a program's poll(2) sees of a readiness channel."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Iterator
from select import POLLERR, POLLIN, POLLOUT

import pytest

from pingsock.run.channel import ReadinessChannel


class Held:
    """A channel with the program's descriptor."""

    def __init__(self) -> None:
        self.channel = ReadinessChannel()
        assert self.channel.program_end is not None
        self.program = self.channel.program_end.dup()
        self.channel.forget_program_end()

    @contextlib.contextmanager
    def borrow(self) -> Iterator[socket.socket]:
        with self.program.dup() as copy:
            yield copy

    def polled(self) -> int:
        poller = select.poll()
        poller.register(self.program, POLLIN | POLLOUT)
        return dict(poller.poll(0)).get(self.program.fileno(), 0)

    def close(self) -> None:
        self.program.close()
        self.channel.close()


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.close()


STATES = [0, POLLIN, POLLERR, POLLIN | POLLERR]


@pytest.mark.parametrize("then", STATES)
@pytest.mark.parametrize("first", STATES)
def test_every_state_follows_every_state(held: Held, first: int, then: int) -> None:
    for state in (first, then, first, then):
        held.channel.show(state, held.borrow)

        assert held.polled() == POLLOUT | state
        assert held.channel.shown == state


def test_what_cannot_be_taken_back_now_is_taken_back_later(held: Held) -> None:
    @contextlib.contextmanager
    def nobody() -> Iterator[socket.socket]:
        raise ProcessLookupError
        yield

    held.channel.show(POLLIN | POLLERR, held.borrow)
    held.channel.show(0, nobody)
    assert held.polled() == POLLOUT | POLLIN | POLLERR

    held.channel.show(0, held.borrow)
    assert held.polled() == POLLOUT


def test_an_edge_for_each_change(held: Held) -> None:
    with select.epoll() as poller:
        poller.register(held.program, select.EPOLLIN | select.EPOLLET)
        for _ in range(3):
            held.channel.add(POLLIN)
            assert poller.poll(0)
            assert not poller.poll(0)
            held.channel.show(0, held.borrow)


def test_it_is_held_until_the_last_copy_is_closed(held: Held) -> None:
    copy = held.program.dup()
    held.program.close()
    assert held.channel.is_held()

    copy.close()
    assert not held.channel.is_held()


def test_a_held_channel_is_undisturbed_by_being_asked(held: Held) -> None:
    for state in STATES:
        held.channel.show(state, held.borrow)
        assert held.channel.is_held()
        assert held.polled() == POLLOUT | state


def test_nobody_else_can_send_to_the_program(held: Held) -> None:
    name = held.program.getsockname()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger, pytest.raises(PermissionError):
        stranger.sendto(b"x", name)


def test_nothing_goes_wrong_when_the_program_is_gone(held: Held) -> None:
    held.program.close()
    held.channel.add(POLLIN | POLLERR)

    assert held.channel.shown == 0


def test_the_inode_is_that_of_the_programs_descriptor(held: Held) -> None:
    assert os.fstat(held.program.fileno()).st_ino == held.channel.inode
