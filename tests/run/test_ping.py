"""Debian's ping prints the same through `pingsock run`, with the range closed, as on a ping socket of the kernel."""

from __future__ import annotations

import shlex

import pytest

from cli.ping_network import masked
from run.ping_command_lines import COMMAND_LINES
from run.programs import RunNetwork

DEVIATIONS = {":: -c 1"}
"""D5 of docs/deviations.md: a raw socket sends to ::1 instead."""
LEARNING = {command for command in COMMAND_LINES if "-s 1450" in command or "-M dont -c 1 -s 2000 fd" in command}
"""What they print depends on what was learned of the path before, and a service remembers."""
ADAPTIVE = {command for command in COMMAND_LINES if command.startswith("-A")}
"""They wait for the last reply as long as the slowest took twice, which on a busy machine may be too short."""
COMMANDS = [command for command in COMMAND_LINES if command not in DEVIATIONS | ADAPTIVE]


def check_same(network: RunNetwork, command: str, way: str) -> None:
    words = [str(network.programs / "ping"), *shlex.split(command)]
    of_kernel = network.on_kernel(words)
    ours = network.supervised(words, way)

    assert masked(ours.out) == masked(of_kernel.out)
    assert ours.err == of_kernel.err
    assert ours.status == of_kernel.status


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in LEARNING])
def test_served_by_the_service_it_prints_and_returns_the_same(network: RunNetwork, command: str) -> None:
    check_same(network, command, "served")


@pytest.mark.parametrize("command", sorted(ADAPTIVE))
def test_an_adaptive_ping_sends_all_its_probes_and_is_answered(network: RunNetwork, command: str) -> None:
    words = shlex.split(command)
    ended = network.supervised([str(network.programs / "ping"), *words], "served")
    assert f"\n{words[words.index('-c') + 1]} packets transmitted, " in ended.out
    assert (ended.status, ended.err) == (0, "")


@pytest.mark.parametrize("command", sorted(LEARNING))
def test_a_service_that_has_learned_nothing_yet_makes_it_print_the_same(network: RunNetwork, command: str) -> None:
    with network.service("fresh"):
        check_same(network, command, "fresh")


@pytest.mark.parametrize("command", COMMANDS[::5])
def test_served_by_the_supervisor_it_prints_and_returns_the_same(network: RunNetwork, command: str) -> None:
    check_same(network, command, "embedded")


@pytest.mark.parametrize("command", COMMAND_LINES[::10])
def test_on_handed_over_sockets_it_prints_and_returns_the_same(network: RunNetwork, command: str) -> None:
    check_same(network, command, "borrowed")
