"""The event loop a call runs in, asyncio's or trio's, and what waiting in either takes."""

from __future__ import annotations

import sys
from functools import partial

from pingsock.sockets.errors import PingsockError
from pingsock.tools import intake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

    from pingsock.probe.aio import Event, Runtime
    from pingsock.probe.target import Target
    from pingsock.tools.arguments import Aim


def running() -> Runtime:
    """That of the running loop. RuntimeError if there is none."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        from pingsock.probe.trio import TrioRuntime

        return TrioRuntime()
    from pingsock.probe.aio import AsyncioRuntime

    return AsyncioRuntime()


async def first_target(runtime: Runtime, aim: Aim, host: str | Target) -> Target:
    """As `intake.first_target`; a name is looked up in a thread."""
    known = intake.known_target(aim, host)
    if known is not None:
        return known
    return await runtime.in_thread(partial(intake.first_target, aim, host))


def same_loop(loop: Hashable, runtime: Runtime) -> None:
    """PingsockError if the running loop is another one."""
    if loop != runtime.loop():
        raise PingsockError("this object belongs to another event loop; make a new one")


class Waiting:
    """Tasks that wait for something to arrive."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.loop = runtime.loop()
        self._event: Event | None = None

    async def arrival(self) -> None:
        """Wait for the next `ring`."""
        if self._event is None:
            self._event = self.runtime.event()
        await self._event.wait()

    def ring(self) -> None:
        """Let all who wait look again."""
        event, self._event = self._event, None
        if event is not None:
            event.set()
