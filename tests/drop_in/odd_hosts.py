"""The lab's part of the bed: a host for every odd behaviour, and a gate that reports every error there is.

10.78.1.N and fd78:1::N are the odd hosts of `ODD_HOSTS`; 10.78.T.C (T from 3) and fd78:e:T::C are reported by the gate
with ICMP type T, code C. What a host does depends on the packet alone, never on what came before, so that whoever
asks gets the same.
"""

from __future__ import annotations

from pingsock import lab
from pingsock.lab.behaviours import Case

GATE = ("10.78.0.2/24", "fd78::2/64")
CLIENT = ("10.78.0.1/24", "fd78::1/64")
NEW_NEXT_HOP = "10.78.0.99"
LATE = 1.5
"""Seconds; a probe every second has long been followed by the next one then."""
SOON = 0.1
"""Seconds between two packets whose order matters."""

ODD_HOSTS: dict[int, list[object]] = {
    1: [],
    2: [{"do": "duplicate", "copies": 1}],
    3: [{"do": "duplicate", "copies": 3}],
    4: [{"do": "truncate", "size": 40}],
    5: [{"do": "truncate", "size": 20}],
    6: [{"do": "truncate", "size": 8}],
    7: [{"do": "corrupt", "offset": 8 + 20}],
    8: [{"do": "corrupt", "offset": -1, "mask": 1}],
    9: [{"do": "bad checksum"}],
    10: [{"do": "change", "source": "10.78.1.110"}, {"do": "change", "source": "fd78:1::110"}],
    11: [{"do": "append", "data": "deadbeef"}],
    12: [{"do": "change", "hop_limit": 255}],
    13: [{"do": "change", "hop_limit": 1}],
    14: [{"do": "change", "ident_shift": 1}],
    15: [{"do": "change", "sequence_shift": 1}],
    16: [{"do": "drop"}],
    17: [{"do": "error", "fault": "host unreachable", "also": True, "delay": SOON}],
    18: [{"do": "delay", "seconds": SOON}, {"do": "error", "fault": "redirect", "gateway": NEW_NEXT_HOP, "also": True}],
    19: [{"do": "delay", "seconds": SOON}, {"do": "error", "fault": "4/0", "also": True}],
    20: [{"do": "error", "fault": "3/13", "quote": {"length": 28}}],
    21: [{"do": "error", "fault": "3/13", "quote": {"sequence": 999}}],
    22: [{"do": "error", "fault": "3/13", "quote": {"ident": 0}}],
    23: [{"do": "delay", "seconds": 0.05}],
    24: [{"do": "corrupt", "offset": 8 + 3}],
    25: [{"do": "duplicate", "copies": 1}, {"do": "corrupt", "offset": 8 + 30, "mask": 0x10}],
    26: [{"do": "change", "traffic_class": 0xB8}],
    27: [{"do": "change", "type": 3, "code": 3}],
    28: [{"do": "change", "code": 7}],
    29: [{"do": "duplicate", "copies": 1, "spread": 0.3}],
    30: [{"do": "error", "fault": "too big", "mtu": 1300}],
}
"""Number -> what becomes of its replies."""

BY_SEQUENCE: dict[int, dict[int, object]] = {
    40: {1: {"do": "delay", "seconds": LATE}},
    41: {1: {"do": "drop"}},
    42: {2: {"do": "drop"}},
    43: {1: {"do": "error", "fault": "host unreachable"}},
    44: {2: {"do": "error", "fault": "host unreachable"}},
    45: {1: {"do": "duplicate", "copies": 1}, 2: {"do": "drop"}, 3: {"do": "truncate", "size": 40}},
    46: {2: {"do": "error", "fault": "redirect", "gateway": NEW_NEXT_HOP}},
    47: {2: {"do": "corrupt", "offset": 40}},
    48: {1: {"do": "drop"}, 2: {"do": "drop"}},
    49: {1: {"do": "error", "fault": "time exceeded"}, 2: {"do": "error", "fault": "prohibited"}},
    50: {2: {"do": "delay", "seconds": LATE}},
}
"""Number -> sequence number -> what becomes of the reply to that; the others are answered."""

ONLY_IPV4 = {18, 19, 46}
"""Redirects and source quench."""

ERRORS = {
    4: {3: range(17), 4: range(2), 5: range(5), 11: range(3), 12: range(3), 6: [0], 40: [1], 77: [3]},
    6: {1: range(9), 2: range(2), 3: range(3), 4: range(4), 100: [0], 127: [2]},
}
"""IP version -> ICMP type -> codes the gate reports, unknown ones among them."""


def odd_network() -> lab.Network:
    network = lab.Network()
    gate = network.router("gate", "10.78.0.2", "fd78::2")
    odd = network.host("odd", "10.78.1.0/24", "fd78:1::/64")
    network.host("reported", "10.78.0.0/17", "fd78:e::/32")
    network.link("gate", "odd", "10.79.1.0/30", "fd79:1::/126")
    network.link("gate", "reported", "10.79.2.0/30", "fd79:2::/126")
    for number, actions in ODD_HOSTS.items():
        for address in _addresses(number):
            odd.rule(*actions or [_as_usual], type="echo", destination=address)
    for number, by_sequence in BY_SEQUENCE.items():
        for address in _addresses(number):
            for sequence, action in by_sequence.items():
                odd.rule(action, type="echo", destination=address, sequence=sequence)
    for version, types in ERRORS.items():
        for icmp_type, codes in types.items():
            for code in codes:
                address = f"10.78.{icmp_type}.{code}" if version == 4 else f"fd78:e:{icmp_type}::{code}"
                gate.rule(_error(icmp_type, code), type="echo", destination=address)
    return network


def _addresses(number: int) -> list[str]:
    return [f"10.78.1.{number}", *([] if number in ONLY_IPV4 else [f"fd78:1::{number}"])]


def _as_usual(_case: Case) -> None:
    """What a host always does."""


def _error(icmp_type: int, code: int) -> dict[str, object]:
    details: dict[str, object] = {}
    if icmp_type == 5:
        details["gateway"] = NEW_NEXT_HOP
    if (icmp_type, code) == (3, 4) or icmp_type == 2:
        details["mtu"] = 1300
    if icmp_type in (4, 12):
        details["pointer"] = 9
    return {"do": "error", "fault": f"{icmp_type}/{code}", **details}
