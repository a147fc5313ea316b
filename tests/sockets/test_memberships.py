"""Section 10: the options that join multicast groups and leave them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from bed.bed import V4, V6, Bed, outcome
from pingsock.wire import linux
from sockets.rules import rows
from sockets.test_bind import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Callable

    from bed.families import Family


def membership(bed: Bed, ip: Family, group: str, interface: str = "ps0") -> bytes:
    if ip is V4:
        return V4.pack(group) + V4.pack(V4.host)
    return struct.pack(linux.IPV6_MREQ_LAYOUT, V6.pack(group), bed.index(interface))


MEMBERSHIPS = {
    "v4": (V4, linux.IP_ADD_MEMBERSHIP, linux.IP_DROP_MEMBERSHIP),
    "v6": (V6, linux.IPV6_ADD_MEMBERSHIP, linux.IPV6_DROP_MEMBERSHIP),
}


@rows("ip,add,drop", MEMBERSHIPS)
def test_a_group_is_joined_once_and_left_once(bed: Bed, ip: Family, add: int, drop: int) -> None:
    sock, value = bed.socket(ip), membership(bed, ip, ip.group)
    results = [outcome(sock.setsockopt, ip.level, option, value) for option in (add, add, drop, drop)]
    assert results == ["OK", "EADDRINUSE", "OK", "EADDRNOTAVAIL"]


@rows("ip,add,drop", MEMBERSHIPS)
def test_only_a_group_can_be_joined(bed: Bed, ip: Family, add: int, drop: int) -> None:
    assert outcome(bed.socket(ip).setsockopt, ip.level, add, membership(bed, ip, ip.far)) == "EINVAL"


# Without index or address: no route leads to the group, as to 10.66.4/24 none does.
LEAVING: dict[str, tuple[Family, int, Callable[[Bed], bytes], str]] = {
    "v4 what is no group": (V4, linux.IP_DROP_MEMBERSHIP, lambda bed: membership(bed, V4, V4.far), "EADDRNOTAVAIL"),
    "v4 at nobody's address": (
        V4,
        linux.IP_DROP_MEMBERSHIP,
        lambda _bed: V4.pack(V4.group) + V4.pack(V4.distant),
        "EADDRNOTAVAIL",
    ),
    "v4 on no interface": (
        V4,
        linux.IP_DROP_MEMBERSHIP,
        lambda _bed: struct.pack(linux.IP_MREQN_LAYOUT, V4.pack(V4.group), bytes(4), NOWHERE),
        "EADDRNOTAVAIL",
    ),
    "v4 towards no route": (V4, linux.IP_DROP_MEMBERSHIP, lambda _bed: V4.pack("10.66.4.1") + bytes(4), "ENODEV"),
    "v6 what is no group": (V6, linux.IPV6_DROP_MEMBERSHIP, lambda bed: membership(bed, V6, V6.far), "EINVAL"),
    "v6 on no interface": (
        V6,
        linux.IPV6_DROP_MEMBERSHIP,
        lambda _bed: struct.pack(linux.IPV6_MREQ_LAYOUT, V6.pack(V6.group), NOWHERE),
        "EADDRNOTAVAIL",
    ),
}


@rows("ip,drop,value,result", LEAVING)
def test_what_was_not_joined_cannot_be_left(
    bed: Bed, ip: Family, drop: int, value: Callable[[Bed], bytes], result: str
) -> None:
    assert outcome(bed.socket(ip).setsockopt, ip.level, drop, value(bed)) == result


def test_without_an_interface_a_v6_group_is_left_wherever_it_was_joined(bed: Bed) -> None:
    sock = bed.socket(V6)
    sock.setsockopt(linux.SOL_IPV6, linux.IPV6_ADD_MEMBERSHIP, membership(bed, V6, V6.group, "ps1"))
    anywhere = struct.pack(linux.IPV6_MREQ_LAYOUT, V6.pack(V6.group), 0)
    results = [outcome(sock.setsockopt, linux.SOL_IPV6, linux.IPV6_DROP_MEMBERSHIP, anywhere) for _ in range(2)]
    assert results == ["OK", "EADDRNOTAVAIL"]
