"""An interpreter of classic BPF, for SO_ATTACH_FILTER on sockets that no kernel holds (bpf(4), linux/filter.h).

A program is a list of instructions (code, jt, jf, k). It returns how many bytes of the message to keep; 0 drops it.

Some facts about what a program can load
----------------------------------------
* Offset 0 is the ICMP header. From NETWORK_HEADER on, offsets count from the IP header, and from LINK_HEADER on from
  the device's.
* A load at an absolute offset from ANCILLARY on is no load: it fetches what the kernel knows of the packet, or
  searches it for a netlink attribute. With the index register no offset is ancillary.
* A load of what is not there ends the program, and the packet is dropped.

What this means here
--------------------
Only a driver knows the device's header, so loading from it drops the packet; what else only a driver knows reads 0.
"""

from __future__ import annotations

import struct

from pingsock.stack.bpf_check import (
    ALU,
    FROM_X,
    IMM,
    IND,
    JMP,
    JUMP_ALWAYS,
    LD,
    LDX,
    LEN,
    MEM,
    MEMORY_WORDS,
    MSH,
    RET,
    RETURN_A,
    SIZES,
    ST,
    STX,
    TXA,
    check,
)
from pingsock.stack.bpf_check import AncillaryLoad as Load
from pingsock.wire.linux import AF_INET, SOCK_FILTER_LAYOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.stack.bpf_check import Instruction
    from pingsock.stack.packet import Packet

    Random = Callable[[int], int]

_WORD = 0xFFFFFFFF
_SIGN = 0x80000000

NETWORK_HEADER, LINK_HEADER = 0xFFF00000, 0xFFE00000
"""Where the offsets of these headers begin, as unsigned numbers (SKF_NET_OFF, SKF_LL_OFF)."""

ETHER_TYPES = {True: 0x0800, False: 0x86DD}
"""Of IPv4, and of IPv6."""
ICMP_HEADER_SIZE = 8

ATTRIBUTE_HEADER = struct.Struct("=HH")
"""Length and type of a netlink attribute (linux/netlink.h)."""
ATTRIBUTE_TYPE = 0x3FFF
"""The other bits of the type are flags."""

ARITHMETIC: dict[int, Callable[[int, int], int]] = {
    0x00: lambda a, b: a + b,
    0x10: lambda a, b: a - b,
    0x20: lambda a, b: a * b,
    0x30: lambda a, b: a // b,
    0x40: lambda a, b: a | b,
    0x50: lambda a, b: a & b,
    0x60: lambda a, b: a << (b & 31),
    0x70: lambda a, b: a >> (b & 31),
    0x80: lambda a, _b: -a,
    0x90: lambda a, b: a % b,
    0xA0: lambda a, b: a ^ b,
}

COMPARISONS: dict[int, Callable[[int, int], bool]] = {
    0x10: lambda a, b: a == b,
    0x20: lambda a, b: a > b,
    0x30: lambda a, b: a >= b,
    0x40: lambda a, b: a & b != 0,
}


class SocketFilter:
    """One checked program."""

    def __init__(self, program: bytes, random: Random) -> None:
        """`program` is an array of `struct sock_filter`; EINVAL if the kernel would refuse it.

        `random(n)` gives a number from 0 to n - 1, for programs that ask for one.
        """
        size = struct.calcsize(SOCK_FILTER_LAYOUT)
        whole = len(program) // size * size == len(program)
        self._program = check(list(struct.iter_unpack(SOCK_FILTER_LAYOUT, program)) if whole else [])
        self._random = random

    def keeps(self, packet: Packet) -> int:
        """Bytes of the message to keep. A load of what is not there and a division by zero drop the packet."""
        try:
            return _run(self._program, _View(packet, self._random))
        except (IndexError, ZeroDivisionError):
            return 0


class _View:
    """What a program can load of one packet."""

    def __init__(self, packet: Packet, random: Random) -> None:
        self.packet = packet
        self.message = packet.message
        self.random = random

    def load(self, offset: int, size: int) -> int:
        """A big-endian number at an offset, counted modulo 2**32. IndexError if it is not all there."""
        content = self.message
        if offset & _SIGN:
            if offset < NETWORK_HEADER:
                raise IndexError(offset)
            content, offset = self.packet.data, offset - NETWORK_HEADER
        if offset + size > len(content):
            raise IndexError(offset)
        return int.from_bytes(content[offset : offset + size], "big")

    def fetch(self, code: int, k: int, a: int, x: int, memory: list[int]) -> int:
        mode = code & 0xE0
        if mode == IMM:
            return k
        if mode == MEM:
            return memory[k]
        if mode == LEN:
            return len(self.message)
        if mode == MSH:
            return 4 * (self.load(k, 1) & 15)
        if mode == IND:
            return self.load(k + x & _WORD, SIZES[code & 0x18])
        return self.load(k, SIZES[code & 0x18]) if k < Load.FIRST else self.know(k, a, x)

    def know(self, what: int, a: int, x: int) -> int:
        return ANCILLARY[what](self, a, x) if what in ANCILLARY else 0

    def find_attribute(self, a: int, kind: int) -> int:
        """Offset of the first netlink attribute of a kind in the attributes from offset `a` on; 0 if there is none."""
        if a > len(self.message) - ATTRIBUTE_HEADER.size:
            return 0
        return self._search(a, len(self.message), kind)

    def find_nested_attribute(self, a: int, kind: int) -> int:
        """As `find_attribute`, in the attributes within the one at `a`."""
        if a > len(self.message) - ATTRIBUTE_HEADER.size:
            return 0
        end = a + ATTRIBUTE_HEADER.unpack_from(self.message, a)[0]
        return self._search(a + ATTRIBUTE_HEADER.size, end, kind) if end <= len(self.message) else 0

    def _search(self, at: int, end: int, kind: int) -> int:
        while at + ATTRIBUTE_HEADER.size <= end:
            length, found = ATTRIBUTE_HEADER.unpack_from(self.message, at)
            if not ATTRIBUTE_HEADER.size <= length <= end - at:
                return 0
            if found & ATTRIBUTE_TYPE == kind:
                return at
            at += length + 3 & ~3
        return 0


ANCILLARY: dict[int, Callable[[_View, int, int], int]] = {
    Load.PROTOCOL: lambda view, _a, _x: ETHER_TYPES[view.packet.family == AF_INET],
    Load.INTERFACE: lambda view, _a, _x: view.packet.interface,
    Load.ATTRIBUTE: lambda view, a, x: view.find_attribute(a, x),
    Load.NESTED_ATTRIBUTE: lambda view, a, x: view.find_nested_attribute(a, x),
    Load.XOR_X: lambda _view, a, x: a ^ x,
    Load.PAYLOAD_OFFSET: lambda _view, _a, _x: ICMP_HEADER_SIZE,
    Load.RANDOM: lambda view, _a, _x: view.random(_WORD + 1),
}
"""Of the packet and the two registers; the others, which only a driver knows, are 0."""


def _run(program: list[Instruction], view: _View) -> int:
    a = x = at = 0
    memory = [0] * MEMORY_WORDS
    while True:
        code, jt, jf, k = program[at]
        at += 1
        kind = code & 7
        operand = x if code & FROM_X else k
        if kind == LD:
            a = view.fetch(code, k, a, x, memory)
        elif kind == LDX:
            x = view.fetch(code, k, a, x, memory)
        elif kind == ST:
            memory[k] = a
        elif kind == STX:
            memory[k] = x
        elif kind == ALU:
            a = ARITHMETIC[code & 0xF0](a, operand) & _WORD
        elif kind == JMP:
            at += k if code & 0xF0 == JUMP_ALWAYS else (jt if COMPARISONS[code & 0xF0](a, operand) else jf)
        elif kind == RET:
            return a if code == RETURN_A else k
        elif code == TXA:
            a = x
        else:
            x = a
