"""What the rules of both families' ICMP errors have in common."""

from __future__ import annotations

import select
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bed.bed import errno_name

if TYPE_CHECKING:
    from bed.bed import Bed
    from bed.subject import Subject


@dataclass(frozen=True)
class Reported:
    """How an ICMP error shows up: its errno, whether it is a hard one, and ee_info."""

    errno: str
    hard: bool
    info: int = 0


NOT_REPORTED = None


def pending(bed: Bed, sock: Subject) -> str:
    """The name of the pending error, which is cleared."""
    return errno_name(bed.pending_error(sock)).replace("ENOTSUP", "EOPNOTSUPP")


def shows_nothing(bed: Bed, sock: Subject) -> bool:
    """Neither queue entry nor pending error nor poll event."""
    return bed.queue_empty(sock) and bed.pending_error(sock) == 0 and not bed.poll(sock) & select.POLLERR


def check_with_recverr(bed: Bed, sock: Subject, type_: int, code: int, rest: int, expected: Reported | None) -> None:
    """The error as a socket with Recverr sees it."""
    quote = bed.error(sock, type_, code, rest)
    if expected is NOT_REPORTED:
        assert shows_nothing(bed, sock)
        return
    assert pending(bed, sock) == expected.errno
    entry = bed.take_error(sock)
    shown = errno_name(entry.errno).replace("ENOTSUP", "EOPNOTSUPP")
    assert (shown, entry.type, entry.code, entry.info) == (expected.errno, type_, code, expected.info)
    assert quote.endswith(entry.data)
    assert bed.queue_empty(sock)


def check_without_recverr(bed: Bed, sock: Subject, type_: int, code: int, expected: Reported | None) -> None:
    """The error as a connected socket without Recverr sees it."""
    bed.error(sock, type_, code)
    assert bool(bed.poll(sock) & select.POLLERR) == (expected is not None and expected.hard)
    assert pending(bed, sock) == (expected.errno if expected and expected.hard else "OK")
    assert bed.queue_empty(sock)
