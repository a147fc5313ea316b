"""The named actions of rules. Each function makes one; in a file `{do = "delay", seconds = 0.5}` calls it."""

from __future__ import annotations

import inspect

from pingsock.lab.behaviours import Emission
from pingsock.lab.errors import LabError
from pingsock.lab.icmp_errors import FAULTS, Fault, Quote, error_datagram, fault_word
from pingsock.lab.prefixes import pack_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from pingsock.lab.behaviours import Action, Case
    from pingsock.lab.datagram import Datagram


def drop() -> Action:
    """Nothing leaves."""

    def act(case: Case) -> None:
        case.emissions = []

    return act


def delay(seconds: float, jitter: float = 0.0) -> Action:
    """All that leaves, leaves `seconds` later, and up to `jitter` more."""

    def act(case: Case) -> None:
        late = seconds + (case.random.uniform(0.0, jitter) if jitter else 0.0)
        case.emissions = [emission.later(late) for emission in case.emissions]

    return act


def duplicate(copies: int = 1, spread: float = 0.0) -> Action:
    """So many copies follow, evenly over `spread` seconds."""

    def act(case: Case) -> None:
        step = spread / copies if copies else 0.0
        case.emissions = [emission.later(step * copy) for emission in case.emissions for copy in range(copies + 1)]

    return act


def flood(copies: int, interval: float = 0.0, sequence_step: int = 0) -> Action:
    """So many copies follow, `interval` seconds apart, the ICMP sequence growing by `sequence_step` each."""

    def act(case: Case) -> None:
        case.emissions = [
            _with_sequence(emission, copy * sequence_step).later(interval * copy)
            for emission in case.emissions
            for copy in range(copies + 1)
        ]

    return act


def _with_sequence(emission: Emission, shift: int) -> Emission:
    datagram = emission.packet
    if not shift or isinstance(datagram, bytes):
        return emission
    return emission.replace(packet=_with_field(datagram, 6, 2, datagram.sequence + shift).sealed())


def truncate(size: int) -> Action:
    """ICMP messages are cut to `size` bytes, with a right checksum."""

    def act(case: Case) -> None:
        case.alter(lambda datagram: datagram.replace(payload=datagram.payload[:size]).sealed())

    return act


def append(data: str | bytes) -> Action:
    """Bytes (or hexadecimal text) are added to the message, with a right checksum."""
    tail = _bytes(data)

    def act(case: Case) -> None:
        case.alter(lambda datagram: datagram.replace(payload=datagram.payload + tail).sealed())

    return act


def corrupt(offset: int = -1, mask: int = 0xFF, *, checksum: str = "right") -> Action:
    """One byte of the ICMP message is changed: the bits of `mask` at `offset` (negative: from the end).

    With `checksum` "right" only the data tells; with "stale" the checksum is that of the unchanged message.
    """
    if checksum not in ("right", "stale"):
        raise LabError(f"checksum is {checksum!r}, needed 'right' or 'stale'")

    def change(datagram: Datagram) -> Datagram:
        payload = bytearray(datagram.payload)
        if -len(payload) <= offset < len(payload):
            payload[offset] ^= mask
        changed = datagram.replace(payload=bytes(payload))
        return changed.sealed() if checksum == "right" else changed

    return lambda case: case.alter(change)


def bad_checksum() -> Action:
    """ICMP checksums are wrong."""
    return corrupt(3, 0x55, checksum="stale")


def change(
    *,
    type: int | None = None,  # noqa: A002 - the field's name
    code: int | None = None,
    ident: int | None = None,
    sequence: int | None = None,
    ident_shift: int = 0,
    sequence_shift: int = 0,
    source: str = "",
    destination: str = "",
    hop_limit: int | None = None,
    traffic_class: int | None = None,
) -> Action:
    """Fields of what leaves are replaced, or for `_shift` added to; the checksum is right."""
    packed = {name: pack_address(text) for name, text in (("source", source), ("destination", destination)) if text}
    header = {"hop_limit": hop_limit, "traffic_class": traffic_class}
    numbers = {name: number for name, number in header.items() if number is not None}
    for name, number in numbers.items():
        if not 0 <= number <= 255:
            raise LabError(f"{name} is {number!r}, needed 0 to 255")

    def act(datagram: Datagram) -> Datagram:
        fitting = {name: content for name, content in packed.items() if len(content) == len(datagram.source)}
        datagram = datagram.replace(**fitting, **numbers)
        datagram = _with_field(datagram, 0, 1, type)
        datagram = _with_field(datagram, 1, 1, code)
        datagram = _with_field(datagram, 4, 2, _shifted(datagram.ident, ident, ident_shift))
        datagram = _with_field(datagram, 6, 2, _shifted(datagram.sequence, sequence, sequence_shift))
        return datagram.sealed()

    return lambda case: case.alter(act)


def _shifted(old: int, new: int | None, shift: int) -> int | None:
    return old + shift if new is None and shift else new


def _with_field(datagram: Datagram, offset: int, length: int, number: int | None) -> Datagram:
    if number is None or len(datagram.payload) < offset + length:
        return datagram
    field = (number & ((1 << 8 * length) - 1)).to_bytes(length, "big")
    payload = datagram.payload
    return datagram.replace(payload=payload[:offset] + field + payload[offset + length :])


def error(
    fault: str | tuple[int, int] | list[int],
    *,
    gateway: str = "",
    mtu: int = 0,
    pointer: int = 0,
    word: int | None = None,
    source: str = "",
    quote: Mapping[str, Any] | Quote | None = None,
    also: bool = False,
    delay: float = 0.0,
) -> Action:
    """An ICMP error about the packet, `also` or instead of what usually leaves.

    `fault` is a key of `icmp_errors.FAULTS`, or type and code ("3/13" or [3, 13]), known or not. `gateway`, `mtu` and
    `pointer` fill their fields in the types that have them; `word` is bytes 4 to 7 of any other. `quote` are fields
    of `icmp_errors.Quote`. The rules about what may be answered with an error do not bind a rule.
    """
    kind = _fault_kind(fault)
    shown = quote if isinstance(quote, Quote) else Quote.make(quote or {})
    address = pack_address(source) if source else b""
    better = pack_address(gateway) if gateway else b""

    def act(case: Case) -> None:
        about = case.datagram
        icmp_type, code = FAULTS[kind][len(about.source) == 16] if isinstance(kind, str) else kind
        filled = fault_word(about.family, icmp_type, code, mtu=mtu, pointer=pointer, gateway=better)
        made = error_datagram(
            Fault(icmp_type, code, filled if word is None else word, better),
            about,
            address if len(address) == len(about.source) else case.node.error_source(about, case.interface),
            quote=shown,
            hop_limit=case.node.options.hop_limit,
            identification=case.node.next_identification(),
        )
        case.emissions = [*(case.emissions if also else []), Emission(made, delay)]

    return act


def _fault_kind(fault: str | tuple[int, int] | list[int]) -> str | tuple[int, int]:
    if isinstance(fault, str) and fault in FAULTS:
        return fault
    parts = fault.split("/") if isinstance(fault, str) else fault
    try:
        icmp_type, code = bytes(int(part) for part in parts)
    except (TypeError, ValueError) as err:
        names = ", ".join(map(repr, FAULTS))
        raise LabError(f"fault is {fault!r}, needed type and code like '3/13', or one of {names}") from err
    return icmp_type, code


def raw(packet: str | bytes, *, also: bool = False, delay: float = 0.0) -> Action:
    """Any bytes (or hexadecimal text) leave where the packet came in, `also` or instead of what usually leaves."""
    content = _bytes(packet)

    def act(case: Case) -> None:
        case.emissions = [*(case.emissions if also else []), Emission(content, delay, case.interface)]

    return act


def _bytes(text: str | bytes) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        return bytes.fromhex(text)
    except (TypeError, ValueError) as err:
        raise LabError(f"{text!r} is not a line of hexadecimal bytes") from err


ACTIONS: dict[str, Callable[..., Action]] = {
    "drop": drop,
    "delay": delay,
    "duplicate": duplicate,
    "flood": flood,
    "truncate": truncate,
    "append": append,
    "corrupt": corrupt,
    "bad checksum": bad_checksum,
    "change": change,
    "error": error,
    "raw": raw,
}
"""Actions by the names files use."""


def make_action(description: Any, where: str) -> Action:
    """An action from a callable, a name, or a table such as `{"do": "delay", "seconds": 0.5}`. LabError."""
    if callable(description):
        made: Action = description
        return made
    if not isinstance(description, str | dict):
        raise LabError(f"{where}: {description!r} is no action; needed a function, a name or a table with do")
    table = {"do": description} if isinstance(description, str) else dict(description)
    name = table.pop("do", None)
    if name not in ACTIONS:
        raise LabError(f"{where}: do is {name!r}, needed one of {', '.join(map(repr, ACTIONS))}")
    factory = ACTIONS[name]
    _check_kinds(factory, table, f"{where}: {name!r}")
    try:
        return factory(**table)
    except LabError as err:
        raise LabError(f"{where}: {name!r}: {err}") from err


_NUMBERS = {"float": (int, float), "int": (int,)}


def _check_kinds(factory: Callable[..., Action], table: dict[str, Any], where: str) -> None:
    signature = inspect.signature(factory)
    try:
        signature.bind(**table)
    except TypeError as err:
        takes = ", ".join(signature.parameters) or "nothing else"
        raise LabError(f"{where}: {err}; it takes {takes}") from err
    for name, content in table.items():
        kind = str(signature.parameters[name].annotation).removesuffix(" | None")
        if kind in _NUMBERS and (isinstance(content, bool) or not isinstance(content, _NUMBERS[kind])):
            raise LabError(f"{where}: {name} is {content!r}, needed a number")
        if kind == "str" and not isinstance(content, str):
            raise LabError(f"{where}: {name} is {content!r}, needed a string")
