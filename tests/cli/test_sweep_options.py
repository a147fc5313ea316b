"""The command line of a sweep, read and repeated, without a network."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.cli.arguments import Refused
from pingsock.cli.sweep_options import read_options, usage
from pingsock.cli.sweep_progress import can_draw, duration, one_line
from pingsock.cli.sweep_resume import State, check_same, read_state, write_state
from pingsock.cli.sweep_session import Command
from pingsock.tools.sweep_results import Progress

OPTIONS = [
    "-4", "-6", "-a", "-u", "-m", "-q", "-f", "-c", "-r", "-s", "-h", "--", "-",
    "--rate", "--rate=5", "--seed", "--seed=0x5", "--skip", "--json", "--csv", "--each-probe", "--timeout", "--jobs",
    "--resume", "--exclude", "--exclude=", "--socket", "--broadcast", "--random", "--ttl=64", "--t", "---",
]  # fmt: skip


@given(st.lists(st.sampled_from(OPTIONS) | st.text(max_size=6) | st.integers().map(str), max_size=6))
def test_any_command_line_is_read_or_refused(arguments: list[str]) -> None:
    try:
        settings = read_options(arguments)
    except Refused as refused:
        status = refused.status
    else:
        status = 0 if settings.help or settings.skip >= 0 else -1
    assert status in (0, 3)


@pytest.mark.parametrize(
    ("arguments", "seed", "going_on"),
    [
        (["10.0.0.0/8"], None, "--skip 7 10.0.0.0/8"),
        (["--skip", "3", "10.0.0.0/8", "-a"], None, "--skip 7 10.0.0.0/8 -a"),
        (["--skip=3", "-f", "my hosts"], None, "--skip 7 -f 'my hosts'"),
        (["--random", "10.0.0.0/8"], 99, "--skip 7 --seed 99 --random 10.0.0.0/8"),
        (["--seed", "5", "10.0.0.0/8"], 5, "--skip 7 --seed 5 10.0.0.0/8"),
    ],
)
def test_the_command_that_goes_on_is_the_same_further_on(arguments: list[str], seed: int | None, going_on: str) -> None:
    command = Command(read_options(arguments), arguments, seed, "")
    assert command.going_on_at(7) == f"pingsock sweep {going_on}"
    again = read_options(shlex.split(command.going_on_at(7))[2:])
    assert (again.skip, again.seed) == (7, seed)
    assert (again.targets, again.file) == (command.settings.targets, command.settings.file)


@given(
    mark=st.integers(0, 2**40),
    beyond=st.sets(st.integers(0, 2**40), max_size=20),
    seed=st.none() | st.integers(0, 2**63 - 1),
)
def test_a_state_is_read_as_it_was_written(
    mark: int, beyond: set[int], seed: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = str(tmp_path_factory.mktemp("states") / "state")
    state = State("pingsock sweep a", "digest", seed, mark, tuple(sorted(beyond)), {"alive": 3})
    write_state(path, state)
    assert read_state(path) == state
    count = max([mark, *(position + 1 for position in beyond)])
    check_same(state, "digest", count, path)
    with pytest.raises(Refused, match="of another sweep"):
        check_same(state, "other", count, path)
    if count:
        with pytest.raises(Refused, match="is not the state of a sweep"):
            check_same(state, "digest", count - 1, path)


def test_a_state_that_cannot_be_written_whole_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    first = State("a", "d", None, 1, (), {})
    write_state(str(path), first)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_state(str(path), first.replace(mark=2))
    assert read_state(str(path)) == first
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize("is_link", [False, True])
def test_what_a_killed_sweep_left_half_written_is_replaced(tmp_path: Path, is_link: bool) -> None:
    path, other, half = tmp_path / "run", tmp_path / "other", tmp_path / ".run.new"
    other.write_text("somebody else's")
    if is_link:
        half.symlink_to(other)
    else:
        half.write_text("{")
    write_state(str(path), State("a", "d", None, 1, (), {}))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "run"]
    assert other.read_text() == "somebody else's"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_to_a_state_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "state")
    write_state(str(link), State("a", "d", None, 1, (), {}))
    assert link.is_symlink()
    assert read_state(str(tmp_path / "state")) is not None


@pytest.mark.parametrize("content", ["[" * 200_000, '{"a":' * 200_000])
def test_a_file_of_any_depth_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "state"
    path.write_text(content)
    with pytest.raises(Refused, match="is not the state of a sweep"):
        read_state(str(path))


def test_a_state_that_counts_what_is_no_state_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "state")
    write_state(path, State("a", "d", None, 1, (), {"alive": 1, "asleep": 1}))
    with pytest.raises(Refused, match="is not the state of a sweep"):
        read_state(path)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--seed", "x"], "argument --seed: must be a whole number, not 'x'"),
        (["--rate", "x"], "argument --rate: must be a number, not 'x'"),
        (["--resume", ""], "argument --resume: must be the name of a file, not ''"),
    ],
)
def test_a_mistake_is_told_in_words(arguments: list[str], text: str) -> None:
    with pytest.raises(Refused) as refused:
        read_options(arguments)
    assert refused.value.text.startswith(text)


@pytest.mark.parametrize(
    ("terminal", "term", "drawn"),
    [(True, "xterm", True), (True, None, True), (True, "dumb", False), (False, "xterm", False)],
)
def test_a_bar_is_drawn_only_where_lines_can_be_erased(
    monkeypatch: pytest.MonkeyPatch, *, terminal: bool, term: str | None, drawn: bool
) -> None:
    monkeypatch.setattr("os.isatty", lambda _descriptor: terminal)
    monkeypatch.delenv("TERM", raising=False)
    if term is not None:
        monkeypatch.setenv("TERM", term)
    assert can_draw() == drawn


def test_progress_in_words() -> None:
    progress = Progress(1000, 100, 100, 60, 40, 0, 0, 0, 160, 4.0)
    assert one_line(progress) == "200 of 1000 done, 60 alive, 40 probes/s, 0:32 left"
    assert [duration(seconds) for seconds in (0.4, 61, 3723)] == ["0:00", "1:01", "1:02:03"]


def test_the_documentation_names_every_option() -> None:
    document = (Path(__file__).parents[2] / "docs" / "sweep.md").read_text()
    options = set(re.findall(r"--[a-z][a-z-]+", usage()))
    assert {option for option in options if option not in document} == set()
