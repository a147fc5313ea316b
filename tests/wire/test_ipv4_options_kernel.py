"""The four operations on IPv4 options, against the kernel's own."""

from __future__ import annotations

from socket import inet_aton
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings

from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4_options import (
    fill_outgoing,
    first_hop,
    has_source_route,
    options_for_reply,
    pad_options,
    record_arrival,
    split_options_untrusted,
    validate_options,
)

from .kernel_program import kernel_program
from .option_kernel import HERE, THERE
from .strategies import ipv4_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .kernel_program import Ask

LOCAL, PEER = inet_aton(HERE), inet_aton(THERE)
thoroughly = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    with kernel_program("option_kernel.py") as program:
        yield program


def hexed(options: bytes) -> str:
    return options.hex() or "-"


def settle_times(kernel: bytes, early: bytes, late: bytes) -> bytes:
    """What the kernel said, with zeros where our own results with two different clocks differ."""
    return bytes(k if a == b else 0 for k, a, b in zip(kernel, early, late, strict=True))


@thoroughly
@given(options=ipv4_options)
def test_the_kernel_takes_the_same_options_and_shows_them_the_same(ask: Ask, options: bytes) -> None:
    try:
        expected = hexed(validate_options(options, local=[LOCAL]))
    except BadPacket:
        expected = "EINVAL"
    assert ask(f"set {hexed(options)}") == expected


@settings(max_examples=25, deadline=None)
@given(options=ipv4_options)
def test_it_takes_fewer_from_those_without_capabilities(ask: Ask, options: bytes) -> None:
    check_as_user(ask, options)


@pytest.mark.parametrize(
    "options",
    ["1e04aaaa", "8307047f000001", "8307087f000001", "8307047f0000011e01", "4408050200000000", "4408090200000000"],
)
def test_what_only_capabilities_allow(ask: Ask, options: str) -> None:
    check_as_user(ask, bytes.fromhex(options))


def check_as_user(ask: Ask, options: bytes) -> None:
    try:
        padded = validate_options(options, privileged=False, local=[LOCAL])
        expected = "EPERM" if has_source_route(padded) else hexed(padded)
    except BadPacket:
        expected = "EINVAL"
    assert ask(f"set {hexed(options)} user") == expected


@thoroughly
@given(options=ipv4_options)
def test_a_packet_leaves_with_the_same_options(ask: Ask, options: bytes) -> None:
    try:
        padded = validate_options(options)
    except BadPacket:
        assume(False)
    hop, routed = first_hop(padded, PEER)
    assume(hop[:3] == PEER[:3])
    assume(hop[3] not in {0, 1, 255})
    early, late = (fill_outgoing(routed, LOCAL, now) for now in (0, 0xFFFFFFFF))
    destination, options_sent = ask(f"out {hexed(options)} {THERE}").split()
    assert inet_aton(destination) == hop
    assert settle_times(bytes.fromhex(options_sent.strip("-")), early, late) == settle_times(early, early, late)


@thoroughly
@given(options=ipv4_options.map(pad_options))
def test_an_arriving_packet_shows_the_same_options_and_the_same_answer(ask: Ask, options: bytes) -> None:
    assume(0 < len(options) <= 40)
    answer = ask(f"in {hexed(options)}")
    try:
        early, late = (record_arrival(options, LOCAL, now) for now in (0, 0xFFFFFFFF))
    except BadPacket:
        assert answer == "dropped"
        return
    parts = split_options_untrusted(options)
    assume(not any(part[0] in {131, 137} and part[2] <= len(part) for part in parts))
    assume(not any(part[0] == 134 for part in parts))
    recorded, reply = answer.split()
    assert settle_times(bytes.fromhex(recorded), early, late) == settle_times(early, early, late)
    try:
        early, late = (options_for_reply(arrived, PEER, LOCAL) for arrived in (early, late))
    except BadPacket:
        assert reply == "none"
        return
    assert settle_times(bytes.fromhex(reply.strip("-")), early, late) == settle_times(early, early, late)
