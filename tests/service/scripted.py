"""A service that does what its test says, for the client's half alone."""

from __future__ import annotations

import array
import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from pingsock.service import frames
from pingsock.service.frames import Answer, Request, parse_request_untrusted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Script = Callable[["Far"], None]


class Far:
    """The server's end of one connection."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel

    def request(self) -> Request:
        return parse_request_untrusted(self.channel.recv(frames.MAXIMUM_FRAME))

    def answer(self, request: Request, *, descriptor: int = -1, **fields: object) -> None:
        answer = Answer(request.operation, number=request.number).replace(**fields)
        self.send(answer.to_bytes(), descriptor)

    def send(self, frame: bytes, descriptor: int = -1) -> None:
        carried = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))] if descriptor >= 0 else []
        self.channel.sendmsg([frame], carried)


@contextlib.contextmanager
def scripted_service(path: Path, *scripts: Script) -> Iterator[str]:
    """Listens at `path`; each connection gets the next script, and hangs up when it has returned."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    listener.listen()
    failures: list[BaseException] = []

    def serve() -> None:
        for script in scripts:
            channel, _ = listener.accept()
            with channel:
                try:
                    script(Far(channel))
                except BaseException as error:
                    failures.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield str(path)
    finally:
        thread.join(5)
        listener.close()
        path.unlink()
    assert not failures, failures
