"""What is shipped with the service: units and manifests that start it as it wants to be started."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from bed.running import SERVICE_USER, START, running_service
from pingsock.cli.serve import USUAL_USER, _parser
from pingsock.service import seccomp
from pingsock.service.client import SYSTEM_PATH
from pingsock.service.configuration import parse_configuration
from pingsock.service.privileges import CAPABILITY_SETS

PACKAGING = Path(__file__).parents[2] / "packaging"
MANIFESTS = sorted((PACKAGING / "kubernetes").glob("*.yaml"))


def unit(name: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None, strict=False)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(PACKAGING / "systemd" / name)
    return parsed


def test_the_unit_starts_it_with_arguments_it_knows() -> None:
    program, command, *arguments = shlex.split(unit("pingsockd.service")["Service"]["ExecStart"])
    assert (program, command) == ("/usr/bin/pingsock", "serve")
    assert _parser().parse_args(arguments).sandbox == "required"


def test_the_unit_gives_it_raw_sockets_the_means_to_give_them_up_and_a_user_of_its_own() -> None:
    service = unit("pingsockd.service")["Service"]
    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == "CAP_NET_RAW CAP_SETPCAP"
    assert service["User"] == USUAL_USER
    assert f"\nu {USUAL_USER} " in (PACKAGING / "systemd" / "pingsock.sysusers").read_text()


TO_LOCK_ITSELF_IN = {"capset", "landlock_create_ruleset", "landlock_restrict_self", "prctl", "prlimit64", "seccomp"}
"""System calls of a service that starts, beyond those it makes once its own filter is in force."""


def system_calls(name: str) -> set[str]:
    """What a name in SystemCallFilter= stands for."""
    if not name.startswith("@"):
        return {name}
    command = ["systemd-analyze", "syscall-filter", "--no-pager", name]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    return set().union(*(system_calls(line.strip()) for line in lines if line.strip() and "#" not in line))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_unit_lets_the_service_lock_itself_in_and_serve() -> None:
    named = unit("pingsockd.service")["Service"]["SystemCallFilter"].split()
    assert TO_LOCK_ITSELF_IN | set(seccomp.CALLS) <= set().union(*map(system_calls, named))


def test_it_listens_where_clients_look() -> None:
    listening = unit("pingsockd.socket")["Socket"]
    assert (listening["ListenSequentialPacket"], listening["SocketMode"]) == (SYSTEM_PATH, "0666")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_no_fault_with_the_units(tmp_path: Path) -> None:
    for name in ("pingsockd.service", "pingsockd.socket"):
        text = (PACKAGING / "systemd" / name).read_text()
        (tmp_path / name).write_text(
            text.replace("/usr/bin/pingsock", "/bin/true").replace("User=pingsock", "User=root")
        )
    units = [str(tmp_path / name) for name in ("pingsockd.service", "pingsockd.socket")]
    command = ["systemd-analyze", "verify", "--man=no", *units]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "pingsockd" not in done.stderr, done.stderr


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_starts_it_with_arguments_it_knows(manifest: Path) -> None:
    found = re.search(r"args: (\[\"serve\".*\])", manifest.read_text())
    assert found
    command, *arguments = ast.literal_eval(found[1])
    options = _parser().parse_args(arguments)
    assert (command, options.sandbox, options.user) == ("serve", "required", "64990:64990")


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_holds_a_configuration_in_order(manifest: Path) -> None:
    found = re.search(r"pingsockd\.toml: \|\n((?:    .*\n)+)", manifest.read_text())
    assert found
    configuration = parse_configuration(textwrap.dedent(found[1]))
    assert configuration.users == {1000}


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_gives_no_more_than_it_takes(manifest: Path) -> None:
    text = manifest.read_text()
    assert set(re.findall(r"add: (\[.*\])", text)) == {'["NET_RAW", "SETUID", "SETGID", "SETPCAP"]'}
    assert text.count('drop: ["ALL"]') == text.count("securityContext:")
    assert "privileged: true" not in text


IN_A_CONTAINER = (
    "setpriv",
    "--bounding-set=-all,+net_raw,+setuid,+setgid,+setpcap",
    "--inh-caps=-all",
    "--no-new-privs",
)
FEWER = ("setpriv", "--bounding-set=-all,+net_raw,+setuid,+setgid", "--inh-caps=-all", "--no-new-privs")


@pytest.mark.usefixtures("users")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
@pytest.mark.parametrize(("under", "bounding"), [(IN_A_CONTAINER, "0"), (FEWER, "20c0")])
def test_it_needs_no_capability_that_the_manifests_do_not_give(under: tuple[str, ...], bounding: str) -> None:
    with running_service("", under=under) as service:
        status = service.status()
    assert status["serves"]
    assert status["sandbox"]["capabilities"] == {
        "CapInh": "0",
        "CapPrm": "0",
        "CapEff": "0",
        "CapBnd": bounding,
        "CapAmb": "0",
    }


def as_the_unit_says() -> list[str]:
    """A command that starts another with the capabilities of the unit, as a user of its own from the first moment."""
    service = unit("pingsockd.service")["Service"]
    ambient, bounding = (
        ",".join(["-all", *service[key].lower().replace("cap_", "+").split()])
        for key in ("AmbientCapabilities", "CapabilityBoundingSet")
    )
    who = [f"--reuid={SERVICE_USER}", f"--regid={SERVICE_USER}", "--clear-groups", "--no-new-privs"]
    return ["setpriv", *who, f"--inh-caps={ambient}", f"--ambient-caps={ambient}", f"--bounding-set={bounding}"]


@pytest.mark.usefixtures("users")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_of_the_capabilities_the_unit_gives_none_is_left_in_any_set() -> None:
    under = as_the_unit_says()
    if subprocess.run([*under, sys.executable, "-c", "import pingsock"], check=False).returncode:
        pytest.skip("needs a Python that other users can read")
    with tempfile.TemporaryDirectory(prefix="pingsockd-") as directory:
        os.chown(directory, SERVICE_USER, SERVICE_USER)
        command = [*under, sys.executable, "-c", START, "--socket", f"{directory}/s", "--sandbox=required"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd="/") as process:
            assert process.stderr
            try:
                assert "serves: yes" in process.stderr.readline()
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            finally:
                process.kill()
    fields = dict(line.split(":", 1) for line in lines)
    assert {name: int(fields[name], 16) for name in CAPABILITY_SETS} == dict.fromkeys(CAPABILITY_SETS, 0)
    assert fields["Uid"].split() == [str(SERVICE_USER)] * 4


@pytest.mark.usefixtures("users")
@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="needs systemd-socket-activate")
def test_systemd_starts_it_with_its_first_client(tmp_path: Path) -> None:
    path = tmp_path / "activated.sock"
    with running_service(
        "", under=("systemd-socket-activate", "--seqpacket", "-l", str(path)), listens_at=path
    ) as service:
        assert service.status()["pid"] == service.pid
