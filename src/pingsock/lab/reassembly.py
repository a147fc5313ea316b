"""Fragments that arrive at a node, and the error when the rest of them does not come."""

from __future__ import annotations

import socket

from pingsock.lab.datagram import Datagram, parse_datagram_untrusted
from pingsock.link.fragments import Reassembler
from pingsock.wire.errors import BadPacket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.lab.links import Interface
    from pingsock.lab.nodes import Node

PATIENCE: dict[int, float] = {socket.AF_INET: 30.0, socket.AF_INET6: 60.0}
"""Seconds after the first fragment until an error is due, as Linux and RFC 8200 section 4.5 have it."""


class Reassembly:
    """The incomplete packets of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reassembler = Reassembler()
        self._incomplete: dict[tuple[object, ...], Datagram] = {}
        """First fragments only: without its start a packet is not reported."""

    def add(self, fragment: Datagram, interface: Interface) -> Datagram | None:
        """The whole packet, if this fragment completes it."""
        network = self._node.network
        key = _key(fragment)
        try:
            whole = self._reassembler.add_untrusted(fragment.packet, network.now)
        except BadPacket:
            self._incomplete.pop(key, None)
            network.drop(self._node, "bad fragment")
            return None
        if whole is not None:
            self._incomplete.pop(key, None)
            return parse_datagram_untrusted(whole[0])
        if not fragment.offset and key not in self._incomplete:
            self._incomplete[key] = fragment
            due = network.now + PATIENCE[fragment.family]
            network.schedule(due, self._expire, key, fragment, interface)
        return None

    def _expire(self, key: tuple[object, ...], first: Datagram, interface: Interface) -> None:
        if self._incomplete.get(key) is first:
            del self._incomplete[key]
            self._node.emit(self._node.complain(first, interface, "reassembly time exceeded"), interface)


def _key(fragment: Datagram) -> tuple[object, ...]:
    # An IPv6 fragment header ends with the identification and is the last extension header of its packet.
    identification = fragment.options[-4:] if fragment.family == socket.AF_INET6 else fragment.identification
    return fragment.source, fragment.destination, fragment.protocol, identification
