"""Who is heard next: users in turn, whatever any of them has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.service.audit import Caller
from pingsock.service.turns import Turns


class Client:
    def __init__(self, uid: int) -> None:
        self.caller = Caller(0, uid, 0)


def client(uid: int) -> Any:
    return Client(uid)


def test_a_user_with_many_clients_waits_for_one_request_of_each_other() -> None:
    turns = Turns()
    crowd = [client(1) for _ in range(100)]
    for each in crowd:
        turns.add(each)
    assert turns.take() is crowd[0]
    alone, another = client(2), client(3)
    turns.add(alone)
    turns.add(another)
    assert [turns.take() for _ in range(5)] == [crowd[1], alone, another, crowd[2], crowd[3]]


def test_who_is_queued_already_keeps_their_place() -> None:
    turns = Turns()
    first, second = client(1), client(1)
    for each in (first, second, first):
        turns.add(each)
    assert [turns.take(), turns.take()] == [first, second]
    assert not turns
    with pytest.raises(KeyError):
        turns.take()


@given(st.lists(st.integers(0, 3), max_size=40))
def test_everybody_is_heard_once_and_users_as_evenly_as_they_ask(uids: list[int]) -> None:
    turns = Turns()
    clients = [client(uid) for uid in uids]
    for each in clients:
        turns.add(each)
    heard = [turns.take() for _ in clients]
    assert set(heard) == set(clients)
    for count in range(len(heard)):
        so_far = [each.caller.uid for each in heard[:count]]
        waiting = {each.caller.uid for each in heard[count:]}
        shares = [so_far.count(uid) for uid in waiting]
        assert max(shares, default=0) - min(shares, default=0) <= 1
