"""What to change so that ping sockets can be opened, as exact lines by place."""

from __future__ import annotations

import os
import sys

from pingsock.sockets.surroundings import CAP_NET_RAW, GROUP_RANGE
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pingsock.sockets.surroundings import Surroundings

HOST = "this host"
"""The place of what root changes in the network namespace itself."""


class Cure(Value):
    """One change that would let a socket be opened."""

    place: str
    """Where it is made: "this host", "docker", "podman", "kubernetes", "systemd"."""
    line: str
    """What to run or to write, to the letter; several lines for YAML."""
    note: str = ""
    """When or how, for a reader: "as root, until the next boot"."""


_OPEN_RANGE = (
    Cure(HOST, f'sysctl -w {GROUP_RANGE}="{{gid}} {{gid}}"', "as root, until the next boot"),
    Cure(
        HOST,
        f'echo "{GROUP_RANGE} = {{gid}} {{gid}}" > /etc/sysctl.d/60-pingsock.conf && sysctl --system',
        "as root, for good",
    ),
    Cure("docker", f'docker run --sysctl {GROUP_RANGE}="{{gid}} {{gid}}" ...'),
    Cure("podman", f'podman run --sysctl {GROUP_RANGE}="{{gid}} {{gid}}" ...'),
    Cure(
        "kubernetes",
        f'securityContext:\n  sysctls:\n  - name: {GROUP_RANGE}\n    value: "{{gid}} {{gid}}"',
        "in the spec of the pod; a safe sysctl",
    ),
)
"""Narrow on purpose: the caller's group and nobody else, and in a user namespace the range that is always right."""

_GIVE_RAW = (
    Cure(
        HOST,
        "setpriv --reuid={uid} --regid={gid} --init-groups --inh-caps=+net_raw --ambient-caps=+net_raw COMMAND",
        "as root, for one command",
    ),
    Cure("systemd", "AmbientCapabilities=CAP_NET_RAW", "in the [Service] section"),
    Cure("docker", "docker run --cap-add NET_RAW --user 0 ...", "only root in the container gets it"),
    Cure("podman", "podman run --cap-add NET_RAW --user 0 ..."),
    Cure(
        "kubernetes",
        'securityContext:\n  runAsUser: 0\n  capabilities:\n    add: ["NET_RAW"]',
        "in the spec of the container; only root in it gets the capability",
    ),
)

SERVICE_CONFIGURATION = "/etc/pingsock/pingsockd.toml"
START_SERVICE = (
    Cure(HOST, "systemctl enable --now pingsockd.socket", "as root, where the service is installed with its units"),
)
_RELOAD_SERVICE = f"in {SERVICE_CONFIGURATION}, then as root: systemctl reload pingsockd"
_PERMIT_IN_SERVICE = Cure(HOST, "[access]\nusers = [{uid}]", _RELOAD_SERVICE)
MORE_OF_SERVICE = (Cure(HOST, "[quota]\nsockets = 1024", _RELOAD_SERVICE),)
RESTART_SERVICE = (Cure(HOST, "systemctl restart pingsockd", "as root, where systemd runs it"),)

_FILE_CAPABILITY = Cure(HOST, "setcap cap_net_raw+ep {python}", "as root; every program run by this Python then has it")

ALLOW_FAMILIES = Cure(
    "systemd", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK", "in the [Service] section"
)
ENABLE_IPV6 = Cure(HOST, "ipv6.disable=0", "on the kernel's command line instead of ipv6.disable=1")
ADDRESS_IPV6 = Cure(HOST, "sysctl -w net.ipv6.conf.all.disable_ipv6=0", "as root, until the next boot")
MORE_DESCRIPTORS = Cure(HOST, 'ulimit -n "$(ulimit -Hn)"', "in the shell that starts the program")


def open_range(around: Surroundings) -> tuple[Cure, ...]:
    """The settings that let the caller's own group open ping sockets, the likeliest place first."""
    gid = writer_gid(around)
    if gid is None:
        return ()
    return _sorted(around, [cure.replace(line=cure.line.format(gid=gid)) for cure in _OPEN_RANGE])


def writer_gid(around: Surroundings) -> int | None:
    """The caller's group as whoever may write the sysctl must call it; None if it has no number there.

    The owner of the network namespace writes it, in the owner's ids.
    """
    outside = around.outside(around.gid)
    return around.gid if around.network_owned and outside is not None else outside


def give_raw(around: Surroundings) -> tuple[Cure, ...]:
    """The settings that give the caller CAP_NET_RAW, the likeliest place first."""
    cures = list(_GIVE_RAW)
    if not around.no_new_privileges:
        cures.insert(1, _FILE_CAPABILITY)
    if not around.can_get(CAP_NET_RAW):
        cures = [cure for cure in cures if cure.place != HOST]
    python = os.path.realpath(sys.executable)
    return _sorted(around, [_filled(cure, uid=around.uid, gid=around.gid, python=python) for cure in cures])


def permit_in_service(around: Surroundings) -> tuple[Cure, ...]:
    """The setting with which a service lets the caller in."""
    return (_filled(_PERMIT_IN_SERVICE, uid=around.uid),)


def _filled(cure: Cure, **content: object) -> Cure:
    return cure.replace(line=cure.line.format(**content))


def _sorted(around: Surroundings, cures: Iterable[Cure]) -> tuple[Cure, ...]:
    likeliness = {around.runtime: 0, HOST: 1}
    return tuple(sorted(cures, key=lambda cure: likeliness.get(cure.place, 2)))
