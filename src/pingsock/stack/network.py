"""What the stack must know of, and can ask from, the host it lives on.

The stack does no I/O. Routes, addresses, interfaces and the sending itself come through this interface, which the
links in `pingsock.link` implement: `RawLink` asks the kernel, `HostLink` is an IP host of its own.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from pingsock.wire.transit import Outbound, Route
else:
    Protocol = object


class Receiver(Protocol):
    """What a link hands its packets to; the stack is one.

    A link delivers what a kernel's IP layer would pass to its ICMP layer: the header is valid, the destination is
    ours, the source is possible, fragments are put together. ICMP itself is unchecked.
    """

    def deliver_untrusted(self, packet: bytes, interface: int, stamp: int, fragment_size: int = 0) -> None:
        """One IP packet arrived.

        `packet` is the whole IPv4 or IPv6 packet, header, options and extension headers included, as it stands
        after local processing of its options; `interface` the index it came in by; `stamp` its arrival, CLOCK_REALTIME
        in nanoseconds (0: unknown); `fragment_size` the largest fragment in bytes of IP packet, 0 if it came whole.
        """

    def transmitted(self, stamp_key: int, stamp: int, scheduled: bool, packet: bytes) -> None:
        """A packet sent with `stamp_flags` left (or was scheduled) at `stamp`, CLOCK_REALTIME in nanoseconds.

        `packet` is the IP packet as sent.
        """


class Network(Protocol):
    """The host below a stack. All failures are OSError with the kernel's errno."""

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
        """The route to `destination`; ENETUNREACH, EHOSTUNREACH, EACCES or EINVAL as in connect(2).

        `source` (empty: any) must be an address of this host, else ENETUNREACH; a loopback source towards a
        remote IPv4 destination is EINVAL. A nonexistent `interface` is ENODEV for IPv4 and ENETUNREACH for IPv6.

        The very object that was given before tells that nothing about packets to that destination has changed: not
        the route, nor the host's settings. A network that cannot tell gives a new one; one that looks at its settings
        from time to time only, no later than then.
        """

    def address_kind(self, family: int, address: bytes, interface: int = 0) -> int:
        """LOCAL, BROADCAST or MULTICAST from this host's point of view; anything else is UNICAST.

        With an interface, an IPv6 link-local address is LOCAL only on the interface that has it.
        """

    def interface_index(self, name: str) -> int:
        """Index of an interface; ENODEV."""

    def interface_name(self, index: int) -> str:
        """Name of an interface; ENODEV."""

    def interface_address(self, family: int, interface: int) -> bytes:
        """The first address of that family on an interface, b"" if it has none; ENODEV."""

    def interface_with(self, family: int, address: bytes) -> int:
        """Index of the interface that has an address, 0 if none has."""

    def join_group(self, family: int, group: bytes, interface: int) -> None:
        """Let packets to a multicast group arrive; counted, so each join needs one `leave_group`."""

    def leave_group(self, family: int, group: bytes, interface: int) -> None:
        """Undo one `join_group`; EADDRNOTAVAIL if there was none."""

    def learn_path_mtu(self, family: int, destination: bytes, mtu: int) -> None:
        """A believable frag-needed or packet-too-big report said `mtu` for `destination`."""

    def sysctl(self, name: str) -> int:
        """A setting of the host by its name below `net`, e.g. "ipv4.ip_no_pmtu_disc"; KeyError if it has none."""

    def transmit(self, packet: Outbound) -> None:
        """Send. ENOBUFS: the device's queue dropped it. EAGAIN: no room now. EPERM: a local firewall. EMSGSIZE."""
