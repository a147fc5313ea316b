"""Names of those who reply: found beside the ping, and done without where they cannot be looked up."""

from __future__ import annotations

import _thread
import errno
import os
from collections.abc import Iterator
from socket import herror

import pytest

from pingsock.cli import names
from pingsock.cli.names import Names

ADDRESS = ("192.0.2.7", 0)


@pytest.fixture
def waker() -> Iterator[int]:
    reading, writing = os.pipe()
    yield reading
    os.close(reading)
    os.close(writing)


def table_says(monkeypatch: pytest.MonkeyPatch, answer: str | Exception) -> list[bytes]:
    """What is asked from now on, and has this answer."""
    asked: list[bytes] = []

    def look_up(address: bytes) -> tuple[str, list[str], list[str]]:
        asked.append(address)
        if isinstance(answer, Exception):
            raise answer
        return answer, [], []

    monkeypatch.setattr(names, "gethostbyaddr", look_up)
    return asked


def test_a_name_is_asked_for_once_and_stands_before_the_address(monkeypatch: pytest.MonkeyPatch, waker: int) -> None:
    asked = table_says(monkeypatch, "host.example")
    shown = Names(waker)

    assert [shown.show(ADDRESS), shown.show(ADDRESS)] == ["host.example (192.0.2.7)"] * 2
    assert asked == [b"192.0.2.7"]


def test_a_scope_is_not_part_of_what_is_asked(monkeypatch: pytest.MonkeyPatch, waker: int) -> None:
    asked = table_says(monkeypatch, "host.example")

    assert Names(waker).show(("fe80::1%lo", 0, 0, 1)) == "host.example (fe80::1%lo)"
    assert asked == [b"fe80::1"]


@pytest.mark.parametrize(
    ("number", "shown"), [(1, "192.0.2.7 (192.0.2.7)"), (4, "192.0.2.7 (192.0.2.7)"), (2, "192.0.2.7")]
)
def test_having_no_name_is_not_the_same_as_nobody_knowing_it(
    monkeypatch: pytest.MonkeyPatch, waker: int, number: int, shown: str
) -> None:
    table_says(monkeypatch, herror(number, "of netdb.h"))

    assert Names(waker).show(ADDRESS) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("xn--mller-kva.example", "müller.example"),
        ("www.XN--Mller-kva.example", "www.müller.example"),
        ("xn--\N{SNOWMAN}.example", "xn--\N{SNOWMAN}.example"),
        ("xn--999999999.example", "xn--999999999.example"),
    ],
)
def test_international_names_are_shown_as_people_write_them(
    monkeypatch: pytest.MonkeyPatch, waker: int, name: str, shown: str
) -> None:
    table_says(monkeypatch, name)

    assert Names(waker).show(ADDRESS) == f"{shown} (192.0.2.7)"


def test_without_another_thread_there_is_no_name(monkeypatch: pytest.MonkeyPatch, waker: int) -> None:
    def no_thread(*_arguments: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", no_thread)
    before = os.listdir("/proc/self/fd")

    assert Names(waker).show(ADDRESS) == "192.0.2.7"
    assert os.listdir("/proc/self/fd") == before


def test_without_another_descriptor_there_is_no_name(monkeypatch: pytest.MonkeyPatch, waker: int) -> None:
    def no_pipe() -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pipe", no_pipe)

    assert Names(waker).show(ADDRESS) == "192.0.2.7"
