"""What a raw link puts on the wire: the IP packets, or fragments, that carry a stack's messages."""

from __future__ import annotations

import errno
import os
import struct
import time
from functools import lru_cache

from pingsock.link.fragments import fragment_ipv4, fragment_ipv6
from pingsock.link.prefixes import os_error
from pingsock.wire.errors import BadPacket
from pingsock.wire.ipv4 import MAXIMUM_PACKET_LENGTH, MINIMUM_HEADER_LENGTH, IPv4Header
from pingsock.wire.ipv4_options import fill_outgoing, first_hop
from pingsock.wire.ipv6 import MAXIMUM_PAYLOAD_LENGTH, IPv6Header, build_ipv6
from pingsock.wire.linux import AF_INET6, IPPROTO_ICMP, IPPROTO_ICMPV6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pingsock.wire.transit import Outbound

_COUNTERS = 256
_MILLISECONDS_A_DAY = 86_400_000


class Identifications:
    """IP identifications that do not repeat soon between two hosts, and tell one little of our traffic with others.

    They are counters from random starts, chosen by both addresses (RFC 7739, section 5.3).
    """

    def __init__(self, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._counters: list[int] = list(struct.unpack(f"={_COUNTERS}I", random_bytes(4 * _COUNTERS)))

    def next(self, source: bytes, destination: bytes) -> int:
        """32 bits, of which the lower 16 are never zero."""
        at = hash((source, destination)) % _COUNTERS
        number = self._counters[at] + 1 & 0xFFFFFFFF
        if not number & 0xFFFF:
            number += 1
        self._counters[at] = number
        return number


def _header4(
    source: bytes,
    destination: bytes,
    hop_limit: int,
    traffic_class: int,
    identification: int,
    dont_fragment: bool,
    options: bytes,
    total_length: int,
) -> bytes:
    return IPv4Header(
        source,
        destination,
        IPPROTO_ICMP,
        hop_limit,
        traffic_class,
        identification,
        dont_fragment,
        options=options,
        total_length=total_length,
    ).to_bytes()


_kept_header4 = lru_cache(maxsize=4096)(_header4)
"""For the headers of packets that differ in nothing but their message: nobody may fragment them."""


class Packer:
    """Makes packets. `own_addresses` tells this host's IPv4 addresses, `flow_labels` whether labels are automatic."""

    def __init__(self, own_addresses: Callable[[], Collection[bytes]], flow_labels: Callable[[], bool]) -> None:
        self._own_addresses = own_addresses
        self._flow_labels = flow_labels
        self._identifications = Identifications()

    def pack(self, outbound: Outbound) -> tuple[bytes, list[bytes]]:
        """The address to send to, which is the first hop of a source route if there is one, and the packets.

        EMSGSIZE: larger than IP allows, or `fragment_size` does not hold the headers and 8 bytes. EINVAL: a number is
        out of its range.
        """
        try:
            if outbound.family == AF_INET6:
                return outbound.destination, self._ipv6(outbound)
            return self._ipv4(outbound)
        except BadPacket as err:
            raise OSError(errno.EINVAL, str(err)) from err

    def _ipv4(self, outbound: Outbound) -> tuple[bytes, list[bytes]]:
        if MINIMUM_HEADER_LENGTH + len(outbound.options) + len(outbound.message) > MAXIMUM_PACKET_LENGTH:
            raise os_error(errno.EMSGSIZE)
        destination, options = outbound.destination, outbound.options
        if options:
            destination, options = first_hop(options, destination)
            now = time.time_ns() // 1_000_000 % _MILLISECONDS_A_DAY
            options = fill_outgoing(options, outbound.source, now, local=self._own_addresses())
        identification = self._identification4(outbound)
        header = (_header4 if identification or options else _kept_header4)(
            outbound.source,
            destination,
            outbound.hop_limit,
            outbound.traffic_class,
            identification,
            outbound.dont_fragment,
            options,
            MINIMUM_HEADER_LENGTH + len(options) + len(outbound.message),
        )
        return destination, _fragments(header + outbound.message, outbound.fragment_size, fragment_ipv4)

    def _identification4(self, outbound: Outbound) -> int:
        """Zero in packets nobody may fragment, as in Linux: it would serve nothing (RFC 6864)."""
        if outbound.dont_fragment:
            return 0
        return self._identifications.next(outbound.source, outbound.destination) & 0xFFFF

    def _ipv6(self, outbound: Outbound) -> list[bytes]:
        if len(outbound.message) > MAXIMUM_PAYLOAD_LENGTH:
            raise os_error(errno.EMSGSIZE)
        header = IPv6Header(
            outbound.source,
            outbound.destination,
            IPPROTO_ICMPV6,
            outbound.hop_limit,
            outbound.traffic_class,
            self._flow_label(outbound),
        )
        packet = build_ipv6(header, outbound.message)

        def fragment(packet: bytes, size: int) -> list[bytes]:
            identification = self._identifications.next(outbound.source, outbound.destination)
            return fragment_ipv6(packet, size, identification)

        return _fragments(packet, outbound.fragment_size, fragment)

    def _flow_label(self, outbound: Outbound) -> int:
        """As asked, or one for all packets of a flow, here two addresses and an ident (RFC 6437); never 0."""
        if outbound.flow_label >= 0:
            return outbound.flow_label
        if not self._flow_labels():
            return 0
        return hash((outbound.source, outbound.destination, outbound.message[4:6])) & 0xFFFFF or 1


def _fragments(packet: bytes, size: int, fragment: Callable[[bytes, int], list[bytes]]) -> list[bytes]:
    if not size or len(packet) <= size:
        return [packet]
    try:
        return fragment(packet, size)
    except ValueError as err:
        raise os_error(errno.EMSGSIZE) from err
