"""Section 2: idents and bind()."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from bed.bed import FAMILIES, V4, V6, Bed, outcome, request
from bed.families import LINK_LOCAL, LINK_LOCAL_FAR, SUBNET_BROADCAST
from pingsock.wire import linux
from sockets.rules import both_families, each, rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from bed.families import Family
    from bed.subject import Subject


def ident(sock: Subject) -> int:
    return int(sock.getsockname()[1])


def following(number: int) -> int:
    return number % 65535 + 1


def free_run(bed: Bed, length: int = 12) -> int:
    """The counter's value, with that many idents behind it that nobody holds."""
    while True:
        start = take_one(bed)
        with contextlib.ExitStack() as stack:
            for number in range(start + 1, start + 1 + length):
                sock = stack.enter_context(contextlib.closing(bed.open(V4)))
                if number > 65535 or outcome(sock.bind, V4.name_of(V4.any, number)) != "OK":
                    break
            else:
                return start


def take_one(bed: Bed) -> int:
    with contextlib.closing(bed.open(V4)) as sock:
        sock.bind(V4.name_of(V4.any))
        return ident(sock)


# 2.1 Ident space


def hold_alone(bed: Bed, ip: Family, number: int) -> Subject:
    """A socket that owns an ident and shares it with nobody."""
    sock = bed.socket(ip)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_REUSEADDR, 0)
    sock.bind(ip.name_of(ip.any, number))
    return sock


@each("number", [1, 2, 255, 256, 1023, 32768, 65534, 65535])
@both_families
def test_an_ident_can_be_asked_for(bed: Bed, ip: Family, number: int) -> None:
    assert ident(bed.socket(ip, bound=ip.any, ident=number)) == number


@both_families
def test_asking_for_ident_0_gives_another_one(bed: Bed, ip: Family) -> None:
    assert ident(bed.bound(ip)) != 0


@both_families
def test_an_ordinary_user_may_bind_ident_1(bed: Bed, ip: Family) -> None:
    def bind_one(opened: Callable[[Family], Subject]) -> int:
        sock = opened(ip)
        sock.bind(ip.name_of(ip.any, 1))
        return ident(sock)

    assert bed.unprivileged(bind_one) == 1


@both_families
@each("number", [0x0102, 0xFF00])
def test_the_ident_is_in_network_byte_order_on_the_wire(bed: Bed, ip: Family, number: int) -> None:
    sock = bed.socket(ip, bound=ip.any, ident=number)
    sock.sendto(request(ip), ip.name_of(ip.far))
    assert bed.one_sent().message[4:6] == number.to_bytes(2, "big")


@pytest.mark.parametrize(("first", "second"), [(V4, V6), (V6, V4)], ids=["v4_v6", "v6_v4"])
def test_both_families_share_one_ident_space(bed: Bed, first: Family, second: Family) -> None:
    held = hold_alone(bed, first, 0)
    assert outcome(bed.socket(second).bind, second.name_of(second.any, ident(held))) == "EADDRINUSE"


# 2.2 Automatic idents


def by_bind(bed: Bed, ip: Family) -> Subject:
    return bed.bound(ip)


def by_sendto(bed: Bed, ip: Family) -> Subject:
    sock = bed.socket(ip)
    sock.sendto(request(ip), ip.name_of(ip.far))
    return sock


def by_sendmsg(bed: Bed, ip: Family) -> Subject:
    sock = bed.socket(ip)
    sock.sendmsg([request(ip)], [], 0, ip.name_of(ip.far))
    return sock


def by_failing_send(bed: Bed, ip: Family) -> Subject:
    sock = bed.socket(ip)
    assert outcome(sock.send, request(ip)) == "EDESTADDRREQ"
    return sock


def by_connect(bed: Bed, ip: Family) -> Subject:
    return bed.connected(ip)


WAYS = {
    "bind": by_bind,
    "sendto": by_sendto,
    "sendmsg": by_sendmsg,
    "failing send": by_failing_send,
    "connect": by_connect,
}


@both_families
@rows("way", WAYS)
def test_every_automatic_ident_is_the_next_of_the_one_counter(
    bed: Bed, ip: Family, way: Callable[[Bed, Family], Subject]
) -> None:
    start = free_run(bed)
    assert ident(way(bed, ip)) == start + 1
    assert take_one(bed) == start + 2


@both_families
def test_idents_in_use_are_skipped(bed: Bed, ip: Family) -> None:
    start = free_run(bed)
    for number in (start + 1, start + 2):
        bed.socket(ip, bound=ip.any, ident=number)
    assert [ident(bed.bound(other)) for other in FAMILIES] == [start + 3, start + 4]


def test_an_ident_bound_to_another_address_is_skipped_too(bed: Bed) -> None:
    start = free_run(bed)
    bed.socket(V4, bound="127.5.6.7", ident=start + 1)
    assert ident(bed.bound(V4, V4.host)) == start + 2


@both_families
def test_an_explicit_bind_does_not_move_the_counter(bed: Bed, ip: Family) -> None:
    start = free_run(bed)
    bed.socket(ip, bound=ip.any, ident=start + 7)
    assert ident(bed.bound(ip)) == start + 1


@both_families
def test_a_closed_sockets_ident_is_not_given_out_again_at_once(bed: Bed, ip: Family) -> None:
    start = free_run(bed)
    assert [take_one(bed) for _ in range(3)] == [start + 1, start + 2, start + 3]


# 2.3 Sharing an ident


SHARING = {
    "1 and 1": (1, 1, "OK"),
    "0 and 1": (0, 1, "EADDRINUSE"),
    "1 and 0": (1, 0, "EADDRINUSE"),
    "0 and 0": (0, 0, "EADDRINUSE"),
}
PAIRS = {f"{a}_{b}": (a, b) for a in FAMILIES for b in FAMILIES}


@rows("first,second", PAIRS)
@rows("reuse_first,reuse_second,result", SHARING)
def test_an_ident_is_shared_only_if_both_have_reuseaddr(
    bed: Bed, first: Family, second: Family, reuse_first: int, reuse_second: int, result: str
) -> None:
    holder, newcomer = bed.bound(first), bed.socket(second)
    holder.setsockopt(linux.SOL_SOCKET, linux.SO_REUSEADDR, reuse_first)
    newcomer.setsockopt(linux.SOL_SOCKET, linux.SO_REUSEADDR, reuse_second)
    assert outcome(newcomer.bind, second.name_of(second.any, ident(holder))) == result


def test_one_holder_without_reuseaddr_among_many_is_enough_to_refuse(bed: Bed) -> None:
    first = bed.bound()
    bed.socket(V4, bound=V4.any, ident=ident(first))
    first.setsockopt(linux.SOL_SOCKET, linux.SO_REUSEADDR, 0)
    assert outcome(bed.socket().bind, V4.name_of(V4.any, ident(first))) == "EADDRINUSE"


@both_families
def test_different_addresses_conflict_all_the_same(bed: Bed, ip: Family) -> None:
    holder = hold_alone(bed, ip, 0)
    assert outcome(bed.socket(ip).bind, ip.name_of(ip.loopback, ident(holder))) == "EADDRINUSE"


@both_families
def test_different_devices_conflict_all_the_same(bed: Bed, ip: Family) -> None:
    holder = bed.socket(ip)
    holder.setsockopt(linux.SOL_SOCKET, linux.SO_REUSEADDR, 0)
    holder.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, b"ps1")
    holder.bind(ip.name_of(ip.any))
    newcomer = bed.socket(ip)
    newcomer.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, b"ps0")
    assert outcome(newcomer.bind, ip.name_of(ip.any, ident(holder))) == "EADDRINUSE"


@both_families
def test_reuseport_changes_nothing(bed: Bed, ip: Family) -> None:
    holder, newcomer = bed.socket(ip), bed.socket(ip)
    for sock in (holder, newcomer):
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_REUSEADDR, 0)
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_REUSEPORT, 1)
    holder.bind(ip.name_of(ip.any))
    assert outcome(newcomer.bind, ip.name_of(ip.any, ident(holder))) == "EADDRINUSE"


@both_families
def test_close_frees_the_ident_at_once(bed: Bed, ip: Family) -> None:
    holder = hold_alone(bed, ip, 0)
    number = ident(holder)
    holder.close()
    assert ident(hold_alone(bed, ip, number)) == number


# 2.4 bind()

BIND_V4 = {
    "unspecified": (V4.any, "OK"),
    "own": (V4.host, "OK"),
    "own secondary": (V4.host_second, "OK"),
    "own of the other interface": (V4.elsewhere, "OK"),
    "loopback": ("127.0.0.1", "OK"),
    "any of the loopback net": ("127.5.6.7", "OK"),
    "foreign": (V4.distant, "EADDRNOTAVAIL"),
    "a neighbour's": (V4.far, "EADDRNOTAVAIL"),
    "unrouted": (V4.unrouted, "EADDRNOTAVAIL"),
    "class E": ("240.0.0.1", "EADDRNOTAVAIL"),
    "0.0.0.1": ("0.0.0.1", "EADDRNOTAVAIL"),
    "multicast": (V4.group, "EADDRNOTAVAIL"),
    "subnet broadcast": (SUBNET_BROADCAST, "EADDRNOTAVAIL"),
    "limited broadcast": ("255.255.255.255", "EADDRNOTAVAIL"),
    "loopback broadcast": ("127.255.255.255", "EADDRNOTAVAIL"),
    "the subnet's zero address": ("10.9.0.0", "EADDRNOTAVAIL"),
}


@rows("address,result", BIND_V4)
def test_bind_v4_address(bed: Bed, address: str, result: str) -> None:
    sock = bed.socket(V4)
    assert outcome(sock.bind, V4.name_of(address)) == result
    assert sock.getsockname()[0] == (address if result == "OK" else V4.any)


def test_bind_v4_does_not_care_for_the_bound_device(bed: Bed) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, b"ps0")
    assert outcome(sock.bind, V4.name_of(V4.elsewhere)) == "OK"


FREE_BIND_V4 = {
    "foreign": (V4.distant, "OK"),
    "a neighbour's": (V4.far, "OK"),
    "unrouted": (V4.unrouted, "OK"),
    "class E": ("240.0.0.1", "OK"),
    "0.0.0.1": ("0.0.0.1", "OK"),
    "the subnet's zero address": ("10.9.0.0", "OK"),
    "multicast": (V4.group, "EADDRNOTAVAIL"),
    "subnet broadcast": (SUBNET_BROADCAST, "EADDRNOTAVAIL"),
    "limited broadcast": ("255.255.255.255", "EADDRNOTAVAIL"),
    "loopback broadcast": ("127.255.255.255", "EADDRNOTAVAIL"),
}


@each("option", ["IP_FREEBIND", "IP_TRANSPARENT"])
@rows("address,result", FREE_BIND_V4)
def test_bind_v4_address_with_option(bed: Bed, option: str, address: str, result: str) -> None:
    sock = bed.socket(V4)
    sock.setsockopt(linux.SOL_IP, getattr(linux, option), 1)
    assert outcome(sock.bind, V4.name_of(address)) == result


@rows("address,result", FREE_BIND_V4)
def test_bind_v4_address_with_sysctl_nonlocal_bind(bed: Bed, address: str, result: str) -> None:
    with bed.sysctl("ipv4.ip_nonlocal_bind", 1):
        assert outcome(bed.socket(V4).bind, V4.name_of(address)) == result


V4_SOCKADDRS = {
    "AF_UNSPEC with 0.0.0.0": (V4.sockaddr(V4.any, 4711, family=linux.AF_UNSPEC), "OK"),
    "AF_UNSPEC with an address": (V4.sockaddr(V4.host, 4711, family=linux.AF_UNSPEC), "EAFNOSUPPORT"),
    "AF_INET6": (V4.sockaddr(V4.any, 4711, family=linux.AF_INET6), "EAFNOSUPPORT"),
    "AF_UNIX": (V4.sockaddr(V4.any, 4711, family=linux.AF_UNIX), "EAFNOSUPPORT"),
    "family 99": (V4.sockaddr(V4.any, 4711, family=99), "EAFNOSUPPORT"),
    "longer": (V4.sockaddr(V4.any, 4711) + bytes(12), "OK"),
    "longest": (V4.sockaddr(V4.any, 4711) + bytes(112), "OK"),
    "too long for any sockaddr": (V4.sockaddr(V4.any, 4711) + bytes(113), "EINVAL"),
    "15 bytes": (V4.sockaddr(V4.any, 4711)[:15], "EINVAL"),
    "8 bytes": (V4.sockaddr(V4.any, 4711)[:8], "EINVAL"),
    "2 bytes": (V4.sockaddr(V4.any, 4711)[:2], "EINVAL"),
    "short and of a wrong family": (V4.sockaddr(V4.any, 4711, family=99)[:15], "EINVAL"),
}


@rows("sockaddr,result", V4_SOCKADDRS)
def test_bind_v4_sockaddr(bed: Bed, sockaddr: bytes, result: str) -> None:
    sock = bed.socket(V4)
    assert outcome(sock.bind_sockaddr, sockaddr) == result
    assert sock.getsockname() == ("0.0.0.0", 4711 if result == "OK" else 0)


NOWHERE = 9999
"""An interface index nobody has."""
BIND_V6 = {
    "unspecified": (V6.any, "", "OK"),
    "own": (V6.host, "", "OK"),
    "own secondary": (V6.host_second, "", "OK"),
    "own of the other interface": (V6.elsewhere, "", "OK"),
    "loopback": ("::1", "", "OK"),
    "own with its scope": (V6.host, "ps0", "OK"),
    "own with a scope that exists": (V6.host, "ps1", "OK"),
    "own with a scope that does not exist": (V6.host, "nowhere", "ENODEV"),
    "unspecified with a scope that exists": (V6.any, "ps0", "OK"),
    "unspecified with a scope that does not exist": (V6.any, "nowhere", "ENODEV"),
    "link-local with its scope": (LINK_LOCAL["ps0"], "ps0", "OK"),
    "link-local without scope": (LINK_LOCAL["ps0"], "", "EINVAL"),
    "link-local with another scope": (LINK_LOCAL["ps0"], "ps1", "EADDRNOTAVAIL"),
    "link-local with a scope that does not exist": (LINK_LOCAL["ps0"], "nowhere", "ENODEV"),
    "a neighbour's link-local": (LINK_LOCAL_FAR, "ps0", "EADDRNOTAVAIL"),
    "foreign": (V6.distant, "", "EADDRNOTAVAIL"),
    "a neighbour's": (V6.far, "", "EADDRNOTAVAIL"),
    "v4-compatible": ("::10.9.0.1", "", "EADDRNOTAVAIL"),
    "multicast": (V6.group, "", "EINVAL"),
    "link-scope multicast": ("ff02::1", "ps0", "EINVAL"),
    "v4-mapped": ("::ffff:10.9.0.1", "", "EINVAL"),
}


def scope_of(bed: Bed, interface: str) -> int:
    if interface == "nowhere":
        return NOWHERE
    return bed.index(interface) if interface else 0


@rows("address,scope,result", BIND_V6)
def test_bind_v6_address(bed: Bed, address: str, scope: str, result: str) -> None:
    sock = bed.socket(V6)
    assert outcome(sock.bind, V6.name_of(address, 0, scope_of(bed, scope))) == result
    assert sock.getsockname()[0] == (address if result == "OK" else V6.any)


@each("address", [V6.any, V6.host])
def test_a_scope_given_with_an_address_that_needs_none_is_not_shown(bed: Bed, address: str) -> None:
    sock = bed.socket(V6)
    sock.bind(V6.name_of(address, 0, bed.index("ps0")))
    assert sock.getsockname()[3] == 0
    assert bound_device(sock) == b""


FREE_BIND_V6 = {
    "foreign": (V6.distant, "OK"),
    "a neighbour's": (V6.far, "OK"),
    "v4-compatible": ("::10.9.0.1", "OK"),
    "multicast": (V6.group, "EINVAL"),
    "v4-mapped": ("::ffff:10.9.0.1", "EINVAL"),
}


@rows("address,result", FREE_BIND_V6)
def test_bind_v6_address_with_option_freebind(bed: Bed, address: str, result: str) -> None:
    sock = bed.socket(V6)
    sock.setsockopt(linux.SOL_IPV6, linux.IPV6_FREEBIND, 1)
    assert outcome(sock.bind, V6.name_of(address)) == result


@rows("address,result", FREE_BIND_V6)
def test_bind_v6_address_with_sysctl_nonlocal_bind(bed: Bed, address: str, result: str) -> None:
    with bed.sysctl("ipv6.ip_nonlocal_bind", 1):
        assert outcome(bed.socket(V6).bind, V6.name_of(address)) == result


V6_SOCKADDRS = {
    "AF_UNSPEC with ::": (V6.sockaddr(V6.any, 4711, family=linux.AF_UNSPEC), "EAFNOSUPPORT"),
    "AF_UNSPEC with an address": (V6.sockaddr(V6.host, 4711, family=linux.AF_UNSPEC), "EAFNOSUPPORT"),
    "AF_INET": (V6.sockaddr(V6.any, 4711, family=linux.AF_INET), "EAFNOSUPPORT"),
    "family 99": (V6.sockaddr(V6.any, 4711, family=99), "EAFNOSUPPORT"),
    "longer": (V6.sockaddr(V6.any, 4711) + bytes(12), "OK"),
    "27 bytes": (V6.sockaddr(V6.any, 4711)[:27], "EINVAL"),
    "24 bytes": (V6.sockaddr(V6.any, 4711)[:24], "EINVAL"),
    "2 bytes": (V6.sockaddr(V6.any, 4711)[:2], "EINVAL"),
    "a whole sockaddr_in": (V4.sockaddr(V4.any, 4711), "EINVAL"),
}


@rows("sockaddr,result", V6_SOCKADDRS)
def test_bind_v6_sockaddr(bed: Bed, sockaddr: bytes, result: str) -> None:
    sock = bed.socket(V6)
    assert outcome(sock.bind_sockaddr, sockaddr) == result
    assert sock.getsockname()[1] == (4711 if result == "OK" else 0)


def bound_device(sock: Subject) -> bytes:
    return bytes(sock.getsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, 16)).rstrip(b"\0")


def link_local(bed: Bed, interface: str, number: int = 0) -> tuple[str, int] | tuple[str, int, int, int]:
    return V6.name_of(LINK_LOCAL[interface], number, bed.index(interface))


def test_binding_a_link_local_address_sets_the_bound_device(bed: Bed) -> None:
    sock = bed.socket(V6)
    sock.bind(link_local(bed, "ps0"))
    assert bound_device(sock) == b"ps0"


def test_binding_a_link_local_address_overrides_the_bound_device(bed: Bed) -> None:
    sock = bed.socket(V6)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, b"ps1")
    sock.bind(link_local(bed, "ps0"))
    assert bound_device(sock) == b"ps0"


def test_a_link_local_address_needs_its_scope_even_with_a_bound_device(bed: Bed) -> None:
    sock = bed.socket(V6)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, b"ps0")
    assert outcome(sock.bind, V6.name_of(LINK_LOCAL["ps0"])) == "EINVAL"


def test_the_bound_device_is_put_back_when_the_ident_is_in_use(bed: Bed) -> None:
    holder = hold_alone(bed, V6, 0)
    sock = bed.socket(V6)
    assert outcome(sock.bind, link_local(bed, "ps0", ident(holder))) == "EADDRINUSE"
    assert bound_device(sock) == b""


def test_a_second_bind_to_a_link_local_address_fails_and_still_sets_the_device(bed: Bed) -> None:
    sock = bed.bound(V6)
    assert outcome(sock.bind, link_local(bed, "ps0")) == "EINVAL"
    assert bound_device(sock) == b"ps0"
    bed.reply(sock, interface="ps1")
    assert bed.nothing_arrived(sock)


ALREADY = {
    "by bind": by_bind,
    "by sendto": by_sendto,
    "by a failing send": by_failing_send,
    "by connect": by_connect,
}


@both_families
@rows("way", ALREADY)
def test_a_socket_that_has_an_ident_cannot_be_bound(
    bed: Bed, ip: Family, way: Callable[[Bed, Family], Subject]
) -> None:
    assert outcome(way(bed, ip).bind, ip.name_of(ip.any)) == "EINVAL"


ORDER_V4 = {
    "length before family": (lambda: V4.sockaddr(V4.any, family=99)[:15], "EINVAL"),
    "family before address": (lambda: V4.sockaddr(V4.distant, family=99), "EAFNOSUPPORT"),
    "address before already bound": (lambda: V4.sockaddr(V4.distant), "EADDRNOTAVAIL"),
    "family before already bound": (lambda: V4.sockaddr(V4.any, family=99), "EAFNOSUPPORT"),
}


@rows("sockaddr,result", ORDER_V4)
def test_order_of_the_checks_of_bind(bed: Bed, sockaddr: Callable[[], bytes], result: str) -> None:
    assert outcome(bed.bound(V4).bind_sockaddr, sockaddr()) == result


@both_families
def test_already_bound_is_found_before_ident_in_use(bed: Bed, ip: Family) -> None:
    holder, sock = hold_alone(bed, ip, 0), bed.bound(ip)
    assert outcome(sock.bind, ip.name_of(ip.any, ident(holder))) == "EINVAL"


@both_families
def test_an_address_error_comes_before_ident_in_use(bed: Bed, ip: Family) -> None:
    holder = hold_alone(bed, ip, 0)
    assert outcome(bed.socket(ip).bind, ip.name_of(ip.distant, ident(holder))) == "EADDRNOTAVAIL"


@both_families
def test_a_failed_bind_leaves_the_socket_unbound_and_usable(bed: Bed, ip: Family) -> None:
    holder, sock = hold_alone(bed, ip, 0), bed.socket(ip)
    assert outcome(sock.bind, ip.name_of(ip.host, ident(holder))) == "EADDRINUSE"
    assert sock.getsockname() == ip.name_of(ip.any)
    sock.bind(ip.name_of(ip.loopback))
    assert sock.getsockname()[0] == ip.loopback


@both_families
def test_bind_address_no_port_does_not_delay_the_ident(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(linux.SOL_IP, linux.IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind(ip.name_of(ip.host))
    assert ident(sock) != 0
