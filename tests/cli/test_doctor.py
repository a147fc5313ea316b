from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import textwrap
from tempfile import TemporaryFile
from typing import IO

import pytest

from bed.child import Credentials
from pingsock.cli.doctor import main
from pingsock.sockets import diagnosis
from sockets_unit.private import EVERYBODY, in_private_network

IMPORTED_BEFORE_RIGHTS_GO = (fcntl, json, textwrap, diagnosis)
"""An ordinary user may not be able to read the files they come from."""


def doctor(*arguments: str, group_range: str = "", who: Credentials | None = None) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of the command in a fresh network namespace."""

    def inside() -> tuple[int, str, str]:
        with TemporaryFile("w+") as output, TemporaryFile("w+") as complaints:
            os.dup2(output.fileno(), 1)
            os.dup2(complaints.fileno(), 2)
            status = main(list(arguments))
            return status, written(output), written(complaints)

    return in_private_network(inside, group_range=group_range, who=who)


def written(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def test_exit_status_is_0_if_a_kind_can_be_opened() -> None:
    status, output, complaints = doctor(group_range=EVERYBODY, who=Credentials(gid=0))
    assert (status, complaints) == (0, "")
    assert "kernel    IPv4  yes" in output
    assert "embedded  IPv4  no: Operation not permitted" in output


def test_exit_status_is_1_if_none_can() -> None:
    status, output, complaints = doctor(who=Credentials(gid=0))
    assert (status, complaints) == (1, "")
    assert 'sysctl -w net.ipv4.ping_group_range="0 0"' in output
    assert "AmbientCapabilities=CAP_NET_RAW" in output


def test_json_is_one_object_and_nothing_else() -> None:
    status, output, _ = doctor("--json", who=Credentials(gid=0))
    report = json.loads(output)
    assert (status, report["usable"]) == (1, False)
    assert [(kind["kind"], kind["family"]) for kind in report["kinds"]] == [
        ("kernel", "IPv4"),
        ("kernel", "IPv6"),
        ("borrowed", "IPv4"),
        ("borrowed", "IPv6"),
        ("served", "IPv4"),
        ("served", "IPv6"),
        ("embedded", "IPv4"),
        ("embedded", "IPv6"),
    ]


def test_unknown_argument_is_named_with_the_usage(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--jason"]) == 2
    output, complaints = capfd.readouterr()
    assert output == ""
    assert complaints.startswith("pingsock doctor: no such argument: --jason\nUsage: pingsock doctor")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_needs_no_socket(option: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([option]) == 0
    assert capfd.readouterr().out.startswith("Usage: pingsock doctor")


def test_is_a_command_of_pingsock() -> None:
    def inside() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pingsock", "doctor"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    ended = in_private_network(inside, group_range=EVERYBODY)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "kernel    IPv6  yes" in ended.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_a_failure() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "pingsock", "doctor"]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "pingsock doctor: write error: No space left on device\n")
