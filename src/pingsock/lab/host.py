"""A host for a ping-socket stack, with a lab around it instead of a wire."""

from __future__ import annotations

import time
from threading import RLock

from pingsock.lab.prefixes import Prefix
from pingsock.lab.wake_up import WakeUp
from pingsock.link.cable import memory_cable
from pingsock.link.host import HostLink
from pingsock.wire.linux import AF_INET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pingsock.lab.network import Network
    from pingsock.lab.nodes import Node
    from pingsock.wire.transit import Outbound

INTERFACE = "lab0"


class LabHost(HostLink):
    """A `HostLink` whose one interface, "lab0", leads to a node of a lab, with everything routed there.

    Whoever drives the link drives the lab with it: `filenos`, `receive`, `next_event` and `run` speak for both, and
    `lock` is held around both. `addresses` carry prefix lengths ("10.0.0.1/24"); `settings` are those of
    `Network.attach`. With a `monotonic` of the test's own nothing depends on real time.
    """

    def __init__(
        self,
        network: Network,
        node: str | Node,
        *addresses: str,
        mtu: int = 1500,
        monotonic: Callable[[], float] = time.monotonic,
        realtime_ns: Callable[[], int] = time.time_ns,
        **settings: Any,
    ) -> None:
        self.lock = RLock()
        self.network = network
        super().__init__(
            realtime_ns=realtime_ns, monotonic=monotonic, random=network.random_for("LabHost"), lock=self.lock
        )
        near, far = memory_cable()
        self.attachment = network.attach(far, node, *addresses, mtu=mtu, clock=monotonic, **settings)
        self.add_interface(INTERFACE, near, addresses, mtu)
        for family in {Prefix.parse(address).family for address in addresses}:
            self.add_route("0.0.0.0/0" if family == AF_INET else "::/0", interface=INTERFACE)
        self._wake_up = WakeUp()

    def transmit(self, packet: Outbound) -> None:
        """Send into the lab; what the lab does at once is done when this returns. As `HostLink`."""
        before = self.network.next_event()
        super().transmit(packet)
        after = self.network.next_event()
        if after is not None and (before is None or after < before):
            # A driver that waits in another thread looks at `next_event` again.
            self._wake_up.give()

    def filenos(self) -> list[int]:
        """One descriptor, readable when `next_event` has come nearer, until `run` is called."""
        return [self._wake_up.fileno()]

    def receive(self, fileno: int) -> None:
        """Let everything happen in the lab that is due by now.

        The descriptor stays readable: this may be called by another thread than the one that waits, which must still
        be woken to look at `next_event`.
        """
        with self.lock:
            self.network.run_until(self._monotonic())

    def next_event(self) -> float | None:
        """When `run` wants to be called, monotonic seconds."""
        events = [event for event in (super().next_event(), self.network.next_event()) if event is not None]
        return min(events, default=None)

    def run(self, now: float) -> None:
        """Let everything happen that is due in lab and host."""
        with self.lock:
            self._wake_up.take()
            self.network.run_until(now)
            super().run(now)

    def close(self) -> None:
        """Leave the lab; idempotent."""
        if self._wake_up.fileno() >= 0:
            self.network.detach(self.attachment)
            self._wake_up.close()
        super().close()
