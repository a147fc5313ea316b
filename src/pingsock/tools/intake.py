"""Hosts on their way into a prober: any number of them, in constant memory, names looked up beside the work."""

from __future__ import annotations

from collections import deque
from socket import AF_INET

from pingsock.probe.records import Unresolved
from pingsock.probe.target import Target
from pingsock.sockets.errors import InvalidArgument, shown
from pingsock.tools.arguments import check_host, check_hosts, check_target, family_of_literal
from pingsock.tools.destination import Destination, is_broadcast, resolve
from pingsock.tools.names import Resolver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from pingsock.probe.course import Course
    from pingsock.probe.schedule import Plan
    from pingsock.tools.arguments import Aim

    MakeCourse = Callable[[Target, Plan], Course]

_MOST_UNTOLD = 64
"""Hosts without an address that wait to be told before another host is taken."""


def target_at(aim: Aim, host: str, destination: Destination) -> Target:
    """An address of a host, as a target of this aim."""
    address, family = destination.address, int(destination.family)
    if destination.is_link_local and not address[3]:
        address = (*address[:3], aim.options.interface)
    by_others = destination.answered_by_others or (aim.options.broadcast and is_broadcast(destination))
    return Target(host, family, address, by_others, aim.options)


def known_target(aim: Aim, host: str | Target) -> Target | None:
    """The target that a host is, if nothing has to be looked up for it; None for a name.

    :raises InvalidArgument: it cannot be a host, or is of the wrong family.
    """
    if isinstance(host, Target):
        return check_target(host)
    host = check_host(host, aim.family)
    family = family_of_literal(host)
    if not family or "%" in host:
        return None
    address = (host, 0) if family == AF_INET else (host, 0, 0, 0)
    return target_at(aim, host, Destination(family, address, host))


def first_target(aim: Aim, host: str | Target) -> Target:
    """A host at its first address. Blocks while a name is looked up.

    :raises UnknownHost: the name has no address (of that family).
    :raises InvalidArgument: it cannot be a host, or is of the wrong family.
    """
    known = known_target(aim, host)
    if known is not None:
        return known
    name = str(host)
    return target_at(aim, name, resolve(name, aim.family)[0])


def every_target(aim: Aim, host: str | Target) -> tuple[Target, ...]:
    """A host at each of its addresses; as `first_target` otherwise."""
    known = known_target(aim, host)
    if known is not None:
        return (known,)
    name = str(host)
    found = {destination.address: destination for destination in resolve(name, aim.family)}
    return tuple(target_at(aim, name, destination) for destination in found.values())


class Intake:
    """The courses of a stream of hosts, for `Engine.feed`. Close it.

    One that cannot be a host, or has no address, costs only itself: it is told among `untold`.
    """

    def __init__(self, hosts: Iterable[object], aim: Aim, plan: Plan, *, all_addresses: bool) -> None:
        """InvalidArgument if `hosts` is no iterable of hosts."""
        self._hosts: Iterator[object] | None = check_hosts(hosts)
        self._aim = aim
        self._plan = plan
        self._resolver = Resolver(aim.family, every_address=all_addresses, on_answer=self._answered)
        self.on_answer: Callable[[], None] = lambda: None
        """Called, in any thread, when a stream that gave None may have a course."""
        self._ready: deque[Target] = deque()
        self._untold: list[Unresolved] = []
        self._course: MakeCourse | None = None

    def _answered(self) -> None:
        self.on_answer()

    def courses(self, course: MakeCourse) -> Iterator[Course | None]:
        """The courses, made by `course`; None is to be asked again, after `on_answer` or when `untold` was taken."""
        self._course = course
        return self

    def untold(self) -> list[Unresolved]:
        """The hosts without an address since the last call."""
        untold, self._untold = self._untold, []
        return untold

    def close(self) -> None:
        """Forget what is being looked up."""
        self._resolver.close()
        self._ready.clear()
        self._hosts = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Course | None:
        assert self._course is not None
        while not self._ready:
            self._take_answers()
            if self._ready:
                break
            if self._hosts is None and not self._resolver.pending:
                raise StopIteration
            if self._hosts is None or not self._resolver.has_room or len(self._untold) >= _MOST_UNTOLD:
                return None
            self._take_host()
        return self._course(self._ready.popleft(), self._plan)

    def _take_answers(self) -> None:
        for name, _, found in self._resolver.answers() if self._resolver.pending else ():
            if isinstance(found, Unresolved):
                self._untold.append(found)
            else:
                self._ready.extend(target_at(self._aim, name, destination) for destination in found)

    def _take_host(self) -> None:
        assert self._hosts is not None
        try:
            host = next(self._hosts)
        except StopIteration:
            self._hosts = None
            return
        try:
            known = known_target(self._aim, host)  # type: ignore[arg-type] # that is what is being found out
        except InvalidArgument as refusal:
            text = host if isinstance(host, str) else shown(host)
            self._untold.append(Unresolved(text, f"{refusal.name} must be {refusal.requirement}"))
            return
        if known is None:
            self._resolver.ask(str(host))
        else:
            self._ready.append(known)
