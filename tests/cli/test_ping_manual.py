"""The manual page of ping: complete, and clean for the programs that show it."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "man" / "pingsock-ping.1"
OPTIONS = {option.name: option for option in runpy.run_path(str(ROOT / "scripts" / "completions"))["options"]()}


def test_all_options_are_there_with_their_values() -> None:
    entries = re.findall(r"^\.It Fl (\S+)(?: (Ar \w+|Ns Op = Ns Ar \w+))?$", PAGE.read_text(), re.MULTILINE)
    told = {f"-{name}": (bool(value), value.startswith("Ns Op")) for name, value in entries}

    assert told == {name: (bool(option.value), option.optional) for name, option in OPTIONS.items()}


def test_the_synopsis_has_all_letters() -> None:
    synopsis = PAGE.read_text().partition(".Sh SYNOPSIS")[2].partition(".Sh ")[0]
    flags = re.search(r"^\.Op Fl (\w{2,})$", synopsis, re.MULTILINE)
    assert flags is not None
    valued = re.findall(r"^\.Op Fl (\w) Ar", synopsis, re.MULTILINE)

    assert {f"-{letter}" for letter in [*flags[1], *valued]} == {name for name in OPTIONS if len(name) == 2}


@pytest.mark.parametrize(
    "command",
    [
        ["mandoc", "-T", "lint", "-W", "warning"],
        ["man", "--warnings", "-E", "UTF-8", "-l"],
    ],
    ids=lambda command: command[0],
)
def test_nothing_is_wrong_with_it(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    environment = {**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"}
    shown = subprocess.run(
        [*command, str(PAGE)], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )

    assert shown.stderr == ""
    if command[0] == "man":
        assert "--until-down[=n]" in re.sub(".\b", "", shown.stdout)


def test_manual_and_completions_are_installed_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    installed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]

    assert all((ROOT / name).is_file() for name in installed)
    assert set(installed.values()) == {
        "share/man/man1/pingsock-ping.1",
        "share/bash-completion/completions/pingsock",
        "share/zsh/site-functions/_pingsock",
        "share/fish/vendor_completions.d/pingsock.fish",
    }
