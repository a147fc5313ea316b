"""The examples of docs/library.md run, and its tables are complete."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pingsock
from pingsock import aio
from pingsock.probe import records
from pingsock.tools.arguments import check_probes
from pingsock.wire.value import Value
from tools.small_network import NothingLeft, inside

DOCUMENT = (Path(__file__).parents[2] / "docs" / "library.md").read_text()
SOURCE = Path(pingsock.__file__).parents[1]
EXAMPLES = re.findall(r"(?s)```python\n(.*?)```", DOCUMENT)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_runs_and_leaves_nothing(example: str) -> None:
    def run() -> None:
        with NothingLeft():
            exec(example, {"__name__": "example"})

    inside(run)


def test_there_is_an_example_of_each_call() -> None:
    for name in ("pingsock.ping(", "aio.ping(", "pingsock.watch(", "aio.watch(", "ping_many(", "pingsock.Pinger("):
        assert any(name in example for example in EXAMPLES), name


def test_every_record_is_in_the_table() -> None:
    abstract = {"Value", "Record", "Outcome", "EchoReply", "IcmpReport", "Target"}
    kinds = {name for name, kind in vars(records).items() if isinstance(kind, type) and issubclass(kind, Value)}
    assert set(re.findall(r"(?m)^\| `(\w+)` \|", DOCUMENT)) >= kinds - abstract


def test_every_argument_is_in_the_table() -> None:
    told = set(re.findall(r"`(\w+)`", DOCUMENT[DOCUMENT.index("## How probes look") :]))
    assert set(inspect.signature(check_probes).parameters) <= told


def test_every_public_name_can_be_had() -> None:
    for module in (pingsock, aio):
        assert [name for name in module.__all__ if getattr(module, name, None) is None] == []
    assert set(dir(pingsock)) >= set(pingsock.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'pong'"):
        _ = pingsock.pong  # type: ignore[attr-defined] # as it must be


def test_the_library_costs_what_is_used_of_it() -> None:
    program = """
import sys
import pingsock
assert not any(name.startswith("pingsock.") for name in sys.modules), sys.modules
for name in set(pingsock.__all__) - {"aio"}:
    getattr(pingsock, name)
assert "asyncio" not in sys.modules
import pingsock.aio
assert "trio" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": str(SOURCE)})


@pytest.mark.parametrize("name", ["ping", "watch", "ping_many", "resolve"])
def test_calls_have_the_same_parameters_in_both_worlds(name: str) -> None:
    assert inspect.signature(getattr(aio, name)).parameters == inspect.signature(getattr(pingsock, name)).parameters


@pytest.mark.parametrize("name", ["__init__", "add", "remove", "ping", "take", "close"])
def test_pingers_have_the_same_parameters_in_both_worlds(name: str) -> None:
    one, other = getattr(pingsock.Pinger, name), getattr(aio.Pinger, name)
    assert inspect.signature(one).parameters == inspect.signature(other).parameters
