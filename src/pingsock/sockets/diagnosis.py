"""Which kinds of socket can be opened here, and for each that cannot, why and what would change that.

Theory of operation: every kind is opened for real and closed again; only the kernel knows what it allows. What it
refused is then explained from the errno and the `Surroundings`. Explaining does no I/O. A service is asked no more than
once for what it would refuse again: each time is a line of its audit, or a wait if it does not answer.
"""

from __future__ import annotations

import errno
import os
import socket

from pingsock.sockets import cures
from pingsock.sockets.kernel import PROTOCOLS, KernelPingSocket
from pingsock.sockets.surroundings import CAP_NET_RAW, GROUP_RANGE, Surroundings, read_surroundings
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from pingsock.sockets.choose import Refusals
    from pingsock.sockets.cures import Cure

    Finding = tuple[str, tuple[Cure, ...]]

FAMILY_NAMES = {int(socket.AF_INET): "IPv4", int(socket.AF_INET6): "IPv6"}


class KindDiagnosis(Value):
    """Whether one kind of socket can be opened for one address family."""

    name: str
    """"kernel", "borrowed", "served" or "embedded"."""
    family: int
    """AF_INET or AF_INET6."""
    usable: bool
    errno: int = 0
    """What the system said; 0 if usable."""
    reason: str = ""
    """Why it cannot be opened, or what limits one that can."""
    cures: tuple[Cure, ...] = ()
    """What would change that, the likeliest first."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "kind": self.name,
            "family": FAMILY_NAMES[self.family],
            "usable": self.usable,
            "errno": errno.errorcode.get(self.errno) if self.errno else None,
            "reason": self.reason,
            "cures": [cure.as_dict() for cure in self.cures],
        }


class Diagnosis(Value):
    """Every kind of socket, and the facts the reasons rest on."""

    kinds: tuple[KindDiagnosis, ...]
    surroundings: Surroundings

    @property
    def usable(self) -> bool:
        """At least one kind can be opened."""
        return any(kind.usable for kind in self.kinds)

    def short(self) -> str:
        """One to three lines: for a program that could not open a socket, or the kinds that can be opened."""
        if self.usable:
            return "can be opened: " + ", ".join(_with_families([kind for kind in self.kinds if kind.usable]))
        first = [*self._refused_by_service(), self.kinds[0]]
        reasons = dict.fromkeys(kind.reason for kind in first)
        lines = [f"no ping socket can be opened: {'; '.join(reasons)}"]
        lines += [f"to allow it{_in_parentheses(cure.note)}: {_one_line(cure.line)}" for cure in first[0].cures[:1]]
        return "\n".join([*lines, "more ways and reasons: pingsock doctor"])

    def _refused_by_service(self) -> list[KindDiagnosis]:
        """The last word of a service that is there, if there is one: whoever runs one means it to be used."""
        from pingsock.service.client import KINDS

        return [kind for kind in self.kinds if kind.name in KINDS and kind.errno not in _NO_SERVICE][-1:]

    def text(self) -> str:
        """The whole report."""
        blocks = [self._table(), *(_report(group) for group in _alike(self.kinds))]
        return "\n\n".join(block for block in blocks if block)

    def _table(self) -> str:
        rows = [f"{kind.name:<10}{FAMILY_NAMES[kind.family]:<6}{_state(kind)}" for kind in self.kinds]
        return "\n".join([f"Ping sockets for {_caller(self.surroundings)}:", "", *(f"  {row}" for row in rows)])

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `schema` counts up when a name changes its meaning or goes."""
        return {
            "schema": 1,
            "usable": self.usable,
            "kinds": [kind.as_dict() for kind in self.kinds],
            "surroundings": self.surroundings.as_dict(),
        }


def diagnose(family: int = 0) -> Diagnosis:
    """Try and explain every kind of socket for one address family, or for both."""
    around = read_surroundings()
    families = (family,) if family else tuple(PROTOCOLS)
    kinds: list[KindDiagnosis] = []
    refusals: list[tuple[str, OSError]] = []
    for name in OPENERS:
        for each in families:
            refusal = _refusal(name, each, refusals)
            if refusal is not None:
                refusals.append((name, refusal))
            kinds.append(_finding(name, each, refusal, around))
    return Diagnosis(tuple(kinds), around)


def diagnose_refusals(family: int, refusals: Refusals) -> Diagnosis:
    """Explain what `NoPingSocket` brought when one was opened for that family; nothing is tried again."""
    around = read_surroundings()
    return Diagnosis(tuple(_finding(name, family, refusal, around) for name, refusal in refusals), around)


def _finding(name: str, family: int, refusal: OSError | None, around: Surroundings) -> KindDiagnosis:
    if refusal is None:
        reason, remedies = _limits(family, around)
        return KindDiagnosis(name, family, True, 0, reason, remedies)
    number = refusal.errno or errno.EIO
    reason, remedies = explain(name, family, number, around)
    return KindDiagnosis(name, family, False, number, reason, remedies)


def _refusal(name: str, family: int, refusals: Iterable[tuple[str, OSError]]) -> OSError | None:
    """What is said to an attempt, or what the service has said to an earlier one and would say again."""
    from pingsock.service.client import standing_refusal

    if repeated := standing_refusal(name, refusals):
        return repeated
    try:
        OPENERS[name](family)
    except OSError as error:
        return error
    return None


def _open_kernel(family: int) -> None:
    with KernelPingSocket(family) as opened:
        # An identifier is taken only here; there are 65535 in a network namespace.
        opened.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 0))


def _open_raw(family: int) -> None:
    socket.socket(family, socket.SOCK_RAW, PROTOCOLS[family]).close()


def _borrow(family: int) -> None:
    from pingsock.service.client import borrow_kernel_socket

    borrow_kernel_socket(family).close()


def _open_served(family: int) -> None:
    from pingsock.service.client import connect_service
    from pingsock.sockets.served import ServedPingSocket

    ServedPingSocket(family, connect_service()).close()


OPENERS: dict[str, Callable[[int], None]] = {
    "kernel": _open_kernel,
    "borrowed": _borrow,
    "served": _open_served,
    "embedded": _open_raw,
}
"""How each kind is tried: for the embedded one its raw socket is enough, the layer itself needs no permission."""
_NO_SERVICE = (0, errno.ENOENT, errno.ENOTDIR)
"""Errnos that are not a service's answer."""


def explain(name: str, family: int, refusal: int, around: Surroundings) -> Finding:
    """Why opening a kind of socket failed with the errno `refusal`, and what would change that."""
    find = _FINDINGS.get((name, refusal)) or _FINDINGS.get(("", refusal))
    return find(family, around) if find is not None else (os.strerror(refusal), ())


def _limits(family: int, around: Surroundings) -> Finding:
    if family != socket.AF_INET6 or around.ipv6_addresses:
        return "", ()
    if around.ipv6_disabled:
        return "opens, but IPv6 is switched off: no interface has an address", (cures.ADDRESS_IPV6,)
    return "opens, but no interface has an IPv6 address", ()


def _group_refused(family: int, around: Surroundings) -> Finding:
    if around.group_range is None or (around.range_admits() and not around.range_is_unreadable):
        return _filtered(family, around)
    return _range_says(around), cures.open_range(around)


def _range_says(around: Surroundings) -> str:
    low, high = around.group_range or (1, 0)
    setting = f'{GROUP_RANGE} (for IPv6 too) is "{low} {high}"'
    if around.outside(around.gid) is None:
        return f"{setting}, and group {around.gid} is not mapped in this user namespace; run with one that is"
    if around.range_is_unreadable:
        return f"{setting}: most likely closed, its ends have no number in this user namespace{_own_groups(around)}"
    if low > high:
        return f"{setting}, which admits nobody, not even root{_own_groups(around)}"
    if around.range_seems_to_admit():
        outside = f"{around.outside(low)} to {around.outside(high)} with {around.outside(around.gid)}"
        return f"{setting}, and only seems to admit group {around.gid}: Linux compares ids outside, {outside}"
    return f"{setting}, which admits none of the groups of this process{_own_groups(around)}"


def _own_groups(around: Surroundings) -> str:
    others = f", others {', '.join(map(str, around.groups))}" if around.groups else ""
    outer = "" if around.network_owned else f", {around.outside(around.gid)} where the network namespace belongs"
    return f" (group {around.gid}{outer}{others})"


def _no_raw(family: int, around: Surroundings) -> Finding:
    if not around.network_owned:
        return "raw sockets need CAP_NET_RAW where the network namespace belongs, in another user namespace", ()
    if around.can_use(CAP_NET_RAW):
        return _filtered(family, around)
    limits = "" if around.can_get(CAP_NET_RAW) else ", and its bounding set keeps it from ever having it"
    files = " (no_new_privs is set, so file capabilities do nothing)" if around.no_new_privileges else ""
    return f"raw sockets need CAP_NET_RAW, which this process does not have{limits}{files}", cures.give_raw(around)


def _filtered(_family: int, around: Surroundings) -> Finding:
    suspects = [
        *(["gVisor, which has its own rules"] if around.gvisor else []),
        *(["the seccomp filter on this process (Seccomp: 2 in /proc/self/status)"] if around.seccomp_filter else []),
        *([f'the security module (label "{around.confinement}")'] if around.confinement else []),
    ]
    known = " or ".join(suspects) or "a security module or a cgroup's eBPF program"
    missing = "" if around.group_range else f" {GROUP_RANGE} cannot be read here."
    return f"Linux itself would allow it; {known} refused.{missing}", ()


def _no_service(_family: int, _around: Surroundings) -> Finding:
    from pingsock.service.client import service_paths

    return f"no service listens at {' or '.join(service_paths())}", cures.START_SERVICE


def _service_left_behind(_family: int, _around: Surroundings) -> Finding:
    return "the service has ended and left its path behind", cures.START_SERVICE


def _service_refuses(_family: int, around: Surroundings) -> Finding:
    refused = f"a service is there, but lets neither user {around.uid} nor one of its groups have sockets"
    other = ", or the seccomp filter on this process refused to ask it" if around.seccomp_filter else ""
    return refused + other, cures.permit_in_service(around)


def _service_hands_nothing_over(_family: int, _around: Surroundings) -> Finding:
    return "a service is there, but hands no sockets of the kernel over: it gets none, or its rules forbid it", ()


def _service_serves_nothing(_family: int, _around: Surroundings) -> Finding:
    return "a service is there and serves no sockets itself: it was started without CAP_NET_RAW", ()


def _service_quota(_family: int, _around: Surroundings) -> Finding:
    own = f"this process has its {os.sysconf('SC_OPEN_MAX')} file descriptors open"
    return (
        f"this user has all the sockets that the service gives one user (quota.sockets), or {own}",
        cures.MORE_OF_SERVICE,
    )


def _service_full(_family: int, _around: Surroundings) -> Finding:
    return "the service has as many sockets open as its limit of file descriptors allows", ()


def _service_silent(_family: int, _around: Surroundings) -> Finding:
    return "a service listens but does not answer; see its journal", cures.RESTART_SERVICE


def _no_family(family: int, around: Surroundings) -> Finding:
    if family == socket.AF_INET6 and around.ipv6_disabled_at_boot:
        return "IPv6 was switched off at boot (ipv6.disable=1)", (cures.ENABLE_IPV6,)
    if family == socket.AF_INET6 and not around.ipv6_module:
        return "this kernel has no IPv6", ()
    if around.seccomp_filter:
        return "a seccomp filter keeps this process from the address family", (cures.ALLOW_FAMILIES,)
    return f"this kernel has no {FAMILY_NAMES[family]}", ()


def _no_protocol(family: int, _around: Surroundings) -> Finding:
    since = {socket.AF_INET: "3.0", socket.AF_INET6: "3.11"}
    return f"this kernel has no ping sockets (Linux has them since {since[socket.AddressFamily(family)]})", ()


def _no_identifier(_family: int, _around: Surroundings) -> Finding:
    return "all 65535 identifiers of this network namespace are taken; close some ping sockets", ()


def _no_descriptor(_family: int, _around: Surroundings) -> Finding:
    return f"this process has its {os.sysconf('SC_OPEN_MAX')} file descriptors open already", (cures.MORE_DESCRIPTORS,)


def _no_more_files(_family: int, _around: Surroundings) -> Finding:
    return "the whole system has run out of file descriptors (fs.file-max)", ()


_SERVICE_FINDINGS: dict[int, Callable[[int, Surroundings], Finding]] = {
    errno.ENOENT: _no_service,
    errno.ENOTDIR: _no_service,
    errno.ECONNREFUSED: _service_left_behind,
    errno.EACCES: _service_refuses,
    errno.EPERM: _filtered,
    errno.EMFILE: _service_quota,
    errno.ENFILE: _service_full,
    errno.ETIMEDOUT: _service_silent,
    errno.ECONNRESET: _service_silent,
}
_FINDINGS: dict[tuple[str, int], Callable[[int, Surroundings], Finding]] = {
    ("kernel", errno.EACCES): _group_refused,
    ("kernel", errno.EPERM): _filtered,
    ("kernel", errno.EPROTONOSUPPORT): _no_protocol,
    ("kernel", errno.EADDRINUSE): _no_identifier,
    **{(name, number): find for name in ("borrowed", "served") for number, find in _SERVICE_FINDINGS.items()},
    ("borrowed", errno.EOPNOTSUPP): _service_hands_nothing_over,
    ("served", errno.EOPNOTSUPP): _service_serves_nothing,
    ("embedded", errno.EPERM): _no_raw,
    ("embedded", errno.EACCES): _filtered,
    ("", errno.ENOSYS): _filtered,
    ("", errno.EAFNOSUPPORT): _no_family,
    ("", errno.EMFILE): _no_descriptor,
    ("", errno.ENFILE): _no_more_files,
}


def _alike(kinds: Iterable[KindDiagnosis]) -> list[list[KindDiagnosis]]:
    groups: dict[tuple[str, tuple[Cure, ...]], list[KindDiagnosis]] = {}
    for kind in kinds:
        if kind.reason:
            groups.setdefault((kind.reason, kind.cures), []).append(kind)
    return list(groups.values())


def _report(group: list[KindDiagnosis]) -> str:
    heading = ", ".join(_with_families(group))
    lines = _wrapped(f"{heading}: {group[0].reason}.")
    if group[0].cures:
        lines.append("  What would change that:")
    for cure in group[0].cures:
        lines.append(f"  - {cure.place}{_in_parentheses(cure.note)}:")
        lines += [f"      {line}" for line in cure.line.splitlines()]
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    from textwrap import wrap

    return wrap(text, 100, break_long_words=False, break_on_hyphens=False)


def _with_families(kinds: Iterable[KindDiagnosis]) -> list[str]:
    families: dict[str, list[str]] = {}
    for kind in kinds:
        families.setdefault(kind.name, []).append(FAMILY_NAMES[kind.family])
    return [f"{name} ({', '.join(names)})" for name, names in families.items()]


def _state(kind: KindDiagnosis) -> str:
    return "yes" if kind.usable else f"no: {os.strerror(kind.errno)}"


def _caller(around: Surroundings) -> str:
    others = f" and {', '.join(map(str, around.groups))}" if around.groups else ""
    place = f", in {around.runtime}" if around.runtime else ""
    return f"uid {around.uid}, group {around.gid}{others}{place}"


def _in_parentheses(note: str) -> str:
    return f" ({note})" if note else ""


def _one_line(line: str) -> str:
    return " ".join(line.split())
