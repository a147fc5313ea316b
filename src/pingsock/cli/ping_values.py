"""Values of `ping` options that few command lines have, checked as iputils checks them."""

from __future__ import annotations

import os
from _socket import AF_INET, AF_INET6, inet_pton

from pingsock.cli.arguments import Refused, c_int, whole_number
from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.cli.ping_options import Settings

_MOST_PRELOAD = 0x10000
_USERS_PRELOAD = 3
_PATTERN_BYTES = 16
_HEX_DIGITS = "0123456789abcdefABCDEF"
_FLOW_LABEL_BITS = 0xFFFFF
MTU_DISCOVERY = {
    "do": linux.IP_PMTUDISC_DO,
    "dont": linux.IP_PMTUDISC_DONT,
    "want": linux.IP_PMTUDISC_WANT,
    "probe": linux.IP_PMTUDISC_PROBE,
}
"""The same numbers for both families."""
TIMESTAMP_KINDS = {"tsonly": 0, "tsandaddr": 1, "tsprespec": 3}


def flow_label(settings: Settings, text: str) -> None:
    """-F: a number of 20 bits, in decimal or behind 0x."""
    number, rest = _number(text)
    if rest:
        raise Refused(f"bad value for flowinfo: {text}")
    if not 0 <= number <= _FLOW_LABEL_BITS:
        raise Refused(f"flow value is greater than 20 bits: {text}")
    settings.flow_label = number


def traffic_class(settings: Settings, text: str) -> None:
    """-Q: a number up to 255, in decimal or behind 0x. Negative ones are the kernel's to judge, as with iputils."""
    number, rest = _number(text)
    if rest:
        raise Refused(f"bad TOS value: {text}")
    if number > 255:
        raise Refused(f"the decimal value of TOS bits must be in range 0-255: {number}")
    settings.traffic_class = number


def _number(text: str) -> tuple[int, str]:
    if text[:2].lower() == "0x":
        return c_int(text[2:], 16)
    return c_int(text, 10)


def interface_or_source(settings: Settings, text: str) -> None:
    """-I: an IPv6 source (with a colon, perhaps with a device behind %), an IPv4 source, or a device."""
    if ":" in text:
        address, mark, scope = text.partition("%")
        if not _is_address(AF_INET6, address):
            raise Refused(f"invalid source address: {text}")
        settings.source6, settings.strict_source = _unless_unspecified(AF_INET6, address), True
        if mark:
            settings.device = scope
    elif _is_address(AF_INET, text):
        settings.source4, settings.strict_source = _unless_unspecified(AF_INET, text), True
    else:
        settings.device = text


def _is_address(family: int, text: str) -> bool:
    try:
        inet_pton(family, text)
    except (OSError, ValueError):
        return False
    return True


def _unless_unspecified(family: int, address: str) -> str:
    """The address; "" for the one that leaves the choice to the route."""
    return address if any(inet_pton(family, address)) else ""


def preload(settings: Settings, text: str) -> None:
    """-l: probes that may be sent before there is a reply."""
    settings.preload = whole_number(text, 1, _MOST_PRELOAD)
    if os.getuid() and settings.preload > _USERS_PRELOAD:
        raise Refused(f"cannot set preload to value greater than {_USERS_PRELOAD}: {settings.preload}")


def mtu_discovery(settings: Settings, text: str) -> None:
    """-M: what becomes of probes that exceed the path's MTU."""
    if text not in MTU_DISCOVERY:
        raise Refused(f"invalid -M argument: {text}")
    settings.mtu_discovery = MTU_DISCOVERY[text]


def timestamp(settings: Settings, text: str) -> None:
    """-T: which kind of IPv4 timestamp option."""
    if settings.record_route:
        raise Refused("only one of -T or -R may be used")
    if text not in TIMESTAMP_KINDS:
        raise Refused(f"invalid timestamp type: {text}")
    settings.timestamp_kind = TIMESTAMP_KINDS[text]


def pattern(settings: Settings, text: str) -> None:
    """-p: up to 16 bytes in hexadecimal. A digit left over is a byte of its own."""
    for at, digit in enumerate(text):
        if digit not in _HEX_DIGITS:
            raise Refused(f"patterns must be specified as hex digits: {text[at:]}")
    shown = bytes(int(text[at : at + 2], 16) for at in range(0, len(text), 2))[:_PATTERN_BYTES]
    # An empty pattern leaves the payload as iputils' buffer is: zeros.
    settings.pattern = shown or b"\0"
    if not settings.quiet:
        settings.notices.append(f"PATTERN: 0x{shown.hex()}\n")


def node_query(settings: Settings, text: str) -> None:
    """-N: what is asked of an IPv6 node, a part of the question at a time."""
    from pingsock.cli.ping_node_query import add  # lazy: one option, seldom given

    settings.node_query = add(text, settings.node_query)
