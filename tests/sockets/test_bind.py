"""Section 2: idents and bind()."""

from __future__ import annotations

from bed.bed import V4, Bed


def test_smoke(bed: Bed) -> None:
    sock = bed.bound(V4)
    bed.reply(sock, b"x")
    assert bed.take(sock).data[8:] == b"x"
    sock.sendto(b"\x08" + bytes(7), V4.name_of(V4.far))
    assert bed.one_sent().checksum_right
