from __future__ import annotations

import errno
import socket
import struct
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.sockets.ancillary import (
    CONTROL_BYTES,
    Ancillary,
    ExtendedError,
    parse_extended_error_untrusted,
    read_ancillary_untrusted,
)
from pingsock.sockets.kernel import KernelPingSocket
from pingsock.wire import linux
from pingsock.wire.errors import BadPacket
from sockets_unit.private import EVERYBODY, in_private_network

if TYPE_CHECKING:
    from collections.abc import Callable

LONGS = {"32-bit": "i", "64-bit": "q"}
KNOWN = [
    (level, number)
    for level, numbers in {
        linux.SOL_SOCKET: (29, 35, 37, 63, 64, 65),
        linux.SOL_IP: (1, 2, 6, 7, 8, 11, 25),
        linux.SOL_IPV6: (11, 25, 50, 52, 67, 77),
    }.items()
    for number in numbers
]


def extended_error(**changes: int) -> bytes:
    fields = {"errno": 113, "origin": 2, "type": 3, "code": 1, "pad": 0, "info": 0, "data": 0} | changes
    return struct.pack("=I4B2I", *fields.values())


def sockaddr_in(address: str) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))


def sockaddr_in6(address: str, scope: int = 0) -> bytes:
    return struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, socket.inet_pton(socket.AF_INET6, address), scope)


def read(level: int, number: int, content: bytes) -> Ancillary:
    return read_ancillary_untrusted([(level, number, content)])


def test_nothing_asked_for_gives_the_defaults() -> None:
    assert read_ancillary_untrusted([]) == Ancillary()


def test_unknown_items_are_skipped() -> None:
    assert read_ancillary_untrusted([(1, 1, b"rights"), (0, 99, b""), (41, 54, bytes(8))]) == Ancillary()


@pytest.mark.parametrize("width", LONGS.values(), ids=LONGS)
class TestTimeStampsAreAsWideAsTheProgramsLong:
    def test_timeval(self, width: str) -> None:
        assert read(1, 29, struct.pack(f"=2{width}", 1_700_000_000, 123_456)).stamp == 1_700_000_000_123_456_000

    def test_timespec(self, width: str) -> None:
        assert read(1, 35, struct.pack(f"=2{width}", 1_700_000_000, 123_456_789)).stamp == 1_700_000_000_123_456_789

    def test_three_stamps(self, width: str) -> None:
        stamps = read(1, 37, struct.pack(f"=6{width}", 10, 5, 0, 0, 20, 7))
        assert (stamps.stamp, stamps.hardware_stamp) == (10_000_000_005, 20_000_000_007)


@pytest.mark.parametrize(("number", "layout"), [(63, "=2q"), (64, "=2q"), (65, "=6q")])
def test_new_stamps_reach_beyond_2038(number: int, layout: str) -> None:
    seconds = 2**31 + 5
    rest = [0] * (struct.calcsize(layout) // 8 - 1)
    assert read(1, number, struct.pack(layout, seconds, *rest)).stamp == seconds * 10**9


def test_a_stamp_that_was_not_taken_hides_no_other() -> None:
    items = [(1, 35, struct.pack("=2q", 7, 0)), (1, 37, bytes(48))]
    assert read_ancillary_untrusted(items).stamp == 7_000_000_000


def test_ipv4_facts() -> None:
    items = [
        (0, 8, struct.pack("=i4s4s", 3, bytes(4), socket.inet_aton("192.0.2.1"))),
        (0, 2, struct.pack("=i", 61)),
        (0, 1, b"\xb9"),
        (0, 6, b"\x07\x07\x04abcd\0"),
        (0, 7, b"\x07\x03\x04\0"),
        (0, 25, struct.pack("=i", 576)),
    ]
    assert read_ancillary_untrusted(items) == Ancillary(
        hop_limit=61,
        traffic_class=0xB9,
        interface=3,
        destination="192.0.2.1",
        fragment_size=576,
        options=b"\x07\x07\x04abcd\0",
        return_options=b"\x07\x03\x04\0",
    )


def test_ipv6_facts() -> None:
    items = [
        (41, 50, struct.pack("=16si", socket.inet_pton(socket.AF_INET6, "2001:db8::1"), 4)),
        (41, 52, struct.pack("=i", 0)),
        (41, 67, struct.pack("=i", 0xB9)),
        (41, 11, bytes.fromhex("0b912345")),
        (41, 77, struct.pack("=i", 1448)),
    ]
    assert read_ancillary_untrusted(items) == Ancillary(
        hop_limit=0,
        traffic_class=0xB9,
        flow_label=0x12345,
        interface=4,
        destination="2001:db8::1",
        fragment_size=1448,
    )


def test_extended_error_with_a_reporter() -> None:
    error = parse_extended_error_untrusted(extended_error(info=1400, code=4) + sockaddr_in("192.0.2.254"))
    assert error == ExtendedError(113, 2, 3, 4, 1400, 0, "192.0.2.254")


def test_extended_error_with_a_link_local_reporter() -> None:
    error = parse_extended_error_untrusted(extended_error(origin=3) + sockaddr_in6("fe80::1", 5))
    assert (error.offender, error.offender_scope) == ("fe80::1", 5)


@pytest.mark.parametrize("behind", [b"", bytes(16), bytes(28)])
def test_extended_error_without_a_reporter(behind: bytes) -> None:
    assert parse_extended_error_untrusted(extended_error() + behind).offender == ""


def test_gateway_of_a_redirect_is_a_number_in_host_order() -> None:
    assert parse_extended_error_untrusted(extended_error(type=5, info=0x0A0900FD)).gateway == "10.9.0.253"


@pytest.mark.parametrize(
    ("content", "offset", "valid"), [((108, 0, 0), 108, True), ((108, 1, 0), 108, False), ((0, 0, 0), 0, False)]
)
def test_place_of_extensions(content: tuple[int, int, int], offset: int, valid: bool) -> None:
    data = int.from_bytes(struct.pack("=HBB", *content), sys.byteorder)
    error = parse_extended_error_untrusted(extended_error(data=data))
    assert (error.extensions_offset, error.extensions_valid) == (offset, valid)


@pytest.mark.parametrize("length", range(16))
def test_extended_error_cut_short_is_a_bad_packet(length: int) -> None:
    with pytest.raises(BadPacket, match=f"has {length} bytes, needs 16"):
        parse_extended_error_untrusted(extended_error()[:length])


@pytest.mark.parametrize("address", [sockaddr_in("192.0.2.1")[:15], sockaddr_in6("::1")[:27]])
def test_reporter_cut_short_is_a_bad_packet(address: bytes) -> None:
    with pytest.raises(BadPacket, match="sockaddr_in"):
        parse_extended_error_untrusted(extended_error() + address)


def test_reporter_of_another_family_is_a_bad_packet() -> None:
    with pytest.raises(BadPacket, match="family 17"):
        parse_extended_error_untrusted(extended_error() + struct.pack("=H", 17) + bytes(14))


@pytest.mark.parametrize(("level", "number"), [item for item in KNOWN if item not in ((0, 6), (0, 7))])
def test_items_without_content_are_bad_packets(level: int, number: int) -> None:
    with pytest.raises(BadPacket, match="has 0 bytes, needs"):
        read(level, number, b"")


@given(st.lists(st.tuples(st.sampled_from(KNOWN), st.binary(max_size=64)), max_size=4))
def test_only_bad_packet_gets_out(items: list[tuple[tuple[int, int], bytes]]) -> None:
    try:
        read_ancillary_untrusted([(level, number, content) for (level, number), content in items])
    except BadPacket:
        return


def echo(size: int = 8) -> bytes:
    return bytes([8, 0, 0, 0, 0, 0, 0, 1]) + bytes(size - 8)


OPTIONS = {
    linux.SOL_IP: (linux.IP_RECVERR, linux.IP_RECVTTL, linux.IP_RECVTOS, linux.IP_PKTINFO, linux.IP_RETOPTS),
    linux.SOL_SOCKET: (linux.SO_TIMESTAMPNS,),
}
STAMPS = (
    linux.SOF_TIMESTAMPING_TX_SOFTWARE
    | linux.SOF_TIMESTAMPING_RX_SOFTWARE
    | linux.SOF_TIMESTAMPING_SOFTWARE
    | linux.SOF_TIMESTAMPING_OPT_ID
    | linux.SOF_TIMESTAMPING_OPT_TSONLY
)


def stamped_socket() -> KernelPingSocket:
    opened = KernelPingSocket()
    for level, numbers in OPTIONS.items():
        for number in numbers:
            opened.setsockopt(level, number, 1)
    opened.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING, STAMPS)
    opened.settimeout(5)
    return opened


def on_loopback(function: Callable[[KernelPingSocket], Ancillary]) -> Ancillary:
    def inside() -> Ancillary:
        with stamped_socket() as opened:
            return function(opened)

    return in_private_network(inside, group_range=EVERYBODY)


def received(opened: KernelPingSocket, flags: int = 0) -> Ancillary:
    _, items, message_flags, _ = opened.recvmsg(2048, CONTROL_BYTES, flags)
    assert not message_flags & linux.MSG_CTRUNC
    return read_ancillary_untrusted(items)


def test_facts_of_a_reply_from_the_kernel() -> None:
    def ping(opened: KernelPingSocket) -> Ancillary:
        # The switch that stamps arriving packets is thrown asynchronously after the first socket asks.
        for _ in range(200):
            opened.sendto(echo(), ("127.0.0.1", 0))
            reply = received(opened)
            if reply.stamp:
                break
        return reply

    reply = on_loopback(ping)
    assert (reply.hop_limit, reply.traffic_class, reply.interface, reply.destination) == (64, 0, 1, "127.0.0.1")
    assert reply.stamp > 10**18
    assert reply.error is None


def test_a_transmit_stamp_of_the_kernel() -> None:
    def ping(opened: KernelPingSocket) -> Ancillary:
        for _ in range(2):
            opened.sendto(echo(), ("127.0.0.1", 0))
        received(opened, linux.MSG_ERRQUEUE)
        return received(opened, linux.MSG_ERRQUEUE)

    sent = on_loopback(ping)
    assert sent.error == ExtendedError(errno.ENOMSG, linux.SO_EE_ORIGIN_TIMESTAMPING, info=linux.SCM_TSTAMP_SND, data=1)
    assert sent.stamp > 10**18


def test_a_message_too_long_for_the_kernel() -> None:
    def ping(opened: KernelPingSocket) -> Ancillary:
        with pytest.raises(OSError, match="too long"):
            opened.sendto(echo(65530), ("127.0.0.1", 0))
        return received(opened, linux.MSG_ERRQUEUE)

    error = on_loopback(ping).error
    assert error is not None
    assert (error.errno, error.origin, error.offender) == (errno.EMSGSIZE, linux.SO_EE_ORIGIN_LOCAL, "")
