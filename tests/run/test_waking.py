"""Of many calls that wait on one socket, those are tried for which there is something."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from pingsock.run.supervisor import Supervisor

if TYPE_CHECKING:
    from pingsock.run.call import Waiting
    from pingsock.run.served_file import ServedFile


class File:
    """As much of a served socket as counts here."""

    def __init__(self, messages: int) -> None:
        self.messages = messages
        self.channel = SimpleNamespace(add=lambda _events: None)

    @property
    def is_readable(self) -> bool:
        return self.messages > 0

    def events(self) -> int:
        return 0


class Waking(Supervisor):
    """Each call that is tried takes a message."""

    def __init__(self, *files: File) -> None:
        calls = [SimpleNamespace(call=SimpleNamespace(file=file)) for file in files]
        self._waiting = cast("dict[int, Waiting]", dict(enumerate(calls)))
        self.tried: list[Waiting] = []

    def _try_again(self, waiting: Waiting) -> None:
        self.tried.append(waiting)
        cast("File", waiting.call.file).messages -= 1

    def wake(self, file: File) -> int:
        """How many calls were tried."""
        self._wake(cast("ServedFile", file))
        return len(self.tried)


def test_two_messages_for_many_calls_are_asked_for_twice() -> None:
    file = File(2)

    assert Waking(*[file] * 100).wake(file) == 2


def test_calls_on_other_sockets_are_not_tried() -> None:
    file = File(5)

    assert Waking(File(5), file, File(5)).wake(file) == 1
