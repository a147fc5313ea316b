"""What is shipped with the service: units and manifests that start it as it wants to be started."""

from __future__ import annotations

import ast
import configparser
import re
import shlex
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

from bed.running import running_service
from pingsock.cli.serve import USUAL_USER, _parser
from pingsock.service.client import SYSTEM_PATH
from pingsock.service.configuration import parse_configuration

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


def test_the_unit_gives_it_one_capability_and_a_user_of_its_own() -> None:
    service = unit("pingsockd.service")["Service"]
    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == "CAP_NET_RAW"
    assert service["User"] == USUAL_USER
    assert f"\nu {USUAL_USER} " in (PACKAGING / "systemd" / "pingsock.sysusers").read_text()


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


@pytest.mark.usefixtures("users")
@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="needs systemd-socket-activate")
def test_systemd_starts_it_with_its_first_client(tmp_path: Path) -> None:
    path = tmp_path / "activated.sock"
    with running_service(
        "", under=("systemd-socket-activate", "--seqpacket", "-l", str(path)), listens_at=path
    ) as service:
        assert service.status()["pid"] == service.pid
