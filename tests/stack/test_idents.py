"""The table of idents, held to the rule it keeps the counts for."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.stack.idents import IdentTable
from pingsock.stack.policy import Credentials, Policy
from pingsock.wire.linux import SO_REUSEADDR, SOL_SOCKET
from stack.quiet import make_stack, open_v4

if TYPE_CHECKING:
    from pingsock.stack.endpoint import Endpoint

SHARERS = 1000
ops = st.one_of(
    st.tuples(st.just("open"), st.integers(0, 2), st.booleans()),
    st.tuples(st.just("share"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("close"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("policy"), st.just(0), st.booleans()),
)


def may_join(new: Endpoint, owners: list[Endpoint], exclusive: bool) -> bool:
    """The rule, asked of each owner."""
    return all(
        new.options.reuse_address
        and owner.options.reuse_address
        and not (exclusive and new.credentials.uid != owner.credentials.uid)
        for owner in owners
    )


@given(st.lists(ops, max_size=40))
def test_an_ident_is_shared_by_those_who_all_agree(steps: list[tuple[str, int, bool]]) -> None:
    stack, _host = make_stack()
    owners: list[Endpoint] = []
    for what, number, flag in steps:
        if what == "policy":
            stack.apply_policy(Policy(owner_exclusive_idents=flag))
        elif what == "open":
            new = open_v4(stack, uid=number)
            new.setsockopt(SOL_SOCKET, SO_REUSEADDR, struct.pack("=i", flag))
            joins = may_join(new, owners, stack.policy.owner_exclusive_idents)
            try:
                stack.idents.claim(new, 77)
            except OSError:
                assert not joins
            else:
                assert joins
                owners.insert(0, new)
        elif number < len(owners) and what == "share":
            owners[number].setsockopt(SOL_SOCKET, SO_REUSEADDR, struct.pack("=i", flag))
        elif number < len(owners):
            owners.pop(number).close()
        assert list(stack.idents.owners(77)) == owners


class Sharer:
    """As much of a socket as the table looks at, counting how often it looks."""

    looked = 0

    def __init__(self) -> None:
        self.ident = self.bound_order = 0
        self.credentials = Credentials()

    @property
    def options(self) -> Sharer:
        Sharer.looked += 1
        return self

    reuse_address = 1


@pytest.mark.parametrize("leaving", [1, -1])
def test_thousands_who_share_an_ident_are_not_asked_by_each(leaving: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sharer, "looked", 0)
    table = IdentTable(0, 0)
    sharers = [cast("Endpoint", Sharer()) for _ in range(SHARERS)]
    for sharer in sharers:
        table.claim(sharer, 77)
    for sharer in sharers[::leaving]:
        table.release(sharer)
    assert Sharer.looked <= 3 * SHARERS
    assert not table.idents()


def test_a_policy_that_comes_later_rules_idents_too() -> None:
    stack, _host = make_stack()
    open_v4(stack, uid=1000, ident=77)
    stack.apply_policy(Policy(owner_exclusive_idents=True))
    with pytest.raises(OSError, match="in use"):
        open_v4(stack, uid=1001, ident=77)
