"""Giving up what a service does not need any more: user, groups, capabilities.

Some facts about giving up
--------------------------
* The bounding set can only be cut down with CAP_SETPCAP, groups and users changed with CAP_SETGID and CAP_SETUID: each
  before the capability itself goes.
* A process that was root and changes all its user ids loses its capabilities; one that stays what it was keeps them
  until it says otherwise. The ambient set goes with the permitted one.
* Without capabilities, uid 0 still owns the files of root, and gets capabilities back with execve(2), unless
  no_new_privs is set and the bounding set is empty.
"""

from __future__ import annotations

import os
import struct
from errno import EINVAL, EPERM

from pingsock.service.calls import capset, prctl
from pingsock.wire.value import Value

PR_CAPBSET_DROP, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 24, 4, 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
"""linux/prctl.h"""
MOST_CAPABILITIES = 64
_CAPABILITY_VERSION_3 = 0x20080522
CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
"""Their names in /proc/self/status."""


class Identity(Value):
    """Who a service runs as."""

    uid: int
    gid: int


def identity_of(name: str) -> Identity:
    """A user by name, with the group it belongs to, or "UID:GID". LookupError if there is none."""
    uid, _, gid = name.partition(":")
    if uid.isdecimal() and gid.isdecimal():
        return Identity(int(uid), int(gid))
    from pwd import getpwnam

    try:
        entry = getpwnam(name)
    except KeyError as error:
        raise LookupError(f"there is no user {name!r}") from error
    return Identity(entry.pw_uid, entry.pw_gid)


def give_up(identity: Identity | None) -> None:
    """Become somebody, without other groups, and keep no capability in any set.

    With None the process stays who it is. OSError if the user cannot be changed, or a capability is left.
    """
    _empty_bounding_set()
    if identity is not None:
        os.setgroups([])
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    capset(struct.pack("=II", _CAPABILITY_VERSION_3, 0), bytes(24))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_DUMPABLE, 0)
    left = [name for name in CAPABILITY_SETS if name != "CapBnd" and capabilities()[name]]
    if left:
        raise OSError(EPERM, f"capabilities are left in {', '.join(left)}")


def _empty_bounding_set() -> None:
    for capability in range(MOST_CAPABILITIES):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            # Without CAP_SETPCAP it stays, and is of no use: no_new_privs. EINVAL: no more capabilities.
            if error.errno in (EINVAL, EPERM):
                return
            raise


def capabilities() -> dict[str, int]:
    """The capability sets of this process by their name in /proc/self/status, one bit each."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        fields = dict(line.split(":", 1) for line in file if line.startswith("Cap"))
    return {name: int(fields[name], 16) for name in CAPABILITY_SETS if name in fields}
