"""The probes of one socket: what is heard is matched with what was sent, and becomes a record.

Some facts about transmit stamps
--------------------------------

* A transmit stamp is queued before the packet reaches the wire, so it can be read before the reply.
* The first packets of a socket may lack one.

What this means here
--------------------

A round trip is the receive stamp minus the transmit stamp, if both exist, no clock was set in between, and it is not
longer than the time that passed on our monotonic clock. Next comes the monotonic clock, less the time the reply waited
to be read (realtime now minus the receive stamp). Nothing is ever read from a payload.

What is heard of a probe that is forgotten, or was never sent, is a stray.

All times are nanoseconds; `now` is on the monotonic clock, `calendar` on the realtime clock.
"""

from __future__ import annotations

from _socket import AF_INET

from pingsock.probe import outcome
from pingsock.probe.outcome import ANSWERED, ERRED, WAITING
from pingsock.probe.records import (
    BETWEEN_KERNEL_STAMPS,
    BY_OUR_CLOCK,
    NO_ECHO_REPLY,
    OTHER_SOURCE,
    OTHER_TOKEN,
    TO_KERNEL_STAMP,
    UNKNOWN_SEQUENCE,
    Duplicate,
    IcmpError,
    Stray,
)
from pingsock.probe.sent_probes import SentProbes
from pingsock.wire.echo import parse_echo_untrusted
from pingsock.wire.errors import BadPacket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.probe.clock import Stepwatch
    from pingsock.probe.flow import Flow
    from pingsock.probe.records import EchoReply, Note, Timeout
    from pingsock.probe.target import SocketAddress, Target
    from pingsock.sockets.ancillary import ExtendedError

_ICMP_HEADER = 8
_REQUEST, _REPLY = {True: 8, False: 128}, {True: 0, False: 129}


class Ledger(SentProbes):
    """What one socket sent, and what was heard of it.

    `token` begins the payload of every genuine reply; b"" if the probes carry none. The payload is compared with what
    was sent from byte `compared_from` on. With `any_source` replies count whoever sent them, with a mark, and whatever
    their code, as for iputils.
    """

    def __init__(
        self,
        family: int,
        stepwatch: Stepwatch,
        token: bytes,
        *,
        compared_from: int = 0,
        any_source: bool = False,
    ) -> None:
        super().__init__(stepwatch)
        self._is_ipv4 = family == AF_INET
        self._reply_type = _REPLY[self._is_ipv4]
        self._token = token
        self._compared_from = compared_from
        self._any_source = any_source

    # Replies

    def reply_untrusted(
        self, message: bytes, source: SocketAddress, stamp: int, hop_limit: int, now: int, calendar: int
    ) -> EchoReply | Stray:
        """A message was read at `now`; the kernel had stamped it `stamp` (0: it did not)."""
        sequence, flow, reason = self._match_untrusted(message, source)
        if flow is None:
            return Stray(sequence, source, message, reason)
        round_trip, timed = self.round_trip(sequence, stamp, now, calendar)
        sent = stamp - round_trip if timed is BETWEEN_KERNEL_STAMPS else self._sent_calendar(sequence)
        return self._answer(sequence, flow, sent, message, source, hop_limit, round_trip, timed)

    def _match_untrusted(self, message: bytes, source: SocketAddress) -> tuple[int, Flow | None, str]:
        """The sequence number, and whose probe it was, or why the message is no reply to one of ours."""
        try:
            kind, code, _, sequence = parse_echo_untrusted(message)
        except BadPacket:
            return 0, None, NO_ECHO_REPLY
        if kind != self._reply_type or (code and not self._any_source):
            return sequence, None, NO_ECHO_REPLY
        flow = self._flow(sequence)
        if flow is None:
            return sequence, None, UNKNOWN_SEQUENCE
        if not self._any_source and self._is_foreign(source, flow.target):
            return sequence, None, OTHER_SOURCE
        if not message.startswith(self._token, _ICMP_HEADER) and self._is_without_token(message, flow):
            return sequence, None, OTHER_TOKEN
        return sequence, flow, ""

    @staticmethod
    def _is_foreign(source: SocketAddress, target: Target) -> bool:
        """Whether another host than the target sent it, and none that answers in its place."""
        return source != target.address and not (target.answered_by_others or _same(source, target.address))

    def _is_without_token(self, message: bytes, flow: Flow) -> bool:
        return message[_ICMP_HEADER : _ICMP_HEADER + len(self._token)] != self._token[: len(flow.payload)]

    def round_trip(self, sequence: int, stamp: int, now: int, calendar: int) -> tuple[int, str]:
        """How long a reply that is read now took, and how that was measured."""
        sent_at, left = self.sent_at[sequence], self.left_at[sequence]
        elapsed = now - sent_at
        if not stamp or sent_at < self._stepwatch.stepped_at:
            return elapsed, BY_OUR_CLOCK
        if left and 0 <= stamp - left <= elapsed:
            return stamp - left, BETWEEN_KERNEL_STAMPS
        return elapsed - min(max(calendar - stamp, 0), elapsed), TO_KERNEL_STAMP

    def _answer(
        self,
        sequence: int,
        flow: Flow,
        sent_calendar: int,
        message: bytes,
        source: SocketAddress,
        hop_limit: int,
        round_trip: int,
        timed: str,
    ) -> EchoReply:
        state = self.states[sequence]
        if state == WAITING:
            self.waiting -= 1
        self.states[sequence] = ANSWERED
        received, sent = message[_ICMP_HEADER:], flow.payload
        return outcome.of_reply(state, late=self.sent_at[sequence] + round_trip > self.deadlines[sequence])(
            flow.target,
            self.numbers[sequence],
            sequence,
            sent_calendar,
            source,
            message,
            hop_limit,
            round_trip,
            timed,
            self._any_source and source != flow.target.address and self._is_foreign(source, flow.target),
            len(received) < len(sent),
            -1 if received == sent else self._altered_at(received, sent),
            outcome.REVISED[state],
        )

    def _altered_at(self, received: bytes, sent: bytes) -> int:
        size, start = min(len(received), len(sent)), self._compared_from
        if received[start:size] == sent[start:size]:
            return -1
        return next(at for at in range(start, size) if received[at] != sent[at])

    def take_back(self, reply: EchoReply) -> None:
        """A reply turned out not to be genuine: its probe is what it was before."""
        if isinstance(reply, Duplicate):
            return
        state = outcome.BEFORE[reply.revises]
        self.states[reply.sequence] = state
        if state == WAITING:
            self.waiting += 1

    # ICMP errors

    def reported_untrusted(
        self, quote: bytes, destination: SocketAddress, entry: ExtendedError, stamp: int, now: int, calendar: int
    ) -> IcmpError | Note | None:
        """An ICMP error about what begins with `quote`, sent to `destination`, was read at `now`.

        None if that is about none of our probes. The kernel had stamped the error `stamp` (0: it did not).
        """
        try:
            kind, _, _, sequence = parse_echo_untrusted(quote)
        except BadPacket:
            return None
        flow = self._flow(sequence)
        if flow is None or kind != _REQUEST[self._is_ipv4] or not _same(destination, flow.target.address):
            return None
        # Old routers quote no more than the ICMP header.
        quoted = quote[_ICMP_HEADER : _ICMP_HEADER + len(self._token)]
        if not self._token[: len(flow.payload)].startswith(quoted):
            return None
        return self._report(sequence, flow, entry, self.round_trip(sequence, stamp, now, calendar))

    def _report(self, sequence: int, flow: Flow, entry: ExtendedError, round_trip: tuple[int, str]) -> IcmpError | Note:
        state = self.states[sequence]
        kind = outcome.of_error(state, entry.type, is_ipv4=self._is_ipv4)
        reporter = (entry.offender, 0) if self._is_ipv4 else (entry.offender, 0, 0, entry.offender_scope)
        common = (
            flow.target,
            self.numbers[sequence],
            sequence,
            self._sent_calendar(sequence),
            reporter,
            entry.type,
            entry.code,
            entry.info,
            *round_trip,
        )
        if kind is not IcmpError:
            return kind(*common)
        self._become(sequence, ERRED)
        return IcmpError(*common, outcome.REVISED[state])

    # Silence

    def silence(self, sequence: int, *, dropped: bool, absent: int) -> Timeout:
        """The record of a silent probe; see `pingsock.probe.outcome`."""
        flow = self._flow(sequence)
        assert flow is not None
        waited = self.deadlines[sequence] - self.sent_at[sequence]
        kind = outcome.of_silence(dropped=dropped, absent=absent, waited=waited)
        return kind(flow.target, self.numbers[sequence], sequence, self._sent_calendar(sequence), waited)


def _same(left: SocketAddress, right: SocketAddress) -> bool:
    """Whether two socket addresses are one host; a scope that is not told (0) fits any."""
    if left[0] != right[0]:
        return False
    return len(left) < 4 or len(right) < 4 or left[3] == right[3] or not (left[3] and right[3])
