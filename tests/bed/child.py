"""Running a function in a forked process, possibly as somebody else."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import resource
import signal
import traceback
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_CAPABILITY_VERSION_3 = 0x20080522
NOBODY = 65534


@dataclass(frozen=True)
class Credentials:
    """Who somebody is. `capable`: has every capability."""

    uid: int = NOBODY
    gid: int = NOBODY
    groups: tuple[int, ...] = field(default=())
    capable: bool = False


class FailedInChild(AssertionError):
    """The function failed in the child; the text is its traceback."""


def _drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def can_change_user() -> bool:
    """Whether this process may become any user: not so in a user namespace with a single id."""
    with open("/proc/self/uid_map") as mapping:
        return os.geteuid() == 0 and sum(int(line.split()[2]) for line in mapping) > NOBODY


def become(who: Credentials) -> None:
    """Change this process for good. With only one user id at hand, at least the capabilities go."""
    if can_change_user():
        os.setgroups(who.groups)
        os.setresgid(who.gid, who.gid, who.gid)
        if not who.capable:
            os.setresuid(who.uid, who.uid, who.uid)
    if not who.capable:
        _drop_capabilities()


def fork() -> int:
    """fork(2); the warning about other threads is no concern of a child that only makes system calls."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def in_child(function: Callable[[], T], who: Credentials | None = None) -> T:
    """The function's result, computed in a forked process; its exception if it is an OSError."""
    reader, writer = os.pipe()
    pid = fork()
    if pid == 0:
        try:
            os.close(reader)
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(_answer(function, who))
        finally:
            # Whatever happens, even if nobody reads any more: a child that got out of here would go on with the tests.
            os._exit(0)
    os.close(writer)
    result: T = _unwrap(_read_all(reader, pid))
    return result


def _answer(function: Callable[[], object], who: Credentials | None) -> bytes:
    try:
        if who is not None:
            become(who)
        return pickle.dumps(("result", function()))
    except OSError as err:
        return pickle.dumps(("error", err))
    except BaseException:
        return pickle.dumps(("failed", traceback.format_exc()))


def _read_all(reader: int, pid: int) -> bytes:
    """What the child writes until its end; it ends with the wait for it, if that is broken off."""
    try:
        with os.fdopen(reader, "rb") as pipe:
            return pipe.read()
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.waitpid(pid, 0)


def _unwrap(answer: bytes) -> Any:
    content: Any
    outcome, content = pickle.loads(answer) if answer else ("failed", "the child died without an answer")
    if outcome == "failed":
        raise FailedInChild(content)
    if isinstance(content, OSError) and outcome == "error":
        raise content
    return content


@contextlib.contextmanager
def holding(make: Callable[[], object]) -> Iterator[None]:
    """A child holds what `make` returned, until the block ends."""
    ready_reader, ready_writer = os.pipe()
    end_reader, end_writer = os.pipe()
    pid = fork()
    if pid == 0:
        os.close(end_writer)
        _hold(make, ready_writer, end_reader)
    os.close(ready_writer)
    os.close(end_reader)
    ready = os.read(ready_reader, 1)
    os.close(ready_reader)
    try:
        if not ready:
            raise FailedInChild("the child could not get what it should hold")
        yield
    finally:
        os.close(end_writer)
        os.waitpid(pid, 0)


def _hold(make: Callable[[], object], ready: int, end: int) -> NoReturn:
    try:
        held = make()
        os.write(ready, b"!")
        os.read(end, 1)
        del held
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def allow_descriptors(count: int) -> None:
    """Raise this process's limit of open descriptors as far as `count`; OSError or ValueError if it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
