"""Who has which socket open, and borrowing it."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pingsock.run.descriptors import PIDFD_THREAD, Borrower, free_number, inode_of, still_open

SECOND_THREAD = """
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static pthread_t first;

static void *second(void *unused)
{
    char byte;
    pthread_join(first, 0);
    printf("%d\\n", gettid());
    fflush(stdout);
    return (void *)(read(0, &byte, 1) == 2);
}

int main(void)
{
    pthread_t thread;
    first = pthread_self();
    pthread_create(&thread, 0, second, 0);
    pthread_exit(0);
}
"""


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


def test_without_descriptors_to_look_every_socket_counts_as_open() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull) as file:
        resource.setrlimit(resource.RLIMIT_NOFILE, (file.fileno() + 1, limits[1]))
        try:
            found = still_open({1: os.getpid(), 2: 2**30})
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert found == {1, 2}


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


def test_a_socket_is_borrowed_from_a_thread_that_outlives_the_first_of_its_process(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    program = tmp_path / "threads"
    source = tmp_path / "threads.c"
    source.write_text(SECOND_THREAD)
    subprocess.run(["gcc", "-pthread", "-o", program, source], check=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        number, wanted = sock.fileno(), inode(sock)
        process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[number])
    assert process.stdout is not None
    thread = int(process.stdout.readline())
    borrower = Borrower()
    if not knows_threads():
        pytest.skip("this kernel has no pidfd of a thread")
    with borrower.borrow(thread, number, wanted) as borrowed:
        assert inode(borrowed) == wanted
    borrower.close()
    end(process)


def knows_threads() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid(), PIDFD_THREAD))
    except OSError:
        return False
    return True


def test_the_lowest_free_number_of_a_range() -> None:
    with socket.socket() as one:
        number = one.fileno()

        assert free_number(os.getpid(), range(number, 1024)) > number
        with pytest.raises(OSError, match="Too many open files"):
            free_number(os.getpid(), range(number, number + 1))
