"""Socket filters that keep other people's ICMP from waking a link: classic BPF programs as data.

A raw ICMP socket gets a copy of every ICMP message of the host: floods of echo requests, and the replies of every other
ping program. The kernel runs these programs on each packet first; what they refuse costs no wake-up.

The packet a program sees begins with the IP header on an IPv4 raw socket and with the ICMPv6 header on an IPv6 one.
A load beyond its end ends the program and refuses the packet, so a message too short for its fields is refused.

Instructions are 8 bytes (code u16, jump if true u8, jump if false u8, operand u32); a jump counts the instructions to
skip. Notation here: A is the accumulator, X the index register, [n] a load at n.
"""

from __future__ import annotations

import struct
from array import array

from pingsock.wire.linux import SO_ATTACH_FILTER, SOCK_FILTER_LAYOUT, SOCK_FPROG_LAYOUT, SOL_SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Collection, Iterable

MOST_IDENTS = 64
"""Larger sets of idents are not looked at by the filter: each costs an instruction on every packet."""

ERROR_TYPES_4 = (3, 4, 5, 11, 12)
ERROR_TYPES_6 = tuple(range(128))
REPLY_TYPES_4 = (0, 43)
REPLY_TYPES_6 = (129, 161)

_LOAD_BYTE = 0x30
"""A = byte [operand]"""
_LOAD_BYTE_AT_X = 0x50
"""A = byte [X + operand]"""
_LOAD_HALF = 0x28
"""A = big-endian 16 bits [operand]"""
_LOAD_HALF_AT_X = 0x48
"""A = big-endian 16 bits [X + operand]"""
_LOAD_X_HEADER_LENGTH = 0xB1
"""X = 4 * (byte [operand] & 15), the length of an IPv4 header"""
_AND = 0x54
_SHIFT_LEFT = 0x64
_ADD_X = 0x0C
_X_IS_A = 0x07
_JUMP = 0x05
_JUMP_EQUAL = 0x15
_JUMP_GREATER_EQUAL = 0x35
_RETURN = 0x06

_WHOLE = 0xFFFFFFFF
_ICMP, _ICMP6 = 1, 58
_EXTENSION_HEADERS = (0, 43, 44, 51, 60, 135)

_INSTRUCTION = struct.Struct(SOCK_FILTER_LAYOUT)
_LONGEST_JUMP = 255

ACCEPT, REFUSE = "accept", "refuse"

Line = tuple[str, int, int, str, str]
"""Label or "", code, operand, label to go to if true, if false; "" is the next line."""


def op(code: int, operand: int = 0, then: str = "", otherwise: str = "", *, label: str = "") -> Line:
    """One line of a program."""
    return label, code, operand, then, otherwise


def any_of(values: Iterable[int], then: str) -> list[Line]:
    """Go to `then` if A is one of `values`, else on."""
    return [op(_JUMP_EQUAL, value, then) for value in values]


def assemble(lines: list[Line]) -> bytes:
    """The program with its labels resolved, ended by the lines `accept` and `refuse`.

    ValueError: a conditional jump is longer than 255 lines. KeyError: no such label.
    """
    program = [*lines, op(_RETURN, _WHOLE, label=ACCEPT), op(_RETURN, 0, label=REFUSE)]
    labels = {line[0]: at for at, line in enumerate(program) if line[0]}
    return b"".join(_instruction(line, at, labels) for at, line in enumerate(program))


def _instruction(line: Line, at: int, labels: dict[str, int]) -> bytes:
    _, code, operand, then, otherwise = line
    if code == _JUMP:
        return _INSTRUCTION.pack(code, 0, 0, labels[then] - at - 1)
    jumps = [labels[label] - at - 1 if label else 0 for label in (then, otherwise)]
    if not all(0 <= jump <= _LONGEST_JUMP for jump in jumps):
        raise ValueError(f"a jump of {max(jumps)} instructions to {then or otherwise!r} does not fit 8 bits")
    return _INSTRUCTION.pack(code, *jumps, operand)


def _ident_in_a(idents: Collection[int] | None) -> list[Line]:
    """Accept if A is one of `idents`; None accepts any."""
    known = None if idents is None or len(idents) > MOST_IDENTS else sorted(idents)
    chosen = [op(_JUMP, then=ACCEPT)] if known is None else [*any_of(known, ACCEPT), op(_JUMP, then=REFUSE)]
    first, *rest = chosen
    return [(_IDENT, *first[1:]), *rest]


_IDENT = "ident"


def ipv4_filter(idents: Collection[int] | None, reply_types: Collection[int] = REPLY_TYPES_4) -> bytes:
    """For an IPv4 raw socket: replies with one of `idents`, and errors that quote an ICMP message with one.

    None, or more than 64 idents, accepts any ident; an empty set accepts nothing.

    The ident is at 4 of an ICMP message. In an error, the quoted IP header begins at 8, its protocol is at 17, and the
    quoted message follows it; both headers vary in length.
    """
    return assemble(
        [
            op(_LOAD_X_HEADER_LENGTH, 0),
            op(_LOAD_BYTE_AT_X, 0),
            *any_of(sorted(reply_types), "reply"),
            *any_of(ERROR_TYPES_4, "error"),
            op(_JUMP, then=REFUSE),
            op(_LOAD_HALF_AT_X, 4, label="reply"),
            op(_JUMP, then=_IDENT),
            op(_LOAD_BYTE_AT_X, 17, label="error"),
            op(_JUMP_EQUAL, _ICMP, "icmp quoted"),
            op(_JUMP, then=REFUSE),
            op(_LOAD_BYTE_AT_X, 8, label="icmp quoted"),
            op(_AND, 0xF),
            op(_SHIFT_LEFT, 2),
            op(_ADD_X),
            op(_X_IS_A),
            op(_LOAD_HALF_AT_X, 12),
            *_ident_in_a(idents),
        ]
    )


def ipv6_filter(idents: Collection[int] | None, reply_types: Collection[int] = REPLY_TYPES_6) -> bytes:
    """For an IPv6 raw socket: as `ipv4_filter`; every type below 128 is an error.

    In an error the quoted IPv6 header is at 8, its next header at 14, and what follows it at 48. Behind extension
    headers the ident is not looked for: such errors pass, but those about other protocols do not.
    """
    return assemble(
        [
            op(_LOAD_BYTE, 0),
            *any_of(sorted(reply_types), "reply"),
            op(_JUMP_GREATER_EQUAL, 128, "other", "error"),
            op(_JUMP, then=REFUSE, label="other"),
            op(_LOAD_HALF, 4, label="reply"),
            op(_JUMP, then=_IDENT),
            op(_LOAD_BYTE, 14, label="error"),
            *any_of(_EXTENSION_HEADERS if idents is None or idents else (), "extended"),
            op(_JUMP_EQUAL, _ICMP6, "icmp quoted"),
            op(_JUMP, then=REFUSE),
            op(_JUMP, then=ACCEPT, label="extended"),
            op(_LOAD_HALF, 52, label="icmp quoted"),
            *_ident_in_a(idents),
        ]
    )


def nothing() -> bytes:
    """Refuses all."""
    return assemble([op(_JUMP, then=REFUSE)])


def attach(raw: socket.socket, program: bytes) -> None:
    """Put a program on a socket, in place of the one there, with no packet in between unfiltered.

    OSError EINVAL if the kernel finds fault with it.
    """
    instructions = array("B", program)
    address, length = instructions.buffer_info()
    head = struct.pack(SOCK_FPROG_LAYOUT, length // _INSTRUCTION.size, address)
    raw.setsockopt(SOL_SOCKET, SO_ATTACH_FILTER, head)


def icmp6_type_mask(types: Collection[int]) -> bytes:
    """The value of ICMP6_FILTER that passes these types and blocks the others: a set bit blocks."""
    words = [0xFFFFFFFF] * 8
    for kind in types:
        words[kind >> 5] &= ~(1 << (kind & 31))
    return struct.pack("=8I", *words)
