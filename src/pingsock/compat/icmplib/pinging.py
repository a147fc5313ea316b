"""icmplib's ping functions, on the prober.

To each host goes one request at a time: the next one `interval` seconds after the last, but not before that one was
answered or given up. Hosts do not wait for one another, and their replies are told apart by the prober.
"""

from __future__ import annotations

import asyncio
from time import monotonic_ns

from pingsock.compat.icmplib.checks import check_source, count_of, options_of, plan_of_one, time_of
from pingsock.compat.icmplib.exceptions import as_socket_error
from pingsock.compat.icmplib.models import Host
from pingsock.compat.icmplib.utils import async_find_all, find_all, is_address
from pingsock.probe.aio import AsyncioProber
from pingsock.probe.blocking import BlockingProber
from pingsock.probe.jsonable import address_text
from pingsock.probe.records import Reply, Summary
from pingsock.probe.target import Target
from pingsock.sockets.errors import NoPingSocket
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pingsock.probe.course import Course
    from pingsock.probe.engine import Happening
    from pingsock.probe.prober import Prober
    from pingsock.probe.schedule import Plan
    from pingsock.probe.target import ProbeOptions
    from pingsock.tools.destination import Destination


class _Wish(Value):
    """What a call asks for, checked."""

    count: int
    interval_ns: int
    plan: Plan
    options: ProbeOptions


def _wish(
    count: int,
    interval: float,
    timeout: float,
    source: str | None,
    payload: bytes | None,
    payload_size: int,
    ttl: int | None,
    traffic_class: int,
) -> _Wish:
    options = options_of(source, payload, payload_size, ttl, traffic_class)
    return _Wish(count_of(count), time_of("interval", interval), plan_of_one(timeout), options)


class _Rounds:
    """The requests to a number of hosts, one at a time to each, and what came of them."""

    def __init__(self, prober: Prober, wish: _Wish, targets: list[Target]) -> None:
        self._prober = prober
        self._wish = wish
        self._targets = targets
        self._left = [wish.count] * len(targets)
        self._sent = [0] * len(targets)
        self._round_trips: list[list[float]] = [[] for _ in targets]
        if wish.count and targets:
            prober.engine.feed(self._first_requests())

    def _first_requests(self) -> Iterator[Course]:
        return (self._request(position) for position in range(len(self._targets)))

    def _request(self, position: int) -> Course:
        self._left[position] -= 1
        return self._prober.course(self._targets[position], self._wish.plan, position)

    def note(self, happening: Happening) -> bool:
        """Count it, and have the next request sent if this was the end of one; whether there is a next one."""
        course, record = happening
        if course is None or not isinstance(course.owner, int):
            return False
        if type(record) is Reply:
            self._round_trips[course.owner].append(record.round_trip_ns / 1e6)
        elif isinstance(record, Summary):
            self._sent[course.owner] += record.statistics.sent
            return self._go_on(course.owner, course.due)
        return False

    def _go_on(self, position: int, last_due: int) -> bool:
        if not self._left[position]:
            return False
        due = max(last_due + self._wish.interval_ns, monotonic_ns())
        self._prober.engine.add(self._request(position), due)
        return True

    def hosts(self) -> list[Host]:
        """The results, in the order of the targets."""
        return [
            Host(target.host, sent, round_trips)
            for target, sent, round_trips in zip(self._targets, self._sent, self._round_trips, strict=True)
        ]


def _targets(addresses: Iterable[str], found: Iterable[Destination], options: ProbeOptions) -> list[Target]:
    targets = []
    for address, destination in zip(addresses, found, strict=True):
        check_source(destination.family, options.source)
        told = address if is_address(address) else address_text(destination.address)
        targets.append(
            Target(told, int(destination.family), destination.address, destination.answered_by_others, options)
        )
    return targets


def _run(wish: _Wish, addresses: list[str], family: int | None) -> list[Host]:
    targets = _targets(addresses, find_all(addresses, family), wish.options)
    with BlockingProber() as prober:
        rounds = _Rounds(prober, wish, targets)
        try:
            for happening in prober.happenings():
                rounds.note(happening)
        except NoPingSocket as error:
            raise as_socket_error(error) from error
    return rounds.hosts()


async def _async_run(wish: _Wish, addresses: list[str], family: int | None) -> list[Host]:
    targets = _targets(addresses, await async_find_all(addresses, family), wish.options)
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def deliver(happenings: Iterable[Happening]) -> None:
        if sum(map(rounds.note, happenings)):
            # The driver sets its timer when this returns, without knowing of the new requests.
            loop.call_soon(prober.poke)
        elif not (prober.engine.busy or ended.done()):
            ended.set_result(None)

    def fail(error: Exception) -> None:
        if not ended.done():
            ended.set_exception(error)

    prober = AsyncioProber(deliver, fail)
    try:
        rounds = _Rounds(prober, wish, targets)
        if prober.engine.busy:
            prober.poke()
            await ended
    except NoPingSocket as error:
        raise as_socket_error(error) from error
    finally:
        prober.close()
    return rounds.hosts()


def _listed(addresses: Iterable[str]) -> list[str]:
    """A list of them; a single text is one address, not one for each of its letters."""
    return [addresses] if isinstance(addresses, str) else list(addresses)


def ping(
    address: str,
    count: int = 4,
    interval: float = 1,
    timeout: float = 2,
    id: int | None = None,  # noqa: A002 - icmplib's name
    source: str | None = None,
    family: int | None = None,
    privileged: bool = True,
    *,
    payload: bytes | None = None,
    payload_size: int = 56,
    ttl: int | None = None,
    traffic_class: int = 0,
) -> Host:
    """Ping one host.

    :param address: an address or a name; of a name, the first IPv4 address, else the first IPv6 address.
    :param count: how many requests to send.
    :param interval: seconds between requests.
    :param timeout: seconds to wait for each reply.
    :param id: without effect, since the kernel chooses the identifier.
    :param source: the address of this host to send from.
    :param family: 4 or 6, for names.
    :param privileged: without effect, since no privilege is used.
    :param payload: what to send behind the first eight bytes, which are ours; it sets the size.
    :param payload_size: bytes of payload.
    :param ttl: TTL or hop limit; None for the system's.
    :param traffic_class: TOS or traffic class.
    :raises NameLookupError: the name has no address, or the text is no name.
    :raises SocketPermissionError: no kind of ping socket can be opened here.
    :raises SocketAddressError: `source` is none of this host's addresses.
    :raises InvalidArgument: an argument is not what it must be.
    """
    del id, privileged
    wish = _wish(count, interval, timeout, source, payload, payload_size, ttl, traffic_class)
    return _run(wish, [address], family)[0]


def multiping(
    addresses: Iterable[str],
    count: int = 2,
    interval: float = 0.5,
    timeout: float = 2,
    concurrent_tasks: int = 50,
    source: str | None = None,
    family: int | None = None,
    privileged: bool = True,
    *,
    payload: bytes | None = None,
    payload_size: int = 56,
    ttl: int | None = None,
    traffic_class: int = 0,
) -> list[Host]:
    """Ping many hosts at once; the results are in the order of the addresses. Else as `ping`.

    :param concurrent_tasks: without effect; as many requests are under way as the receive buffers hold replies.
    """
    del concurrent_tasks, privileged
    wish = _wish(count, interval, timeout, source, payload, payload_size, ttl, traffic_class)
    return _run(wish, _listed(addresses), family)


async def async_ping(
    address: str,
    count: int = 4,
    interval: float = 1,
    timeout: float = 2,  # noqa: ASYNC109 - icmplib's name, and each reply's
    id: int | None = None,  # noqa: A002 - icmplib's name
    source: str | None = None,
    family: int | None = None,
    privileged: bool = True,
    *,
    payload: bytes | None = None,
    payload_size: int = 56,
    ttl: int | None = None,
    traffic_class: int = 0,
) -> Host:
    """As `ping`, without blocking the event loop. It may be cancelled."""
    del id, privileged
    wish = _wish(count, interval, timeout, source, payload, payload_size, ttl, traffic_class)
    return (await _async_run(wish, [address], family))[0]


async def async_multiping(
    addresses: Iterable[str],
    count: int = 2,
    interval: float = 0.5,
    timeout: float = 2,  # noqa: ASYNC109 - icmplib's name, and each reply's
    concurrent_tasks: int = 50,
    source: str | None = None,
    family: int | None = None,
    privileged: bool = True,
    *,
    payload: bytes | None = None,
    payload_size: int = 56,
    ttl: int | None = None,
    traffic_class: int = 0,
) -> list[Host]:
    """As `multiping`, without blocking the event loop. It may be cancelled."""
    del concurrent_tasks, privileged
    wish = _wish(count, interval, timeout, source, payload, payload_size, ttl, traffic_class)
    return await _async_run(wish, _listed(addresses), family)
