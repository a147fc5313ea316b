"""What a comparison of lines cannot show: signals, lost outputs, slow resolvers, failed sends, closed group ranges."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.ping_network import PingNetwork, in_namespace, masked, ping_network, result_of, wait_for_line

ENDLESS = ["-i", "0.2", "10.77.2.2"]
GROUP_RANGE = "net.ipv4.ping_group_range"


@pytest.fixture(scope="module")
def network() -> Iterator[PingNetwork]:
    with ping_network("pingbeh") as network:
        yield network


# Signals


def ignoring_signals() -> None:
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)


def blocking_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGQUIT))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGALRM])
@pytest.mark.parametrize("program", ["ours", "iputils"])
def test_a_signal_ends_with_the_summary(network: PingNetwork, program: str, number: signal.Signals) -> None:
    process = network.start(program, ENDLESS)
    lines = wait_for_line(process, b"64 bytes from").decode()
    process.send_signal(number)
    result = result_of(process)

    assert "\n--- 10.77.2.2 ping statistics ---\n" in lines + result.out
    assert result.err == ""
    assert result.status == 0


@pytest.mark.parametrize("prepare", [ignoring_signals, blocking_signals], ids=["ignored", "blocked"])
@pytest.mark.parametrize("program", ["ours", "iputils"])
def test_signals_are_obeyed_though_a_shell_had_turned_them_off(
    network: PingNetwork, program: str, prepare: object
) -> None:
    process = network.start(program, ENDLESS, preexec_fn=prepare)
    wait_for_line(process, b"64 bytes from")
    process.send_signal(signal.SIGQUIT)
    assert process.stderr is not None
    status = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    result = result_of(process)

    assert re.fullmatch(rb"\r\d/\d packets, \d+% loss, min/avg/ewma/max = [\d./]+ ms\n", status)
    assert "ping statistics" in result.out
    assert result.status == 0


def test_a_signal_before_any_reply_is_status_1(network: PingNetwork) -> None:
    # iputils writes its first line into a pipe only with the first reply.
    process = network.start("ours", ["10.77.3.99"])
    wait_for_line(process, b"PING ")
    process.send_signal(signal.SIGINT)
    result = result_of(process)

    assert "0 received, 100% packet loss" in result.out
    assert result.status == 1


@pytest.mark.parametrize("program", ["ours", "iputils"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_kill_without_a_word(network: PingNetwork, program: str, number: signal.Signals) -> None:
    process = network.start(program, ENDLESS)
    wait_for_line(process, b"64 bytes from")
    process.send_signal(number)
    result = result_of(process)

    assert "statistics" not in result.out
    assert result.status == -number


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03])
def test_an_early_interrupt_never_prints_a_traceback_of_ours(network: PingNetwork, delay: float) -> None:
    process = network.start("ours", ["-c", "1", "-W", "1", "10.77.3.99"])
    threading.Event().wait(delay)
    process.send_signal(signal.SIGINT)
    result = result_of(process)

    # Until the first line of our program runs, it is Python's own start-up that is interrupted.
    assert "pingsock/tools" not in result.err
    assert "pingsock/cli/ping.py" not in result.err
    assert result.status in (1, -signal.SIGINT)


def test_an_interrupt_ends_the_wait_for_a_name(network: PingNetwork) -> None:
    with silent_resolver(network):
        process = network.start("ours", ["-H", "-i", "0.2", UNNAMED])
        wait_for_line(process, b"PING ")
        process.send_signal(signal.SIGINT)
        result = result_of(process, timeout=SILENT_SECONDS / 2)

    assert "ping statistics" in result.out
    assert result.err == ""


def test_a_silent_resolver_stalls_nothing(network: PingNetwork) -> None:
    with silent_resolver(network):
        result = result_of(network.start("ours", ["-H", "-i", "0.05", "-c", "3", UNNAMED]), timeout=SILENT_SECONDS / 2)

    assert result.out.count(f"64 bytes from {UNNAMED}: icmp_seq=") == 3
    assert result.status == 0


# Names


UNNAMED = "127.0.0.77"
"""An address that is in no table."""
SILENT_SECONDS = 30


@contextmanager
def silent_resolver(network: PingNetwork) -> Iterator[None]:
    """A name server that swallows all questions, for longer than a test waits."""
    settings = Path("/etc/netns", network.client, "resolv.conf")
    kept = settings.read_text()
    settings.write_text(f"nameserver 10.77.3.99\noptions timeout:{SILENT_SECONDS} attempts:1\n")
    try:
        yield
    finally:
        settings.write_text(kept)


def test_names_of_those_who_reply_are_shown(network: PingNetwork) -> None:
    result = network.run("ours", ["-c", "1", "-H", "10.77.2.2"])

    assert "64 bytes from server.test (10.77.2.2): icmp_seq=1" in result.out


@pytest.mark.parametrize(("flags", "shown"), [(["-H", "-n"], False), (["-n", "-H"], True), (["-n"], False)])
def test_the_last_of_the_name_options_counts(network: PingNetwork, flags: list[str], shown: bool) -> None:
    result = network.run("ours", ["-c", "1", *flags, "server.test"])

    assert ("from server.test" in result.out) == shown


# Standard output


@pytest.mark.parametrize("program", ["ours", "iputils"])
def test_a_full_disk_is_a_failure(network: PingNetwork, program: str) -> None:
    with open("/dev/full", "wb") as full:
        result = result_of(network.start(program, ["-c", "1", "10.77.2.2"], stdout=full))

    assert "ping: write error" in result.err.replace(str(network.programs) + "/", "")
    assert result.err.count("\n") == 1
    assert result.status == 1


@pytest.mark.parametrize("program", ["ours", "iputils"])
def test_a_closed_standard_output_is_a_failure_and_never_a_socket(network: PingNetwork, program: str) -> None:
    result = result_of(network.start(program, ["-c", "1", "10.77.2.2"], preexec_fn=lambda: os.close(1)))

    assert "write error" in result.err
    assert result.status == 1


@pytest.mark.parametrize("program", ["ours", "iputils"])
def test_a_reader_that_has_gone_ends_it_quietly(network: PingNetwork, program: str) -> None:
    process = network.start(program, ["-i", "0.01", "10.77.2.2"])
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    result = result_of(process, timeout=10)

    assert result.err == ""
    assert result.status == -signal.SIGPIPE


def test_running_out_of_descriptors_is_told_in_one_line(network: PingNetwork) -> None:
    # Entering the namespace takes descriptors too, so the limit is set behind it.
    limited = ["prlimit", "--nofile=5:5", *network.commands["ours"], "-n", "-c", "1", "10.77.2.2"]
    command = ["ip", "netns", "exec", network.client, *limited]
    environment = {**os.environ, "PYTHONPATH": str(network.programs / "ours")}
    result = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=20)

    assert (result.stdout, result.stderr, result.returncode) == ("", "ping: Too many open files\n", 2)


def test_all_standard_descriptors_may_be_closed(network: PingNetwork) -> None:
    closing = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    command = ["ip", "netns", "exec", network.client, *closing, *network.commands["ours"], "-c", "1", "10.77.2.2"]
    environment = {**os.environ, "PYTHONPATH": str(network.programs / "ours")}

    assert subprocess.run(command, env=environment, check=False, timeout=20).returncode == 1


# Sends that fail


def test_a_local_firewall_is_named_and_not_waited_for(network: PingNetwork) -> None:
    with network.local_firewall("ip daddr 10.77.2.2 drop;"):
        result = network.run("ours", ["-c", "2", "-i", "0.01", "10.77.2.2"], user=True)

    assert result.err == "ping: sendmsg: Operation not permitted (a local firewall rule dropped it)\n" * 2
    assert "2 packets transmitted, 0 received, +2 errors, 100% packet loss" in result.out
    assert result.status == 1


def test_quiet_is_quiet_about_failed_sends_too(network: PingNetwork) -> None:
    with network.local_firewall("ip daddr 10.77.2.2 drop;"):
        result = network.run("ours", ["-q", "-c", "1", "10.77.2.2"], user=True)

    assert result.err == ""
    assert "+1 errors" in result.out


def test_with_a_deadline_it_goes_on_until_the_firewall_opens(network: PingNetwork) -> None:
    with network.local_firewall("ip daddr 10.77.2.2 drop;"):
        process = network.start("ours", ["-c", "1", "-w", "20", "-i", "0.1", "10.77.2.2"], user=True)
        assert process.stderr is not None
        process.stderr.readline()
    result = result_of(process)

    assert ", 1 received, +" in result.out
    assert result.status == 0


def test_an_icmp_error_costs_no_probe(network: PingNetwork) -> None:
    result = network.run("ours", ["-t", "1", "-c", "20", "-i", "0.01", "10.77.2.2"], user=True)

    assert result.err == ""
    assert result.out.count("Time to live exceeded") == 20
    assert "20 packets transmitted, 0 received, +20 errors" in result.out


# No ping socket, and ours in its place


@pytest.fixture
def closed_range(network: PingNetwork) -> Iterator[PingNetwork]:
    in_namespace(network.client, "sysctl", "-qw", f"{GROUP_RANGE}=1 0")
    try:
        yield network
    finally:
        in_namespace(network.client, "sysctl", "-qw", f"{GROUP_RANGE}=0 65534")


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_who_may_open_no_socket_is_told_how_to_change_that(closed_range: PingNetwork, family: str) -> None:
    host = {"-4": "10.77.2.2", "-6": "fd77:2::2"}[family]
    result = closed_range.run("ours", [family, "-c", "1", host], user=True)
    lines = result.err.splitlines()

    assert lines[:3] == [
        "ping: socktype: SOCK_RAW",
        "ping: socket: Operation not permitted",
        "ping: => missing cap_net_raw+p capability or setuid?",
    ]
    assert GROUP_RANGE in result.err
    assert all(line.startswith("ping: ") for line in lines)
    assert result.out == ""
    assert result.status == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "3", "-i", "0.05", "10.77.2.2"],
        ["-c", "3", "-i", "0.05", "fd77:2::2"],
        ["-t", "1", "-c", "3", "-i", "0.05", "10.77.2.2"],
        ["-t", "1", "-c", "3", "-i", "0.05", "fd77:2::2"],
        ["-c", "1", "10.77.3.1"],
        ["-c", "1", "fd77:3::1"],
        ["-c", "1", "-s", "3000", "10.77.1.1"],
        ["-c", "1", "-s", "0", "10.77.2.2"],
        ["-I", "10.77.1.2", "-c", "1", "10.77.2.2"],
        ["-I", "far", "-c", "1", "10.77.2.2"],
        ["-t", "0", "10.77.2.2"],
        ["-c", "1", "127.0.0.1"],
    ],
    ids=" ".join,
)
def test_our_own_socket_layer_prints_what_the_kernels_does(network: PingNetwork, arguments: list[str]) -> None:
    kernels = network.run("ours", arguments)
    in_namespace(network.client, "sysctl", "-qw", f"{GROUP_RANGE}=1 0")
    try:
        embedded = network.run("ours", arguments)
    finally:
        in_namespace(network.client, "sysctl", "-qw", f"{GROUP_RANGE}=0 65534")

    assert masked(embedded.out) == masked(kernels.out)
    assert (embedded.err, embedded.status) == (kernels.err, kernels.status)


# Being called


@pytest.mark.parametrize(("name", "other"), [("ping4", "::1"), ("ping6", "127.0.0.1")])
def test_the_name_it_is_called_by_presets_the_family(network: PingNetwork, name: str, other: str) -> None:
    link = network.programs / "ours" / name
    link.symlink_to("ping")
    try:
        command = [network.commands["ours"][0], str(link), "-c", "1", other]
        environment = {**os.environ, "PYTHONPATH": str(network.programs / "ours")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=20)
    finally:
        link.unlink()

    assert done.stderr == f"{name}: {other}: Address family for hostname not supported\n"
    assert done.returncode == 2


@pytest.mark.parametrize(
    "host",
    ["", " ", "a" * 64 + ".test", ".".join(["a" * 63] * 5), "x" * 5000, b"\xff\xfe", "-", "%", "::1%nope", "1.2.3.4.5"],
    ids=lambda host: repr(host)[:20],
)
def test_a_bad_host_is_one_line_and_status_2(network: PingNetwork, host: str | bytes) -> None:
    result = network.run("ours", [os.fsdecode(host), "-c", "1"])

    assert result.err.startswith(f"ping: {os.fsdecode(host)}: ")
    assert result.err.count("\n") == 1
    assert result.out == ""
    assert result.status == 2


def test_no_environment_variable_of_iputils_is_forgotten(network: PingNetwork) -> None:
    command = ["env", "IPUTILS_PING_PTR_LOOKUP=0", *network.commands["ours"], "-c", "1", "server.test"]
    process = subprocess.run(
        ["ip", "netns", "exec", network.client, *command],
        env={**os.environ, "PYTHONPATH": str(network.programs / "ours")},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )

    assert process.stderr == "ping: WARNING: reverse DNS resolution (PTR lookup) disabled, enforce with -H\n"
    assert "64 bytes from 10.77.2.2: icmp_seq=1" in process.stdout


def test_each_line_is_out_before_the_next_probe(network: PingNetwork) -> None:
    started = time.monotonic()
    process = network.start("ours", ["-i", "30", "10.77.2.2"])
    wait_for_line(process, b"64 bytes from")
    waited = time.monotonic() - started
    process.kill()
    process.communicate()

    assert waited < 20
