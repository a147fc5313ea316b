"""Who may have a socket, and who may share an ident."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.stack.policy import MAXIMUM_GROUP, Credentials, GroupRange, Policy
from stack.quiet import make_stack, open_v4

groups = st.integers(0, MAXIMUM_GROUP)


@given(groups, groups, groups, st.lists(groups, max_size=5))
def test_the_effective_or_a_supplementary_group_in_the_range_lets_in(
    low: int, high: int, gid: int, supplementary: list[int]
) -> None:
    allowed = GroupRange(low, high).allows(Credentials(gid=gid, groups=tuple(supplementary)))
    assert allowed == any(low <= group <= high for group in (gid, *supplementary))


def test_the_default_range_lets_nobody_in_not_even_root() -> None:
    stack, _host = make_stack(Policy(group_range=GroupRange()))
    with pytest.raises(PermissionError) as caught:
        open_v4(stack, uid=0)
    assert caught.value.errno == errno.EACCES


@given(st.text(max_size=30))
def test_whatever_is_written_is_a_range_or_refused(text: str) -> None:
    written, refusal = GroupRange(), errno.EINVAL
    try:
        written = GroupRange(5, 9).written(text)
    except OSError as error:
        refusal = error.errno or 0
    assert written == GroupRange() or written.low <= written.high
    assert refusal == errno.EINVAL


@pytest.mark.parametrize("text", ["\n", " ", "1\v2", "1\r2", "1 2\v", "1\xa02", "\x1c1 2", "0" * 21, "1 2\0"])
def test_a_text_the_sysctl_refuses(text: str) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        GroupRange(5, 9).written(text)


@pytest.mark.parametrize(
    ("text", "result"),
    [("\v1 \v2", "1\t2"), ("\xa01\n2\n", "1\t2"), ("0" * 19 + "7", "7\t9"), ("010 9", "8\t9")],
)
def test_blanks_of_the_sysctl(text: str, result: str) -> None:
    assert str(GroupRange(5, 9).written(text)) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [("10 20", "10\t20"), ("0x10\t0x20", "16\t32"), ("3", "3\t9"), ("20 10", "1\t0"), ("", "5\t9"), ("1 2 x", "1\t2")],
)
def test_a_range_as_the_sysctl_reads_it(text: str, result: str) -> None:
    assert str(GroupRange(5, 9).written(text)) == result


def test_anybody_may_share_an_ident_as_on_linux() -> None:
    stack, _host = make_stack()
    assert [open_v4(stack, uid=uid, ident=77).ident for uid in (1000, 1001)] == [77, 77]


def test_an_exclusive_owner_shares_with_himself_only() -> None:
    stack, _host = make_stack(Policy(owner_exclusive_idents=True))
    open_v4(stack, uid=1000, ident=77)
    open_v4(stack, uid=1000, ident=77)
    with pytest.raises(OSError, match="in use") as caught:
        open_v4(stack, uid=1001, ident=77)
    assert caught.value.errno == errno.EADDRINUSE
