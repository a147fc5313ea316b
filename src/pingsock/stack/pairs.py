"""The request and reply pairs of ICMP that may pass a ping socket: a registry.

Linux knows two pairs a family. The others, which the authors of ping sockets left as future work, are allowed by
`Policy.pairs`, by name, and work alike: the request may be sent, its ident is the socket's, its reply and the errors
that quote it are delivered.
"""

from __future__ import annotations

from pingsock.wire.linux import AF_INET, AF_INET6
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Pair(Value):
    """One request and its reply."""

    name: str
    family: int
    request: int
    """Type of the request; its code must be 0."""
    reply: int
    """Type of the reply; any code is delivered."""
    reports_errors: bool = True
    """Are ICMP errors that quote the request reported? Linux does not look for type 160 in them."""
    on_linux: bool = False


PAIRS = (
    Pair("echo", AF_INET, request=8, reply=0, on_linux=True),
    Pair("extended-echo", AF_INET, request=42, reply=43, on_linux=True),
    Pair("timestamp", AF_INET, request=13, reply=14),
    Pair("information", AF_INET, request=15, reply=16),
    Pair("address-mask", AF_INET, request=17, reply=18),
    Pair("echo", AF_INET6, request=128, reply=129, on_linux=True),
    Pair("extended-echo", AF_INET6, request=160, reply=161, reports_errors=False, on_linux=True),
)

OPTIONAL_PAIRS = frozenset(pair.name for pair in PAIRS if not pair.on_linux)


class PairTable:
    """The pairs one stack permits, as the sets its checks look things up in."""

    def __init__(self, optional: Iterable[str] = ()) -> None:
        """`optional` are names out of OPTIONAL_PAIRS; ValueError names an unknown one."""
        allowed = set(optional)
        if unknown := allowed - OPTIONAL_PAIRS:
            raise ValueError(f"unknown message pair {min(unknown)!r}; known: {', '.join(sorted(OPTIONAL_PAIRS))}")
        pairs = [pair for pair in PAIRS if pair.on_linux or pair.name in allowed]
        self.requests = {family: _types(pairs, family, "request") for family in (AF_INET, AF_INET6)}
        self.replies = {family: _types(pairs, family, "reply") for family in (AF_INET, AF_INET6)}
        reporting = [pair for pair in pairs if pair.reports_errors]
        self.quotable = {family: _types(reporting, family, "request") for family in (AF_INET, AF_INET6)}


def _types(pairs: Iterable[Pair], family: int, field: str) -> frozenset[int]:
    return frozenset(getattr(pair, field) for pair in pairs if pair.family == family)
