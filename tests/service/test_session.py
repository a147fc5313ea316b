"""One client at the server, seen through its frames."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from pingsock.service import frames
from pingsock.service.frames import Answer, Message, Request
from pingsock.service.session import Session
from pingsock.stack.policy import Credentials
from pingsock.stack.sockaddr import pack_in
from pingsock.wire.errors import BadPacket
from pingsock.wire.linux import MSG_DONTWAIT
from stack.quiet import FAR, arriving, make_stack

if TYPE_CHECKING:
    from collections.abc import Callable

OPEN_V4 = Request(frames.OPEN, 2, 2, 1)
ECHO = Message(bytes((8, 0)) + bytes(14), address=pack_in(FAR))
BROKEN = Message(bytes((9, 0)) + bytes(14), address=pack_in(FAR))


class Client:
    """A session, with its readiness channel as a count of bytes."""

    def __init__(self) -> None:
        self.stack, self.host = make_stack()
        self.ready = 0
        self.interrupt_at = ""
        self._session = Session(self.stack, Credentials(), lambda: 1, self._signal, self._drain)
        self.close = self._session.close

    def _signal(self) -> None:
        self._maybe_interrupt("before signal")
        self.ready += 1
        self._maybe_interrupt("after signal")

    def _drain(self) -> None:
        self._maybe_interrupt("before drain")
        self.ready = 0
        self._maybe_interrupt("after drain")

    def _maybe_interrupt(self, where: str) -> None:
        if self.interrupt_at == where:
            self.interrupt_at = ""
            raise KeyboardInterrupt

    def ask(self, request: Request) -> Answer:
        return frames.parse_answer_untrusted(self._session.handle_untrusted(request.to_bytes()))

    def receive(self, count: int) -> Answer:
        return self.ask(Request(frames.RECEIVE, MSG_DONTWAIT, 2048, 512, frames.count_to_bytes(count)))


@pytest.fixture
def client() -> Client:
    client = Client()
    client.ask(OPEN_V4)
    client.ask(Request(frames.BIND, body=pack_in(bytes(4), 77)))
    return client


NOT_OF_A_SOCKET = {frames.BORROW, frames.STATUS}


@pytest.mark.parametrize("operation", sorted(NOT_OF_A_SOCKET))
def test_a_session_is_a_socket_and_nothing_else(client: Client, operation: int) -> None:
    assert client.ask(Request(operation)).errno == errno.EOPNOTSUPP


def test_a_socket_closed_by_request_frees_its_ident_and_can_be_followed_by_another(client: Client) -> None:
    client.stack.deliver_untrusted(arriving(0, 77), 2, 1)
    assert client.ask(Request(frames.CLOSE)).errno == 0
    assert (client.ready, client.ask(Request(frames.POLL)).errno) == (0, errno.EBADF)
    assert not client.stack.idents.idents()
    assert client.ask(OPEN_V4).errno == 0


def test_an_answer_repeats_the_number_of_its_request(client: Client) -> None:
    assert client.ask(Request(frames.POLL, number=4294967295)).number == 4294967295


@pytest.mark.parametrize("operation", sorted(frames.OPERATIONS - {frames.OPEN} - NOT_OF_A_SOCKET))
def test_nothing_works_before_a_socket_is_open(operation: int) -> None:
    assert (
        Client().ask(Request(operation, body=frames.count_to_bytes(1) * (operation == frames.RECEIVE))).errno
        == errno.EBADF
    )


def test_a_connection_has_one_socket(client: Client) -> None:
    assert client.ask(OPEN_V4).errno == errno.EISCONN


def test_a_frame_of_several_messages_is_sent_in_order(client: Client) -> None:
    assert client.ask(Request(frames.SEND, body=frames.messages_to_bytes([ECHO] * 3))).result == 3
    assert len(client.host.sent) == 3


def test_a_send_ends_before_the_first_message_that_fails(client: Client) -> None:
    answer = client.ask(Request(frames.SEND, body=frames.messages_to_bytes([ECHO, BROKEN, ECHO])))
    assert (answer.errno, answer.result, len(client.host.sent)) == (0, 1, 1)


def test_a_send_whose_first_message_fails_says_why(client: Client) -> None:
    assert client.ask(Request(frames.SEND, body=BROKEN.to_bytes())).errno == errno.EINVAL


def test_a_receive_takes_as_many_as_it_asks_for(client: Client) -> None:
    for _ in range(5):
        client.stack.deliver_untrusted(arriving(0, 77), 2, 1)
    assert [client.receive(3).result, client.receive(3).result, client.receive(3).errno] == [3, 2, errno.EAGAIN]


def test_a_batch_that_meets_an_error_leaves_it_for_the_next_call(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    (endpoint,) = client.stack.idents.owners(77)
    take = endpoint.recvmsg

    def take_and_fail(*arguments: int) -> object:
        received = take(*arguments)
        endpoint.set_pending_error(errno.EHOSTUNREACH)
        return received

    monkeypatch.setattr(endpoint, "recvmsg", take_and_fail)
    client.stack.deliver_untrusted(arriving(0, 77), 2, 1)
    assert (client.receive(8).result, client.receive(8).errno) == (1, errno.EHOSTUNREACH)


def test_one_byte_of_readiness_is_there_exactly_while_something_waits(client: Client) -> None:
    seen = [client.ready]
    for _ in range(2):
        client.stack.deliver_untrusted(arriving(0, 77), 2, 1)
        seen.append(client.ready)
    for _ in range(2):
        client.receive(1)
        seen.append(client.ready)
    assert seen == [0, 1, 1, 1, 0]


def ends_in_interrupt(client: Client, act: Callable[[], object], where: str) -> None:
    client.interrupt_at = where
    with pytest.raises(KeyboardInterrupt):
        act()


@pytest.mark.parametrize("where", ["before signal", "after signal"])
def test_readiness_is_right_again_after_a_signal_that_was_interrupted(client: Client, where: str) -> None:
    ends_in_interrupt(client, lambda: client.stack.deliver_untrusted(arriving(0, 77), 2, 1), where)
    client.ask(Request(frames.POLL))
    assert client.ready
    client.receive(1)
    assert not client.ready


@pytest.mark.parametrize("where", ["before drain", "after drain"])
def test_readiness_is_right_again_after_a_drain_that_was_interrupted(client: Client, where: str) -> None:
    client.stack.deliver_untrusted(arriving(0, 77), 2, 1)
    ends_in_interrupt(client, lambda: client.receive(1), where)
    client.ask(Request(frames.POLL))
    assert not client.ready
    client.stack.deliver_untrusted(arriving(0, 77), 2, 1)
    assert client.ready


def test_a_closed_client_frees_its_ident(client: Client) -> None:
    client.close()
    assert not client.stack.idents.idents()


@pytest.mark.parametrize("sizes", [(-1, 0), (0, -1)])
def test_negative_sizes_are_refused(client: Client, sizes: tuple[int, int]) -> None:
    request = Request(frames.RECEIVE, MSG_DONTWAIT, *sizes, frames.count_to_bytes(1))
    assert client.ask(request).errno == errno.EINVAL


def test_a_broken_body_ends_the_session(client: Client) -> None:
    with pytest.raises(BadPacket):
        client.ask(Request(frames.SEND, body=b"\0"))
