"""What keeps a service from doing harm should its code be turned against it, and what of it is in force here.

The capabilities and the user go in any case (`privileges`). On top of that come a filter of system calls and Landlock,
each of which a kernel or a container may not have: then `auto` goes on without, and `required` does not.
"""

from __future__ import annotations

import os
import resource

from pingsock.service import landlock, seccomp
from pingsock.service.privileges import CAPABILITY_SETS, capabilities

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REQUIRED, AUTO, OFF = MODES = ("required", "auto", "off")


class NoSandbox(Exception):
    """The sandbox that is required cannot be had; the text says what is missing."""


def enter(mode: str) -> dict[str, Any]:
    """Lock this process in as far as `mode` says; what is in force then, as plain data.

    :raises NoSandbox: something is missing, and the mode is "required".
    """
    landlocked, filtered = "off", "off"
    if mode != OFF:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        landlocked = _landlock()
        filtered = _seccomp()
    if mode == REQUIRED and filtered != "on":
        raise NoSandbox(f"--sandbox=required: no filter of system calls: {filtered}")
    return {
        "uid": os.geteuid(),
        "gid": os.getegid(),
        "capabilities": {name: f"{bits:x}" for name, bits in capabilities().items() if name in CAPABILITY_SETS},
        "seccomp": filtered,
        "landlock": landlocked,
    }


def _landlock() -> str:
    try:
        return f"version {landlock.forbid_changes()}"
    except OSError as error:
        return f"none ({error.strerror})"


def _seccomp() -> str:
    try:
        seccomp.install()
    except KeyError:
        return f"none (no numbers of system calls for {os.uname().machine})"
    except OSError as error:
        return f"none ({error.strerror})"
    return "on"
