"""Programs run twice in one network: on the kernel's ping sockets, and through `pingsock run` with the range closed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from cli.ping_network import AS_USER, ENVIRONMENT, SYSTEM_PYTHON, PingNetwork, Result, ping_network, result_of

OPEN, CLOSED = "0 65534", "1 0"
LAUNCHER = "from pingsock.cli.main import run\n\nrun()\n"


class RunNetwork:
    """The network of `cli.ping_network`, and both ways to run a program in its client."""

    def __init__(self, network: PingNetwork) -> None:
        self.network = network
        self.launcher = str(network.programs / "ours" / "pingsock-command")
        self._range = OPEN

    def set_range(self, groups: str) -> None:
        """Who may open ping sockets of the kernel."""
        if groups != self._range:
            command = ["sysctl", "-qw", f"net.ipv4.ping_group_range={groups}"]
            subprocess.run(["ip", "netns", "exec", self.network.client, *command], check=True)
            self._range = groups

    def start(self, words: list[str], **options: object) -> subprocess.Popen[bytes]:
        """A command in the client's namespace."""
        streams: dict[str, object] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = ENVIRONMENT | {"PYTHONPATH": str(self.network.programs / "ours")}
        command = ["ip", "netns", "exec", self.network.client, *words]
        return subprocess.Popen(command, env=environment, **{**streams, **options})  # type: ignore[call-overload, no-any-return]

    def through_run(self, words: list[str], *own: str) -> list[str]:
        """The command line that runs a program through `pingsock run`, of which `own` are options."""
        return [SYSTEM_PYTHON, self.launcher, "run", *own, "--", *words]

    def on_kernel(self, words: list[str]) -> Result:
        """What an ordinary user's program does on the kernel's own ping sockets."""
        self.set_range(OPEN)
        self._forget_paths()
        return result_of(self.start([*AS_USER, *words]))

    def supervised(self, words: list[str]) -> Result:
        """What it does with the range closed, its sockets served by a supervisor that may open raw sockets."""
        self.set_range(CLOSED)
        self._forget_paths()
        return result_of(self.start(self.through_run([*AS_USER, *words])))

    def _forget_paths(self) -> None:
        for family in ("-4", "-6"):
            subprocess.run(["ip", "-n", self.network.client, family, "route", "flush", "cache"], check=True)


@contextmanager
def run_network(name: str) -> Iterator[RunNetwork]:
    """The network, for as long as the context lasts. Skips the test where it cannot be made."""
    with ping_network(name) as network:
        (network.programs / "ours" / "pingsock-command").write_text(LAUNCHER)
        yield RunNetwork(network)
