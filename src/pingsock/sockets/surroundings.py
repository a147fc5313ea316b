"""What decides here whether a ping socket may be opened: groups, namespaces, capabilities, filters.

Some facts about ids in user namespaces
---------------------------------------

* Reading `net.ipv4.ping_group_range` translates its two ends into the **reader's** user namespace. An end that has no
  number there reads as the overflow id, 65534, so a closed range ("1 0") shows as "65534 65534" or "65534 0".
* Writing translates the two ends out of the writer's namespace; one that is not mapped is EINVAL, and ends that come
  out in the wrong order are stored as the empty range without any error.
* Linux then compares ids **outside**. With `podman --userns=keep-id` (inside 0-999 are 100000-100999 outside, inside
  1000 is 1000) the range "0 65535" means 100000 to 165534 and refuses the very group 1000 it seems to contain.
* A capability counts only in namespaces that belong to the user namespace it is held in, or to one below.

What this means here
--------------------

`Surroundings` keeps the numbers as they are seen inside, together with the map, and `outside()` translates. The map
gives ids of the parent namespace: where two nested maps reorder ids, the outer one stays unseen.
"""

from __future__ import annotations

import os

from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

GROUP_RANGE = "net.ipv4.ping_group_range"

CAP_NET_RAW = 13
"""linux/capability.h"""

_ALL_IDS = ((0, 0, 4294967295),)
_NS_GET_USERNS = 0xB701
"""linux/nsfs.h: the user namespace a namespace belongs to; EPERM if that is not the caller's or below."""
_SECCOMP_FILTER = "2"
_GVISOR_VERSION = "#1 SMP Sun Jan 10 15:06:54 PST 2016"
"""What uname says in every release of gVisor; newer ones call themselves 4.19.0-gvisor."""
_RUNTIME_MARKS = (("/run/.containerenv", "podman"), ("/.dockerenv", "docker"))
_INITIAL_PIDS = "pid:[4026531836]"
"""The process namespace outside containers has a fixed number (linux/proc_ns.h)."""


class Surroundings(Value):
    """Facts about this process and its namespaces, numbers as this process sees them."""

    uid: int
    gid: int
    """The effective group."""
    groups: tuple[int, ...] = ()
    """The other groups."""
    group_range: tuple[int, int] | None = None
    """`net.ipv4.ping_group_range`; None if it cannot be read."""
    gid_map: tuple[tuple[int, int, int], ...] = _ALL_IDS
    """Lines of /proc/self/gid_map: first id inside, first id outside, count."""
    overflow_gid: int = 65534
    """How a group without a number in this user namespace shows."""
    capabilities: int = 0
    """The effective set, one bit each."""
    bounding: int = 0
    """The set that can be had at all."""
    no_new_privileges: bool = False
    """File capabilities and setuid bits do nothing."""
    seccomp_filter: bool = False
    network_owned: bool = True
    """The network namespace belongs to this user namespace."""
    confinement: str = ""
    """The security module's label, "" if it does not confine."""
    gvisor: bool = False
    runtime: str = ""
    """"docker", "podman", "kubernetes" or what else /run/systemd/container names; "" outside containers."""
    ipv6_module: bool = True
    ipv6_disabled_at_boot: bool = False
    ipv6_disabled: bool = False
    """`net.ipv6.conf.all.disable_ipv6`."""
    ipv6_addresses: bool = True

    @property
    def in_initial_namespace(self) -> bool:
        """Whether ids mean the same inside and outside, as far as can be seen."""
        return self.gid_map == _ALL_IDS

    @property
    def all_groups(self) -> tuple[int, ...]:
        """The groups Linux looks at, the effective one first."""
        return (self.gid, *(group for group in self.groups if group != self.gid))

    def outside(self, gid: int) -> int | None:
        """The number of a group in the parent user namespace; None if it is not mapped."""
        for inside, outside, count in self.gid_map:
            if inside <= gid < inside + count:
                return outside + gid - inside
        return None

    @property
    def range_is_unreadable(self) -> bool:
        """Both ends show as the overflow id: the range has no numbers here, most likely since it is closed."""
        return not self.in_initial_namespace and self.group_range == (self.overflow_gid, self.overflow_gid)

    def range_seems_to_admit(self) -> bool:
        """A group is in the range as this process reads both."""
        if self.group_range is None:
            return False
        low, high = self.group_range
        return any(low <= group <= high for group in self.all_groups)

    def range_admits(self) -> bool:
        """A group is in the range as Linux compares them."""
        if self.group_range is None:
            return False
        low, high = (self.outside(end) for end in self.group_range)
        if low is None or high is None:
            return False
        return any(number is not None and low <= number <= high for number in map(self.outside, self.all_groups))

    def can_use(self, capability: int) -> bool:
        """The capability is in the effective set."""
        return bool(self.capabilities >> capability & 1)

    def can_get(self, capability: int) -> bool:
        """The capability is in the bounding set."""
        return bool(self.bounding >> capability & 1)


def read_surroundings() -> Surroundings:
    """The facts of the calling process, as far as /proc tells them."""
    status = _status_fields()
    gid = os.getegid()
    return Surroundings(
        uid=os.geteuid(),
        gid=gid,
        groups=tuple(sorted(set(os.getgroups()) - {gid})),
        group_range=_group_range(_text("/proc/sys/net/ipv4/ping_group_range")),
        gid_map=_id_map(_text("/proc/self/gid_map", missing="0 0 4294967295")),
        overflow_gid=int(_text("/proc/sys/kernel/overflowgid") or 65534),
        capabilities=int(status.get("CapEff", "0"), 16),
        bounding=int(status.get("CapBnd", "0"), 16),
        no_new_privileges=status.get("NoNewPrivs") == "1",
        seccomp_filter=status.get("Seccomp") == _SECCOMP_FILTER,
        network_owned=_network_owned(),
        confinement=_confinement(_text("/proc/self/attr/current")),
        gvisor="gvisor" in os.uname().release or os.uname().version == _GVISOR_VERSION,
        runtime=_runtime(),
        ipv6_module=os.path.exists("/proc/net/if_inet6"),
        ipv6_disabled_at_boot=_text("/sys/module/ipv6/parameters/disable") == "1",
        ipv6_disabled=_text("/proc/sys/net/ipv6/conf/all/disable_ipv6") == "1",
        ipv6_addresses=bool(_text("/proc/net/if_inet6")),
    )


def _text(path: str, missing: str = "") -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip(" \t\n\0")
    except OSError:
        return missing


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _status_fields() -> dict[str, str]:
    lines = (line.partition(":") for line in _text("/proc/self/status").splitlines())
    return {name: content.strip() for name, _, content in lines}


def _group_range(text: str) -> tuple[int, int] | None:
    numbers = text.split()
    return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else None


def _id_map(text: str) -> tuple[tuple[int, int, int], ...]:
    lines: Iterable[list[str]] = (line.split() for line in text.splitlines())
    return tuple((int(inside), int(outside), int(count)) for inside, outside, count in lines)


def _network_owned() -> bool:
    try:
        network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        from fcntl import ioctl

        owner = ioctl(network, _NS_GET_USERNS)
    except PermissionError:
        return False
    except OSError:
        # Kernels before 4.9 and gVisor cannot tell.
        return True
    finally:
        os.close(network)
    os.close(owner)
    return True


def _confinement(label: str) -> str:
    return "" if label in ("", "unconfined", "kernel") else label


def _runtime() -> str:
    # The marks alone do not tell: machines are made from container images too.
    if _link("/proc/self/ns/pid") == _INITIAL_PIDS:
        return ""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    for path, name in _RUNTIME_MARKS:
        if os.path.exists(path):
            return name
    return _text("/run/systemd/container") or os.environ.get("container", "")  # noqa: SIM112 - systemd spells it so
