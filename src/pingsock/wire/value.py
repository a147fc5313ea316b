"""Frozen values: the one way this project writes a record.

Why not dataclasses or NamedTuple: the first echo request of `pingsock ping` must leave within a few
milliseconds of CPU, and importing either costs as much as all of that program. A `Value` needs neither and costs
one small metaclass.

    class Point(Value):
        x: int
        y: int = 0

A value is created from positional or named fields, cannot be changed, compares and hashes by type and fields,
prints itself as the call that would make it, and can be pickled. The module that defines one must begin with
`from __future__ import annotations`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_options: object) -> Callable[[type], type]:
        """Stand in for typing's, which only type checkers look at."""
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class ValueType(type):
    """Turns the annotated names of a class body into slots, and keeps their defaults aside."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> ValueType:
        """Make a class of values."""
        own = tuple(
            field for field, text in namespace.get("__annotations__", {}).items() if not text.startswith("ClassVar")
        )
        defaults = {field: namespace.pop(field) for field in own if field in namespace}
        namespace["__slots__"] = own
        cls = super().__new__(mcls, name, bases, namespace)
        inherited = getattr(cls, "_fields", ())
        cls._fields = (*inherited, *own)
        cls._defaults = {**getattr(cls, "_defaults", {}), **defaults}
        return cls

    _fields: tuple[str, ...]
    _defaults: dict[str, Any]


class Value(metaclass=ValueType):
    """A frozen record; see the module's docstring."""

    if TYPE_CHECKING:
        _fields: ClassVar[tuple[str, ...]]
        _defaults: ClassVar[dict[str, Any]]

    def __init__(self, *positional: Any, **named: Any) -> None:
        fields = self._fields
        if len(positional) > len(fields):
            raise TypeError(f"{type(self).__name__} takes {len(fields)} fields, got {len(positional)}")
        store = object.__setattr__
        for field, content in zip(fields, positional, strict=False):
            store(self, field, content)
        if named or len(positional) < len(fields):
            self._store_named(fields[len(positional) :], named)

    def _store_named(self, missing: tuple[str, ...], named: dict[str, Any]) -> None:
        for field in missing:
            if field in named:
                content = named.pop(field)
            elif field in self._defaults:
                content = self._defaults[field]
            else:
                raise TypeError(f"{type(self).__name__} needs the field {field!r}")
            object.__setattr__(self, field, content)
        if named:
            raise TypeError(f"{type(self).__name__} has no free field {next(iter(named))!r}")

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return type(self)(**{field: getattr(self, field) for field in self._fields} | changes)

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, in their order."""
        return {field: getattr(self, field) for field in self._fields}

    def __setattr__(self, field: str, content: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen; use replace({field}=...)")

    def __delattr__(self, field: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def _key(self) -> tuple[Any, ...]:
        return tuple([getattr(self, field) for field in self._fields])

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), self._key()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{field}={getattr(self, field)!r}' for field in self._fields)})"
