"""Section 9: /proc/net/icmp and icmp6."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bed.bed import FAMILIES, V4, V6, Bed
from pingsock.wire import linux
from sockets.rules import both_families, rows
from sockets.test_bind import ident

if TYPE_CHECKING:
    from bed.families import Family
    from bed.subject import Subject

HEADER_V4 = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops"
)
HEADER_V6 = (
    "  sl  local_address                         remote_address                        "
    "st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops"
)


@dataclass(frozen=True)
class Line:
    """One socket in the table."""

    bucket: int
    local: str
    remote: str
    state: str
    queues: str
    rest: list[str]
    raw: str

    @property
    def received(self) -> int:
        return int(self.queues.split(":")[1], 16)

    @property
    def drops(self) -> int:
        return int(self.rest[-1])


def parse(raw: str) -> Line:
    bucket, local, remote, state, queues, *rest = raw.split()
    return Line(int(bucket.rstrip(":")), local, remote, state, queues, rest, raw)


def all_lines(bed: Bed, ip: Family) -> list[Line]:
    bed.settle()
    return [parse(raw) for raw in bed.proc_net(ip).splitlines()[1:]]


def lines_of(bed: Bed, ip: Family, number: int) -> list[Line]:
    return [line for line in all_lines(bed, ip) if line.local.endswith(f":{number:04X}")]


def line_of(bed: Bed, sock: Subject) -> Line:
    [line] = lines_of(bed, V4 if sock.family == V4.af else V6, ident(sock))
    return line


def memory_words(ip: Family, address: str) -> str:
    """The address as hexadecimal numbers of 32 bits in this machine's order."""
    packed = ip.pack(address)
    words = [int.from_bytes(packed[at : at + 4], "little") for at in range(0, len(packed), 4)]
    return "".join(f"{word:08X}" for word in words)


def test_the_v4_header(bed: Bed) -> None:
    assert bed.proc_net(V4).splitlines()[0].rstrip() == HEADER_V4


def test_the_v6_header(bed: Bed) -> None:
    assert bed.proc_net(V6).splitlines()[0] == HEADER_V6


def test_v4_lines_are_padded_to_127_characters(bed: Bed) -> None:
    bed.bound(V4)
    assert {len(line) for line in bed.proc_net(V4).split("\n")[:-1]} == {127}


def test_v6_lines_are_not_padded(bed: Bed) -> None:
    bed.bound(V6)
    assert all(line == line.rstrip() for line in bed.proc_net(V6).splitlines())


def test_a_v4_line_of_a_bound_socket(bed: Bed) -> None:
    sock = bed.socket(V4, bound=V4.host, ident=4000)
    line = line_of(bed, sock)
    assert line.raw.startswith(
        f"{line.bucket:5d}: 0100090A:0FA0 00000000:0000 07 00000000:00000000 00:00000000 00000000 "
    )


def test_a_v6_line_of_a_bound_socket(bed: Bed) -> None:
    sock = bed.socket(V6, bound=V6.host, ident=4000)
    line = line_of(bed, sock)
    zero = "0" * 32
    expected = (
        f"{line.bucket:5d}: {memory_words(V6, V6.host)}:0FA0 {zero}:0000 07 00000000:00000000 00:00000000 00000000"
    )
    assert line.raw.startswith(expected)


@both_families
def test_a_connected_socket_shows_its_peer_and_port_and_state(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip, port=4711)
    line = line_of(bed, sock)
    assert (line.local, line.remote, line.state) == (
        f"{memory_words(ip, ip.host)}:{ident(sock):04X}",
        f"{memory_words(ip, ip.far)}:{4711:04X}",
        "01",
    )


@both_families
def test_a_socket_without_an_ident_is_not_shown(bed: Bed, ip: Family) -> None:
    before = len(all_lines(bed, ip))
    bed.socket(ip)
    assert len(all_lines(bed, ip)) == before


@both_families
def test_a_closed_socket_is_not_shown(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    number = ident(sock)
    sock.close()
    assert lines_of(bed, ip, number) == []


@both_families
def test_a_socket_is_shown_in_the_file_of_its_family_only(bed: Bed, ip: Family) -> None:
    number = ident(bed.bound(ip))
    assert [len(lines_of(bed, other, number)) for other in FAMILIES] == [int(other is ip) for other in FAMILIES]


@both_families
def test_received_bytes_are_charged(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    for _ in range(2):
        bed.reply(sock, bytes(56))
    assert line_of(bed, sock).received == 2 * 832
    bed.take(sock)
    assert line_of(bed, sock).received == 832


@both_families
def test_drops_are_shown_and_stay_after_reading(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_RCVBUF, 0)
    for _ in range(10):
        bed.reply(sock, bytes(56))
    assert line_of(bed, sock).drops == 7
    bed.take(sock)
    assert line_of(bed, sock).drops == 7


@both_families
def test_the_uid_of_the_creator_is_shown(bed: Bed, ip: Family) -> None:
    assert line_of(bed, bed.bound(ip)).rest[2] == str(os.geteuid())


@both_families
def test_lines_are_in_the_order_of_buckets_and_the_newest_first_within_one(bed: Bed, ip: Family) -> None:
    first = bed.bound(ip)
    bed.socket(ip, bound=ip.loopback, ident=ident(first))
    lines = all_lines(bed, ip)
    assert [line.bucket for line in lines] == sorted(line.bucket for line in lines)
    sharing = [line.local.split(":")[0] for line in lines if line.local.endswith(f":{ident(first):04X}")]
    assert sharing == [memory_words(ip, ip.loopback), memory_words(ip, ip.any)]


@both_families
def test_neighbouring_idents_are_in_neighbouring_buckets(bed: Bed, ip: Family) -> None:
    numbers = [40_000, 40_001, 40_064]
    for number in numbers:
        bed.socket(ip, bound=ip.any, ident=number)
    first, second, third = (lines_of(bed, ip, number)[0].bucket for number in numbers)
    assert (second - first) % 64 == 1
    assert third == first


@rows("ip,digits", {"v4": (V4, 8), "v6": (V6, 32)})
def test_addresses_have_eight_digits_a_word(bed: Bed, ip: Family, digits: int) -> None:
    assert len(line_of(bed, bed.bound(ip)).local.split(":")[0]) == digits
