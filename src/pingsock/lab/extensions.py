"""What a router adds to its errors: MPLS labels and interfaces (RFC 4950, RFC 5837)."""

from __future__ import annotations

import socket

from pingsock.lab.options import FROM_INCOMING, FROM_OUTGOING
from pingsock.wire.extensions import MplsLabel, MplsLabelStack, build_extensions
from pingsock.wire.interfaces import INCOMING, OUTGOING, InterfaceInformation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.lab.datagram import Datagram
    from pingsock.lab.links import Interface
    from pingsock.lab.nodes import Node
    from pingsock.lab.options import Label
    from pingsock.wire.extensions import ExtensionObject

_ROLES = {FROM_INCOMING: INCOMING, FROM_OUTGOING: OUTGOING}
_LONGEST_NAME = 63


def extension_structure(node: Node, about: Datagram, incoming: Interface, outgoing: Interface | None) -> bytes:
    """What the node's options want told about a packet; b"" if nothing."""
    objects: list[ExtensionObject] = [_label_stack(node.options.labels)] if node.options.labels else []
    interfaces = {FROM_INCOMING: incoming, FROM_OUTGOING: outgoing or _way_out(node, about)}
    for role in node.options.interface_info:
        told = interfaces[role]
        if told is not None:
            objects.append(_information(told, _ROLES[role], about.family))
    return build_extensions(objects) if objects else b""


def _label_stack(labels: tuple[Label, ...]) -> MplsLabelStack:
    last = len(labels) - 1
    return MplsLabelStack(
        tuple(
            MplsLabel(label.label, label.traffic_class, number == last, label.ttl)
            for number, label in enumerate(labels)
        )
    )


def _information(interface: Interface, role: int, family: int) -> InterfaceInformation:
    addresses = (interface.address(wanted) for wanted in (family, socket.AF_INET, socket.AF_INET6))
    address = next((found for found in addresses if found), None)
    name = interface.name.encode()[:_LONGEST_NAME]
    return InterfaceInformation(role, interface.index, address, name, interface.mtu)


def _way_out(node: Node, about: Datagram) -> Interface | None:
    way = node.way(about.destination)
    return way.interfaces[0] if way is not None and way.interfaces else None
