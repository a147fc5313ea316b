from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

import pingsock
from bed.child import in_child
from pingsock import (
    InvalidArgument,
    NoPingSocket,
    Pinger,
    PingerClosed,
    PingsockError,
    Reply,
    Stray,
    Summary,
    UnknownHost,
)
from pingsock.tools.desk import Backlog
from tools.small_network import ALIVE, ALIVE6, KINDS, PROHIBITED, SILENT, NothingLeft, descriptors, facts, inside, told

if TYPE_CHECKING:
    from pingsock.sockets.choose import PingSocket

QUICK: Any = {"interval": 0.02, "timeout": 0.2}


@pytest.fixture(params=KINDS)
def kinds(request: pytest.FixtureRequest) -> list[str]:
    return [request.param]


def until(condition: Callable[[], object]) -> None:
    """Wait until something is so; the time limit of the test is that of the wait."""
    while not condition():
        time.sleep(0.001)


def test_records_of_all_targets_come_as_they_happen(kinds: list[str]) -> None:
    def all_told() -> set[tuple[Any, ...]]:
        with NothingLeft(), Pinger(kinds=kinds) as pinger:
            for host in (ALIVE, ALIVE6, SILENT, PROHIBITED):
                pinger.add(host, **QUICK, count=2)
            seen: set[tuple[Any, ...]] = set()
            for record in pinger:
                seen.update(facts(each)[:2] for each in told([record]))
                if len([each for each in seen if each[0] == "Summary"]) == 4:
                    break
            return seen

    assert inside(all_told) == {
        ("Reply", ALIVE),
        ("Reply", ALIVE6),
        ("Timeout", SILENT),
        ("IcmpError", PROHIBITED),
        *(("Summary", host) for host in (ALIVE, ALIVE6, SILENT, PROHIBITED)),
    }


def test_targets_come_and_go_while_it_runs(kinds: list[str]) -> None:
    def gone() -> tuple[int, int]:
        with NothingLeft(), Pinger(kinds=kinds) as pinger:
            first = pinger.add(ALIVE, **QUICK)
            second = pinger.add("127.0.0.2", **QUICK)
            until(lambda: second.statistics.received >= 2)
            summary = pinger.remove(second)
            assert second.is_over
            received = first.statistics.received
            until(lambda: first.statistics.received >= received + 3)
            assert pinger.remove(second) == summary
            assert isinstance(first.latest, Reply)
            return summary.statistics.received, second.statistics.received

    at_removal, afterwards = inside(gone)
    assert at_removal == afterwards >= 2


def test_one_shots_go_over_the_same_sockets_and_to_their_caller_alone(kinds: list[str]) -> None:
    def shared() -> tuple[list[bool], int, int]:
        with NothingLeft(), Pinger(kinds=kinds) as pinger:
            pinger.ping(ALIVE, count=1, timeout=1)
            alone = len(descriptors())
            results: list[bool] = []
            threads = [
                threading.Thread(
                    target=lambda number=number: results.append(
                        pinger.ping(f"127.0.1.{number}", count=3, **QUICK).is_alive
                    )
                )
                for number in range(1, 51)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return results, len(descriptors()) - alone, len(pinger.take())

    assert inside(shared) == ([True] * 50, 0, 0)


def test_a_slow_consumer_costs_old_records_and_no_statistics() -> None:
    def slow() -> tuple[int, int, int]:
        with Pinger(backlog=5) as pinger:
            watched = pinger.add(ALIVE, interval=0.005, timeout=0.5, count=30)
            until(lambda: watched.is_over)
            return watched.statistics.received, len(pinger.take()), pinger.dropped

    received, kept, dropped = inside(slow)
    assert (received, kept) == (30, 5)
    # Its summary is one too, and on a busy machine there are some of probes skipped.
    assert kept + dropped >= 31


def test_a_backlog_drops_the_oldest() -> None:
    backlog = Backlog(2)
    records = [Stray(number, (ALIVE, 0), b"", "") for number in range(5)]
    for record in records:
        backlog.put(record)
    assert (backlog.dropped, backlog.take_all(), len(backlog)) == (3, records[3:], 0)


def test_many_targets_start_spread_over_the_interval_and_share_sockets(kinds: list[str]) -> None:
    def spread() -> tuple[list[int], int]:
        with Pinger(kinds=kinds) as pinger:
            watched = [
                pinger.add(f"127.0.{n >> 7}.{n & 127 | 128}", interval=0.4, timeout=1, count=1) for n in range(200)
            ]
            until(lambda: all(each.latest for each in watched))
            starts = sorted(each.latest.sent for each in watched if each.latest)
            return starts, len(pinger.sockets)

    starts, sockets = inside(spread)
    assert sockets == 1
    assert starts[-1] - starts[0] > 200_000_000


def test_closing_tells_whoever_waits() -> None:
    def closed() -> list[str]:
        said = []
        with NothingLeft():
            pinger = Pinger()
            pinger.add(SILENT, interval=60)

            def iterate() -> None:
                said.append(f"iterated {[type(record) for record in pinger]}")

            def ping() -> None:
                with pytest.raises(PingerClosed, match="this Pinger is closed"):
                    pinger.ping(SILENT, timeout=60)
                said.append("pinged")

            threads = [threading.Thread(target=iterate), threading.Thread(target=ping)]
            for thread in threads:
                thread.start()
            until(lambda: pinger._work.desk.calls)
            pinger.close()
            pinger.close()
            for thread in threads:
                thread.join()
            for call in (lambda: pinger.add(ALIVE), lambda: pinger.ping(ALIVE)):
                with pytest.raises(PingerClosed):
                    call()
            assert list(pinger) == []
        return sorted(said)

    assert inside(closed) == ["iterated []", "pinged"]


def test_forgotten_it_ends_its_thread_and_says_so() -> None:
    def forgotten() -> None:
        with NothingLeft():
            pinger = Pinger()
            pinger.ping(ALIVE, count=1)
            thread = pinger._thread
            with pytest.warns(ResourceWarning, match="unclosed <pingsock.tools.pinger.Pinger"):
                del pinger
            thread.join()

    inside(forgotten)


def test_an_interrupted_ping_is_forgotten() -> None:
    class Interrupted(BaseException):
        pass

    def interrupted() -> tuple[int, int]:
        with Pinger() as pinger:
            with mock.patch.object(threading.Event, "wait", side_effect=Interrupted), pytest.raises(Interrupted):
                pinger.ping(SILENT, timeout=60)
            return len(pinger._work.desk.calls), pinger._work.prober.engine.active

    assert inside(interrupted) == (0, 0)


def test_where_no_socket_can_be_opened_every_call_says_so() -> None:
    def refused() -> None:
        with NothingLeft(), Pinger(kinds=["kernel"]) as pinger:
            calls: list[Callable[[], object]] = [
                lambda: pinger.ping(ALIVE),
                lambda: next(pinger),
                lambda: pinger.add(ALIVE),
            ]
            for call in calls:
                with pytest.raises(NoPingSocket, match="kernel: Permission denied"):
                    call()

    inside(refused, group_range="1 0")


def test_after_a_fork_the_child_needs_one_of_its_own() -> None:
    def forked() -> str:
        with Pinger() as pinger:
            pinger.ping(ALIVE, count=1)

            def child() -> str:
                for call in (lambda: pinger.ping(ALIVE), lambda: next(pinger), pinger.take):
                    with pytest.raises(PingsockError, match="make a new one"):
                        call()
                pinger.close()
                with Pinger() as own:
                    return str(own.ping(ALIVE, count=1).is_alive)

            said = in_child(child)
            assert pinger.ping(ALIVE, count=1).is_alive
            return said

    assert inside(forked) == "True"


def test_a_stranger_cannot_be_removed() -> None:
    def stranger() -> None:
        with Pinger() as one, Pinger() as other:
            watched = one.add(SILENT, interval=60)
            for foreign in (watched, None, ALIVE):
                with pytest.raises(InvalidArgument, match=r"^watched must be what add\(\) of this Pinger returned"):
                    other.remove(foreign)  # type: ignore[arg-type] # that is the point
            assert isinstance(one.remove(watched), Summary)

    inside(stranger)


def test_what_cannot_be_resolved_is_told_to_the_caller_and_costs_nobody_else() -> None:
    def unknown(name: str, family: int = 0) -> Iterator[None]:
        raise UnknownHost(name, "nobody knows it")

    def told() -> bool:
        with Pinger() as pinger, mock.patch("pingsock.tools.intake.resolve", unknown):
            for call in (pinger.add, pinger.ping):
                with pytest.raises(UnknownHost, match="nobody knows it"):
                    call("no.test")
            return pinger.ping(ALIVE, count=1).is_alive

    assert inside(told)


@pytest.mark.parametrize("settings", [{"rate": -1}, {"backlog": 0}, {"backlog": True}, {"kinds": "kernel"}])
def test_its_settings_are_checked(settings: Any) -> None:
    before = threading.active_count()
    for kind in (Pinger, pingsock.aio.Pinger):
        with pytest.raises(InvalidArgument):
            kind(**settings)
    assert threading.active_count() == before


def test_the_sockets_below_can_be_had(kinds: list[str]) -> None:
    def names() -> list[str]:
        with Pinger(kinds=kinds) as pinger:
            assert pinger.sockets == ()
            pinger.ping(ALIVE, count=1)
            pinger.ping(ALIVE6, count=1)
            sockets: tuple[PingSocket, ...] = pinger.sockets
            return [sock.kind for sock in sockets]

    assert inside(names) == kinds * 2
