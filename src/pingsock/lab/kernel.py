"""A lab on the far side of a TUN device: real sockets and programs of this namespace reach its hosts."""

from __future__ import annotations

import contextlib

from pingsock.lab.errors import LabError
from pingsock.lab.prefixes import Prefix
from pingsock.lab.thread import LabThread
from pingsock.link.tun import TunDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pingsock.lab.network import Network
    from pingsock.lab.nodes import Node


@contextlib.contextmanager
def kernel_lab(
    network: Network,
    node: str | Node,
    *addresses: str,
    device: str = "lab%d",
    mtu: int = 1500,
    **settings: Any,
) -> Iterator[LabThread]:
    """Attach a node to a new TUN device of the current network namespace, and run the network while the block lasts.

    The device gets `addresses` (with prefix lengths, "10.0.0.1/24"), of which the first of each IP version becomes
    the source, and a route to every prefix of the lab, refused ones included (but no default route). `settings` are
    those of `Network.attach`. Needs CAP_NET_ADMIN over the namespace: OSError otherwise. LabError without addresses.
    """
    if not addresses:
        raise LabError("a device needs addresses of its own, such as 10.0.0.1/24")
    with TunDevice(device, mtu=mtu) as tun:
        attached = network.attach(tun, node, *addresses, name=f"kernel:{tun.name}", **settings)
        tun.configure(addresses)
        own = [Prefix.parse(address) for address in addresses]
        for prefix in prefixes_of(network, attached):
            if not any(_same_network(prefix, mine) for mine in own) and _has_family(own, prefix):
                tun.add_route(str(prefix))
        try:
            with LabThread(network) as thread:
                yield thread
        finally:
            network.detach(attached)


def prefixes_of(network: Network, but: Node) -> list[Prefix]:
    """Every prefix the nodes of a network have or refuse, except those of one node and defaults; shortest first."""
    found: dict[Prefix, None] = {}
    for node in network.nodes.values():
        if node is not but:
            found.update(dict.fromkeys(prefix if prefix.is_network else prefix.single for prefix in node.addresses))
            found.update(dict.fromkeys(node.refused_prefixes()))
            for interface in node.interfaces:
                found.update(dict.fromkeys(prefix.network for prefix in interface.addresses))
    return sorted(filter(lambda prefix: prefix.length, found), key=lambda prefix: (prefix.length, prefix.address))


def _same_network(prefix: Prefix, mine: Prefix) -> bool:
    return prefix in (mine.network, mine.single)


def _has_family(own: list[Prefix], prefix: Prefix) -> bool:
    return any(mine.family == prefix.family for mine in own)
