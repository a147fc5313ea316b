"""A ping socket at work for a prober: sends probes, and hands to the ledger all that arrives.

Some facts about ping sockets with their error queue on
-------------------------------------------------------

* An ICMP error that nobody has read yet, a mere redirect too, makes the **next send or receive fail once**, with the
  errno of that error. A program that takes this for a failed send counts every other probe as lost.
* The same queue holds ICMP errors (origin 2 and 3), what this host itself refused (origin 1) and transmit time stamps
  (origin 4). poll() reports POLLERR until it is empty, so a reader that only receives never sleeps again.
* Everything queued is charged to the receive buffer, a transmit stamp as much as a small reply. When that is full,
  what arrives is dropped, and only the drop counter of SO_MEMINFO tells. Stamps and errors are not even counted, and
  the errno of an error that was dropped still fails the next send or receive.
* What one reply is charged depends on its size alone, in steps (`pingsock.probe.flow.charge`).

What this means here
--------------------

When a send fails, the error queue is read and the send repeated, as long as the queue explains the failure; and once
more if it does not, since only a refusal of this host's own comes twice. EAGAIN is no ICMP error's errno: the send
buffer is full.

A transmit stamp is queued before the reply to its probe. So replies are read first and the queue after them, and what
the queue says is heard first: then no reply is without its stamp. Time is read once for all replies that were read
together, after them: a reply never seems to have arrived later than it was read.

What comes with every ordinary probe, a stamp and a reply, is read by the shortest way; all else by the thorough one.
The origin of an entry is looked at before its type.
"""

from __future__ import annotations

import errno
from _socket import AF_INET
from os import strerror
from struct import Struct

from pingsock.probe.clock import read_clocks
from pingsock.probe.flow import charge
from pingsock.sockets.ancillary import (
    CONTROL_BYTES,
    key_and_transmit_stamp,
    read_ancillary_untrusted,
    stamp_and_hop_limit,
)
from pingsock.wire import linux
from pingsock.wire.echo import echo_request
from pingsock.wire.errors import BadPacket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.probe.clock import Stepwatch
    from pingsock.probe.flow import Flow
    from pingsock.probe.ledger import Ledger
    from pingsock.probe.records import Record, Stray
    from pingsock.sockets.ancillary import Ancillary, ExtendedError
    from pingsock.sockets.choose import PingSocket

    Hear = Callable[[Record | Stray], None]
    Items = list[tuple[int, int, bytes]]
    Received = tuple[bytes, Items, int, tuple[object, ...]]
    ReceiveMany = Callable[[int, int, int, int], list[Received]]

_ICMP_HEADER = 8
_QUOTE_BYTES = 64
_LARGER_REPLY = 128
"""Room for replies that are longer than their probe; more is cut off."""
_READ_AT_ONCE = 256
"""What the default receive buffer holds. After as many it is looked whether a probe is due."""
_SEND_ATTEMPTS = 8
_FROM_QUEUE = linux.MSG_ERRQUEUE | linux.MSG_DONTWAIT
_REPORTERS = (linux.SO_EE_ORIGIN_ICMP, linux.SO_EE_ORIGIN_ICMP6)
_HOP_LIMIT_WANTED = {
    True: (linux.SOL_IP, linux.IP_RECVTTL),
    False: (linux.SOL_IPV6, linux.IPV6_RECVHOPLIMIT),
}
_MEMINFO = Struct(f"={linux.SK_MEMINFO_DROPS + 1}I")


class Channel:
    """Probes out over one ping socket, which is made non-blocking; everything that arrives to its ledger.

    The socket should have been opened as `open_ping_socket` does: error queue on, time stamps on. `hear` is called
    with each record the ledger makes. `largest` is the most bytes of payload a probe will have. `clocks` is for tests.
    """

    def __init__(
        self,
        sock: PingSocket,
        ledger: Ledger,
        stepwatch: Stepwatch,
        hear: Hear,
        largest: int,
        *,
        clocks: Callable[[], tuple[int, int]] = read_clocks,
    ) -> None:
        self.sock = sock
        self.ledger = ledger
        self._stepwatch = stepwatch
        self._hear = hear
        self._clocks = clocks
        self._family = int(sock.family)
        # A call on a served socket goes to another process and back, so it should bring all there is.
        self._receive_many: ReceiveMany | None = getattr(sock, "recvmsg_many", None)
        self._largest_reply = _ICMP_HEADER + largest + _LARGER_REPLY
        self._explained = False
        self._failure_text = ""
        self._exceeded_mtu = 0
        self._items: Items | None = None
        self.last_sent_at = 0
        """Monotonic nanoseconds just before the last send."""
        sock.setblocking(False)
        sock.setsockopt(*_HOP_LIMIT_WANTED[self._family == AF_INET], 1)
        self._restart_keys()

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()

    # Room

    def reserve(self, replies: int, size: int, stamps: int = 0) -> int:
        """Ask for a receive buffer for so many replies with `size` bytes of payload; returns for how many it is.

        There is room for so many unread transmit `stamps` beside them. Larger replies are cut from now on.
        """
        self._largest_reply = _ICMP_HEADER + size + _LARGER_REPLY
        needed = replies * charge(size) + stamps * charge(0)
        held = self._buffer()
        if held < needed:
            self.sock.setsockopt(linux.SOL_SOCKET, linux.SO_RCVBUF, min(needed, 2**31 - 1))
            held = self._buffer()
        return max(1, (held - stamps * charge(0)) // charge(size))

    def _buffer(self) -> int:
        held: int = self.sock.getsockopt(linux.SOL_SOCKET, linux.SO_RCVBUF)
        return held

    def drops(self) -> int:
        """How many packets the socket has dropped since it was opened; 0 where that cannot be told."""
        try:
            answer = self.sock.getsockopt(linux.SOL_SOCKET, linux.SO_MEMINFO, _MEMINFO.size)
        except OSError:
            return 0
        if len(answer) < _MEMINFO.size:
            return 0
        number: int = _MEMINFO.unpack(answer)[linux.SK_MEMINFO_DROPS]
        return number

    # Sending

    def send(self, flow: Flow, sequence: int, payload: bytes) -> int:
        """Send a probe. 0, or the errno with which this host refused it."""
        message = echo_request(self._family, 0, sequence, payload)
        failure = self._try_to_send(message, flow)
        return self._send_again(message, flow, failure) if failure else 0

    def _send_again(self, message: bytes, flow: Flow, failure: int) -> int:
        """After a failure, which may be the errno of an ICMP error about another probe."""
        before = attempts = 0
        while failure != errno.EAGAIN and attempts < _SEND_ATTEMPTS - 1:
            self._explained = False
            self._read_error_queue()
            if not self._explained and failure == before:
                break
            before, failure = failure, self._try_to_send(message, flow)
            if not failure:
                return 0
            attempts += 1
        if self._has_stamps:
            self._restart_keys()
        return failure

    def _try_to_send(self, message: bytes, flow: Flow) -> int:
        self.last_sent_at, calendar = self._clocks()
        self._stepwatch.show(self.last_sent_at, calendar)
        try:
            if flow.control:
                self.sock.sendmsg((message,), flow.control, 0, flow.target.address)
            else:
                self.sock.sendto(message, flow.target.address)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def exceeded_mtu(self) -> int:
        """The MTU that the last probe refused with EMSGSIZE exceeded, bytes of IP packet; 0 if unknown. Told once."""
        mtu, self._exceeded_mtu = self._exceeded_mtu, 0
        return mtu

    def _restart_keys(self) -> None:
        """Let the socket count its sends from 0 again; sockets without transmit stamps are left alone."""
        self.ledger.forget_keys()
        self._has_stamps = False
        try:
            flags = self.sock.getsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING)
            if flags & linux.SOF_TIMESTAMPING_OPT_ID:
                without = flags & ~linux.SOF_TIMESTAMPING_OPT_ID
                self.sock.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING, without)
                self.sock.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING, flags)
                self._has_stamps = True
        except OSError:
            pass

    # Receiving

    def collect(self) -> bool:
        """Read what has arrived, and hear the queue first. False if there may be more, because it was very much.

        Once all is there that is waited for, nothing is read in vain: what else has arrived wakes who waits again.
        """
        left = _READ_AT_ONCE
        while left > 0:
            replies, failure = self._read(min(left, self.ledger.waiting or left), self._largest_reply, 0)
            read_at = self._look_at_clocks() if replies else (0, 0)
            try:
                if failure or self.ledger.stamps_due:
                    self._read_error_queue(self.ledger.stamps_due)
            finally:
                for message, items, _, source in replies:
                    self._hear_reply_untrusted(message, items, source, *read_at)
            if failure == errno.EAGAIN or not (failure or self.ledger.waiting):
                return True
            # Any other is the errno of an ICMP error, which the queue had.
            left -= len(replies) or 1
        return False

    def _read(self, most: int, size: int, flags: int) -> tuple[list[Received], int]:
        """What there is to be read, and the errno that ended it: EAGAIN when that was all, 0 after `most`."""
        received: list[Received] = []
        try:
            if self._receive_many is None:
                receive = self.sock.recvmsg
                while len(received) < most:
                    received.append(receive(size, CONTROL_BYTES, flags))
            else:
                while len(received) < most:
                    received += self._receive_many(most - len(received), size, CONTROL_BYTES, flags)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                # A served socket knows more than the errno.
                self._failure_text = error.strerror or ""
            return received, error.errno or errno.EIO
        return received, 0

    def _look_at_clocks(self) -> tuple[int, int]:
        now, calendar = self._clocks()
        self._stepwatch.show(now, calendar)
        return now, calendar

    def _hear_reply_untrusted(
        self, message: bytes, items: Items, source: tuple[object, ...], now: int, calendar: int
    ) -> None:
        ordinary = stamp_and_hop_limit(items)
        if ordinary is None:
            try:
                beside = read_ancillary_untrusted(items)
            except BadPacket:
                return
            ordinary = beside.stamp, beside.hop_limit
        self._items = items
        self._hear(self.ledger.reply_untrusted(message, source, *ordinary, now, calendar))

    def _reply_untrusted(self, message: bytes, items: Items, source: tuple[object, ...]) -> None:
        self._hear_reply_untrusted(message, items, source, *self._look_at_clocks())

    @property
    def beside(self) -> Ancillary | None:
        """What came beside the reply that is being heard."""
        return None if self._items is None else read_ancillary_untrusted(self._items)

    def collect_stamps(self) -> None:
        """Read the transmit stamps of the probes just sent: most devices stamp them at once.

        With the stamp read, nothing but the reply wakes who waits for it.
        """
        if self._has_stamps:
            self._read_error_queue(self.ledger.stamps_due)

    def _read_error_queue(self, stamps_due: int = 0) -> None:
        """Hear what is in the queue; all of it, or until the `stamps_due` have come."""
        failure = 0
        while not failure:
            entries, failure = self._read(min(stamps_due or _READ_AT_ONCE, _READ_AT_ONCE), _QUOTE_BYTES, _FROM_QUEUE)
            for quote, items, _, destination in entries:
                ordinary = key_and_transmit_stamp(items)
                if ordinary is not None:
                    self.ledger.left(*ordinary)
                else:
                    self._hear_entry_untrusted(quote, items, destination)
            if stamps_due and not (failure or self.ledger.stamps_due):
                return
        if failure != errno.EAGAIN:
            raise OSError(failure, self._failure_text or strerror(failure))

    def _hear_entry_untrusted(self, quote: bytes, items: Items, destination: tuple[object, ...]) -> None:
        try:
            beside = read_ancillary_untrusted(items)
        except BadPacket:
            return
        if beside.error is None:
            return
        if beside.error.origin not in _REPORTERS:
            self._note_local(beside.error, beside.stamp)
            return
        self._explained = True
        read_at = self._look_at_clocks()
        record = self.ledger.reported_untrusted(quote, destination, beside.error, beside.stamp, *read_at)
        if record is not None:
            self._hear(record)

    def _note_local(self, entry: ExtendedError, stamp: int) -> None:
        if entry.origin == linux.SO_EE_ORIGIN_TIMESTAMPING and entry.info == linux.SCM_TSTAMP_SND:
            self.ledger.left(entry.data, stamp)
        elif entry.origin == linux.SO_EE_ORIGIN_LOCAL and entry.errno == errno.EMSGSIZE:
            self._exceeded_mtu = entry.info
