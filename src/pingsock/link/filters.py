"""Socket filters that keep other people's ICMP from waking a link: classic BPF programs as data.

A raw ICMP socket gets a copy of every ICMP message of the host: floods of echo requests, and the replies of every other
ping program. The kernel runs these programs on each packet first; what they refuse costs no wake-up.

The packet a program sees begins with the IP header on an IPv4 raw socket and with the ICMPv6 header on an IPv6 one.
A load beyond its end ends the program and refuses the packet, so a message too short for its fields is refused.
"""

from __future__ import annotations

import struct

from pingsock.wire.bpf import (
    ADD_X,
    AND,
    JUMP,
    JUMP_AT_LEAST,
    JUMP_EQUAL,
    LOAD_BYTE,
    LOAD_BYTE_AT_X,
    LOAD_HALF,
    LOAD_HALF_AT_X,
    LOAD_X_HEADER_LENGTH,
    RETURN,
    SHIFT_LEFT,
    X_IS_A,
    any_of,
    assemble,
    labelled,
    op,
    pass_to_kernel,
)
from pingsock.wire.linux import SO_ATTACH_FILTER, SOL_SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Collection

    from pingsock.wire.bpf import Line

MOST_IDENTS = 64
"""Larger sets of idents are not looked at by the filter: each costs an instruction on every packet."""

ERROR_TYPES_4 = (3, 4, 5, 11, 12)
ERROR_TYPES_6 = tuple(range(128))
REPLY_TYPES_4 = (0, 43)
REPLY_TYPES_6 = (129, 161)

_WHOLE = 0xFFFFFFFF
_ICMP, _ICMP6 = 1, 58
_EXTENSION_HEADERS = (0, 43, 44, 51, 60, 135)

ACCEPT, REFUSE = "accept", "refuse"


def packet_filter(lines: list[Line]) -> bytes:
    """The program of these lines, which may go to ACCEPT and REFUSE."""
    ends = [op(RETURN, _WHOLE, label=ACCEPT), op(RETURN, 0, label=REFUSE)]
    return assemble([*lines, *ends])


def _ident_in_a(idents: Collection[int] | None) -> list[Line]:
    """Accept if A is one of `idents`; None accepts any."""
    known = None if idents is None or len(idents) > MOST_IDENTS else sorted(idents)
    chosen = [op(JUMP, then=ACCEPT)] if known is None else [*any_of(known, ACCEPT), op(JUMP, then=REFUSE)]
    return labelled(_IDENT, chosen)


_IDENT = "ident"


def ipv4_filter(idents: Collection[int] | None, reply_types: Collection[int] = REPLY_TYPES_4) -> bytes:
    """For an IPv4 raw socket: replies with one of `idents`, and errors that quote an ICMP message with one.

    None, or more than 64 idents, accepts any ident; an empty set accepts nothing.

    The ident is at 4 of an ICMP message. In an error, the quoted IP header begins at 8, its protocol is at 17, and the
    quoted message follows it; both headers vary in length.
    """
    return packet_filter(
        [
            op(LOAD_X_HEADER_LENGTH, 0),
            op(LOAD_BYTE_AT_X, 0),
            *any_of(sorted(reply_types), "reply"),
            *any_of(ERROR_TYPES_4, "error"),
            op(JUMP, then=REFUSE),
            op(LOAD_HALF_AT_X, 4, label="reply"),
            op(JUMP, then=_IDENT),
            op(LOAD_BYTE_AT_X, 17, label="error"),
            op(JUMP_EQUAL, _ICMP, "icmp quoted"),
            op(JUMP, then=REFUSE),
            op(LOAD_BYTE_AT_X, 8, label="icmp quoted"),
            op(AND, 0xF),
            op(SHIFT_LEFT, 2),
            op(ADD_X),
            op(X_IS_A),
            op(LOAD_HALF_AT_X, 12),
            *_ident_in_a(idents),
        ]
    )


def ipv6_filter(idents: Collection[int] | None, reply_types: Collection[int] = REPLY_TYPES_6) -> bytes:
    """For an IPv6 raw socket: as `ipv4_filter`; every type below 128 is an error.

    In an error the quoted IPv6 header is at 8, its next header at 14, and what follows it at 48. Behind extension
    headers the ident is not looked for: such errors pass, but those about other protocols do not.
    """
    return packet_filter(
        [
            op(LOAD_BYTE, 0),
            *any_of(sorted(reply_types), "reply"),
            op(JUMP_AT_LEAST, 128, "other", "error"),
            op(JUMP, then=REFUSE, label="other"),
            op(LOAD_HALF, 4, label="reply"),
            op(JUMP, then=_IDENT),
            op(LOAD_BYTE, 14, label="error"),
            *any_of(_EXTENSION_HEADERS if idents is None or idents else (), "extended"),
            op(JUMP_EQUAL, _ICMP6, "icmp quoted"),
            op(JUMP, then=REFUSE),
            op(JUMP, then=ACCEPT, label="extended"),
            op(LOAD_HALF, 52, label="icmp quoted"),
            *_ident_in_a(idents),
        ]
    )


def nothing() -> bytes:
    """Refuses all."""
    return packet_filter([op(JUMP, then=REFUSE)])


def attach(raw: socket.socket, program: bytes) -> None:
    """Put a program on a socket, in place of the one there, with no packet in between unfiltered.

    OSError EINVAL if the kernel finds fault with it.
    """
    pass_to_kernel(program, lambda head: raw.setsockopt(SOL_SOCKET, SO_ATTACH_FILTER, head))


def icmp6_type_mask(types: Collection[int]) -> bytes:
    """The value of ICMP6_FILTER that passes these types and blocks the others: a set bit blocks."""
    words = [0xFFFFFFFF] * 8
    for kind in types:
        words[kind >> 5] &= ~(1 << (kind & 31))
    return struct.pack("=8I", *words)
