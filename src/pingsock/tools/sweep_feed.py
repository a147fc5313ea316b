"""How the targets of a sweep come to a prober, and which of them a prober speaks of."""

from __future__ import annotations

from collections import deque
from math import ceil

from pingsock.probe.batch_jobs import BatchRun
from pingsock.probe.batch_targets import TargetBlock
from pingsock.probe.blocking import BlockingProber
from pingsock.probe.records import Unresolved
from pingsock.sockets.bare import KERNEL_KINDS
from pingsock.sockets.choose import open_ping_socket
from pingsock.sockets.mmsg import NoBatchCalls, require_batch_calls
from pingsock.tools.sweep_positions import Positions
from pingsock.tools.target_specs import Name
from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from pingsock.probe.course import Course
    from pingsock.probe.engine import Happening
    from pingsock.probe.records import EchoReply, Outcome
    from pingsock.probe.schedule import Plan
    from pingsock.probe.target import Target
    from pingsock.sockets.choose import PingSocket
    from pingsock.tools.destination import Destination
    from pingsock.tools.names import Resolver
    from pingsock.tools.sweep_results import Finished

_SEND_BUFFER = 212_992
"""Bytes, which the kernel doubles: 550 small packets. It is the most that any kernel grants to everybody
(net.core.wmem_max), and what waits for so many neighbours leaves half of the usual neighbour table to others."""
_RATE_OF_ONE = 50_000.0
"""Probes a second that one thread or process reaches anywhere."""


def open_roomy(family: int, *, kinds: Sequence[str]) -> PingSocket:
    """A ping socket for a network on the link: with twice the room for packets that wait until neighbours are found.

    :raises NoPingSocket: as `open_ping_socket`.
    """
    sock = open_ping_socket(family, kinds=kinds)
    if sock.kind in KERNEL_KINDS:
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_SNDBUF, _SEND_BUFFER)
    return sock


def has_batch_calls() -> bool:
    """Whether a `BlockFeed` can be made here."""
    try:
        require_batch_calls()
    except NoBatchCalls:
        return False
    return True


def useful_workers(most: int, rate: float) -> int:
    """Of so many threads or processes, those that are needed to keep up with a rate.

    Each has an equal share of the rate, and what it does not use, as a list has too few blocks, is lost.
    """
    return min(most, ceil(rate / _RATE_OF_ONE)) if rate else most


class Watch:
    """What a sweep keeps of a target under way: a course's owner."""

    __slots__ = ("failure", "position", "reply")

    def __init__(self, position: int = -1) -> None:
        self.position = position
        self.reply: EchoReply | None = None
        self.failure: Outcome | None = None


class BlockFeed:
    """Addresses only, by the hundred, over so many threads (`jobs`) or `processes`; see `has_batch_calls`."""

    def __init__(
        self,
        items: Iterable[TargetBlock | Target],
        finished: Finished,
        plan: Plan,
        kinds: Sequence[str],
        jobs: int,
        processes: int,
    ) -> None:
        self._items = items
        self._finished = finished
        self._positions = Positions()
        jobs, processes = useful_workers(jobs, plan.rate), useful_workers(processes, plan.rate)
        # The sockets of two have as much room together.
        settings: dict[str, Any] = {"open_socket": open_roomy} if jobs == processes == 1 else {}
        self._run = BatchRun(self._stream(), plan, jobs=jobs, processes=processes, kinds=kinds, **settings)
        self.is_waiting = False

    @property
    def busy(self) -> bool:
        """Whether `step` has anything more to tell."""
        return self._run.busy

    def step(self, longest: int) -> Iterable[Happening]:
        """A turn of work; what happened."""
        return self._run.step(longest)

    def hold(self, held: bool) -> None:
        """Begin no more targets while `held`."""
        self._run.hold(held)

    def _stream(self) -> Iterator[TargetBlock | Target]:
        position = self._finished.mark
        for item in self._items:
            if not isinstance(item, TargetBlock):
                yield from self._single(item, position)
                position += 1
            elif not self._finished.beyond:
                self._positions.enter_block(item, position)
                yield item
                position += len(item)
            else:
                for target in item:
                    yield from self._single(target, position)
                    position += 1

    def _single(self, target: Target, position: int) -> Iterator[Target]:
        if position not in self._finished:
            self._positions.enter(target, position)
            yield target

    def look(self) -> list[tuple[int, Unresolved | None]]:
        """There are no names."""
        return []

    def ended(self, target: Target, _watch: Watch) -> int | None:
        """The position that is done with this target."""
        return self._positions.take(target)

    def close(self) -> None:
        """Close the sockets, end the threads and processes. Idempotent."""
        self._run.close()


class CourseFeed:
    """Addresses and names, one by one. A name takes its turn when its addresses are known."""

    def __init__(
        self,
        items: Iterable[Target | Name | Unresolved],
        targets_of: Callable[[str, Iterable[Destination]], list[Target]],
        finished: Finished,
        plan: Plan,
        kinds: Sequence[str],
        resolver: Resolver,
    ) -> None:
        """`items` begin at the mark of `finished`; `targets_of` tells what a name is with its addresses."""
        self._targets_of = targets_of
        self._plan = plan
        self._resolver = resolver
        numbered = enumerate(items, finished.mark)
        self._waiting = (item for item in numbered if item[0] not in finished)
        self._held: tuple[int, Name] | None = None
        self._held_back = False
        self._exhausted = False
        self._known: deque[Course] = deque()
        self._news: deque[tuple[int, Unresolved | None]] = deque()
        self._addresses_open: dict[int, int] = {}
        """Position of a name -> how many of its addresses are not done."""
        self._prober = BlockingProber(rate=plan.rate, kinds=kinds, open_socket=open_roomy)
        self._prober.engine.feed(self._courses())

    @property
    def busy(self) -> bool:
        """Whether `step` has anything more to tell."""
        return self._prober.engine.busy

    def step(self, longest: int) -> Iterable[Happening]:
        """A turn of work; what happened."""
        return self._prober.step(longest)

    def hold(self, held: bool) -> None:
        """Begin no more targets while `held`."""
        self._held_back = held

    @property
    def is_waiting(self) -> bool:
        """Whether names are being looked up."""
        return bool(self._resolver.pending)

    def _courses(self) -> Iterator[Course | None]:
        while not self._exhausted or self._known or self._resolver.pending:
            if self._held_back:
                yield None
            elif self._known:
                yield self._known.popleft()
            elif self._news or not self._read_on():
                yield None

    def _read_on(self) -> bool:
        """Take up what comes next; False if there is nothing for now."""
        position, item = self._held or next(self._waiting, (-1, None))
        self._held = None
        if item is None:
            self._exhausted = True
        elif isinstance(item, Unresolved):
            self._news.append((position, item))
        elif not isinstance(item, Name):
            self._known.append(self._prober.course(item, self._plan, Watch(position)))
        elif self._resolver.has_room:
            self._resolver.ask(item.text, position)
        else:
            self._held = position, item
            return False
        return bool(self._known) or not self._exhausted

    def look(self) -> list[tuple[int, Unresolved | None]]:
        """What is known by now of names: positions that are done without a target, and why if there is a reason."""
        for name, position, found in self._resolver.answers():
            assert isinstance(position, int)
            if isinstance(found, Unresolved):
                self._news.append((position, found))
            else:
                self._enter(position, self._targets_of(name, found))
        news, self._news = list(self._news), deque()
        self._prober.engine.look_again()
        return news

    def _enter(self, position: int, targets: list[Target]) -> None:
        if not targets:
            # All its addresses are left out.
            self._news.append((position, None))
            return
        self._addresses_open[position] = len(targets)
        self._known.extend(self._prober.course(target, self._plan, Watch(position)) for target in targets)

    def ended(self, _target: Target, watch: Watch) -> int | None:
        """The position that is done with this target; None while other addresses of its name are under way."""
        left = self._addresses_open.pop(watch.position, 1) - 1
        if left:
            self._addresses_open[watch.position] = left
            return None
        return watch.position

    def close(self) -> None:
        """Close the sockets, forget the names. Idempotent."""
        self._prober.close()
        self._resolver.close()
