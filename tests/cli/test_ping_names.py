"""The installed command by other names: links that users make are ping, and nothing makes them unasked."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pingsock.cli.main import LINKS

ROOT = Path(__file__).parents[2]
WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text())
NAMES = ("ping", "ping4", "ping6")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script as installers leave it, with the links that docs/ping.md recommends."""
    directory = tmp_path_factory.mktemp("bin")
    script = directory / "pingsock"
    shutil.copy(ROOT / "scripts" / "pingsock", script)
    script.write_text(script.read_text().replace("#!/usr/bin/env python3", f"#!{sys.executable}", 1))
    recommended = re.search(r"^    (for name in .*)$", (ROOT / "docs" / "ping.md").read_text(), re.MULTILINE)
    assert recommended is not None
    (directory / "home" / "bin").mkdir(parents=True)
    environment = {"HOME": str(directory / "home"), "PATH": f"{directory}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", recommended[1]], env=environment, check=True)
    return directory / "home" / "bin"


def run(directory: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{directory}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
    words = ["env", name, *arguments]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("name", NAMES)
def test_a_link_is_ping_and_calls_itself_by_its_name(directory: Path, name: str) -> None:
    nowhere = run(directory, name)
    assert (nowhere.stderr, nowhere.returncode) == (f"{name}: usage error: Destination address required\n", 2)

    assert f"\n  {name} [options] <destination>\n" in run(directory, name, "-h").stderr
    assert run(directory, name, "-Z").stderr.startswith(f"{name}: invalid option -- 'Z'\n")
    assert "iputils" in run(directory, name, "-V").stdout


@pytest.mark.parametrize(("name", "same", "other"), [("ping4", "-4", "-6"), ("ping6", "-6", "-4")])
def test_ping4_and_ping6_have_chosen_the_family(directory: Path, name: str, same: str, other: str) -> None:
    assert run(directory, name, other, "-h").stderr == f"{name}: only one -4 or -6 option may be specified\n"
    assert "\nUsage\n" in run(directory, name, same, "-h").stderr


def test_ping_has_not(directory: Path) -> None:
    assert "\nUsage\n" in run(directory, "ping", "-4", "-h").stderr
    assert "\nUsage\n" in run(directory, "ping", "-6", "-h").stderr


def test_a_link_to_a_link_goes_by_the_name_it_was_called_by(directory: Path) -> None:
    (directory / "further").mkdir()
    (directory / "further" / "ping6").symlink_to("../ping4")

    assert run(directory, str(directory / "further" / "ping6")).stderr.startswith("ping6: usage error")


def test_all_links_the_program_knows_are_tried() -> None:
    assert {name for name, command in LINKS.items() if command == "ping"} == set(NAMES)


def test_installing_makes_our_commands_and_no_ping() -> None:
    project, wheel = WHEEL["project"], WHEEL["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert set(wheel["shared-scripts"].values()) == {"pingsock", "pingsockd"}
    assert not {"scripts", "gui-scripts", "entry-points"} & project.keys()
