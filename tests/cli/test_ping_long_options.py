"""Options of ping that have names: how they are read, what is refused, and that iputils' own are as before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.ping_network import PingNetwork, masked, ping_network
from cli.test_startup import FORBIDDEN, modules_of
from pingsock.cli import ping_extras
from pingsock.cli.arguments import Refused, WrongUsage
from pingsock.cli.ping_extras import SOCKET_KINDS, Extras
from pingsock.cli.ping_long_options import FLAGS, OPTIONAL_VALUES, VALUES
from pingsock.cli.ping_options import Settings, read_options
from pingsock.cli.ping_usage import usage
from pingsock.sockets.choose import KINDS
from pingsock.tools.pairs import TIMESTAMP, PairQuery

DOCUMENT = (Path(__file__).parents[2] / "docs" / "ping.md").read_text()


@pytest.fixture(scope="module")
def network() -> Iterator[PingNetwork]:
    with ping_network("pinglong") as network:
        yield network


def read(*arguments: str) -> Settings:
    settings = Settings()
    read_options(list(arguments), settings)
    return settings


def extras_of(*arguments: str) -> Extras:
    extras = read(*arguments).extras
    assert extras is not None
    return extras


# Reading


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--json"], "json", True),
        (["--time", "iso"], "iso_times", True),
        (["--time=iso"], "iso_times", True),
        (["--time=iso", "--time=unix"], "iso_times", False),
        (["--until-up"], "until", "up"),
        (["--until-up"], "until_count", 1),
        (["--until-up=5"], "until_count", 5),
        (["--until-down"], "until", "down"),
        (["--until-down"], "until_count", 3),
        (["--until-down=1"], "until_count", 1),
        (["--until-down=065535"], "until_count", 65535),
        (["--until-down=5", "--until-down"], "until_count", 3),
        (["--max-loss", "12.5"], "max_loss", 12.5),
        (["--max-loss=0"], "max_loss", 0.0),
        (["--max-rtt", "1.5"], "max_round_trip", 1500),
        (["--percentiles"], "percentiles", True),
        (["--socket", "embedded"], "socket_kind", "embedded"),
        (["--color"], "colour", True),
    ],
)
def test_each_option_is_read_wherever_it_stands(arguments: list[str], field: str, value: object) -> None:
    assert getattr(extras_of(*arguments, "host"), field) == value
    settings = read("-nc", "3", "host", *arguments)
    assert getattr(settings.extras, field) == value
    assert (settings.operands, settings.count, settings.numeric) == (["host"], 3, True)


def test_without_them_there_are_no_extras() -> None:
    assert read("-c", "3", "-D", "host").extras is None


def test_the_value_of_a_letter_may_look_like_one() -> None:
    assert read("-I", "--json", "host").device == "--json"


def test_behind_two_hyphens_there_are_operands_only() -> None:
    settings = read("--", "--json")

    assert (settings.extras, settings.operands) == (None, ["--json"])


def test_a_time_format_is_that_of_dates() -> None:
    assert read("--time", "unix", "host").dates


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--max-loss", "x"], "invalid --max-loss value: 'x'"),
        (["--max-loss", ""], "invalid --max-loss value: ''"),
        (["--max-loss", "5%"], "invalid --max-loss value: '5%'"),
        (["--max-loss", "-1"], "invalid --max-loss value: '-1': out of range: 0 <= value <= 100"),
        (["--max-loss", "101"], "invalid --max-loss value: '101': out of range: 0 <= value <= 100"),
        (["--max-loss", "nan"], "invalid --max-loss value: 'nan': out of range: 0 <= value <= 100"),
        (["--max-rtt", "1ms"], "invalid --max-rtt value: '1ms'"),
        (["--max-rtt", "inf"], "invalid --max-rtt value: 'inf': out of range: 0 <= value <= 1000000000"),
        (["--time", "rfc"], "invalid --time value: 'rfc': not one of iso, unix"),
        (["--socket", "tcp"], f"invalid --socket value: 'tcp': not one of {', '.join(SOCKET_KINDS)}"),
        *(
            ([f"--until-down={text}"], f"invalid --until-down value: '{text}'{behind}")
            for text, behind in (
                ("x", ""),
                ("-1", ""),
                ("1.5", ""),
                (" 1", ""),
                ("\u0663", ""),
                ("0", ": out of range: 1 <= value <= 65535"),
                ("65536", ": out of range: 1 <= value <= 65535"),
                ("9" * 5000, ": out of range: 1 <= value <= 65535"),
            )
        ),
        (["--until-up", "--until-down"], "only one of --until-up or --until-down may be used"),
    ],
)
def test_a_bad_value_is_one_sentence_and_status_2(arguments: list[str], text: str) -> None:
    with pytest.raises(Refused) as refused:
        read(*arguments, "host")

    assert not isinstance(refused.value, WrongUsage)
    assert (refused.value.text, refused.value.status) == (text, 2)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--jason"], "invalid option -- '-'"),
        (["--js"], "invalid option -- '-'"),
        (["-n--json"], "invalid option -- '-'"),
        (["--json=1"], "option '--json' doesn't allow an argument"),
        (["--time"], "option '--time' requires an argument"),
        (["--until-down="], "option '--until-down=' requires an argument"),
    ],
)
def test_what_is_no_option_is_told_with_the_usage(arguments: list[str], text: str) -> None:
    with pytest.raises(WrongUsage) as wrong:
        read("host", *arguments)

    assert wrong.value.text == text


def test_what_takes_a_raw_socket_takes_no_other() -> None:
    settings = read("-e", "0", "--socket", "kernel", "host")
    assert settings.extras is not None
    with pytest.raises(Refused, match="-e 0 takes a raw socket, not one of kind kernel"):
        ping_extras.check(settings, settings.extras)

    ping_extras.check(read("-e", "0", "host"), extras_of("--socket", "raw"))


def test_pairs_choose_their_socket_themselves() -> None:
    settings = read("--socket", "kernel", "host")
    settings.pair = PairQuery(TIMESTAMP)
    assert settings.extras is not None
    with pytest.raises(Refused, match="--socket cannot be used together with --timestamp"):
        ping_extras.check(settings, settings.extras)


def test_all_kinds_of_socket_can_be_forced() -> None:
    assert set(KINDS) | {"raw"} == set(SOCKET_KINDS)


@pytest.mark.parametrize(
    ("arguments", "milliseconds"),
    [([], 1000), (["-i", "0.2"], 1000), (["-i", "5"], 5000), (["-W", "0.3"], 300), (["-W", "0"], 0)],
)
def test_the_timeout_is_what_w_says_or_an_interval_and_a_second_at_least(
    arguments: list[str], milliseconds: int
) -> None:
    assert ping_extras.timeout(read(*arguments, "host")) == milliseconds


NAMES = FLAGS | VALUES | OPTIONAL_VALUES


def test_an_optional_value_is_no_word_of_its_own() -> None:
    settings = read("--until-down", "5")

    assert settings.operands == ["5"]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_is_in_the_usage(name: str) -> None:
    behind = {**dict.fromkeys(FLAGS, " "), **dict.fromkeys(VALUES, " <"), **dict.fromkeys(OPTIONAL_VALUES, r"\[=<")}
    assert re.search(rf"^  --{name}{behind[name]}", usage("ping"), re.MULTILINE)


@pytest.mark.parametrize("name", [name for name, entered in NAMES.items() if "ping_extras" in entered])
def test_each_extra_is_documented(name: str) -> None:
    assert f"`--{name}" in DOCUMENT


# Whole runs


def test_a_bad_value_ends_before_anything_is_sent(network: PingNetwork) -> None:
    result = network.run("ours", ["--max-rtt", "soon", "10.77.2.2"])

    assert result == ("", "ping: invalid --max-rtt value: 'soon'\n", 2)


@pytest.mark.parametrize("arguments", [["-c", "1"], ["-c", "1", "-D"], ["-c", "2", "-i", "0.01", "-q"], ["-V"], ["-h"]])
def test_options_that_only_judge_change_no_line(network: PingNetwork, arguments: list[str]) -> None:
    def lines(*more: str) -> tuple[str, str, int]:
        result = network.run("ours", [*arguments, *more, "10.77.2.2"])
        return re.sub(r"\[\d+\.\d{6}\]", "[T]", masked(result.out)), result.err, result.status

    assert lines() == lines("--max-loss", "50", "--max-rtt", "60000", "--color")


def test_a_kind_of_socket_is_forced(network: PingNetwork) -> None:
    result = network.run("ours", ["-v", "-c", "1", "--socket", "raw", "10.77.2.2"])

    assert "SOCK_RAW" in result.err
    assert result.status == 0


@pytest.mark.parametrize("kind", ["served", "embedded", "raw"])
def test_a_kind_that_cannot_be_had_is_refused_though_another_can(network: PingNetwork, kind: str) -> None:
    result = network.run("ours", ["-c", "1", "--socket", kind, "10.77.2.2"], user=True)

    assert result.out == ""
    assert "PING" not in result.err
    assert result.status == 2


def test_iso_times_stand_before_each_line(network: PingNetwork) -> None:
    result = network.run("ours", ["-c", "1", "--time", "iso", "10.77.2.2"])

    assert re.search(
        r"^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d\] 64 bytes from 10\.77\.2\.2", result.out, re.MULTILINE
    )


def test_conditions_import_nothing_slow(network: PingNetwork) -> None:
    arguments = ["-c", "1", "--until-up", "--max-loss", "10", "--max-rtt", "60000", "--percentiles", "10.77.2.2"]

    assert not modules_of(network, *arguments) & FORBIDDEN
