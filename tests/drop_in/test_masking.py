"""What is compared and what is hidden: a comparison is worth what its masks leave over."""

from __future__ import annotations

import struct
import time

import pytest

from drop_in.capture import described
from drop_in.command_lines import parsed
from drop_in.differences import expected_of_ours
from drop_in.masking import report
from drop_in.runs import Observation


def printed(out: str, line: str = "ping -c 1 10.77.2.2", err: str = "") -> str:
    return report(Observation(out, err, 0, []), parsed(line, "user"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("time=0.042 ms", "time=0.999 ms"),
        ("time=0.042 ms", "time=12.3 ms"),
        ("time=1.00 ms", "time=345 ms"),
        ("loss, time 0ms", "loss, time 1001ms"),
        ("min/avg/max/mdev = 0.001/0.002/0.003/0.000 ms", "min/avg/max/mdev = 1.001/2.001/3.001/0.001 ms"),
        ("[1732345678.123456] 64 bytes", "[1732345679.000001] 64 bytes"),
        ("\t10.77.1.2\t43200000 absolute", "\t10.77.1.2\t43200001 absolute"),
        ("TS: \t10.77.1.2\t43200000 absolute", "TS: \t10.77.1.2\t0 absolute"),
        ("\t10.77.1.1\t0", "\t10.77.1.1\t1"),
        ("\t10.77.1.1\t1", "\t10.77.1.1\t-43200000"),
        ("\trouter.test (10.77.1.1)\t0", "\trouter.test (10.77.1.1)\t12"),
        ("TS: \t43200000 absolute\n\t0\n\t1", "TS: \t43200999 absolute\n\t1\n\t-1"),
        (" ident=4711", " ident=1"),
    ],
)
def test_measured_numbers_are_hidden(one: str, other: str) -> None:
    assert printed(one) == printed(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("time=0.042 ms", "time=0.0420 ms"),
        ("time=0.042 ms", "time=.042 ms"),
        ("time=12.3 ms", "time=12.34 ms"),
        ("time=1.00 ms", "time=1.000 ms"),
        ("time=100 ms", "time=100.0 ms"),
        ("icmp_seq=1", "icmp_seq=2"),
        ("ttl=63", "ttl=64"),
        ("min/avg/max/mdev = 0.001/0.002/0.003/0.000 ms", "min/avg/max/mdev = 0.001/0.002/0.003/0.00 ms"),
        ("[1732345678.123456] 64 bytes", "[1732345678.12345] 64 bytes"),
        ("\t10.77.1.2\t43200000 absolute", "\t10.77.1.3\t43200000 absolute"),
        ("\t10.77.1.1\t1", "\t10.77.1.1\t1 absolute"),
        ("\t10.77.1.1\t1", "\trouter.test (10.77.1.1)\t1"),
        ("TS: \t5 absolute\n\t0", "TS: \t5 absolute\n\t0\n\t0"),
        ("RR: \t10.77.1.2", "RR: \t10.77.1.3"),
        ("64 bytes", "64 bytes "),
        ("pipe 2", ""),
    ],
)
def test_everything_else_is_not(one: str, other: str) -> None:
    assert printed(one) != printed(other)


def test_an_ident_is_shown_that_the_user_chose() -> None:
    line = "ping -e 7 -c 1 10.77.2.2"
    assert printed("ident=7", line) != printed("ident=8", line)


def test_a_dot_is_told_from_no_dot_even_where_their_order_is_not() -> None:
    line = "ping -f -c 2 10.77.2.2"
    assert printed(".\b \b.\b \b\n", line) == printed("..\b \b\b \b\n", line)
    assert printed(".\b \b.\n", line) != printed(".\b \b.\b \b\n", line)


def echo(ident: int, data: bytes) -> bytes:
    message = struct.pack("!BBHHH", 8, 0, 0, ident, 1) + data
    padded = message + bytes(len(message) & 1)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return message[:2] + checksum.to_bytes(2, "big") + message[4:]


def on_the_wire(message: bytes, *, ttl: int = 64, identification: int = 0) -> list[str]:
    length = 20 + len(message)
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, identification, 0x4000, ttl, 1, 0, b"\n\0\0\1", b"\n\0\0\2")
    return described([("far", header + message)], shows_ident=False, shows_label=False)


def test_times_idents_and_identifications_of_packets_are_hidden() -> None:
    now = int(time.time())
    packets = [
        on_the_wire(echo(ident, struct.pack("@ll", now - ident, 5 * ident) + b"rest"), identification=ident)
        for ident in (1, 2)
    ]
    assert packets[0] == packets[1]
    assert "time 72657374" in packets[0][0]


def test_all_other_fields_of_packets_are_not() -> None:
    message = echo(1, b"abcd")
    plain = on_the_wire(message)
    assert on_the_wire(message, ttl=63) != plain
    assert on_the_wire(echo(1, b"abce")) != plain
    assert on_the_wire(echo(1, b"abc")) != plain
    assert on_the_wire(message[:2] + b"\0\0" + message[4:]) != plain
    assert on_the_wire(echo(1, struct.pack("@ll", 1, 1))) != on_the_wire(echo(1, struct.pack("@ll", 2, 1)))


def test_what_is_no_request_is_not_compared() -> None:
    reply = bytes(8)
    assert on_the_wire(reply) == []


def test_a_difference_that_is_no_longer_there_is_reported() -> None:
    with pytest.raises(AssertionError, match="does not do it any more"):
        expected_of_ours("--- exit status\n0\n", "ping -i '' 10.77.1.1", "user")
