"""Networks that do not exist: hosts, routers and links to test ICMP programs with. See docs/lab.md.

In memory with a clock of the test's own (`Network.run_until`), in another loop (`Driver`), or in real time behind a
TUN device, where the kernel's sockets and any program meet it (`kernel_lab`).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.lab import actions as actions
    from pingsock.lab.attach import Attachment as Attachment
    from pingsock.lab.behaviours import Case as Case
    from pingsock.lab.behaviours import Emission as Emission
    from pingsock.lab.behaviours import Match as Match
    from pingsock.lab.behaviours import Rule as Rule
    from pingsock.lab.capture import PcapWriter as PcapWriter
    from pingsock.lab.datagram import Datagram as Datagram
    from pingsock.lab.drive import Driver as Driver
    from pingsock.lab.errors import LabError as LabError
    from pingsock.lab.host import LabHost as LabHost
    from pingsock.lab.icmp_errors import Quote as Quote
    from pingsock.lab.kernel import kernel_lab as kernel_lab
    from pingsock.lab.links import Direction as Direction
    from pingsock.lab.links import Interface as Interface
    from pingsock.lab.links import Link as Link
    from pingsock.lab.network import Network as Network
    from pingsock.lab.nodes import Host as Host
    from pingsock.lab.nodes import Node as Node
    from pingsock.lab.nodes import Router as Router
    from pingsock.lab.options import Label as Label
    from pingsock.lab.options import Options as Options
    from pingsock.lab.thread import LabThread as LabThread
    from pingsock.lab.toml import load as load

_HOMES = {
    "Attachment": "attach",
    "Case": "behaviours",
    "Datagram": "datagram",
    "Direction": "links",
    "Driver": "drive",
    "Emission": "behaviours",
    "Host": "nodes",
    "Interface": "links",
    "LabError": "errors",
    "LabHost": "host",
    "LabThread": "thread",
    "Label": "options",
    "Link": "links",
    "Match": "behaviours",
    "Network": "network",
    "Node": "nodes",
    "Options": "options",
    "PcapWriter": "capture",
    "Quote": "icmp_errors",
    "Router": "nodes",
    "Rule": "behaviours",
    "kernel_lab": "kernel",
    "load": "toml",
}
"""Public names and the modules they live in, imported when first asked for."""

__all__ = ["actions", *_HOMES]  # noqa: PLE0604 - all are strings


def __getattr__(name: str) -> object:
    import importlib

    if name == "actions":
        return importlib.import_module("pingsock.lab.actions")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"pingsock.lab.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
