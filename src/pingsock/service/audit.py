"""One line for each refusal, so many a minute for each user; the next line says how many had none."""

from __future__ import annotations

import select
from errno import errorcode
from os import write

from pingsock.stack.policy import Credentials
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.service.users import User


class Caller(Value):
    """Who is at the other end of a connection, as the kernel says: they were so when they connected."""

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    def credentials(self) -> Credentials:
        """For the stack. Nobody is more to a service than an ordinary user: what root may, root can do without it."""
        return Credentials(self.uid, self.gid, self.groups)

    def __str__(self) -> str:
        return f"uid={self.uid} gid={self.gid} pid={self.pid}"


class Audit:
    """Writes lines, and counts refusals by what was refused."""

    def __init__(self, write_line: Callable[[str], None]) -> None:
        self._write_line = write_line
        self.refusals: dict[str, int] = {}

    def refuse(self, caller: Caller, user: User, what: str, errno: int, reason: str) -> None:
        """Somebody was refused `what` ("socket", "send") with `errno`."""
        self.refusals[what] = self.refusals.get(what, 0) + 1
        user.refusals += 1
        if not user.audit_allowance.take():
            user.lines_missing += 1
            return
        missing, user.lines_missing = user.lines_missing, 0
        suppressed = f" suppressed={missing}" if missing else ""
        name = errorcode.get(errno, str(errno))
        self._write_line(f'refused {what} {caller} errno={name} reason="{reason}"{suppressed}')


def standard_error(prefix: str = "pingsockd: ") -> Callable[[str], None]:
    """What writes lines to standard error, and loses them where nobody reads: a full pipe must not stop a service."""
    poller = select.poll()
    poller.register(2, select.POLLOUT)

    def write_line(line: str) -> None:
        try:
            if any(events & select.POLLOUT for _, events in poller.poll(0)):
                write(2, f"{prefix}{line}\n".encode(errors="backslashreplace"))
        except OSError:
            pass

    return write_line
