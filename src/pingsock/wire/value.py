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

Making one costs as many stores as it has fields, and a loop around them. A class of which many are made is given an
`__init__` of its own, three times as fast, once it has paid for compiling that.
"""

from __future__ import annotations

from itertools import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_options: object) -> Callable[[type], type]:
        """Stand in for typing's, which only type checkers look at."""
        return lambda cls: cls


MANY = 64
"""Values of a class after which it gets an `__init__` of its own: to compile it takes the time of about fifty."""
_made_to_measure: set[Any] = set()
"""Every `__init__` of that kind; a subclass must not inherit one, for it may have more fields."""
_INIT = "__init__"


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
        if bases and getattr(bases[0], _INIT) in (Value.__init__, *_made_to_measure):
            # Its own, for that of the base may be replaced.
            namespace.setdefault(_INIT, Value.__init__)
        cls = super().__new__(mcls, name, bases, namespace)
        inherited = getattr(cls, "_fields", ())
        cls._fields = (*inherited, *own)
        cls._defaults = {**getattr(cls, "_defaults", {}), **defaults}
        cls._uses = count(1)
        return cls

    _fields: tuple[str, ...]
    _defaults: dict[str, Any]
    _uses: Iterator[int]


class Value(metaclass=ValueType):
    """A frozen record; see the module's docstring."""

    if TYPE_CHECKING:
        _fields: ClassVar[tuple[str, ...]]
        _defaults: ClassVar[dict[str, Any]]
        _uses: ClassVar[Iterator[int]]

    def __init__(self, *positional: Any, **named: Any) -> None:
        fields = self._fields
        if next(self._uses) == MANY:
            _make_to_measure(type(self))
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


def _make_to_measure(cls: type[Value]) -> None:
    """Give a class an `__init__` without loops, if its fields can be parameters and it has none of its own."""
    fields, defaults = cls._fields, cls._defaults
    required = [field for field in fields if field not in defaults]
    if cls.__init__ is not Value.__init__ or fields[: len(required)] != tuple(required):
        return
    names: dict[str, Any] = {f"store_{field}": getattr(cls, field).__set__ for field in fields}
    names.update({f"default_{field}": default for field, default in defaults.items()})
    parameters = [*required, *(f"{field}=default_{field}" for field in fields[len(required) :])]
    body = "".join(f"\n    store_{field}(self, {field})" for field in fields) or "\n    pass"
    exec(f"def __init__({', '.join(('self', *parameters))}):{body}", names)
    init = names["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    _made_to_measure.add(init)
    cls.__init__ = init  # type: ignore[method-assign]
