"""The service itself: many clients, one stack, one thread, one loop.

Theory of operation: an epoll says who has something; users are heard in turn, and of each one client after the other
has one request answered, after what the link has brought. Nothing waits for anybody. What one client does wrong ends
its own connection.

Some facts about order
----------------------
* In a kernel a call sees everything that arrived before it.
* What one epoll_wait(2) reports was there when it returned, and whatever had come before what it reports is reported
  too, unless it reports as much as it may.
* Each socket of a kernel has a buffer of its own for replies. Here those for all clients come through one buffer, and
  without CAP_NET_ADMIN that holds five hundred small ones. A reply of this very host is there when its request is sent.

What this means here
--------------------
What the link has brought is taken first in each turn, once for all requests of the turn; and again as soon as the
replies to what was sent since might fill a part of its buffer. A turn is short, and who is not heard in it is in a
later one: whoever has just come with their first request is not behind all that one user's many clients have asked.

Some facts about accepting connections
--------------------------------------
* Whoever connects waits in the backlog until accepted, with nothing of ours spent on them but a descriptor.
* Where descriptors run out, accept(2) fails and the listening socket stays readable: a loop would spin.

What this means here
--------------------
Connections are limited before descriptors are; who is refused is told why in a goodbye and costs nothing afterwards.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time
from errno import EACCES, EAFNOSUPPORT, EOPNOTSUPP, EPERM
from functools import partial

from pingsock.link.raw_receive import BATCH
from pingsock.service.admission import Admission
from pingsock.service.audit import Audit, Caller
from pingsock.service.embedded import random_below
from pingsock.service.guard import Forbidden, Rules
from pingsock.service.peer import Peer, peer_credentials, say_goodbye
from pingsock.service.rights import close_untrusted, hurried
from pingsock.service.turns import Turns
from pingsock.service.users import Users
from pingsock.stack.endpoint import charge_for
from pingsock.stack.failure import failure
from pingsock.stack.stack import PROTOCOLS, Stack
from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pingsock.service.configuration import Configuration
    from pingsock.service.guard import GuardedLink
    from pingsock.wire.transit import Outbound

ACCEPTED_A_TURN = 16
MOST_EVENTS = 1023
"""That epoll reports at once."""
MOST_BATCHES = 16
"""Of arrivals taken at once from one socket of the link: more than a socket holds, but not a flood without end."""
ANSWERED_IN_A_TURN = 64
REPLIES_IN_ONE_GO = 64 << 10
"""Bytes of receive buffer, for replies, after which the link is looked at again. Its smallest buffer has six times as
much room, of which one request, the next, may need four."""
ACCEPT_PAUSE = 0.1
"""Seconds without accepting after accept(2) has failed."""
MOST_USERS_SHOWN = 500


class Server:
    """Lends ping sockets to whoever connects to `listener` and may have them."""

    longest_turn = 0.002
    """Seconds after which no further request is begun in a turn: a single one may send many messages."""

    def __init__(
        self,
        listener: socket.socket,
        link: GuardedLink | None,
        configuration: Configuration,
        write_line: Callable[[str], None],
        facts: dict[str, Any] | None = None,
        limit: int | None = None,
    ) -> None:
        """Owns listener and link from now on. Without a link nothing is served, only handed over.

        `limit`: connections there may be, by default what descriptors allow. `facts` are shown with the status.
        """
        self._listener = listener
        self._link = link
        self._configuration = configuration
        self._facts = facts or {}
        self._started = time.monotonic()
        self._reloads = 0
        self._accepted = 0
        self._stopping = False
        self._write_line = write_line
        self._audit = Audit(write_line)
        self._admission = Admission(configuration, self._audit, limit)
        self._users = Users(configuration, time.monotonic)
        self._peers: dict[int, Peer] = {}
        self._turns = Turns()
        self._asking: Peer | None = None
        self._replies_due = 0
        self._accept_again = 0.0
        self._inputs: dict[int, Callable[[], object]] = {}
        self._epoll = select.epoll()
        self._hang_ups = select.epoll()
        """All connections, without their requests: to look through those of one user would take everybody's time."""
        self._arrivals = select.poll()
        self._stack = None if link is None else self._start_stack(link)
        self._listener.setblocking(False)
        self.watch(listener.fileno(), self._accept)

    def _start_stack(self, link: GuardedLink) -> Stack:
        stack = Stack(link, random_below, self._configuration.policy())
        link.attach(stack)
        stack.on_idents_changed = link.update_idents
        link.update_idents(stack.idents.idents())
        link.want_types(stack.pairs.replies)
        link.receives_first()
        link.guard = self._guard
        self._rules = Rules(self._configuration, link.address_kind)
        for fileno in link.filenos():
            self.watch(fileno, partial(self._receive, fileno))
            self._arrivals.register(fileno, select.POLLIN)
        return stack

    def watch(self, fileno: int, call: Callable[[], object]) -> None:
        """Call this function whenever a descriptor is readable."""
        self._inputs[fileno] = call
        self._epoll.register(fileno, select.EPOLLIN)

    # The loop

    def serve(self) -> None:
        """Until `stop`."""
        while not self._stopping:
            self.turn(None)

    def turn(self, timeout: float | None) -> None:
        """Wait, at most so many seconds, and do what there is to do."""
        if self._accept_again:
            timeout = min(timeout or ACCEPT_PAUSE, ACCEPT_PAUSE)
        events = self._epoll.poll(0 if self._turns else timeout, MOST_EVENTS)
        for fileno, _ in events:
            if (peer := self._peers.get(fileno)) is not None:
                self._turns.add(peer)
        for fileno, _ in events:
            if (call := self._inputs.get(fileno)) is not None:
                call()
        if len(events) == MOST_EVENTS:
            self._take_arrivals()
        self._hear()
        if self._accept_again and time.monotonic() >= self._accept_again:
            self._accept_again = 0.0
            self._epoll.register(self._listener.fileno(), select.EPOLLIN)

    def _hear(self) -> None:
        until = time.monotonic() + self.longest_turn
        for _ in range(ANSWERED_IN_A_TURN):
            if not self._turns:
                return
            peer = self._turns.take()
            if self._peers.get(peer.channel.fileno()) is peer:
                self._serve(peer)
            if self._replies_due >= REPLIES_IN_ONE_GO:
                self._take_arrivals()
            if time.monotonic() >= until:
                return

    def _take_arrivals(self) -> None:
        self._replies_due = 0
        for fileno, _ in self._arrivals.poll(0):
            self._receive(fileno)

    def _receive(self, fileno: int) -> None:
        assert self._link is not None
        for _ in range(MOST_BATCHES):
            if self._link.receive(fileno) < BATCH:
                break

    def _serve(self, peer: Peer) -> None:
        self._asking = peer
        is_blocked = bool(peer.unsent)
        try:
            alive = self._flush(peer) if peer.unsent else peer.read()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other clients go on
            self._write_line(f"closed {peer.caller}: {type(error).__name__}: {error}")
            alive = False
        finally:
            self._asking = None
        if not alive:
            self._end(peer)
        elif is_blocked or peer.unsent:
            self._epoll.modify(peer.channel.fileno(), select.EPOLLOUT if peer.unsent else select.EPOLLIN)

    def _flush(self, peer: Peer) -> bool:
        if not peer.flush():
            return False
        if peer.unsent:
            return True
        # The next request may be younger than what this turn began with.
        self._take_arrivals()
        return peer.read()

    def stop(self) -> None:
        """Leave `serve` after this turn."""
        self._stopping = True

    def close(self) -> None:
        """End every connection, which its client notices, and give everything up."""
        for peer in tuple(self._peers.values()):
            self._end(peer)
        with hurried():
            self._listener.close()
        self._epoll.close()
        self._hang_ups.close()
        if self._stack is not None:
            self._stack.on_idents_changed = None
        if self._link is not None:
            self._link.close()

    # Connections

    def _accept(self) -> None:
        for _ in range(ACCEPTED_A_TURN):
            try:
                channel, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._write_line(f"cannot accept connections: {error.strerror}")
                self._epoll.unregister(self._listener.fileno())
                self._accept_again = time.monotonic() + ACCEPT_PAUSE
                return
            self._admit(channel)

    def _admit(self, channel: socket.socket) -> None:
        self._accepted += 1
        try:
            caller = Caller(*peer_credentials(channel))
        except OSError:
            close_untrusted(channel)
            return
        user = self._users[caller.uid]
        while (refusal := self._admission.refusal(caller, user, len(self._peers))) is not None:
            errno, reason = refusal
            # In a kernel a socket that is closed makes room at once.
            if errno == EACCES or not self._end_hung_up():
                self._audit.refuse(caller, user, "socket", errno, reason)
                say_goodbye(channel, errno)
                return
        channel.setblocking(False)
        peer = Peer(channel, caller, user, self)
        user.connections += 1
        self._peers[channel.fileno()] = peer
        self._epoll.register(channel.fileno(), select.EPOLLIN)
        self._hang_ups.register(channel.fileno(), 0)

    def _end_hung_up(self) -> bool:
        """End a connection its client has closed, be there unread requests or not; False if there is none."""
        if events := self._hang_ups.poll(0, 1):
            self._end(self._peers[events[0][0]])
        return bool(events)

    def _end(self, peer: Peer) -> None:
        del self._peers[peer.channel.fileno()]
        peer.user.connections -= 1
        peer.user.lent -= peer.is_lease
        peer.end()

    # What connections ask for

    def stack_for(self, peer: Peer) -> Stack:
        """The stack that serves a client's socket. EACCES, or EOPNOTSUPP if none are served."""
        self._admission.require_let_in(peer)
        if self._stack is None:
            raise failure(EOPNOTSUPP)
        return self._stack

    def lend(self, peer: Peer, family: int) -> socket.socket:
        """A socket of the kernel for a client, exclusive: nobody can come to share its ident.

        EACCES; EAFNOSUPPORT; EOPNOTSUPP if there is something to enforce, or the kernel lets us open none.
        """
        self._admission.require_let_in(peer)
        if family not in PROTOCOLS:
            raise failure(EAFNOSUPPORT)
        if not self._configuration.leaves_all_to_the_kernel:
            raise failure(EOPNOTSUPP)
        try:
            lent = socket.socket(family, socket.SOCK_DGRAM, PROTOCOLS[family])
        except PermissionError as error:
            raise failure(EOPNOTSUPP) from error
        lent.setsockopt(linux.SOL_SOCKET, linux.SO_REUSEADDR, 0)
        peer.user.lent += 1
        return lent

    def _guard(self, packet: Outbound) -> None:
        peer = self._asking
        if peer is None:
            raise failure(EPERM)
        try:
            self._rules.check(packet, peer.user)
        except Forbidden as forbidden:
            self._audit.refuse(peer.caller, peer.user, "send", forbidden.errno, forbidden.reason)
            raise failure(forbidden.errno) from forbidden
        self._replies_due += charge_for(len(packet.message))

    # Configuration and status

    def reload(self, configuration: Configuration) -> None:
        """Let another configuration rule from now on. Open sockets stay open, and obey it with their next packet."""
        self._configuration = self._admission.configuration = configuration
        self._users.obey(configuration)
        if self._stack is not None and self._link is not None:
            self._stack.apply_policy(configuration.policy())
            self._link.want_types(self._stack.pairs.replies)
            self._rules = Rules(configuration, self._link.address_kind)
        self._reloads += 1

    def status_for(self, peer: Peer) -> bytes:
        """The status as JSON. EACCES for anybody but root and the service's own user."""
        self._admission.require_administrator(peer)
        return json.dumps(self.status()).encode()

    def status(self) -> dict[str, Any]:
        """What the service does and has done, as plain data.

        `schema` counts up when a name changes its meaning or goes.
        """
        users = self._users.by_packets()
        return {
            "schema": 1,
            **self._facts,
            "pid": os.getpid(),
            "uptime_seconds": round(time.monotonic() - self._started, 3),
            "reloads": self._reloads,
            "connections": len(self._peers),
            "connections_limit": self._admission.limit,
            "connections_accepted": self._accepted,
            "handed_over": sum(user.lent for user in users),
            "idents": 0 if self._stack is None else len(self._stack.idents.idents()),
            "queued_bytes": sum(user.account.queued for user in users),
            "packets": sum(user.packets for user in users),
            "packets_lost_unread": 0 if self._link is None else self._link.dropped(),
            "refusals": self._audit.refusals,
            "users": [user.as_dict() for user in users[:MOST_USERS_SHOWN]],
        }
