from __future__ import annotations

from pathlib import Path

import pytest

from lab.bench import Bench
from pingsock import lab

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "labs").glob("*.toml"))
BASE = """
[nodes.r1]
kind = "router"
addresses = ["10.255.0.1"]
[nodes.far]
kind = "host"
addresses = "192.0.2.1"
[[links]]
ends = ["r1", "far"]
"""


def test_a_network_can_be_written_down() -> None:
    bench = Bench(lab.load(BASE + "delay = 0.25\nforward = {delay = 0.5}\n"), "r1")
    arrival = bench.answer("192.0.2.1")
    assert (arrival.source, arrival.at) == ("192.0.2.1", 0.75)


def test_rules_routes_and_options_can_be_written_down() -> None:
    text = """
    seed = 5
    epoch = 1000
    [nodes.r1]
    kind = "router"
    addresses = ["10.255.0.1"]
    reply_from = "node"
    labels = [{label = 5, ttl = 3}]
    routes = [{prefix = "203.0.113.0/24", refuse = "prohibit"}, {prefix = "198.18.0.0/15", via = "far"}]
    [[nodes.r1.rules]]
    match = {type = "echo", sequence = [2, 3]}
    actions = ["drop"]
    [nodes.far]
    kind = "host"
    addresses = ["192.0.2.1", "198.18.0.0/15"]
    [[links]]
    ends = ["r1", "far"]
    left = ["10.0.0.1/24"]
    right = ["10.0.0.2/24"]
    """
    network = lab.load(text)
    bench = Bench(network, "r1")
    for number in range(5):
        bench.ping("192.0.2.1", number)
    assert [arrival.datagram.sequence for arrival in bench.until(1.0)] == [0, 1, 4]
    assert bench.answer("203.0.113.7").kind == (3, 13)
    assert bench.answer("198.19.7.7").kind == (0, 0)
    assert bench.answer("10.0.0.2").kind == (0, 0)
    assert (network.seed, network.epoch) == (5, 1000)
    assert network.node("r1").options.labels == (lab.Label(5, ttl=3),)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_loads_and_every_host_answers(example: Path) -> None:
    network = lab.load(example)
    for name in [name for name, node in network.nodes.items() if isinstance(node, lab.Host) and not node.rules]:
        gate = next(iter(network.nodes))
        bench = Bench(lab.load(str(example)), gate)
        for prefix in network.node(name).addresses:
            for number in range(20):
                bench.ping(str(prefix).partition("/")[0], number)
            assert 10 < len(bench.until(bench.network.now + 60.0)) < 25


def test_the_hostile_example_does_what_it_says() -> None:
    bench = Bench(lab.load(EXAMPLES[0].parent / "hostile-host.toml"), "gate")
    for number in range(1, 7):
        bench.ping("192.0.2.1", number)
    assert sorted(arrival.datagram.sequence for arrival in bench.until(1.0)) == [1, 2, 4, 5]
    bench.ping("192.0.2.2", 1)
    assert len(bench.until(2.0)) == 1000
    assert bench.answer("192.0.2.6").source == "192.0.2.7"
    assert not bench.answer("192.0.2.4").intact
    assert bench.answer("192.0.2.5").datagram.size == 32


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x =\n", "text: not TOML: Invalid value (at line 1, column 4)"),
        ("colour = 1\n", "text: colour is not known"),
        ("seed = 'x'\n", "text: seed is 'x', needed a whole number"),
        ("[nodes.a]\n", "text: nodes.a.kind is missing"),
        ("[nodes.a]\nkind = 'switch'\n", "text: nodes.a.kind is 'switch', needed one of 'host', 'router'"),
        ("[nodes.a]\nkind = 'host'\naddresses = [1]\n", "text: nodes.a.addresses is [1], needed strings"),
        ("[nodes.a]\nkind = 'host'\naddresses = ['x']\n", "text: nodes.a: 'x' is not an address"),
        ("[nodes.a]\nkind = 'host'\ncolour = 1\n", "text: nodes.a: a: a node has no option 'colour'; it has"),
        ("[nodes]\na = 1\n", "text: nodes.a is 1, needed a table"),
        ("[[links]]\nends = ['a']\n", "text: links[1].ends is ['a'], needed the names of two nodes"),
        (BASE + "[[links]]\nends = ['r1', 'r9']\n", "text: links[2]: there is no node 'r9'; there is r1, far"),
        (BASE + "loss = 2.0\n", "text: links[1]: link r1 - far: loss is 2.0, needed a chance from 0.0 to 1.0"),
        (BASE + "subnets = ['10.0.0.1/32']\n", "text: links[1]: '10.0.0.1/32' has no room"),
        (BASE + "speed = 1\n", "text: links[1]: link r1 - far: a link has no setting 'speed'"),
        (BASE + "[[nodes.far.rules]]\n", "text: nodes.far.rules[1].actions is missing"),
        (BASE + "[[nodes.far.rules]]\nactions = ['hum']\n", "text: nodes.far.rules[1]: rule 1 of far: do is 'hum'"),
        (BASE + "[[nodes.far.rules]]\nactions = []\nwhen = 1\n", "text: nodes.far.rules[1].when is not known"),
        (BASE + "[[nodes.r1.routes]]\nprefix = '::/0'\n", "text: nodes.r1.routes[1]: r1: the route to ::/0 needs via"),
    ],
)
def test_a_fault_in_a_file_is_named_with_its_place(text: str, told: str) -> None:
    with pytest.raises(lab.LabError) as raised:
        lab.load(text)
    assert str(raised.value).startswith(told)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(lab.LabError, match=r"none\.toml: cannot be read: .*No such file"):
        lab.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("seed = [")
    with pytest.raises(lab.LabError, match=r"bad\.toml: not TOML"):
        lab.load(tmp_path / "bad.toml")
