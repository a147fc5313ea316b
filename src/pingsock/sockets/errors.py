"""What can go wrong in a call of this library, beyond what the operating system says with an OSError.

A failing system call stays an OSError with the kernel's errno, whichever kind of socket it was made on.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_SHOWN = 200


class PingsockError(Exception):
    """Base of the exceptions this library raises itself."""


class NoPingSocket(PingsockError):
    """No kind of ping socket can be opened here.

    `pingsock.sockets.diagnosis.diagnose()`, and `pingsock doctor` in a terminal, find the reasons and the cures.
    """

    refusals: tuple[tuple[str, OSError], ...]
    """For each kind of socket tried, in that order, its name and what the system said."""

    def __init__(self, refusals: Iterable[tuple[str, OSError]]) -> None:
        self.refusals = tuple(refusals)
        super().__init__(self.refusals)

    def __str__(self) -> str:
        said = "; ".join(f"{kind}: {refusal.strerror or refusal}" for kind, refusal in self.refusals)
        return f"no kind of ping socket can be opened here ({said}); `pingsock doctor` tells why and how to change that"


class InvalidArgument(PingsockError, ValueError):
    """An argument is not what the call can work with."""

    name: str
    """The argument's name."""
    value: object
    """What was given."""
    requirement: str
    """What it must be, as the end of a sentence: "from 0 to 65507"."""

    def __init__(self, name: str, value: object, requirement: str) -> None:
        self.name = name
        self.value = value
        self.requirement = requirement
        super().__init__(name, value, requirement)

    def __str__(self) -> str:
        return f"{self.name} must be {self.requirement}, not {shown(self.value)}"


def shown(value: object) -> str:
    """What somebody gave, as part of a sentence: bounded, whatever it is."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - anything may come out of a foreign repr(), and integers can be too long for it
        return f"this {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
