"""How a host's IP layer packs an ICMP message up: header, options, identification, flow label, fragments."""

from __future__ import annotations

import errno
from zlib import crc32

from pingsock.link.fragments import fragment_ipv4, fragment_ipv6
from pingsock.link.prefixes import os_error
from pingsock.wire.ipv4 import IPv4Header, build_ipv4
from pingsock.wire.ipv4_options import fill_outgoing, first_hop
from pingsock.wire.ipv6 import IPv6Header, build_ipv6
from pingsock.wire.linux import AF_INET, AF_INET6, IPPROTO_ICMP, IPPROTO_ICMPV6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from pingsock.link.host_sysctls import HostSysctls
    from pingsock.link.interfaces import Interfaces
    from pingsock.wire.transit import Outbound

_COUNTERS = 1024
"""Identification counters, shared by addresses (RFC 7739, section 5.3): one destination learns nothing of another."""


class HostOutput:
    """Makes the packets of one host. `milliseconds` tells the time since midnight UT."""

    def __init__(
        self, interfaces: Interfaces, sysctls: HostSysctls, milliseconds: Callable[[], int], random: Random
    ) -> None:
        self._interfaces = interfaces
        self._sysctls = sysctls
        self._milliseconds = milliseconds
        self._secret = random.getrandbits(32)
        self._counters = [random.getrandbits(32) for _ in range(_COUNTERS)]

    def pack(self, outbound: Outbound, mtu: int) -> list[bytes]:
        """The IP packets that carry a message through a device: one, or its fragments.

        EMSGSIZE: it is larger than `mtu` and may not be fragmented, or too large for IP. BadPacket: a number does not
        fit its field, or the options are malformed.
        """
        packet = self._ipv4(outbound) if outbound.family == AF_INET else self._ipv6(outbound)
        if len(packet) <= min(mtu, outbound.fragment_size or mtu):
            return [packet]
        if not outbound.fragment_size:
            raise os_error(errno.EMSGSIZE)
        size = min(outbound.fragment_size, mtu)
        try:
            if outbound.family == AF_INET:
                return fragment_ipv4(packet, size)
            return fragment_ipv6(packet, size, self._next_identification(outbound))
        except ValueError as err:
            raise os_error(errno.EMSGSIZE) from err

    def _ipv4(self, outbound: Outbound) -> bytes:
        if 20 + len(outbound.options) + len(outbound.message) > 0xFFFF:
            raise os_error(errno.EMSGSIZE)
        destination, options = outbound.destination, outbound.options
        if options:
            destination, options = first_hop(options, destination)
        header = IPv4Header(
            outbound.source,
            destination,
            IPPROTO_ICMP,
            outbound.hop_limit,
            outbound.traffic_class,
            self._identification4(outbound),
            outbound.dont_fragment,
            options=self._filled(options, outbound.source) if options else b"",
        )
        return build_ipv4(header, outbound.message)

    def _filled(self, options: bytes, source: bytes) -> bytes:
        own = self._interfaces.all_addresses(AF_INET)
        return fill_outgoing(options, source, self._milliseconds(), local=own)

    def _identification4(self, outbound: Outbound) -> int:
        """Zero in packets nobody may fragment, as in Linux: it would serve nothing (RFC 6864)."""
        if outbound.dont_fragment and not outbound.fragment_size:
            return 0
        return self._next_identification(outbound) & 0xFFFF

    def _next_identification(self, outbound: Outbound) -> int:
        place = self._hash(outbound) % _COUNTERS
        self._counters[place] = self._counters[place] + 1 & 0xFFFFFFFF
        return self._counters[place]

    def _hash(self, outbound: Outbound) -> int:
        return crc32(outbound.source + outbound.destination, self._secret)

    def _ipv6(self, outbound: Outbound) -> bytes:
        if len(outbound.message) > 0xFFFF:
            raise os_error(errno.EMSGSIZE)
        header = IPv6Header(
            outbound.source,
            outbound.destination,
            IPPROTO_ICMPV6,
            outbound.hop_limit,
            outbound.traffic_class,
            self._flow_label(outbound),
        )
        return build_ipv6(header, outbound.message)

    def _flow_label(self, outbound: Outbound) -> int:
        if outbound.flow_label >= 0:
            return outbound.flow_label
        if not self._sysctls["ipv6.auto_flowlabels"]:
            return 0
        return self._hash(outbound) & 0xFFFFF or 1


def fragments_as_needed(family: int) -> int:
    """A `fragment_size` that no packet exceeds: cut to the device's MTU whatever does not fit."""
    return 0xFFFF + 40 if family == AF_INET6 else 0xFFFF
