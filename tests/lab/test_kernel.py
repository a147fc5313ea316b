"""The lab behind a TUN device: the kernel's own stack and Debian's programs as witnesses."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bed.namespace import NoNamespace, entered
from pingsock import lab

if TYPE_CHECKING:
    from collections.abc import Iterator

FAR, FAR6 = "192.0.2.1", "2001:db8:aaaa::1"
DOCS = Path(__file__).parents[2] / "docs"
MINE = ["10.0.0.1/24", "2001:db8:0:1::1/64"]
GATE = ["10.0.0.2/24", "2001:db8:0:1::2/64"]


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    try:
        with entered():
            yield
    except NoNamespace as err:
        pytest.skip(str(err))


def run(command: str) -> str:
    program, *_ = command.split()
    if shutil.which(program) is None:
        pytest.skip(f"needs the program {program}")
    done = subprocess.run(command.split(), capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def path(**settings: Any) -> lab.Network:
    """r1 - r2 - r3 - far, 10.0.N.0/24 and 2001:db8:N::/64 between them."""
    network = lab.Network()
    for number in (1, 2, 3):
        network.router(f"r{number}", f"10.255.0.{number}", f"2001:db8:ff::{number}")
    network.host("far", FAR, FAR6)
    for number, (left, right) in enumerate((("r1", "r2"), ("r2", "r3"), ("r3", "far")), 1):
        network.link(left, right, f"10.0.{number}.0/24", f"2001:db8:{number}::/64", **settings)
    return network


def attached(network: lab.Network) -> Any:
    return lab.kernel_lab(network, "r1", *MINE, right_addresses=GATE)


def beside(*actions: object, **match: object) -> lab.Network:
    """A host that is the gate itself, with one rule."""
    network = lab.Network()
    network.host("far", FAR, FAR6).rule(*actions, **match)
    return network


def ping_beside(options: str, *actions: object, target: str = FAR) -> str:
    with lab.kernel_lab(beside(*actions), "far", *MINE):
        return run(f"ping -n -W 5 {options} {target}")


@pytest.mark.parametrize("target", [FAR, FAR6])
def test_ping_gets_its_answers_with_the_delay_of_the_path(target: str) -> None:
    with attached(path(delay=0.01)):
        shown = run(f"ping -n -c 3 -i 0.2 {target}")
    assert "3 packets transmitted, 3 received, 0% packet loss" in shown
    assert len(re.findall(rf"64 bytes from {target}: icmp_seq=\d ttl=61", shown)) == 3
    assert float(shown.rpartition("= ")[2].split("/")[0]) >= 60.0


@pytest.mark.parametrize(
    ("command", "hops"),
    [
        (f"traceroute -n -I {FAR}", ["10.0.0.2", "10.0.1.2", "10.0.2.2", FAR]),
        (f"traceroute -n -U {FAR}", ["10.0.0.2", "10.0.1.2", "10.0.2.2", FAR]),
        (f"traceroute -n -I {FAR6}", ["2001:db8:0:1::2", "2001:db8:1::2", "2001:db8:2::2", FAR6]),
        (f"mtr -n -G 1 -r -c 1 {FAR}", ["10.0.0.2", "10.0.1.2", "10.0.2.2", FAR]),
        (f"mtr -n -G 1 -r -c 1 {FAR6}", ["2001:db8:0:1::2", "2001:db8:1::2", "2001:db8:2::2", FAR6]),
    ],
)
def test_traceroute_and_mtr_see_the_hops(command: str, hops: list[str]) -> None:
    with attached(path()):
        shown = run(command)
    assert re.findall(r"^ *\d+\W+([0-9a-f:.]+[0-9a-f])\s", shown, re.MULTILINE) == hops


@pytest.mark.parametrize(("target", "gate"), [(FAR, "10.0.1.2"), (FAR6, "2001:db8:1::2")])
def test_traceroute_and_mtr_show_labels(target: str, gate: str) -> None:
    network = path()
    network.node("r2").configure(labels=[{"label": 16001, "traffic_class": 5, "ttl": 1}])
    with attached(network):
        assert re.search(
            rf"^ 2  {gate} <MPLS:L=16001,E=5,S=1,T=1> ", run(f"traceroute -n -e -I {target}"), re.MULTILINE
        )
        assert "\nm 1 16001 5 1 1\n" in run(f"mtr -n -G 1 -e --raw -c 1 {target}")


def test_traceroute_sees_both_ways_of_a_spreading_router() -> None:
    network = lab.load(DOCS / "labs" / "two-ways.toml")
    with lab.kernel_lab(network, "split", "10.0.0.1/24", right_addresses=["10.0.0.2/24"]):
        shown = run(f"traceroute -n -I -q 10 {FAR}")
    assert set(re.findall(r" (10\.0\.[12]\.2) ", shown)) == {"10.0.1.2", "10.0.2.2"}


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("2001:db8:bad::1", "From 2001:db8:1::2 icmp_seq=1 Destination unreachable: Administratively prohibited"),
        ("2001:db8:dead::1", "From 2001:db8:1::2 icmp_seq=1 Destination unreachable: No route"),
        ("2001:db8:2::9", "From 2001:db8:1::2 icmp_seq=1 Destination unreachable: Address unreachable"),
    ],
)
def test_what_a_lab_refuses_is_routed_to_it_too(target: str, told: str) -> None:
    network = lab.load(DOCS / "labs" / "ipv6.toml")
    with lab.kernel_lab(network, "gate", MINE[1], right_addresses=[GATE[1]]):
        assert told in run(f"ping -n -c 1 -W 5 {target}")


def test_a_silent_router_is_a_star() -> None:
    network = path()
    network.node("r2").configure(silent=True)
    with attached(network):
        assert re.search(r"^ 2  \*$", run(f"traceroute -n -I -q 1 -w 0.5 {FAR}"), re.MULTILINE)


@pytest.mark.parametrize(
    ("target", "overhead", "told"),
    [(FAR, 28, "From 10.0.1.2 icmp_seq=1 Frag needed and DF set (mtu = 1400)"), (FAR6, 48, "Packet too big: mtu=1400")],
)
def test_the_kernel_learns_the_path_mtu(target: str, overhead: int, told: str) -> None:
    network = path()
    network.links[1].change(mtu=1400)
    with attached(network):
        assert told in run(f"ping -n -c 1 -W 5 -M do -s 1450 {target}")
        learned = subprocess.run(["ip", "route", "get", target], capture_output=True, text=True, check=True).stdout
        assert "mtu 1400" in learned
        assert "1 received" in run(f"ping -n -c 1 -W 5 -M do -s {1400 - overhead} {target}")


def test_large_packets_are_cut_on_the_way_and_put_together() -> None:
    network = path()
    network.links[1].change(mtu=1400)
    with attached(network):
        assert "1 received" in run(f"ping -n -c 1 -W 5 -M dont -s 5000 {FAR}")


def test_record_route_and_timestamps() -> None:
    with attached(path()):
        hops = run(f"ping -n -c 1 -R {FAR}")
        times = run(f"ping -n -c 1 -T tsandaddr {FAR}")
    expected = ["10.0.0.1", "10.0.1.1", "10.0.2.1", "10.0.3.1", FAR, FAR, "10.0.2.2", "10.0.1.2", "10.0.0.2"]
    assert re.findall(r"^(?:RR: )?\t([\d.]+)$", hops, re.MULTILINE) == expected
    assert re.findall(r"^(?:TS: )?\t([\d.]+)\t", times, re.MULTILINE) == expected[:4]
    assert "Unrecorded hops: 5" in times


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"fault": "3/0"}, "Destination Net Unreachable"),
        ({"fault": "3/1"}, "Destination Host Unreachable"),
        ({"fault": "3/2"}, "Destination Protocol Unreachable"),
        ({"fault": "3/3"}, "Destination Port Unreachable"),
        ({"fault": "3/4", "mtu": 999}, "Frag needed and DF set (mtu = 999)"),
        ({"fault": "3/5"}, "Source Route Failed"),
        ({"fault": "3/6"}, "Destination Net Unknown"),
        ({"fault": "3/7"}, "Destination Host Unknown"),
        ({"fault": "3/8"}, "Source Host Isolated"),
        ({"fault": "3/9"}, "Destination Net Prohibited"),
        ({"fault": "3/10"}, "Destination Host Prohibited"),
        ({"fault": "3/11"}, "Destination Net Unreachable for Type of Service"),
        ({"fault": "3/12"}, "Destination Host Unreachable for Type of Service"),
        ({"fault": "3/13"}, "Packet filtered"),
        ({"fault": "3/14"}, "Precedence Violation"),
        ({"fault": "3/15"}, "Precedence Cutoff"),
        ({"fault": "4/0"}, "Source Quench"),
        ({"fault": "5/1", "gateway": "10.0.0.99"}, "Redirect Host(New nexthop: 10.0.0.99)"),
        ({"fault": "11/0"}, "Time to live exceeded"),
        # Linux tells no socket, raw ones included, of a reassembly timeout.
        ({"fault": "11/1"}, "0 received"),
        ({"fault": "12/0", "pointer": 9}, "Parameter problem: pointer = 9"),
    ],
)
def test_ping_names_every_error(fault: dict[str, object], told: str) -> None:
    assert told in ping_beside("-c 1 -W 2", {"do": "error", **fault})


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"fault": "1/0"}, "Destination unreachable: No route"),
        ({"fault": "1/1"}, "Destination unreachable: Administratively prohibited"),
        ({"fault": "1/2"}, "Destination unreachable: Beyond scope of source address"),
        ({"fault": "1/3"}, "Destination unreachable: Address unreachable"),
        ({"fault": "1/4"}, "Destination unreachable: Port unreachable"),
        ({"fault": "2/0", "mtu": 1300}, "Packet too big: mtu=1300"),
        ({"fault": "3/0"}, "Time exceeded: Hop limit"),
        ({"fault": "3/1"}, "Time exceeded: Defragmentation failure"),
        ({"fault": "4/0", "pointer": 40}, "Parameter problem: Wrong header field at 40"),
        ({"fault": "4/1", "pointer": 6}, "Parameter problem: Unknown header at 6"),
        ({"fault": "4/2", "pointer": 41}, "Parameter problem: Unknown option at 41"),
    ],
)
def test_ping_names_every_ipv6_error(fault: dict[str, object], told: str) -> None:
    assert told.lower() in ping_beside("-c 1", {"do": "error", **fault}, target=FAR6).lower()


@pytest.mark.parametrize(
    ("options", "action", "told"),
    [
        ("-c 2 -i 0.2", {"do": "duplicate", "copies": 2}, "(DUP!)"),
        ("-c 1", {"do": "corrupt"}, "wrong data byte #55 should be 0x37 but was 0xc8"),
        ("-c 1", {"do": "change", "source": "192.0.2.7"}, "(DIFFERENT ADDRESS!)"),
        ("-c 1", {"do": "truncate", "size": 32}, "(truncated)"),
        ("-c 1 -W 1", {"do": "change", "ident_shift": 1}, "100% packet loss"),
        ("-c 1", {"do": "change", "hop_limit": 7}, "ttl=7"),
        ("-c 2 -i 0.2", {"do": "change", "sequence": 2}, "icmp_seq=2"),
    ],
)
def test_ping_notices_hostile_answers(options: str, action: object, told: str) -> None:
    assert told in ping_beside(options, action)


def test_the_kernel_counts_bad_checksums_and_its_ping_sockets_never_see_them() -> None:
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 0")
    assert "100% packet loss" in ping_beside("-c 1 -W 1", "bad checksum")
    names, numbers = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if "Icmp:" in line)
    assert numbers[names.index("InCsumErrors")] == "1"


def test_fping_sweeps_a_whole_network() -> None:
    network = lab.Network()
    network.host("many", "10.9.0.0/16")
    with lab.kernel_lab(network, "many", "10.0.0.1/24"):
        shown = run("fping -q -c 1 -p 20 -i 1 -g 10.9.3.0 10.9.3.63")
    assert shown.count("xmt/rcv/%loss = 1/1/0%") == 64


def test_the_device_goes_with_the_block() -> None:
    network = path()
    with attached(network):
        assert "lab0" in run("ip -br link")
    assert "lab0" not in run("ip -br link")
    assert network.attachments == []
    with attached(network):
        assert "1 received" in run(f"ping -n -c 1 {FAR}")


def test_a_device_needs_addresses() -> None:
    with pytest.raises(lab.LabError, match="needs addresses of its own"), lab.kernel_lab(path(), "r1"):
        pass
