"""A ping socket that reads hundreds of replies by one system call, and accounts for them together.

Theory of operation
-------------------

What ordinary replies look like is known beforehand, all but checksum, sequence number and time. So a whole batch is
compared with an image of what it should be, into which checksums and sequence numbers were copied. If they are equal,
the batch is accounted for, column by column; in a third of the time if the replies came in the order in which one call
sent their probes, as they mostly do.

If not, each half of it is tried alone, and so on. A single message that is not ordinary is handed to the ledger, which
decides about it as in every other driver. So an odd message costs what it costs, and not the others.

Some facts about the identification of IPv4 packets
---------------------------------------------------

* The kernel takes it from a table as large as the processor's caches, at a place that depends on the addresses. With a
  new destination for each probe that is a fifteenth of all a round trip costs.
* A packet that is sent with IP_PMTUDISC_DO needs none, since nobody may fragment it (RFC 6864, section 4.1). Those of
  an ordinary socket, IP_PMTUDISC_WANT, are not to be fragmented either, but have one.

What this means here
--------------------

Probes so small that they fit everywhere are sent with IP_PMTUDISC_DO; until one does not fit, as this host or a router
says. What is under way then over such a path is lost, where an ordinary socket loses the first probe of each target,
and none if the kernel knew the path.
"""

from __future__ import annotations

import errno
import struct
from operator import itemgetter
from socket import ntohs

from pingsock.probe.batch_profile import CAPACITY, CHECKSUM_AT, SECONDS_OCTET, SEQUENCE_AT, SEQUENCE_NUMBERS
from pingsock.probe.batch_replies import Replies, ScatteredReplies
from pingsock.probe.channel import Channel
from pingsock.probe.clock import SECOND, read_clocks
from pingsock.probe.outcome import WAITING
from pingsock.probe.packed import WORD
from pingsock.probe.prober import NEVER_FRAGMENT
from pingsock.probe.records import IcmpError
from pingsock.sockets.mmsg import MessageImage, split_control
from pingsock.wire import linux, types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.probe.batch_ledger import BatchLedger, Group
    from pingsock.probe.batch_profile import Profile, ReplyBuffer
    from pingsock.probe.clock import Stepwatch
    from pingsock.probe.flow import Flow
    from pingsock.probe.records import Record, Stray
    from pingsock.sockets.choose import PingSocket

_ECHO_REPLY = {True: 0, False: 129}
_ICMP_HEADER = 8
_ALL_WAITING = (WAITING,) * CAPACITY
_FITS_EVERYWHERE = 100
"""Bytes of payload with which a packet, of 128 bytes then, fits into the MTU of every network in use."""
_TOO_BIG = types.ICMP4_DESTINATION_UNREACHABLE, types.FRAGMENTATION_NEEDED
_ROUNDS = 8
"""Batches read before it is looked whether something is due."""


class BatchChannel(Channel):
    """Reads replies in batches once it was told, by `expect`, what they look like."""

    def __init__(
        self,
        sock: PingSocket,
        ledger: BatchLedger,
        stepwatch: Stepwatch,
        hear: Callable[[Record | Stray], None],
        largest: int,
        hear_replies: Callable[[Replies], None],
        *,
        clocks: Callable[[], tuple[int, int]] = read_clocks,
    ) -> None:
        def hear_of_fragments(record: Record | Stray) -> None:
            if type(record) is IcmpError and (record.type, record.code) == _TOO_BIG:
                self.allow_fragments()
            hear(record)

        super().__init__(sock, ledger, stepwatch, hear_of_fragments, largest, clocks=clocks)
        self.batch_ledger = ledger
        self.stepwatch = stepwatch
        self.hear_replies = hear_replies
        self._profile: Profile | None = None
        self._longest = 0
        """Bytes of the longest probe so far, to which replies may come."""
        self.template = b""
        # Reading a stamp of each send costs a fifth of the rate; the times of sending are interpolated.
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING, 0)
        self._has_stamps = False
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPNS, 1)
        self._is_never_fragmented = largest <= _FITS_EVERYWHERE and _may_fragment(sock)
        if self._is_never_fragmented:
            sock.setsockopt(*NEVER_FRAGMENT[linux.AF_INET])

    def allow_fragments(self) -> bool:
        """Let probes be fragmented after all; False if they may be already, or nobody wants them to be."""
        if self._is_never_fragmented:
            self._is_never_fragmented = False
            self._exceeded_mtu = 0
            self.sock.setsockopt(linux.SOL_IP, linux.IP_MTU_DISCOVER, linux.IP_PMTUDISC_WANT)
            return True
        return False

    def send(self, flow: Flow, sequence: int, payload: bytes) -> int:
        """As `Channel.send`."""
        if _ICMP_HEADER + len(payload) > self._longest:
            # There is no room for the reply in the buffers that are in use.
            self._longest = _ICMP_HEADER + len(payload)
            self._profile = None
        failure = super().send(flow, sequence, payload)
        if failure == errno.EMSGSIZE and self.allow_fragments():
            return super().send(flow, sequence, payload)
        return failure

    def expect(self, profile: Profile) -> None:
        """Ordinary replies from now on are to such probes. The socket must have its identifier."""
        if self._profile is profile:
            return
        self._profile = profile
        self._longest = max(self._longest, profile.length)
        buffer = self._reply_buffer = profile.reply_buffer(self._longest)
        ident = self.sock.getsockname()[1]
        self.template = struct.pack(">BBHHH", _ECHO_REPLY[buffer.is_ipv4], 0, 0, ident, 0) + profile.payload
        self._image = MessageImage(buffer.batch, self.template)
        self._expected_checksums = self._image.column(CHECKSUM_AT, "H")
        self._expected_sequences = self._image.column(SEQUENCE_AT, "H")

    def collect(self, *, to_the_end: bool = False) -> bool:
        """As `Channel.collect`, in batches.

        A batch that is not full was the last one, unless an ICMP error came meanwhile: it ends a batch, too. Only what
        is read `to_the_end` is read until there is nothing left for sure.
        """
        if self._profile is None:
            return super().collect()
        buffer = self._reply_buffer
        for _ in range(_ROUNDS):
            try:
                count = buffer.batch.receive(self.sock.fileno(), linux.MSG_DONTWAIT)
            except OSError as error:
                # What woke us may be the error queue alone.
                self._read_error_queue()
                if error.errno == errno.EAGAIN:
                    return True
            else:
                if not self._accept_in_order(buffer, count):
                    _Batch(self, buffer, count).accept(0, count)
                if not self.ledger.waiting or (count < CAPACITY and not to_the_end):
                    return True
        return False

    def _accept_in_order(self, buffer: ReplyBuffer, count: int) -> bool:
        """Account for a batch of ordinary replies to neighbours in a group; if it is no such batch, say False."""
        # Whatever is called from here is called once for each few hundred replies, and counts.
        ledger, start = self.batch_ledger, ntohs(buffer.sequences[0])
        stop = start + count
        group = ledger.group_of(start)
        if group is None or not group.start <= start < stop <= group.start + group.count:
            return False
        seconds = buffer.batch.control_octets(SECONDS_OCTET, count)
        if not (
            ledger.all_wait(start, stop)
            and seconds == seconds[:1] * count
            and self._answer_group(buffer, group, start, stop)
        ):
            return False
        second, step = buffer.seconds[0], group.step
        sent = group.begin + (start - group.start) * step
        since = self.since_second(second, sent, buffer.nanoseconds[count - 1])
        if since is None:
            return False
        ledger.answered_in_order(start, stop)
        departures = range(since + sent, since + sent + count * step, step) if step else (since + sent,) * count
        self.hear_replies(
            Replies(
                group.block,
                group.number_of(start),
                range(start, stop),
                second,
                departures,
                *buffer.columns(count),
                self.template,
            )
        )
        return True

    def _answer_group(self, buffer: ReplyBuffer, group: Group, start: int, stop: int) -> bool:
        """Whether the first messages are ordinary but for their time, and answer these neighbours in a group."""
        profile, count = self._profile, stop - start
        # With a column, one of its probes may be somebody else's business by now, which only the column tells.
        if profile is not None and profile.group is group and not group.has_column:
            self._expect(buffer, 0, count, SEQUENCE_NUMBERS[start:stop])
            return buffer.batch.all_answer(profile.batch, start - group.start, self._image, count)
        return self.look_ordinary(buffer, 0, count, SEQUENCE_NUMBERS[start:stop]) and self.batch_ledger.went_to(
            group, start, stop, buffer.addresses
        )

    def _expect(self, buffer: ReplyBuffer, first: int, last: int, sequences: memoryview) -> None:
        """The messages from `first` to before `last` should have these sequence numbers."""
        self._expected_checksums[first:last] = buffer.checksums[first:last]
        self._expected_sequences[first:last] = sequences

    def look_ordinary(self, buffer: ReplyBuffer, first: int, last: int, sequences: memoryview) -> bool:
        """Whether the messages from `first` to before `last` are ordinary but for time and sender.

        They are if they are as long as they should be, and have the right type, payload and sequence numbers.
        """
        self._expect(buffer, first, last, sequences)
        return buffer.batch.are_ordinary(first, last) and buffer.batch.are_like(self._image, first, last)

    def since_second(self, second: int, begin: int, stamp: int) -> int | None:
        """What is to be added to a monotonic time to have it since that second of the realtime clock.

        None if a probe that was sent at `begin` may have been answered too late, or stamps are not to be believed, the
        last of which is `stamp` since that second.
        """
        now, calendar = self._look_at_clocks()
        offset = calendar - now - second * SECOND
        in_time = now - begin <= self.batch_ledger.timeout and stamp - offset <= now
        return offset if in_time and self.stepwatch.stepped_at <= begin else None

    def explains_failure(self) -> bool:
        """Read the error queue; whether an ICMP error in it is why the last call failed."""
        self._explained = False
        self._read_error_queue()
        return self._explained

    def hear_one_untrusted(
        self, message: bytes, items: list[tuple[int, int, bytes]], source: tuple[object, ...]
    ) -> None:
        """Let the ledger decide about one message."""
        self._reply_untrusted(message, items, source)


def _may_fragment(sock: PingSocket) -> bool:
    """Whether this is an IPv4 socket that looks for the path MTU, and fragments what exceeds it."""
    return (
        sock.family == linux.AF_INET and sock.getsockopt(linux.SOL_IP, linux.IP_MTU_DISCOVER) == linux.IP_PMTUDISC_WANT
    )


class _Batch:
    """What one call received, not quite ordinary, or not in order."""

    def __init__(self, channel: BatchChannel, buffer: ReplyBuffer, count: int) -> None:
        self._channel = channel
        self._ledger = channel.batch_ledger
        self._buffer = buffer
        self._second_octets = buffer.batch.control_octets(SECONDS_OCTET, count)
        self._stamps, self._hop_limits, self._checksums = buffer.columns(count)

    def accept(self, first: int, last: int) -> None:
        """Account for the messages from number `first` to before `last`."""
        if last - first > 1:
            if self._are_alike(first, last) and self._account(first, last):
                return
            middle = (first + last) // 2
            self.accept(first, middle)
            self.accept(middle, last)
        elif last > first:
            self._accept_one(first)

    def _are_alike(self, first: int, last: int) -> bool:
        """Whether all look ordinary, and were stamped in the same second."""
        seconds = self._second_octets[first:last]
        return seconds == seconds[:1] * (last - first) and self._channel.look_ordinary(
            self._buffer, first, last, self._buffer.sequences[first:last]
        )

    def _account(self, first: int, last: int) -> bool:
        """Account for these messages, if each answers a waiting probe of a group in time; else say False."""
        ledger, count = self._ledger, last - first
        sequences = [*map(ntohs, self._buffer.sequences[first:last].tolist())]
        pick = itemgetter(*sequences)
        if pick(ledger.probe_states) != _ALL_WAITING[:count] or len(set(sequences)) != count:
            return False
        groups = ledger.groups_of(sequences)
        if not groups:
            return False
        for column, sources in zip(ledger.addresses, self._buffer.addresses, strict=True):
            if pick(column) != tuple(sources[first:last].tolist()):
                return False
        times = [
            group.begin + (sequence - group.start) * group.step
            for group, sequence in zip(groups, sequences, strict=True)
        ]
        second = self._buffer.seconds[first]
        since = self._channel.since_second(second, min(times), self._buffer.nanoseconds[last - 1])
        if since is None:
            return False
        ledger.answered(sequences)
        self._channel.hear_replies(
            ScatteredReplies(
                groups,
                sequences,
                second,
                [since + sent for sent in times],
                self._stamps[first * WORD : last * WORD],
                self._hop_limits[first:last],
                self._checksums[2 * first : 2 * last],
                self._channel.template,
            )
        )
        return True

    def _accept_one(self, number: int) -> None:
        """Let the ledger decide about one message."""
        batch = self._buffer.batch
        items = split_control(batch.control(number))
        self._channel.hear_one_untrusted(batch.message(number), items, self._buffer.source(number))
