"""What a service permits, and to whom: `Configuration`, read from TOML.

Every key has a default, and all defaults together are what Linux does where nobody has changed anything: nobody may
open a socket. `KEYS` is the whole language; docs/service.md explains it to people.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib

from pingsock.stack.pairs import PAIRS
from pingsock.stack.policy import GroupRange, Policy
from pingsock.wire.linux import AF_INET, AF_INET6
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LARGEST_FILE = 1 << 20
"""Bytes."""
MESSAGES = frozenset(pair.name for pair in PAIRS)
KERNEL_MESSAGES = frozenset(pair.name for pair in PAIRS if pair.on_linux)
_NO_USER = 4294967295
_TOML_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class BadConfiguration(Exception):
    """A configuration is not what it must be."""

    path: str
    line: int
    """Of the file; 0 if the whole file is meant."""
    key: str
    """"quota.sockets", or "" where the file is no TOML."""

    def __init__(self, path: str, line: int, key: str, problem: str) -> None:
        self.path = path
        self.line = line
        self.key = key
        super().__init__(": ".join(part for part in (f"{path}:{line}" if line else path, key, problem) if part))


class Prefix(Value):
    """A range of destinations."""

    family: int
    bits: int
    """The network address without its host part."""
    shift: int
    """Length of the host part, bits."""

    def contains(self, family: int, address: bytes) -> bool:
        """Whether an address lies in it."""
        return family == self.family and int.from_bytes(address, "big") >> self.shift == self.bits


class Configuration(Value):
    """All a service goes by once it runs."""

    group_range: GroupRange = GroupRange()
    """Groups whose members may open sockets."""
    users: frozenset[int] = frozenset()
    """Users who may, whatever their groups."""
    denied_users: frozenset[int] = frozenset()
    """Users who may not, whatever their groups."""
    messages: frozenset[str] = KERNEL_MESSAGES
    """Names of `pingsock.stack.pairs` whose requests may be sent."""
    destinations: tuple[Prefix, ...] | None = None
    """Where requests may go; None: anywhere."""
    denied_destinations: tuple[Prefix, ...] = ()
    """Where they may not, even if `destinations` says so."""
    broadcast: bool = True
    multicast: bool = True
    owner_exclusive_idents: bool = False
    """Only sockets of one user may share an ident."""
    hand_over: bool = True
    """Sockets of the kernel may be handed over where these rules leave nothing to enforce."""
    sockets: int = 256
    """Of one user at a time, lent and served together."""
    queued_bytes: int = 64 << 20
    """Received packets and errors that may wait in one user's served sockets, as their receive buffers count."""
    packets_per_second: int = 0
    """Requests one user may send, with a second's worth at once; 0: no limit."""
    refusals_per_minute: int = 60
    """Lines of the audit about one user."""

    def lets_in(self, uid: int, gid: int, groups: tuple[int, ...]) -> bool:
        """Whether somebody may open sockets: as the kernel's group range, with the lists of users before it."""
        if uid in self.denied_users:
            return False
        low, high = self.group_range.low, self.group_range.high
        return uid in self.users or low <= gid <= high or any(low <= group <= high for group in groups)

    @property
    def leaves_all_to_the_kernel(self) -> bool:
        """Whether a socket of the kernel, which nobody watches, can do nothing that is forbidden here.

        It can always send both of Linux's messages, anywhere, at any rate. Its memory the kernel limits.
        """
        return (
            self.hand_over
            and self.messages >= KERNEL_MESSAGES
            and self.destinations is None
            and not self.denied_destinations
            and self.broadcast
            and self.multicast
            and not self.packets_per_second
        )

    def policy(self) -> Policy:
        """What the stack is told; who may open sockets was decided before."""
        return Policy(pairs=self.messages - KERNEL_MESSAGES, owner_exclusive_idents=self.owner_exclusive_idents)

    def forbidden_types(self) -> frozenset[tuple[int, int]]:
        """Families and ICMP types of Linux's own requests that may not be sent all the same."""
        forbidden = KERNEL_MESSAGES - self.messages
        return frozenset((pair.family, pair.request) for pair in PAIRS if pair.name in forbidden)


def load_configuration(path: str) -> Configuration:
    """The configuration in a file.

    :raises BadConfiguration: with file, line and key; OSError if the file cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise BadConfiguration(path, 0, "", f"more than {LARGEST_FILE} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise BadConfiguration(path, content.count(b"\n", 0, error.start) + 1, "", "not UTF-8") from error
    return parse_configuration(text, path)


def parse_configuration(text: str, path: str = "configuration") -> Configuration:
    """The configuration in a text.

    :raises BadConfiguration: with line and key.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _bad_syntax(error, text, path) from error
    try:
        return Configuration(**_fields(tables))
    except _BadKey as error:
        key, problem = error.args
        raise BadConfiguration(path, line_of(text, key.split(".")), key, problem) from error.__cause__


class _BadKey(Exception):
    """Key and problem."""


def _bad_syntax(error: tomllib.TOMLDecodeError, text: str, path: str) -> BadConfiguration:
    found = _TOML_LINE.search(str(error))
    problem = _TOML_LINE.sub("", str(error))
    line = int(found[1]) if found and found[1] else len(text.splitlines())
    return BadConfiguration(path, line, "", f"not TOML: {problem}")


def _fields(tables: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for table, content in tables.items():
        known = KEYS.get(table)
        if known is None:
            raise _BadKey(table, f"unknown table; there are {', '.join(sorted(KEYS))}")
        if not isinstance(content, dict):
            raise _BadKey(table, "must be a table")
        for key, value in content.items():
            fields |= _field(f"{table}.{key}", known.get(key), value, sorted(known))
    return fields


def _field(name: str, known: tuple[str, Callable[[Any], Any]] | None, value: Any, others: list[str]) -> dict[str, Any]:
    if known is None:
        raise _BadKey(name, f"unknown key; there are {', '.join(others)}")
    field, read = known
    try:
        return {field: read(value)}
    except ValueError as error:
        raise _BadKey(name, str(error)) from error


def line_of(text: str, key: list[str]) -> int:
    """The line a key of a valid TOML text is on.

    It is the last that has the key's name behind a run of lines that is TOML without the key; or where the name is
    written with escapes, the one behind the longest such run.
    """
    lines = text.splitlines(keepends=True)
    named = [number for number, line in enumerate(lines) if key[-1] in line]
    # Parsing takes its time, and a service that reads its configuration again does nothing else meanwhile.
    for number in (*reversed(named), *reversed(range(len(lines)))):
        if _is_without(key, "".join(lines[:number])):
            return number + 1
    return 1


def _is_without(key: list[str], text: str) -> bool:
    try:
        return not _has(tomllib.loads(text), key)
    except tomllib.TOMLDecodeError:
        return False


def _has(table: Any, key: list[str]) -> bool:
    for part in key:
        if not isinstance(table, dict) or part not in table:
            return False
        table = table[part]
    return True


# Readers of values: each returns what the field holds, or raises ValueError with what the value must be.


def _group_range(value: Any) -> GroupRange:
    requirement = f'must be two groups like "1000 1999" or, for nobody, "1 0", not {value!r}'
    if not isinstance(value, str) or len(value.split()) != 2:
        raise ValueError(requirement)
    try:
        return GroupRange().written(value)
    except OSError as error:
        raise ValueError(requirement) from error


def _users(value: Any) -> frozenset[int]:
    return frozenset(_user(item) for item in _list(value, "users"))


def _user(item: Any) -> int:
    if isinstance(item, int) and not isinstance(item, bool):
        if 0 <= item < _NO_USER:
            return item
        raise ValueError(f"{item} is no user id")
    if not isinstance(item, str):
        raise ValueError(f"a user is a name or a number, not {item!r}")  # noqa: TRY004 - all readers raise this
    from pwd import getpwnam

    try:
        return getpwnam(item).pw_uid
    except KeyError as error:
        raise ValueError(f"this host knows no user {item!r}") from error


def _messages(value: Any) -> frozenset[str]:
    names = _list(value, "names of messages")
    for name in names:
        if name not in MESSAGES:
            raise ValueError(f"unknown message {name!r}; there are {', '.join(sorted(MESSAGES))}")
    return frozenset(names)


def _prefixes(value: Any) -> tuple[Prefix, ...]:
    return tuple(_prefix(item) for item in _list(value, "prefixes"))


def _prefix(item: Any) -> Prefix:
    try:
        network = ipaddress.ip_network(item if isinstance(item, str) else "")
    except ValueError as error:
        raise ValueError(f'{item!r} is no prefix like "192.0.2.0/24" or "2001:db8::/32" ({error})') from error
    shift = network.max_prefixlen - network.prefixlen
    family = AF_INET if network.version == 4 else AF_INET6
    return Prefix(family, int(network.network_address) >> shift, shift)


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"must be a list of {what}, not {value!r}")  # noqa: TRY004 - all readers raise this
    return value


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {value!r}")  # noqa: TRY004 - all readers raise this
    return value


def _number(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {value!r}")
        return value

    return read


KEYS: dict[str, dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "access": {
        "group_range": ("group_range", _group_range),
        "users": ("users", _users),
        "denied_users": ("denied_users", _users),
    },
    "permit": {
        "messages": ("messages", _messages),
        "destinations": ("destinations", _prefixes),
        "denied_destinations": ("denied_destinations", _prefixes),
        "broadcast": ("broadcast", _switch),
        "multicast": ("multicast", _switch),
        "owner_exclusive_idents": ("owner_exclusive_idents", _switch),
        "hand_over": ("hand_over", _switch),
    },
    "quota": {
        "sockets": ("sockets", _number(1, 65535)),
        "queued_bytes": ("queued_bytes", _number(4096, 1 << 40)),
        "packets_per_second": ("packets_per_second", _number(0, 1_000_000_000)),
    },
    "audit": {"refusals_per_minute": ("refusals_per_minute", _number(0, 1_000_000))},
}
"""Table and key of the file: the field, and what reads its value."""
