"""docs/lab.md: its examples run, and its tables are those of the code."""

from __future__ import annotations

import inspect
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from bed.namespace import NoNamespace, entered
from pingsock import lab
from pingsock.lab.actions import ACTIONS
from pingsock.lab.icmp_errors import FAULTS, Quote
from pingsock.lab.links import Direction
from pingsock.lab.options import Options
from pingsock.wire.value import Value

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "lab.md").read_text()
IN_NAMESPACE = "<!-- run: in a network namespace -->\n"
EXAMPLES = re.findall(rf"({IN_NAMESPACE})?```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_run_one_after_the_other() -> None:
    scope: dict[str, Any] = {}
    for marked, code in EXAMPLES:
        if not marked:
            exec(compile(code, "docs/lab.md", "exec"), scope)


@pytest.mark.skipif(shutil.which("ping") is None, reason="needs the program ping")
def test_the_example_for_the_kernel_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (code,) = [code for marked, code in EXAMPLES if marked]
    try:
        with entered():
            exec(compile(code, "docs/lab.md", "exec"), {"lab": lab})
    except NoNamespace as err:
        pytest.skip(str(err))


def test_the_toml_example_loads() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert list(lab.load(text).nodes) == ["r1", "far"]


def test_every_example_file_is_linked_and_every_link_leads_somewhere() -> None:
    linked = set(re.findall(r"\]\((labs/[\w.-]+)\)", PAGE))
    assert linked == {f"labs/{path.name}" for path in (ROOT / "docs" / "labs").iterdir()}


def fields_table(cls: type[Value]) -> str:
    """Name, default and docstring of each field of a Value, read from its source."""
    found = re.findall(r'^    (\w+): [^\n]+\n    """(.*?)"""', inspect.getsource(cls), re.DOTALL | re.MULTILINE)
    texts = {name: " ".join(text.split()) for name, text in found}
    lines = [f"| `{name}` | `{getattr(cls(), name)!r}` | {texts[name]} |" for name in cls._fields]
    return "\n".join(["| name | default | |", "|---|---|---|", *lines])


def actions_table() -> str:
    lines = []
    for name, factory in ACTIONS.items():
        parameters = ", ".join(
            f"`{parameter}`" for parameter in inspect.signature(factory).parameters if parameter != "self"
        )
        lines.append(f"| `{name}` | {parameters} | {' '.join(inspect.getdoc(factory).split())} |")  # type: ignore[union-attr]
    return "\n".join(["| action | parameters | |", "|---|---|---|", *lines])


def faults_table() -> str:
    lines = [f"| `{name}` | {v4[0]}/{v4[1]} | {v6[0]}/{v6[1]} |" for name, (v4, v6) in FAULTS.items()]
    return "\n".join(["| error | IPv4 | IPv6 |", "|---|---|---|", *lines])


TABLES = {
    "Direction": lambda: fields_table(Direction),
    "Options": lambda: fields_table(Options),
    "Quote": lambda: fields_table(Quote),
    "actions": actions_table,
    "faults": faults_table,
}


def with_tables(page: str) -> str:
    def table(found: re.Match[str]) -> str:
        return f"{found[1]}\n{TABLES[found[2]]()}\n"

    return re.sub(r"(<!-- table: (\w+) -->\n)(?:\n?(?:\|[^\n]*\n)+)?", table, page)


def test_the_tables_are_those_of_the_code() -> None:
    written = with_tables(PAGE)
    if os.environ.get("REWRITE_TABLES"):
        (ROOT / "docs" / "lab.md").write_text(written)
    assert written == PAGE, "run once with REWRITE_TABLES=1 in the environment"
