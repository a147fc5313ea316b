"""icmplib itself is the oracle: names, arguments, results and exceptions, side by side in one namespace."""

from __future__ import annotations

import asyncio
import inspect
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compat import network
from pingsock.compat import icmplib as ours

theirs = pytest.importorskip("icmplib", reason="needs icmplib, to compare with it")

BOTH = [theirs, ours]
QUICK = {"count": 2, "interval": 0.02, "timeout": 2, "privileged": False}
PUBLIC = sorted(name for name in vars(theirs) if not name.startswith("_") and not inspect.ismodule(vars(theirs)[name]))
CLASSES = [name for name in PUBLIC if inspect.isclass(getattr(theirs, name))]
FUNCTIONS = [name for name in PUBLIC if inspect.isfunction(getattr(theirs, name))]


def parameters(function: Any) -> list[tuple[str, Any]]:
    """Names and defaults of those that are not keyword-only."""
    found = inspect.signature(function).parameters.values()
    return [(each.name, each.default) for each in found if each.kind is each.POSITIONAL_OR_KEYWORD]


def properties(cls: type[Any]) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def facts(host: Any) -> tuple[Any, ...]:
    """All of a result but the times."""
    return (
        type(host).__name__,
        host.address,
        host.packets_sent,
        host.packets_received,
        host.packet_loss,
        host.is_alive,
        [type(round_trip) for round_trip in host.rtts],
        [type(getattr(host, name)) for name in ("min_rtt", "avg_rtt", "max_rtt", "jitter", "rtts")],
        getattr(host, "distance", None),
    )


def outcome(call: Any) -> Any:
    """The facts of what a call returns, or the name of what it raises."""
    try:
        result = call()
    except Exception as error:
        return type(error).__name__
    return [facts(host) for host in result] if isinstance(result, list) else facts(result)


# Names and arguments


def test_every_public_name_is_there() -> None:
    assert set(PUBLIC) <= set(dir(ours))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_take_the_same_arguments(name: str) -> None:
    mine, original = getattr(ours, name), getattr(theirs, name)

    assert parameters(mine) == parameters(original)
    assert inspect.iscoroutinefunction(mine) == inspect.iscoroutinefunction(original)


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_made_and_used_alike(name: str) -> None:
    mine, original = getattr(ours, name), getattr(theirs, name)
    ours_too = {base.__name__ for base in mine.__mro__}

    if "__init__" in vars(original):
        assert parameters(mine) == parameters(original)
    assert properties(original) <= properties(mine)
    assert {base.__name__ for base in original.__mro__} <= ours_too


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("NameLookupError", ("nowhere",)),
        ("SocketAddressError", ("192.0.2.1",)),
        ("SocketPermissionError", (False,)),
        ("SocketBroadcastError", ()),
        ("SocketUnavailableError", ()),
        ("TimeoutExceeded", (2,)),
    ],
)
def test_exceptions_are_made_alike_and_say_something(name: str, arguments: tuple[Any, ...]) -> None:
    for library in BOTH:
        assert str(getattr(library, name)(*arguments))


# Results


@given(st.lists(st.floats(0, 10_000), max_size=8), st.integers(0, 8))
def test_the_figures_of_a_host_are_the_same(round_trips: list[float], lost: int) -> None:
    for figure in properties(theirs.Host):
        told = [getattr(library.Host("host", len(round_trips) + lost, round_trips), figure) for library in BOTH]
        assert told[0] == pytest.approx(told[1], abs=0.0011) if isinstance(told[0], float) else told[0] == told[1]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Host", ("192.0.2.1", 1, [1.0])),
        ("Hop", ("192.0.2.1", 1, [1.0], 3)),
        ("ICMPRequest", ("192.0.2.1", 1, 1)),
        ("ICMPReply", ("192.0.2.1", 4, 1, 1, 0, 0, 64, 1.0)),
    ],
)
def test_the_short_forms_are_the_same(name: str, arguments: tuple[Any, ...]) -> None:
    assert repr(getattr(ours, name)(*arguments)) == repr(getattr(theirs, name)(*arguments))


@pytest.mark.parametrize("family", [4, 6])
def test_every_icmp_message_raises_the_same(family: int) -> None:
    for icmp_type in range(256):
        for code in (0, 1, 4, 13, 200):
            raised = [raised_by(library, (family, 1, 2, icmp_type, code, 64, 1.0)) for library in BOTH]
            assert raised[0] == raised[1]


def raised_by(library: Any, arguments: tuple[Any, ...]) -> tuple[str, bool]:
    """The exception of a reply's `raise_for_status`, and whether it has the reply."""
    reply = library.ICMPReply("192.0.2.1", *arguments)
    try:
        reply.raise_for_status()
    except library.ICMPError as error:
        return type(error).__name__, error.reply is reply
    return "", True


@pytest.mark.parametrize(
    ("arguments", "more"),
    [(("192.0.2.1", 70000, -1), {}), (("192.0.2.1", 1, 2), {"payload": b"abc", "payload_size": 9, "ttl": 3})],
)
def test_requests_hold_the_same(arguments: tuple[Any, ...], more: dict[str, Any]) -> None:
    original, mine = (library.ICMPRequest(*arguments, **more) for library in BOTH)

    for name in properties(theirs.ICMPRequest) - {"payload"}:
        assert getattr(mine, name) == getattr(original, name)
    assert len(mine.payload) == len(original.payload)


# Calls


PINGED = [
    ("127.0.0.1", {}),
    ("localhost", {}),
    ("::1", {}),
    ("127.0.0.1", {"family": 6}),
    ("localhost", {"family": 4}),
    ("nonexistent.invalid", {}),
    ("127.0.0.1", {"count": 0}),
    ("127.0.0.1", {"count": -1}),
    ("127.0.0.1", {"timeout": 0}),
    ("127.0.0.1", {"source": "127.0.0.5"}),
    ("127.0.0.1", {"source": "192.0.2.5"}),
    ("127.0.0.1", {"source": "::1"}),
    ("127.0.0.1", {"id": 7, "payload": b"abcdefghijk"}),
    ("127.0.0.1", {"payload_size": 0}),
    ("127.0.0.1", {"payload_size": 65507, "traffic_class": 16, "ttl": 3}),
    ("127.0.0.1", {"bogus": 1}),
    ("192.0.2.1", {}),
    ("255.255.255.255", {}),
    ("fe80::1%lo", {}),
]


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize(("address", "more"), PINGED)
def test_ping_comes_to_the_same(address: str, more: dict[str, Any]) -> None:
    original, mine = (outcome(lambda lib=library: lib.ping(address, **(QUICK | more))) for library in BOTH)

    assert mine == original


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize(("address", "more"), PINGED[:3])
def test_async_ping_comes_to_the_same(address: str, more: dict[str, Any]) -> None:
    original, mine = (
        outcome(lambda lib=library: asyncio.run(lib.async_ping(address, **(QUICK | more)))) for library in BOTH
    )

    assert mine == original


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1", "::1", "127.0.0.1", "192.0.2.1"],
        ["127.0.0.2", "nonexistent.invalid"],
        ["localhost"],
    ],
)
def test_multiping_comes_to_the_same(addresses: list[str]) -> None:
    calls = [(lambda lib=library: lib.multiping(addresses, concurrent_tasks=2, **QUICK)) for library in BOTH] + [
        (lambda lib=library: asyncio.run(lib.async_multiping(addresses, **QUICK))) for library in BOTH
    ]
    results = [outcome(call) for call in calls]

    assert results[1:] == results[:-1]


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize(
    ("name", "family"), [("localhost", None), ("localhost", 4), ("127.0.0.1", None), ("127.0.0.1", 6), ("::1", None)]
)
def test_names_resolve_to_the_same(name: str, family: int | None) -> None:
    def found(library: Any) -> Any:
        try:
            return library.resolve(name, family), asyncio.run(library.async_resolve(name, family))
        except library.NameLookupError:
            return "NameLookupError"

    assert found(ours) == found(theirs)


@pytest.mark.parametrize(
    "text",
    [
        "localhost",
        "a-b.example",
        "127.0.0.1",
        "::1",
        "2001:db8::1",
        "fe80::1%eth0",
        "",
        "a_b",
        "a b",
        "é.fr",
        "a..b",
        "1.2",
    ],
)
def test_texts_are_told_apart_alike(text: str) -> None:
    for name in ("is_hostname", "is_ipv4_address", "is_ipv6_address"):
        assert getattr(ours, name)(text) == getattr(theirs, name)(text), name


# Sockets


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize(("kind", "address"), [("ICMPv4Socket", "127.0.0.1"), ("ICMPv6Socket", "::1")])
def test_sockets_send_and_receive_alike(kind: str, address: str) -> None:
    told = []
    for library in BOTH:
        with getattr(library, kind)(privileged=False) as sock:
            request = library.ICMPRequest(address, 1, 7)
            sock.send(request)
            reply = sock.receive(request, timeout=1)
            assert reply.id == request.id == sock.sock.getsockname()[1]
            assert 0 <= reply.time - request.time < 1
            told.append((reply.source, reply.sequence, reply.type, reply.code, reply.bytes_received, sock.address))
        assert sock.is_closed
    assert told[0] == told[1]


@pytest.mark.usefixtures("namespace")
def test_sockets_fail_alike() -> None:
    for library in BOTH:
        with library.ICMPv4Socket(privileged=False) as sock:
            with pytest.raises(library.TimeoutExceeded):
                sock.receive(timeout=0.01)
            with pytest.raises(library.ICMPSocketError):
                sock.send(library.ICMPRequest("192.0.2.1", 1, 1))
            with pytest.raises(library.ICMPSocketError):
                sock.send(library.ICMPRequest("::1", 1, 1))
        with pytest.raises(library.SocketUnavailableError):
            sock.receive()
        with pytest.raises(library.SocketAddressError):
            library.ICMPv4Socket("192.0.2.1", privileged=False)


@pytest.mark.usefixtures("namespace")
def test_async_sockets_are_used_alike() -> None:
    async def use(library: Any) -> tuple[Any, ...]:
        with library.AsyncSocket(library.ICMPv4Socket(privileged=False)) as sock:
            request = library.ICMPRequest("127.0.0.1", 1, 7)
            sock.send(request)
            reply = await sock.receive(request, timeout=1)
            with pytest.raises(library.TimeoutExceeded):
                await sock.receive(request, timeout=0.01)
            detached = sock.detach()
            state = sock.is_closed, detached.is_closed
            detached.close()
        return reply.sequence, reply.type, *state

    assert asyncio.run(use(ours)) == asyncio.run(use(theirs))


# Routes


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize(
    ("address", "more"),
    [
        (network.FAR, {}),
        (network.FAR6, {}),
        (network.FAR, {"first_hop": 2, "max_hops": 3}),
        (network.SILENT, {"max_hops": 5, "count": 1}),
    ],
)
def test_routes_are_the_same_though_ours_needs_no_root(address: str, more: dict[str, Any]) -> None:
    if os.geteuid():
        pytest.skip("icmplib's traceroute needs root")
    settings = {"interval": 0.01, "timeout": 0.3} | more
    with network.attached(network.path()):
        original, mine = (outcome(lambda lib=library: lib.traceroute(address, **settings)) for library in BOTH)

    assert mine == original
