"""Which errno an ICMP error becomes on a ping socket, and whether it is hard.

A hard error is reported on a connected socket even without IP_RECVERR; a soft one only with it. What is in no table
is not reported at all. Observed on Linux 6.18.
"""

from __future__ import annotations

from errno import (
    EACCES,
    ECONNREFUSED,
    EHOSTDOWN,
    EHOSTUNREACH,
    EMSGSIZE,
    ENETUNREACH,
    ENONET,
    ENOPROTOOPT,
    EOPNOTSUPP,
    EPROTO,
    EREMOTEIO,
)

from pingsock.wire.value import Value

DESTINATION_UNREACHABLE = 3
FRAGMENTATION_NEEDED = 4
SOURCE_QUENCH = 4
REDIRECT = 5
TIME_EXCEEDED = 11
REASSEMBLY_TIME_EXCEEDED = 1
PARAMETER_PROBLEM = 12

DESTINATION_UNREACHABLE6 = 1
PACKET_TOO_BIG6 = 2
TIME_EXCEEDED6 = 3
PARAMETER_PROBLEM6 = 4
LAST_ERROR6 = 127


class Meaning(Value):
    """What an ICMP error means to a socket."""

    errno: int
    hard: bool = False


def soft(errno: int) -> Meaning:
    """An error that may pass."""
    return Meaning(errno)


def hard(errno: int) -> Meaning:
    """An error that will stay."""
    return Meaning(errno, True)


UNREACHABLE4 = {
    0: soft(ENETUNREACH),
    1: soft(EHOSTUNREACH),
    2: hard(ENOPROTOOPT),
    3: hard(ECONNREFUSED),
    4: hard(EMSGSIZE),
    5: soft(EOPNOTSUPP),
    6: hard(ENETUNREACH),
    7: hard(EHOSTDOWN),
    8: hard(ENONET),
    9: hard(ENETUNREACH),
    10: hard(EHOSTUNREACH),
    11: soft(ENETUNREACH),
    12: soft(EHOSTUNREACH),
    13: hard(EHOSTUNREACH),
    14: hard(EHOSTUNREACH),
    15: hard(EHOSTUNREACH),
}
"""By code."""

ANY_CODE4 = {
    SOURCE_QUENCH: soft(EREMOTEIO),
    REDIRECT: soft(EREMOTEIO),
    TIME_EXCEEDED: soft(EHOSTUNREACH),
    PARAMETER_PROBLEM: hard(EPROTO),
}
"""By type, for the types whose code does not matter (but see 11/1 in `meaning4`)."""

ERROR_TYPES4 = frozenset((DESTINATION_UNREACHABLE, *ANY_CODE4))

UNREACHABLE6 = {
    0: soft(ENETUNREACH),
    1: hard(EACCES),
    2: soft(EHOSTUNREACH),
    3: soft(EHOSTUNREACH),
    4: hard(ECONNREFUSED),
    5: hard(EACCES),
    6: hard(EACCES),
}
"""By code; further codes are UNKNOWN_UNREACHABLE6."""

UNKNOWN_UNREACHABLE6 = hard(EPROTO)

ANY_CODE6 = {
    PACKET_TOO_BIG6: soft(EMSGSIZE),
    TIME_EXCEEDED6: soft(EHOSTUNREACH),
    PARAMETER_PROBLEM6: hard(EPROTO),
}
"""By type."""

UNKNOWN_TYPE6 = soft(EPROTO)
"""Types 0 and 5 to 127: errors of a future ICMPv6. Types from 128 up, redirects among them, are no errors."""


def meaning4(kind: int, code: int) -> Meaning | None:
    """Of an ICMPv4 error; None if Linux does not report it."""
    if kind == DESTINATION_UNREACHABLE:
        return UNREACHABLE4.get(code)
    if kind == TIME_EXCEEDED and code == REASSEMBLY_TIME_EXCEEDED:
        return None
    return ANY_CODE4.get(kind)


def meaning6(kind: int, code: int) -> Meaning | None:
    """Of an ICMPv6 error; None if Linux does not report it."""
    if kind == DESTINATION_UNREACHABLE6:
        return UNREACHABLE6.get(code, UNKNOWN_UNREACHABLE6)
    return ANY_CODE6.get(kind, UNKNOWN_TYPE6) if kind <= LAST_ERROR6 else None
