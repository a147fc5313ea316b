"""Programs run twice in one network: on the kernel's ping sockets, and through `pingsock run` with the range closed.

The programs are an ordinary user's. So is the supervisor, with a service that runs as a third user; but for the way
"embedded", where the supervisor is root and serves the sockets itself. "confined" is "served" with a system call
forbidden that containers usually forbid. "thrown away" is "served" with signals that meet the answers to calls.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from cli.ping_network import AS_USER, ENVIRONMENT, SYSTEM_PYTHON, PingNetwork, Result, ping_network, result_of

SERVICE_USER = "65533"
OPEN, CLOSED, FOR_SERVICE = "0 65534", "1 0", f"{SERVICE_USER} {SERVICE_USER}"
"""Who may open ping sockets of the kernel: net.ipv4.ping_group_range."""
WITHOUT_PIDFD_GETFD, THROWING_ANSWERS_AWAY = "without_pidfd_getfd.py", "throwing_answers_away.py"
LAUNCHER = "from pingsock.cli.main import run\n\nrun()\n"
CONFIGURATION = """\
[access]
group_range = "0 65534"
[permit]
owner_exclusive_idents = false
hand_over = {}
[quota]
sockets = {}
"""
WAYS = {
    "served": CLOSED,
    "fresh": CLOSED,
    "confined": CLOSED,
    "thrown away": CLOSED,
    "borrowed": FOR_SERVICE,
    "embedded": CLOSED,
}
"""Where the sockets of a program come from, and the range that leaves."""


class RunNetwork:
    """The network of `cli.ping_network`, and the ways to run a program in its client."""

    def __init__(self, network: PingNetwork) -> None:
        self.network = network
        self.programs = network.programs
        self.launcher = str(network.programs / "ours" / "pingsock-command")
        self.environment = ENVIRONMENT | {"PYTHONPATH": str(network.programs / "ours")}
        self._range = OPEN
        self._of_kernel: dict[tuple[str, ...], Result] = {}

    def set_range(self, groups: str) -> None:
        """Who may open ping sockets of the kernel."""
        if groups != self._range:
            command = ["sysctl", "-qw", f"net.ipv4.ping_group_range={groups}"]
            subprocess.run(["ip", "netns", "exec", self.network.client, *command], check=True)
            self._range = groups

    def start(self, words: list[str], **options: object) -> subprocess.Popen[bytes]:
        """A command in the client's namespace."""
        streams: dict[str, object] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = ["ip", "netns", "exec", self.network.client, *words]
        options = {"env": self.environment, **streams, **options}
        return subprocess.Popen(command, **options)  # type: ignore[call-overload, no-any-return]

    def pingsock(self, *arguments: str) -> list[str]:
        """Our own command."""
        return [SYSTEM_PYTHON, self.launcher, *arguments]

    def socket_path(self, way: str) -> str:
        """Where the service of a way listens."""
        return str(self.programs / f"{way}.sock")

    def through_run(self, words: list[str], way: str) -> list[str]:
        """The command line that runs a program through `pingsock run`."""
        if way == "embedded":
            return self.pingsock("run", "-S", "/nowhere", "--", *AS_USER, *words)
        if way == "thrown away":
            ours = [SYSTEM_PYTHON, str(self.programs / THROWING_ANSWERS_AWAY)]
            return [*AS_USER, *ours, "run", "-S", self.socket_path("served"), "--", *words]
        if way == "confined":
            forbid = [SYSTEM_PYTHON, str(self.programs / WITHOUT_PIDFD_GETFD)]
            return [*AS_USER, *forbid, *self.pingsock("run", "-S", self.socket_path("served"), "--", *words)]
        return [*AS_USER, *self.pingsock("run", "-S", self.socket_path(way), "--", *words)]

    def on_kernel(self, words: list[str]) -> Result:
        """What an ordinary user's program does on the kernel's own ping sockets; asked once."""
        key = tuple(words)
        if key not in self._of_kernel:
            self.set_range(OPEN)
            self._forget_paths()
            self._of_kernel[key] = result_of(self.start([*AS_USER, *words]))
        return self._of_kernel[key]

    def start_supervised(self, words: list[str], way: str = "served", **options: object) -> subprocess.Popen[bytes]:
        """The program through `pingsock run`; the process is the supervisor."""
        self.set_range(WAYS[way])
        self._forget_paths()
        return self.start(self.through_run(words, way), **options)

    def supervised(self, words: list[str], way: str = "served") -> Result:
        """What the program does through `pingsock run`."""
        return result_of(self.start_supervised(words, way))

    def _forget_paths(self) -> None:
        for family in ("-4", "-6"):
            subprocess.run(["ip", "-n", self.network.client, family, "route", "flush", "cache"], check=True)

    @contextmanager
    def service(self, way: str, quota: int = 1000) -> Iterator[subprocess.Popen[bytes]]:
        """A service in the client's namespace, as long as the context lasts, that lends each user so many sockets."""
        self.set_range(WAYS[way])
        configuration = self.programs / f"{way}.toml"
        configuration.write_text(CONFIGURATION.format("true" if way == "borrowed" else "false", quota))
        options = ["--config", str(configuration), "--socket", self.socket_path(way)]
        words = self.pingsock("serve", *options, "--user", f"{SERVICE_USER}:{SERVICE_USER}")
        with self.start(words) as process:
            try:
                assert process.stderr is not None
                said = iter(process.stderr.readline, b"")
                assert any(b"listens" in line for line in said), "the service did not start"
                yield process
            finally:
                process.kill()
                process.communicate()


def compile_exercise(directory: str) -> str:
    """The program of exercise.c. Skips the test where there is no compiler."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    source = os.path.join(os.path.dirname(__file__), "exercise.c")
    program = os.path.join(directory, "exercise")
    subprocess.run(["gcc", "-O1", "-w", "-pthread", "-o", program, source], check=True)
    return program


@contextmanager
def run_network(name: str, *, services: bool = True) -> Iterator[RunNetwork]:
    """The network with its services, for as long as the context lasts. Skips the test where it cannot be made."""
    with ping_network(name) as plain, ExitStack() as stack:
        (plain.programs / "ours" / "pingsock-command").write_text(LAUNCHER)
        for script in (WITHOUT_PIDFD_GETFD, THROWING_ANSWERS_AWAY):
            shutil.copy(os.path.join(os.path.dirname(__file__), script), plain.programs)
        network = RunNetwork(plain)
        for way in ("served", "borrowed") if services else ():
            stack.enter_context(network.service(way))
        yield network
