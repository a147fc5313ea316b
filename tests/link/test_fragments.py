from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingsock.link.fragments import Reassembler, fragment_ipv4, fragment_ipv6
from pingsock.wire.checksum import checksum_holds, internet_checksum
from pingsock.wire.errors import BadPacket


def ipv4(payload: bytes, *, options: bytes = b"", flags: int = 0, tos: int = 0, ident: int = 7) -> bytes:
    length = 20 + len(options) + len(payload)
    header = bytes([0x45 + len(options) // 4, tos]) + length.to_bytes(2, "big") + ident.to_bytes(2, "big")
    header += flags.to_bytes(2, "big") + b"\x40\x01\0\0" + bytes([10, 0, 0, 1, 10, 0, 0, 2]) + options
    return header[:10] + internet_checksum(header).to_bytes(2, "big") + header[12:] + payload


def ipv6(payload: bytes, *, next_header: int = 58, extensions: bytes = b"") -> bytes:
    length = len(extensions) + len(payload)
    return (
        b"\x60\0\0\0"
        + length.to_bytes(2, "big")
        + bytes([next_header, 64])
        + bytes(15)
        + b"\1"
        + bytes(15)
        + b"\2"
        + extensions
        + payload
    )


def reassemble(fragments: list[bytes], now: float = 0.0) -> list[tuple[bytes, int]]:
    reassembler = Reassembler()
    return [whole for fragment in fragments if (whole := reassembler.add_untrusted(fragment, now)) is not None]


@given(st.integers(0, 5000), st.integers(28, 1500), st.randoms())
@settings(deadline=None)
def test_ipv4_fragments_in_any_order_and_twice_become_the_packet_again(
    size: int, mtu: int, order: random.Random
) -> None:
    packet = ipv4(order.randbytes(size))
    fragments = fragment_ipv4(packet, mtu)
    assert all(len(fragment) <= mtu for fragment in fragments)
    largest = max(map(len, fragments)) if len(fragments) > 1 else 0
    order.shuffle(fragments)
    assert reassemble(fragments) == [(packet, largest)]
    if len(fragments) > 1:
        assert reassemble(fragments[:1] * 3 + fragments[1:]) == [(packet, largest)]


@given(st.integers(0, 5000), st.integers(56, 1500), st.randoms())
@settings(deadline=None)
def test_ipv6_fragments_in_any_order_and_twice_become_the_packet_again(
    size: int, mtu: int, order: random.Random
) -> None:
    packet = ipv6(order.randbytes(size))
    fragments = fragment_ipv6(packet, mtu, 99)
    assert all(len(fragment) <= mtu for fragment in fragments)
    largest = max(map(len, fragments)) if len(fragments) > 1 else 0
    order.shuffle(fragments)
    assert reassemble(fragments) == [(packet, largest)]
    if len(fragments) > 1:
        assert reassemble(fragments[:1] * 3 + fragments[1:]) == [(packet, largest)]


def test_every_ipv4_fragment_has_a_right_header_checksum_and_no_df() -> None:
    for fragment in fragment_ipv4(ipv4(bytes(3000), flags=0x4000), 600):
        assert checksum_holds(fragment[:20])
        assert not fragment[6] & 0x40


def test_a_fragment_may_be_cut_again() -> None:
    packet = ipv4(random.Random(1).randbytes(3000))
    twice = [small for fragment in fragment_ipv4(packet, 1500) for small in fragment_ipv4(fragment, 300)]
    assert reassemble(twice) == [(packet, 300)]


def test_later_fragments_keep_only_copied_options() -> None:
    record_route = bytes([7, 7, 4, 0, 0, 0, 0])
    router_alert = bytes([0x94, 4, 0, 0])
    packet = ipv4(bytes(100), options=b"\x01" + record_route + router_alert)
    first, second, *_ = fragment_ipv4(packet, 32 + 48)
    assert first[20:32] == b"\x01" + record_route + router_alert
    assert second[20:32] == b"\x01" * 8 + router_alert


def test_headers_for_routers_stay_in_front_of_each_ipv6_fragment_header() -> None:
    hop_by_hop = bytes([60, 0, 1, 4, 0, 0, 0, 0])
    destination = bytes([58, 0, 1, 4, 0, 0, 0, 0])
    packet = ipv6(bytes(2000), next_header=0, extensions=hop_by_hop + destination)
    fragments = fragment_ipv6(packet, 1280, 5)
    assert [fragment[40:49] for fragment in fragments] == [bytes([44]) + hop_by_hop[1:] + bytes([60])] * 2
    assert reassemble(fragments) == [(packet, 1280)]


@pytest.mark.parametrize("size", [0, 20, 27])
def test_a_size_without_room_for_eight_bytes_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"fragments of {size} bytes"):
        fragment_ipv4(ipv4(bytes(100)), size)
    with pytest.raises(ValueError, match=f"fragments of {size + 28} bytes"):
        fragment_ipv6(ipv6(bytes(100)), size + 28, 1)


def test_what_is_no_fragment_passes_unchanged() -> None:
    for packet in [ipv4(b"x"), ipv6(b"x"), ipv4(b"x", flags=0x4000)]:
        assert reassemble([packet]) == [(packet, 0)]


def test_a_lone_ipv6_fragment_is_whole_at_once() -> None:
    packet = ipv6(b"payload", next_header=44, extensions=bytes([58, 0, 0, 0, 0, 0, 0, 9]))
    assert reassemble([packet]) == [(ipv6(b"payload"), len(packet))]


def test_df_survives_only_if_the_largest_fragment_had_it() -> None:
    fragments = fragment_ipv4(ipv4(bytes(100)), 60)
    marked = [ipv4(f[20:], flags=int.from_bytes(f[6:8], "big") | 0x4000) for f in fragments]
    assert reassemble(marked)[0][0][6] == 0x40
    assert reassemble(fragments)[0][0][6] == 0


@pytest.mark.parametrize("later", [0, 1, 2])
def test_an_overlap_condemns_the_whole_packet(later: int) -> None:
    first, second, third = fragment_ipv4(ipv4(bytes(range(72))), 44)
    overlap = ipv4(bytes(16), flags=0x2000 | 2)
    reassembler = Reassembler()
    reassembler.add_untrusted(first, 0)
    with pytest.raises(BadPacket, match="overlaps"):
        reassembler.add_untrusted(overlap, 0)
    assert reassembler.next_expiry() is None
    rest = [first, second, third]
    del rest[later]
    assert [reassembler.add_untrusted(fragment, 0) for fragment in rest] == [None, None]


def test_bytes_behind_the_last_fragment_condemn_the_packet() -> None:
    _first, second, third = fragment_ipv4(ipv4(bytes(72)), 44)
    for early, late in [(third, ipv4(bytes(8), flags=0x2000 | 9)), (second, ipv4(bytes(8), flags=1))]:
        reassembler = Reassembler()
        assert reassembler.add_untrusted(early, 0) is None
        with pytest.raises(BadPacket, match=r"behind the last|otherwise"):
            reassembler.add_untrusted(late, 0)


def test_fragments_that_add_up_to_too_much_are_refused() -> None:
    with pytest.raises(BadPacket, match="beyond the largest"):
        Reassembler().add_untrusted(ipv4(bytes(200), flags=0x1FFF), 0)


def test_incomplete_packets_are_forgotten_after_30_and_60_seconds() -> None:
    reassembler = Reassembler()
    first4, second4 = fragment_ipv4(ipv4(bytes(100)), 100)
    first6, second6 = fragment_ipv6(ipv6(bytes(100)), 120, 1)
    for first in (first4, first6):
        reassembler.add_untrusted(first, 1000.0)
    assert reassembler.next_expiry() == 1030.0
    assert reassembler.add_untrusted(second4, 1030.0) is None
    assert reassembler.add_untrusted(second6, 1059.9) is not None
    assert reassembler.next_expiry() == 1060.0
    reassembler.expire(1060.0)
    assert reassembler.next_expiry() is None


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    reassembler = Reassembler(memory_limit=10_000)
    heads = [fragment_ipv4(ipv4(bytes(1000), ident=n), 820) for n in range(100)]
    for n, (first, _) in enumerate(heads):
        reassembler.add_untrusted(first, n / 1000)
    newest_first = [reassembler.add_untrusted(second, 0.2) is not None for _, second in reversed(heads)]
    assert newest_first == [True] * 9 + [False] * 91


def test_congestion_experienced_on_one_fragment_marks_the_whole() -> None:
    first, second = fragment_ipv4(ipv4(bytes(100), tos=2), 100)
    marked = second[:1] + b"\x03" + second[2:]
    assert reassemble([first, marked])[0][0][1] == 3
    with pytest.raises(BadPacket, match="congestion"):
        reassemble([*fragment_ipv4(ipv4(bytes(100), tos=0), 100)[:1], marked])


@given(st.lists(st.binary(max_size=120), max_size=20))
def test_nothing_but_BadPacket_comes_out_of_hostile_bytes(packets: list[bytes]) -> None:
    reassembler = Reassembler()
    for packet in packets:
        for version in (packet[:1], b"\x45", b"\x60"):
            try:
                reassembler.add_untrusted(version + packet[1:], 0.0)
            except BadPacket:
                pass


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5), st.booleans()), max_size=30))
def test_any_mixture_of_fragments_gives_a_whole_or_BadPacket_and_loses_no_memory(
    pieces: list[tuple[int, int, bool]],
) -> None:
    reassembler = Reassembler()
    for offset, units, more in pieces:
        try:
            whole = reassembler.add_untrusted(ipv4(bytes(units * 8), flags=offset | 0x2000 * more), 0.0)
        except BadPacket:
            continue
        if whole is not None and whole[1]:
            assert int.from_bytes(whole[0][2:4], "big") == len(whole[0])
    reassembler.expire(31.0)
    assert reassembler._held == 0
