"""A client, a router and a server, each a network namespace, and ping programs run in the client.

    client 10.77.1.2  ---  10.77.1.1 router 10.77.2.1  -(MTU 1400)-  10.77.2.2 server
           fd77:1::2       fd77:1::1        fd77:2::1                fd77:2::2

The router rejects what goes to 10.77.3.N and fd77:3::N, N being an index of `bed.refusals.REJECTIONS`, and swallows
the rest of these networks. The client itself calls 10.77.7.0/24 unreachable, prohibits 10.77.8.0/24 and swallows
10.77.9.0/24, likewise fd77:7:: to fd77:9::. Nobody is 10.77.1.9.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

import pingsock
from bed.refusals import BAD_ROUTES, rejecting_rules

IPUTILS = "/usr/bin/ping"
SYSTEM_PYTHON = "/usr/bin/python3"
NOBODY = "65534"
AS_USER = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
LAUNCHER = "from pingsock.cli.main import run\n\nrun()\n"
HOSTS = """\
127.0.0.1 localhost
10.77.2.2 server.test server
fd77:2::2 server6.test
10.77.1.1 router.test
fd77:1::1 router6.test
10.77.7.1 both.test
10.77.2.2 both.test
"""


class Result(NamedTuple):
    out: str
    err: str
    status: int


class PingNetwork:
    """The three namespaces, and the programs `ours` and `iputils` in a directory everybody may read."""

    def __init__(self, name: str, programs: Path) -> None:
        self.client, self.router, self.server = (f"{name}{role}" for role in "crs")
        self.programs = programs
        self.commands = {
            "ours": [SYSTEM_PYTHON, str(programs / "ours" / "ping")],
            "iputils": [str(programs / "ping")],
        }

    def start(
        self, program: str, arguments: list[str], *, user: bool = False, namespace: str = "", **options: object
    ) -> subprocess.Popen[bytes]:
        """`program` in the client's namespace; the process is the ping itself, not a wrapper."""
        entering = ["ip", "netns", "exec", namespace or self.client]
        command = [*entering, *(AS_USER if user else []), *self.commands[program], *arguments]
        environment = ENVIRONMENT | {"PYTHONPATH": str(self.programs / "ours")}
        streams: dict[str, object] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=environment, **{**streams, **options})  # type: ignore[call-overload, no-any-return]

    def run(self, program: str, arguments: list[str], *, user: bool = False) -> Result:
        run_ip("-n", self.client, "route", "flush", "cache")
        run_ip("-n", self.client, "-6", "route", "flush", "cache")
        return result_of(self.start(program, arguments, user=user))

    @contextmanager
    def local_firewall(self, rule: str) -> Iterator[None]:
        """Rules of the client's output hook, as long as the context lasts."""
        load_rules(self.client, f"chain output {{ type filter hook output priority 0; {rule} }}")
        try:
            yield
        finally:
            in_namespace(self.client, "nft", "delete", "table", "inet", "tests")


def result_of(process: subprocess.Popen[bytes], timeout: float = 60) -> Result:
    out, err = process.communicate(timeout=timeout)
    return Result(
        (out or b"").decode(errors="surrogateescape"), (err or b"").decode(errors="surrogateescape"), process.returncode
    )


def wait_for_line(process: subprocess.Popen[bytes], start: bytes) -> bytes:
    """Lines of its standard output up to one that begins with `start`."""
    assert process.stdout is not None
    lines = b""
    for line in process.stdout:
        lines += line
        if line.startswith(start):
            return lines
    raise AssertionError(f"ended without a line {start!r}: {lines!r}")


def masked(text: str) -> str:
    """The text without what is measured."""
    for pattern, replacement in (
        (r"time=[\d.]+ ms", "time=T ms"),
        (r"time \d+ms", "time Tms"),
        (r"(min/avg/max/mdev|min/avg/ewma/max) = [\d./]+ ms", r"\1 = T ms"),
        (r"ipg/ewma [\d.]+/[\d.]+ ms", "ipg/ewma T ms"),
        (r"pipe \d+", "pipe N"),
    ):
        text = re.sub(pattern, replacement, text)
    return text


def run_ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def in_namespace(namespace: str, *words: str, given: bytes = b"") -> None:
    subprocess.run(["ip", "netns", "exec", namespace, *words], input=given, stdout=subprocess.DEVNULL, check=True)


def load_rules(namespace: str, chain: str) -> None:
    in_namespace(namespace, "nft", "-f", "-", given=f"table inet tests {{ {chain}\n}}".encode())


def _give_names(namespace: str) -> None:
    directory = Path("/etc/netns", namespace)
    directory.mkdir(parents=True)
    (directory / "hosts").write_text(HOSTS)
    # Nobody listens there, so a name that is not in the table fails at once.
    (directory / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (directory / "nsswitch.conf").write_text("hosts: files dns\n")


def _require_tools() -> None:
    if os.geteuid():
        pytest.skip("needs root to make network namespaces")
    for program in (IPUTILS, SYSTEM_PYTHON):
        if not os.path.exists(program):
            pytest.skip(f"needs {program}")
    for program in ("ip", "setpriv", "nft"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")


def _install_programs(directory: Path) -> None:
    directory.chmod(0o755)
    # A copy has no file capabilities, so that it can be run without any.
    shutil.copy(IPUTILS, directory / "ping")
    source = Path(pingsock.__file__).parent
    shutil.copytree(source, directory / "ours" / "pingsock", ignore=shutil.ignore_patterns("__pycache__"))
    (directory / "ours" / "ping").write_text(LAUNCHER)
    subprocess.run([SYSTEM_PYTHON, "-m", "compileall", "-q", str(directory / "ours")], check=True)


def _cable(left: str, right: str, mtu: int, *addresses: str) -> None:
    run_ip("link", "add", "far", "mtu", str(mtu), "netns", left, "type", "veth", "peer", "name", "near", "netns", right)
    run_ip("-n", right, "link", "set", "near", "mtu", str(mtu))
    for namespace, device, address in ((left, "far", addresses[0::2]), (right, "near", addresses[1::2])):
        for each in address:
            run_ip("-n", namespace, "address", "add", each, "dev", device, *(["nodad"] if ":" in each else []))
        run_ip("-n", namespace, "link", "set", device, "up")


def _bad_routes(namespace: str) -> None:
    for number, kind in BAD_ROUTES.items():
        run_ip("-n", namespace, "route", "add", kind, f"10.77.{number}.0/24")
        run_ip("-n", namespace, "-6", "route", "add", kind, f"fd77:{number}::/64")


def _reject(namespace: str) -> None:
    load_rules(namespace, f"chain forward {{ type filter hook forward priority 0; {' '.join(rejecting_rules())} }}")


def _set(namespace: str, *settings: str) -> None:
    in_namespace(namespace, "sysctl", "-qw", *settings)


def _connect(network: PingNetwork) -> None:
    client, router, server = network.client, network.router, network.server
    _cable(client, router, 1500, "10.77.1.2/24", "10.77.1.1/24", "fd77:1::2/64", "fd77:1::1/64")
    _cable(router, server, 1400, "10.77.2.1/24", "10.77.2.2/24", "fd77:2::1/64", "fd77:2::2/64")
    _set(router, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    for namespace in (client, router, server):
        run_ip("-n", namespace, "link", "set", "lo", "up")
        _set(namespace, "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0", "net.ipv4.icmp_msgs_per_sec=100000")
    for namespace, network_number, gateway in ((client, 1, 1), (router, 2, 2), (server, 2, 1)):
        run_ip("-n", namespace, "route", "add", "default", "via", f"10.77.{network_number}.{gateway}")
        run_ip("-n", namespace, "-6", "route", "add", "default", "via", f"fd77:{network_number}::{gateway}")
    _reject(router)
    _bad_routes(client)
    _set(client, "net.ipv4.ping_group_range=0 65534")
    # Neighbours are looked for once, here, so that no first reply is late.
    for address in ("10.77.2.2", "fd77:2::2"):
        in_namespace(client, IPUTILS, "-q", "-c", "1", "-w", "5", address)


@contextmanager
def ping_network(name: str) -> Iterator[PingNetwork]:
    """The network, for as long as the context lasts. Skips the test where it cannot be made."""
    _require_tools()
    directory = Path(tempfile.mkdtemp(prefix="pingsock-programs-"))
    network = PingNetwork(f"{name}{os.getpid()}", directory)
    namespaces = (network.client, network.router, network.server)
    try:
        _install_programs(directory)
        _give_names(network.client)
        for namespace in namespaces:
            run_ip("netns", "add", namespace)
            # Else a new address cannot be used for a second.
            _set(namespace, "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0")
        _connect(network)
        yield network
    finally:
        for namespace in namespaces:
            with suppress(subprocess.CalledProcessError):
                run_ip("netns", "delete", namespace)
        shutil.rmtree(Path("/etc/netns", network.client), ignore_errors=True)
        shutil.rmtree(directory)
