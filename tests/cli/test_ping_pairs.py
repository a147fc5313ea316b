"""`ping --timestamp`, `--info`, `--mask` and `--probe`: the kernel and the lab answer, tshark reads what is sent."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bed.namespace import NoNamespace, entered
from bed.running import running_service
from cli.ping_network import SYSTEM_PYTHON, PingNetwork, ping_network
from pingsock import lab
from pingsock.cli.arguments import Refused
from pingsock.cli.ping_pairs import answer_text, interface_of
from pingsock.probe.records import Reply
from pingsock.probe.target import Target
from pingsock.wire.checksum import with_checksum
from pingsock.wire.interfaces import AFI_MAC48, InterfaceByAddress, InterfaceByIndex, InterfaceByName
from sockets_unit.private import EVERYBODY, RANGE

FAR, FAR6, BEYOND = "192.0.2.1", "2001:db8:aaaa::1", "198.51.100.7"
MINE = ["10.0.0.1/24", "2001:db8:0:1::1/64"]
GATE = ["10.0.0.2/24", "2001:db8:0:1::2/64"]
KINDS = {"kernel": EVERYBODY, "embedded": "1 0"}
"""Kind of socket that --probe takes -> who may have one of the kernel's."""
TIMESTAMP_LINE = (
    r"20 bytes from {}: icmp_seq=1 ttl=\d+ time=[\d.]+ ms"
    r" received=(\d\d:\d\d:\d\d\.\d\d\d) sent=(\d\d:\d\d:\d\d\.\d\d\d)"
    r" there=(-?\d+) ms back=(-?\d+) ms ahead=(-?[\d.]+) ms"
)


def ping(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pingsock", "ping", "-n", "-W", "5", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def reply_line(*arguments: str) -> str:
    """The one line of a reply."""
    done = ping("-c", "1", *arguments)
    assert (done.stderr, done.returncode) == ("", 0)
    assert "1 packets transmitted, 1 received, 0% packet loss" in done.stdout
    return re.sub(r"time=[\d.]+ ms", "time=T ms", done.stdout.splitlines()[1])


@pytest.fixture
def namespace() -> Iterator[None]:
    try:
        with entered():
            yield
    except NoNamespace as err:
        pytest.skip(str(err))


@contextmanager
def attached(network: lab.Network | None = None, **options: Any) -> Iterator[lab.Network]:
    """A router and behind it a host, reached by the kernel."""
    network = network or lab.Network()
    network.router("r1", "10.255.0.1", "2001:db8:ff::1")
    network.host("far", FAR, FAR6, **options)
    network.link("r1", "far", "10.0.1.0/24", "2001:db8:2::/64")
    network.node("r1").route("198.51.100.0/24", refuse="prohibit")
    with lab.kernel_lab(network, "r1", *MINE, right_addresses=GATE):
        yield network


# What is shown


@pytest.mark.usefixtures("namespace")
def test_timestamps_tell_the_difference_of_the_clocks() -> None:
    with attached(clock_offset=3600.0):
        done = ping("-c", "1", "--timestamp", FAR)

    found = re.fullmatch(TIMESTAMP_LINE.format(FAR), done.stdout.splitlines()[1])
    assert found, done
    received, sent, there, back, ahead = found.groups()
    assert received <= sent
    assert 3_600_000 - 1 <= int(there) < 3_605_000
    assert -3_600_000 - 1 <= int(back) < -3_595_000
    assert abs(float(ahead) - 3_600_000) < 5000
    assert done.stdout.startswith(f"PING {FAR} ({FAR}) 12(40) bytes of data.\n")
    assert "rtt min/avg/max/mdev = " in done.stdout


@pytest.mark.usefixtures("namespace")
def test_the_summary_has_the_shortest_ways() -> None:
    with attached(clock_offset=-60.0) as network:
        network.node("far").rule({"do": "delay", "seconds": 0.3}, first=1)
        done = ping("-q", "-c", "2", "-i", "0.6", "--timestamp", FAR)

    found = re.search(r"\nrtt [^\n]*\nleast there=(-?\d+) ms back=(-?\d+) ms ahead=(-?[\d.]+) ms\n$", done.stdout)
    assert found, done
    assert abs(int(found[1]) + 60_000) < 5000
    assert abs(int(found[2]) - 60_000) < 5000
    assert float(found[3]) == (int(found[1]) - int(found[2])) / 2


@pytest.mark.usefixtures("namespace")
def test_a_clock_on_another_scale_is_shown_as_it_is() -> None:
    with attached(nonstandard_clock=True):
        line = reply_line("--timestamp", FAR)

    assert re.fullmatch(
        rf"20 bytes from {FAR}: icmp_seq=1 ttl=63 time=T ms received=0x[0-9a-f]{{8}} sent=0x[0-9a-f]{{8}}", line
    )


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize(
    ("mask", "shown"),
    [("255.255.240.0", "255.255.240.0 (/20)"), ("255.0.255.0", "255.0.255.0"), ("0.0.0.0", "0.0.0.0 (/0)")],
)
def test_masks_are_shown_with_the_length_of_their_prefix(mask: str, shown: str) -> None:
    with attached(mask=mask):
        assert reply_line("--mask", FAR) == f"12 bytes from {FAR}: icmp_seq=1 ttl=63 time=T ms mask={shown}"


@pytest.mark.usefixtures("namespace")
def test_an_information_reply_says_by_being_there_all_it_says() -> None:
    with attached():
        assert reply_line("--info", FAR) == f"8 bytes from {FAR}: icmp_seq=1 ttl=63 time=T ms"


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("target", [FAR, FAR6])
def test_interfaces_of_a_host_in_the_lab(target: str) -> None:
    with attached() as network:
        (interface,) = network.node("far").interfaces
        lines = [
            reply_line(f"--probe={name}", target) for name in (interface.name, interface.index, "10.0.1.2", "eth9")
        ]

    told = [line.partition(" ms ")[2] for line in lines]
    assert told == [*["interface=active (IPv4, IPv6)"] * 3, "(No Such Interface)"]


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ((0, 0b000), "interface=inactive"),
        ((0, 0b100), "interface=active (neither IPv4 nor IPv6)"),
        ((0, 0b110), "interface=active (IPv4)"),
        ((1, 0), "(Malformed Query)"),
        ((4, 0), "(Multiple Interfaces Satisfy Query)"),
        ((9, 0), "(code 9)"),
    ],
)
def test_states_of_interfaces(status: tuple[int, int], shown: str) -> None:
    code, bits = status

    def answer(case: Any) -> None:
        case.emissions = [
            emission.replace(packet=emission.packet.replace(payload=changed(emission.packet.payload)))
            for emission in case.emissions
        ]

    def changed(message: bytes) -> bytes:
        return with_checksum(bytes((message[0], code, 0, 0)) + message[4:7] + bytes((bits,)) + message[8:])

    with attached() as network:
        network.node("far").rule(answer, type="extended echo")
        assert reply_line("--probe", "eth0", FAR).partition(" ms ")[2] == shown


@pytest.mark.usefixtures("namespace")
def test_replies_that_are_cut_off_are_marked() -> None:
    with attached() as network:
        network.node("far").rule({"do": "truncate", "size": 12}, type="timestamp")
        assert reply_line("--timestamp", FAR) == f"12 bytes from {FAR}: icmp_seq=1 ttl=63 time=T ms (truncated)"


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("options", [["--timestamp"], ["--info"], ["--mask"], ["--probe", "eth0"]])
def test_duplicates_and_losses_count_as_those_of_echoes(options: list[str]) -> None:
    with attached() as network:
        network.node("far").rule({"do": "duplicate"}, first=1)
        network.node("far").rule("drop", first=1)
        done = ping("-c", "3", "-i", "0.2", *options, FAR)

    assert "3 packets transmitted, 2 received, +1 duplicates, 33.3333% packet loss" in done.stdout
    assert "(DUP!)" in done.stdout
    assert done.returncode == 0


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [["--timestamp"], ["--info"], ["--mask"], ["--probe", "eth0"]])
def test_icmp_errors_are_told_as_those_about_echoes(options: list[str], kind: str) -> None:
    RANGE.write_text(KINDS[kind])
    with attached():
        refused = ping("-c", "1", *options, BEYOND)
        exceeded = ping("-c", "1", "-t", "1", *options, FAR)

    assert "From 10.0.0.2 icmp_seq=1 Packet filtered\n" in refused.stdout
    assert "From 10.0.0.2 icmp_seq=1 Time to live exceeded\n" in exceeded.stdout
    assert "1 packets transmitted, 0 received, +1 errors, 100% packet loss" in exceeded.stdout
    assert (refused.returncode, exceeded.returncode) == (1, 1)


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("options", [["--timestamp"], ["--probe", "eth0"]])
def test_without_an_answer_it_fails_after_the_timeout(options: list[str]) -> None:
    with attached(answers=("echo",)):
        done = ping("-q", "-c", "1", "-W", "0.2", *options, FAR)

    assert "1 packets transmitted, 0 received, 100% packet loss" in done.stdout
    assert done.returncode == 1


@pytest.mark.usefixtures("namespace")
def test_an_address_or_device_to_send_from() -> None:
    with attached():
        done = ping("-q", "-c", "1", "-w", "5", "-I", "10.0.0.1", "-I", "lab0", "--timestamp", FAR)

    assert done.stdout.startswith(f"PING {FAR} ({FAR}) from 10.0.0.1 lab0: 12(40) bytes of data.\n")
    assert (done.stderr, done.returncode) == ("", 0)


@given(kind=st.sampled_from([0, 14, 16, 18, 43, 161]), rest=st.binary(max_size=40), family=st.sampled_from([2, 10]))
def test_every_answer_can_be_shown(kind: int, rest: bytes, family: int) -> None:
    message = bytes(24) + bytes((kind,)) + rest
    target = Target("host", family, (FAR, 0))
    record = Reply(target, 1, 1, 10**18, (FAR, 0), message, 64, 10**6, "kernel")

    assert answer_text(record).isprintable()


# What is sent


@pytest.mark.usefixtures("namespace")
def test_tshark_reads_the_requests(tmp_path: Path) -> None:
    if shutil.which("tshark") is None:
        pytest.skip("needs tshark")
    capture = tmp_path / "sent.pcap"
    with capture.open("wb") as file, attached(lab.Network()) as network:
        network.observers.append(lab.PcapWriter(file).observe)
        for options in ("--timestamp", "--info", "--mask", "--probe=eth0", "--probe=7", "--probe=2001:db8::9"):
            reply_line(options, FAR)
        for options in ("--probe=10.1.2.3", "--probe=02:00:00:00:00:09"):
            reply_line(options, FAR6)
    command = [
        "tshark",
        "-r",
        str(capture),
        "-O",
        "icmp,icmpv6",
        "-Y",
        "ip.dst == 192.0.2.1 or ipv6.dst == 2001:db8:aaaa::1",
    ]
    read = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    for told in (
        "Type: 13 (Timestamp request)",
        "Type: 15 (Information request)",
        "Type: 17 (Address mask request)",
        "Type: 42 (Extended Echo request)",
        "Type: Extended Echo request (160)",
        "Local bit: Set",
        "Name: eth0",
        "Interface Index: 7",
        "Address: 2001:db8::9",
        "Address: 10.1.2.3",
        "AC Address (16389)",
    ):
        assert told in read
    assert "Status: Good" in read
    assert "Status: Bad" not in read
    assert "Malformed" not in read


# The kernel's answers


@pytest.fixture(scope="module")
def network() -> Iterator[PingNetwork]:
    with ping_network("pingpairs") as network:
        for namespace in (network.client, network.server):
            subprocess.run(
                ["ip", "netns", "exec", namespace, "sysctl", "-qw", "net.ipv4.icmp_echo_enable_probe=1"], check=True
            )
        yield network


@pytest.mark.parametrize("target", ["10.77.2.2", "127.0.0.1"])
def test_the_kernel_tells_the_time(network: PingNetwork, target: str) -> None:
    done = network.run("ours", ["-c", "1", "--timestamp", target])

    found = re.fullmatch(TIMESTAMP_LINE.format(re.escape(target)), done.out.splitlines()[1])
    assert found, done
    # One clock, read in milliseconds; a step of it while the test runs is not our business.
    assert -1 <= int(found[3]) < 5000
    assert -1 <= int(found[4]) < 5000


@pytest.mark.parametrize("user", [False, True], ids=["root", "user"])
@pytest.mark.parametrize("target", ["10.77.2.2", "fd77:2::2"])
@pytest.mark.parametrize("name", ["near", "10.77.2.2", "fd77:2::2"])
def test_the_kernel_tells_of_its_interfaces(network: PingNetwork, target: str, name: str, user: bool) -> None:
    done = network.run("ours", ["-c", "1", f"--probe={name}", target], user=user)

    assert done.out.splitlines()[1].endswith(" ms interface=active (IPv4, IPv6)")
    assert (done.err, done.status) == ("", 0)


def test_the_kernel_has_no_such_interface(network: PingNetwork) -> None:
    done = network.run("ours", ["-c", "1", "--probe", "eth99", "10.77.2.2"], user=True)

    assert done.out.splitlines()[1].endswith(" ms (No Such Interface)")


# What cannot be had


@pytest.mark.parametrize("option", ["--timestamp", "--info", "--mask"])
def test_a_user_is_told_that_our_own_layer_is_needed(network: PingNetwork, option: str) -> None:
    done = network.run("ours", ["-c", "1", option, "10.77.2.2"], user=True)

    assert re.fullmatch(
        rf"ping: {option}: the kernel's ping sockets do not send ICMP type 1[357], and our own layer cannot be had:"
        r" in this process, [^;\n]*CAP_NET_RAW[^;\n]*; from a service, no service [^;\n]*\n",
        done.err,
    )
    assert (done.out, done.status) == ("", 2)


@pytest.mark.usefixtures("namespace")
def test_a_service_may_permit_them(network: PingNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    # An interpreter and a copy of the package that the user can read.
    monkeypatch.setenv("PYTHONPATH", str(network.programs / "ours"))
    access = '[access]\ngroup_range = "0 4294967294"\n'
    as_user = dict[str, Any](user=65534, group=65534, extra_groups=[])
    command = [SYSTEM_PYTHON, "-m", "pingsock", "ping", "-c", "1", "--timestamp", "127.0.0.1"]
    with running_service(f'{access}[permit]\nmessages = ["echo", "timestamp"]\n') as service:
        monkeypatch.setenv("PINGSOCK_SOCKET", service.path)
        served = subprocess.run(command, capture_output=True, text=True, check=False, **as_user)
        service.reload(access)
        refused = subprocess.run(command, capture_output=True, text=True, check=False, **as_user)

    assert "1 packets transmitted, 1 received, 0% packet loss" in served.stdout
    assert "from a service, its configuration permits no timestamp messages\n" in refused.stderr
    assert refused.returncode == 2


@pytest.mark.parametrize("option", ["--timestamp", "--info", "--mask"])
@pytest.mark.parametrize("arguments", [["::1"], ["fe80::1%lo"], ["-6", "localhost"]])
def test_there_is_none_of_them_for_ipv6(option: str, arguments: list[str]) -> None:
    done = ping(option, *arguments)

    assert done.stderr == f"ping: {option}: ICMPv6 has no such messages, only ICMP for IPv4 has\n"
    assert (done.stdout, done.returncode) == ("", 2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--timestamp", "--mask"], "only one of --timestamp, --info, --mask and --probe may be used"),
        (["--timestamp", "-e", "0"], "--timestamp cannot be used together with -e 0"),
        (["--probe=lo", "-N", "name"], "--probe cannot be used together with -N"),
        (["--probe="], "--probe: '' is no interface: a name of up to 63 bytes, a number or an address"),
    ],
)
def test_what_is_refused(arguments: list[str], told: str) -> None:
    done = ping(*arguments, "127.0.0.1")

    assert (done.stdout, done.stderr, done.returncode) == ("", f"ping: {told}\n", 2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["127.0.0.1", "--probe"], "option '--probe' requires an argument"),
        (["--mask=24", "127.0.0.1"], "option '--mask' doesn't allow an argument"),
        (["--no-such-option", "127.0.0.1"], "invalid option -- '-'"),
    ],
)
def test_what_is_not_understood(arguments: list[str], told: str) -> None:
    done = ping(*arguments)

    assert done.stderr.startswith(f"ping: {told}\n\nUsage\n")
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("text", "interface"),
    [
        ("eth0", InterfaceByName(b"eth0")),
        ("7", InterfaceByIndex(7)),
        ("0", InterfaceByIndex(0)),
        ("007", InterfaceByIndex(7)),
        ("0000000000009999999999", InterfaceByName(b"0000000000009999999999")),
        ("4294967295", InterfaceByIndex(2**32 - 1)),
        ("4294967296", InterfaceByName(b"4294967296")),
        ("192.0.2.9", InterfaceByAddress(bytes((192, 0, 2, 9)))),
        ("::1", InterfaceByAddress(bytes(15) + b"\1")),
        ("02:00:5e:10:00:0A", InterfaceByAddress(bytes.fromhex("02005e10000a"), AFI_MAC48)),
        ("02:00:5e:10:00:0g", InterfaceByName(b"02:00:5e:10:00:0g")),
        ("+2:00:5e:10:00:0a", InterfaceByName(b"+2:00:5e:10:00:0a")),
        ("ge-0/0/1.0", InterfaceByName(b"ge-0/0/1.0")),
    ],
)
def test_ways_to_name_an_interface(text: str, interface: object) -> None:
    assert interface_of(text) == interface


@pytest.mark.parametrize("text", ["", 64 * "a", 5000 * "9"])
def test_a_name_can_be_too_short_or_long(text: str) -> None:
    with pytest.raises(Refused):
        interface_of(text)
