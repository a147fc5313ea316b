"""Where a lab meets the rest of the world: a node whose packets leave by a cable."""

from __future__ import annotations

from pingsock.lab.nodes import Node
from pingsock.lab.options import Options
from pingsock.link.cable import MemoryCable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.lab.links import Interface
    from pingsock.lab.network import Network
    from pingsock.lab.prefixes import Prefix
    from pingsock.link.cable import Cable


class Attachment(Node):
    """What is at the far end of a cable, as the lab sees it: addresses, and a link to the node it is attached to.

    Made by `Network.attach`. Packets from a memory cable enter at once, in the sender's thread, and all that is due
    at that time happens before its `send` returns. Those from a descriptor wait for `pump`.
    """

    def __init__(
        self,
        network: Network,
        name: str,
        addresses: list[Prefix],
        cable: Cable,
        clock: Callable[[], float] | None,
    ) -> None:
        super().__init__(network, name, addresses, Options())
        self.cable = cable
        self.clock = clock

    def connect(self) -> None:
        """Begin to take packets from the cable."""
        if isinstance(self.cable, MemoryCable):
            self.cable.on_packet = self.enter_now

    def disconnect(self) -> None:
        """Take no more packets from the cable."""
        if isinstance(self.cable, MemoryCable):
            self.cable.on_packet = None

    def enter_now(self, packet: bytes) -> None:
        """A packet came out of the cable: run the network up to now, with it."""
        self.enter(packet, self.clock() if self.clock is not None else self.network.now)

    def enter(self, packet: bytes, now: float) -> None:
        """A packet came out of the cable at `now`, monotonic seconds."""
        self.network.run_until(now)
        self.network.schedule(now, self.network.carry, self.interfaces[0], packet)
        self.network.run_until(now)

    def pump(self, now: float) -> None:
        """Take all packets that wait at this end of the cable. OSError of the cable."""
        while (packet := self.cable.receive()) is not None:
            self.enter(packet, now)

    def receive(self, packet: bytes, interface: Interface) -> None:
        """Hand a packet of the lab to the cable."""
        try:
            self.cable.send(packet)
        except OSError as err:
            self.network.drop(self, f"cable: {err.strerror}")
