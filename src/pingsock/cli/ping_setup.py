"""What `ping` does with its socket before the first probe: iputils' checks and settings, in iputils' order.

The order is part of the drop-in: of several mistakes in a command line the same one is told.
"""

from __future__ import annotations

import errno
import os
from _socket import AF_INET, AF_INET6, if_nametoindex

from pingsock.cli.arguments import Refused
from pingsock.tools.destination import Destination, source_towards
from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Sequence

    from pingsock.cli.output import Output
    from pingsock.cli.ping_options import Settings
    from pingsock.probe.target import SocketAddress
    from pingsock.sockets.choose import PingSocket

USERS_INTERVAL = 2
_USERS_GROUP_INTERVAL = 1000
_INT_MAX = 2**31 - 1
_FRAGMENT_ESTIMATE, _FRAGMENT_OVERHEAD = 512, {AF_INET: 260, AF_INET6: 280}
_TRY_NEXT_ADDRESS = (errno.EHOSTUNREACH, errno.ENETUNREACH)


class Unreachable(Exception):
    """One address of the host cannot be pinged from here; another one perhaps can."""

    def __init__(self, refusal: Refused) -> None:
        self.refusal = refusal
        super().__init__(refusal)


class Setup:
    """Prepares one socket for one address. `address`, `source` and `flow_label` are the outcome.

    `hops` are the IPv4 hosts given before the destination.
    """

    def __init__(
        self, settings: Settings, destination: Destination, sock: PingSocket, output: Output, hops: Sequence[str] = ()
    ) -> None:
        self._settings = settings
        self._destination = destination
        self._sock = sock
        self._output = output
        self._hops = hops
        self._ipv6 = destination.family == AF_INET6
        self._marks = settings.mark is not None
        self.address = destination.address
        """Where the probes go, with scope and flow label."""
        self.source: SocketAddress = ("",)
        self.flow_label = 0
        self.is_group = destination.is_group or (settings.broadcast and not self._ipv6)
        """Whether many may answer, as iputils sees it."""

    def before_first_line(self) -> None:
        """All that can be refused before anything is printed.

        :raises Refused: with iputils' text.
        :raises Unreachable: likewise, but there may be another address.
        """
        settings = self._settings
        self._choose_source()
        self._resolve_unspecified()
        if self.is_group:
            self._check_group()
        if settings.mtu_discovery is not None or self.is_group:
            self._set_mtu_discovery()
        if settings.strict_source or settings.ident > 0:
            self._bind()
        if not self._ipv6:
            self._set_ip_options()
        self._set_sending()

    def _resolve_unspecified(self) -> None:
        """It is this host, though a ping socket of the kernel sends "::" to a router."""
        if self.address[0] == "0.0.0.0":
            self.address = (self.source[0], 0)
        elif self.address[0] == "::":
            self.address = ("::1", *self.address[1:])

    def _set_sending(self) -> None:
        settings = self._settings
        if settings.preload > 1 or settings.send_buffer:
            self._set_buffers()
        if settings.broadcast and not self._ipv6:
            self._set("cannot set broadcasting", "set_switch", linux.SO_BROADCAST)
        if settings.no_loop:
            self._set(f"{self._cannot} disable multicast loopback", "do_not_loop")
        if settings.hop_limit is not None:
            self._set_hop_limits(settings.hop_limit)
        if settings.flow_label is not None and self._ipv6:
            self._choose_flow_label(settings.flow_label)

    def after_first_line(self) -> None:
        """What iputils checks and sets after it has printed its first line."""
        settings = self._settings
        self._check_interval()
        for wanted, option in ((settings.debug, linux.SO_DEBUG), (settings.dont_route, linux.SO_DONTROUTE)):
            if wanted:
                self._try("set_switch", option)
        if settings.user_time:
            self._set("SO_TIMESTAMPING", "stop_stamping")
        self._mark(self._sock)
        if settings.connect and not self._ipv6:
            self._connect()

    # Tools

    @property
    def _cannot(self) -> str:
        return "can't" if self._ipv6 else "cannot"

    def _set(self, what: str, function: str, *arguments: object) -> None:
        """Call a function of `pingsock.tools.settings` with the socket; `what` is refused if it fails."""
        try:
            self._call(function, self._sock, *arguments)
        except OSError as error:
            raise Refused(f"{what}: {error.strerror}") from error

    def _try(self, function: str, *arguments: object) -> None:
        try:
            self._call(function, self._sock, *arguments)
        except OSError:
            pass

    def _call(self, function: str, *arguments: object) -> None:
        from pingsock.tools import settings  # lazy: a plain ping sets nothing

        getattr(settings, function)(*arguments)

    # The source

    def _choose_source(self) -> None:
        given = self._settings.source6 if self._ipv6 else self._settings.source4
        if given:
            self._take_source(given)
            return
        device = self._settings.device
        if device is not None:
            self._bind_to_device(device)
        self.source = self._source_by_route()
        if device is not None:
            self._check_source_is_on(device)

    def _take_source(self, given: str) -> None:
        device = self._settings.device
        self.source = (given, 0, 0, 0) if self._ipv6 else (given, 0)
        if device is None:
            return
        if self._ipv6:
            index = _interface_index(device)
            self.source = _scoped(self.source, index)
            self.address = _scoped(self.address, index)
        self._bind_to_device(device)

    def _bind_to_device(self, device: str) -> None:
        if self._ipv6:
            self.address = _scoped(self.address, _interface_index(device))
        self._restrict(self._sock, device)

    def _restrict(self, sock: PingSocket | socket, device: str) -> None:
        try:
            self._call("bind_to_device", sock, device)
        except OSError as error:
            if self._ipv6 or not self._destination.is_group:
                raise Refused(f"SO_BINDTODEVICE {device}: {error.strerror}") from error
            self._send_groups_by(sock, device)

    def _send_groups_by(self, sock: PingSocket | socket, device: str) -> None:
        _interface_index(device)
        try:
            self._call("send_groups_by", sock, device)
        except OSError as error:
            raise Refused(f"IP_MULTICAST_IF: {error.strerror}") from error

    def _source_by_route(self) -> SocketAddress:
        first = self._destination.replace(address=(self._hops[0], 0) if self._hops else self.address)
        try:
            return source_towards(first, self._prepare_probe)
        except OSError as error:
            if error.errno != errno.EACCES or self._ipv6:
                raise self._connect_refused(error) from error
        if not self._settings.broadcast:
            raise Refused("Do you want to ping broadcast? Then -b. If not, check your local firewall rules")
        return self._source_by_broadcast(first)

    def _source_by_broadcast(self, destination: Destination) -> SocketAddress:
        self._output.warn_plainly("WARNING: pinging broadcast address\n")

        def prepare(probe: socket) -> None:
            self._prepare_probe(probe)
            self._call("set_switch", probe, linux.SO_BROADCAST)

        try:
            return source_towards(destination, prepare)
        except OSError as error:
            raise Refused(f"connect: {error.strerror}") from error

    def _prepare_probe(self, probe: socket) -> None:
        """The route depends on all this."""
        if self._settings.device is not None:
            self._restrict(probe, self._settings.device)
        if self._settings.traffic_class:
            self._call("set_traffic_class", probe, self._settings.traffic_class)
        self._mark(probe)

    def _connect_refused(self, error: OSError) -> Exception:
        refusal = Refused(f"connect: {error.strerror}")
        return Unreachable(refusal) if error.errno in _TRY_NEXT_ADDRESS else refusal

    def _check_source_is_on(self, device: str) -> None:
        from pingsock.tools.settings import device_has_address  # lazy: only with -I

        if not device_has_address(device, self._destination.family, self.source[0]):
            self._output.warn(f"Warning: source address might be selected on device other than: {device}")

    def _mark(self, sock: PingSocket | socket) -> None:
        if not self._marks:
            return
        try:
            self._call("set_mark", sock, self._settings.mark)
        except OSError as error:
            self._marks = False
            self._output.warn(f"WARNING: failed to set mark: {self._settings.mark}: {error.strerror}")
            if error.errno == errno.EPERM:
                self._output.warn("=> missing cap_net_admin+p or cap_net_raw+p (since Linux 5.17) capability?")

    # Groups, the own address, options

    def _check_group(self) -> None:
        if not os.getuid():
            return
        kind = "multicast" if self._ipv6 else "broadcast"
        if self._settings.interval < _USERS_GROUP_INTERVAL:
            raise Refused(
                f"minimal interval for {kind} ping for user must be >= {_USERS_GROUP_INTERVAL} ms,"
                f" use -i {_USERS_GROUP_INTERVAL // 1000} (or higher)"
            )
        if self._settings.mtu_discovery not in (None, linux.IP_PMTUDISC_DO):
            raise Refused(f"{kind} ping does not fragment")

    def _set_mtu_discovery(self) -> None:
        given = self._settings.mtu_discovery
        how = linux.IP_PMTUDISC_DO if given is None else given
        self._set("IPV6_MTU_DISCOVER" if self._ipv6 else "IP_MTU_DISCOVER", "set_mtu_discovery", how)

    def _bind(self) -> None:
        host, _, *rest = self.source
        try:
            self._sock.bind((host, max(self._settings.ident, 0), *rest))
        except OSError as error:
            raise Refused(f"bind{' icmp socket' if self._ipv6 else ''}: {error.strerror}") from error

    def _set_ip_options(self) -> None:
        settings = self._settings
        if settings.has_ip_options:
            self._try("show_options")
        if settings.record_route:
            self._set("record route", "record_route")
        elif settings.timestamp_kind is not None:
            self._set("ts option", "record_times", settings.timestamp_kind, self._hops)
        elif self._hops:
            self._set_source_route()

    def _set_source_route(self) -> None:
        from pingsock.tools.settings import set_source_route  # lazy: only with several hosts

        try:
            set_source_route(self._sock, self._hops, strict=self._settings.dont_route)
        except OSError as error:
            raise Refused(f"record route: {error.strerror}") from error

    def _set_buffers(self) -> None:
        from pingsock.tools.settings import enlarge_receive_buffer, set_send_buffer  # lazy: only with -l and -S

        if self._settings.send_buffer:
            set_send_buffer(self._sock, self._settings.send_buffer)
        size = self._settings.size + 8
        overhead = _FRAGMENT_OVERHEAD[self._destination.family] + 40 * (
            self._settings.has_ip_options and not self._ipv6
        )
        packet = size + -(-size // _FRAGMENT_ESTIMATE) * overhead
        if not enlarge_receive_buffer(self._sock, packet * self._settings.preload):
            self._output.warn("WARNING: probably, rcvbuf is not enough to hold preload")

    def _set_hop_limits(self, hop_limit: int) -> None:
        what = "hop limit" if self._ipv6 else "time-to-live"
        self._set(f"{self._cannot} set multicast {what}", "set_group_hop_limit", hop_limit)
        self._set(f"{self._cannot} set unicast {what}", "set_hop_limit", hop_limit)

    def _choose_flow_label(self, label: int) -> None:
        from pingsock.tools.settings import choose_flow_label  # lazy: only with -F

        try:
            self.flow_label = choose_flow_label(self._sock, self.address[0], label)
        except OSError as error:
            raise Refused(f"can't set flowlabel: {error.strerror}") from error
        self.address = (*self.address[:2], self.flow_label, self.address[3])

    # After the first line

    def _check_interval(self) -> None:
        settings = self._settings
        if settings.flood and not settings.interval_given:
            settings.interval = 0
        if os.getuid() and settings.interval < USERS_INTERVAL:
            raise Refused(
                f"cannot flood, minimal interval for user must be >= {USERS_INTERVAL} ms,"
                f" use -i {USERS_INTERVAL / 1000} (or higher)"
            )
        if settings.interval >= _INT_MAX // settings.preload:
            raise Refused(f"illegal preload and/or interval: {settings.interval}")

    def _connect(self) -> None:
        try:
            self._sock.connect(self.address)
        except OSError as error:
            raise Refused(f"connect failed: {error.strerror}") from error


def _scoped(address: SocketAddress, index: int) -> SocketAddress:
    """A link-local address with a scope, the one it has or else this."""
    if Destination(AF_INET6, address, "").is_link_local and not address[3]:
        return *address[:3], index
    return address


def _interface_index(device: str) -> int:
    try:
        return if_nametoindex(device)
    except (OSError, ValueError) as error:
        raise Refused(f"unknown iface: {device}") from error
