"""Completions of the shells: made from the program's own tables, and tried by typing into each shell."""

from __future__ import annotations

import os
import pty
import runpy
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pingsock.cli.main import COMMANDS
from pingsock.cli.ping_long_options import FLAGS, OPTIONAL_VALUES, VALUES
from pingsock.cli.ping_options import ACTIONS, SWITCHES
from pingsock.cli.ping_options import VALUES as LETTERS

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / "packaging" / "completions"
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "completions"))
PATIENCE = 30.0
"""Seconds until a shell that says nothing is given up."""
STARTS = {
    "bash": (
        ["bash", "--noprofile", "--rcfile", "{rc}", "-i"],
        "PS1='READY> '\nsource {file}\npingsock() {{ echo \"GOT:$*:\"; }}\n",
    ),
    "zsh": (
        ["zsh", "-d", "-i"],
        (
            "PROMPT='READY> '\nfpath=({directory} $fpath)\nautoload -Uz compinit && compinit -u -D\n"
            'pingsock() {{ print -r -- "GOT:$*:" }}\n'
        ),
    ),
    "fish": (
        ["fish", "--no-config", "-i", "-C", "source {rc}"],
        (
            "function fish_prompt; echo 'READY> '; end\nsource {file}\n"
            'function pingsock; echo "GOT:$argv:"; end\nset -g fish_autosuggestion_enabled 0\n'
        ),
    ),
}
"""Shell -> how it is started, and what it reads first."""
NAMES = {"bash": "pingsock.bash", "zsh": "_pingsock", "fish": "pingsock.fish"}


@pytest.mark.parametrize("name", SCRIPT["FILES"])
def test_the_files_are_as_they_are_made(name: str) -> None:
    assert (DIRECTORY / name).read_text() == SCRIPT["FILES"][name](), "run scripts/completions"


def test_all_options_and_commands_are_there() -> None:
    letters = (SWITCHES.keys() | ACTIONS.keys() | LETTERS.keys()) - {"?"}
    names = FLAGS.keys() | VALUES.keys() | OPTIONAL_VALUES.keys()

    assert {option.name for option in SCRIPT["options"]()} == {f"-{each}" for each in letters} | {
        f"--{each}" for each in names
    }
    assert SCRIPT["ABOUT"].keys() == COMMANDS.keys()


def test_what_they_say_of_values_is_what_the_program_takes() -> None:
    takes = {option.name: (bool(option.value), option.optional) for option in SCRIPT["options"]()}

    assert {name for name, kind in takes.items() if kind == (True, False)} == {f"-{each}" for each in LETTERS} | {
        f"--{each}" for each in VALUES
    }
    assert {name for name, kind in takes.items() if kind == (True, True)} == {f"--{each}" for each in OPTIONAL_VALUES}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_what_a_device_is_called_is_not_executed(tmp_path: Path) -> None:
    devices = tmp_path / "net"
    devices.mkdir()
    for name in ("$(echo>executed)", "eth0"):
        (devices / name).touch()
    completion = (DIRECTORY / NAMES["bash"]).read_text().replace("/sys/class/net", str(devices))
    words = "COMP_WORDS=(pingsock ping -I '') COMP_CWORD=3"
    ran = subprocess.run(
        ["bash", "-c", f'{completion}\n{words}; _pingsock; printf "%s\\n" "${{COMPREPLY[@]}}"'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines() == ["$(echo>executed)", "eth0"]
    assert not (tmp_path / "executed").exists()


class Shell:
    """An interactive shell on a terminal of its own, in which `pingsock` prints its arguments."""

    def __init__(self, name: str, directory: Path) -> None:
        command, text = STARTS[name]
        rc = directory / ".zshrc"
        rc.write_text(text.format(file=DIRECTORY / NAMES[name], directory=DIRECTORY))
        environment = {"HOME": str(directory), "ZDOTDIR": str(directory), "TERM": "vt100", "PATH": os.environ["PATH"]}
        self._terminal, far = pty.openpty()
        self._process = subprocess.Popen(
            # fish insists on a terminal that controls it.
            ["setsid", "--ctty", *(word.format(rc=rc) for word in command)],
            stdin=far,
            stdout=far,
            stderr=far,
            env=environment,
        )
        os.close(far)
        self._printed = ""
        self.until("READY> ")

    def until(self, text: str) -> str:
        """What it prints before this text."""
        end = time.monotonic() + PATIENCE
        while text not in self._printed:
            readable, _, _ = select.select([self._terminal], [], [], max(0.0, end - time.monotonic()))
            assert readable, f"no {text!r} in {self._printed!r}"
            self._printed += os.read(self._terminal, 4096).decode(errors="replace")
        before, _, self._printed = self._printed.partition(text)
        return before

    def arguments(self, keys: str) -> list[str]:
        """What `pingsock` is called with when these keys are typed."""
        os.write(self._terminal, f"pingsock {keys}\r".encode())
        self.until("GOT:")
        told = self.until(":")
        self.until("READY> ")
        # A name and its value may be one word or two.
        return told.replace("=", " ").split()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


@pytest.fixture(scope="module", params=STARTS)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    if shutil.which(request.param) is None:
        pytest.skip(f"needs {request.param}")
    shell = Shell(request.param, tmp_path_factory.mktemp(request.param))
    yield shell
    shell.close()


@pytest.mark.parametrize(
    ("keys", "arguments"),
    [
        ("pi\t", "ping"),
        ("doc\t", "doctor"),
        ("ping --perc\t", "ping --percentiles"),
        ("ping --until-d\t", "ping --until-down"),
        ("ping --socket emb\t", "ping --socket embedded"),
        ("ping --socket=emb\t", "ping --socket embedded"),
        ("ping -c 3 --time un\t", "ping -c 3 --time unix"),
        ("ping -M wa\t", "ping -M want"),
        ("ping -T tsa\t", "ping -T tsandaddr"),
        ("ping -N ipv4-\t", "ping -N ipv4-all"),
    ],
)
def test_a_tab_completes(shell: Shell, keys: str, arguments: str) -> None:
    assert shell.arguments(keys) == arguments.split()
