from __future__ import annotations

import subprocess
import sys
from socket import AF_INET, AF_INET6

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.wire import icmp4, icmp6
from pingsock.wire.echo import echo_request, echo_request_with_checksum, parse_echo_untrusted
from pingsock.wire.errors import BadPacket

HERE, THERE = bytes(15) + b"\1", bytes(15) + b"\2"


@given(st.integers(0, 65535), st.integers(0, 65535), st.binary(max_size=100))
def test_the_quick_request_equals_the_value(identifier: int, sequence: int, data: bytes) -> None:
    assert (
        echo_request_with_checksum(AF_INET, identifier, sequence, data)
        == icmp4.EchoRequest(identifier, sequence, data).to_bytes()
    )
    assert echo_request_with_checksum(
        AF_INET6, identifier, sequence, data, source=HERE, destination=THERE
    ) == icmp6.EchoRequest(identifier, sequence, data).to_bytes(HERE, THERE)


def test_a_request_for_a_ping_socket_leaves_the_checksum_zero() -> None:
    assert echo_request(AF_INET, 0x1234, 0x5678, b"\xaa") == bytes.fromhex("08000000 1234 5678 aa")
    assert echo_request(AF_INET6, 0x1234, 0x5678, b"\xaa") == bytes.fromhex("80000000 1234 5678 aa")


def test_numbers_may_be_counted_on_beyond_sixteen_bits() -> None:
    assert echo_request(AF_INET, 0x12345, 0x10007, b"") == bytes.fromhex("08000000 2345 0007")


def test_an_echo_is_told_by_four_numbers() -> None:
    assert parse_echo_untrusted(bytes.fromhex("81 03 dead 1234 5678 aabb")) == (129, 3, 0x1234, 0x5678)


@pytest.mark.parametrize("length", range(8))
def test_a_cut_echo_is_bad(length: int) -> None:
    with pytest.raises(BadPacket, match=f"of {length} bytes"):
        parse_echo_untrusted(bytes(length))


def test_it_imports_nothing_but_struct() -> None:
    code = (
        "import sys, struct, pingsock; before = set(sys.modules)\n"
        "import pingsock.wire.echo\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == [
        "pingsock.wire",
        "pingsock.wire.checksum",
        "pingsock.wire.echo",
        "pingsock.wire.errors",
    ]
