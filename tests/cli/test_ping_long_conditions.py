"""--until-up, --until-down, --max-loss, --max-rtt: when a ping ends, and what it exits with."""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Iterator

import pytest

from cli.ping_network import PingNetwork, ping_network, result_of, run_ip, wait_for_line
from pingsock.cli.ping_conditions import LIMIT_EXCEEDED, NOT_REACHED, Conditions, Row
from pingsock.cli.ping_extras import DOWN, MOST_COUNTED, UP, Extras
from pingsock.probe.records import (
    Duplicate,
    IcmpError,
    Late,
    Note,
    Overflow,
    Record,
    Reply,
    SendFailure,
    Stray,
    Timeout,
    Unmeasured,
)
from pingsock.probe.statistics import Statistics
from pingsock.probe.target import Target

HOST = Target("10.0.0.9", 2, ("10.0.0.9", 0))
SOURCE = ("10.0.0.9", 0)
REPLY = Reply(HOST, 1, 1, 1, SOURCE, b"", 64, 2_000_900, "kernel")
LATE = Late(HOST, 1, 1, 1, SOURCE, b"", 64, 9_000_000_000, "kernel")
DUPLICATE = Duplicate(HOST, 1, 1, 1, SOURCE, b"", 64, 9_000_000_000, "kernel")
ERROR = IcmpError(HOST, 1, 1, 1, SOURCE, 3, 1, 0)
NOTE = Note(HOST, 1, 1, 1, SOURCE, 5, 1, 0)
FAILURE = SendFailure(HOST, 1, 1, 0, errno.EPERM)
SILENCE = Timeout(HOST, 1, 1, 1, 10**9)
OVERFLOW = Overflow(HOST, 1, 1, 1, 10**9)
UNMEASURED = Unmeasured(HOST, 1, 1, 1, 10**9)
STRAY = Stray(1, SOURCE, b"", "")
ALL = (REPLY, LATE, DUPLICATE, ERROR, NOTE, FAILURE, SILENCE, OVERFLOW, UNMEASURED, STRAY)


@pytest.fixture(scope="module")
def network() -> Iterator[PingNetwork]:
    with ping_network("pingcond") as network:
        yield network


def extras(until: str = "", max_loss: float | None = None, max_round_trip: int | None = None, count: int = 1) -> Extras:
    wanted = Extras()
    wanted.until_count = count
    wanted.until, wanted.max_loss, wanted.max_round_trip = until, max_loss, max_round_trip
    return wanted


def meeting(until: str) -> list[Record | Stray]:
    """The records that are what is waited for."""
    met: list[Record | Stray] = []
    for record in ALL:
        conditions = Conditions(extras(until))
        conditions.enter(record)
        if conditions.is_met:
            met.append(record)
    return met


def test_a_host_is_up_with_its_first_reply() -> None:
    assert meeting(UP) == [REPLY, LATE]


def test_a_host_is_down_with_a_probe_that_surely_has_no_reply() -> None:
    assert meeting(DOWN) == [ERROR, FAILURE, SILENCE]


def test_without_a_state_to_wait_for_nothing_ends() -> None:
    assert meeting("") == []


def test_what_has_come_stays() -> None:
    conditions = Conditions(extras(DOWN))
    conditions.enter(SILENCE)
    conditions.enter(REPLY)

    assert conditions.is_met


def told(until: str, count: int, *records: tuple[int, Record]) -> bool:
    """Whether that is met when these become of the probes with these numbers, in this order."""
    conditions = Conditions(extras(until, count=count))
    for number, record in records:
        conditions.enter(record.replace(number=number))
    return conditions.is_met


def test_a_host_is_down_with_so_many_in_a_row() -> None:
    assert told(DOWN, 3, (1, SILENCE), (2, ERROR), (3, FAILURE))
    assert not told(DOWN, 3, (1, SILENCE), (2, SILENCE), (3, REPLY), (4, SILENCE), (5, SILENCE))
    assert told(DOWN, 3, (3, REPLY), (4, SILENCE), (5, SILENCE), (6, SILENCE))


def test_a_row_is_of_probes_as_they_were_sent_not_as_their_ends_were_told() -> None:
    assert told(DOWN, 3, (3, ERROR), (1, SILENCE), (2, SILENCE))
    assert not told(DOWN, 2, (2, REPLY), (4, REPLY), (1, SILENCE), (3, SILENCE))


def test_a_reply_that_was_only_late_or_came_behind_an_error_breaks_the_row() -> None:
    assert not told(DOWN, 3, (1, SILENCE), (2, SILENCE), (2, LATE), (3, SILENCE))
    assert not told(DOWN, 3, (1, ERROR), (1, REPLY), (2, SILENCE), (3, SILENCE))


@pytest.mark.parametrize("record", [OVERFLOW, UNMEASURED])
def test_a_probe_of_which_nothing_is_known_breaks_the_row(record: Record) -> None:
    assert not told(DOWN, 2, (1, SILENCE), (2, record), (3, SILENCE))
    assert not told(UP, 2, (1, REPLY), (2, record), (3, REPLY))


def test_notes_and_duplicates_are_no_part_of_a_row() -> None:
    assert not told(DOWN, 2, (1, SILENCE), (2, NOTE))
    assert not told(UP, 2, (1, REPLY), (2, DUPLICATE))


def test_a_host_can_be_up_with_so_many_replies_in_a_row() -> None:
    assert told(UP, 3, (1, SILENCE), (2, REPLY), (4, REPLY), (3, LATE))
    assert not told(UP, 2, (1, REPLY), (2, ERROR), (3, REPLY))


def test_a_row_is_found_among_any_number_of_others_and_little_is_kept() -> None:
    row = Row(50)
    for number in range(2, 10 * MOST_COUNTED, 2):
        assert not row.enter(number)
    end = 10 * MOST_COUNTED

    assert len(row._numbers) <= 2 * MOST_COUNTED + 1
    assert [row.enter(end + number) for number in range(1, 51)] == 49 * [False] + [True]


@pytest.mark.parametrize(
    ("most", "loss", "names"), [(0.0, 0.0, []), (0.0, 0.1, ["max-loss"]), (20.0, 20.0, []), (20.0, 25.0, ["max-loss"])]
)
def test_loss_is_exceeded_when_it_is_more(most: float, loss: float, names: list[str]) -> None:
    assert list(Conditions(extras(max_loss=most)).exceeded(loss, Statistics())) == names


@pytest.mark.parametrize(("longest", "names"), [(2000, []), (1999, ["max-rtt"]), (2001, [])])
def test_round_trips_are_compared_in_the_microseconds_that_are_shown(longest: int, names: list[str]) -> None:
    statistics = Statistics()
    statistics.enter(REPLY)

    assert list(Conditions(extras(max_round_trip=longest)).exceeded(0.0, statistics)) == names


def test_without_round_trips_none_is_too_long() -> None:
    assert Conditions(extras(max_round_trip=1)).exceeded(100.0, Statistics()) == {}


def test_what_is_wrong_is_said() -> None:
    statistics = Statistics()
    statistics.enter(REPLY)

    assert Conditions(extras(max_loss=5, max_round_trip=1500)).exceeded(100 / 3, statistics) == {
        "max-loss": "33.3333% packet loss, more than --max-loss 5",
        "max-rtt": "a round trip of 2.000 ms, more than --max-rtt 1.5",
    }


@pytest.mark.parametrize(
    ("until", "met", "exceeded", "usual", "status"),
    [
        ("", False, False, 0, 0),
        ("", False, False, 1, 1),
        ("", False, True, 0, LIMIT_EXCEEDED),
        ("", False, True, 1, 1),
        (UP, True, False, 0, 0),
        (UP, False, False, 1, NOT_REACHED),
        (DOWN, True, False, 1, 0),
        (DOWN, False, False, 0, NOT_REACHED),
        (DOWN, True, True, 1, LIMIT_EXCEEDED),
    ],
)
def test_statuses(until: str, met: bool, exceeded: bool, usual: int, status: int) -> None:
    conditions = Conditions(extras(until))
    conditions.is_met = met

    assert conditions.status(usual, exceeded=exceeded) == status


# Whole runs


def test_until_up_ends_with_the_first_reply(network: PingNetwork) -> None:
    result = network.run("ours", ["--until-up", "-w", "20", "10.77.2.2"])

    assert "1 packets transmitted, 1 received" in result.out
    assert (result.err, result.status) == ("", 0)


def test_until_up_outlives_errors_and_sees_the_host_come(network: PingNetwork) -> None:
    process = network.start("ours", ["--until-up", "-i", "0.1", "-w", "30", "10.77.2.77"])
    try:
        lines = wait_for_line(process, b"From ").decode()
        run_ip("-n", network.server, "address", "add", "10.77.2.77/24", "dev", "near")
        result = result_of(process)
    finally:
        process.kill()
        run_ip("-n", network.server, "address", "delete", "10.77.2.77/24", "dev", "near")

    assert "Destination Host Unreachable" in lines
    assert "64 bytes from 10.77.2.77" in result.out
    assert result.status == 0


def test_until_up_fails_if_the_deadline_comes_first(network: PingNetwork) -> None:
    result = network.run("ours", ["--until-up", "-i", "0.2", "-w", "1", "10.77.3.1"])

    assert result.out.count("From 10.77.1.1") >= 4
    assert result.status == NOT_REACHED


@pytest.mark.parametrize("option", ["--until-up", "--until-down"])
def test_an_interrupt_comes_before_the_state(network: PingNetwork, option: str) -> None:
    silent = option == "--until-up"
    process = network.start("ours", [option, "-i", "0.1", "10.77.3.99" if silent else "10.77.2.2"])
    wait_for_line(process, b"PING" if silent else b"64 bytes")
    process.send_signal(signal.SIGINT)
    result = result_of(process)

    assert "packets transmitted" in result.out
    assert result.status == NOT_REACHED


@pytest.mark.parametrize("host", ["10.77.3.1", "10.77.3.99"], ids=["unreachable", "silent"])
def test_until_down_ends_when_a_probe_is_not_answered(network: PingNetwork, host: str) -> None:
    result = network.run("ours", ["--until-down", "-i", "0.2", "-W", "0.3", "-w", "20", host])

    assert re.search(r"^[3-9] packets transmitted, 0 received, .*100% packet loss", result.out, re.MULTILINE)
    assert result.status == 0


def test_until_down_can_end_with_the_first(network: PingNetwork) -> None:
    result = network.run("ours", ["--until-down=1", "-w", "20", "10.77.3.1"])

    assert "1 packets transmitted, 0 received, +1 errors" in result.out
    assert result.status == 0


def test_until_up_can_ask_for_more_than_one(network: PingNetwork) -> None:
    result = network.run("ours", ["--until-up=3", "-i", "0.2", "-w", "20", "10.77.2.2"])

    assert "3 packets transmitted, 3 received" in result.out
    assert result.status == 0


def test_one_lost_packet_is_no_host_that_is_down(network: PingNetwork) -> None:
    """The count comes before three in a row can."""
    result = network.run("ours", ["--until-down", "-c", "2", "-i", "0.2", "-W", "0.3", "10.77.3.1"])

    assert "2 packets transmitted, 0 received" in result.out
    assert result.status == NOT_REACHED


def test_until_down_sees_a_host_go(network: PingNetwork) -> None:
    process = network.start("ours", ["--until-down", "-i", "0.1", "-W", "0.5", "10.77.2.2"])
    wait_for_line(process, b"64 bytes from")
    with network.local_firewall("ip daddr 10.77.2.2 drop;"):
        result = result_of(process)

    assert result.status == 0


def test_until_down_fails_if_all_are_answered(network: PingNetwork) -> None:
    result = network.run("ours", ["--until-down", "-c", "3", "-i", "0.05", "10.77.2.2"])

    assert "3 packets transmitted, 3 received" in result.out
    assert result.status == NOT_REACHED


def test_limits_that_are_kept_are_not_mentioned(network: PingNetwork) -> None:
    result = network.run(
        "ours", ["--max-loss", "0", "--max-rtt", "60000", "-c", "3", "-i", "0.05", "-W", "10", "10.77.2.2"]
    )

    assert (result.err, result.status) == ("", 0)


def test_a_limit_that_is_exceeded_is_said_and_is_a_status_of_its_own(network: PingNetwork) -> None:
    result = network.run("ours", ["--max-rtt", "0", "-c", "1", "10.77.2.2"])

    assert result.err.startswith("ping: a round trip of ")
    assert result.err.endswith(" ms, more than --max-rtt 0\n")
    assert result.status == LIMIT_EXCEEDED


def test_no_reply_at_all_is_status_1_whatever_the_limits(network: PingNetwork) -> None:
    result = network.run("ours", ["--max-loss", "10", "-c", "1", "10.77.3.1"])

    assert result.err == "ping: 100% packet loss, more than --max-loss 10\n"
    assert result.status == 1
