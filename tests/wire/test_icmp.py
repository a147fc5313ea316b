from __future__ import annotations

import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pingsock.wire import icmp4, icmp6
from pingsock.wire.checksum import checksum_holds, icmp6_checksum_holds, with_checksum, with_checksum6
from pingsock.wire.errors import BadPacket
from pingsock.wire.icmp4 import parse_icmp4_untrusted
from pingsock.wire.icmp6 import nd_options_untrusted, parse_icmp6_untrusted, redirected_packet_untrusted

from .strategies import address6, icmp4_messages, icmp6_messages

HERE = bytes.fromhex("20010db8000000000000000000000001")
THERE = bytes.fromhex("20010db8000000000000000000000002")


@given(icmp4_messages)
def test_an_icmp4_message_survives_the_way_through_bytes(message: icmp4.Icmp4Message) -> None:
    assert parse_icmp4_untrusted(message.to_bytes()) == message
    assert pickle.loads(pickle.dumps(message)) == message


@given(icmp6_messages, address6, address6)
def test_an_icmp6_message_survives_the_way_through_bytes(
    message: icmp6.Icmp6Message, source: bytes, destination: bytes
) -> None:
    packed = message.to_bytes(source, destination)
    assert parse_icmp6_untrusted(packed, source, destination) == message
    assert pickle.loads(pickle.dumps(message)) == message


@given(st.binary(min_size=8, max_size=64), st.integers(0, 45))
def test_icmp4_bytes_survive_the_way_through_a_value(body: bytes, icmp_type: int) -> None:
    packed = with_checksum(bytes((icmp_type,)) + body + bytes(20))
    assert parse_icmp4_untrusted(packed).to_bytes() == packed


@given(st.binary(min_size=8, max_size=64), st.sampled_from([0, 1, 2, 3, 4, 5, 100, 128, 129, 135, 137, 160, 161]))
def test_icmp6_bytes_survive_the_way_through_a_value(body: bytes, icmp_type: int) -> None:
    packed = with_checksum6(HERE, THERE, bytes((icmp_type,)) + body + bytes(40))
    assert parse_icmp6_untrusted(packed, HERE, THERE).to_bytes(HERE, THERE) == packed


@given(st.binary(max_size=100))
@example(bytes(8))
def test_any_bytes_make_a_message_or_a_bad_packet(message: bytes) -> None:
    for parse in (
        lambda: parse_icmp4_untrusted(message),
        lambda: parse_icmp4_untrusted(message, verify_checksum=False),
        lambda: parse_icmp6_untrusted(message, HERE, THERE),
        lambda: parse_icmp6_untrusted(message, message, message),
        lambda: parse_icmp6_untrusted(message, verify_checksum=False),
        lambda: nd_options_untrusted(message),
        lambda: redirected_packet_untrusted(message),
    ):
        try:
            parse()
        except BadPacket:
            pass


@pytest.mark.parametrize("length", range(8))
def test_nothing_shorter_than_eight_bytes_is_a_message(length: int) -> None:
    with pytest.raises(BadPacket, match=f"of {length} bytes"):
        parse_icmp4_untrusted(bytes(length))
    with pytest.raises(BadPacket, match=f"of {length} bytes"):
        parse_icmp6_untrusted(bytes(length), HERE, THERE)


def test_a_wrong_checksum_is_refused_unless_asked_not_to_look() -> None:
    packed = icmp4.EchoReply(1, 2, b"abc").to_bytes()
    broken = packed[:-1] + b"d"
    with pytest.raises(BadPacket, match="checksum"):
        parse_icmp4_untrusted(broken)
    assert parse_icmp4_untrusted(broken, verify_checksum=False) == icmp4.EchoReply(1, 2, b"abd")


def test_an_icmp6_message_between_other_addresses_is_refused() -> None:
    packed = icmp6.EchoReply(1, 2).to_bytes(HERE, THERE)
    with pytest.raises(BadPacket, match="checksum"):
        parse_icmp6_untrusted(packed, HERE, HERE)


@pytest.mark.parametrize(
    ("message", "layout"),
    [
        # Layouts drawn by hand from the figures of RFC 792, 950, 1191, 4884 and 8335; checksum bytes shown as ....
        (icmp4.EchoRequest(0x1234, 0x5678, b"\xaa"), "08 00 .... 1234 5678 aa"),
        (icmp4.TimestampRequest(1, 2, 3, 4, 5), "0d 00 .... 0001 0002 00000003 00000004 00000005"),
        (icmp4.TimestampReply(1, 2, 3, 4, 5), "0e 00 .... 0001 0002 00000003 00000004 00000005"),
        (icmp4.InformationRequest(1, 2), "0f 00 .... 0001 0002"),
        (icmp4.InformationReply(1, 2), "10 00 .... 0001 0002"),
        (icmp4.AddressMaskRequest(1, 2), "11 00 .... 0001 0002 00000000"),
        (icmp4.AddressMaskReply(1, 2, bytes.fromhex("ffffff00")), "12 00 .... 0001 0002 ffffff00"),
        (icmp4.DestinationUnreachable(4, b"\xee", 1400, 32), "03 04 .... 00 20 0578 ee"),
        (icmp4.SourceQuench(b"\xee"), "04 00 .... 00000000 ee"),
        (icmp4.Redirect(1, bytes.fromhex("0a0900fd"), b"\xee"), "05 01 .... 0a0900fd ee"),
        (icmp4.TimeExceeded(0, b"\xee", 32), "0b 00 .... 00 20 0000 ee"),
        (icmp4.ParameterProblem(20, b"\xee", length=32), "0c 00 .... 14 20 0000 ee"),
        (icmp4.ExtendedEchoRequest(0x1234, 0x56, True, b"\xaa"), "2a 00 .... 1234 56 01 aa"),
        (icmp4.ExtendedEchoRequest(0x1234, 0x56, False, b"\xaa"), "2a 00 .... 1234 56 00 aa"),
        (icmp4.ExtendedEchoReply(0x1234, 0x56, 0, 2, True, True, False), "2b 00 .... 1234 56 46"),
        (icmp4.ExtendedEchoReply(0x1234, 0x56, 2), "2b 02 .... 1234 56 00"),
    ],
)
def test_icmp4_layouts_are_those_of_the_rfcs(message: icmp4.Icmp4Message, layout: str) -> None:
    packed = message.to_bytes()
    assert checksum_holds(packed)
    head, tail = layout.split("....")
    assert packed[:2] == bytes.fromhex(head)
    assert packed[4:] == bytes.fromhex(tail)


@pytest.mark.parametrize(
    ("message", "layout"),
    [
        (icmp6.EchoRequest(0x1234, 0x5678, b"\xaa"), "80 00 .... 1234 5678 aa"),
        (icmp6.EchoReply(0x1234, 0x5678, b"\xaa"), "81 00 .... 1234 5678 aa"),
        (icmp6.DestinationUnreachable(4, b"\xee", 16), "01 04 .... 10 000000 ee"),
        (icmp6.PacketTooBig(1280, b"\xee"), "02 00 .... 00000500 ee"),
        (icmp6.TimeExceeded(0, b"\xee", 16), "03 00 .... 10 000000 ee"),
        (icmp6.ParameterProblem(40, b"\xee", 1), "04 01 .... 00000028 ee"),
        (icmp6.Redirect(HERE, THERE), f"89 00 .... 00000000 {HERE.hex()} {THERE.hex()}"),
        (icmp6.ExtendedEchoRequest(0x1234, 0x56), "a0 00 .... 1234 56 01"),
        (icmp6.ExtendedEchoReply(0x1234, 0x56, 0, 0, True, False, True), "a1 00 .... 1234 56 05"),
    ],
)
def test_icmp6_layouts_are_those_of_the_rfcs(message: icmp6.Icmp6Message, layout: str) -> None:
    packed = message.to_bytes(HERE, THERE)
    assert icmp6_checksum_holds(HERE, THERE, packed)
    head, tail = layout.split("....")
    assert packed[:2] == bytes.fromhex(head)
    assert packed[4:] == bytes.fromhex(tail)


@pytest.mark.parametrize(
    "message",
    [
        icmp4.EchoRequest(0x10000, 1),
        icmp4.EchoRequest(-1, 1),
        icmp4.EchoReply(1, 1, code=256),
        icmp4.ExtendedEchoRequest(1, 256),
        icmp4.ExtendedEchoReply(1, 1, state=8),
        icmp4.TimestampRequest(1, 1, 1 << 32),
        icmp4.AddressMaskReply(1, 1, b"123"),
        icmp4.DestinationUnreachable(3, length=256),
        icmp4.Redirect(1, b"12345"),
        icmp4.TimeExceeded(reserved=1 << 24),
        icmp4.ParameterProblem(256),
        icmp4.Unknown(256, 0, bytes(4)),
        icmp4.Unknown(44, 0, bytes(3)),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_not_sent(message: icmp4.Icmp4Message) -> None:
    with pytest.raises(BadPacket):
        message.to_bytes()


@pytest.mark.parametrize(
    "message",
    [
        icmp6.EchoRequest(0x10000, 1),
        icmp6.DestinationUnreachable(3, length=256),
        icmp6.TimeExceeded(0, reserved=1 << 24),
        icmp6.PacketTooBig(1 << 32),
        icmp6.ParameterProblem(-1),
        icmp6.Redirect(bytes(4), THERE),
        icmp6.Unknown(5, 0, bytes(3)),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_not_sent_on_ipv6(message: icmp6.Icmp6Message) -> None:
    with pytest.raises(BadPacket):
        message.to_bytes(HERE, THERE)


@pytest.mark.parametrize(("icmp_type", "length"), [(13, 19), (14, 12), (17, 11), (18, 8)])
def test_a_message_cut_inside_its_fixed_part_is_bad(icmp_type: int, length: int) -> None:
    with pytest.raises(BadPacket, match="fixed part"):
        parse_icmp4_untrusted(with_checksum(bytes((icmp_type,)) + bytes(length - 1)))


def test_a_redirect_quotes_its_packet_in_an_option() -> None:
    link_layer = bytes.fromhex("0201020304050607")
    packet = bytes(range(42))
    quoting = bytes((4, 6)) + bytes(6) + packet[:40]
    assert nd_options_untrusted(link_layer + quoting) == ((2, link_layer[2:]), (4, bytes(6) + packet[:40]))
    assert redirected_packet_untrusted(link_layer + quoting) == packet[:40]
    assert redirected_packet_untrusted(link_layer) == b""


@pytest.mark.parametrize("options", [b"\x02", b"\x02\x00", b"\x02\x00\0\0\0\0\0\0", b"\x02\x02\0\0\0\0\0\0"])
def test_an_endless_or_cut_off_neighbour_option_is_bad(options: bytes) -> None:
    with pytest.raises(BadPacket):
        nd_options_untrusted(options)


def test_messages_are_told_apart_by_isinstance() -> None:
    assert isinstance(parse_icmp4_untrusted(icmp4.EchoReply(1, 1).to_bytes()), icmp4.Icmp4Message)
    assert not isinstance(icmp4.EchoReply(1, 1), icmp6.Icmp6Message)
    assert icmp4.EchoReply(1, 1) != icmp4.InformationReply(1, 1)
