"""Networks as TOML files.

All there is, in one example:

    seed = 1

    [nodes.r1]
    kind = "router"                     # or "host"
    addresses = ["10.0.1.1"]
    silent = true                       # any option of `pingsock.lab.options.Options`
    routes = [{prefix = "10.0.9.0/24", via = ["r2"]}, {prefix = "10.0.8.0/24", refuse = "prohibit"}]

    [[nodes.r1.rules]]
    match = {type = "echo", every = 3}
    actions = [{do = "delay", seconds = 0.2}, "bad checksum"]

    [[links]]
    ends = ["r1", "r2"]
    subnets = ["10.0.2.0/30"]           # or left = ["10.0.2.1/30"], right = ["10.0.2.2/30"]
    delay = 0.01                        # any setting of `pingsock.lab.links.Direction`, both ways
    forward = {loss = 0.1}              # from the first end to the second

Every node is made before the first link, and every link before the first route or rule.
"""

from __future__ import annotations

import os
import tomllib

from pingsock.lab.errors import LabError
from pingsock.lab.network import Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pingsock.lab.nodes import Node

KINDS = ("host", "router")


def load(source: str | os.PathLike[str]) -> Network:
    """A network from a file, or from TOML text (a string with a line break). LabError names file, key and fault."""
    if isinstance(source, str) and "\n" in source:
        return _built(source, "text")
    name = os.fspath(source)
    try:
        with open(name, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as err:
        raise LabError(f"{name}: cannot be read: {err}") from err
    return _built(text, name)


def _built(text: str, name: str) -> Network:
    try:
        table = Table(tomllib.loads(text), "")
        network = Network(table.take("seed", int, 0), table.take("epoch", float, 0.0))
        nodes = table.take("nodes", dict, {})
        links = table.take("links", list, [])
        table.done()
        _add_nodes(network, nodes)
        for number, link in enumerate(links, 1):
            _add_link(network, Table.of(link, f"links[{number}]"))
        for node, content in nodes.items():
            _add_routes_and_rules(network.node(node), Table(content, f"nodes.{node}"))
    except tomllib.TOMLDecodeError as err:
        raise LabError(f"{name}: not TOML: {err}") from err
    except LabError as err:
        raise LabError(f"{name}: {err}") from err
    return network


def _add_nodes(network: Network, nodes: dict[str, Any]) -> None:
    for name, content in nodes.items():
        table = Table.of(content, f"nodes.{name}")
        kind = table.take("kind", str)
        if kind not in KINDS:
            raise LabError(f"{table.key('kind')} is {kind!r}, needed one of {', '.join(map(repr, KINDS))}")
        addresses = table.texts("addresses")
        table.take("rules", list, [])
        table.take("routes", list, [])
        with table:
            (network.host if kind == "host" else network.router)(name, *addresses, **table.rest())


def _add_link(network: Network, table: Table) -> None:
    ends = table.texts("ends")
    if len(ends) != 2:
        raise LabError(f"{table.key('ends')} is {ends!r}, needed the names of two nodes")
    subnets, left, right = (table.texts(name) for name in ("subnets", "left", "right"))
    forward, backward = (table.take(name, dict, {}) for name in ("forward", "backward"))
    with table:
        network.link(
            ends[0],
            ends[1],
            *subnets,
            left_addresses=left,
            right_addresses=right,
            forward=forward,
            backward=backward,
            **table.rest(),
        )


def _add_routes_and_rules(node: Node, table: Table) -> None:
    for number, content in enumerate(table.take("routes", list, []), 1):
        route = Table.of(content, f"{table.key('routes')}[{number}]")
        prefix, via, refuse = route.take("prefix", str), route.texts("via"), route.take("refuse", str, "")
        route.done()
        with route:
            node.route(prefix, via=via, refuse=refuse)
    for number, content in enumerate(table.take("rules", list, []), 1):
        rule = Table.of(content, f"{table.key('rules')}[{number}]")
        match, actions = rule.take("match", dict, {}), rule.take("actions", list)
        rule.done()
        with rule:
            node.rule(*actions, **match)


class Table:
    """A table of the file, taken apart key by key; it knows where it stands.

    As a context manager it puts its place in front of any LabError.
    """

    def __init__(self, content: dict[str, Any], place: str) -> None:
        self._content = dict(content)
        self._place = place

    @classmethod
    def of(cls, content: Any, place: str) -> Table:
        """LabError unless it is a table."""
        if not isinstance(content, dict):
            raise LabError(f"{place} is {content!r}, needed a table")
        return cls(content, place)

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, LabError):
            raise LabError(f"{self._place}: {error}") from error
        if isinstance(error, TypeError):
            raise LabError(f"{self._place}: {error}") from error

    def key(self, name: str) -> str:
        """The full name of a key."""
        return f"{self._place}.{name}" if self._place else name

    def take(self, name: str, kind: type, default: Any = None) -> Any:
        """One key's value; LabError if it is missing without a default, or of another kind."""
        if name not in self._content:
            if default is None:
                raise LabError(f"{self.key(name)} is missing")
            return default
        content = self._content.pop(name)
        wanted = (int, float) if kind is float else (kind,)
        if not isinstance(content, wanted) or (isinstance(content, bool) and kind is not bool):
            raise LabError(f"{self.key(name)} is {content!r}, needed {_KIND_NAMES[kind]}")
        return content

    def texts(self, name: str) -> list[str]:
        """A list of strings, empty if missing; one string is a list of one."""
        content = self._content.pop(name, [])
        texts = [content] if isinstance(content, str) else content
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise LabError(f"{self.key(name)} is {content!r}, needed strings")
        return texts

    def rest(self) -> dict[str, Any]:
        """All keys that were not taken."""
        return self._content

    def done(self) -> None:
        """LabError if a key is left that means nothing here."""
        for name in self._content:
            raise LabError(f"{self.key(name)} is not known")


_KIND_NAMES = {int: "a whole number", float: "a number", str: "a string", dict: "a table", list: "a list"}
