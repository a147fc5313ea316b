"""What options with names show: percentiles, histogram, colours, times of day."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import time
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cli.ping_network import ENVIRONMENT, PingNetwork, ping_network, result_of
from cli.test_ping_long_conditions import ALL, DUPLICATE, ERROR, NOTE, REPLY
from pingsock.cli import ping_colour
from pingsock.cli.output import Output
from pingsock.cli.ping_distribution import distribution, rows
from pingsock.cli.ping_iso_time import iso_time
from pingsock.probe.delays import Delays
from pingsock.probe.histogram import Histogram
from pingsock.tools.ping import Corrupted, Sent, Unanswered

GREEN, YELLOW, RED, PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m"
MICROSECOND, MILLISECOND, SECOND = 1_000, 1_000_000, 1_000_000_000


@pytest.fixture(scope="module")
def network() -> Iterator[PingNetwork]:
    with ping_network("pingshow") as network:
        yield network


# Percentiles and histogram


def delays_of(*microseconds: int) -> Delays:
    delays = Delays()
    for each in microseconds:
        delays.add(each * MICROSECOND)
    return delays


def test_one_round_trip_is_all_percentiles() -> None:
    assert distribution(delays_of(412)).splitlines() == [
        "rtt p50/p90/p95/p99 = 0.412/0.412/0.412/0.412 ms, jitter 0.000 ms",
        "0.412 ... 0.413 ms  1  ########################################",
    ]


def test_round_trips_that_are_close_have_rows_of_one_width() -> None:
    lines = distribution(delays_of(*[21_000] * 4, *[22_500] * 2, 28_500)).splitlines()

    assert [line.partition("  ")[0].strip() for line in lines[1:]] == [
        f"{edge} ... {edge + 1} ms" for edge in range(21, 29)
    ]
    assert [line.count("#") for line in lines[1:]] == [40, 20, 0, 0, 0, 0, 0, 10]


def test_round_trips_that_are_far_apart_have_rows_of_growing_width() -> None:
    lines = distribution(delays_of(300, 700, 4_000)).splitlines()

    assert lines[1:] == [
        "0.2 ... 0.5 ms  1  ########################################",
        "  0.5 ... 1 ms  1  ########################################",
        "    1 ... 2 ms  0",
        "    2 ... 5 ms  1  ########################################",
    ]


def test_round_trips_of_all_sizes_have_a_row_for_each_power_of_ten() -> None:
    lines = distribution(delays_of(3, 300, 2_000_000)).splitlines()

    assert [line.partition(" ms")[0].strip() for line in lines[1:]] == [
        "0.001 ... 0.01",
        "0.01 ... 0.1",
        "0.1 ... 1",
        "1 ... 10",
        "10 ... 100",
        "100 ... 1000",
        "1000 ... 10000",
    ]


@given(st.lists(st.integers(0, 100 * SECOND), min_size=1, max_size=50))
@example([0, 50_000])
@example([49_999, 50_000])
@example([50_000])
def test_each_round_trip_is_in_one_of_at_most_ten_rows_without_gaps(column: list[int]) -> None:
    histogram = Histogram()
    histogram.add_many(column)
    shown = rows(histogram)

    assert 1 <= len(shown) <= 10
    assert sum(count for _, _, count in shown) == len(column)
    assert all(shown[at][1] == shown[at + 1][0] for at in range(len(shown) - 1))
    assert shown[0][0] <= min(column) <= max(column) < shown[-1][1]
    assert shown[0][2]
    assert shown[-1][2]


def test_percentiles_stand_behind_the_summary(network: PingNetwork) -> None:
    plain = network.run("ours", ["-c", "3", "-i", "0.02", "10.77.2.2"])
    result = network.run("ours", ["-c", "3", "-i", "0.02", "--percentiles", "10.77.2.2"])
    lines = result.out.splitlines()
    number = len(plain.out.splitlines())

    assert lines[number - 1].startswith("rtt min/avg/max/mdev = ")
    assert re.fullmatch(r"rtt p50/p90/p95/p99 = ([\d.]+/){3}[\d.]+ ms, jitter [\d.]+ ms", lines[number])
    assert all(re.fullmatch(r" *[\d.]+ \.\.\. [\d.]+ ms +\d(  #+)?", line) for line in lines[number + 1 :])


def test_without_replies_there_are_none(network: PingNetwork) -> None:
    assert "p50" not in network.run("ours", ["-c", "1", "--percentiles", "10.77.3.1"]).out


# Times of day


def test_a_time_of_day_has_microseconds_and_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "EST+5")
    time.tzset()
    try:
        assert iso_time(1_700_000_000_000_042_999) == "2023-11-14T17:13:20.000042-05:00"
    finally:
        monkeypatch.undo()
        time.tzset()


# Colours


@pytest.mark.parametrize(
    ("record", "colour"),
    [
        (REPLY, GREEN),
        (REPLY.replace(truncated=True), YELLOW),
        (REPLY.replace(other_source=True), YELLOW),
        (REPLY.replace(altered_at=20), YELLOW),
        (DUPLICATE, YELLOW),
        (Corrupted(REPLY), YELLOW),
        (Unanswered(1), YELLOW),
        (NOTE, YELLOW),
        (ERROR, RED),
        (Sent(1), ""),
    ],
)
def test_the_colour_of_what_happened(record: object, colour: str) -> None:
    assert ping_colour.of_record(record) == colour


def test_every_record_has_a_colour_or_none() -> None:
    assert {ping_colour.of_record(record) for record in ALL} == {GREEN, YELLOW, RED, ""}


def test_ends_of_lines_are_not_painted(capfd: pytest.CaptureFixture[str]) -> None:
    output = Output("ping")
    output.colour = RED
    output.write("\none\ntwo\n")
    output.colour = ""
    output.write("three\n")

    assert capfd.readouterr().out == f"\n{RED}one{PLAIN}\n{RED}two{PLAIN}\nthree\n"


def on_terminal(network: PingNetwork, *arguments: str, **environment: str) -> str:
    """What ping shows on a terminal."""
    ours, theirs = pty.openpty()
    wanted = {name: value for name, value in (ENVIRONMENT | environment).items() if value}
    settings = ["env", *(f"{name}={value}" for name, value in wanted.items())]
    command = network.commands["ours"]
    network.commands["ours"] = [*settings, *command]
    try:
        process = network.start("ours", list(arguments), stdout=theirs, stderr=subprocess.PIPE)
        os.close(theirs)
        shown = b"".join(iter(lambda: _read(ours), b""))
        assert result_of(process).status in (0, 1)
    finally:
        network.commands["ours"] = command
        os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:
        # What reading a terminal says when the other side is gone.
        return b""


def test_a_terminal_has_colours_if_they_are_wanted(network: PingNetwork) -> None:
    shown = on_terminal(network, "-c", "1", "--color", "10.77.2.2", TERM="xterm")

    assert re.search(f"^{re.escape(GREEN)}64 bytes from .* ms{re.escape(PLAIN)}$", shown, re.MULTILINE)


def test_what_is_lost_is_red(network: PingNetwork) -> None:
    shown = on_terminal(network, "-c", "1", "--color", "10.77.3.1", TERM="xterm")

    assert f"{RED}From 10.77.1.1 icmp_seq=1 " in shown
    assert f"{RED}1 packets transmitted, 0 received" in shown


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        ([], {}),
        (["--color"], {"NO_COLOR": "1"}),
        (["--color"], {"TERM": "dumb"}),
        (["--color", "-f", "-i", "0.01"], {}),
        (["--color", "--json"], {}),
    ],
)
def test_there_is_no_colour(network: PingNetwork, arguments: list[str], environment: dict[str, str]) -> None:
    assert "\x1b[" not in on_terminal(network, "-c", "1", *arguments, "10.77.2.2", **{"TERM": "xterm"} | environment)


def test_a_pipe_has_no_colours(network: PingNetwork) -> None:
    assert "\x1b" not in network.run("ours", ["-c", "1", "--color", "10.77.2.2"]).out
