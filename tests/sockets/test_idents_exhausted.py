"""Section 2.2: what happens at the end of the ident space, and when nearly all or all of it is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bed.bed import V4, V6, Bed, outcome
from sockets.rules import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bed.families import Family
    from bed.subject import Subject

SPARE = (1, 2, 65534, 65535)


@pytest.fixture(scope="module")
def nearly_all_taken(host: Bed) -> Iterator[None]:
    with host.idents_taken(SPARE):
        yield


@pytest.fixture
def all_taken(nearly_all_taken: None, bed: Bed) -> None:
    for number in SPARE:
        bed.socket(V4, bound=V4.any, ident=number)


def in_turn(numbers: list[int], start: int) -> list[int]:
    return numbers[numbers.index(start) :] + numbers[: numbers.index(start)]


def test_65535_is_followed_by_1(nearly_all_taken: None, bed: Bed) -> None:
    found = [bed.bound().getsockname()[1] for _ in SPARE]
    assert found == in_turn(list(SPARE), found[0])


# Finding out that nothing is free takes the kernel seconds; one call of each sort is enough.
CALLS: dict[str, tuple[Family, Callable[[Family, Subject], object], str]] = {
    "bind": (V4, lambda ip, sock: sock.bind(ip.name_of(ip.any)), "EADDRINUSE"),
    "connect to a wrong family": (V6, lambda ip, sock: sock.connect_sockaddr(b"\x63\0" + bytes(26)), "EAGAIN"),
    "send of nothing": (V4, lambda ip, sock: sock.sendto(b"", ip.name_of(ip.far)), "EAGAIN"),
    "explicit bind of a shareable ident": (V6, lambda ip, sock: sock.bind(ip.name_of(ip.any, 5)), "OK"),
}


@rows("ip,call,result", CALLS)
def test_with_all_idents_taken(
    all_taken: None, bed: Bed, ip: Family, call: Callable[[Family, Subject], None], result: str
) -> None:
    assert outcome(call, ip, bed.socket(ip)) == result


def test_an_ident_freed_can_be_had_again(all_taken: None, bed: Bed) -> None:
    bed.close_last()
    assert bed.bound(V6).getsockname()[1] == SPARE[-1]
