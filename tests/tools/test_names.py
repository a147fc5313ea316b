"""Names looked up in threads: all together, each for itself."""

from __future__ import annotations

import asyncio
import threading
from socket import AF_INET, AF_INET6

from pingsock.probe.records import Unresolved
from pingsock.tools.destination import Destination
from pingsock.tools.names import Resolver, look_up, look_up_async, resolve_all


def found(address: str) -> tuple[Destination, ...]:
    return (Destination(AF_INET, (address, 0), ""),)


def test_a_bad_name_is_a_value_and_costs_only_itself() -> None:
    answers = dict(resolve_all(["127.0.0.1", "nobody.invalid", "127.0.0.2"], AF_INET))

    assert isinstance(answers["nobody.invalid"], Unresolved)
    assert answers["nobody.invalid"].host == "nobody.invalid"
    assert answers["nobody.invalid"].reason
    for name in ("127.0.0.1", "127.0.0.2"):
        addresses = answers[name]
        assert isinstance(addresses, tuple)
        assert [destination.address for destination in addresses] == [(name, 0)]


def test_a_literal_of_the_other_family_has_no_address() -> None:
    assert look_up("127.0.0.1", AF_INET6) == Unresolved("127.0.0.1", "Address family for hostname not supported")


def test_all_addresses_are_those_of_both_families_each_once() -> None:
    both = look_up("localhost", every_address=True)
    assert isinstance(both, tuple)
    assert len({destination.address for destination in both}) == len(both)
    first = look_up("localhost")
    assert first == both[:1]


def test_one_slow_name_holds_up_no_other() -> None:
    release = threading.Event()

    def slow(name: str, _family: int, *, every_address: bool) -> tuple[Destination, ...]:
        if name == "slow":
            release.wait(30)
        return found("10.0.0.1")

    with Resolver(look_up=slow, threads=2) as resolver:
        resolver.ask("slow", 0)
        for number in range(1, 4):
            resolver.ask(f"fast{number}", number)
        answers: list[object] = []
        while len(answers) < 3:
            answers += resolver.answers(None)
        assert len(answers) == 3
        assert resolver.answers() == []
        assert resolver.pending == 1
        release.set()
        assert [name for name, _, _ in resolver.answers(None)] == ["slow"]
        assert resolver.answers(None) == []


def test_the_number_of_threads_and_of_waiting_names_is_bounded() -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def counting(name: str, _family: int, *, every_address: bool) -> tuple[Destination, ...]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.001)
        with lock:
            running -= 1
        return found("10.0.0.1")

    with Resolver(look_up=counting, threads=3) as resolver:
        asked = 0
        while resolver.has_room:
            asked += 1
            resolver.ask(f"n{asked}")
        assert asked == 6
        while resolver.pending:
            resolver.answers(None)
    assert most <= 3


def test_nothing_is_left_of_a_closed_resolver() -> None:
    before = set(threading.enumerate())
    resolver = Resolver(look_up=lambda name, _family, *, every_address: found("10.0.0.1"))
    resolver.ask("a")
    resolver.answers(None)
    resolver.close()
    resolver.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive()
    assert resolver.pending == 0


def test_coroutines_look_up_beside_each_other() -> None:
    async def both() -> list[object]:
        return list(await asyncio.gather(look_up_async("127.0.0.1"), look_up_async("nobody.invalid", AF_INET)))

    good, bad = asyncio.run(both())
    assert isinstance(good, tuple)
    assert isinstance(bad, Unresolved)
