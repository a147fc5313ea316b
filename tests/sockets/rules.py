"""How the tables of the specification become rows of tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bed.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

both_families = pytest.mark.parametrize("ip", FAMILIES, ids=str)


def rows(names: str, table: Mapping[str, Any]) -> pytest.MarkDecorator:
    """One test for each row of a table; the key names the row."""
    return pytest.mark.parametrize(names, list(table.values()), ids=[key.replace("-", "_") for key in table])


def each(name: str, values: Iterable[Any]) -> pytest.MarkDecorator:
    """One test for each value; functions are named by their names, the same in every run."""
    listed = list(values)
    names = [getattr(value, "__name__", str(value)) for value in listed]
    return pytest.mark.parametrize(name, listed, ids=[text.replace("-", "_") for text in names])
