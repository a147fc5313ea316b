"""Section 5.2: socket filters. The programs are classic BPF (bpf(4)): code, jt, jf, k."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from bed.bed import V4, V6, Bed, outcome
from pingsock.wire import linux
from sockets.rules import both_families, rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from bed.families import Family
    from bed.subject import Subject

    Instruction = tuple[int, int, int, int]

KEEP_ALL = (0x06, 0, 0, 65535)
WORD, BYTE, BYTE_AT_X = 0x20, 0x30, 0x50
"""Loads of a word, a byte, and a byte at X + k."""
ANCILLARY, NETWORK, LINK = 0xFFFFF000, 0xFFF00000, 0xFFE00000
"""SKF_AD_OFF, SKF_NET_OFF, SKF_LL_OFF."""
ETHER_TYPE, FIRST_BYTE, HEADER_SIZE = {V4: 0x0800, V6: 0x86DD}, {V4: 0x45, V6: 0x60}, {V4: 20, V6: 40}
"""Of an IP packet."""


def attach_filter(sock: Subject, *instructions: tuple[int, int, int, int]) -> None:
    program = ctypes.create_string_buffer(b"".join(struct.pack(linux.SOCK_FILTER_LAYOUT, *one) for one in instructions))
    pointer = struct.pack(linux.SOCK_FPROG_LAYOUT, len(instructions), ctypes.addressof(program))
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_ATTACH_FILTER, pointer)


@both_families
@rows("size,received", {"0 drops": (0, None), "10 cuts": (10, 10), "all": (65535, 13)})
def test_a_socket_filter_says_how_much_is_kept(bed: Bed, ip: Family, size: int, received: int | None) -> None:
    sock = bed.bound(ip)
    attach_filter(sock, (0x06, 0, 0, size))
    bed.reply(sock, b"reply")
    if received is None:
        assert bed.nothing_arrived(sock)
    else:
        taken = bed.take(sock)
        assert (len(taken.data), taken.flags) == (received, 0)


@both_families
def test_a_socket_filter_sees_the_icmp_header_at_offset_0(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    attach_filter(sock, (0x30, 0, 0, 0), (0x15, 0, 1, ip.extended_reply), (0x06, 0, 0, 65535), (0x06, 0, 0, 0))
    bed.reply(sock)
    assert bed.nothing_arrived(sock)
    bed.reply(sock, type_=ip.extended_reply)
    assert bed.arrived(sock)


@both_families
def test_a_socket_filter_can_be_taken_off(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    attach_filter(sock, (0x06, 0, 0, 0))
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_DETACH_FILTER, 0)
    bed.reply(sock)
    assert bed.arrived(sock)


def loaded(bed: Bed, ip: Family, *load: Instruction, payload: bytes = b"") -> int | None:
    """What a program loads of a reply with its first 256 bytes of payload given; None if the packet is dropped."""
    sock = bed.bound(ip)
    number = 0
    for shift in (24, 16, 8, 0):
        # Keeps as many bytes as the byte of the number says, and one more.
        attach_filter(sock, *load, (0x74, 0, 0, shift), (0x54, 0, 0, 255), (0x04, 0, 0, 1), (0x16, 0, 0, 0))
        bed.reply(sock, payload.ljust(256, b"\0"))
        bed.settle()
        try:
            number = number << 8 | len(sock.recv(1000, linux.MSG_DONTWAIT)) - 1
        except BlockingIOError:
            return None
    return number


def attribute(kind: int, content: bytes) -> bytes:
    """A netlink attribute, padded."""
    return (struct.pack("=HH", 4 + len(content), kind) + content).ljust((7 + len(content)) & ~3, b"\0")


ATTRIBUTES = attribute(1, b"abc") + attribute(2, b"") + attribute(0x8003, attribute(7, b"x") + attribute(8, b"y"))


def set_a_x(a: int, x: int) -> tuple[Instruction, Instruction]:
    return (0x00, 0, 0, a), (0x01, 0, 0, x)


KNOWN: dict[str, tuple[tuple[Instruction, ...], Callable[[Bed, Family], int | None]]] = {
    "length": (((0x80, 0, 0, 0),), lambda _bed, _ip: 264),
    "first byte": (((BYTE, 0, 0, 0),), lambda _bed, ip: ip.reply),
    "beyond the end": (((BYTE, 0, 0, 264),), lambda _bed, _ip: None),
    "an offset that wraps": (((0x01, 0, 0, 2**32 - 1), (BYTE_AT_X, 0, 0, 1)), lambda _bed, ip: ip.reply),
    "protocol": (((WORD, 0, 0, ANCILLARY),), lambda _bed, ip: ETHER_TYPE[ip]),
    "protocol as a byte": (((BYTE, 0, 0, ANCILLARY),), lambda _bed, ip: ETHER_TYPE[ip]),
    "interface": (((WORD, 0, 0, ANCILLARY + 8),), lambda bed, _ip: bed.index("ps0")),
    "attribute": ((*set_a_x(8, 2), (WORD, 0, 0, ANCILLARY + 12)), lambda _bed, _ip: 16),
    "attribute with flags": ((*set_a_x(8, 3), (WORD, 0, 0, ANCILLARY + 12)), lambda _bed, _ip: 20),
    "no such attribute": ((*set_a_x(8, 4), (WORD, 0, 0, ANCILLARY + 12)), lambda _bed, _ip: 0),
    "attribute beyond the end": ((*set_a_x(261, 1), (WORD, 0, 0, ANCILLARY + 12)), lambda _bed, _ip: 0),
    "nested attribute": ((*set_a_x(20, 8), (WORD, 0, 0, ANCILLARY + 16)), lambda _bed, _ip: 32),
    "no such nested attribute": ((*set_a_x(20, 9), (WORD, 0, 0, ANCILLARY + 16)), lambda _bed, _ip: 0),
    "exclusive or": ((*set_a_x(0xF0, 0x3C), (WORD, 0, 0, ANCILLARY + 40)), lambda _bed, _ip: 0xCC),
    "offset of the payload": (((WORD, 0, 0, ANCILLARY + 52),), lambda _bed, _ip: 8),
    "nothing ancillary with X": (((0x01, 0, 0, 0), (0x40, 0, 0, ANCILLARY)), lambda _bed, _ip: None),
    "IP version": (((BYTE, 0, 0, NETWORK),), lambda _bed, ip: FIRST_BYTE[ip]),
    "IP version with X": (
        ((0x01, 0, 0, NETWORK), (BYTE_AT_X, 0, 0, 0)),
        lambda _bed, ip: FIRST_BYTE[ip],
    ),
    "beyond the end of the packet": (((BYTE, 0, 0, NETWORK + 304),), lambda _bed, _ip: None),
    "before the headers": (((BYTE, 0, 0, 0x80000000),), lambda _bed, _ip: None),
}


@both_families
@rows("load,expected", KNOWN)
def test_a_socket_filter_can_load(
    bed: Bed, ip: Family, load: tuple[Instruction, ...], expected: Callable[[Bed, Family], int | None]
) -> None:
    assert loaded(bed, ip, *load, payload=ATTRIBUTES) == expected(bed, ip)


@both_families
def test_a_socket_filter_finds_the_message_behind_the_ip_header(bed: Bed, ip: Family) -> None:
    assert loaded(bed, ip, (BYTE, 0, 0, NETWORK + HEADER_SIZE[ip])) == ip.reply


@both_families
def test_a_socket_filter_can_load_from_the_header_of_the_device(bed: Bed, ip: Family) -> None:
    assert loaded(bed, ip, (BYTE, 0, 0, LINK)) is not None


@both_families
def test_a_socket_filter_can_load_a_random_number(bed: Bed, ip: Family) -> None:
    drawn = {loaded(bed, ip, (WORD, 0, 0, ANCILLARY + 56)) for _ in range(3)}
    assert len(drawn) == 3


REFUSED: dict[str, tuple[Instruction, ...]] = {
    "no instruction": (),
    "no return": ((0x20, 0, 0, 0),),
    "return of X": ((0x0E, 0, 0, 0),),
    "shift of 32": ((0x64, 0, 0, 32), KEEP_ALL),
    "division by 0": ((0x34, 0, 0, 0), KEEP_ALL),
    "load of a word into X": ((0x21, 0, 0, 0), KEEP_ALL),
    "load of an unwritten word": ((0x60, 0, 0, 3), KEEP_ALL),
    "load of a word written on one way": ((0x15, 1, 0, 0), (0x02, 0, 0, 1), (0x60, 0, 0, 1), KEEP_ALL),
    "unknown ancillary load": ((WORD, 0, 0, ANCILLARY + 64), KEEP_ALL),
    "jump outside": ((0x05, 0, 0, 1), KEEP_ALL),
}


@both_families
@rows("program", REFUSED)
def test_a_broken_socket_filter_is_refused(bed: Bed, ip: Family, program: tuple[Instruction, ...]) -> None:
    assert outcome(attach_filter, bed.bound(ip), *program) == "EINVAL"


@both_families
@rows("size", {"short": 8, "long": 24})
def test_a_socket_filter_comes_as_one_sock_fprog(bed: Bed, ip: Family, size: int) -> None:
    program = ctypes.create_string_buffer(struct.pack(linux.SOCK_FILTER_LAYOUT, *KEEP_ALL))
    pointer = struct.pack(linux.SOCK_FPROG_LAYOUT, 1, ctypes.addressof(program)).ljust(24, b"\0")
    setsockopt = bed.bound(ip).setsockopt
    assert outcome(setsockopt, linux.SOL_SOCKET, linux.SO_ATTACH_FILTER, pointer[:size]) == "EINVAL"


UNMAPPED = 4096
"""Where no program has memory (vm.mmap_min_addr), nor may have."""


@both_families
@rows(
    "pointer,error",
    {
        "nowhere": ((1, UNMAPPED), "EFAULT"),
        "nowhere, as many as there may be": ((4096, UNMAPPED), "EFAULT"),
        "nowhere, one more": ((4097, UNMAPPED), "EINVAL"),
        "nowhere, none": ((0, UNMAPPED), "EINVAL"),
        "the kernel's memory": ((1, 2**64 - 4096), "EFAULT"),
        "null": ((1, 0), "EINVAL"),
        "null, none": ((0, 0), "EINVAL"),
    },
)
def test_a_socket_filter_that_is_not_there_is_an_error(
    bed: Bed, ip: Family, pointer: tuple[int, int], error: str
) -> None:
    setsockopt = bed.bound(ip).setsockopt
    head = struct.pack(linux.SOCK_FPROG_LAYOUT, *pointer)
    assert outcome(setsockopt, linux.SOL_SOCKET, linux.SO_ATTACH_FILTER, head) == error
