"""The network of a stack over the kernel's raw sockets: `RawLink`.

Opening one needs CAP_NET_RAW and nothing does afterwards, so a program may drop its privileges, and enter a sandbox
without files and without new sockets, right behind `open`. What a packet asks beyond that is refused with EPERM as the
kernel refuses it: a mark (CAP_NET_RAW or CAP_NET_ADMIN) and a priority above 6 (CAP_NET_ADMIN).

IPv6 may be missing, or IPv4: whatever then is asked for that family is EAFNOSUPPORT.
"""

from __future__ import annotations

import errno

from pingsock.link.filters import MOST_IDENTS
from pingsock.link.kernel_sysctls import KernelSysctls
from pingsock.link.prefixes import os_error
from pingsock.link.raw_pack import Packer
from pingsock.link.raw_receive import RawReceiver
from pingsock.link.raw_send import RawSender
from pingsock.link.route_table import RouteTable
from pingsock.wire.linux import AF_INET, AF_INET6
from pingsock.wire.transit import LOCAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Protocol, Self

    from pingsock.wire.transit import Outbound, Route

    class Receiver(Protocol):
        """As `stack.network.Receiver`, which a link may not import."""

        def deliver_untrusted(self, packet: bytes, interface: int, stamp: int, fragment_size: int = 0) -> None:
            """One IP packet arrived."""

        def transmitted(self, stamp_key: int, stamp: int, scheduled: bool, packet: bytes) -> None:
            """A packet left, or was scheduled."""


_NO_SUCH_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT})
_MIN_PMTU, _MTU_EXPIRES = 552, 600
"""Linux's defaults of net.ipv4.route.min_pmtu (bytes) and mtu_expires (seconds)."""


def _open_family(family: int, packer: Packer) -> tuple[RawReceiver, RawSender] | None:
    try:
        receiver = RawReceiver(family)
    except OSError as err:
        if err.errno in _NO_SUCH_FAMILY:
            return None
        if err.errno == errno.EPERM:
            text = "raw ICMP sockets need CAP_NET_RAW in the user namespace of this network namespace"
            raise OSError(errno.EPERM, text) from err
        raise
    try:
        return receiver, RawSender(family, packer)
    except OSError:
        receiver.close()
        raise


def _dropped(_packet: bytes, _interface: int, _stamp: int, _fragment_size: int) -> None:
    """Nobody is there yet to take it."""


class RawLink:
    """A host's own network, for a stack. All of `stack.network.Network`, and what drives it.

    Wait until one of `filenos()` is readable or has an error, then call `receive` with it. In a thread that only sends,
    call `receive` now and then, for transmit stamps wait in small queues.
    """

    def __init__(self) -> None:
        """Use `open`."""
        self._receivers: dict[int, RawReceiver] = {}
        self._senders: dict[int, RawSender] = {}
        self._by_fileno: dict[int, RawReceiver | RawSender] = {}
        self._routes = RouteTable()
        self._sysctls = KernelSysctls()
        self._receiver: Receiver | None = None
        self._idents: frozenset[int] | None = None

    @classmethod
    def open(cls) -> Self:
        """A link for the network namespace of the calling thread.

        OSError EPERM names the privilege that is missing; EAFNOSUPPORT: the host has neither IPv4 nor IPv6.
        """
        link = cls()
        try:
            link._open()
        except OSError:
            link.close()
            raise
        return link

    def _open(self) -> None:
        packer = Packer(
            own_addresses=lambda: self._routes.all_addresses(AF_INET),
            flow_labels=lambda: self._sysctls.get("ipv6.auto_flowlabels", 1) > 0,
        )
        for family in (AF_INET, AF_INET6):
            halves = _open_family(family, packer)
            if halves is not None:
                self._receivers[family], self._senders[family] = halves
                self._by_fileno.update((half.socket.fileno(), half) for half in halves)
        if not self._by_fileno:
            raise os_error(errno.EAFNOSUPPORT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent."""
        for half in self._by_fileno.values():
            half.close()
        self._by_fileno.clear()
        self._routes.close()
        self._sysctls.close()

    # Driving it.

    def attach(self, receiver: Receiver) -> None:
        """What packets and transmit stamps are handed to; what arrived before is dropped."""
        self._receiver = None
        for fileno in self.filenos():
            while self.receive(fileno):
                pass
        self._receiver = receiver

    def filenos(self) -> list[int]:
        """The descriptors to watch for input and errors."""
        return [*self._by_fileno, self._routes.fileno()]

    def receive(self, fileno: int) -> int:
        """Take what waits at one descriptor, at most 256 items, and say how many there were."""
        half = self._by_fileno.get(fileno)
        if half is None:
            self._routes.refresh()
            return 0
        if isinstance(half, RawSender):
            return half.read_stamps(self._transmitted)
        return half.receive(_dropped if self._receiver is None else self._receiver.deliver_untrusted)

    def receives_first(self) -> None:
        """Promise that before each question to this link `receive` was called for all that was readable then.

        It need not look for changes of routes and addresses by itself any more.
        """
        self._routes.is_told_of_news = True

    def _transmitted(self, stamp_key: int, stamp: int, scheduled: bool, packet: bytes) -> None:
        if self._receiver is not None:
            self._receiver.transmitted(stamp_key, stamp, scheduled, packet)

    def next_event(self) -> float | None:
        """None: this link has no timers."""
        return None

    def run(self, now: float) -> None:
        """Nothing to do at any time."""

    def update_idents(self, idents: Collection[int] | None) -> None:
        """The idents whose replies and errors are wanted; None: of any. The kernel drops the rest."""
        wanted = None if idents is None or len(idents) > MOST_IDENTS else frozenset(idents)
        if wanted == self._idents:
            return
        self._idents = wanted
        self._filter()

    def want_types(self, replies: Mapping[int, Collection[int]]) -> None:
        """The ICMP types of replies that are wanted, by family; at first those of Linux's own ping sockets."""
        for family, types in replies.items():
            if family in self._receivers:
                self._receivers[family].reply_types = frozenset(types)
        self._filter()

    def _filter(self) -> None:
        for receiver in self._receivers.values():
            receiver.filter(self._idents)

    def dropped(self) -> int:
        """Wanted packets lost because nobody called `receive` in time."""
        return sum(receiver.dropped() for receiver in self._receivers.values())

    # The network a stack sees.

    def route(
        self,
        family: int,
        destination: bytes,
        *,
        source: bytes = b"",
        interface: int = 0,
        traffic_class: int = 0,
        mark: int = 0,
        dont_route: bool = False,
    ) -> Route:
        """As `stack.network.Network.route`."""
        if family not in self._senders:
            raise os_error(errno.EAFNOSUPPORT)
        return self._routes.route(
            family,
            destination,
            source=source,
            interface=interface,
            traffic_class=traffic_class,
            mark=mark,
            dont_route=dont_route,
        )

    def address_kind(self, family: int, address: bytes, interface: int = 0) -> int:
        """LOCAL, BROADCAST, MULTICAST or UNICAST."""
        return self._routes.address_kind(family, address, interface)

    def interface_index(self, name: str) -> int:
        """Index of an interface; ENODEV."""
        return self._routes.interface_index(name)

    def interface_name(self, index: int) -> str:
        """Name of an interface; ENODEV."""
        return self._routes.interface_name(index)

    def interface_address(self, family: int, interface: int) -> bytes:
        """The first address of that family on an interface, b"" if it has none; ENODEV."""
        return self._routes.interface_address(family, interface)

    def interface_with(self, family: int, address: bytes) -> int:
        """Index of the interface that has an address, 0 if none has."""
        return self._routes.interface_with(family, address)

    def join_group(self, family: int, group: bytes, interface: int) -> None:
        """Let packets to a multicast group arrive; counted, so each join needs one `leave_group`."""
        self._receiver_for(family).join_group(group, interface)

    def leave_group(self, family: int, group: bytes, interface: int) -> None:
        """Undo one `join_group`; EADDRNOTAVAIL if there was none."""
        self._receiver_for(family).leave_group(group, interface)

    def _receiver_for(self, family: int) -> RawReceiver:
        receiver = self._receivers.get(family)
        if receiver is None:
            raise os_error(errno.EAFNOSUPPORT)
        return receiver

    def learn_path_mtu(self, family: int, destination: bytes, mtu: int) -> None:
        """A believable report said `mtu` for `destination`; for as long as the host's own would hold."""
        setting = "ipv6.route.mtu_expires" if family == AF_INET6 else "ipv4.route.mtu_expires"
        lifetime = self._sysctls.get(setting, _MTU_EXPIRES)
        smallest = self._sysctls.get("ipv4.route.min_pmtu", _MIN_PMTU)
        self._routes.learn_path_mtu(destination, mtu, smallest=smallest, lifetime=lifetime)

    def sysctl(self, name: str) -> int:
        """A setting of the host by its name below `net`; KeyError if it has none."""
        return self._sysctls[name]

    def transmit(self, packet: Outbound) -> None:
        """Send. ENOBUFS: the device's queue dropped it. EAGAIN: no room now. EPERM: a local firewall. EMSGSIZE.

        ENETUNREACH: the source is not an address of this host, and the packet is not `transparent`.
        """
        sender = self._senders.get(packet.family)
        if sender is None:
            raise os_error(errno.EAFNOSUPPORT)
        if not packet.transparent and any(packet.source):
            self._check_source(packet)
        sender.transmit(packet, names_source=self._names_source(packet))

    def _names_source(self, packet: Outbound) -> bool:
        if packet.family != AF_INET6 or not packet.interface or packet.transparent:
            return True
        return self._routes.source_leads(packet.destination, packet.source, packet.interface, packet.mark)

    def _check_source(self, packet: Outbound) -> None:
        """A socket that writes its own IP header may name any source, so the kernel would not look."""
        if self._routes.address_kind(packet.family, packet.source) != LOCAL:
            raise os_error(errno.ENETUNREACH)
