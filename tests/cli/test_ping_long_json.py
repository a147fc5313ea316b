"""`ping --json`: what happens, as objects with the keys that docs/ping-json.md names."""

from __future__ import annotations

import errno
import json
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.ping_network import PingNetwork, Result, in_namespace, ping_network, result_of, wait_for_line
from pingsock.cli.output import Output
from pingsock.cli.ping_extras import Extras
from pingsock.cli.ping_json import SCHEMA, JsonLines
from pingsock.cli.ping_options import Settings
from pingsock.probe.jsonable import TYPE_NAMES
from pingsock.probe.records import Skipped, Summary, Unresolved
from pingsock.probe.statistics import Statistics
from pingsock.tools.pairs import ADDRESS_MASK, TIMESTAMP, PairQuery
from pingsock.tools.ping import Corrupted
from tools.fake_socket import MILLISECOND, SECOND, TARGET, Clock, FakeSocket, run_on

NOW = 1_700_000_000_123_456_789
DOCUMENT = (Path(__file__).parents[2] / "docs" / "ping-json.md").read_text()
NOT_OF_A_PING = (Skipped, Summary, Unresolved)

Object = dict[str, Any]


@pytest.fixture(scope="module")
def network() -> Iterator[PingNetwork]:
    with ping_network("pingjson") as network:
        yield network


class Kept(Output):
    """An output that keeps what is written."""

    def __init__(self) -> None:
        self.program = "ping"
        self.text = ""
        self.colour = ""
        self.failure = None

    def write(self, text: str) -> None:
        self.text += text


def settings_for_json() -> Settings:
    settings = Settings()
    settings.extras = Extras()
    settings.extras.json = True
    return settings


def told(sock: FakeSocket, settings: Settings | None = None, **plan: Any) -> list[Object]:
    """What is told of a run over a fake socket, without start and summary."""
    output = Kept()
    lines = JsonLines(settings or settings_for_json(), output, lambda: NOW)
    run = run_on(sock, **plan)
    for record in run.records():
        lines.tell(record, run)
    return list(map(json.loads, output.text.splitlines()))


def objects(result: Result) -> list[Object]:
    assert result.err == ""
    return list(map(json.loads, result.out.splitlines()))


def kinds(told: list[Object]) -> list[str]:
    return [each["type"] for each in told]


@pytest.fixture
def sock() -> FakeSocket:
    return FakeSocket(Clock())


# Each kind of event


def test_a_reply(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.reply(sequence, 20 * MILLISECOND)
    (reply,) = told(sock, count=1)

    assert list(reply)[:2] == ["type", "time"]
    assert reply | {"sent_at": 0.0} == {
        "type": "reply",
        "time": 1_700_000_000.123456,
        "host": TARGET,
        "address": TARGET,
        "number": 1,
        "sequence": 1,
        "sent_at": 0.0,
        "source": TARGET,
        "hop_limit": 63,
        "round_trip": 0.02,
        "timed": "receive",
        "bytes": 64,
        "other_source": False,
        "truncated": False,
        "altered_at": None,
        "revises": None,
    }


def test_a_timeout_and_what_revises_it(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.reply(sequence, 1500 * MILLISECOND)
    silence, late = told(sock, count=1, timeout=SECOND)

    assert (silence["type"], silence["waited"], silence["sequence"]) == ("timeout", 1.0, 1)
    assert (late["type"], late["revises"], late["sequence"]) == ("late", "timeout", 1)


def test_a_duplicate_and_an_altered_reply(sock: FakeSocket) -> None:
    def send(sequence: int) -> None:
        sock.reply(sequence, MILLISECOND)
        sock.reply(sequence, 2 * MILLISECOND, payload=bytes(16) + b"\xff" * 40)

    sock.on_send = send
    reply, duplicate, *_ = told(sock, count=2)

    assert "message" not in reply
    assert (duplicate["type"], duplicate["altered_at"]) == ("duplicate", 16)
    assert duplicate["message"].endswith("ff" * 40)


def test_an_error_with_its_source_and_its_figure(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.error(sequence, 3, 4, info=1400)
    (error,) = told(sock, count=1)

    assert (error["type"], error["icmp_type"], error["icmp_code"], error["mtu"]) == ("icmp_error", 3, 4, 1400)
    assert re.fullmatch(r"[\d.]+", error["reporter"])


def test_a_send_failure(sock: FakeSocket) -> None:
    sock.refuse(errno.EPERM)
    (failure,) = told(sock, count=1)

    assert (failure["type"], failure["errno"], failure["errno_name"]) == ("send_failure", errno.EPERM, "EPERM")
    assert failure["sent_at"] is None


def test_a_stray_and_a_probe_that_is_unanswered_when_the_next_is_due(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.stray(77) if sequence == 1 else sock.reply(sequence, MILLISECOND)
    stray, unanswered, reply = told(sock, count=2, tells_unanswered=True, linger=5 * SECOND)[:3]

    assert (stray["type"], stray["sequence"], stray["source"]) == ("stray", 77, TARGET)
    assert (unanswered["type"], unanswered["sequence"]) == ("unanswered", 1)
    assert reply["type"] == "reply"


def test_a_corrupted_reply(sock: FakeSocket) -> None:
    sock.on_send = lambda sequence: sock.reply(sequence, MILLISECOND)
    run = run_on(sock, count=1)
    output = Kept()
    for record in run.records():
        JsonLines(settings_for_json(), output, lambda: NOW).tell(Corrupted(record), run)  # type: ignore[arg-type]

    assert json.loads(output.text)["type"] == "corrupted"


def test_a_pairs_reply_is_told_as_the_message_that_came(sock: FakeSocket) -> None:
    settings = settings_for_json()
    settings.pair = PairQuery(TIMESTAMP)
    sock.on_send = lambda sequence: sock.reply(sequence, MILLISECOND, payload=bytes(16) + b"\x0e" * 20)
    (reply,) = told(sock, settings, count=1, size=16)

    assert (reply["bytes"], reply["message"]) == (20, "0e" * 20)


def test_a_mask_is_told_as_an_address(sock: FakeSocket) -> None:
    settings = settings_for_json()
    settings.pair = PairQuery(ADDRESS_MASK)
    mask = bytes([18, 0, 0, 0, 0, 1, 0, 1, 255, 255, 240, 0])
    sock.on_send = lambda sequence: sock.reply(sequence, MILLISECOND, payload=bytes(16) + mask)

    assert told(sock, settings, count=1, size=16)[0]["answer"] == {"mask": "255.255.240.0"}


def test_a_pairs_reply_that_is_cut_off_has_no_answer(sock: FakeSocket) -> None:
    settings = settings_for_json()
    settings.pair = PairQuery(TIMESTAMP)
    sock.on_send = lambda sequence: sock.reply(sequence, MILLISECOND, payload=bytes(16) + b"\x0e" * 5)

    assert told(sock, settings, count=1, size=16)[0]["answer"] is None


def test_times_are_told_as_text_too_if_that_is_wanted(sock: FakeSocket) -> None:
    settings = settings_for_json()
    assert settings.extras is not None
    settings.extras.iso_times = True
    sock.on_send = lambda sequence: sock.reply(sequence, MILLISECOND)
    (reply,) = told(sock, settings, count=1)

    assert re.fullmatch(r"2023-11-1[45]T\d\d:\d\d:20\.123456[+-]\d\d:\d\d", reply["time_iso"])


def test_quiet_tells_nothing_between_start_and_summary(sock: FakeSocket) -> None:
    settings = settings_for_json()
    settings.quiet = True
    sock.on_send = lambda sequence: sock.reply(sequence, MILLISECOND)

    assert told(sock, settings, count=1) == []


# The document


@pytest.mark.parametrize("kind", [name for record, name in TYPE_NAMES.items() if record not in NOT_OF_A_PING])
def test_each_type_is_documented(kind: str) -> None:
    assert f"`{kind}`" in DOCUMENT


def test_the_schema_that_is_documented_is_the_one_that_is_told() -> None:
    assert f"**schema {SCHEMA}**" in DOCUMENT


def undocumented(told: Object) -> set[str]:
    return {key for key in told if f"`{key}`" not in DOCUMENT and not key.startswith("percentile_")}


def test_each_key_of_a_summary_is_documented() -> None:
    assert undocumented(Statistics().as_dict()) == set()


# Whole runs


def test_a_run_is_a_start_what_happened_and_a_summary(network: PingNetwork) -> None:
    start, *replies, summary = objects(network.run("ours", ["--json", "-c", "3", "-i", "0.05", "server.test"]))

    assert start.items() >= {
        "type": "start", "schema": 1, "program": "pingsock", "host": "server.test", "address": "10.77.2.2", "family": 4,
        "socket": "kernel", "size": 56, "count": 3, "interval": 0.05, "deadline": None, "timeout": 1.0, "asks": "echo",
    }.items()  # fmt: skip
    assert [(reply["type"], reply["sequence"]) for reply in replies] == [("reply", 1), ("reply", 2), ("reply", 3)]
    assert summary.items() >= {
        "type": "summary", "transmitted": 3, "sent": 3, "received": 3, "loss": 0.0, "loss_percent": 0.0,
        "in_flight": 0, "exit_status": 0, "limits_exceeded": [],
    }.items()  # fmt: skip
    assert summary["minimum"] <= summary["percentile_50"] <= summary["maximum"]
    for each in (start, *replies, summary):
        assert undocumented(each) == set()


def test_ipv6_with_percentiles_and_limits(network: PingNetwork) -> None:
    result = network.run("ours", ["--json", "--percentiles", "--max-rtt", "0", "-c", "2", "-i", "0.05", "fd77:2::2"])
    summary = json.loads(result.out.splitlines()[-1])

    assert sum(row["count"] for row in summary["histogram"]) == 2
    assert (summary["limits_exceeded"], summary["exit_status"], result.status) == (["max-rtt"], 3, 3)
    assert result.err.startswith("ping: a round trip of ")


def test_errors_and_timeouts_are_objects_and_status_1(network: PingNetwork) -> None:
    unreachable = network.run("ours", ["--json", "-c", "1", "10.77.3.1"])
    silent = network.run("ours", ["--json", "-c", "2", "-i", "0.1", "-W", "0.3", "10.77.3.99"])

    assert kinds(objects(unreachable)) == ["start", "icmp_error", "summary"]
    assert objects(unreachable)[1]["reporter"] == "10.77.1.1"
    # On a busy machine ping may not have run when the time was up, and says so.
    told = kinds(objects(silent))
    assert (told[0], set(told[1:3]) <= {"timeout", "unmeasured"}, told[3:]) == ("start", True, ["summary"])
    assert objects(silent)[-1]["timeouts"] == told.count("timeout")
    assert (unreachable.status, silent.status) == (1, 1)
    for each in objects(unreachable) + objects(silent):
        assert undocumented(each) == set()


def test_a_probe_that_this_host_refuses_is_an_object(network: PingNetwork) -> None:
    with network.local_firewall("ip daddr 10.77.2.2 drop;"):
        start, failure, summary = objects(network.run("ours", ["--json", "-c", "1", "10.77.2.2"]))

    assert (start["type"], failure["type"], failure["errno_name"]) == ("start", "send_failure", "EPERM")
    assert (summary["transmitted"], summary["sent"], summary["send_failures"]) == (1, 0, 1)
    assert undocumented(failure) == set()


def test_an_interrupt_ends_with_the_summary(network: PingNetwork) -> None:
    process = network.start("ours", ["--json", "-i", "0.1", "10.77.2.2"])
    lines = wait_for_line(process, b'{"type": "reply"')
    process.send_signal(signal.SIGINT)
    result = result_of(process)
    told = list(map(json.loads, (lines.decode() + result.out).splitlines()))

    assert (told[0]["type"], told[-1]["type"]) == ("start", "summary")
    assert (result.err, result.status) == ("", 0)


def test_answers_to_other_questions_are_numbers(network: PingNetwork) -> None:
    in_namespace(network.server, "sysctl", "-qw", "net.ipv4.icmp_echo_enable_probe=1")
    (_, timed, _), (_, probed, _), (_, unknown, _) = (
        objects(network.run("ours", ["--json", "-c", "1", "-W", "3", *option, "10.77.2.2"]))
        for option in (["--timestamp"], ["--probe", "near"], ["--probe", "nothing"])
    )
    assert timed["type"] == "reply"
    assert timed["answer"].keys() == {"receive", "transmit", "there", "back", "ahead"}
    assert timed["answer"]["there"] + timed["answer"]["back"] == pytest.approx(timed["round_trip"], abs=0.003)
    assert probed["answer"] == {"code": 0, "code_name": "No Error", "active": True, "ipv4": True, "ipv6": True}
    assert (unknown["answer"]["code"], unknown["answer"]["active"]) == (2, False)
    for each in (timed, probed):
        assert undocumented(each | each["answer"]) == set()


@pytest.mark.parametrize("delay", [0.02, 0.04, 0.06, 0.08])
def test_an_early_interrupt_never_prints_a_traceback(network: PingNetwork, delay: float) -> None:
    process = network.start("ours", ["--json", "-c", "1", "-W", "1", "10.77.3.99"])
    threading.Event().wait(delay)
    process.send_signal(signal.SIGINT)
    result = result_of(process)

    assert "pingsock/cli/ping" not in result.err
    assert result.status in (1, -signal.SIGINT)


def test_what_other_options_print_stays_away(network: PingNetwork) -> None:
    arguments = ["--json", "-f", "-a", "-D", "-p", "ff", "-R", "-c", "3", "-i", "0.01", "10.77.2.2"]
    told = objects(network.run("ours", arguments))

    assert kinds(told) == ["start", "reply", "reply", "reply", "summary"]
    assert all(reply["ip_options"].startswith("07") for reply in told[1:-1])


def test_what_cannot_begin_tells_why_on_standard_error_only(network: PingNetwork) -> None:
    unknown = network.run("ours", ["--json", "nobody.test"])
    refused = network.run("ours", ["--json", "-p", "ff", "-c", "0", "10.77.2.2"])

    assert (unknown.out, unknown.status) == ("", 2)
    assert unknown.err.startswith("ping: nobody.test: ")
    assert (refused.out, refused.status) == ("", 1)


def test_a_reader_that_goes_away_ends_it_quietly(network: PingNetwork) -> None:
    process = network.start("ours", ["--json", "-i", "0.05", "10.77.2.2"])
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    result = result_of(process)

    assert result.err == ""
    assert result.status != 0
