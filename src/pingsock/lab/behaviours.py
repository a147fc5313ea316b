"""Rules: what a node does instead of, or to, its usual answer.

A rule is a `Match` and a list of actions. The first rule of a node whose match holds for an arriving packet is the
only one used; its actions run in order and each may replace `case.emissions`, the packets about to leave because of
this one. An action is any callable that takes a `Case`; the named ones are in `actions.ACTIONS`.
"""

from __future__ import annotations

from pingsock.lab.errors import LabError
from pingsock.lab.prefixes import Prefix
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from pingsock.lab.datagram import Datagram
    from pingsock.lab.links import Interface
    from pingsock.lab.nodes import Node

    Action = Callable[["Case"], None]

REQUESTS: dict[str, tuple[int, ...]] = {
    "echo": (8, 128),
    "timestamp": (13,),
    "information": (15,),
    "address mask": (17,),
    "extended echo": (42, 160),
}
"""ICMP types by the names rules may use, both IP versions."""


class Emission(Value):
    """A packet about to leave a node."""

    packet: Datagram | bytes
    delay: float = 0.0
    """Seconds from now."""
    interface: Interface | None = None
    """Where it leaves; None lets the node's routes decide (bytes then leave where the case's packet came in)."""

    def later(self, seconds: float) -> Emission:
        """The same, delayed further."""
        return self.replace(delay=self.delay + seconds)


class Case:
    """One packet that arrived at a node, and what shall come of it."""

    def __init__(self, node: Node, interface: Interface, datagram: Datagram) -> None:
        self.node = node
        self.interface = interface
        self.datagram = datagram
        self.number = 0
        """How many packets the rule has matched, this one included."""
        self.random: random.Random = node.random
        self._emissions: list[Emission] | None = None

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        return self.node.network.now

    @property
    def emissions(self) -> list[Emission]:
        """What leaves because of this packet: at first the usual answer or the forwarded packet, made when asked."""
        if self._emissions is None:
            self._emissions = self.node.usual(self.datagram, self.interface)
        return self._emissions

    @emissions.setter
    def emissions(self, emissions: Iterable[Emission]) -> None:
        self._emissions = list(emissions)

    def alter(self, change: Callable[[Datagram], Datagram]) -> None:
        """Put every datagram that leaves through a function."""
        self.emissions = [
            emission if isinstance(emission.packet, bytes) else emission.replace(packet=change(emission.packet))
            for emission in self.emissions
        ]


class Match(Value):
    """Which arriving packets a rule is for; all that is given must hold.

    `every`, `after`, `first` and `probability` choose among the packets for which all else holds.
    """

    source: Prefix | None = None
    destination: Prefix | None = None
    types: tuple[int, ...] = ()
    code: int | None = None
    ident: int | None = None
    sequences: tuple[int, ...] = ()
    hop_limit: int | None = None
    at_least: int = 0
    """Bytes of IP packet."""
    at_most: int = 0xFFFFF
    """Bytes of IP packet."""
    after: int = 0
    """Leave the first so many alone."""
    every: int = 1
    """Of those behind `after`, the first and every so-many-th after it."""
    first: int = 0
    """Stop after so many; 0 is never."""
    probability: float = 1.0
    when: Callable[[Datagram], bool] | None = None

    def holds(self, datagram: Datagram) -> bool:
        """Whether the packet itself fits."""
        return (
            (self.source is None or datagram.source in self.source)
            and (self.destination is None or datagram.destination in self.destination)
            and (not self.types or datagram.type in self.types)
            and self.code in (None, datagram.code)
            and self.ident in (None, datagram.ident)
            and (not self.sequences or datagram.sequence in self.sequences)
            and self.hop_limit in (None, datagram.hop_limit)
            and self.at_least <= datagram.size <= self.at_most
            and (self.when is None or self.when(datagram))
        )

    @staticmethod
    def make(conditions: Mapping[str, Any], where: str) -> Match:
        """From texts and numbers as a lab's author writes them. LabError."""
        fields: dict[str, Any] = {}
        for name, content in conditions.items():
            field, convert = _CONDITIONS.get(name, (name, None))
            if field not in Match._fields:
                raise LabError(f"{where}: a rule cannot match {name!r}; it can match {', '.join(_condition_names())}")
            try:
                fields[field] = convert(content) if convert else _number(content)
            except (LabError, TypeError, ValueError) as err:
                raise LabError(f"{where}: {name} is {content!r}: {err}") from err
        match = Match(**fields)
        if match.every < 1:
            raise LabError(f"{where}: every is {match.every!r}, needed 1 or more")
        return match


def _number(content: Any) -> int | float:
    if isinstance(content, bool) or not isinstance(content, int | float):
        raise LabError("needed a number")
    return content


def _types(content: Any) -> tuple[int, ...]:
    if isinstance(content, list | tuple):
        return tuple(number for part in content for number in _types(part))
    if isinstance(content, str):
        if content not in REQUESTS:
            raise LabError(f"needed an ICMP type number or one of {', '.join(map(repr, REQUESTS))}")
        return REQUESTS[content]
    return (int(_number(content)),)


def _numbers(content: Any) -> tuple[int, ...]:
    return tuple(content) if isinstance(content, list | tuple | range) else (int(_number(content)),)


def _callable(content: Any) -> Any:
    if not callable(content):
        raise LabError("needed a function of a Datagram")
    return content


_CONDITIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "source": ("source", Prefix.parse),
    "destination": ("destination", Prefix.parse),
    "type": ("types", _types),
    "sequence": ("sequences", _numbers),
    "when": ("when", _callable),
}
"""Conditions written other than they are stored: name to field and conversion."""


def _condition_names() -> list[str]:
    renamed = {field: name for name, (field, _) in _CONDITIONS.items()}
    return [renamed.get(field, field) for field in Match._fields]


class Rule:
    """A match, actions, and the count of packets so far."""

    def __init__(self, match: Match, actions: list[Action], random: random.Random) -> None:
        self.match = match
        self.actions = actions
        self.random = random
        self.fitting = 0
        """Packets the match held for."""
        self.used = 0
        """Packets the actions were done for."""

    def matches(self, case: Case) -> bool:
        """Whether the rule is for this packet; counts."""
        match = self.match
        if not match.holds(case.datagram) or (match.first and self.used >= match.first):
            return False
        self.fitting += 1
        place = self.fitting - 1 - match.after
        if place < 0 or place % match.every:
            return False
        if match.probability < 1.0 and self.random.random() >= match.probability:
            return False
        self.used += 1
        return True

    def apply(self, case: Case) -> None:
        """Run the actions."""
        case.number = self.used
        case.random = self.random
        for action in self.actions:
            action(case)
