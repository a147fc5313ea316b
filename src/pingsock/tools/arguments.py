"""What callers may give: every argument of the library's calls is checked here, before anything is opened or sent.

Each function returns the argument in the form the prober works with, or raises InvalidArgument, which names the
argument, shows what was given and says what it must be. A bool is no number, a str no sequence, and "" no host.
"""

from __future__ import annotations

import os
from socket import AF_INET, AF_INET6, if_nametoindex, inet_pton

from pingsock.probe.clock import SECOND
from pingsock.probe.schedule import Plan
from pingsock.probe.target import DEFAULT_SIZE, LARGEST_SIZES, ProbeOptions, Target
from pingsock.sockets.choose import KINDS, OPENERS
from pingsock.sockets.errors import InvalidArgument
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypedDict

    class ProbeArguments(TypedDict, total=False):
        """How probes look, and where they go: keyword arguments of every call; see `check_probes`."""

        family: int
        source: str
        interface: str
        ttl: int | None
        tos: int | None
        size: int
        payload: bytes | bytearray | memoryview
        dont_fragment: bool
        broadcast: bool


MOST = 2**31 - 1
SHORTEST_INTERVAL = 0.001
"""Seconds between the probes of a target that is probed without end."""
LONGEST_INTERVAL = 1_000_000.0
SHORTEST_TIMEOUT = 0.000001
LONGEST_TIMEOUT = 3600.0
LOWEST_RATE = 0.001
HIGHEST_RATE = 1_000_000_000.0
_LONGEST_HOST = 272
"""The longest name of the DNS, a "%" and the longest name of an interface."""
_NEVER_IN_HOSTS = frozenset("/\\@[]\"'<>,;")
_ADDRESS_OF = {0: "an IP address", int(AF_INET): "an IPv4 address", int(AF_INET6): "an IPv6 address"}
_ADDRESS_LENGTHS = {int(AF_INET): (2,), int(AF_INET6): (2, 3, 4)}
"""Members of a socket address."""
_MOST_SCOPE = 2**32 - 1


# Single arguments


def integer(name: str, given: object, least: int, most: int) -> int:
    """A whole number of that range."""
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        raise InvalidArgument(name, given, f"a whole number from {least} to {most}")
    return int(given)


def number(name: str, given: object, least: float, most: float, unit: str) -> float:
    """A number of that range, which infinity and NaN never are."""
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not least <= given <= most:
        raise InvalidArgument(name, given, f"a number of {unit} from {least:.12g} to {most:.12g}")
    return float(given)


def nanoseconds(name: str, given: object, least: float, most: float) -> int:
    """Seconds of that range, as nanoseconds."""
    return round(number(name, given, least, most, "seconds") * SECOND)


def flag(name: str, given: object) -> bool:
    """True or False."""
    if not isinstance(given, bool):
        raise InvalidArgument(name, given, "True or False")
    return given


def octets(name: str, given: object, most: int) -> bytes:
    """At most so many bytes."""
    if not isinstance(given, (bytes, bytearray, memoryview)):
        raise InvalidArgument(name, given, "bytes")
    if memoryview(given).nbytes > most:
        raise InvalidArgument(name, given, f"at most {most} bytes")
    return bytes(given)


def check_rate(given: object) -> float:
    """Probes a second over all targets; 0 is no limit."""
    if isinstance(given, (int, float)) and not isinstance(given, bool) and not given:
        return 0.0
    try:
        return number("rate", given, LOWEST_RATE, HIGHEST_RATE, "probes a second")
    except InvalidArgument as refusal:
        raise InvalidArgument("rate", given, f"{refusal.requirement}, or 0 for no limit") from None


def check_kinds(given: object) -> tuple[str, ...]:
    """Kinds of ping socket, in the order they are tried."""
    kinds = given if isinstance(given, (list, tuple)) else ()
    if not kinds or not all(isinstance(kind, str) and kind in OPENERS for kind in kinds):
        raise InvalidArgument("kinds", given, f"a list or tuple of kinds out of {', '.join(KINDS)}")
    return tuple(kinds)


def check_family(given: object) -> int:
    """AF_INET, AF_INET6, or 0 for both."""
    if _is_family(given) or (given == 0 and type(given) is int):
        return int(given)  # type: ignore[call-overload, no-any-return] # it is one
    raise InvalidArgument("family", given, "AF_INET, AF_INET6 or 0")


def _is_family(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given in LARGEST_SIZES


def check_backlog(given: object) -> int:
    """How many records may wait to be taken."""
    return integer("backlog", given, 1, MOST)


# Hosts


def family_of_literal(host: str) -> int:
    """AF_INET or AF_INET6 if this is an address, with or without a scope, 0 if it is a name."""
    for family, text in ((AF_INET, host), (AF_INET6, host.partition("%")[0])):
        try:
            inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return int(family)
    return 0


def check_host(given: object, family: int = 0) -> str:
    """A name or an address, of `family` unless 0. Whether the name exists is not looked at."""
    if not isinstance(given, str) or not 0 < len(given) <= _LONGEST_HOST or not _can_be_host(given):
        raise InvalidArgument("host", given, "a host name or an IP address, as a str")
    literal = family_of_literal(given)
    if family and literal not in (0, family):
        raise InvalidArgument("host", given, f"a name or {_ADDRESS_OF[family]}")
    return given


def _can_be_host(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return all(letter > " " and letter.isprintable() and letter not in _NEVER_IN_HOSTS for letter in text)


def check_hosts(given: object) -> Iterator[object]:
    """Any iterable of hosts, but not a single one; its members are checked when their turn comes."""
    hosts: Iterable[object] | None = None if isinstance(given, (str, bytes, bytearray, Target)) else given  # type: ignore[assignment]
    try:
        return iter(hosts)  # type: ignore[arg-type] # that is what is being found out
    except TypeError:
        raise InvalidArgument("hosts", given, "an iterable of names, addresses or Targets") from None


def check_target(given: Target) -> Target:
    """A target somebody made by hand."""
    if not isinstance(given, Target):
        raise InvalidArgument("target", given, "a Target")
    if not _is_family(given.family) or not isinstance(given.host, str) or not _is_address(given):
        raise InvalidArgument("target", given, "a Target with a family and an address that sendto() takes, port 0")
    flag("answered_by_others", given.answered_by_others)
    if not isinstance(given.options, ProbeOptions):
        raise InvalidArgument("options", given.options, "ProbeOptions")
    options = given.options
    checked = _options(options, options.payload, LARGEST_SIZES[given.family])
    interface = integer("interface", options.interface, 0, MOST)
    _check_source(options.source, int(given.family))
    return given.replace(family=int(given.family), options=checked.replace(source=options.source, interface=interface))


def _is_address(target: Target) -> bool:
    address = target.address
    if not isinstance(address, tuple) or len(address) not in _ADDRESS_LENGTHS[target.family]:
        return False
    host, *numbers = address
    if any(isinstance(each, bool) or not isinstance(each, int) or not 0 <= each <= _MOST_SCOPE for each in numbers):
        return False
    return isinstance(host, str) and "%" not in host and family_of_literal(host) == target.family and not numbers[0]


# Sets of arguments


class Aim(Value):
    """Where probes go, and how they look: what `check_probes` makes of its arguments."""

    family: int
    options: ProbeOptions


def check_probes(
    *,
    family: int = 0,
    source: str = "",
    interface: str = "",
    ttl: int | None = None,
    tos: int | None = None,
    size: int = DEFAULT_SIZE,
    payload: bytes | bytearray | memoryview = b"",
    dont_fragment: bool = False,
    broadcast: bool = False,
) -> Aim:
    """How probes look, and where they go: keyword arguments of every call.

    :param family: AF_INET or AF_INET6; 0 takes what the resolver, or `source`, says first
    :param source: address of this host to send from
    :param interface: name of the interface to send by
    :param ttl: TTL or hop limit, 1 to 255
    :param tos: TOS or traffic class, 0 to 255
    :param size: bytes of payload, up to 65507, with family=AF_INET6 up to 65527
    :param payload: what the payload is filled with, again and again; its first 8 bytes are a token of ours
    :param dont_fragment: what exceeds the path MTU is not sent, or reported by a router
    :param broadcast: the host may be a broadcast address
    """
    family = check_family(family)
    family = _check_source(source, family) or family
    largest = LARGEST_SIZES[family or int(AF_INET)]
    given = ProbeOptions(ttl, tos, "", 0, size, b"", dont_fragment, broadcast)
    options = _options(given, payload, largest).replace(source=source, interface=_check_interface(interface))
    return Aim(family, options)


def _options(given: ProbeOptions, payload: object, largest: int) -> ProbeOptions:
    """The options that mean the same in a call and in a Target."""
    return ProbeOptions(
        hop_limit=None if given.hop_limit is None else integer("ttl", given.hop_limit, 1, 255),
        traffic_class=None if given.traffic_class is None else integer("tos", given.traffic_class, 0, 255),
        size=integer("size", given.size, 0, largest),
        payload=octets("payload", payload, max(LARGEST_SIZES.values())),
        dont_fragment=flag("dont_fragment", given.dont_fragment),
        broadcast=flag("broadcast", given.broadcast),
    )


def _check_source(given: object, family: int) -> int:
    """The family of a source address, 0 if there is none."""
    if isinstance(given, str) and not given:
        return 0
    found = family_of_literal(given) if isinstance(given, str) else 0
    if isinstance(given, str) and found and family in (0, found):
        address, percent, scope = given.partition("%")
        if not percent or (found == AF_INET6 and address and _is_scope(scope)):
            return found
    raise InvalidArgument("source", given, f'{_ADDRESS_OF[family]}, as a str, or "" for what the route says')


def _is_scope(text: str) -> bool:
    return (text.isascii() and text.isdecimal() and 0 < int(text) <= _MOST_SCOPE) or _interface_index(text) > 0


def _check_interface(given: object) -> int:
    """The index of an interface, 0 for none."""
    if isinstance(given, str):
        if not given:
            return 0
        index = _interface_index(given)
        if index:
            return index
    raise InvalidArgument("interface", given, 'the name of an interface of this host, or "" for any')


def _interface_index(name: str) -> int:
    try:
        return if_nametoindex(name)
    except (OSError, ValueError):
        # ValueError: a NUL, or what cannot be encoded.
        return 0


def check_plan(
    *,
    count: object,
    interval: object,
    timeout: object,
    retries: object = 0,
    endless: bool = False,
    patience_ns: int = 0,
) -> Plan:
    """How often and how long; with `endless` a count of 0 goes on for ever."""
    probes = integer("count", count, 0 if endless else 1, MOST)
    shortest = 0.0 if probes else SHORTEST_INTERVAL
    return Plan(
        count=probes,
        retries=integer("retries", retries, 0, MOST),
        timeout_ns=nanoseconds("timeout", timeout, SHORTEST_TIMEOUT, LONGEST_TIMEOUT),
        interval_ns=nanoseconds("interval", interval, shortest, LONGEST_INTERVAL),
        patience_ns=patience_ns,
    )
