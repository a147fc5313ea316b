"""Section 3: connect(), disconnect and names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bed.bed import V4, V6, Bed, outcome, request
from bed.families import LINK_LOCAL, LINK_LOCAL_FAR, SUBNET_BROADCAST
from pingsock.wire import linux
from sockets.rules import both_families, each, rows
from sockets.test_bind import NOWHERE, bound_device, hold_alone, ident, link_local

if TYPE_CHECKING:
    from collections.abc import Callable

    from bed.families import Family

DISCONNECT = linux.AF_UNSPEC.to_bytes(2, "little")


@both_families
def test_connect_takes_an_ident(bed: Bed, ip: Family) -> None:
    assert ident(bed.connected(ip)) != 0


@both_families
def test_connect_keeps_the_ident_the_socket_has(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    number = ident(sock)
    sock.connect(ip.name_of(ip.far, 1))
    assert ident(sock) == number


FAILING = {
    "wrong family": (lambda ip: ip.sockaddr(ip.far, family=99), "EAFNOSUPPORT"),
    "no route": (lambda ip: ip.sockaddr(ip.unrouted), "ENETUNREACH"),
    "short": (lambda ip: ip.sockaddr(ip.far)[:8], "EINVAL"),
}


@both_families
@rows("sockaddr,result", FAILING)
def test_a_failed_connect_leaves_the_ident_behind(
    bed: Bed, ip: Family, sockaddr: Callable[[Family], bytes], result: str
) -> None:
    sock = bed.socket(ip)
    assert outcome(sock.connect_sockaddr, sockaddr(ip)) == result
    assert ident(sock) != 0
    assert outcome(sock.getpeername) == "ENOTCONN"


@both_families
@each("size", [0, 1])
def test_a_sockaddr_without_a_family_is_refused_before_an_ident_is_taken(bed: Bed, ip: Family, size: int) -> None:
    sock = bed.socket(ip)
    assert outcome(sock.connect_sockaddr, bytes(size)) == "EINVAL"
    assert ident(sock) == 0


@both_families
def test_peer_and_port_are_shown(bed: Bed, ip: Family) -> None:
    assert bed.connected(ip, port=4711).getpeername() == ip.name_of(ip.far, 4711)


@both_families
def test_connect_picks_the_source_by_routing(bed: Bed, ip: Family) -> None:
    assert bed.connected(ip, ip.far_elsewhere).getsockname()[0] == ip.elsewhere
    assert bed.connected(ip, ip.distant).getsockname()[0] == ip.host
    assert bed.connected(ip, ip.host).getsockname()[0] == ip.host


@both_families
def test_connect_keeps_the_bound_address(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, ip.elsewhere)
    sock.connect(ip.name_of(ip.far, 1))
    assert sock.getsockname()[0] == ip.elsewhere


@both_families
def test_the_source_picked_is_the_receive_address(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    bed.reply(sock, destination=ip.host_second)
    assert bed.nothing_arrived(sock)
    bed.reply(sock, destination=ip.host)
    assert bed.arrived(sock)


@both_families
def test_connected_with_port_0_the_socket_says_it_is_not(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip, port=0)
    assert outcome(sock.getpeername) == "ENOTCONN"


@both_families
def test_connected_with_port_0_send_works(bed: Bed, ip: Family) -> None:
    bed.connected(ip, port=0).send(request(ip))
    assert bed.one_sent().destination == ip.far


@both_families
def test_connected_with_port_0_hard_errors_are_reported(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip, port=0)
    bed.hard_error(sock)
    assert outcome(sock.send, request(ip)) == "ECONNREFUSED"


@both_families
@each("source", ["far", "distant", "router"])
def test_replies_of_anybody_reach_a_connected_socket(bed: Bed, ip: Family, source: str) -> None:
    sock = bed.connected(ip)
    bed.reply(sock, source=getattr(ip, source))
    assert bed.take(sock).name[0] == getattr(ip, source)


@both_families
def test_errors_about_any_destination_reach_a_connected_socket(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    bed.hard_error(sock, quote=bed.quote(sock, destination=ip.distant))
    assert outcome(sock.recv, 100, linux.MSG_DONTWAIT) == "ECONNREFUSED"


@both_families
def test_a_connected_socket_can_send_elsewhere_and_keeps_its_peer(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    sock.sendto(request(ip), ip.name_of(ip.distant))
    sock.send(request(ip))
    assert [seen.destination for seen in bed.sent(2)] == [ip.distant, ip.far]


@both_families
def test_connect_to_the_unspecified_address_is_to_the_loopback(bed: Bed, ip: Family) -> None:
    assert bed.connected(ip, ip.any).getpeername()[0] == ip.loopback


def test_connect_to_0_0_0_0_is_to_the_bound_address(bed: Bed) -> None:
    sock = bed.bound(V4, V4.host)
    sock.connect(V4.name_of(V4.any, 1))
    assert sock.getpeername()[0] == V4.host


ROUTES = {
    "no route": ("unrouted", "ENETUNREACH"),
    "unreachable": ("unreachable", "EHOSTUNREACH"),
    "prohibit": ("prohibited", "EACCES"),
    "blackhole": ("blackholed", "EINVAL"),
    "neighbour": ("far", "OK"),
    "default route": ("distant", "OK"),
    "group": ("group", "OK"),
    "self": ("host", "OK"),
    "loopback": ("loopback", "OK"),
}


@both_families
@rows("destination,result", ROUTES)
def test_connect_gives_the_errno_of_the_route(bed: Bed, ip: Family, destination: str, result: str) -> None:
    assert outcome(bed.socket(ip).connect, ip.name_of(getattr(ip, destination), 1)) == result


@each("address", [SUBNET_BROADCAST, "255.255.255.255"])
def test_connect_to_broadcast_needs_permission(bed: Bed, address: str) -> None:
    sock = bed.socket(V4)
    assert outcome(sock.connect, (address, 1)) == "EACCES"
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BROADCAST, 1)
    assert outcome(sock.connect, (address, 1)) == "OK"


def test_connect_from_a_loopback_address_to_a_remote_one_is_invalid(bed: Bed) -> None:
    assert outcome(bed.bound(V4, "127.0.0.1").connect, (V4.far, 1)) == "EINVAL"


@both_families
def test_a_second_connect_changes_the_peer_and_keeps_ident_and_source(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    before = sock.getsockname()
    sock.connect(ip.name_of(ip.far_elsewhere, 2))
    assert sock.getpeername() == ip.name_of(ip.far_elsewhere, 2)
    assert sock.getsockname() == before
    sock.send(request(ip))
    assert bed.one_sent("ps1").source == ip.host


@both_families
@each("destination", ["unrouted", "unreachable", "prohibited", "blackholed"])
def test_a_failed_second_connect_keeps_the_peer(bed: Bed, ip: Family, destination: str) -> None:
    sock = bed.connected(ip, port=7)
    assert outcome(sock.connect, ip.name_of(getattr(ip, destination), 1)) != "OK"
    assert sock.getpeername() == ip.name_of(ip.far, 7)


CONNECT_SOCKADDRS_V4 = {
    "whole": (V4.sockaddr(V4.far, 1), "OK"),
    "longer": (V4.sockaddr(V4.far, 1) + bytes(12), "OK"),
    "15 bytes": (V4.sockaddr(V4.far, 1)[:15], "EINVAL"),
    "2 bytes": (V4.sockaddr(V4.far, 1)[:2], "EINVAL"),
    "AF_INET6": (V4.sockaddr(V4.far, 1, family=linux.AF_INET6), "EAFNOSUPPORT"),
    "AF_UNIX": (V4.sockaddr(V4.far, 1, family=linux.AF_UNIX), "EAFNOSUPPORT"),
    "a short one of another family": (V4.sockaddr(V4.far, 1, family=99)[:15], "EINVAL"),
}
CONNECT_SOCKADDRS_V6 = {
    "whole": (V6.sockaddr(V6.far, 1), "OK"),
    "longer": (V6.sockaddr(V6.far, 1) + bytes(12), "OK"),
    "24 bytes": (V6.sockaddr(V6.far, 1)[:24], "OK"),
    "27 bytes": (V6.sockaddr(V6.far, 1)[:27], "OK"),
    "23 bytes": (V6.sockaddr(V6.far, 1)[:23], "EINVAL"),
    "2 bytes": (V6.sockaddr(V6.far, 1)[:2], "EINVAL"),
    "a whole sockaddr_in": (V4.sockaddr(V4.far, 1), "EAFNOSUPPORT"),
    "AF_INET": (V6.sockaddr(V6.far, 1, family=linux.AF_INET), "EAFNOSUPPORT"),
    "AF_UNIX": (V6.sockaddr(V6.far, 1, family=linux.AF_UNIX), "EAFNOSUPPORT"),
}


@rows("sockaddr,result", CONNECT_SOCKADDRS_V4)
def test_connect_v4_sockaddr(bed: Bed, sockaddr: bytes, result: str) -> None:
    assert outcome(bed.socket(V4).connect_sockaddr, sockaddr) == result


@rows("sockaddr,result", CONNECT_SOCKADDRS_V6)
def test_connect_v6_sockaddr(bed: Bed, sockaddr: bytes, result: str) -> None:
    assert outcome(bed.socket(V6).connect_sockaddr, sockaddr) == result


# Scopes


@each("address", [LINK_LOCAL_FAR, "ff02::1"])
def test_connect_within_a_link_needs_a_scope(bed: Bed, address: str) -> None:
    assert outcome(bed.socket(V6).connect, V6.name_of(address, 1)) == "EINVAL"


@each("address", [LINK_LOCAL_FAR, "ff02::1"])
def test_connect_with_a_scope_binds_the_device(bed: Bed, address: str) -> None:
    sock = bed.socket(V6)
    sock.connect(V6.name_of(address, 1, bed.index("ps1")))
    assert bound_device(sock) == b"ps1"
    assert sock.getpeername() == V6.name_of(address, 1, bed.index("ps1"))


def test_connect_within_a_link_takes_the_bound_device_for_a_scope(bed: Bed) -> None:
    sock = bed.socket(V6)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, b"ps1")
    sock.connect(V6.name_of(LINK_LOCAL_FAR, 1))
    assert sock.getsockname() == V6.name_of(LINK_LOCAL["ps1"], ident(sock), bed.index("ps1"))


def test_connect_with_a_scope_other_than_the_bound_device_is_invalid(bed: Bed) -> None:
    sock = bed.socket(V6)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, b"ps1")
    assert outcome(sock.connect, V6.name_of(LINK_LOCAL_FAR, 1, bed.index("ps0"))) == "EINVAL"


def test_connect_with_a_scope_that_does_not_exist_fails_and_leaves_it_as_bound_device(bed: Bed) -> None:
    sock = bed.socket(V6)
    assert outcome(sock.connect, V6.name_of(LINK_LOCAL_FAR, 1, NOWHERE)) == "ENETUNREACH"
    assert outcome(sock.getsockopt, linux.SOL_SOCKET, linux.SO_BINDTODEVICE, 16) == "ENODEV"
    assert sock.getsockopt(linux.SOL_SOCKET, linux.SO_BINDTOIFINDEX) == NOWHERE


def test_connect_to_a_mapped_address_finds_no_network(bed: Bed) -> None:
    assert outcome(bed.socket(V6).connect, V6.name_of("::ffff:10.9.0.2", 1)) == "ENETUNREACH"


# Disconnect


@both_families
def test_disconnect_of_a_socket_never_connected_is_fine(bed: Bed, ip: Family) -> None:
    assert outcome(bed.socket(ip).connect_sockaddr, DISCONNECT) == "OK"


@both_families
@rows("sockaddr", {"2 bytes": DISCONNECT, "16 bytes": DISCONNECT + bytes(14), "28 bytes": DISCONNECT + bytes(26)})
def test_disconnect_needs_no_more_than_the_family(bed: Bed, ip: Family, sockaddr: bytes) -> None:
    sock = bed.connected(ip)
    sock.connect_sockaddr(sockaddr)
    assert outcome(sock.getpeername) == "ENOTCONN"


@both_families
def test_after_disconnect_send_has_no_destination(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    sock.connect_sockaddr(DISCONNECT)
    assert outcome(sock.send, request(ip)) == "EDESTADDRREQ"


@both_families
def test_disconnect_keeps_an_ident_given_to_bind(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip, bound=ip.any, ident=4711)
    sock.connect(ip.name_of(ip.far, 1))
    sock.connect_sockaddr(DISCONNECT)
    assert sock.getsockname() == ip.name_of(ip.any, 4711)


@both_families
def test_disconnect_keeps_an_address_given_to_bind(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip, bound=ip.host, ident=4711)
    sock.connect(ip.name_of(ip.far, 1))
    sock.connect_sockaddr(DISCONNECT)
    assert sock.getsockname() == ip.name_of(ip.host, 4711)


@both_families
def test_disconnect_keeps_a_bound_address_though_the_ident_goes(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, ip.host)
    sock.connect_sockaddr(DISCONNECT)
    assert sock.getsockname() == ip.name_of(ip.host)


@both_families
def test_an_address_given_to_bind_once_makes_disconnect_keep_later_ones(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip, bound=ip.host)
    sock.connect_sockaddr(DISCONNECT)
    sock.bind(ip.name_of(ip.any))
    sock.connect(ip.name_of(ip.far_elsewhere, 9))
    sock.connect_sockaddr(DISCONNECT)
    assert sock.getsockname()[0] == ip.elsewhere


@both_families
def test_disconnect_keeps_data_that_waits(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    bed.reply(sock, b"waiting")
    bed.settle()
    sock.connect_sockaddr(DISCONNECT)
    assert bed.take(sock).data[8:] == b"waiting"


@both_families
@each("way", ["bind", "connect"])
def test_disconnect_gives_an_automatic_ident_back(bed: Bed, ip: Family, way: str) -> None:
    sock = bed.bound(ip) if way == "bind" else bed.connected(ip)
    number = ident(sock)
    sock.connect_sockaddr(DISCONNECT)
    assert sock.getsockname() == ip.name_of(ip.any)
    assert ident(hold_alone(bed, ip, number)) == number


@both_families
def test_disconnect_forgets_the_address_connect_picked(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip, bound=ip.any, ident=4711)
    sock.connect(ip.name_of(ip.far, 1))
    sock.connect_sockaddr(DISCONNECT)
    bed.reply(sock, destination=ip.host_second)
    assert bed.arrived(sock)


@both_families
def test_disconnect_forgets_the_bound_device(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, b"ps0")
    sock.connect_sockaddr(DISCONNECT)
    assert bound_device(sock) == b""


def test_disconnect_forgets_the_scope_of_a_bound_address(bed: Bed) -> None:
    sock = bed.socket(V6)
    sock.bind(link_local(bed, "ps0", 4711))
    sock.connect_sockaddr(DISCONNECT)
    assert bound_device(sock) == b""


@both_families
def test_without_its_ident_a_disconnected_socket_receives_nothing(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    number = ident(sock)
    sock.connect_sockaddr(DISCONNECT)
    bed.reply(sock, ident=number)
    assert bed.nothing_arrived(sock)


@both_families
def test_a_disconnected_socket_can_be_bound_again(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    sock.connect_sockaddr(DISCONNECT)
    sock.bind(ip.name_of(ip.host, 4711))
    assert sock.getsockname() == ip.name_of(ip.host, 4711)


@both_families
def test_a_disconnected_socket_takes_an_ident_with_the_next_send_even_if_that_fails(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    sock.connect_sockaddr(DISCONNECT)
    assert outcome(sock.send, request(ip)) == "EDESTADDRREQ"
    assert ident(sock) != 0


# Names


@both_families
def test_implicitly_bound_the_address_stays_unspecified(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip)
    sock.sendto(request(ip), ip.name_of(ip.far))
    assert sock.getsockname() == ip.name_of(ip.any, ident(sock))
    assert ident(sock) == bed.one_sent().ident


def test_a_link_local_name_shows_its_scope(bed: Bed) -> None:
    sock = bed.socket(V6)
    sock.bind(link_local(bed, "ps0"))
    assert sock.getsockname() == link_local(bed, "ps0", ident(sock))


@each("send", [0, 1])
def test_flow_information_of_the_peer_is_shown_only_if_asked_for(bed: Bed, send: int) -> None:
    sock = bed.socket(V6)
    sock.setsockopt(linux.SOL_IPV6, linux.IPV6_FLOWINFO_SEND, send)
    sock.connect((V6.far, 1, 0x12345, 0))
    assert sock.getpeername()[2] == (0x12345 if send else 0)
