"""Frames of a client into a server's session, and answers of a server into a client: nothing but `BadPacket`."""

from __future__ import annotations

from harness import fuzz
from hostile_packets import QuietHost

from pingsock.service import frames
from pingsock.service.frames import Answer, Message, Request
from pingsock.service.session import Session
from pingsock.stack.policy import Credentials
from pingsock.stack.sockaddr import pack_in
from pingsock.stack.stack import Stack
from pingsock.wire.errors import BadPacket

ECHO = Message(bytes((8, 0)) + bytes(62), ((0, 2, b"\1\0\0\0"),), 0, pack_in(bytes((10, 9, 0, 2))))
SEEDS = [
    b"",
    Request(frames.OPEN, 2, 2, 1).to_bytes(),
    Request(frames.BIND, body=pack_in(bytes(4), 7)).to_bytes(),
    Request(frames.CONNECT, body=pack_in(bytes((10, 9, 0, 2)), 1)).to_bytes(),
    Request(frames.SEND, 0, body=frames.messages_to_bytes([ECHO, ECHO])).to_bytes(),
    Request(frames.RECEIVE, 0x40, 2048, 512, frames.count_to_bytes(8)).to_bytes(),
    Request(frames.SETSOCKOPT, 0, 2, body=b"\x40\0\0\0").to_bytes(),
    Request(frames.GETSOCKOPT, 1, 8, 4).to_bytes(),
    Request(frames.SHUTDOWN, 1).to_bytes(),
    Request(frames.POLL).to_bytes(),
    Answer(frames.RECEIVE, 0, 1, frames.NO_ROOM, ECHO.to_bytes()).to_bytes(),
]
STACK = Stack(QuietHost(), lambda limit: limit // 2)  # type: ignore[arg-type]


def target(frame: bytes) -> None:
    session = Session(STACK, Credentials(), lambda: 1, lambda: None, lambda: None)
    session.handle_untrusted(Request(frames.OPEN, 2, 2, 1).to_bytes())
    try:
        answer = session.handle_untrusted(frame)
    except BadPacket:
        pass
    else:
        frames.parse_answer_untrusted(answer)
    finally:
        session.close()
    try:
        frames.parse_messages_untrusted(frames.parse_answer_untrusted(frame).body)
    except BadPacket:
        pass


if __name__ == "__main__":
    fuzz(target, SEEDS)
