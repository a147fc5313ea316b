"""What needs a raw socket or a capability: `-e 0`, `-N`, source routes and marks, and wrong checksums."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cli.ping_network import SYSTEM_PYTHON, PingNetwork, in_namespace, ping_network

SERVER = "10.77.2.2"
SERVER6 = "fd77:2::2"
NO_SOCKET = (
    "ping: socktype: SOCK_RAW\n"
    "ping: socket: Operation not permitted\n"
    "ping: => missing cap_net_raw+p capability or setuid?\n"
)

WRONG_CHECKSUMS = """
import socket, sys
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
print("ready", flush=True)
while True:
    packet, source = raw.recvfrom(65535)
    message = packet[4 * (packet[0] & 15):]
    if message[0] == 8:
        right = int.from_bytes(message[2:4], "big") + 0x800
        right = (right & 0xFFFF) + (right >> 16)
        for error in (1, 0):
            raw.sendto(bytes(2) + (right ^ error).to_bytes(2, "big") + message[4:], source)
"""

NODE = """
import socket, struct, sys
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
print("ready", flush=True)
while True:
    message, source = raw.recvfrom(65535)
    if message[0] == 139:
        known = {2: b"\\x06server\\x04test\\x00", 4: socket.inet_aton("10.77.2.2")}
        for nonce in (bytes(8), message[8:16]):
            raw.sendto(bytes([140, 0, 0, 0]) + message[4:8] + nonce + bytes(4) + known[message[5]], source[:2])
"""


@pytest.fixture(scope="module")
def network() -> Iterator[PingNetwork]:
    with ping_network("pingraw") as network:
        yield network


@contextmanager
def answering(network: PingNetwork, program: str) -> Iterator[None]:
    """`program` answers in the server's namespace, which does not answer echo requests itself."""
    in_namespace(network.server, "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
    command = ["ip", "netns", "exec", network.server, SYSTEM_PYTHON, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.kill()
            in_namespace(network.server, "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=0")


@pytest.mark.parametrize("arguments", [["-e", "0", SERVER], ["-e", "0", SERVER6], ["-N", "name", SERVER6]])
def test_users_are_told_as_by_iputils(network: PingNetwork, arguments: list[str]) -> None:
    result = network.run("ours", ["-c", "1", *arguments], user=True)

    assert (result.out, result.err, result.status) == ("", NO_SOCKET, 2)


@pytest.mark.parametrize("host", [SERVER, SERVER6])
def test_identifier_0_is_sent_and_shown(network: PingNetwork, host: str) -> None:
    result = network.run("ours", ["-v", "-e", "0", "-c", "1", host])

    assert f"64 bytes from {host}: icmp_seq=1 ident=0 ttl=63 time=" in result.out
    assert "ping: WARNING: ident 0 => forcing raw socket\n" in result.err
    assert "sock4.fd: 3 (socktype: SOCK_RAW), sock6.fd: 4 (socktype: SOCK_RAW)" in result.err
    assert "1 between the kernel's stamps" in result.err


@pytest.mark.parametrize(("host", "text"), [(SERVER, "Time to live exceeded"), (SERVER6, "Time exceeded: Hop limit")])
def test_errors_reach_a_raw_socket_too(network: PingNetwork, host: str, text: str) -> None:
    result = network.run("ours", ["-e", "0", "-t", "1", "-c", "2", "-i", "0.01", host])

    assert result.out.count(text) == 2
    assert "2 packets transmitted, 0 received, +2 errors" in result.out


def test_a_raw_socket_passes_over_the_replies_of_others(network: PingNetwork) -> None:
    flood = network.start("ours", ["-q", "-i", "0.005", "-w", "1", SERVER])
    result = network.run("ours", ["-e", "0", "-i", "0.02", "-c", "10", SERVER])
    flood.communicate()

    assert "10 packets transmitted, 10 received, 0% packet loss" in result.out


def test_replies_with_a_wrong_checksum_are_told_and_answer_nothing(network: PingNetwork) -> None:
    with answering(network, WRONG_CHECKSUMS):
        result = network.run("ours", ["-e", "0", "-c", "2", "-i", "0.1", SERVER])

    wrong, right = result.out.splitlines()[1:3]
    assert wrong.endswith(" ms (BAD CHECKSUM!)")
    assert right.endswith(" ms")
    assert "2 packets transmitted, 2 received, +2 corrupted, 0% packet loss" in result.out


@pytest.mark.parametrize(("wanted", "answer", "size"), [("name", " server.test.", 33), ("ipv4", " 10.77.2.2", 24)])
def test_nodes_answer_what_they_are_asked(network: PingNetwork, wanted: str, answer: str, size: int) -> None:
    with answering(network, NODE):
        result = network.run("ours", ["-N", wanted, "-c", "2", "-i", "0.1", SERVER6])

    lines = result.out.splitlines()
    assert lines[1] == f"{size} bytes from {SERVER6}:{answer}; seq=1; ttl=63"
    assert lines[2] == f"{size} bytes from {SERVER6}:{answer}; seq=2; ttl=63"
    assert "2 packets transmitted, 2 received, 0% packet loss" in result.out
    assert "rtt" not in result.out
    assert result.status == 0


@pytest.mark.parametrize("host", [SERVER, SERVER6])
def test_a_subject_without_a_question_leaves_it_at_echo_requests(network: PingNetwork, host: str) -> None:
    result = network.run("ours", ["-N", "subject-name=server", "-c", "1", host])

    assert f"64 bytes from {host}: icmp_seq=1 ttl=63 time=" in result.out
    assert (result.err, result.status) == ("", 0)


def test_a_source_route_leaves_by_its_first_hop(network: PingNetwork) -> None:
    for device in ("all", "near"):
        in_namespace(network.router, "sysctl", "-qw", f"net.ipv4.conf.{device}.accept_source_route=1")
        in_namespace(network.server, "sysctl", "-qw", f"net.ipv4.conf.{device}.accept_source_route=1")
    in_namespace(network.router, "sysctl", "-qw", "net.ipv4.conf.far.accept_source_route=1")
    in_namespace(network.client, "sysctl", "-qw", "net.ipv4.conf.all.accept_source_route=1")
    in_namespace(network.client, "sysctl", "-qw", "net.ipv4.conf.far.accept_source_route=1")
    result = network.run("ours", ["-c", "1", "-W", "1", "10.77.1.1", SERVER])

    assert result.out.startswith(f"PING {SERVER} ({SERVER}) 56(124) bytes of data.\n")
    assert "\nLSRR: \t10.77." in result.out
    assert result.status == 0


def test_users_cannot_set_a_source_route(network: PingNetwork) -> None:
    result = network.run("ours", ["-c", "1", "10.77.1.1", SERVER], user=True)

    assert (result.out, result.err) == ("", "ping: record route: Operation not permitted\n")
    assert result.status == 2


def test_a_mark_is_set_or_its_failure_told_once(network: PingNetwork) -> None:
    with network.local_firewall("meta mark 7 drop;"):
        marked = network.run("ours", ["-m", "7", "-c", "1", SERVER])
        refused = network.run("ours", ["-m", "7", "-c", "1", SERVER], user=True)

    assert "ping: sendmsg: Operation not permitted (a local firewall rule dropped it)\n" in marked.err
    assert refused.err == (
        "ping: WARNING: failed to set mark: 7: Operation not permitted\n"
        "ping: => missing cap_net_admin+p or cap_net_raw+p (since Linux 5.17) capability?\n"
    )
    assert refused.status == 0
