"""What can be set on a node: the habits of real hosts and routers, one field each."""

from __future__ import annotations

from pingsock.lab.errors import LabError
from pingsock.lab.prefixes import pack_address
from pingsock.lab.routing import MULTIPATH, ROUND_ROBIN
from pingsock.wire.extensions import MplsLabel
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FROM_INCOMING = "incoming"
FROM_OUTGOING = "outgoing"
FROM_NODE = "node"

ANSWERS = ("echo", "extended echo", "timestamp", "information", "address mask", "port unreachable")
"""What a node can be asked; the last is what it says to UDP and other protocols that nothing listens to."""


class Label(Value):
    """One entry of an MPLS label stack, as reported in RFC 4950 extensions."""

    label: int
    traffic_class: int = 0
    ttl: int = 1


class Options(Value):
    """The habits of a node. Times are seconds."""

    answers: tuple[str, ...] = ANSWERS
    """What it answers; "port unreachable" is for all that is not ICMP."""
    hop_limit: int = 64
    """TTL or hop limit of the packets it makes."""
    silent: bool = False
    """It sends no ICMP errors at all."""
    black_hole: bool = False
    """Packets too big for the next link vanish, where a proper router would say so."""
    hidden: bool = False
    """It forwards without counting the hop limit down, as inside a tunnel."""
    reply_from: str = FROM_INCOMING
    """Source of its errors: the address of the interface the packet came in by ("incoming"), of the one the error
    leaves by ("outgoing"), the node's own ("node"), or any address written out, right or wrong."""
    error_rate: float = 0.0
    """ICMP errors a second; 0 is without limit."""
    error_burst: int = 6
    """ICMP errors at once where `error_rate` limits them."""
    error_delay: float = 0.0
    """How long it takes to make an error: routers do this beside their real work."""
    quote: int = -1
    """Bytes of the packet quoted in errors; 28 is the header and 8 bytes of RFC 792, -1 as much as 576 (IPv6: 1280)
    bytes of error hold."""
    labels: tuple[Label, ...] = ()
    """MPLS label stack that packets arrive here with, told in errors (RFC 4950)."""
    interface_info: tuple[str, ...] = ()
    """Interfaces told in errors (RFC 5837), by their roles: "incoming" and "outgoing"."""
    rfc4884: bool = True
    """Extensions come with the length field set; without it as before RFC 4884, behind exactly 128 bytes."""
    multipath: str = ""
    """What decides among equally short ways: a key of `routing.MULTIPATH`, "packet" for turns; "" takes the first."""
    neighbour_timeout: float = 0.0
    """How long it looks for a neighbour before it reports a host unreachable; 3 on Linux."""
    mask: str = ""
    """Address mask it tells, like "255.255.255.0"; "" is that of the interface asked."""
    clock_offset: float = 0.0
    """How far its clock is ahead, for timestamp replies."""
    nonstandard_clock: bool = False
    """Its timestamps carry the high bit of RFC 792: not milliseconds since midnight UT."""

    def changed(self, changes: dict[str, Any], where: str) -> Options:
        """A copy with some options changed. LabError for an unknown option or an impossible value."""
        for name, content in changes.items():
            if name not in self._fields:
                raise LabError(f"{where}: a node has no option {name!r}; it has {', '.join(self._fields)}")
            _check_kind(where, name, content, self._defaults[name])
        changes = {name: tuple(content) if isinstance(content, list) else content for name, content in changes.items()}
        if "labels" in changes:
            changes["labels"] = tuple(_label(where, content) for content in changes["labels"])
        return self.replace(**changes)._checked(where)

    def _checked(self, where: str) -> Options:
        _choice(where, "multipath", self.multipath, ("", ROUND_ROBIN, *MULTIPATH))
        for asked in self.answers:
            _choice(where, "answers", asked, ANSWERS)
        for role in self.interface_info:
            _choice(where, "interface_info", role, (FROM_INCOMING, FROM_OUTGOING))
        if self.reply_from not in (FROM_INCOMING, FROM_OUTGOING, FROM_NODE):
            pack_address(self.reply_from)
        if self.mask:
            pack_address(self.mask)
        for name in ("error_rate", "error_burst", "error_delay", "neighbour_timeout"):
            if getattr(self, name) < 0:
                raise LabError(f"{where}: {name} is {getattr(self, name)!r}, needed 0 or more")
        if not 1 <= self.hop_limit <= 255:
            raise LabError(f"{where}: hop_limit is {self.hop_limit!r}, needed 1 to 255")
        return self


def _label(where: str, content: Any) -> Label:
    try:
        label = content if isinstance(content, Label) else Label(**_label_fields(content))
        MplsLabel(label.label, label.traffic_class, True, label.ttl).to_bytes()
    except (TypeError, ValueError) as err:
        raise LabError(f"{where}: labels has {content!r}, needed a label or a table of its fields: {err}") from err
    return label


def _label_fields(content: Any) -> dict[str, Any]:
    return content if isinstance(content, dict) else {"label": content}


def _check_kind(where: str, name: str, content: Any, default: Any) -> None:
    wanted: type | tuple[type, ...] = (int, float) if type(default) is float else type(default)
    if isinstance(default, tuple):
        wanted = (tuple, list)
    if not isinstance(content, wanted) or (isinstance(content, bool) and not isinstance(default, bool)):
        kind = "list" if isinstance(default, tuple) else type(default).__name__
        raise LabError(f"{where}: {name} is {content!r}, needed a {kind}")


def _choice(where: str, name: str, content: str, choices: tuple[str, ...]) -> None:
    if content not in choices:
        raise LabError(f"{where}: {name} is {content!r}, needed one of {', '.join(map(repr, choices))}")
