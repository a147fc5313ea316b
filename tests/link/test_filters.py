"""The programs run in the kernel here, on a socket pair: a filter on any socket judges what is sent to it."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from link.raw_bed import Hosts, Listener
from pingsock.link import filters
from pingsock.link.raw import RawLink
from pingsock.wire import linux
from pingsock.wire.bpf import JUMP, LOAD_BYTE, LOAD_HALF, any_of, op

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = 0x1234
REPLY = struct.pack("!BBHHH", 0, 0, 0, OURS, 1)


def passes(program: bytes, packet: bytes) -> bool:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with near, far:
        filters.attach(far, program)
        near.send(packet)
        with contextlib.suppress(BlockingIOError):
            assert far.recv(70000) == packet, "a filter may not cut"
            return True
        return False


def ipv4(payload: bytes, protocol: int = 1, options: bytes = b"") -> bytes:
    first = 0x45 + len(options) // 4
    header = struct.pack("!BxHxxxxBBxx8x", first, 20 + len(options) + len(payload), 64, protocol)
    return header + options + payload


def ipv6(payload: bytes, next_header: int = 58) -> bytes:
    return struct.pack("!IHBB32x", 6 << 28, len(payload), next_header, 64) + payload


def message(kind: int, ident: int = OURS) -> bytes:
    return struct.pack("!BBHHH", kind, 0, 0, ident, 1)


def error(kind: int, quote: bytes) -> bytes:
    return struct.pack("!BBHI", kind, 0, 0, 0) + quote


@pytest.mark.parametrize("kind", [0, 43])
def test_a_reply_passes_with_our_ident_only(kind: int) -> None:
    program = filters.ipv4_filter({OURS, 7})
    assert passes(program, ipv4(message(kind)))
    assert passes(program, ipv4(message(kind, 7)))
    assert not passes(program, ipv4(message(kind, 8)))


@pytest.mark.parametrize("kind", [set(range(256)) - {0, 43, *filters.ERROR_TYPES_4}])
def test_other_types_do_not_pass(kind: set[int]) -> None:
    program = filters.ipv4_filter(None)
    quote = ipv4(message(8))
    assert not [each for each in kind if passes(program, ipv4(error(each, quote)))]


def test_types_of_more_pairs_pass_on_request() -> None:
    program = filters.ipv4_filter({OURS}, (0, 14, 16, 18, 43))
    assert [kind for kind in range(32) if passes(program, ipv4(message(kind)))] == [0, 14, 16, 18]


@given(
    kind=st.sampled_from(filters.ERROR_TYPES_4),
    outer=st.integers(0, 10),
    inner=st.integers(0, 10),
    protocol=st.sampled_from([1, 6, 17, 58]),
    ident=st.sampled_from([OURS, OURS + 1, 0]),
    idents=st.sampled_from([None, frozenset({OURS}), frozenset(range(OURS, OURS + 64)), frozenset()]),
)
def test_an_error_passes_if_it_quotes_our_message_whatever_the_options(
    kind: int, outer: int, inner: int, protocol: int, ident: int, idents: frozenset[int] | None
) -> None:
    quote = ipv4(message(8, ident), protocol, bytes(4 * inner))
    packet = ipv4(error(kind, quote), options=bytes(4 * outer))
    expected = protocol == 1 and (idents is None or ident in idents)
    assert passes(filters.ipv4_filter(idents), packet) == expected


@given(cut=st.integers(0, 100))
def test_an_error_cut_before_the_quoted_ident_does_not_pass(cut: int) -> None:
    packet = ipv4(error(3, ipv4(message(8))))
    assert passes(filters.ipv4_filter({OURS}), packet[:cut]) == (cut >= 20 + 8 + 20 + 6)


def test_more_idents_than_fit_let_any_pass() -> None:
    assert not passes(filters.ipv4_filter(range(1, 65)), ipv4(REPLY))
    assert passes(filters.ipv4_filter(range(1, 66)), ipv4(REPLY))


@given(
    kind=st.integers(0, 255),
    ident=st.sampled_from([OURS, OURS + 1]),
    quoted=st.sampled_from([58, 17, 6, 44, 0, 60]),
    idents=st.sampled_from([None, frozenset({OURS}), frozenset()]),
)
def test_ipv6(kind: int, ident: int, quoted: int, idents: frozenset[int] | None) -> None:
    """Errors are all types below 128; behind extension headers the ident is not looked for."""
    wanted = idents is None or ident in idents
    if kind < 128:
        packet = error(kind, ipv6(message(128, ident), quoted))
        anybody = idents is None or bool(idents)
        expected = wanted if quoted == 58 else anybody and quoted in (0, 44, 60)
    else:
        packet = message(kind, ident)
        expected = wanted and kind in (129, 161)
    assert passes(filters.ipv6_filter(idents), packet) == expected


def test_nothing_passes_nothing() -> None:
    assert not passes(filters.nothing(), b"x")


def test_a_filter_is_replaced_in_one_step() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with near, far:
        filters.attach(far, filters.ipv4_filter({1}))
        filters.attach(far, filters.ipv4_filter({OURS}))
        near.send(ipv4(REPLY))
        assert far.recv(100) == ipv4(REPLY)


def test_the_type_mask_blocks_by_a_set_bit() -> None:
    words = struct.unpack("=8I", filters.icmp6_type_mask({1, 129}))
    assert words == (0xFFFFFFFD, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFD, *[0xFFFFFFFF] * 3)


@pytest.fixture
def flooded(hosts: Hosts) -> Iterator[tuple[Hosts, Listener]]:
    with RawLink.open() as link:
        link.update_idents({OURS})
        yield hosts, Listener(link)


@pytest.mark.parametrize("target", ["10.50.1.1", "fd50:1::1"])
def test_a_flood_of_other_peoples_echoes_does_not_wake_a_link(flooded: tuple[Hosts, Listener], target: str) -> None:
    """Requests from a neighbour, and the replies to another program on this host."""
    machines, listener = flooded
    outgoing = target.replace(".1.1", ".1.2").replace("::1", "::2")
    with machines.on("router"):
        subprocess.run(["ping", "-q", "-f", "-c", "2000", target], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ping", "-q", "-f", "-c", "2000", outgoing], check=True, stdout=subprocess.DEVNULL)
    assert listener.pump() <= {listener.news}
    assert listener.packets == []


def test_the_raw_ipv6_socket_shows_its_filter_the_icmpv6_header_first(hosts: Hosts) -> None:
    """What `ipv6_filter` is built upon, asked of this kernel."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, linux.IPPROTO_ICMPV6) as raw:
        lines = [
            op(LOAD_BYTE, 0),
            *any_of([129], "reply"),
            op(JUMP, then=filters.REFUSE),
            op(LOAD_HALF, 4, label="reply"),
            *any_of([os.getpid() & 0xFFFF or 1], filters.ACCEPT),
            op(JUMP, then=filters.REFUSE),
        ]
        filters.attach(raw, filters.packet_filter(lines))
        request = struct.pack("!BBHHH", 128, 0, 0, os.getpid() & 0xFFFF or 1, 1)
        raw.settimeout(5)
        raw.sendto(request, ("::1", 0))
        assert raw.recv(100)[0] == 129
