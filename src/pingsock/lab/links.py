"""Links: what happens to a packet between one node's interface and the next one's."""

from __future__ import annotations

from collections import deque

from pingsock.lab.errors import LabError
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    import random

    from pingsock.lab.nodes import Node
    from pingsock.lab.prefixes import Prefix


class Direction(Value):
    """One way of a link. Times are seconds, chances are 0.0 to 1.0."""

    delay: float = 0.0
    """From one end to the other."""
    jitter: float = 0.0
    """Up to this much is added to the delay, evenly spread. It never reorders: a later packet waits for an earlier."""
    loss: float = 0.0
    """Chance that a packet does not arrive."""
    duplicate: float = 0.0
    """Chance that a packet arrives twice."""
    reorder: float = 0.0
    """Chance that a packet is held back for `reorder_by`, so that later ones overtake it."""
    reorder_by: float = 0.01
    """How long a reordered packet is held back."""
    mtu: int = 1500
    """Longest IP packet, bytes."""
    bandwidth: float = 0.0
    """Bits a second; 0 is without limit."""
    queue: int = 0
    """Packets that may wait for the bandwidth, the one being sent not counted; 0 is without limit."""
    cost: float = 1.0
    """What automatic routes add up."""

    def checked(self, where: str) -> Direction:
        """Itself; LabError if a number is outside its range."""
        for field in ("loss", "duplicate", "reorder"):
            if not 0.0 <= getattr(self, field) <= 1.0:
                raise LabError(f"{where}: {field} is {getattr(self, field)!r}, needed a chance from 0.0 to 1.0")
        for field in ("delay", "jitter", "reorder_by", "bandwidth", "queue", "cost"):
            if getattr(self, field) < 0:
                raise LabError(f"{where}: {field} is {getattr(self, field)!r}, needed 0 or more")
        if self.mtu < 68:
            raise LabError(f"{where}: mtu is {self.mtu!r}, needed at least 68 (RFC 791)")
        return self


class Channel:
    """The memory of one direction: what is on its way, and since when the line is busy."""

    def __init__(self, direction: Direction, random: random.Random) -> None:
        self.direction = direction
        self.random = random
        self._departures: deque[float] = deque()
        self._last_arrival = 0.0

    def arrivals(self, now: float, size: int) -> list[float]:
        """When a packet of `size` bytes sent at `now` arrives: never, once or twice."""
        departure = self._departure(now, size)
        if departure is None or self._happens(self.direction.loss):
            return []
        arrival = departure + self.direction.delay
        if self.direction.jitter:
            arrival += self.random.uniform(0.0, self.direction.jitter)
        if self._happens(self.direction.reorder):
            arrival += self.direction.reorder_by
        else:
            arrival = self._last_arrival = max(arrival, self._last_arrival)
        return [arrival] * (2 if self._happens(self.direction.duplicate) else 1)

    def _departure(self, now: float, size: int) -> float | None:
        if not self.direction.bandwidth:
            return now
        waiting = self._departures
        while waiting and waiting[0] <= now:
            waiting.popleft()
        if self.direction.queue and len(waiting) > self.direction.queue:
            return None
        begin = waiting[-1] if waiting else now
        waiting.append(begin + size * 8 / self.direction.bandwidth)
        return waiting[-1]

    def _happens(self, chance: float) -> bool:
        return chance > 0.0 and self.random.random() < chance


class Interface:
    """A node's end of a link. `index` counts from 1 within the node."""

    def __init__(self, node: Node, name: str, index: int, addresses: list[Prefix], channel: Channel) -> None:
        self.node = node
        self.name = name
        self.index = index
        self.addresses = addresses
        self.channel = channel
        self.up = True
        self.peer: Interface = self

    @property
    def mtu(self) -> int:
        """Longest IP packet this end can send, bytes."""
        return self.channel.direction.mtu

    def address(self, family: int) -> bytes:
        """Its first address of a family; b"" if it has none (an unnumbered link)."""
        return next((prefix.address for prefix in self.addresses if prefix.family == family), b"")

    def __repr__(self) -> str:
        return f"<{self.node.name}:{self.name}>"


class Link:
    """Two interfaces and what is between them. `up = False` is a cut cable: both directions lose everything."""

    def __init__(self, left: Interface, right: Interface) -> None:
        self.left = left
        self.right = right
        left.peer, right.peer = right, left

    @property
    def up(self) -> bool:
        """Whether packets pass."""
        return self.left.up and self.right.up

    @up.setter
    def up(self, up: bool) -> None:
        self.left.up = self.right.up = up

    def change(self, **settings: float) -> None:
        """Give both directions new settings from now on, as in `Direction`. LabError."""
        self.change_direction(self.left, **settings)
        self.change_direction(self.right, **settings)

    def change_direction(self, sender: Interface, **settings: float) -> None:
        """Give the direction that leaves `sender` new settings from now on. LabError."""
        sender.channel.direction = direction_with(sender.channel.direction, settings, repr(sender))
        sender.node.network.forget_routes()


def direction_with(base: Direction, settings: dict[str, float], where: str) -> Direction:
    """`base` with some settings changed; LabError for an unknown setting or a bad number."""
    for name, content in settings.items():
        if name not in Direction._fields:
            raise LabError(f"{where}: a link has no setting {name!r}; it has {', '.join(Direction._fields)}")
        if isinstance(content, bool) or not isinstance(content, int | float):
            raise LabError(f"{where}: {name} is {content!r}, needed a number")
    return base.replace(**settings).checked(where)
