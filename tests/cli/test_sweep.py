"""`pingsock sweep` as an ordinary user in a small network, beside fping, which runs as root there."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bed.refusals import REJECTIONS
from cli.ping_network import ENVIRONMENT, SYSTEM_PYTHON, PingNetwork, Result, ping_network, result_of, run_ip

FAST = ["--timeout", "1", "-r", "0"]
SLOW = ["--rate", "200", "--timeout", "0.3"]


@pytest.fixture(scope="module")
def network() -> Iterator[PingNetwork]:
    with ping_network("pingsweep") as network:
        network.commands["sweep"] = [SYSTEM_PYTHON, "-m", "pingsock", "sweep"]
        network.commands["fping"] = ["fping"]
        yield network


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory in which the ordinary user may write."""
    # Not within pytest's own, which the start of another run closes to others again.
    with tempfile.TemporaryDirectory(prefix="pingsock-public-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def sweep(network: PingNetwork, *arguments: str, given: bytes | None = None) -> Result:
    if given is None:
        return network.run("sweep", list(arguments), user=True)
    process = network.start("sweep", list(arguments), user=True, stdin=subprocess.PIPE)
    out, err = process.communicate(given, timeout=60)
    return Result(out.decode(), err.decode(), process.returncode)


def fping(network: PingNetwork, *arguments: str) -> Result:
    if shutil.which("fping") is None:
        pytest.skip("needs fping")
    return network.run("fping", list(arguments))


def rows(result: Result) -> dict[str, list[str]]:
    """Lines of a table by their first word, without the headings."""
    return {line.split()[0]: line.split(maxsplit=5) for line in result.out.splitlines()[1:]}


# Beside fping


@pytest.mark.parametrize("prefix", ["10.77.1.0/28", "10.77.2.0/29", "127.0.0.0/22", "10.77.1.0/31"])
def test_the_same_hosts_are_alive_as_for_fping(network: PingNetwork, prefix: str) -> None:
    theirs = fping(network, "-a", "-q", "-r", "1", "-t", "300", "-i", "1", "-g", prefix)
    ours = sweep(network, "-a", "--timeout", "0.3", "-r", "1", prefix)
    assert sorted(ours.out.split()) == sorted(theirs.out.split())
    assert ours.status == theirs.status


@pytest.mark.parametrize(
    "targets",
    [
        ["10.77.1.1"],
        ["10.77.1.1", "10.77.2.2", "server.test"],
        ["10.77.1.1", "10.77.3.99"],
        ["10.77.3.99"],
        ["10.77.1.1", "nobody.invalid"],
        ["nobody.invalid", "10.77.3.99"],
        ["fd77:2::2", "10.77.2.2"],
        ["10.77.3.1", "10.77.1.1"],
    ],
)
def test_exit_statuses_and_lists_are_those_of_fping(network: PingNetwork, targets: list[str]) -> None:
    theirs = [fping(network, option, "-r", "0", "-t", "300", *targets) for option in ("-a", "-u")]
    ours = [sweep(network, option, *FAST, *targets) for option in ("-a", "-u")]
    assert [result.status for result in ours] == [result.status for result in theirs]
    assert [sorted(result.out.split()) for result in ours] == [sorted(result.out.split()) for result in theirs]


def test_a_name_that_is_not_found_is_told_as_by_fping(network: PingNetwork) -> None:
    pattern = r"(?m)^(nobody\.invalid: .+)$"
    theirs = re.findall(pattern, fping(network, "-a", "nobody.invalid").err)
    assert re.findall(pattern, sweep(network, "-a", "nobody.invalid").err) == theirs


def test_in_an_empty_network_on_the_link_whoever_is_there_is_found(network: PingNetwork) -> None:
    there = ["10.78.0.9", "10.78.1.77", "10.78.2.0", "10.78.3.250"]
    run_ip("-n", network.client, "address", "add", "10.78.0.1/22", "dev", "far")
    for address in there:
        run_ip("-n", network.router, "address", "add", f"{address}/22", "dev", "near")
    ended = sweep(network, "-a", "-r", "0", "--rate", "0", "--timeout", "2", "10.78.0.0/22")
    assert sorted(ended.out.split()) == ["10.78.0.1", *there]
    # More than a send buffer holds, and nearly what the neighbour table does: all was sent nevertheless.
    assert "1022 targets: 5 alive, 1017 unreachable" in ended.err


# What is said of each target


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_icmp_errors_are_told_with_their_sender_without_privileges(network: PingNetwork, family: str) -> None:
    first, reporter = {"ip": ("10.77.3.", "10.77.1.1"), "ip6": ("fd77:3::", "fd77:1::1")}[family]
    targets = [f"{first}{number or (0 if family == 'ip' else '')}" for number in range(len(REJECTIONS[family]))]
    found = rows(sweep(network, *FAST, *targets))
    assert [found[target][1] for target in targets] == ["unreachable"] * len(targets)
    remarks = [found[target][4] + found[target][5] for target in targets]
    assert all(f"says {reporter}" in remark for remark in remarks)
    assert len(set(remarks)) == len(remarks)


def test_what_this_host_refuses_to_send_is_not_called_down(network: PingNetwork) -> None:
    ended = sweep(network, *FAST, "10.77.7.1", "10.77.8.1", "10.77.9.1", "10.77.3.99")
    found = rows(ended)
    assert [found[f"10.77.{number}.1"][1] for number in (7, 8, 9)] == ["unsent"] * 3
    assert "No route to host" in found["10.77.7.1"][5]
    assert found["10.77.3.99"][1] == "unreachable"
    assert "3 not sent" in ended.err
    assert ended.status == 1


def test_a_local_firewall_is_told(network: PingNetwork) -> None:
    with network.local_firewall("ip daddr 10.77.1.1 drop;"):
        found = rows(sweep(network, *FAST, "10.77.1.1"))
    assert found["10.77.1.1"][1] == "unsent"
    assert "Operation not permitted" in found["10.77.1.1"][5]


def test_the_table_has_round_trips_loss_and_who(network: PingNetwork) -> None:
    ended = sweep(network, "-c", "3", "--interval", "0.02", *FAST, "server.test", "10.77.1.1", "nobody.invalid")
    lines = ended.out.splitlines()
    assert lines[0].split() == ["HOST", "ADDRESS", "STATE", "RTT", "ms", "LOSS", "REMARKS"]
    found = rows(ended)
    assert found["server.test"][1:3] == ["10.77.2.2", "alive"]
    assert re.fullmatch(r"[\d.]+/[\d.]+/[\d.]+", found["server.test"][3])
    assert found["server.test"][4] == "0%"
    assert found["nobody.invalid"][1:3] == ["-", "unresolved"]
    assert "3 targets: 2 alive, 1 not found" in ended.err


def test_json_lines_hold_numbers_and_reasons(network: PingNetwork) -> None:
    ended = sweep(network, "--json", "--each-probe", *FAST, "10.77.2.2", "10.77.3.1", "nobody.invalid", "10.77.7.1")
    told = [json.loads(line) for line in ended.out.splitlines()]
    by_type = [each["type"] for each in told]
    assert sorted(by_type) == sorted(
        ["reply", "icmp_error", "send_failure", "unresolved", "summary", "summary", "summary"]
    )
    summaries = {each["host"]: each for each in told if each["type"] == "summary"}
    assert summaries["10.77.2.2"]["state"] == "alive"
    assert summaries["10.77.2.2"]["answered_by"] == "10.77.2.2"
    assert 0 < summaries["10.77.2.2"]["mean"] < 1
    assert summaries["10.77.3.1"]["failure"]["reporter"] == "10.77.1.1"
    assert summaries["10.77.7.1"]["failure"]["errno_name"] == "EHOSTUNREACH"
    assert "failure" in summaries["10.77.2.2"]


def test_csv_is_read_by_the_csv_module(network: PingNetwork) -> None:
    ended = sweep(network, "--csv", *FAST, "10.77.2.2", "10.77.3.1", "nobody.invalid")
    found = {row["host"]: row for row in csv.DictReader(io.StringIO(ended.out))}
    assert {host: row["state"] for host, row in found.items()} == {
        "10.77.2.2": "alive",
        "10.77.3.1": "unreachable",
        "nobody.invalid": "unresolved",
    }
    assert float(found["10.77.2.2"]["avg_ms"]) > 0
    assert "10.77.1.1" in found["10.77.3.1"]["reason"]


def test_every_address_of_a_name_is_probed_if_asked_for(network: PingNetwork) -> None:
    assert len(sweep(network, *FAST, "--csv", "both.test").out.splitlines()) == 2
    assert sorted(sweep(network, *FAST, "-a", "-m", "both.test").out.split()) == ["10.77.2.2"]
    assert len(sweep(network, *FAST, "--csv", "-m", "both.test").out.splitlines()) == 3


def test_quiet_says_nothing_but_by_its_status(network: PingNetwork) -> None:
    assert sweep(network, "-q", *FAST, "10.77.1.1", "10.77.3.99") == Result("", "", 1)


def test_a_broadcast_address_is_sent_to_only_if_asked_for(network: PingNetwork) -> None:
    refused = rows(sweep(network, *FAST, "10.77.1.255"))
    assert refused["10.77.1.255"][1] == "unsent"
    subprocess.run(
        ["ip", "netns", "exec", network.router, "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_broadcasts=0"], check=True
    )
    try:
        answered = rows(sweep(network, *FAST, "--broadcast", "10.77.1.248/29"))
    finally:
        subprocess.run(
            ["ip", "netns", "exec", network.router, "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_broadcasts=1"],
            check=True,
        )
    assert answered["10.77.1.255"][1] == "alive"
    assert "answered by 10.77.1." in " ".join(answered["10.77.1.255"])


def test_options_of_the_probes_are_obeyed(network: PingNetwork) -> None:
    found = rows(sweep(network, *FAST, "--ttl", "1", "10.77.2.2"))
    assert "says 10.77.1.1" in " ".join(found["10.77.2.2"])
    found = rows(sweep(network, *FAST, "--dont-fragment", "-s", "1450", "10.77.2.2"))
    assert found["10.77.2.2"][1] == "unreachable"
    options = ["-s", "1450", "--source", "10.77.1.2", "--interface", "far", "--tos", "0xb8", "--socket", "kernel"]
    # The first one finds out the path's MTU.
    assert sweep(network, *FAST, "-r", "1", *options, "10.77.2.2").status == 0


def test_a_socket_of_our_own_finds_the_same(network: PingNetwork) -> None:
    ended = network.run("sweep", ["-a", *FAST, "--socket", "embedded", "10.77.1.0/29", "server.test"])
    assert sorted(ended.out.split()) == ["10.77.1.1", "10.77.1.2", "server.test"]


# Lists


def test_targets_come_from_standard_input_and_files_with_exclusions(network: PingNetwork, public: Path) -> None:
    (public / "list").write_text("# routers\n10.77.1.1 # the first\n\n127.0.0.1-3\n")
    (public / "not").write_text("127.0.0.2\n")
    ended = sweep(
        network,
        "-a",
        *FAST,
        "-f",
        str(public / "list"),
        "--exclude-file",
        str(public / "not"),
        "--exclude",
        "127.0.0.3/32",
    )
    assert sorted(ended.out.split()) == ["10.77.1.1", "127.0.0.1"]
    given = b"127.0.0.9\n127.0.0.10 # ten\n"
    for arguments in (["-a"], ["-a", "-"], ["-a", "-f", "-"]):
        ended = sweep(network, *arguments, given=given)
        assert (sorted(ended.out.split()), ended.status) == (["127.0.0.10", "127.0.0.9"], 0)


def test_a_seed_decides_the_order(network: PingNetwork) -> None:
    def order(*options: str) -> list[str]:
        return sweep(network, "-a", *options, "127.0.0.0/26").out.split()

    assert order("--seed", "5") == order("--seed", "5")
    assert order("--seed", "5") != order("--seed", "6")
    assert sorted(order("--random")) == sorted(order())


# The end


def interrupted(network: PingNetwork, *arguments: str, after: int, number: int = signal.SIGINT) -> Result:
    """The result of a sweep that got a signal when it had written so many lines."""
    # Unbuffered, else some lines stay in a buffer that communicate() does not know.
    process = network.start("sweep", list(arguments), user=True, bufsize=0)
    assert process.stdout is not None
    lines = b"".join(process.stdout.readline() for _ in range(after))
    process.send_signal(number)
    rest = result_of(process)
    return Result(lines.decode() + rest.out, rest.err, rest.status)


def test_an_interruption_tells_what_is_known_and_how_to_go_on(network: PingNetwork) -> None:
    first = interrupted(network, "-a", *SLOW, "--random", "127.0.0.0/24", after=20)
    assert first.status == 1
    assert re.search(r"\d+ of 254 targets: \d+ alive", first.err)
    hint = re.search(r"interrupted; to go on: pingsock sweep (.*)", first.err)
    assert hint
    second = sweep(network, *shlex.split(hint.group(1)), "--rate", "0")
    assert set(first.out.split()) | set(second.out.split()) == {f"127.0.0.{number}" for number in range(1, 255)}
    assert second.status == 0


@pytest.mark.parametrize(
    "options", [[], ["--random"], ["server.test", "localhost", "--random"], ["--jobs", "2", "--random"]]
)
def test_a_sweep_is_resumed_with_no_target_lost_or_done_twice(
    network: PingNetwork, public: Path, options: list[str]
) -> None:
    state = public / "state"
    command = ["-a", *SLOW, "--resume", str(state), "127.0.0.0/24", *options]
    out: list[str] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        part = interrupted(network, *command, after=30, number=number)
        assert part.status == 1
        assert "to go on: pingsock sweep -a" in part.err
        assert state.exists()
        out += part.out.split()
    last = sweep(network, *command)
    out += last.out.split()
    expected = [f"127.0.0.{number}" for number in range(1, 255)] + [name for name in options if name[0].isalpha()]
    assert sorted(out) == sorted(expected)
    assert last.status == 0
    assert f"{len(expected)} targets: {len(expected)} alive" in last.err
    assert os.listdir(public) == []


@pytest.mark.parametrize("workers", ["--jobs", "--processes"])
def test_an_interrupt_of_all_at_a_terminal_ends_several_workers_in_good_order(
    network: PingNetwork, public: Path, workers: str
) -> None:
    state = public / "state"
    command = ["-a", "--rate", "0", workers, "2", "--resume", str(state), "127.0.0.0/15"]
    process = network.start("sweep", command, user=True, bufsize=0, start_new_session=True)
    assert process.stdout is not None
    lines = [process.stdout.readline().decode() for _ in range(100)]
    os.killpg(process.pid, signal.SIGINT)
    first = result_of(process)
    assert first.status == 1
    assert re.fullmatch(r"pingsock sweep: .*\npingsock sweep: interrupted; to go on: .*\n", first.err)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    second = sweep(network, *command)
    alive = "".join([*lines, first.out, second.out]).split()
    assert len(alive) == len(set(alive)) == 131_070
    assert second.status == 0


def test_a_process_that_is_killed_ends_a_sweep_with_one_line(network: PingNetwork) -> None:
    command = ["-a", "--rate", "0", "--processes", "2", "127.0.0.0/10"]
    process = network.start("sweep", command, user=True, bufsize=0)
    assert process.stdout is not None
    process.stdout.readline()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    os.kill(int(children[0]), signal.SIGKILL)
    ended = result_of(process)
    assert ended.status == 4
    said = f"process {children[0]} of this run was killed by SIGKILL; what it had under way is not known"
    assert ended.err == f"pingsock sweep: {said}\n"


def test_a_state_survives_a_kill(network: PingNetwork, public: Path) -> None:
    state = public / "state"
    command = ["-a", *SLOW, "--resume", str(state), "127.0.0.0/24"]
    first = interrupted(network, *command, after=30, number=signal.SIGKILL)
    assert first.status == -signal.SIGKILL
    second = sweep(network, *command, "--rate", "0")
    assert set(first.out.split()) | set(second.out.split()) == {f"127.0.0.{number}" for number in range(1, 255)}


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (["127.0.0.0/25"], "of another sweep"),
        (["127.0.0.0/24", "--exclude", "127.0.0.9"], "of another sweep"),
        (["127.0.0.0/24", "-4"], "of another sweep"),
        (["127.0.0.0/24", "--seed", "1"], "of another sweep"),
        (["127.0.0.0/24", "-m"], "of another sweep"),
    ],
)
def test_the_state_of_another_sweep_is_refused(
    network: PingNetwork, public: Path, other: list[str], complaint: str
) -> None:
    state = public / "state"
    interrupted(network, "-a", *SLOW, "--resume", str(state), "127.0.0.0/24", after=5)
    before = state.read_text()
    ended = sweep(network, "-a", "--resume", str(state), *other)
    assert ended.status == 3
    assert complaint in ended.err
    assert "sweep -a --rate 200" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert state.read_text() == before


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"pingsock_sweep": 2}', "no json", "\0", '{"pingsock_sweep": 1}'])
def test_a_file_that_is_no_state_is_refused_and_kept(network: PingNetwork, public: Path, content: str) -> None:
    state = public / "state"
    state.write_text(content)
    ended = sweep(network, "--resume", str(state), "127.0.0.1")
    assert (ended.out, ended.status) == ("", 3)
    assert "is not the state of a sweep" in ended.err
    assert state.read_text() == content


def test_a_state_that_cannot_be_written_ends_the_sweep_before_it_begins(network: PingNetwork) -> None:
    ended = sweep(network, "--resume", "/proc/nowhere", "127.0.0.1")
    assert (ended.out, ended.status) == ("", 4)
    assert len(ended.err.splitlines()) == 1


def test_a_reader_that_goes_away_ends_it_quietly_and_the_state_stays(network: PingNetwork, public: Path) -> None:
    state = public / "state"
    process = network.start("sweep", ["-a", *SLOW, "--resume", str(state), "127.0.0.0/22"], user=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) == 1
    assert json.loads(state.read_text())["mark"] < 1022


def test_a_full_disk_is_a_failure(network: PingNetwork) -> None:
    with open("/dev/full", "wb") as full:
        process = network.start("sweep", ["-a", "127.0.0.1"], user=True, stdout=full)
        ended = result_of(process)
    assert ended.status == 4
    assert "No space left on device" in ended.err


def test_sigquit_asks_how_far_it_is(network: PingNetwork) -> None:
    process = network.start("sweep", ["-a", *SLOW, "127.0.0.0/24"], user=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.send_signal(signal.SIGQUIT)
    line = process.stderr.readline().decode()
    assert re.search(r"\d+ of 254 done, \d+ alive, \d+ probes/s, 0:0\d left", line)
    process.send_signal(signal.SIGINT)
    result_of(process)


# The command line


@pytest.mark.parametrize(
    "arguments",
    [
        ["10.77.1.300"],
        ["10.77.1.1", "10.77.1.9-1"],
        ["10.77.1.0/40"],
        ["2001:db8::/32"],
        ["--rate", "x", "10.77.1.1"],
        ["--rate", "-1", "10.77.1.1"],
        ["--rate", "nan", "10.77.1.1"],
        ["--timeout", "0", "10.77.1.1"],
        ["-c", "0", "10.77.1.1"],
        ["-r", "-1", "10.77.1.1"],
        ["-s", "65508", "10.77.1.1"],
        ["--ttl", "256", "10.77.1.1"],
        ["--tos", "999", "10.77.1.1"],
        ["--source", "nowhere", "10.77.1.1"],
        ["--interface", "nowhere", "10.77.1.1"],
        ["--socket", "tcp", "10.77.1.1"],
        ["--seed", "-3", "10.77.1.1"],
        ["--jobs", "0", "10.77.1.1"],
        ["--processes", "0", "10.77.1.1"],
        ["--processes", "2", "--jobs", "2", "10.77.1.1"],
        ["--skip", "-3", "10.77.1.1"],
        ["--no-such-option", "10.77.1.1"],
        ["-a", "-u", "10.77.1.1"],
        ["--json", "--csv", "10.77.1.1"],
        ["--each-probe", "10.77.1.1"],
        ["-f", "/nonexistent/list"],
        ["--exclude", "nobody.invalid", "10.77.1.1"],
        ["-", "-f", "-"],
        ["\udcff/24"],
        ["--rate"],
        ["--rate", "1" * 400, "10.77.1.1"],
    ],
)
def test_bad_input_is_one_line_and_status_3(network: PingNetwork, arguments: list[str]) -> None:
    ended = sweep(network, *arguments)
    assert (ended.out, ended.status) == ("", 3)
    assert len(ended.err.splitlines()) == 1
    assert ended.err.startswith("pingsock sweep: ")


def test_a_bad_line_of_a_list_is_named_and_nothing_is_sent(network: PingNetwork) -> None:
    ended = sweep(network, "-f", "-", given=b"127.0.0.1\n127.0.0.1.1\n")
    assert (ended.out, ended.status) == ("", 3)
    assert "standard input, line 2: target must be" in ended.err


@pytest.mark.parametrize("given", [b"", b"# nobody\n"])
def test_of_no_target_none_is_alive(network: PingNetwork, given: bytes) -> None:
    ended = sweep(network, "-a", "-f", "-", given=given)
    assert (ended.out, ended.status) == ("", 1)


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.04, 0.06, 0.08])
def test_an_early_interrupt_is_silent(network: PingNetwork, delay: float) -> None:
    process = network.start("sweep", ["-q", "10.77.3.99"], user=True)
    threading.Event().wait(delay)
    process.send_signal(signal.SIGINT)
    # Until the first line of our program runs, it is Python's own start-up that is interrupted.
    assert "pingsock/cli/sweep" not in result_of(process).err


def test_options_may_stand_behind_targets(network: PingNetwork) -> None:
    assert sweep(network, "127.0.0.1", "-a", "127.0.0.2", "--rate", "50").out.split() == ["127.0.0.1", "127.0.0.2"]


def test_help_is_given_without_a_socket(network: PingNetwork) -> None:
    ended = sweep(network, "--help")
    assert ended.status == 0
    assert "--resume FILE" in ended.out


@pytest.mark.parametrize("options", [[], ["--csv"], ["--json"], ["-a", "--jobs", "2"], ["-a", "--processes", "2"]])
@pytest.mark.parametrize("target", ["10.77.2.1", "::1", "nobody.invalid"])
def test_without_a_socket_nothing_is_printed_but_the_reason_and_the_cure(
    network: PingNetwork, public: Path, options: list[str], target: str
) -> None:
    command = ["--resume", str(public / "state"), "--rate", "0", *options, target]
    ended = result_of(network.start("sweep", command, user=True, namespace=network.server))
    assert (ended.out, ended.status) == ("", 4)
    assert "ping_group_range" in ended.err
    assert "Traceback" not in ended.err
    assert os.listdir(public) == []


def test_without_a_socket_there_is_still_nothing_to_be_done_for_no_target(network: PingNetwork) -> None:
    command = ["-a", "127.0.0.1", "--exclude", "127.0.0.1"]
    ended = result_of(network.start("sweep", command, user=True, namespace=network.server))
    assert (ended.out, ended.status) == ("", 1)


# The progress bar


def on_terminal(network: PingNetwork, python: str, *arguments: str) -> tuple[str, str, int]:
    """Standard output, what was written to standard error, a terminal, and the exit status."""
    controller, terminal = pty.openpty()
    command = ["ip", "netns", "exec", network.client, python, "-m", "pingsock", "sweep", *arguments]
    environment = ENVIRONMENT | {"PYTHONPATH": str(network.programs / "ours"), "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=terminal, env=environment
    )
    os.close(terminal)
    shown = b""
    deadline = time.monotonic() + 60
    with contextlib.suppress(OSError):
        while select.select([controller], [], [], max(deadline - time.monotonic(), 0))[0]:
            chunk = os.read(controller, 4096)
            if not chunk:
                break
            shown += chunk
    os.close(controller)
    out, _ = process.communicate(timeout=60)
    return out.decode(), shown.decode(), process.returncode


def test_the_bar_is_on_a_terminal_only_and_goes_away(network: PingNetwork) -> None:
    pytest.importorskip("rich", reason="needs rich: install the extra sweep")
    out, shown, status = on_terminal(network, sys.executable, "-a", *SLOW, "127.0.0.0/26")
    assert len(out.split()) == 62
    assert "of 62 done" in shown
    assert "probes/s" in shown
    assert status == 0
    _, shown, _ = on_terminal(network, sys.executable, "-a", "--no-progress", *SLOW, "127.0.0.0/28")
    assert "done" not in shown
    assert "\x1b" not in shown


def test_without_rich_one_line_says_what_is_missing(network: PingNetwork) -> None:
    if subprocess.run([SYSTEM_PYTHON, "-c", "import rich"], capture_output=True, check=False).returncode == 0:
        pytest.skip("this system's Python has rich")
    out, shown, status = on_terminal(network, SYSTEM_PYTHON, "-a", "127.0.0.0/29")
    assert (len(out.split()), status) == (6, 0)
    assert shown.count("pingsock[sweep]") == 1
    assert len(shown.splitlines()) == 2
