"""Who may have a ping socket, and what may be sent through it."""

from __future__ import annotations

from errno import EINVAL

from pingsock.stack.failure import failure
from pingsock.wire.value import Value

MAXIMUM_GROUP = 4294967294
"""4294967295 is no group: it is what system calls use for "unchanged"."""


class Credentials(Value):
    """Who opens a socket, as the kernel would see it."""

    uid: int = 0
    gid: int = 0
    """The effective group."""
    groups: tuple[int, ...] = ()
    """Supplementary groups."""
    capable: bool = False
    """Holds CAP_NET_RAW and CAP_NET_ADMIN; permits marks, source routes, foreign sources and larger buffers."""


class GroupRange(Value):
    """The groups that may open ping sockets, both ends included: the sysctl net.ipv4.ping_group_range."""

    low: int = 1
    high: int = 0

    def allows(self, credentials: Credentials) -> bool:
        """Whether the effective group or any supplementary one is in the range; nothing else counts, not even uid 0."""
        low, high = self.low, self.high
        return low <= credentials.gid <= high or any(low <= group <= high for group in credentials.groups)

    def written(self, text: str) -> GroupRange:
        """The range after `text` is written to the sysctl.

        Two numbers, decimal, octal or hexadecimal, blanks between; more are ignored; one number replaces the low
        end only. An empty range is stored as `1 0`. EINVAL for anything but numbers up to 4294967294, and for blanks
        alone; to write nothing at all changes nothing.
        """
        numbers = _group_numbers(text)
        if text and not numbers:
            raise failure(EINVAL)
        low, high = (*numbers, *(self.low, self.high)[len(numbers) :])
        return GroupRange(low, high) if low <= high else GroupRange()

    def __str__(self) -> str:
        return f"{self.low}\t{self.high}"


EVERYBODY = GroupRange(0, MAXIMUM_GROUP)


SPACES, ENDS = " \t\n\v\f\r\xa0", " \t\n"
"""What may come before a number in a sysctl, and what may come right behind one."""
LONGEST_NUMBER = 20
"""Digits, prefix included."""


def _group_numbers(text: str) -> list[int]:
    numbers: list[int] = []
    rest = text.lstrip(SPACES)
    while rest and len(numbers) < 2:
        end = min((at for blank in ENDS if (at := rest.find(blank)) >= 0), default=len(rest))
        numbers.append(_group_number(rest[:end]))
        rest = rest[end:].lstrip(SPACES)
    return numbers


def _group_number(word: str) -> int:
    hexadecimal = word[:2] in ("0x", "0X")
    digits = word[2:] if hexadecimal else word
    base = 16 if hexadecimal else 8 if word[0] == "0" else 10
    # int() alone would also take signs, underscores, and prefixes of its own.
    if not digits or len(word) > LONGEST_NUMBER or not set(digits.lower()) <= set("0123456789abcdef"[:base]):
        raise failure(EINVAL)
    number = int(digits, base)
    if number > MAXIMUM_GROUP:
        raise failure(EINVAL)
    return number


class Policy(Value):
    """What a stack permits beyond and below what Linux permits; the default is Linux with the range open to all."""

    group_range: GroupRange = EVERYBODY
    pairs: frozenset[str] = frozenset()
    """Names of message pairs allowed besides the kernel's two: see `pingsock.stack.pairs`."""
    owner_exclusive_idents: bool = False
    """Only sockets of one uid may share an ident. The kernel lets anybody share, and so take over, an ident."""
