"""Frozen values: the first of a class and the thousandth are the same, however they were made."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from pingsock.wire.value import MANY, Value


class Point(Value):
    x: int
    y: int = 0


class Named(Point):
    name: str = "origin"


class Late(Point):
    """A field without a default behind one that has it."""

    z: int  # type: ignore[misc]


class Checked(Value):
    content: int

    def __init__(self, content: int) -> None:
        super().__init__(content * 2)


class Empty(Value):
    pass


MAKERS: list[tuple[type[Value], tuple[Any, ...], dict[str, Any], str]] = [
    (Point, (1,), {}, "Point(x=1, y=0)"),
    (Point, (1, 2), {}, "Point(x=1, y=2)"),
    (Point, (), {"y": 2, "x": 1}, "Point(x=1, y=2)"),
    (Named, (1, 2, "three"), {}, "Named(x=1, y=2, name='three')"),
    (Named, (1,), {"name": "three"}, "Named(x=1, y=0, name='three')"),
    (Late, (1, 2, 3), {}, "Late(x=1, y=2, z=3)"),
    (Late, (1,), {"z": 3}, "Late(x=1, y=0, z=3)"),
    (Checked, (4,), {}, "Checked(content=8)"),
    (Empty, (), {}, "Empty()"),
]
REFUSED: list[tuple[type[Value], tuple[Any, ...], dict[str, Any]]] = [
    (Point, (), {}),
    (Point, (1, 2, 3), {}),
    (Point, (1,), {"x": 1}),
    (Point, (1,), {"z": 1}),
    (Empty, (1,), {}),
]


@pytest.mark.parametrize(("cls", "positional", "named", "text"), MAKERS)
def test_every_value_is_what_its_call_says(
    cls: type[Value], positional: tuple[Any, ...], named: dict[str, Any], text: str
) -> None:
    first = cls(*positional, **named)
    made = [cls(*positional, **named) for _ in range(MANY + 2)]
    assert {repr(value) for value in (first, *made)} == {text}
    assert {hash(value) for value in made} == {hash(first)}
    assert made[-1] == first


@pytest.mark.parametrize(("cls", "positional", "named"), REFUSED)
def test_a_call_that_does_not_fit_is_a_type_error_early_and_late(
    cls: type[Value], positional: tuple[Any, ...], named: dict[str, Any]
) -> None:
    for _ in range(2 * MANY):
        with pytest.raises(TypeError):
            cls(*positional, **named)


def test_a_subclass_made_after_many_values_of_its_base_has_its_own_fields() -> None:
    for _ in range(MANY + 1):
        Point(1)

    class Deep(Point):
        depth: int = 7

    assert repr(Deep(1, 2)) == "Deep(x=1, y=2, depth=7)"


def test_values_made_late_are_frozen_and_can_be_copied_and_pickled() -> None:
    for _ in range(MANY + 1):
        Point(1)
    point = Point(1, 2)
    with pytest.raises(AttributeError, match="frozen"):
        point.x = 3  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(point)) == copy.deepcopy(point) == point.replace(x=1) == point
