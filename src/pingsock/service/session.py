"""One client at the server: its socket, and the requests on it.

Everything in a request is a stranger's. A request that breaks the protocol is BadPacket, and its connection ends; one
that asks for something impossible is answered with an errno, as a system call would be.
"""

from __future__ import annotations

from errno import EAGAIN, EBADF, EINVAL, EISCONN, EOPNOTSUPP

from pingsock.service import frames
from pingsock.service.frames import RECEIVE, Answer, Message, Request
from pingsock.stack.account import UNLIMITED
from pingsock.stack.failure import failure
from pingsock.wire.linux import AF_INET, MSG_DONTWAIT, MSG_ERRQUEUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pingsock.stack.account import Account
    from pingsock.stack.endpoint import Endpoint
    from pingsock.stack.policy import Credentials
    from pingsock.stack.stack import Stack

    Result = tuple[int, bytes]

MOST_SENT = 64
"""Messages of one SEND that are sent; its answer tells, so that the client sends the rest with another. In between the
others have their turn."""
ROOM_FOR_ONE_MORE = 128 * 1024
"""Body bytes from which a RECEIVE answer takes no further message: the largest still fits the frame."""


class Session:
    """One connection, which is one socket."""

    def __init__(
        self,
        stack: Stack,
        credentials: Credentials,
        realtime_ns: Callable[[], int],
        signal: Callable[[], None],
        drain: Callable[[], None],
        account: Account = UNLIMITED,
    ) -> None:
        """`signal` puts a byte into the client's readiness channel, `drain` takes out whatever is in it."""
        self._stack = stack
        self._credentials = credentials
        self._realtime_ns = realtime_ns
        self._signal = signal
        self._drain = drain
        self._account = account
        self._endpoint: Endpoint | None = None
        self._signalled: bool | None = False
        """None: an exception may have come between the channel and this note of it."""

    def handle_untrusted(self, frame: bytes) -> bytes:
        """Answer one request of another process.

        :raises BadPacket: the frame is none.
        """
        return self.handle(frames.parse_request_untrusted(frame)).to_bytes()

    def handle(self, request: Request) -> Answer:
        """Answer one request.

        :raises BadPacket: its body is none.
        """
        operation = request.operation
        messages: tuple[Message, ...] = ()
        errno, result, flags, body = 0, 0, 0, b""
        try:
            if operation == RECEIVE:
                messages = self._receive(request)
                result = len(messages)
            else:
                result, body = HANDLERS.get(operation, Session._not_here)(self, request)
        except OSError as error:
            result, errno = -1, error.errno or EINVAL
            flags = self._no_room(request, errno)
        self._settle()
        return Answer(operation, errno, result, flags, body, messages, request.number)

    def close(self) -> None:
        """The client is gone."""
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None
            self._signalled = False

    @property
    def _socket(self) -> Endpoint:
        if self._endpoint is None:
            raise failure(EBADF)
        return self._endpoint

    # Readiness

    def _settle(self) -> None:
        readable = self._endpoint is not None and self._endpoint.is_readable
        if readable is not self._signalled:
            self._signalled = None
            (self._signal if readable else self._drain)()
            self._signalled = readable

    def _no_room(self, request: Request, errno: int) -> int:
        """EAGAIN of a send means that no ident is free, or that no room is; only IPv4 waits for room."""
        if request.operation != frames.SEND or errno != EAGAIN or self._endpoint is None:
            return 0
        return frames.NO_ROOM if self._endpoint.ident and self._endpoint.family == AF_INET else 0

    # Operations

    def _open(self, request: Request) -> Result:
        if self._endpoint is not None:
            raise failure(EISCONN)
        self._endpoint = self._stack.socket(request.first, request.second, request.third, self._credentials)
        self._endpoint.account = self._account
        self._endpoint.watcher = self._settle
        return self._endpoint.number, b""

    def _bind(self, request: Request) -> Result:
        self._socket.bind(request.body)
        return 0, b""

    def _connect(self, request: Request) -> Result:
        self._socket.connect(request.body)
        return 0, b""

    def _send(self, request: Request) -> Result:
        endpoint, sent = self._socket, 0
        for message in (request.messages or frames.parse_messages_untrusted(request.body))[:MOST_SENT]:
            try:
                endpoint.sendmsg(message.data, message.address, message.items, request.first)
            except OSError:
                # As sendmmsg(2): an error is reported with the call that meets it first.
                if not sent:
                    raise
                break
            sent += 1
        return sent, b""

    def _receive(self, request: Request) -> tuple[Message, ...]:
        count = frames.parse_count_untrusted(request.body)
        flags, size, control_size = request.first, request.second, request.third
        if size < 0 or control_size < 0:
            raise failure(EINVAL)
        first = self._received(size, control_size, flags)
        return (first,) if count == 1 else (first, *self._more(first.size, count - 1, request))

    def _received(self, size: int, control_size: int, flags: int) -> Message:
        data, items, message_flags, name = self._socket.recvmsg(size, control_size, flags, self._realtime_ns())
        return Message(data, tuple(items), message_flags, name)

    def _more(self, taken: int, count: int, request: Request) -> Iterator[Message]:
        """What waits behind a first message, of which `taken` bytes of the answer are full."""
        from_error_queue = request.first & MSG_ERRQUEUE
        flags = request.first | (0 if from_error_queue else MSG_DONTWAIT)
        for _ in range(count):
            # As recvmmsg(2): an error is kept for the next call, which can report it.
            if taken >= ROOM_FOR_ONE_MORE or (self._socket.pending_error and not from_error_queue):
                return
            try:
                message = self._received(request.second, request.third, flags)
            except OSError:
                return
            yield message
            taken += message.size

    def _getsockname(self, _request: Request) -> Result:
        return 0, self._socket.getsockname()

    def _getpeername(self, _request: Request) -> Result:
        return 0, self._socket.getpeername()

    def _setsockopt(self, request: Request) -> Result:
        self._socket.setsockopt(request.first, request.second, request.body)
        return 0, b""

    def _getsockopt(self, request: Request) -> Result:
        if not 0 <= request.third <= frames.MAXIMUM_VALUE:
            raise failure(EINVAL)
        return 0, self._socket.getsockopt(request.first, request.second, request.third)

    def _shutdown(self, request: Request) -> Result:
        self._socket.shutdown(request.first)
        return 0, b""

    def _poll(self, _request: Request) -> Result:
        return self._socket.poll(), b""

    def _close(self, _request: Request) -> Result:
        self._socket.close()
        self._endpoint = None
        return 0, b""

    def _not_here(self, _request: Request) -> Result:
        """What a connection may ask, but not a socket."""
        raise failure(EOPNOTSUPP)


HANDLERS: dict[int, Callable[[Session, Request], Result]] = {
    frames.OPEN: Session._open,
    frames.BIND: Session._bind,
    frames.CONNECT: Session._connect,
    frames.SEND: Session._send,
    frames.GETSOCKNAME: Session._getsockname,
    frames.GETPEERNAME: Session._getpeername,
    frames.SETSOCKOPT: Session._setsockopt,
    frames.GETSOCKOPT: Session._getsockopt,
    frames.SHUTDOWN: Session._shutdown,
    frames.POLL: Session._poll,
    frames.CLOSE: Session._close,
}
