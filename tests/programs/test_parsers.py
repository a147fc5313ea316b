"""The parsers of ping's output on PyPI, jc and pingparsing, read ours."""

from __future__ import annotations

from typing import Any

import pytest

from programs.conftest import Ours

NOT_THERE = "needs {0} (pip install {0}), which is in the extra `test`"


@pytest.fixture(scope="session")
def jc() -> Any:
    return pytest.importorskip("jc", reason=NOT_THERE.format("jc"))


@pytest.fixture(scope="session")
def pingparsing() -> Any:
    return pytest.importorskip("pingparsing", reason=NOT_THERE.format("pingparsing"))


# jc


def by_jc(jc: Any, text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = jc.parse("ping", text, quiet=True)
    return parsed


@pytest.mark.parametrize(("host", "pattern"), [("10.77.2.2", None), ("server.test", None), ("10.77.2.2", "ff")])
def test_jc_reads_replies(jc: Any, ours: Ours, host: str, pattern: str | None) -> None:
    with_pattern = ["-p", pattern] if pattern else []
    seen = by_jc(jc, ours.run("-c", "2", "-i", "0.2", *with_pattern, host).out)

    assert (seen["destination"], seen["destination_ip"], seen["data_bytes"]) == (host, "10.77.2.2", 56)
    assert (seen["packets_transmitted"], seen["packets_received"], seen["packet_loss_percent"]) == (2, 2, 0.0)
    assert 0 < seen["round_trip_ms_min"] <= seen["round_trip_ms_avg"] <= seen["round_trip_ms_max"]
    assert [
        (each["type"], each["icmp_seq"], each["ttl"], each["bytes"], each["duplicate"]) for each in seen["responses"]
    ] == [
        ("reply", 1, 63, 64, False),
        ("reply", 2, 63, 64, False),
    ]
    assert all(each["response_ip"] == "10.77.2.2" and each["time_ms"] > 0 for each in seen["responses"])


def test_jc_reads_duplicates_time_stamps_and_silence(jc: Any, ours: Ours) -> None:
    seen = by_jc(jc, ours.run("-D", "-O", "-c", "3", "-i", "0.3", "10.78.1.45").out)

    assert seen["duplicates"] == 1
    kinds = [(each["type"], each["icmp_seq"]) for each in seen["responses"][:3]]
    assert kinds == [("reply", 1), ("reply", 1), ("timeout", 2)]
    assert [each["duplicate"] for each in seen["responses"][:2]] == [False, True]
    assert all(each["timestamp"] > 1e9 for each in seen["responses"][:3])


def test_jc_reads_a_run_without_replies(jc: Any, ours: Ours) -> None:
    seen = by_jc(jc, ours.run("-c", "1", "-W", "0.2", "10.77.3.99").out)

    assert (seen["packets_transmitted"], seen["packets_received"], seen["packet_loss_percent"]) == (1, 0, 100.0)


def test_jc_reads_the_count_of_errors(jc: Any, ours: Ours) -> None:
    seen = by_jc(jc, ours.run("-c", "1", "10.77.3.1").out)

    assert (seen["packets_received"], seen["errors"]) == (0, 1)


@pytest.mark.parametrize("host", ["fd77:2::2", "server6.test"])
def test_jc_reads_ipv6_but_for_the_blank_of_newer_headers(jc: Any, ours: Ours, host: str) -> None:
    """jc 1.26 knows the header of iputils up to 20221126 only: `PING HOST(NAME (ADDRESS)) 56 data bytes`."""
    text = ours.run("-c", "2", "-i", "0.2", host).out
    assert text.startswith(f"PING {host} (fd77:2::2) 56 data bytes\n")
    name = "fd77:2::2" if host == "fd77:2::2" else f"{host} (fd77:2::2)"
    seen = by_jc(jc, text.replace(f"{host} (fd77:2::2) 56", f"{host}({name}) 56", 1))

    assert (seen["destination_ip"], seen["data_bytes"], seen["packets_received"]) == ("fd77:2::2", 56, 2)
    assert [(each["type"], each["icmp_seq"]) for each in seen["responses"]] == [("reply", 1), ("reply", 2)]


# pingparsing


# It calls pyparsing by names which that calls deprecated.
old_names = pytest.mark.filterwarnings("ignore:.*deprecated - use:DeprecationWarning")


def by_pingparsing(pingparsing: Any, text: str) -> Any:
    return pingparsing.PingParsing().parse(text)


@old_names
@pytest.mark.parametrize("host", ["10.77.2.2", "fd77:2::2", "server.test", "server6.test"])
def test_pingparsing_reads_replies(pingparsing: Any, ours: Ours, host: str) -> None:
    seen = by_pingparsing(pingparsing, ours.run("-c", "2", "-i", "0.2", host).out)

    assert (seen.destination, seen.packet_transmit, seen.packet_receive, seen.packet_loss_rate) == (host, 2, 2, 0)
    assert 0 < seen.rtt_min <= seen.rtt_avg <= seen.rtt_max
    assert [(each["icmp_seq"], each["ttl"], each["bytes"]) for each in seen.icmp_replies] == [(1, 63, 64), (2, 63, 64)]


@old_names
def test_pingparsing_reads_duplicates_and_loss(pingparsing: Any, ours: Ours) -> None:
    seen = by_pingparsing(pingparsing, ours.run("-c", "4", "-i", "0.3", "10.78.1.45").out)

    assert (seen.packet_transmit, seen.packet_receive, seen.packet_duplicate_count) == (4, 3, 1)
    assert seen.packet_loss_rate == 25


@old_names
@pytest.mark.parametrize("arguments", [("-W", "0.2", "10.77.3.99"), ("10.77.3.1",), ("-t", "1", "10.77.2.2")])
def test_pingparsing_reads_a_run_without_replies(pingparsing: Any, ours: Ours, arguments: tuple[str, ...]) -> None:
    seen = by_pingparsing(pingparsing, ours.run("-c", "1", *arguments).out)

    assert (seen.packet_transmit, seen.packet_receive, seen.packet_loss_rate) == (1, 0, 100)
    assert seen.rtt_avg is None


@old_names
def test_pingparsing_reads_time_stamps(pingparsing: Any, ours: Ours) -> None:
    seen = by_pingparsing(pingparsing, ours.run("-D", "-c", "2", "-i", "0.2", "10.77.2.2").out)

    assert all(each["timestamp"] is not None for each in seen.icmp_replies)
