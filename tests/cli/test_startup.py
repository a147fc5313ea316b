"""What `ping -c 1` may import. Each module costs everybody who runs ping in a script a tenth of a millisecond."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from cli.ping_network import SYSTEM_PYTHON, PingNetwork, ping_network

OURS = [
    "pingsock",
    "pingsock.cli",
    "pingsock.cli.arguments",
    "pingsock.cli.interrupts",
    "pingsock.cli.main",
    "pingsock.cli.output",
    "pingsock.cli.ping",
    "pingsock.cli.ping_lines",
    "pingsock.cli.ping_options",
    "pingsock.cli.ping_session",
    "pingsock.cli.ping_setup",
    "pingsock.cli.ping_sockets",
    "pingsock.cli.ping_texts",
    "pingsock.probe",
    "pingsock.probe.channel",
    "pingsock.probe.clock",
    "pingsock.probe.flow",
    "pingsock.probe.ledger",
    "pingsock.probe.outcome",
    "pingsock.probe.records",
    "pingsock.probe.round_trips",
    "pingsock.probe.sent_probes",
    "pingsock.probe.tally",
    "pingsock.probe.target",
    "pingsock.sockets",
    "pingsock.sockets.ancillary",
    "pingsock.sockets.bare",
    "pingsock.sockets.errors",
    "pingsock.sockets.first_settings",
    "pingsock.tools",
    "pingsock.tools.destination",
    "pingsock.tools.ping",
    "pingsock.tools.ping_ledger",
    "pingsock.tools.ping_schedule",
    "pingsock.wire",
    "pingsock.wire.checksum",
    "pingsock.wire.echo",
    "pingsock.wire.errors",
    "pingsock.wire.linux",
    "pingsock.wire.value",
]

OF_THE_LIBRARY = {"__future__", "_collections", "_socket", "_struct", "errno", "gc", "itertools", "select", "struct"}

PRINTS_MODULES = (
    "import sys; before = set(sys.modules)\n"
    "from pingsock.cli.main import main\n"
    "status = main(['pingsock', *sys.argv[1:]])\n"
    "sys.stderr.write(' '.join(set(sys.modules) - before)); sys.exit(status)"
)

FORBIDDEN = {
    "argparse",
    "asyncio",
    "collections",
    "contextlib",
    "dataclasses",
    "enum",
    "ipaddress",
    "json",
    "re",
    "selectors",
    "signal",
    "socket",
    "threading",
    "typing",
}


@pytest.fixture(scope="module")
def network() -> Iterator[PingNetwork]:
    with ping_network("pingstart") as network:
        yield network


def modules_of(network: PingNetwork, *arguments: str, python: str = SYSTEM_PYTHON) -> set[str]:
    command = ["ip", "netns", "exec", network.client, python, "-I", "-c", PRINTS_MODULES, "ping", *arguments]
    command[-len(arguments) - 2] = (
        f"import sys; sys.path.insert(0, {str(network.programs / 'ours')!r})\n{PRINTS_MODULES}"
    )
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("python", [SYSTEM_PYTHON, sys.executable])
def test_one_ping_imports_these_modules_and_no_other(network: PingNetwork, python: str) -> None:
    imported = modules_of(network, "-c", "1", "127.0.0.1", python=python)

    assert {name for name in imported if name.startswith("pingsock")} == set(OURS)
    assert {name for name in imported if not name.startswith("pingsock")} <= OF_THE_LIBRARY


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "1", "-q", "-n", "-i", "0.2", "-W", "1", "-w", "5", "-s", "100", "fd77:2::2"],
        ["-c", "1", "server.test"],
        ["-c", "1", "-t", "64", "-I", "10.77.1.2", "10.77.2.2"],
    ],
)
def test_no_way_through_ping_imports_what_is_slow(network: PingNetwork, arguments: list[str]) -> None:
    assert not modules_of(network, *arguments) & FORBIDDEN
