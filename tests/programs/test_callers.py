"""The programs that run ping get on with ours: each is satisfied when it calls as it does and reads as it does."""

from __future__ import annotations

from itertools import pairwise

import pytest

from programs.callers import (
    Misunderstood,
    gping_accepts,
    gping_arguments,
    home_assistant_arguments,
    node_ping_arguments,
    read_by_gping,
    read_by_home_assistant,
    read_by_node_ping,
    read_by_telegraf,
    telegraf_arguments,
)
from programs.conftest import Ours

SERVERS = ["10.77.2.2", "fd77:2::2", "server.test", "server6.test"]
NOBODY = "10.77.3.99"
REJECTED = "10.77.3.1"


@pytest.mark.parametrize("host", SERVERS)
def test_telegraf_reads_replies(ours: Ours, host: str) -> None:
    result = ours.run(*telegraf_arguments(host, count=3, interval=0.2, timeout=1, deadline=10))
    seen = read_by_telegraf(result.out, result.status)

    assert (seen.ttl, seen.transmitted, seen.received) == (63, 3, 3)
    assert seen.round_trips is not None
    assert 0 < seen.round_trips.least <= seen.round_trips.average <= seen.round_trips.greatest


@pytest.mark.parametrize(("host", "timeout"), [(NOBODY, 0.2), (REJECTED, 0)])
def test_telegraf_sees_that_nobody_answers(ours: Ours, host: str, timeout: float) -> None:
    result = ours.run(*telegraf_arguments(host, timeout=timeout))
    seen = read_by_telegraf(result.out, result.status)

    assert (seen.ttl, seen.transmitted, seen.received, seen.round_trips) == (-1, 1, 0, None)
    assert result.status == 1


def test_telegraf_reads_duplicates_and_loss(ours: Ours) -> None:
    result = ours.run(*telegraf_arguments("10.78.1.45", count=3, interval=0.3, timeout=1))
    seen = read_by_telegraf(result.out, result.status)

    assert (seen.transmitted, seen.received) == (3, 2)


@pytest.mark.parametrize("interface", ["far", "10.77.1.2"])
def test_telegraf_chooses_an_interface_or_a_source(ours: Ours, interface: str) -> None:
    result = ours.run(*telegraf_arguments("10.77.2.2", interface=interface))

    assert read_by_telegraf(result.out, result.status).received == 1


@pytest.mark.parametrize("arguments", [telegraf_arguments("nosuchname.invalid"), ["-c", "0", "10.77.2.2"], ["-Z"]])
def test_telegraf_tells_a_failed_program_from_a_host_that_is_away(ours: Ours, arguments: list[str]) -> None:
    result = ours.run(*arguments)

    with pytest.raises(Misunderstood):
        read_by_telegraf(result.out, result.status)
    assert result.err


@pytest.mark.parametrize("host", SERVERS)
def test_home_assistant_reads_the_last_line(ours: Ours, host: str) -> None:
    result = ours.run(*home_assistant_arguments(host, 1))
    seen = read_by_home_assistant(result.out, result.status)

    assert seen is not None
    assert seen.least > 0


@pytest.mark.parametrize("host", [NOBODY, REJECTED])
def test_home_assistant_sees_that_nobody_answers(ours: Ours, host: str) -> None:
    result = ours.run(*home_assistant_arguments(host, 1))

    assert read_by_home_assistant(result.out, result.status) is None
    assert result.status == 1


def test_home_assistant_sees_a_name_that_is_none(ours: Ours) -> None:
    result = ours.run(*home_assistant_arguments("nosuchname.invalid"))

    with pytest.raises(Misunderstood):
        read_by_home_assistant(result.out, result.status)


@pytest.mark.parametrize("host", SERVERS)
def test_uptime_kuma_reads_replies(ours: Ours, host: str) -> None:
    result = ours.run(*node_ping_arguments(host))
    seen = read_by_node_ping(result.out, result.status)

    assert seen.address in ("10.77.2.2", "fd77:2::2")
    assert (len(seen.times), seen.loss_percent) == (1, 0)
    assert seen.round_trips is not None


def test_uptime_kuma_reads_loss(ours: Ours) -> None:
    result = ours.run(*node_ping_arguments("10.78.1.41", count=2))
    seen = read_by_node_ping(result.out, result.status)

    assert (len(seen.times), seen.loss_percent) == (1, 50)


def test_uptime_kuma_sees_that_nobody_answers(ours: Ours) -> None:
    result = ours.run(*node_ping_arguments(NOBODY, timeout=1))
    seen = read_by_node_ping(result.out, result.status)

    assert (seen.times, seen.loss_percent, seen.round_trips) == ([], 100, None)
    assert result.status == 1


def test_uptime_kuma_chooses_a_source(ours: Ours) -> None:
    result = ours.run(*node_ping_arguments("10.77.2.2", source="10.77.1.2"))

    assert read_by_node_ping(result.out, result.status).loss_percent == 0


@pytest.mark.parametrize("program", ["ping", "ping6"])
def test_gping_accepts_our_version(ours: Ours, program: str) -> None:
    result = ours.run("-V", program=program)

    assert gping_accepts(result.out)
    assert result.status == 0


@pytest.mark.parametrize(
    ("program", "host", "interface"),
    [("ping", "10.77.2.2", ""), ("ping", "10.77.2.2", "far"), ("ping6", "fd77:2::2", ""), ("ping", "server.test", "")],
)
def test_gping_gets_each_line_when_it_is_due(ours: Ours, program: str, host: str, interface: str) -> None:
    # Its end of the pipe is read while ping runs on: a line that is held back would never come.
    with ours.start(*gping_arguments(host, interface), program=program) as process:
        assert process.stdout is not None
        header, *lines = (process.stdout.readline().decode() for _ in range(3))
        process.kill()

    assert header.startswith("PING ")
    assert all((read_by_gping(line) or 0) > 0 for line in lines)


def test_gping_hears_of_each_probe_without_answer(ours: Ours) -> None:
    with ours.start(*gping_arguments("10.78.1.42")) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().decode() for _ in range(5)][1:]
        process.kill()

    assert [read_by_gping(line) is None for line in lines] == [False, True, False, False]
    assert "no answer yet for icmp_seq=2" in lines[1]


def test_gping_can_stop_ping_by_closing_its_end(ours: Ours) -> None:
    process = ours.start(*gping_arguments("10.77.2.2"))
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
        process.wait(timeout=30)

    assert errors == b""


def test_the_summary_of_iputils_is_where_shell_scripts_cut_it(ours: Ours) -> None:
    """`ping -q -c 3 HOST | tail -1 | cut -d/ -f5`, as countless scripts have it."""
    lines = ours.run("-q", "-c", "3", "-i", "0.2", "10.77.2.2").out.splitlines()

    names, values = lines[-1].split(" = ")
    assert names == "rtt min/avg/max/mdev"
    assert float(lines[-1].split("/")[4]) == float(values.split("/")[1])
    assert lines[-2].startswith("3 packets transmitted, 3 received, 0% packet loss, time ")


def test_lines_of_a_run_come_in_the_order_of_their_probes(ours: Ours) -> None:
    lines = ours.run("-c", "4", "-i", "0.2", "10.77.2.2").out.splitlines()
    sequences = [int(line.partition("icmp_seq=")[2].split()[0]) for line in lines if "icmp_seq=" in line]

    assert all(later == earlier + 1 for earlier, later in pairwise(sequences))
