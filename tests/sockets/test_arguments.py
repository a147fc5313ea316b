"""What is no argument of a socket's methods at all is refused by Python's rules, before anything happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bed.bed import V4
from pingsock.wire import linux
from sockets.rules import each

if TYPE_CHECKING:
    from bed.bed import Bed


def test_data_must_be_bytes(bed: Bed) -> None:
    with pytest.raises(TypeError):
        bed.bound(V4).sendto(8, (V4.far, 0))


@each("number", (2**31, -(2**31) - 1))
def test_a_number_that_is_no_c_int_overflows(bed: Bed, number: int) -> None:
    sock = bed.socket(V4)
    with pytest.raises(OverflowError):
        sock.setsockopt(linux.SOL_IP, number, 1)
    with pytest.raises(OverflowError):
        sock.sendto(bytes(8), number, (V4.far, 0))
    with pytest.raises(TypeError):
        sock.setsockopt(linux.SOL_IP, linux.IP_TTL, number)


def test_a_read_only_buffer_is_refused_before_anything_is_read(bed: Bed) -> None:
    sock = bed.bound(V4)
    bed.reply(sock)
    bed.settle()
    with pytest.raises(TypeError):
        sock.recv_into(bytes(100))
    assert bed.arrived(sock)


def test_a_timeout_is_a_number(bed: Bed) -> None:
    with pytest.raises(ValueError, match=r"."):
        bed.socket(V4).settimeout(float("nan"))
