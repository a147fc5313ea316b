"""The host's routing table gives the answers of the kernel's, for two hosts configured alike."""

from __future__ import annotations

import errno
import itertools
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from link.harness import ip
from link.private_network import private_network
from pingsock.link.cable import memory_cable
from pingsock.link.host import HostLink
from pingsock.link.tun import TunDevice
from pingsock.wire import linux

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["private_network"]

ADDRESSES = {
    "eth0": ["10.9.0.1/24", "10.9.0.3/24", "172.16.0.1/16", "2001:db8:9::1/64", "2001:db8:9::3/64", "fe80::1/64"],
    "eth1": ["10.8.0.1/24", "2001:db8:8::1/64", "fe80::2/64"],
}
VIA = {
    "default": ("10.9.0.254", "2001:db8:9::fe"),
    "192.0.2.0/24": ("10.8.0.254",),
    "198.18.0.0/15": ("172.16.3.3",),
    "2001:db8:77::/48": ("2001:db8:8::fe",),
}
REFUSED = {
    "unreachable": ("10.66.1.0/24", "2001:db8:66:1::/64"),
    "prohibit": ("10.66.2.0/24", "2001:db8:66:2::/64"),
    "blackhole": ("10.66.3.0/24", "2001:db8:66:3::/64"),
    "throw": ("10.66.4.0/24", "2001:db8:66:4::/64"),
}
DESTINATIONS4 = (
    *("10.9.0.77", "10.9.0.1", "10.9.0.0", "10.9.0.255", "10.8.0.9", "10.8.0.1", "10.8.0.255"),
    *("172.16.9.9", "172.16.255.255", "192.0.2.1", "198.18.5.5", "203.0.113.1", "240.0.0.1", "0.0.0.0"),
    *("127.0.0.1", "127.9.9.9", "127.255.255.255", "255.255.255.255", "224.0.0.1", "239.1.2.3"),
    *("10.66.1.1", "10.66.2.1", "10.66.3.1", "10.66.4.1"),
)
DESTINATIONS6 = (
    *("2001:db8:9::77", "2001:db8:9::1", "2001:db8:8::9", "2001:db8:8::1", "2001:db8:77::1", "2001:db8:1::1"),
    *("::1", "fe80::1", "fe80::2", "fe80::77", "ff02::1", "ff05::9", "ff0e::9"),
    *("2001:db8:66:1::1", "2001:db8:66:2::1", "2001:db8:66:3::1", "2001:db8:66:4::1"),
)


def memory_host() -> HostLink:
    host = HostLink()
    for name, addresses in ADDRESSES.items():
        host.add_interface(name, memory_cable()[0], addresses)
    for prefix, routers in VIA.items():
        for router in routers:
            host.add_route(prefix, via=router)
    for kind, prefixes in REFUSED.items():
        for prefix in prefixes:
            host.add_route(prefix, kind=kind)
    return host


@pytest.fixture
def kernel_host(private_network: None) -> Iterator[None]:
    devices = [TunDevice(name) for name in ADDRESSES]
    for device in devices:
        path = f"/proc/sys/net/ipv6/conf/{device.name}/addr_gen_mode"
        with open(path, "w") as setting:
            setting.write("1")
        device.configure(ADDRESSES[device.name])
    lines = [f"route add {prefix} via {router}" for prefix, routers in VIA.items() for router in routers]
    lines += [f"route add {kind} {prefix}" for kind, prefixes in REFUSED.items() for prefix in prefixes]
    for line in lines:
        subprocess.run(["ip", "-6" if ":" in line else "-4", *line.split()], check=True)
    yield
    for device in devices:
        device.close()


def kernel_answer(destination: str, source: str, interface: str, dont_route: bool) -> str:
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_BROADCAST, 1)
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_DONTROUTE, dont_route)
        scope = socket.if_nametoindex(interface) if interface else 0
        try:
            if interface:
                sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, interface.encode())
            if source:
                sock.bind((source, 0) if family == socket.AF_INET else (source, 0, 0, scope))
            sock.connect((destination, 9) if family == socket.AF_INET else (destination, 9, 0, scope))
        except OSError as err:
            return errno.errorcode[err.errno or 0]
        name = str(sock.getsockname()[0]).partition("%")[0]
        level, option = (0, linux.IP_MTU) if family == socket.AF_INET else (linux.SOL_IPV6, linux.IPV6_MTU)
        return f"{name} {sock.getsockopt(level, option)}"


def host_answer(host: HostLink, destination: str, source: str, interface: str, dont_route: bool) -> str:
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    try:
        route = host.route(
            family,
            ip(destination),
            source=ip(source) if source else b"",
            interface=host.interface_index(interface) if interface else 0,
            dont_route=dont_route,
        )
    except OSError as err:
        return errno.errorcode[err.errno or 0]
    return f"{socket.inet_ntop(family, route.source)} {route.path_mtu}"


def is_a_question_of_routing(destination: str, source: str, interface: str, _dont_route: bool) -> bool:
    """Sockets refuse some earlier: link-scope destinations without a device, ::1 on another device."""
    is_link_scope = destination.startswith(("fe80:", "ff02:"))
    return not (is_link_scope and not interface) and not (source == "::1" and interface)


def differences(destinations: tuple[str, ...], sources: list[str], dont_route: bool) -> list[str]:
    host = memory_host()
    found = []
    for destination, source, interface in itertools.product(destinations, sources, ["", "lo", "eth0", "eth1"]):
        question = (destination, source, interface, dont_route)
        if not is_a_question_of_routing(*question):
            continue
        kernel, ours = kernel_answer(*question), host_answer(host, *question)
        if kernel != ours:
            found.append(f"{question}: kernel {kernel}, host {ours}")
    return found


@pytest.mark.usefixtures("kernel_host")
@pytest.mark.parametrize("dont_route", [False, True])
def test_ipv4_routes_are_the_kernels(dont_route: bool) -> None:
    assert "\n".join(differences(DESTINATIONS4, ["", "10.9.0.3", "10.8.0.1", "127.0.0.1"], dont_route)) == ""


@pytest.mark.usefixtures("kernel_host")
def test_ipv6_routes_are_the_kernels() -> None:
    assert "\n".join(differences(DESTINATIONS6, ["", "2001:db8:8::1", "::1"], False)) == ""
