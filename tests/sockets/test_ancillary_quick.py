"""The short way of reading what comes with ordinary packets tells what the thorough one tells, or nothing."""

from __future__ import annotations

from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.sockets.ancillary import key_and_transmit_stamp, read_ancillary_untrusted, stamp_and_hop_limit
from pingsock.wire import linux
from pingsock.wire.errors import BadPacket

STAMP = (linux.SOL_SOCKET, linux.SO_TIMESTAMPING, pack("=6q", 1_700_000_000, 5, 0, 0, 0, 0))
HOP_LIMITS = [(linux.SOL_IP, linux.IP_TTL, pack("=i", 64)), (linux.SOL_IPV6, linux.IPV6_HOPLIMIT, pack("=i", 64))]


def entry(origin: int, info: int, key: int, *, tail: int = 16) -> bytes:
    return pack("=IBBBxII", 42, origin, 0, 0, info, key) + bytes(tail)


SENT = entry(linux.SO_EE_ORIGIN_TIMESTAMPING, linux.SCM_TSTAMP_SND, 7)
ERRORS = [(linux.SOL_IP, linux.IP_RECVERR), (linux.SOL_IPV6, linux.IPV6_RECVERR)]

contents = st.one_of(
    st.binary(max_size=50),
    st.sampled_from([STAMP[2], STAMP[2][:24], bytes(48), bytes(64), SENT, SENT[:16], SENT[:15], pack("=i", 3)]),
    st.builds(entry, st.integers(0, 5), st.integers(0, 3), st.integers(0, 2**32 - 1), tail=st.sampled_from([0, 16])),
)
kinds = st.sampled_from(
    [STAMP[:2], *[item[:2] for item in HOP_LIMITS], *ERRORS, (linux.SOL_SOCKET, 65), (0, 1), (7, 37)]
)
items_of_any_kind = st.lists(st.builds(lambda kind, content: (*kind, content), kinds, contents), max_size=3)


@pytest.mark.parametrize("hop_limit", HOP_LIMITS)
def test_an_ordinary_reply_is_read_the_short_way(hop_limit: tuple[int, int, bytes]) -> None:
    assert stamp_and_hop_limit([STAMP, hop_limit]) == (1_700_000_000_000_000_005, 64)


@pytest.mark.parametrize("kind", ERRORS)
def test_a_transmit_stamp_is_read_the_short_way(kind: tuple[int, int]) -> None:
    assert key_and_transmit_stamp([STAMP, (*kind, SENT)]) == (7, 1_700_000_000_000_000_005)


@pytest.mark.parametrize("origin", [linux.SO_EE_ORIGIN_LOCAL, linux.SO_EE_ORIGIN_ICMP, linux.SO_EE_ORIGIN_ICMP6])
def test_an_error_is_no_transmit_stamp(origin: int) -> None:
    assert key_and_transmit_stamp([STAMP, (*ERRORS[0], entry(origin, linux.SCM_TSTAMP_SND, 7))]) is None


@given(items_of_any_kind)
def test_the_short_way_tells_what_the_thorough_one_tells(items: list[Any]) -> None:
    try:
        beside = read_ancillary_untrusted(items)
    except BadPacket:
        assert stamp_and_hop_limit(items) is None
        assert key_and_transmit_stamp(items) is None or len(items[1][2]) > 16
        return
    assert stamp_and_hop_limit(items) in (None, (beside.stamp, beside.hop_limit))
    sent = key_and_transmit_stamp(items)
    if sent is not None:
        assert beside.error is not None
        assert (beside.error.origin, beside.error.info) == (linux.SO_EE_ORIGIN_TIMESTAMPING, linux.SCM_TSTAMP_SND)
        assert sent == (beside.error.data, beside.stamp)
