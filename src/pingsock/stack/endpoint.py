"""One ping socket: its state, and the system calls on it.

The calls raise OSError with the kernel's errno. None of them waits: where a blocking socket would, they raise
BlockingIOError, and whoever holds the socket waits and calls again.
"""

from __future__ import annotations

from collections import deque
from errno import EAGAIN, EINVAL, ENOTCONN, EOPNOTSUPP

from pingsock.stack import naming, send, sockopt_get, sockopt_set
from pingsock.stack.account import UNLIMITED
from pingsock.stack.ancillary_receive import fit, packet_items, stamp_items, timestamping_item
from pingsock.stack.failure import failure
from pingsock.stack.pathmtu import MODES, mtu_for
from pingsock.stack.sockaddr import ANY, SOCKADDR_STORAGE_SIZE, pack_in, pack_in6
from pingsock.wire import linux
from pingsock.wire.linux import AF_INET, MSG_DONTWAIT, MSG_ERRQUEUE, MSG_OOB, MSG_PEEK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pingsock.stack.account import Account
    from pingsock.stack.errorqueue import ErrorEntry
    from pingsock.stack.options import Options
    from pingsock.stack.packet import Packet
    from pingsock.stack.policy import Credentials
    from pingsock.stack.sockaddr import SocketAddress
    from pingsock.stack.stack import Stack

    Item = tuple[int, int, bytes]
    Received = tuple[bytes, list[Item], int, bytes | None]

READ_SHUTDOWN, WRITE_SHUTDOWN = 1, 2

POLLIN, POLLPRI, POLLOUT, POLLERR, POLLHUP = 0x01, 0x02, 0x04, 0x08, 0x10
POLLRDNORM, POLLWRNORM, POLLWRBAND, POLLRDHUP = 0x40, 0x100, 0x200, 0x2000

CHARGES = ((192, 832), (640, 1280), (1664, 2304), (3712, 4352))
"""What an IP packet of at most so many bytes takes of the receive buffer: the kernel's own memory for it."""


def charge_for(length: int) -> int:
    """Bytes of receive buffer for an IP packet of `length` bytes."""
    for limit, charge in CHARGES:
        if length <= limit:
            return charge
    return (length + 4095) // 4096 * 4096 + 832


def check_length(sockaddr: bytes) -> None:
    """EINVAL for more bytes than any socket address has; the system calls say so before the socket is asked."""
    if len(sockaddr) > SOCKADDR_STORAGE_SIZE:
        raise failure(EINVAL)


class Endpoint:
    """One ping socket of a `Stack`."""

    def __init__(self, stack: Stack, family: int, credentials: Credentials, options: Options, number: int) -> None:
        self.stack: Stack = stack
        self.number = number
        """Distinguishes sockets of one stack, as an inode does."""
        self.family: int = family
        self.credentials = credentials
        self.options: Options = options
        self.ident: int = 0
        self.bound_order = 0
        self.ident_is_bound = False
        """The ident was given explicitly to bind(), and survives a disconnect."""
        self.address_is_bound = False
        """The address was given to bind(), and survives a disconnect."""
        self.source = self.receive_address = ANY[family]
        self.peer: SocketAddress | None = None
        self.flow_label = 0
        """Of the connected IPv6 peer, as its socket address said."""
        self.shutdown_state = 0
        self.pending_error = 0
        self.queue: deque[tuple[Packet, int]] = deque()
        self.error_queue: deque[ErrorEntry] = deque()
        self.charged = 0
        self.account: Account = UNLIMITED
        """Of whoever the socket belongs to; set it while the queues are empty."""
        self.drops = 0
        self.stamp_number = 0
        self.sent: send.Sent | None = None
        """The last packet, for the next to be like; forgotten by every call that may change how packets are sent."""
        self.closed = False
        self.watcher: Callable[[], None] | None = None
        """Called after something was queued or a pending error was set."""

    # Names

    def bind(self, sockaddr: bytes) -> None:
        """bind(2): claim an ident and an address."""
        check_length(sockaddr)
        self.sent = None
        naming.bind(self, sockaddr)

    def connect(self, sockaddr: bytes) -> None:
        """connect(2): record a peer, pick a source; AF_UNSPEC disconnects."""
        check_length(sockaddr)
        self.sent = None
        naming.connect(self, sockaddr)

    def getsockname(self) -> bytes:
        """getsockname(2): receive address and ident."""
        address = self.receive_address if any(self.receive_address) else self.source
        return self._sockaddr(address, self.ident)

    def getpeername(self) -> bytes:
        """getpeername(2): ENOTCONN also where connect() was given port 0."""
        if self.peer is None or not self.peer.port:
            raise failure(ENOTCONN)
        flowinfo = self.flow_label if self.options.flow_information_send else 0
        return self._sockaddr(self.peer.address, self.peer.port, flowinfo)

    def _sockaddr(self, address: bytes, port: int, flowinfo: int = 0) -> bytes:
        if self.family == AF_INET:
            return pack_in(address, port)
        return pack_in6(address, port, flowinfo, naming.scope_shown(self, address))

    # Options

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        """setsockopt(2) with the value's bytes."""
        self.sent = None
        sockopt_set.set_option(self, level, option, value)

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        """getsockopt(2): at most `size` bytes of the value."""
        return sockopt_get.get_option(self, level, option, size)

    def may_use_foreign_source6(self) -> bool:
        """Whether an IPv6 address that is not this host's may be bound or named."""
        options = self.options
        nonlocal_bind = self.stack.network.sysctl("ipv6.ip_nonlocal_bind")
        return bool(options.freebind6 or options.transparent6 or options.freebind or nonlocal_bind)

    def path_mtu(self) -> int:
        """IP_MTU of the connected peer."""
        assert self.peer is not None
        family_mode = self.options.path_mtu_discovery if self.family == AF_INET else self.options.path_mtu_discovery6
        route = self.stack.network.route(
            self.family, self.peer.address, source=self._asked_source(), interface=self.options.bound_interface
        )
        return mtu_for(MODES[family_mode], route)

    def _asked_source(self) -> bytes:
        return self.source if any(self.source) else b""

    # Sending

    def sendmsg(self, data: bytes, sockaddr: bytes | None = None, items: Iterable[Item] = (), flags: int = 0) -> int:
        """sendmsg(2): returns the length given."""
        if sockaddr is not None:
            check_length(sockaddr)
        return send.send(self, data, sockaddr, items, flags)

    # Receiving

    def recvmsg(self, size: int, control_size: int, flags: int, now: int) -> Received:
        """recvmsg(2): data, ancillary data, msg_flags, name (None: no name was set).

        `now` is CLOCK_REALTIME in nanoseconds, for packets that carry no stamp of their own.
        """
        if flags & MSG_OOB:
            raise failure(EOPNOTSUPP)
        if flags & MSG_ERRQUEUE:
            return self._read_error_queue(size, control_size, flags, now)
        if self.pending_error:
            raise failure(self.take_pending_error())
        if not self.queue:
            return self._nothing_to_read(flags)
        return self._read(size, control_size, flags, now)

    def _nothing_to_read(self, flags: int) -> Received:
        # A socket shut down for reading is at its end only for those who would wait; it may still receive.
        if self.shutdown_state & READ_SHUTDOWN and not flags & MSG_DONTWAIT:
            return b"", [], 0, None
        raise failure(EAGAIN)

    def _read(self, size: int, control_size: int, flags: int, now: int) -> Received:
        packet, length = self.queue[0]
        if not flags & MSG_PEEK:
            self.queue.popleft()
            self._charge(-charge_for(len(packet.data)))
        data = packet.data[packet.offset : packet.offset + min(length, size)]
        message_flags = flags & linux.MSG_CMSG_CLOEXEC | (linux.MSG_TRUNC if length > size else 0)
        options = self.options
        kept: list[Item] = []
        if options.receive or options.timestamp_option or options.timestamping:
            items, lost = packet_items(options, packet)
            kept, cut = fit(stamp_items(options, packet.stamp, now) + items, control_size)
            message_flags |= linux.MSG_CTRUNC if cut or lost else 0
        return data, kept, message_flags, self._source_name(packet)

    def _source_name(self, packet: Packet) -> bytes:
        if self.family == AF_INET:
            return pack_in(packet.source)
        flowinfo = packet.flow_information if self.options.flow_information_send else 0
        return pack_in6(packet.source, 0, flowinfo, packet.scope_of(packet.source))

    def _read_error_queue(self, size: int, control_size: int, flags: int, now: int) -> Received:
        if not self.error_queue:
            raise failure(EAGAIN)
        entry = self.error_queue.popleft()
        self._charge(-entry.charge)
        self._advance_pending_error(entry)
        items, lost = self._error_items(entry, now)
        kept, cut = fit(items, control_size)
        message_flags = linux.MSG_ERRQUEUE | flags & linux.MSG_CMSG_CLOEXEC
        message_flags |= linux.MSG_TRUNC if len(entry.payload) > size else 0
        message_flags |= linux.MSG_CTRUNC if cut or lost else 0
        return entry.payload[:size], kept, message_flags, entry.name

    def _advance_pending_error(self, read: ErrorEntry) -> None:
        if self.error_queue and self.error_queue[0].is_icmp:
            self.pending_error = self.error_queue[0].errno
        elif read.is_icmp:
            self.pending_error = 0

    def _error_items(self, entry: ErrorEntry, now: int) -> tuple[list[Item], bool]:
        items: list[Item] = []
        lost = False
        if entry.packet is not None:
            items, lost = packet_items(self.options, entry.packet)
            items = stamp_items(self.options, entry.packet.stamp, now) + items
        elif entry.stamp and self.options.timestamping & linux.SOF_TIMESTAMPING_SOFTWARE:
            items = [timestamping_item(self.options, entry.stamp)]
        return [*items, entry.as_item(self.family)], lost

    # What the stack brings

    def accept(self, packet: Packet) -> None:
        """Queue a received message, unless the filter or a full buffer drops it."""
        length = len(packet.data) - packet.offset
        if self.options.filter is not None:
            length = min(length, self.options.filter.keeps(packet))
            if not length:
                return
        if self.charged >= self.options.receive_buffer or self.account.is_full:
            self.drops += 1
            return
        self._charge(charge_for(len(packet.data)))
        self.queue.append((packet, length))
        self.notify()

    def queue_error(self, entry: ErrorEntry, length: int) -> None:
        """Queue an error entry made from `length` bytes of packet; a full buffer loses it."""
        charge = charge_for(length)
        if self.charged + charge < self.options.receive_buffer and not self.account.is_full:
            entry.charge = charge
            self._charge(charge)
            self.error_queue.append(entry)
        self.notify()

    def purge_errors(self) -> None:
        """Empty the error queue; a pending error stays."""
        self._charge(-sum(entry.charge for entry in self.error_queue))
        self.error_queue.clear()

    def _charge(self, size: int) -> None:
        self.charged += size
        self.account.queued += size

    def set_pending_error(self, errno: int) -> None:
        """The latest overwrites."""
        self.pending_error = errno
        self.notify()

    def take_pending_error(self) -> int:
        """SO_ERROR: the pending error, which is then gone; 0 for none."""
        errno, self.pending_error = self.pending_error, 0
        return errno

    def notify(self) -> None:
        """Tell the watcher that `poll` may have changed."""
        if self.watcher is not None:
            self.watcher()

    # State

    @property
    def is_readable(self) -> bool:
        """Whether `poll` tells POLLIN or POLLERR."""
        return bool(self.queue or self.pending_error or self.error_queue or self.shutdown_state & READ_SHUTDOWN)

    def poll(self) -> int:
        """poll(2): the POLL* events that hold now."""
        events = POLLOUT | POLLWRNORM | POLLWRBAND
        if self.pending_error or self.error_queue:
            events |= POLLERR | (POLLPRI if self.options.select_error_queue else 0)
        if self.shutdown_state & READ_SHUTDOWN:
            events |= POLLIN | POLLRDNORM | POLLRDHUP
        if self.shutdown_state == READ_SHUTDOWN | WRITE_SHUTDOWN:
            events |= POLLHUP
        if self.queue:
            events |= POLLIN | POLLRDNORM
        return events

    def shutdown(self, how: int) -> None:
        """shutdown(2): takes effect also where it fails because there is no peer."""
        if how not in (0, 1, 2):
            raise failure(EINVAL)
        self.shutdown_state |= how + 1
        self.notify()
        if self.peer is None:
            raise failure(ENOTCONN)

    def listen(self) -> None:
        """listen(2), as accept(2): not for datagrams."""
        raise failure(EOPNOTSUPP)

    def close(self) -> None:
        """close(2): the ident is free at once, the queues are gone."""
        if self.closed:
            return
        self.closed = True
        self.watcher = None
        self.sent = None
        self.stack.forget(self)
        for membership in self.options.memberships:
            self.stack.network.leave_group(*membership)
        self.options.memberships.clear()
        self.queue.clear()
        self.error_queue.clear()
        self._charge(-self.charged)
