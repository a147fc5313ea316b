"""Any order of what clients do: the server keeps what its clients have, and nothing else."""

from __future__ import annotations

import math
import os
import shutil
import socket
import tempfile
from errno import EMFILE
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from pingsock.service import frames
from pingsock.service.configuration import parse_configuration
from pingsock.service.frames import Answer, Message, Request, parse_answer_untrusted
from pingsock.service.server import Server
from pingsock.stack.sockaddr import pack_in
from pingsock.wire.linux import MSG_DONTWAIT
from stack.quiet import FAR, QuietHost, arriving

ECHO = Message(bytes((8, 0)) + bytes(14), address=pack_in(FAR))
TIMESTAMP = Message(bytes((13, 0)) + bytes(14), address=pack_in(FAR))
QUOTA = 4


class QuietLink(QuietHost):
    """A host that keeps what is sent, as the link of a server."""

    guard: Any = None
    receiver: Any = None

    def attach(self, receiver: object) -> None:
        self.receiver = receiver

    def update_idents(self, idents: object) -> None: ...
    def want_types(self, replies: object) -> None: ...
    def close(self) -> None: ...
    def receives_first(self) -> None: ...
    def filenos(self) -> list[int]:
        return []

    def dropped(self) -> int:
        return 0

    def transmit(self, packet: Any) -> None:
        self.guard(packet)
        super().transmit(packet)


class Client:
    """What one client believes."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.descriptors: list[int] = []
        self.open = False
        self.ident = 0
        self.waiting = 0

    def close(self) -> None:
        self.channel.close()
        for descriptor in self.descriptors:
            os.close(descriptor)


class ServerStates(RuleBasedStateMachine):
    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp(prefix="pingsock-states-")
        self.path = f"{self.directory}/s"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(self.path)
        listener.listen(64)
        self.link = QuietLink()
        self.lines: list[str] = []
        self.server = Server(listener, self.link, self.configured(), self.lines.append)  # type: ignore[arg-type]
        self.server.longest_turn = math.inf
        self.alive: list[Client] = []

    @staticmethod
    def configured(messages: str = '["echo"]') -> Any:
        uid = os.getuid()
        return parse_configuration(
            f"access.users = [{uid}]\nquota.sockets = {QUOTA}\npermit.messages = {messages}\npermit.hand_over = false"
        )

    def turns(self) -> None:
        for _ in range(4):
            self.server.turn(0)

    def ask(self, client: Client, request: Request) -> Answer:
        client.channel.send(request.to_bytes())
        self.turns()
        frame, descriptors, _, _ = socket.recv_fds(client.channel, frames.MAXIMUM_FRAME, 1)
        client.descriptors += descriptors
        return parse_answer_untrusted(frame)

    @rule(target=clients)
    def connect(self) -> Client:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel.connect(self.path)
        channel.setblocking(False)
        client = Client(channel)
        # Whoever runs this administers the server, and has some connections more.
        full = len(self.alive) >= QUOTA + 8
        self.turns()
        if full:
            answer = parse_answer_untrusted(channel.recv(100))
            assert (answer.operation, answer.errno) == (frames.GOODBYE, EMFILE)
            client.close()
        else:
            self.alive.append(client)
        return client

    @rule(client=clients)
    def open_socket(self, client: Client) -> None:
        if client in self.alive:
            assert bool(self.ask(client, Request(frames.OPEN, 2, 2, 1)).errno) is client.open
            client.open = True

    @rule(client=clients, message=st.sampled_from([ECHO, TIMESTAMP]), count=st.integers(1, 3))
    def send(self, client: Client, message: Message, count: int) -> None:
        if client not in self.alive or not client.open:
            return
        before = len(self.link.sent)
        answer = self.ask(client, Request(frames.SEND, body=message.to_bytes() * count))
        client.ident = int.from_bytes(self.ask(client, Request(frames.GETSOCKNAME)).body[2:4], "big")
        assert client.ident
        permitted = message is ECHO or "timestamp" in self.server._configuration.messages
        assert (answer.result, len(self.link.sent) - before) == ((count, count) if permitted else (-1, 0))

    @rule(client=clients, count=st.integers(1, 3))
    def reply(self, client: Client, count: int) -> None:
        if client in self.alive and client.ident:
            for _ in range(count):
                self.link.receiver.deliver_untrusted(arriving(0, client.ident), 2, 1)
            client.waiting += count

    @rule(client=clients, count=st.integers(1, 4))
    def receive(self, client: Client, count: int) -> None:
        if client in self.alive and client.open:
            request = Request(frames.RECEIVE, MSG_DONTWAIT, 100, 0, frames.count_to_bytes(count))
            answer = self.ask(client, request)
            taken = min(count, client.waiting)
            assert answer.result == (taken or -1)
            client.waiting -= taken

    @rule(client=clients)
    def close_socket(self, client: Client) -> None:
        if client in self.alive and client.open:
            assert self.ask(client, Request(frames.CLOSE)).errno == 0
            client.open, client.ident, client.waiting = False, 0, 0

    @rule(client=clients, garbage=st.binary(max_size=40))
    def break_the_protocol(self, client: Client, garbage: bytes) -> None:
        if client in self.alive:
            client.channel.send(bytes((200,)) + garbage)
            self.die(client)

    @rule(client=consumes(clients), request=st.sampled_from([ECHO, None]))
    def die_in_the_middle(self, client: Client, request: Message | None) -> None:
        if client in self.alive:
            if request is not None:
                client.channel.send(Request(frames.SEND, body=request.to_bytes()).to_bytes())
            client.channel.close()
            self.die(client)

    def die(self, client: Client) -> None:
        self.alive.remove(client)
        client.close()
        self.turns()

    @rule(messages=st.sampled_from(['["echo"]', '["echo", "timestamp"]']))
    def reload(self, messages: str) -> None:
        self.server.reload(self.configured(messages))

    @invariant()
    def the_server_has_what_its_clients_have(self) -> None:
        status = self.server.status()
        assert status["connections"] == len(self.alive)
        assert status["idents"] == len({client.ident for client in self.alive if client.ident})
        assert (status["queued_bytes"] > 0) is any(client.waiting for client in self.alive)

    @invariant()
    def a_readiness_channel_is_readable_exactly_while_something_waits(self) -> None:
        for client in self.alive:
            if client.descriptors:
                with socket.socket(fileno=os.dup(client.descriptors[0])) as readiness:
                    readiness.setblocking(False)
                    try:
                        found = readiness.recv(10, socket.MSG_PEEK)
                    except BlockingIOError:
                        found = b""
                assert found == b"\0" * (client.waiting > 0)

    def teardown(self) -> None:
        for client in self.alive:
            client.close()
        self.server.close()
        shutil.rmtree(self.directory)
        assert not [line for line in self.lines if line.startswith("closed")]


ServerStates.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestServerStates = ServerStates.TestCase
