"""An IP host in user space: what the ping-socket stack lives on where there is no kernel below it.

A `HostLink` has interfaces on layer-3 cables, addresses, routes and settings of its own, checks what arrives as
Linux' IP layer does, answers echo requests, and is the `Network` of a stack. The pieces:

    cables -> HostInput -> Reassembler -> EchoResponder, receiver (the stack)
    stack -> Router -> HostOutput -> cables, or back to ourselves

Packets to ourselves, and those that arrive while one is being sent, wait in a queue until the sending is done; then
they are dealt with in order, before `transmit` returns. So a stack is never entered twice at once.
"""

from __future__ import annotations

import errno
import time
from collections import deque
from random import SystemRandom
from threading import RLock

from pingsock.link.echo_responder import EchoResponder
from pingsock.link.fragments import Reassembler
from pingsock.link.host_input import HostInput
from pingsock.link.host_output import HostOutput
from pingsock.link.host_setup import HostSetup
from pingsock.link.interfaces import LOOPBACK
from pingsock.link.routing import Query
from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4_options import first_hop
from pingsock.wire.linux import (
    AF_INET,
    AF_INET6,
    SOF_TIMESTAMPING_TX_SCHED,
    SOF_TIMESTAMPING_TX_SOFTWARE,
)
from pingsock.wire.transit import BROADCAST, LOCAL, MULTICAST
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from contextlib import AbstractContextManager
    from random import Random
    from typing import Protocol

    from pingsock.link.cable import Cable
    from pingsock.link.interfaces import Interface
    from pingsock.link.routing import Hop
    from pingsock.wire.transit import Outbound, Route

    class Receiver(Protocol):
        """As `stack.network.Receiver`, which a link must not import."""

        def deliver_untrusted(self, packet: bytes, interface: int, stamp: int, fragment_size: int = 0) -> None:
            """A packet arrived."""

        def transmitted(self, stamp_key: int, stamp: int, scheduled: bool, packet: bytes) -> None:
            """A packet left."""


PACKETS_PER_CALL = 256
"""What `receive` reads at most before it gives others a turn."""
_MILLISECONDS_PER_DAY = 86_400_000


class _Arrival(Value):
    packet: bytes
    interface: int
    stamp: int
    looped: bool


class HostLink(HostSetup):
    """One host, with the commands of `HostSetup`.

    `realtime_ns` gives stamps, `monotonic` times everything else, `random` makes packet identifiers. `lock` is taken
    around what arrives by `receive`, `run` or from the far end of a memory cable, perhaps in another thread; all else
    is called by whoever holds it. Hosts on the two ends of one memory cable must share it.

    `dropped` counts the packets that were not for us or not right, `last_drop` says why the last one was.
    """

    def __init__(
        self,
        *,
        realtime_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        random: Random | None = None,
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        super().__init__(monotonic, self._receive_from)
        self.dropped = 0
        self.last_drop = ""
        self._realtime_ns = realtime_ns
        self._monotonic = monotonic
        self._lock = lock if lock is not None else RLock()
        self._receiver: Receiver | None = None
        self._input = HostInput(self._interfaces, self._sysctls, self._milliseconds)
        self._output = HostOutput(self._interfaces, self._sysctls, self._milliseconds, random or SystemRandom())
        self._responder = EchoResponder(self._interfaces, self._router, self._sysctls, self._milliseconds)
        self._reassembler = Reassembler()
        self._arrived: deque[_Arrival] = deque()
        self._busy = False

    def _milliseconds(self) -> int:
        return self._realtime_ns() // 1_000_000 % _MILLISECONDS_PER_DAY

    # What a stack asks; see `stack.network.Network`.

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
        """As `stack.network.Network.route`; the traffic class does not influence it."""
        source = source if any(source) else b""
        return self._router.route(Query(family, destination, source, interface, mark, dont_route))

    def address_kind(self, family: int, address: bytes, interface: int = 0) -> int:
        """As `stack.network.Network.address_kind`."""
        return self._interfaces.kind(address, interface)

    def interface_index(self, name: str) -> int:
        """Index of an interface; ENODEV."""
        return self._interfaces.named(name).index

    def interface_name(self, index: int) -> str:
        """Name of an interface; ENODEV."""
        return self._interfaces[index].name

    def interface_address(self, family: int, interface: int) -> bytes:
        """The first address of that family on an interface, b"" if it has none; ENODEV."""
        return self._interfaces[interface].first_address(family)

    def interface_with(self, family: int, address: bytes) -> int:
        """Index of the interface that has an address, 0 if none has."""
        return next(iter(self._interfaces.owners(address)), 0)

    def join_group(self, family: int, group: bytes, interface: int) -> None:
        """Let packets to a group arrive; counted. EINVAL if it is none, ENODEV."""
        self._interfaces.join(group, interface)

    def leave_group(self, family: int, group: bytes, interface: int) -> None:
        """Undo one `join_group`; EADDRNOTAVAIL if there was none, ENODEV."""
        self._interfaces.leave(group, interface)

    def learn_path_mtu(self, family: int, destination: bytes, mtu: int) -> None:
        """Believe a report of a path MTU, within the rules of `PathMtuCache.learn`."""
        try:
            device_mtu = self._interfaces[self._router.hop(Query(family, destination)).interface].mtu
        except OSError:
            return
        room = "ipv4" if family == AF_INET else "ipv6"
        lifetime = self._sysctls[f"{room}.route.mtu_expires"]
        self._path_mtus.learn(destination, mtu, device_mtu, self._sysctls["ipv4.route.min_pmtu"], lifetime)

    def sysctl(self, name: str) -> int:
        """A setting by its name below `net`; KeyError if there is none."""
        return self._sysctls[name]

    def transmit(self, packet: Outbound) -> None:
        """Send a message; what it causes on this very host has happened when this returns.

        EMSGSIZE: too large, and not to be fragmented. EINVAL: a number does not fit its field. ENOBUFS, EIO: as the
        cable says. Route errors as for `route`.
        """
        try:
            hop = self._router.hop(_query(packet))
            out = self._interfaces[hop.interface]
            pieces = self._output.pack(packet, out.mtu)
        except BadPacket as err:
            raise OSError(errno.EINVAL, str(err)) from err
        outermost, self._busy = not self._busy, True
        try:
            self._stamp(packet, pieces[0], SOF_TIMESTAMPING_TX_SCHED)
            for piece in pieces:
                self._put(packet, piece, hop, out)
        finally:
            if outermost:
                self._busy = False
                self._drain()

    def _put(self, packet: Outbound, piece: bytes, hop: Hop, out: Interface) -> None:
        """Send one IP packet out, back to ourselves, or both."""
        stamp = self._realtime_ns()
        if hop.kind == LOCAL:
            self._arrive(piece, self._arrival_interface(packet), looped=True)
        elif out.cable is None:
            self._arrive(piece, LOOPBACK, looped=True)
        else:
            if self._reaches_us_too(packet, hop, out):
                self._arrive(piece, out.index, looped=True)
            if _leaves_host(packet, hop):
                out.cable.send(piece)
        self._stamp(packet, piece, SOF_TIMESTAMPING_TX_SOFTWARE, stamp)

    def _arrival_interface(self, packet: Outbound) -> int:
        """By which interface a packet to ourselves arrives: `lo` for IPv4, the one that has the address for IPv6."""
        if packet.family == AF_INET:
            return LOOPBACK
        return packet.interface or self.interface_with(AF_INET6, packet.destination) or LOOPBACK

    def _reaches_us_too(self, packet: Outbound, hop: Hop, out: Interface) -> bool:
        if hop.kind == MULTICAST:
            return packet.multicast_loop and out.has_joined(packet.destination)
        return hop.kind == BROADCAST

    def _stamp(self, packet: Outbound, piece: bytes, flag: int, stamp: int = 0) -> None:
        """Tell of a transmit time, of the first fragment only."""
        scheduled = flag == SOF_TIMESTAMPING_TX_SCHED
        if packet.stamp_flags & flag and self._receiver is not None and _is_first(piece):
            self._receiver.transmitted(packet.stamp_key, stamp or self._realtime_ns(), scheduled, piece)

    # What a driver calls.

    def attach(self, receiver: Receiver) -> None:
        """Hand all that arrives to `receiver` from now on."""
        self._receiver = receiver

    def update_idents(self, idents: Collection[int]) -> None:
        """Nothing to do: only a link that shares its host with other programs needs to filter."""

    def want_types(self, replies: Mapping[int, Collection[int]]) -> None:
        """Nothing to do, likewise."""

    def filenos(self) -> list[int]:
        """Descriptors to poll for reading, each to be given to `receive`."""
        cables = [interface.cable for interface in self._interfaces if interface.cable is not None]
        return [number for cable in cables if (number := cable.fileno()) >= 0]

    def receive(self, fileno: int) -> None:
        """Deal with what waits behind a descriptor, at most 256 packets of it; OSError only if its device fails."""
        for interface in self._interfaces:
            if interface.cable is not None and interface.cable.fileno() == fileno:
                self._receive_all(interface, interface.cable)
                return

    def _receive_all(self, interface: Interface, cable: Cable) -> None:
        for _ in range(PACKETS_PER_CALL):
            packet = cable.receive()
            if packet is None:
                return
            self._receive_from(interface, packet)

    def next_event(self) -> float | None:
        """When `run` wants to be called, monotonic seconds; None: not until something arrives."""
        return self._reassembler.next_expiry()

    def run(self, now: float) -> None:
        """Forget packets of which the rest never came."""
        with self._lock:
            self._reassembler.expire(now)

    def close(self) -> None:
        """Close all cables; idempotent."""
        for interface in self._interfaces:
            if interface.cable is not None:
                interface.cable.close()

    # The way in.

    def _receive_from(self, interface: Interface, packet: bytes) -> None:
        with self._lock:
            self._arrive(packet, interface.index, looped=False)
            if not self._busy:
                self._drain()

    def _arrive(self, packet: bytes, interface: int, looped: bool) -> None:
        self._arrived.append(_Arrival(packet, interface, self._realtime_ns(), looped))

    def _drain(self) -> None:
        self._busy = True
        try:
            while self._arrived:
                self._take(self._arrived.popleft())
        finally:
            self._busy = False

    def _take(self, arrival: _Arrival) -> None:
        if arrival.interface not in self._interfaces:
            return  # it was removed while the packet waited
        try:
            packet = self._input.accept_untrusted(arrival.packet, arrival.interface, arrival.looped)
            whole = self._reassembler.add_untrusted(packet, self._monotonic())
            if whole is not None:
                self._deliver_untrusted(*whole, arrival)
        except BadPacket as err:
            self.dropped += 1
            self.last_drop = str(err)

    def _deliver_untrusted(self, packet: bytes, fragment_size: int, arrival: _Arrival) -> None:
        offset = self._input.message_offset_untrusted(packet, arrival.interface)
        self._answer_untrusted(packet, offset, arrival.interface)
        if self._receiver is not None:
            self._receiver.deliver_untrusted(packet, arrival.interface, arrival.stamp, fragment_size)

    def _answer_untrusted(self, packet: bytes, offset: int, interface: int) -> None:
        try:
            reply = self._responder.answer_untrusted(packet, offset, interface)
            if reply is not None:
                self.transmit(reply)
        except OSError as err:
            self.dropped += 1
            self.last_drop = f"the reply could not be sent: {err}"


def _query(packet: Outbound) -> Query:
    source = packet.source if any(packet.source) else b""
    towards, _ = first_hop(packet.options, packet.destination)
    return Query(packet.family, towards, source, packet.interface, packet.mark, packet.dont_route)


def _leaves_host(packet: Outbound, hop: Hop) -> bool:
    if hop.kind != MULTICAST:
        return True
    is_interface_local = packet.family == AF_INET6 and packet.destination[1] & 0xF <= 1
    return packet.hop_limit > 0 and not is_interface_local


def _is_first(piece: bytes) -> bool:
    if piece[0] >> 4 == 4:
        return not int.from_bytes(piece[6:8], "big") & 0x1FFF
    return piece[6] != 44 or not int.from_bytes(piece[42:44], "big") & 0xFFF8
