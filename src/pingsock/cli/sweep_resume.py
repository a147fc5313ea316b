"""The file in which a sweep keeps what is done, so that the same command goes on after an interruption.

One JSON object, replaced as a whole:

    pingsock_sweep   1, the version of this form
    command          the command line, for people
    digest           differs if targets, exclusions or their order differ
    seed             of a random order, else null
    mark, beyond     all positions before `mark` are done, and those in `beyond`
    counts           of the targets that are done, by state
"""

from __future__ import annotations

import json
import os

from pingsock.cli.arguments import Refused
from pingsock.cli.sweep_options import BAD_COMMAND_LINE
from pingsock.tools.sweep_results import STATES, UNRESOLVED, Finished
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SYSTEM_CALL_FAILED = 4
_VERSION = 1
_COUNTED = {*STATES, UNRESOLVED}


class State(Value):
    """What such a file says."""

    command: str
    digest: str
    seed: int | None
    mark: int
    beyond: tuple[int, ...]
    counts: dict[str, int]

    @property
    def finished(self) -> Finished:
        """What is done."""
        return Finished(self.mark, self.beyond)


def read_state(path: str) -> State | None:
    """What the file says; None if there is none.

    :raises Refused: it is another file, or cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", BAD_COMMAND_LINE) from error
    except (ValueError, RecursionError) as error:
        raise _no_state(path) from error
    return _checked(content, path)


def _checked(content: Any, path: str) -> State:
    try:
        known = content.pop("pingsock_sweep") == _VERSION
        state = State(**content | {"beyond": tuple(content["beyond"])})
        numbers = (state.mark, *state.beyond, *state.counts.values(), state.seed or 0)
        known = known and all(type(number) is int and number >= 0 for number in numbers)
        known = known and state.counts.keys() <= _COUNTED
        known = known and isinstance(state.digest, str) and isinstance(state.command, str)
    except (TypeError, KeyError, AttributeError) as error:
        raise _no_state(path) from error
    if not known:
        raise _no_state(path)
    return state


def _no_state(path: str) -> Refused:
    return Refused(f"{path} is not the state of a sweep; name another file", BAD_COMMAND_LINE)


def check_same(state: State, digest: str, count: int, path: str) -> None:
    """See that the state is of these targets, so many, in this order.

    :raises Refused: it is not.
    """
    if state.digest != digest:
        raise Refused(
            f"{path} is of another sweep, or its lists have changed since: {state.command};"
            " repeat that command to go on, or remove the file to begin anew",
            BAD_COMMAND_LINE,
        )
    if max(state.mark, *(position + 1 for position in state.beyond), 0) > count:
        raise _no_state(path)


def write_state(path: str, state: State) -> None:
    """Replace the file: whatever happens, it is the old or the new one. OSError if that is impossible."""
    content = {"pingsock_sweep": _VERSION, **state.as_dict()}
    # A link stays one.
    path = os.path.realpath(path)
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.new")
    descriptor = _created(temporary)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _created(path: str) -> int:
    """A new file for nobody else; what a sweep that was killed has left there is removed, so one is left at most."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
