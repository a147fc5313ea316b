"""Who has which socket open, and borrowing it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from pingsock.run.descriptors import Borrower, free_number, inode_of, still_open


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


@pytest.fixture
def holder() -> tuple[subprocess.Popen[bytes], int, int]:
    """A process with a socket that we do not have, its descriptor there, and its inode."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[sock.fileno()])
        return process, sock.fileno(), inode(sock)


def end(process: subprocess.Popen[bytes]) -> None:
    process.communicate(b"\n")


def test_a_socket_is_found_where_it_is_expected(holder: tuple[subprocess.Popen[bytes], int, int]) -> None:
    process, number, wanted = holder

    assert inode_of(process.pid, number) == wanted
    assert still_open({wanted: process.pid}) == {wanted}
    end(process)


def test_a_socket_is_found_where_it_is_not_expected(holder: tuple[subprocess.Popen[bytes], int, int]) -> None:
    process, _number, wanted = holder

    assert still_open({wanted: 2**30}) == {wanted}
    end(process)
    assert still_open({wanted: process.pid}) == set()


def test_what_is_no_socket_has_no_inode() -> None:
    with open(os.devnull) as file:
        assert inode_of(os.getpid(), file.fileno()) == 0
    assert inode_of(os.getpid(), 2**20) == 0
    assert inode_of(2**30, 0) == 0


def test_a_socket_is_borrowed_from_a_process(holder: tuple[subprocess.Popen[bytes], int, int]) -> None:
    process, number, wanted = holder
    borrower = Borrower()
    with borrower.borrow(process.pid, number, wanted) as borrowed:
        assert inode(borrowed) == wanted
    with pytest.raises(OSError, match="Bad file descriptor"), borrower.borrow(process.pid, number, wanted + 1):
        pass
    end(process)
    with pytest.raises(OSError, match=r"."), borrower.borrow(process.pid, number, wanted):
        pass
    borrower.close()


def test_the_lowest_free_number_of_a_range() -> None:
    with socket.socket() as one:
        number = one.fileno()

        assert free_number(os.getpid(), range(number, 1024)) > number
        with pytest.raises(OSError, match="Too many open files"):
            free_number(os.getpid(), range(number, number + 1))
