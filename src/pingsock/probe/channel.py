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
more if it does not, since only a refusal of this host's own comes twice. What arrived is read queue first. The origin
of an entry is looked at before its type.
"""

from __future__ import annotations

import errno
from _socket import AF_INET
from struct import Struct

from pingsock.probe.clock import read_clocks
from pingsock.probe.flow import charge
from pingsock.sockets.ancillary import CONTROL_BYTES, read_ancillary_untrusted
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
    Received = tuple[bytes, list[tuple[int, int, bytes]], int, tuple[object, ...]]
    ReceiveMany = Callable[[int, int, int, int], list[Received]]

_ICMP_HEADER = 8
_QUOTE_BYTES = 64
_LARGER_REPLY = 128
"""Room for replies that are longer than their probe; more is cut off."""
_READ_AT_ONCE = 256
"""What the default receive buffer holds. After as many it is looked whether a probe is due."""
_SEND_ATTEMPTS = 8
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
        self._receive: ReceiveMany = getattr(sock, "recvmsg_many", self._receive_one)
        self._largest_reply = _ICMP_HEADER + largest + _LARGER_REPLY
        self._explained = False
        self._exceeded_mtu = 0
        self.beside: Ancillary | None = None
        """What came beside the reply that is being heard."""
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
        failure = 0
        for _ in range(_SEND_ATTEMPTS):
            before, failure = failure, self._try_to_send(message, flow)
            if not failure:
                return 0
            self._explained = False
            self._read_error_queue()
            if not self._explained and failure == before:
                break
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
        try:
            flags = self.sock.getsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING)
            if flags & linux.SOF_TIMESTAMPING_OPT_ID:
                without = flags & ~linux.SOF_TIMESTAMPING_OPT_ID
                self.sock.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING, without)
                self.sock.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING, flags)
        except OSError:
            pass

    # Receiving

    def collect(self) -> bool:
        """Read what has arrived, queue first. False if there may be more, because it was very much."""
        self._read_error_queue()
        read = 0
        while read < _READ_AT_ONCE:
            try:
                received = self._receive(_READ_AT_ONCE - read, self._largest_reply, CONTROL_BYTES, 0)
            except BlockingIOError:
                return True
            except OSError:
                self._read_error_queue()
                read += 1
            else:
                for message, items, _, source in received:
                    self._reply_untrusted(message, items, source)
                read += len(received)
        return False

    def _receive_one(self, _count: int, size: int, control_size: int, flags: int) -> list[Received]:
        return [self.sock.recvmsg(size, control_size, flags)]

    def _reply_untrusted(self, message: bytes, items: list[tuple[int, int, bytes]], source: tuple[object, ...]) -> None:
        now, calendar = self._clocks()
        self._stepwatch.show(now, calendar)
        try:
            beside = read_ancillary_untrusted(items)
        except BadPacket:
            return
        self.beside = beside
        self._hear(self.ledger.reply_untrusted(message, source, beside.stamp, beside.hop_limit, now, calendar))

    def _read_error_queue(self) -> None:
        while True:
            try:
                received = self._receive(
                    _READ_AT_ONCE, _QUOTE_BYTES, CONTROL_BYTES, linux.MSG_ERRQUEUE | linux.MSG_DONTWAIT
                )
            except OSError as error:
                # PyPy raises a plain OSError where CPython raises BlockingIOError.
                if error.errno == errno.EAGAIN:
                    return
                raise
            for quote, items, _, destination in received:
                self._entry_untrusted(quote, items, destination)

    def _entry_untrusted(
        self, quote: bytes, items: list[tuple[int, int, bytes]], destination: tuple[object, ...]
    ) -> None:
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
        now, calendar = self._clocks()
        self._stepwatch.show(now, calendar)
        record = self.ledger.reported_untrusted(quote, destination, beside.error, beside.stamp, now, calendar)
        if record is not None:
            self._hear(record)

    def _note_local(self, entry: ExtendedError, stamp: int) -> None:
        if entry.origin == linux.SO_EE_ORIGIN_TIMESTAMPING and entry.info == linux.SCM_TSTAMP_SND:
            self.ledger.left(entry.data, stamp)
        elif entry.origin == linux.SO_EE_ORIGIN_LOCAL and entry.errno == errno.EMSGSIZE:
            self._exceeded_mtu = entry.info
