"""`scripts/test` on machines that are bare in different ways, played by stand-ins for the programs it calls."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PYTHON = """
echo "python $*" >> "$LOG"
case "$*" in
-V) echo Python 3.99.0 ;;
*version_info*) exit $OLD ;;
*ensurepip*) exit $NO_VENV ;;
"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
"-m pip"*) exit $NO_INDEX ;;
"-m pytest"*) echo "3 passed" ;;
esac
"""
STAND_INS = {
    "python3": PYTHON,
    "apt-get": 'echo "apt-get $*" >> "$LOG"; exit $NO_APT',
    "dpkg-query": 'for package; do :; done; [ "$package" = "$MISSING" ] || echo installed',
    "id": "echo $USER_ID",
    "sudo": '[ "$SUDO" = yes ] && shift && exec "$@"',
}
ORDINARY = {"OLD": "0", "NO_VENV": "0", "NO_INDEX": "0", "NO_APT": "0", "MISSING": "", "USER_ID": "1000", "SUDO": "no"}


class Machine:
    """A copy of the project's scripts, and what they would call."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.project = folder / "project"
        shutil.copytree(ROOT / "scripts", self.project / "scripts")
        shutil.copy(ROOT / "pyproject.toml", self.project)
        self.programs = folder / "bin"
        self.programs.mkdir()
        for name, text in STAND_INS.items():
            program = self.programs / name
            program.write_text(f"#!/bin/bash\n{text}\n")
            program.chmod(0o755)

    def test(self, *arguments: str, **facts: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        path = f"{self.programs}:/usr/bin:/bin"
        environment = {"PATH": path, "LOG": str(self.log), **ORDINARY, **facts}
        command = [str(self.project / "scripts/test"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    def called(self, program: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith(program)]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_arguments_go_to_pytest_where_they_overrule_the_script_s(machine: Machine) -> None:
    ended = machine.test("-k", "two words", "-n", "0")
    assert (ended.returncode, ended.stdout) == (0, "3 passed\n")
    assert machine.called("python")[-1] == "python -m pytest -n 3 --dist worksteal -k two words -n 0"


def test_second_run_installs_nothing(machine: Machine) -> None:
    machine.test()
    machine.test()
    assert [line for line in machine.called("python") if "pip install" in line or "venv --clear" in line] == []


def test_a_changed_project_is_installed_anew(machine: Machine) -> None:
    machine.test()
    with (machine.project / "pyproject.toml").open("a") as project:
        project.write("\n")
    machine.test()
    assert any("pip install" in line for line in machine.called("python"))


def test_root_gets_the_packages_that_are_missing_and_no_others(machine: Machine) -> None:
    machine.test(USER_ID="0", MISSING="fping")
    assert machine.called("apt-get") == [
        "apt-get update -q",
        "apt-get install -q -y --no-install-recommends --no-upgrade fping",
    ]


def test_sudo_without_a_password_will_do(machine: Machine) -> None:
    machine.test(SUDO="yes", MISSING="gcc")
    assert machine.called("apt-get")[-1].endswith(" gcc")


def test_others_go_on_without(machine: Machine) -> None:
    ended = machine.test(MISSING="tshark")
    assert (ended.returncode, machine.called("apt-get")) == (0, [])


def test_nothing_missing_asks_no_package_manager(machine: Machine) -> None:
    machine.test(USER_ID="0")
    assert machine.called("apt-get") == []


def test_failing_package_manager_is_said_and_survived(machine: Machine) -> None:
    ended = machine.test(USER_ID="0", MISSING="fping", NO_APT="100")
    assert "apt-get failed; going on without" in ended.stderr
    assert ended.stdout == "3 passed\n"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"OLD": "1"}, "needs Python 3.11 or later"),
        ({"NO_VENV": "1"}, "as root: apt-get install python3-venv"),
        ({"NO_INDEX": "1"}, "pip could not install"),
    ],
)
def test_what_cannot_be_set_up_is_one_line(machine: Machine, facts: dict[str, str], said: str) -> None:
    ended = machine.test(**facts)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("scripts/test: ")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
