from __future__ import annotations

import errno
from typing import Any

import pytest

from link.harness import Bench, ip
from pingsock.link.cable import memory_cable
from pingsock.wire.linux import AF_INET, AF_INET6
from pingsock.wire.transit import BROADCAST, LOCAL, MULTICAST, UNICAST, Route

LO, ETH0, ETH1 = 1, 2, 3


@pytest.fixture
def bench() -> Bench:
    return Bench()


def route(bench: Bench, destination: str, *, source: str = "", **wishes: Any) -> Route:
    family = AF_INET6 if ":" in destination else AF_INET
    return bench.host.route(family, ip(destination), source=ip(source) if source else b"", **wishes)


def errno_of(bench: Bench, destination: str, **wishes: Any) -> str:
    try:
        found = route(bench, destination, **wishes)
    except OSError as err:
        return errno.errorcode[err.errno or 0]
    raise AssertionError(f"{found} instead of an error")


@pytest.mark.parametrize(
    ("destination", "kind", "source", "interface"),
    [
        ("10.9.0.77", UNICAST, "10.9.0.1", ETH0),
        ("10.8.0.77", UNICAST, "10.8.0.1", ETH1),
        ("192.0.2.1", UNICAST, "10.9.0.1", ETH0),
        ("10.9.0.1", LOCAL, "10.9.0.1", LO),
        ("127.5.6.7", LOCAL, "127.0.0.1", LO),
        ("0.0.0.0", LOCAL, "127.0.0.1", LO),
        ("10.9.0.255", BROADCAST, "10.9.0.1", ETH0),
        ("10.8.0.255", BROADCAST, "10.8.0.1", ETH1),
        ("255.255.255.255", BROADCAST, "10.9.0.1", ETH0),
        ("127.255.255.255", BROADCAST, "127.0.0.1", LO),
        ("10.9.0.0", UNICAST, "10.9.0.1", ETH0),
        ("224.0.0.1", MULTICAST, "10.9.0.1", ETH0),
        ("2001:db8:9::77", UNICAST, "2001:db8:9::1", ETH0),
        ("2001:db8:8::77", UNICAST, "2001:db8:8::1", ETH1),
        ("2001:db8:77::1", UNICAST, "2001:db8:9::1", ETH0),
        ("2001:db8:8::1", LOCAL, "2001:db8:8::1", LO),
        ("::1", LOCAL, "::1", LO),
        ("::", UNICAST, "fe80::1", ETH0),
        ("ff02::1", MULTICAST, "fe80::1", ETH0),
        ("ff0e::1", MULTICAST, "2001:db8:9::1", ETH0),
    ],
)
def test_kind_source_and_interface_follow_from_the_destination(
    bench: Bench, destination: str, kind: int, source: str, interface: int
) -> None:
    found = route(bench, destination)
    assert (found.kind, found.source, found.interface) == (kind, ip(source), interface)


@pytest.mark.parametrize(
    ("destination", "interface", "kind", "source"),
    [
        ("192.0.2.1", ETH1, UNICAST, "10.8.0.1"),  # no route there: IPv4 takes it for on-link
        ("127.0.0.1", ETH0, UNICAST, "10.9.0.1"),
        ("10.9.0.1", ETH1, UNICAST, "10.8.0.1"),
        ("10.9.0.1", ETH0, LOCAL, "10.9.0.1"),
        ("224.0.0.5", ETH1, MULTICAST, "10.8.0.1"),
        ("255.255.255.255", ETH1, BROADCAST, "10.8.0.1"),
        ("10.9.0.255", ETH1, UNICAST, "10.8.0.1"),
        ("fe80::77", ETH1, UNICAST, "fe80::2"),
        ("fe80::2", ETH1, LOCAL, "fe80::2"),
        ("fe80::2", ETH0, UNICAST, "fe80::1"),
        ("ff02::1", ETH1, MULTICAST, "fe80::2"),
    ],
)
def test_an_interface_that_is_asked_for_is_used(
    bench: Bench, destination: str, interface: int, kind: int, source: str
) -> None:
    found = route(bench, destination, interface=interface)
    assert (found.kind, found.source) == (kind, ip(source))
    assert found.interface == (LO if kind == LOCAL else interface)


def test_ipv6_needs_a_route_on_the_interface_asked_for(bench: Bench) -> None:
    assert errno_of(bench, "2001:db8:77::1", interface=ETH1) == "ENETUNREACH"


def test_a_nonexistent_interface_is_ENODEV_for_ipv4_and_ENETUNREACH_for_ipv6(bench: Bench) -> None:
    assert errno_of(bench, "10.9.0.2", interface=77) == "ENODEV"
    assert errno_of(bench, "2001:db8:9::2", interface=77) == "ENETUNREACH"


@pytest.mark.parametrize(
    ("kind", "error"),
    [("unreachable", "EHOSTUNREACH"), ("prohibit", "EACCES"), ("blackhole", "EINVAL"), ("throw", "ENETUNREACH")],
)
def test_refusing_routes_have_their_errno_and_win_by_length(bench: Bench, kind: str, error: str) -> None:
    bench.host.add_route("192.0.2.0/24", kind=kind)
    bench.host.add_route("2001:db8:66::/48", kind=kind)
    bench.host.add_route("192.0.2.7/32", via="10.9.0.253")
    assert errno_of(bench, "192.0.2.1") == error
    assert errno_of(bench, "2001:db8:66::1") == error
    assert route(bench, "192.0.2.7").interface == ETH0


def test_no_route_is_ENETUNREACH(bench: Bench) -> None:
    bench.host.remove_route("default")
    bench.host.remove_route("::/0")
    assert errno_of(bench, "192.0.2.1") == "ENETUNREACH"
    assert errno_of(bench, "255.255.255.255") == "ENETUNREACH"
    assert errno_of(bench, "2001:db8:77::1") == "ENETUNREACH"
    assert errno_of(bench, "::") == "ENETUNREACH"


def test_a_source_must_be_ours(bench: Bench) -> None:
    assert errno_of(bench, "10.9.0.2", source="10.9.0.77") == "ENETUNREACH"
    assert errno_of(bench, "2001:db8:9::2", source="2001:db8:9::77") == "ENETUNREACH"
    assert route(bench, "10.9.0.2", source="10.8.0.1").source == ip("10.8.0.1")


def test_a_loopback_source_reaches_ourselves_only(bench: Bench) -> None:
    assert errno_of(bench, "10.9.0.2", source="127.0.0.1") == "EINVAL"
    assert route(bench, "10.9.0.1", source="127.0.0.1").kind == LOCAL


def test_a_group_is_reached_by_the_interface_of_the_source(bench: Bench) -> None:
    assert route(bench, "224.0.0.5", source="10.8.0.1").interface == ETH1
    assert route(bench, "ff02::1", source="fe80::2").interface == ETH1


def test_without_routing_only_on_link_destinations_are_reached(bench: Bench) -> None:
    assert errno_of(bench, "192.0.2.1", dont_route=True) == "ENETUNREACH"
    assert route(bench, "10.9.0.2", dont_route=True).interface == ETH0


def test_a_route_may_prefer_a_source(bench: Bench) -> None:
    bench.host.add_route("192.0.2.0/24", via="10.9.0.253", source="10.8.0.1")
    assert route(bench, "192.0.2.1").source == ip("10.8.0.1")


def test_the_source_is_the_address_nearest_to_the_router(bench: Bench) -> None:
    bench.host.add_address("eth0", "172.16.0.1/16")
    bench.host.add_route("192.0.2.0/24", via="172.16.0.254")
    assert route(bench, "192.0.2.1").source == ip("172.16.0.1")


def test_marked_routes_are_for_marked_packets_and_come_first(bench: Bench) -> None:
    bench.host.add_route("default", via="10.8.0.254", mark=5)
    assert route(bench, "192.0.2.1").interface == ETH0
    assert route(bench, "192.0.2.1", mark=5).interface == ETH1
    assert route(bench, "192.0.2.1", mark=6).interface == ETH0


def test_a_router_must_be_on_link(bench: Bench) -> None:
    with pytest.raises(OSError, match="unreachable"):
        bench.host.add_route("192.0.2.0/24", via="198.51.100.1")


def test_removing_an_address_removes_its_subnet(bench: Bench) -> None:
    bench.host.remove_address("eth1", "10.8.0.1/24")
    assert route(bench, "10.8.0.77").interface == ETH0
    assert bench.host.address_kind(AF_INET, ip("10.8.0.1")) == UNICAST
    with pytest.raises(OSError, match="assign") as caught:
        bench.host.remove_address("eth1", "10.8.0.1/24")
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_removing_an_interface_makes_it_ENODEV(bench: Bench) -> None:
    bench.host.remove_interface("eth1")
    assert errno_of(bench, "10.8.0.77", interface=ETH1) == "ENODEV"
    assert route(bench, "10.8.0.77").interface == ETH0
    with pytest.raises(OSError, match="No such device"):
        bench.host.interface_name(ETH1)
    with pytest.raises(OSError, match="No such device"):
        bench.host.interface_index("eth1")


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("10.9.0.1", LOCAL),
        ("127.0.0.1", LOCAL),
        ("127.0.0.0", LOCAL),
        ("10.9.0.255", BROADCAST),
        ("127.255.255.255", BROADCAST),
        ("0.0.0.0", BROADCAST),
        ("255.255.255.255", BROADCAST),
        ("10.9.0.0", UNICAST),
        ("0.0.0.1", UNICAST),
        ("240.0.0.1", UNICAST),
        ("239.255.255.255", MULTICAST),
        ("::1", LOCAL),
        ("fe80::2", LOCAL),
        ("fe80::3", UNICAST),
        ("::", UNICAST),
        ("ff02::1", MULTICAST),
        ("::ffff:10.9.0.1", UNICAST),
    ],
)
def test_address_kinds(bench: Bench, address: str, kind: int) -> None:
    assert bench.host.address_kind(AF_INET6 if ":" in address else AF_INET, ip(address)) == kind


def test_a_link_local_address_is_local_on_its_own_interface_only(bench: Bench) -> None:
    assert bench.host.address_kind(AF_INET6, ip("fe80::2"), ETH1) == LOCAL
    assert bench.host.address_kind(AF_INET6, ip("fe80::2"), ETH0) == UNICAST
    assert bench.host.address_kind(AF_INET6, ip("2001:db8:9::1"), ETH1) == LOCAL


def test_subnets_of_two_or_one_address_have_no_broadcast(bench: Bench) -> None:
    bench.host.add_address("eth1", "172.16.0.0/31")
    bench.host.add_address("eth1", "172.16.1.1/32")
    assert bench.host.address_kind(AF_INET, ip("172.16.0.1")) == UNICAST
    assert route(bench, "172.16.0.1").interface == ETH1


def test_interfaces_are_found_by_name_index_and_address(bench: Bench) -> None:
    assert bench.host.interface_index("lo") == LO
    assert bench.host.interface_name(ETH1) == "eth1"
    assert bench.host.interface_address(AF_INET, ETH1) == ip("10.8.0.1")
    assert bench.host.interface_address(AF_INET6, LO) == ip("::1")
    near, _far = memory_cable()
    bare = bench.host.add_interface("bare", near)
    assert bench.host.interface_address(AF_INET, bare) == b""
    assert bench.host.interface_with(AF_INET, ip("10.8.0.1")) == ETH1
    assert bench.host.interface_with(AF_INET, ip("10.8.0.2")) == 0


def test_a_host_without_ipv6_addresses_has_no_source_for_ipv6(bench: Bench) -> None:
    for address in ("2001:db8:9::1/64", "fe80::1/64"):
        bench.host.remove_address("eth0", address)
    for address in ("2001:db8:8::1/64", "fe80::2/64"):
        bench.host.remove_address("eth1", address)
    bench.host.remove_address("lo", "::1/128")
    bench.host.add_route("2001:db8::/32", interface="eth0")
    assert errno_of(bench, "2001:db8::77") == "EADDRNOTAVAIL"


def path_mtu(bench: Bench, destination: str) -> int:
    return route(bench, destination).path_mtu


def test_a_smaller_path_mtu_is_learned_for_its_destination(bench: Bench) -> None:
    bench.host.learn_path_mtu(AF_INET, ip("192.0.2.1"), 1400)
    bench.host.learn_path_mtu(AF_INET6, ip("2001:db8:77::1"), 1300)
    assert (path_mtu(bench, "192.0.2.1"), path_mtu(bench, "2001:db8:77::1")) == (1400, 1300)
    assert (path_mtu(bench, "192.0.2.2"), path_mtu(bench, "2001:db8:77::2")) == (1500, 1500)
    assert route(bench, "192.0.2.1").mtu == 1500


def test_a_larger_path_mtu_changes_nothing(bench: Bench) -> None:
    bench.host.learn_path_mtu(AF_INET, ip("192.0.2.1"), 1400)
    bench.host.learn_path_mtu(AF_INET, ip("192.0.2.1"), 1450)
    bench.host.learn_path_mtu(AF_INET6, ip("2001:db8:77::1"), 9000)
    assert (path_mtu(bench, "192.0.2.1"), path_mtu(bench, "2001:db8:77::1")) == (1400, 1500)


@pytest.mark.parametrize("reported", [0, 68, 551])
def test_ipv4_values_below_552_count_as_552_and_lock_the_path(bench: Bench, reported: int) -> None:
    bench.host.learn_path_mtu(AF_INET, ip("192.0.2.1"), reported)
    found = route(bench, "192.0.2.1")
    assert (found.path_mtu, found.path_mtu_locked) == (552, True)


def test_552_itself_does_not_lock_the_path(bench: Bench) -> None:
    bench.host.learn_path_mtu(AF_INET, ip("192.0.2.1"), 552)
    assert not route(bench, "192.0.2.1").path_mtu_locked


def test_ipv6_values_below_1280_are_ignored(bench: Bench) -> None:
    bench.host.learn_path_mtu(AF_INET6, ip("2001:db8:77::1"), 1279)
    assert path_mtu(bench, "2001:db8:77::1") == 1500


def test_a_changed_device_mtu_counts_at_once(bench: Bench) -> None:
    bench.host.set_mtu("eth0", 1300)
    assert (route(bench, "192.0.2.1").mtu, path_mtu(bench, "192.0.2.1")) == (1300, 1300)


def test_a_learned_path_mtu_is_forgotten_after_ten_minutes(bench: Bench) -> None:
    bench.host.learn_path_mtu(AF_INET, ip("192.0.2.1"), 1400)
    bench.now += 599
    assert path_mtu(bench, "192.0.2.1") == 1400
    bench.now += 1
    assert path_mtu(bench, "192.0.2.1") == 1500


def test_the_loopback_carries_the_largest_packets(bench: Bench) -> None:
    assert (route(bench, "127.0.0.1").mtu, path_mtu(bench, "127.0.0.1")) == (65536, 65535)
    assert path_mtu(bench, "::1") == 65536


def test_memberships_are_counted(bench: Bench) -> None:
    group = ip("239.1.2.3")
    bench.host.join_group(AF_INET, group, ETH0)
    bench.host.join_group(AF_INET, group, ETH0)
    bench.host.leave_group(AF_INET, group, ETH0)
    bench.host.leave_group(AF_INET, group, ETH0)
    with pytest.raises(OSError, match="assign"):
        bench.host.leave_group(AF_INET, group, ETH0)


def test_only_groups_can_be_joined_and_on_interfaces_that_exist(bench: Bench) -> None:
    with pytest.raises(OSError, match="Invalid"):
        bench.host.join_group(AF_INET, ip("10.9.0.1"), ETH0)
    with pytest.raises(OSError, match="No such device"):
        bench.host.join_group(AF_INET6, ip("ff05::1"), 77)


def test_settings_have_linux_defaults_and_can_be_changed(bench: Bench) -> None:
    assert bench.host.sysctl("ipv4.ip_default_ttl") == 64
    bench.host.set_sysctl("ipv4.ip_default_ttl", "77")
    assert bench.host.sysctl("ipv4.ip_default_ttl") == 77
    with pytest.raises(OSError, match="not 'many'"):
        bench.host.set_sysctl("ipv4.ip_default_ttl", "many")
    for act in (lambda: bench.host.sysctl("ipv4.nonsense"), lambda: bench.host.set_sysctl("ipv4.nonsense", 1)):
        with pytest.raises(KeyError):
            act()


def test_wrong_configurations_are_refused(bench: Bench) -> None:
    near, _far = memory_cable()
    with pytest.raises(OSError, match="eth0 already"):
        bench.host.add_interface("eth0", near)
    with pytest.raises(OSError, match="not 67"):
        bench.host.add_interface("eth2", near, mtu=67)
    with pytest.raises(OSError, match="already"):
        bench.host.add_address("eth1", "10.8.0.1/24")
    with pytest.raises(ValueError, match="not 'magic'"):
        bench.host.add_route("192.0.2.0/24", kind="magic")
    with pytest.raises(OSError, match="No such process"):
        bench.host.remove_route("192.0.2.0/24")
    with pytest.raises(OSError, match="No such device"):
        bench.host.add_route("192.0.2.0/24")
