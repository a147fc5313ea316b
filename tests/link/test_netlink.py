"""What the route table says is compared with what a kernel ping socket gets from connect(2) and bind(2)."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from link.raw_bed import Hosts, family_of, packed, write_sysctl
from pingsock.link.netlink import Rtnetlink
from pingsock.link.route_table import LIFETIME, AddressBook, RouteTable
from pingsock.wire import linux
from pingsock.wire.linux import AF_INET, AF_INET6, SOL_IP, SOL_IPV6, SOL_SOCKET
from pingsock.wire.transit import BROADCAST, LOCAL, MULTICAST, UNICAST, Route

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(hosts: Hosts, clock: Clock) -> Iterator[RouteTable]:
    made = RouteTable(clock)
    yield made
    made.close()


def ping_socket(family: int) -> socket.socket:
    return socket.socket(family, socket.SOCK_DGRAM, linux.IPPROTO_ICMPV6 if family == AF_INET6 else linux.IPPROTO_ICMP)


def ask(table: RouteTable, destination: str, source: str = "", **how: Any) -> Route | int:
    """The route, or the errno."""
    try:
        asked = packed(source) if source else b""
        return table.route(family_of(destination), packed(destination), source=asked, **how)
    except OSError as err:
        return err.errno or 0


def connect(destination: str, source: str = "", interface: int = 0) -> tuple[bytes, int] | int:
    """Source and MTU a kernel socket uses, or the errno."""
    family = family_of(destination)
    with ping_socket(family) as kernel:
        kernel.setsockopt(SOL_SOCKET, linux.SO_BROADCAST, 1)
        try:
            if source:
                kernel.bind((source, 0))
            if interface:
                kernel.setsockopt(SOL_SOCKET, linux.SO_BINDTOIFINDEX, interface)
            kernel.connect((destination, 1))
        except OSError as err:
            return err.errno or 0
        mtu = kernel.getsockopt(*((SOL_IPV6, linux.IPV6_MTU) if family == AF_INET6 else (SOL_IP, linux.IP_MTU)))
        return packed(kernel.getsockname()[0]), mtu


DESTINATIONS = (
    *("127.0.0.1", "127.9.9.9", "10.50.1.1", "10.50.1.2", "10.50.1.0", "10.50.1.255", "255.255.255.255", "10.50.2.77"),
    *("10.50.3.2", "10.77.0.1", "10.66.1.1", "10.66.2.1", "10.66.3.1", "10.66.4.1", "224.0.0.1", "239.1.2.3"),
    *("::1", "fd50:1::1", "fd50:1::2", "fd50:2::77", "fd50:3::2", "fd77::1"),
    *("fd66:1::1", "fd66:2::1", "fd66:3::1", "fd66:4::1"),
)


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_a_route_is_that_of_connect(table: RouteTable, destination: str) -> None:
    expected = connect(destination)
    found = ask(table, destination)
    assert ((found.source, found.path_mtu) if isinstance(found, Route) else found) == expected


@pytest.mark.parametrize(
    ("destination", "source"),
    [
        ("10.50.1.2", "10.50.2.1"),
        ("10.50.1.2", "127.0.0.1"),
        ("10.50.1.1", "127.0.0.1"),
        ("127.0.0.1", "10.50.1.1"),
        ("fd50:1::2", "fd50:2::1"),
        ("fd50:1::2", "::1"),
    ],
)
def test_a_given_source_is_kept_or_refused_as_by_connect(table: RouteTable, destination: str, source: str) -> None:
    expected = connect(destination, source)
    found = ask(table, destination, source)
    assert ((found.source, found.path_mtu) if isinstance(found, Route) else found) == expected


@pytest.mark.parametrize(("destination", "source"), [("10.50.1.2", "10.99.0.1"), ("fd50:1::2", "fd99::1")])
def test_a_foreign_source_has_no_route(table: RouteTable, destination: str, source: str) -> None:
    assert ask(table, destination, source) == errno.ENETUNREACH


@pytest.mark.parametrize(
    ("destination", "number"), [("10.50.1.2", errno.ENODEV), ("fd50:1::2", errno.ENETUNREACH), ("fe80::1", 101)]
)
def test_a_nonexistent_interface(table: RouteTable, destination: str, number: int) -> None:
    assert ask(table, destination, interface=12345) == number


@pytest.mark.parametrize("destination", ["10.50.1.2", "10.66.4.1", "224.0.0.1", "fd50:1::2", "fd66:4::1", "ff02::1"])
@pytest.mark.parametrize("name", ["lo", "a0", "a1"])
def test_an_interface_restricts_routes_as_for_connect(table: RouteTable, destination: str, name: str) -> None:
    index = table.interface_index(name)
    expected = connect(destination, interface=index)
    found = ask(table, destination, interface=index)
    assert ((found.source, found.path_mtu) if isinstance(found, Route) else found) == expected


def test_a_link_local_destination_takes_the_address_of_its_interface(table: RouteTable) -> None:
    index = table.interface_index("a1")
    assert ask(table, "fe80::b:2", interface=index) == Route(UNICAST, packed("fe80::a:2"), index, 1500, 1500)


def test_a_route_without_routers_does_not_leave_the_link(table: RouteTable) -> None:
    assert isinstance(ask(table, "10.50.1.2", dont_route=True), Route)
    assert ask(table, "10.50.3.2", dont_route=True) == errno.ENETUNREACH
    assert isinstance(ask(table, "fd50:3::2", dont_route=True), Route), "IPv6 sockets do not know the flag"


def test_without_any_address_of_ours(table: RouteTable, hosts: Hosts) -> None:
    hosts.ip("near", "link add d0 type veth peer name d1\nlink set d0 up\nlink set d1 up")
    for device in ("lo", "a0", "a1", "d0"):
        subprocess.run(["ip", "address", "flush", "dev", device], check=True)
    hosts.ip("near", "route add 10.91.0.0/16 dev d0\nroute add fd91::/64 dev d0")
    found = ask(table, "10.91.0.1")
    assert isinstance(found, Route)
    assert (found.source, found.path_mtu) == connect("10.91.0.1") == (bytes(4), 1500)
    assert ask(table, "fd91::1") == connect("fd91::1") == errno.EADDRNOTAVAIL


def test_kinds_of_routes(table: RouteTable) -> None:
    kinds = {"10.50.1.1": LOCAL, "10.50.1.2": UNICAST, "10.50.1.255": BROADCAST}
    kinds |= {"::1": LOCAL, "fd50:1::1": LOCAL, "fd50:1::2": UNICAST}
    loopback = table.interface_index("lo")
    for destination, kind in kinds.items():
        route = ask(table, destination)
        assert isinstance(route, Route)
        assert route.kind == kind
        assert (route.interface == loopback) == (kind == LOCAL)
    for group in ("224.0.0.1", "ff02::1"):
        multicast = ask(table, group, interface=table.interface_index("a0"))
        assert isinstance(multicast, Route)
        assert multicast.kind == MULTICAST


KINDS = {
    "0.0.0.0": BROADCAST,
    "0.0.0.1": UNICAST,
    "255.255.255.255": BROADCAST,
    "127.0.0.1": LOCAL,
    "127.3.2.1": LOCAL,
    "127.255.255.255": BROADCAST,
    "10.50.1.1": LOCAL,
    "10.50.1.0": UNICAST,
    "10.50.1.255": BROADCAST,
    "10.50.1.2": UNICAST,
    "224.0.0.1": MULTICAST,
    "239.255.255.255": MULTICAST,
    "240.0.0.1": UNICAST,
    "8.8.8.8": UNICAST,
    "::": UNICAST,
    "::1": LOCAL,
    "fd50:1::1": LOCAL,
    "fd50:1::2": UNICAST,
    "ff02::1": MULTICAST,
    "fe80::a:1": LOCAL,
    "::ffff:127.0.0.1": UNICAST,
}


def test_kinds_of_addresses(table: RouteTable) -> None:
    assert {text: table.address_kind(family_of(text), packed(text)) for text in KINDS} == KINDS


def test_a_prefix_that_is_local_as_a_whole(table: RouteTable, hosts: Hosts) -> None:
    hosts.ip("near", "route add local 10.88.0.0/16 dev lo")
    assert table.address_kind(AF_INET, packed("10.88.3.4")) == LOCAL


def test_a_link_local_address_is_local_on_its_interface_only(table: RouteTable) -> None:
    address = packed("fe80::a:1")
    found = [table.address_kind(AF_INET6, address, table.interface_index(name)) for name in ("a0", "a1")]
    assert found == [LOCAL, UNICAST]
    assert table.address_kind(AF_INET6, packed("fd50:1::1"), table.interface_index("a1")) == LOCAL


def test_a_tentative_address_is_not_local_yet(table: RouteTable, hosts: Hosts) -> None:
    hosts.ip("near", "link add d0 type veth peer name d1")
    write_sysctl("ipv6.conf.d0.accept_dad", "1")
    hosts.ip("near", "link set d0 up\nlink set d1 up\naddress add fd51::1/64 dev d0")
    with ping_socket(AF_INET6) as kernel, pytest.raises(OSError, match="Cannot assign"):
        kernel.bind(("fd51::1", 0))
    assert table.address_kind(AF_INET6, packed("fd51::1")) == UNICAST


def test_interfaces_by_name_and_index(table: RouteTable) -> None:
    assert table.interface_index("a1") == socket.if_nametoindex("a1")
    assert table.interface_name(socket.if_nametoindex("a0")) == "a0"
    for failing in (lambda: table.interface_index("nope"), lambda: table.interface_name(9999)):
        with pytest.raises(OSError, match="No such device") as failure:
            failing()
        assert failure.value.errno == errno.ENODEV


def test_addresses_of_interfaces(table: RouteTable) -> None:
    index = table.interface_index("a0")
    assert table.interface_address(AF_INET, index) == packed("10.50.1.1")
    assert table.interface_address(AF_INET6, index) in {packed("fd50:1::1"), packed("fe80::a:1")}
    assert table.interface_with(AF_INET, packed("10.50.2.1")) == table.interface_index("a1")
    assert table.interface_with(AF_INET, packed("10.50.2.9")) == 0
    assert packed("10.50.2.1") in table.all_addresses(AF_INET)


def test_an_interface_without_an_address(table: RouteTable, hosts: Hosts) -> None:
    hosts.ip("near", "link add d0 type veth peer name d1")
    assert table.interface_address(AF_INET, table.interface_index("d0")) == b""
    with pytest.raises(OSError, match="No such device"):
        table.interface_address(AF_INET, 9999)


CHANGES = {
    "route add 10.66.4.0/24 via 10.50.1.2": ("10.66.4.1", errno.ENETUNREACH),
    "route add fd66:4::/32 via fd50:1::2": ("fd66:4::1", errno.ENETUNREACH),
}


@pytest.mark.parametrize("command", CHANGES)
def test_a_new_route_counts_at_once(table: RouteTable, hosts: Hosts, command: str) -> None:
    destination, before = CHANGES[command]
    assert ask(table, destination) == before
    hosts.ip("near", command)
    assert isinstance(ask(table, destination), Route)


def test_a_changed_device_mtu_counts_at_once(table: RouteTable, hosts: Hosts) -> None:
    for destination in ("10.50.1.2", "fd50:1::2"):
        ask(table, destination)
    hosts.ip("near", "link set a0 mtu 1400")
    for destination in ("10.50.1.2", "fd50:1::2"):
        route = ask(table, destination)
        assert isinstance(route, Route)
        assert (route.mtu, route.path_mtu) == (1400, 1400)


def test_a_changed_rule_counts_at_once(table: RouteTable, hosts: Hosts) -> None:
    assert isinstance(ask(table, "10.50.3.2"), Route)
    hosts.ip("near", "rule add to 10.50.3.0/24 prohibit")
    assert ask(table, "10.50.3.2") == errno.EACCES


def test_a_mark_and_a_traffic_class_choose_routes(table: RouteTable, hosts: Hosts) -> None:
    hosts.ip("near", "rule add fwmark 5 to 10.50.3.2 blackhole\nrule add dsfield 0x10 to 10.50.3.2 prohibit")
    assert ask(table, "10.50.3.2", mark=5) == errno.EINVAL
    assert ask(table, "10.50.3.2", traffic_class=0x10) == errno.EACCES
    assert isinstance(ask(table, "10.50.3.2", traffic_class=0x03), Route), "ECN bits take no part"


def test_the_mtu_of_a_route_and_a_lower_one_for_ipv6(table: RouteTable, hosts: Hosts) -> None:
    hosts.ip("near", "route add 10.78.0.0/16 via 10.50.1.2 mtu 900\nroute add 10.79.0.0/16 via 10.50.1.2 mtu lock 900")
    found = [ask(table, destination) for destination in ("10.78.0.1", "10.79.0.1")]
    shown = [(route.mtu, route.path_mtu, route.path_mtu_locked) for route in found if isinstance(route, Route)]
    assert shown == [(1500, 900, False), (1500, 900, True)]
    write_sysctl("ipv6.conf.a0.mtu", "1300")
    table.flush()
    route = ask(table, "fd50:1::2")
    assert isinstance(route, Route)
    assert (route.mtu, route.path_mtu) == (1300, 1300)


def frag_needed(source: str, destination: str, mtu: int, ident: int) -> bytes:
    """What a router says about an echo request too big."""
    quote = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 1400, 0, 0x4000, 64, 1, 0, packed(source), packed(destination))
    body = struct.pack("!BBHHH", 3, 4, 0, 0, mtu) + quote + struct.pack("!BBHHH", 8, 0, 0, ident, 1)
    return body[:2] + (~_sum(body) & 0xFFFF).to_bytes(2, "big") + body[4:]


def _sum(data: bytes) -> int:
    return int.from_bytes(data, "big") % 0xFFFF


def test_a_path_mtu_the_kernel_learned_shows_within_a_second(
    table: RouteTable,
    hosts: Hosts,
    clock: Clock,
) -> None:
    ask(table, "10.50.3.2")
    with ping_socket(AF_INET) as kernel:
        kernel.bind(("0.0.0.0", 777))
        with hosts.on("router"), socket.socket(AF_INET, socket.SOCK_RAW, linux.IPPROTO_ICMP) as router:
            router.sendto(frag_needed("10.50.1.1", "10.50.3.2", 1200, 777), ("10.50.1.1", 0))
    clock.now += LIFETIME
    route = ask(table, "10.50.3.2")
    assert isinstance(route, Route)
    assert (route.mtu, route.path_mtu) == (1500, 1200)


def test_a_learned_path_mtu_holds_for_its_lifetime(table: RouteTable, clock: Clock) -> None:
    def path_mtu(destination: str) -> tuple[int, bool]:
        route = ask(table, destination)
        assert isinstance(route, Route)
        return route.path_mtu, route.path_mtu_locked

    table.learn_path_mtu(packed("10.50.3.2"), 1000, smallest=552, lifetime=600)
    table.learn_path_mtu(packed("10.50.3.2"), 1200, smallest=552, lifetime=600)
    table.learn_path_mtu(packed("10.77.0.1"), 68, smallest=552, lifetime=600)
    table.learn_path_mtu(packed("fd50:3::2"), 1400, smallest=552, lifetime=600)
    table.learn_path_mtu(packed("fd77::1"), 1279, smallest=552, lifetime=600)
    found = [path_mtu(destination) for destination in ("10.50.3.2", "10.77.0.1", "fd50:3::2", "fd77::1")]
    assert found == [(1000, False), (552, True), (1400, False), (1500, False)]
    clock.now += 600
    found = [path_mtu(destination) for destination in ("10.50.3.2", "10.77.0.1", "fd50:3::2")]
    assert found == [(1500, False)] * 3


def test_answers_are_kept_and_bounded(table: RouteTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pingsock.link.route_table.MOST_ROUTES", 2)
    first = ask(table, "10.50.1.2")
    assert ask(table, "10.50.1.2") is first
    for last in range(3, 9):
        ask(table, f"10.50.1.{last}")
    assert ask(table, "10.50.1.2") == first
    assert ask(table, "10.50.1.2") is not first


def test_the_table_belongs_to_the_namespace_it_was_made_in(table: RouteTable, hosts: Hosts) -> None:
    with hosts.on("far"):
        assert table.interface_index("a0")
        assert table.address_kind(AF_INET, packed("10.50.1.1")) == LOCAL


def count_questions(monkeypatch: pytest.MonkeyPatch, about: str) -> list[Rtnetlink]:
    """A list that grows by one with each such question to the kernel."""
    asked = []
    ask_kernel = getattr(Rtnetlink, about)

    def ask(kernel: Rtnetlink) -> object:
        asked.append(kernel)
        return ask_kernel(kernel)

    monkeypatch.setattr(Rtnetlink, about, ask)
    return asked


def test_interfaces_are_asked_for_once_and_then_followed(
    table: RouteTable, hosts: Hosts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To ask for them waits for a lock that anybody on this machine may hold for seconds."""
    asked = count_questions(monkeypatch, "interfaces")
    first = table.interface_index("a0")
    hosts.ip("near", "link add d0 type veth peer name e0\nlink set e0 name f0")
    clock.now += LIFETIME
    assert isinstance(ask(table, "10.50.1.2"), Route)
    added = table.interface_index("d0")
    assert table.interface_name(first) == "a0"
    assert {table.interface_name(index) for index in (added, table.interface_index("f0"))} == {"d0", "f0"}
    hosts.ip("near", "link delete d0")
    for name in ("d0", "f0", "e0"):
        with pytest.raises(OSError, match="No such device"):
            table.interface_index(name)
    assert len(asked) == 1


def test_addresses_are_asked_for_until_a_second_after_a_change(
    table: RouteTable, hosts: Hosts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = count_questions(monkeypatch, "addresses")

    def times_asked(seconds: int) -> int:
        asked.clear()
        for _ in range(seconds):
            assert table.address_kind(AF_INET, packed("10.50.1.1")) == LOCAL
            clock.now += LIFETIME
        return len(asked)

    assert times_asked(5) == 2
    assert times_asked(5) == 0
    hosts.ip("near", "address add 10.50.1.77/24 dev a0")
    assert table.address_kind(AF_INET, packed("10.50.1.77")) == LOCAL
    clock.now += LIFETIME
    assert times_asked(5) == 1


def test_lost_news_have_interfaces_asked_for_again(table: RouteTable, hosts: Hosts) -> None:
    assert table.interface_index("a0")
    with socket.socket(fileno=os.dup(table.fileno())) as news:
        news.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    hosts.ip("near", "\n".join(f"link add d{each} type veth peer name e{each}" for each in range(8)))
    assert all(table.interface_index(f"{end}{each}") for end in "de" for each in range(8))


def test_news_without_end_do_not_keep_anybody(table: RouteTable, hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pingsock.link.news.MOST_AT_ONCE", 1)
    assert ask(table, "10.66.4.1") == errno.ENETUNREACH
    hosts.ip("near", "route add 10.78.0.0/16 via 10.50.1.2\nroute add 10.66.4.0/24 via 10.50.1.2")
    table.refresh()
    with select.epoll() as watch:
        watch.register(table.fileno(), select.EPOLLIN)
        assert watch.poll(0)
        while watch.poll(0):
            table.refresh()
    assert isinstance(ask(table, "10.66.4.1"), Route)


def test_a_closed_table_refuses(table: RouteTable) -> None:
    table.close()
    assert ask(table, "10.50.1.2") == errno.EBADF


def test_many_interfaces_and_addresses_are_all_dumped(hosts: Hosts) -> None:
    lines = [
        f"link add d{each} type veth peer name e{each}\naddress add 10.51.{each}.1/24 dev d{each}"
        for each in range(100)
    ]
    hosts.ip("near", "\n".join(lines))
    kernel = Rtnetlink()
    interfaces, book = kernel.interfaces(), AddressBook(kernel)
    kernel.close()
    shown = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout
    assert len(interfaces) == len(shown.splitlines())
    assert {packed(f"10.51.{each}.1") for each in range(100)} <= {entry.address for entry in book.addresses}
