"""One target specification: an address, a range, a prefix, or a name.

    10.0.0.1  2001:db8::1  fe80::1%eth0     an address
    10.0.0.0/24  2001:db8::/120             a prefix; bits behind it do not matter
    10.0.0.1-10.0.0.9  2001:db8::1-2001:db8::f
                                            a range, both ends included
    10.0.0.1-9  2001:db8::1-f               a range within the last number of the address
    www.example.com                         everything else is a name

Which addresses of a prefix are meant: of an IPv4 prefix up to /30 all but the first (network) and the last (broadcast);
of an IPv6 prefix up to /126 all but the first, the subnet-router anycast address (RFC 4291, section 2.6.1). Of /31 and
/32 (RFC 3021), /127 and /128 (RFC 6164) all. That is what `ipaddress` calls the hosts of a network.
"""

from __future__ import annotations

from socket import AF_INET, AF_INET6, if_nametoindex, inet_ntop, inet_pton

from pingsock.sockets.errors import InvalidArgument
from pingsock.wire.value import Value

LARGEST_SPAN = 2**32
"""Most addresses of one specification: as many as IPv4 has, an IPv6 /96."""
BITS = {int(AF_INET): 32, int(AF_INET6): 128}
_LONGEST_NAME = 253
_LONGEST_LABEL = 63
_DECIMAL = frozenset("0123456789")
_HEXADECIMAL = _DECIMAL | frozenset("abcdefABCDEF")
_NUMERIC = _DECIMAL | {"."}
_NOT_IN_NAMES = frozenset("/:%,;@\\'\"()[]{}<>|&*?!=+$^`~")


class InvalidTarget(InvalidArgument):
    """A target specification, or a source of them, that cannot be used."""

    place: str
    """Where it stands: "hosts.txt, line 3"; "" for an argument."""

    def __init__(self, value: object, requirement: str, place: str = "", name: str = "target") -> None:
        super().__init__(name, value, requirement)
        self.args = (value, requirement, place, name)
        self.place = place

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.place}: {text}" if self.place else text

    def at(self, place: str) -> InvalidTarget:
        """The same, with its place."""
        return InvalidTarget(self.value, self.requirement, place, self.name)


class Span(Value):
    """Consecutive addresses."""

    family: int
    first: int
    count: int
    scope: int = 0
    """Index of the interface that an IPv6 address is meant on; 0 if none was named."""
    text: str = ""
    """What was written, if that is one address."""


class Name(Value):
    """A host name."""

    text: str
    count: int = 1


def parse_spec(text: str, *, whole_prefixes: bool = False) -> Span | Name:
    """What a specification means. With `whole_prefixes`, all addresses of a prefix.

    :raises InvalidTarget: it means nothing, or too much.
    """
    # The most frequent line of a list a hundred thousand lines long.
    number = number_of(AF_INET, text)
    if number is not None:
        return Span(AF_INET, number, 1, 0, text)
    if "/" in text:
        return _prefix(text, whole_prefixes)
    return _address6(text) or _range(text) or _name(text)


def number_of(family: int, text: str) -> int | None:
    """An address without a scope as a number; None if it is none of that family."""
    try:
        return int.from_bytes(inet_pton(family, text), "big")
    except (OSError, ValueError):
        return None


def text_of(family: int, number: int) -> str:
    """An address as text."""
    return inet_ntop(family, number.to_bytes(BITS[family] // 8, "big"))


def _address6(text: str) -> Span | None:
    address, mark, scope = text.partition("%")
    number = number_of(AF_INET6, address)
    if number is None:
        return None
    return Span(AF_INET6, number, 1, _scope_index(text, scope) if mark else 0, text)


def _scope_index(text: str, scope: str) -> int:
    if scope and _DECIMAL.issuperset(scope) and 0 < int(scope[:10]) < 2**31:
        return int(scope)
    try:
        return if_nametoindex(scope)
    except (OSError, ValueError) as error:
        raise InvalidTarget(text, f"on an interface of this host, {scope!r} is none") from error


def _either_family(text: str) -> tuple[int, int] | None:
    for family in (AF_INET, AF_INET6):
        number = number_of(family, text)
        if number is not None:
            return int(family), number
    return None


def _prefix(text: str, whole: bool) -> Span:
    address, _, length = text.partition("/")
    found = _either_family(address)
    if found is None:
        raise InvalidTarget(text, "ADDRESS/LENGTH, the address without a scope")
    family, number = found
    bits = BITS[family]
    if not 0 < len(length) <= 3 or not _DECIMAL.issuperset(length) or int(length) > bits:
        raise InvalidTarget(text, f"a prefix with a length of 0 to {bits} bits")
    count = 1 << bits - int(length)
    _check_count(text, count)
    first = number & ~(count - 1)
    if whole or count <= 2:
        return Span(family, first, count)
    return Span(family, first + 1, count - (2 if family == AF_INET else 1))


def _range(text: str) -> Span | None:
    start, dash, end = text.partition("-")
    found = _either_family(start.partition("%")[0]) if dash else None
    if found is None:
        return None
    family, first = found
    last = number_of(family, end)
    if last is None:
        last = _last_by_ending(family, first, end)
    if last is None or "%" in start:
        raise InvalidTarget(text, "FIRST-LAST, two addresses of one family without a scope")
    if last < first:
        raise InvalidTarget(text, "a range whose last address is not before its first")
    _check_count(text, last - first + 1)
    return Span(family, first, last - first + 1)


def _last_by_ending(family: int, first: int, ending: str) -> int | None:
    """The end of a range that is written as its last octet (IPv4) or last group (IPv6)."""
    digits, base, mask = (_DECIMAL, 10, 0xFF) if family == AF_INET else (_HEXADECIMAL, 16, 0xFFFF)
    if not 0 < len(ending) <= 4 or not digits.issuperset(ending) or int(ending, base) > mask:
        return None
    return first & ~mask | int(ending, base)


def _check_count(text: str, count: int) -> None:
    if count > LARGEST_SPAN:
        raise InvalidTarget(
            text,
            f"of at most {LARGEST_SPAN} addresses (an IPv6 /96); this has 2^{count.bit_length() - 1}"
            " or more, and the hosts of such a network can only be listed",
        )


def _name(text: str) -> Name:
    if not text:
        raise InvalidTarget(text, "an address, a range, a prefix or a name")
    if _NUMERIC.issuperset(text):
        raise InvalidTarget(text, "an IPv4 address: four decimal numbers of 0 to 255, without leading zeros")
    if ":" in text:
        raise InvalidTarget(text, "an IPv6 address")
    labels = text.removesuffix(".").split(".")
    fits = len(text) <= _LONGEST_NAME + 1 and all(0 < len(label) <= _LONGEST_LABEL for label in labels)
    if not fits or text.startswith("-") or (not text.isprintable() and not _is_undecodable(text)):
        raise InvalidTarget(text, "an address, a range, a prefix or a name")
    if " " in text or not _NOT_IN_NAMES.isdisjoint(text):
        raise InvalidTarget(text, "an address, a range, a prefix or a name")
    return Name(text)


def _is_undecodable(text: str) -> bool:
    """Whether what cannot be printed are bytes that are no UTF-8, which the resolver may know yet."""
    return all(char.isprintable() or "\udc80" <= char <= "\udcff" for char in text)
