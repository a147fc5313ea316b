from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pingsock
from pingsock import aio
from pingsock.probe.schedule import PATIENCE
from pingsock.probe.target import ProbeOptions, Target
from pingsock.sockets.errors import InvalidArgument
from pingsock.tools import intake
from pingsock.tools.arguments import check_plan, check_probes, check_rate, family_of_literal
from pingsock.tools.destination import Destination, UnknownHost

V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)


class Odd:
    """An object that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError


BAD_NUMBERS: list[Any] = [None, True, False, "1", b"1", math.nan, math.inf, -math.inf, -1, 10**5000, [], 1j, Odd()]
BAD_HOSTS: list[Any] = [
    "",
    None,
    7,
    b"127.0.0.1",
    "a\0b",
    "a b",
    " 127.0.0.1",
    "127.0.0.1\n",
    "icmp://127.0.0.1/",
    "192.0.2.0/24",
    "[::1]",
    "user@host",
    "\ud800",
    "\u200b",
    "a" * 10_000,
    Odd(),
    ["127.0.0.1"],
]


@pytest.mark.parametrize("host", BAD_HOSTS, ids=lambda host: type(host).__name__)
@pytest.mark.parametrize("call", [pingsock.ping, pingsock.watch, aio.watch, pingsock.resolve])
def test_what_cannot_be_a_host_is_refused_at_once(call: Callable[..., object], host: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^host must be") as caught:
        call(host)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("hosts", ["127.0.0.1", b"127.0.0.1", None, 7, Target("a", V4, ("192.0.2.1", 0)), Odd()])
@pytest.mark.parametrize("call", [pingsock.ping_many, aio.ping_many])
def test_one_host_is_no_iterable_of_hosts(call: Callable[..., object], hosts: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^hosts must be an iterable"):
        call(hosts)


@pytest.mark.parametrize("number", BAD_NUMBERS, ids=lambda number: type(number).__name__)
@pytest.mark.parametrize("name", ["count", "interval", "timeout", "size", "tos", "ttl"])
def test_what_is_no_number_of_the_range_is_refused(name: str, number: Any) -> None:
    if name in ("ttl", "tos") and number is None:
        return
    with pytest.raises(InvalidArgument, match=rf"^{name} must be a"):
        pingsock.ping("127.0.0.1", **{name: number})


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("count", 1, 2**31 - 1), ("ttl", 1, 255), ("tos", 0, 255), ("size", 0, 65507)],
)
def test_ranges_end_where_they_should(name: str, least: int, most: int) -> None:
    check: Callable[..., object] = check_probes
    if name == "count":
        check = lambda count: check_plan(count=count, interval=1, timeout=1)  # noqa: E731
    check(**{name: least})
    check(**{name: most})
    for outside in (least - 1, most + 1):
        with pytest.raises(
            InvalidArgument, match=rf"^{name} must be a whole number from {least} to {most}, not {outside}"
        ):
            check(**{name: outside})


def test_ipv6_carries_twenty_bytes_more() -> None:
    assert check_probes(size=65527, family=V6).options.size == 65527
    assert check_probes(size=65527, source="::1").options.size == 65527
    with pytest.raises(InvalidArgument, match=r"^size"):
        check_probes(size=65528, family=V6)


def test_a_timeout_is_never_nothing() -> None:
    for timeout in (0, -1, 1e-12, 3601):
        with pytest.raises(InvalidArgument, match=r"^timeout"):
            pingsock.ping("127.0.0.1", timeout=timeout)


def test_only_a_finite_ping_may_have_no_interval() -> None:
    assert check_plan(count=3, interval=0, timeout=1).interval_ns == 0
    with pytest.raises(InvalidArgument, match=r"^interval"):
        pingsock.watch("127.0.0.1", interval=0)


def test_rates() -> None:
    assert (check_rate(0), check_rate(0.5)) == (0.0, 0.5)
    for rate in [*BAD_NUMBERS, 1e-300]:
        with pytest.raises(InvalidArgument, match=r"^rate must be .* or 0 for no limit"):
            check_rate(rate)


@pytest.mark.parametrize("source", [None, 7, "nohost", "127.0.0.1%lo", "127.0.0", "::1%nodevice", "::1%0", "a\0", b""])
def test_a_source_is_an_address(source: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^source must be an IP address"):
        check_probes(source=source)


def test_a_source_decides_the_family() -> None:
    assert check_probes(source="127.0.0.1").family == V4
    assert check_probes(source="fe80::1%lo").family == V6
    with pytest.raises(InvalidArgument, match=r"^source must be an IPv6 address"):
        check_probes(source="127.0.0.1", family=V6)
    with pytest.raises(InvalidArgument, match=r"^host must be a name or an IPv6 address"):
        pingsock.ping("127.0.0.1", source="::1")


@pytest.mark.parametrize("interface", [None, 1, "nodevice", "lo\0", "x" * 100, "\ud800", b"lo"])
def test_an_interface_is_the_name_of_one(interface: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^interface must be the name of an interface"):
        check_probes(interface=interface)


def test_an_interface_becomes_its_index() -> None:
    assert check_probes(interface="lo").options.interface == socket.if_nametoindex("lo")


@pytest.mark.parametrize("kinds", ["kernel", (), [], None, ["kernel", "none"], [["kernel"]], {"kernel"}, 7])
def test_kinds_are_kinds(kinds: Any) -> None:
    for call in (pingsock.ping, pingsock.watch, aio.watch):
        with pytest.raises(InvalidArgument, match=r"^kinds must be"):
            call("127.0.0.1", kinds=kinds)


@pytest.mark.parametrize("arguments", [{"family": []}, {"kinds": 1}, {"kinds": iter(())}, {"kinds": [[]]}])
def test_what_opens_a_socket_checks_its_arguments_too(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        pingsock.open(**arguments)


@pytest.mark.parametrize("family", [None, True, False, 1, "4", 4, 6, 2.0])
def test_families_are_two(family: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^family"):
        check_probes(family=family)


def test_flags_are_flags_and_payloads_bytes() -> None:
    for name in ("dont_fragment", "broadcast"):
        with pytest.raises(InvalidArgument, match=rf"^{name} must be True or False, not 1"):
            check_probes(**{name: 1})  # type: ignore[arg-type] # that is the point
    for payload in ("text", None, 7, [1], bytes(65528)):
        with pytest.raises(InvalidArgument, match=r"^payload"):
            check_probes(payload=payload)  # type: ignore[arg-type] # that is the point
    assert check_probes(payload=bytearray(b"ab")).options.payload == b"ab"


def test_a_name_nobody_checks_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="colour"):
        pingsock.ping("127.0.0.1", colour="red")  # type: ignore[call-arg] # that is the point


def targets(**changes: Any) -> Target:
    return Target("host", V4, ("192.0.2.1", 0)).replace(**changes)


@pytest.mark.parametrize(
    "target",
    [
        targets(family=1),
        targets(family=[]),
        targets(family=None),
        targets(host=7),
        targets(address="192.0.2.1"),
        targets(address=("192.0.2.1",)),
        targets(address=("192.0.2.1", 1)),
        targets(address=("::1", 0, 0, 0)),
        targets(address=("::1", 0, 0, -1), family=V6),
        targets(address=("fe80::1%lo", 0, 0, 0), family=V6),
        targets(options=None),
        targets(answered_by_others=1),
        *(
            targets(options=ProbeOptions(**options))
            for options in (
                {"size": 65508},
                {"hop_limit": 0},
                {"traffic_class": 256},
                {"source": "::1"},
                {"interface": -1},
                {"payload": "text"},
                {"broadcast": 1},
            )
        ),
    ],
)
def test_a_target_made_by_hand_is_checked_too(target: Target) -> None:
    with pytest.raises(InvalidArgument):
        pingsock.ping(target)


@pytest.mark.parametrize(("module", "call"), [("echo", pingsock.ping_many), ("intake", aio.ping_many)])
def test_no_host_of_many_is_left_unsent_because_neighbours_take_their_time(
    module: str, call: Callable[..., object]
) -> None:
    with mock.patch(f"pingsock.tools.{module}.Intake") as taken:
        call(["192.0.2.1"])
    plan = taken.call_args.args[2]
    assert plan.patience_ns == PATIENCE > plan.timeout_ns


def test_a_type_checker_knows_which_names_there_are() -> None:
    with pytest.raises(AttributeError):
        pingsock.pnig  # type: ignore[attr-defined] # noqa: B018 - mypy is to say so, and says if it need not


def test_literals() -> None:
    assert [family_of_literal(host) for host in ("192.0.2.1", "::1", "fe80::1%eth0", "127.1", "host", "")] == [
        V4,
        V6,
        V6,
        0,
        0,
        0,
    ]


# Ten thousand random sets of arguments: two calls for each example in some tests

ODD = st.sampled_from([*BAD_NUMBERS, *BAD_HOSTS, 0, 1, 0.5, 64, 65508, "lo", "::1", "127.0.0.1", b"ab", V4, V6])
ANYTHING = st.one_of(ODD, st.integers(), st.floats(), st.text(max_size=20), st.binary(max_size=20))
HOSTS = st.one_of(st.sampled_from(["127.0.0.1", "::1", "localhost", "name.test", targets()]), ANYTHING)


def mostly(valid: Any) -> st.SearchStrategy[Any]:
    return st.one_of(st.sampled_from(valid), st.sampled_from(valid), st.sampled_from(valid), ANYTHING)


PROBES = {
    "family": mostly([0, V4, V6]),
    "source": mostly(["", "127.0.0.1", "::1"]),
    "interface": mostly(["", "lo"]),
    "ttl": mostly([None, 1, 64, 255]),
    "tos": mostly([None, 0, 255]),
    "size": mostly([0, 56, 1400]),
    "payload": mostly([b"", b"ab"]),
    "dont_fragment": mostly([True, False]),
    "broadcast": mostly([False]),
    "timeout": mostly([0.001, 1]),
    "interval": mostly([0.001, 1]),
}
SEVERAL = {
    "count": mostly([1, 3]),
    "retries": mostly([0, 2]),
    "rate": mostly([0, 1000]),
    "all_addresses": mostly([False]),
}


def sets_of(strategies: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=strategies)


def no_resolver(name: str, family: int = 0) -> list[Destination]:
    if name != "localhost":
        raise UnknownHost(name, "not in this test")
    return [Destination(V4, ("127.0.0.1", 0), name)]


@pytest.fixture
def no_network() -> Iterator[None]:
    """Names are known, and nothing is opened."""
    with (
        mock.patch.object(intake, "resolve", no_resolver),
        mock.patch("pingsock.probe.prober.Prober.__init__") as opened,
    ):
        opened.side_effect = AssertionError
        yield


MANY = settings(
    max_examples=2000,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def refused_or_taken(call: Callable[[], object]) -> str:
    """What was said, if it was refused."""
    try:
        call()
    except InvalidArgument as refusal:
        return str(refusal)
    return ""


@MANY
@given(HOSTS, sets_of(PROBES))
def test_watch_refuses_or_takes(no_network: None, host: Any, arguments: dict[str, Any]) -> None:
    for call in (pingsock.watch, aio.watch):
        refused_or_taken(lambda: call(host, **arguments).close())  # noqa: B023 - called at once


@MANY
@given(ANYTHING, sets_of(PROBES | SEVERAL))
def test_ping_many_refuses_or_takes(no_network: None, hosts: Any, arguments: dict[str, Any]) -> None:
    for call in (pingsock.ping_many, aio.ping_many):
        refused_or_taken(lambda: call(hosts, **arguments).close())  # noqa: B023 - called at once


@MANY
@given(HOSTS, sets_of(PROBES))
def test_resolve_refuses_or_takes(no_network: None, host: Any, arguments: dict[str, Any]) -> None:
    probes = {name: given for name, given in arguments.items() if name not in ("timeout", "interval")}
    with suppress(UnknownHost):
        refused_or_taken(lambda: pingsock.resolve(host, **probes))


@settings(MANY, max_examples=1000)
@given(st.lists(HOSTS, max_size=5), sets_of(PROBES))
def test_a_stream_of_anything_costs_only_what_is_wrong_in_it(
    no_network: None, hosts: Any, arguments: dict[str, Any]
) -> None:
    plan = check_plan(count=1, interval=1, timeout=1)
    with mock.patch("pingsock.tools.names.resolve", no_resolver):
        stream = intake.Intake(hosts, check_probes(), plan, all_addresses=False)
        with closing(stream):
            told: list[Any] = []
            courses = stream.courses(lambda target, _plan: target)  # type: ignore[arg-type, return-value] # no prober
            for target in courses:
                told += [target] if target is not None else []
                told += stream.untold()
            told += stream.untold()
    assert len(told) == len(hosts)
