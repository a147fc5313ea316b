"""What `ping` says of an ICMP message and of a send that failed, in iputils' words.

The tables are read only when something went wrong, so they are not on the start-up path.
"""

from __future__ import annotations

import errno
import os
from _socket import AF_INET, inet_ntop

from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Sentence(Value):
    """How the messages of one ICMP type are told.

    `text` may contain {detail}, the code's entry in `codes` or else `other_code`, {code}, {info} and {gateway}.
    """

    text: str
    codes: Mapping[int, str] = {}
    other_code: str = ""


_REDIRECT = 5

IPV4 = {
    3: Sentence(
        "{detail}",
        {
            0: "Destination Net Unreachable",
            1: "Destination Host Unreachable",
            2: "Destination Protocol Unreachable",
            3: "Destination Port Unreachable",
            4: "Frag needed and DF set (mtu = {info})",
            5: "Source Route Failed",
            6: "Destination Net Unknown",
            7: "Destination Host Unknown",
            8: "Source Host Isolated",
            9: "Destination Net Prohibited",
            10: "Destination Host Prohibited",
            11: "Destination Net Unreachable for Type of Service",
            12: "Destination Host Unreachable for Type of Service",
            13: "Packet filtered",
            14: "Precedence Violation",
            15: "Precedence Cutoff",
        },
        "Dest Unreachable, Bad Code: {code}",
    ),
    4: Sentence("Source Quench"),
    5: Sentence(
        "{detail}(New nexthop: {gateway})",
        {
            0: "Redirect Network",
            1: "Redirect Host",
            2: "Redirect Type of Service and Network",
            3: "Redirect Type of Service and Host",
        },
        "Redirect, Bad Code: {code}",
    ),
    11: Sentence(
        "{detail}",
        {0: "Time to live exceeded", 1: "Frag reassembly time exceeded"},
        "Time exceeded, Bad Code: {code}",
    ),
    12: Sentence("Parameter problem: pointer = {info}"),
}
"""ICMPv4 type -> its sentence (RFC 792, RFC 1122, RFC 1812)."""

IPV6 = {
    1: Sentence(
        "Destination unreachable: {detail}",
        {
            0: "No route",
            1: "Administratively prohibited",
            2: "Beyond scope of source address",
            3: "Address unreachable",
            4: "Port unreachable",
            5: "Source address failed ingress/egress policy",
            6: "Reject route to destination",
        },
        "Unknown code {code}",
    ),
    2: Sentence("Packet too big: mtu={info}{detail}", {0: ""}, ", code={code}"),
    3: Sentence("Time exceeded: {detail}", {0: "Hop limit", 1: "Defragmentation failure"}, "code {code}"),
    4: Sentence(
        "Parameter problem: {detail} at {info}",
        {0: "Wrong header field", 1: "Unknown header", 2: "Unknown option"},
        "code {code}",
    ),
}
"""ICMPv6 type -> its sentence (RFC 4443)."""

_UNKNOWN_TYPE = {True: Sentence("Bad ICMP type: {type}"), False: Sentence("unknown icmp type: {type}")}

SEND_FAILURES = {
    errno.EPERM: "a local firewall rule dropped it",
    errno.EACCES: "a route prohibits it, or it is a broadcast address",
    errno.ENETUNREACH: "no route leads there, or the source address has gone",
    errno.EHOSTUNREACH: "a route says unreachable",
    errno.ENOBUFS: "the device's queue, the neighbour table or the send buffer is full",
    errno.ENODEV: "the interface has gone",
    errno.ENETDOWN: "the interface is down",
    errno.EADDRNOTAVAIL: "the source address has gone",
}
"""Why a send may fail: errno -> the reason behind strerror's words."""


def icmp_message(family: int, kind: int, code: int, info: int, name: Callable[[str], str] = str) -> str:
    """What a router or host reported; `kind` and `code` are of that family's ICMP.

    `name` says how an address, a redirect's new gateway, is shown.
    """
    ipv4 = family == AF_INET
    sentence = (IPV4 if ipv4 else IPV6).get(kind, _UNKNOWN_TYPE[ipv4])
    facts: dict[str, object] = {"type": kind, "code": code, "info": info}
    if ipv4 and kind == _REDIRECT:
        facts["gateway"] = name(inet_ntop(AF_INET, info.to_bytes(4, "big")))
    detail = sentence.codes.get(code, sentence.other_code).format(**facts)
    return sentence.text.format(detail=detail, **facts)


def send_failure(family: int, number: int, mtu: int) -> str:
    """Why this host did not send a probe: errno `number`, and the MTU if it is known (else 0).

    iputils 20240905 and later leave the MTU out; here it is said as 20221126 says it.
    """
    if number == errno.EMSGSIZE and mtu:
        return f"local error: message too long, mtu{'=' if family == AF_INET else ': '}{mtu}"
    reason = SEND_FAILURES.get(number)
    return f"sendmsg: {os.strerror(number)}" + (f" ({reason})" if reason else "")
