"""What the project promises about itself: its files agree with each other and with the rules of the house."""

from __future__ import annotations

import ast
import os
import re
import shutil
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pingsock
from pingsock.sockets.choose import KINDS
from pingsock.sockets.cures import give_raw, open_range
from pingsock.sockets.diagnosis import OPENERS
from pingsock.sockets.surroundings import Surroundings

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "src").rglob("*.py"))
README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

COMMANDS = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-scripts"]
"""Scripts that are installed -> the names they are installed by."""
HOSTS = {"keepachangelog.com", "semver.org", "www.apache.org"}
"""Where links may lead."""


def tracked_texts() -> list[tuple[str, str]]:
    """Name and content of every file of the project that is text."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone to know the project's files")
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    return [(name, (ROOT / name).read_text(errors="replace")) for name in names]


def readme_commands() -> list[str]:
    """The commands of the section "Try it"."""
    section = README.partition("## Try it")[2].partition("\n## ")[0]
    return [line.strip() for line in section.splitlines() if line.startswith("    ")]


def test_readme_sets_up_with_two_commands() -> None:
    assert len(readme_commands()) == 2


def test_ci_runs_the_commands_of_the_readme() -> None:
    lines = [line.partition(" | ")[0].strip() for line in (ROOT / ".ci/run").read_text().splitlines()]
    assert all(command in lines for command in readme_commands())


@pytest.mark.parametrize("name", [".ci/run", "scripts/on-arm64", "scripts/test", *COMMANDS])
def test_scripts_can_be_run(name: str) -> None:
    assert (ROOT / name).stat().st_mode & 0o111


def test_version_is_written_once_and_told_by_the_changelog() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert (ROOT / PROJECT["tool"]["hatch"]["version"]["path"]) == Path(pingsock.__file__).resolve()
    assert pingsock.__version__ in (ROOT / "CHANGELOG.md").read_text()


def test_version_is_told_by_the_command() -> None:
    command = [sys.executable, "-m", "pingsock", "ping", "-V"]
    assert pingsock.__version__ in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_core_needs_nothing_but_the_standard_library() -> None:
    assert PROJECT["project"]["dependencies"] == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    places = [str(place) for place in (ROOT, Path.home()) if len(place.parts) > 2] + [f"{Path.home()}/"]
    assert [(name, place) for name, text in tracked_texts() for place in places if place in text] == []


def test_links_lead_to_known_places() -> None:
    found = [(name, host) for name, text in tracked_texts() for host in re.findall(r"https?://([\w.-]+)", text)]
    assert {(name, host) for name, host in found if host not in HOSTS} == set()


def test_links_between_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_module_has_a_docstring() -> None:
    assert [path.name for path in MODULES if path.stat().st_size and not ast.get_docstring(tree(path))] == []


def test_annotations_cost_no_start_up_time() -> None:
    first = "from __future__ import annotations"
    modules = [path for path in MODULES if len(tree(path).body) > 1]
    assert [path.name for path in modules if first not in path.read_text()] == []


def test_functions_are_short() -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for path in MODULES for node in ast.walk(tree(path)) if isinstance(node, kinds)]
    assert statistics.median(node.end_lineno - node.lineno + 1 for node in functions if node.end_lineno) < 10


def test_modules_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def test_imports_keep_to_the_layers() -> None:
    pytest.importorskip("importlinter", reason="needs import-linter: install the extra dev")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


ROOMS = re.findall(
    r"(?m)^\| `(\w+)/` .*\| (.*) \|$",
    (ROOT / "docs/development.md").read_text().partition("## Rooms")[2].partition("\n## ")[0],
)
"""Each room of the documentation, and what it says the room may import."""


def test_the_rooms_of_the_documentation_are_those_of_the_house() -> None:
    rooms = {path.name for path in (ROOT / "src/pingsock").iterdir() if (path / "__init__.py").exists()}
    assert {room for room, _ in ROOMS} == rooms


@pytest.mark.parametrize(("room", "may"), [row for row in ROOMS if row[0] != "cli"])
def test_a_room_imports_what_its_documentation_says(room: str, may: str) -> None:
    used = {
        node.module.split(".")[1]
        for path in (ROOT / "src/pingsock" / room).rglob("*.py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pingsock.")
    }
    assert used - {room} == set(re.findall(r"`(\w+)`", may))


def test_every_kind_of_socket_is_diagnosed() -> None:
    assert tuple(OPENERS) == KINDS


def test_documentation_has_every_cure() -> None:
    permissions = (ROOT / "docs/permissions.md").read_text()
    plain_text = re.sub(r"(?m)^    ", "", permissions)
    user = Surroundings(uid=1000, gid=1000, bounding=-1)
    for cure in (*open_range(user), *give_raw(user)):
        line = re.sub(r"/\S*/python\S*", "/usr/bin/python3.11", cure.line)
        assert line in plain_text, cure


@pytest.mark.parametrize("document", ["README.md", "docs/icmplib.md", "docs/sockets.md"])
def test_examples_of_the_library_run(document: str) -> None:
    from sockets_unit.private import EVERYBODY, in_private_network

    examples = re.findall(r"(?s)```python\n(.*?)```", (ROOT / document).read_text())
    assert examples
    for example in examples:
        in_private_network(lambda: exec(example, {}), group_range=EVERYBODY)  # noqa: B023 - called at once


@pytest.mark.parametrize("command", COMMANDS)
def test_an_installed_command_imports_what_it_needs_and_no_more(command: str) -> None:
    script = ast.parse((ROOT / command).read_text())
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in script.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert imported == {"pingsock.cli.main"}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["scripts/pingsock", "ping", "-V"], "pingsock "),
        (["scripts/pingsock", "serve", "--help"], "usage: pingsock serve "),
        (["scripts/pingsockd", "--help"], "usage: pingsockd "),
    ],
)
def test_an_installed_command_does_what_its_name_says(command: list[str], said: str) -> None:
    script, *arguments = command
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    line = [sys.executable, str(ROOT / script), *arguments]
    ended = subprocess.run(line, capture_output=True, text=True, check=True, env=environment)
    assert ended.stdout.startswith(said)
