"""What an endpoint's socket options are set to, and the table of those that are plain numbers.

`IntegerOption` rows cover the options whose value is one number in a range that is kept and read back. The rest,
whose setting does something, are in `sockopt`.
"""

from __future__ import annotations

from pingsock.wire import linux
from pingsock.wire.linux import AF_INET, AF_INET6, SOL_IP, SOL_IPV6, SOL_SOCKET
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.stack.bpf import SocketFilter

INT_MAX = 2**31 - 1
INT_MIN = -(2**31)
MINIMUM_RECEIVE_BUFFER = 2304
MINIMUM_SEND_BUFFER = 4608


class Options:
    """The present settings of one socket; the fields are named for what they mean on the wire or in the call."""

    def __init__(self, receive_buffer: int, send_buffer: int, path_mtu_discovery: int) -> None:
        self.receive_buffer = receive_buffer
        self.send_buffer = send_buffer
        self.path_mtu_discovery = path_mtu_discovery
        self.path_mtu_discovery6 = linux.IPV6_PMTUDISC_WANT
        # Ping sockets are born with SO_REUSEADDR, so that several programs may share an ident.
        self.reuse_address = 1
        self.broadcast = self.dont_route = 0
        self.bound_interface = 0
        self.mark = self.priority = 0
        self.select_error_queue = self.debug = 0
        self.receive_low_water = 1
        self.receive_timeout_us = self.send_timeout_us = 0
        self.filter: SocketFilter | None = None
        self.ttl = -1
        self.tos = 0
        self.ip_options = b""
        self.receive_errors = self.receive_errors6 = 0
        self.rfc4884 = self.rfc4884_6 = 0
        self.freebind = self.freebind6 = self.transparent = self.transparent6 = 0
        self.multicast_ttl = self.multicast_loop = 1
        self.multicast_interface = self.unicast_interface = 0
        self.multicast_source = bytes(4)
        self.hop_limit = self.multicast_hops = -1
        self.traffic_class = -1
        self.multicast_loop6 = 1
        self.multicast_interface6 = self.unicast_interface6 = 0
        self.dont_fragment6 = 0
        self.v6_only = 1
        self.flow_information_send = 0
        self.auto_flow_label = 1
        self.sticky_interface = 0
        self.timestamp_option = 0
        """SO_TIMESTAMP, SO_TIMESTAMPNS or their _NEW form, whichever was set last; 0 = none."""
        self.timestamping = 0
        """SOF_TIMESTAMPING_* flags."""
        self.timestamping_option = linux.SO_TIMESTAMPING
        self.receive: set[tuple[int, int]] = set()
        """(level, option) of the receive options that are on: what recvmsg adds as ancillary data."""
        self.inert: dict[tuple[int, int], int] = {}
        """Settable options without effect on a ping socket."""
        self.extension_headers: dict[int, bytes] = {}
        """Sticky IPv6 extension headers by option: kept, read back, never sent."""
        self.memberships: set[tuple[int, bytes, int]] = set()


class IntegerOption(Value):
    """An option that keeps one number."""

    field: str
    minimum: int = INT_MIN
    maximum: int = INT_MAX
    boolean: bool = False
    """Any nonzero value counts, and is kept, as 1."""
    minus_one: int | None = None
    """What -1 stands for when it is set."""
    reads_minus_one_as: int | None = None
    """What getsockopt shows while -1, the default, is kept."""


def _flag(field: str) -> IntegerOption:
    return IntegerOption(field, boolean=True)


INTEGER_OPTIONS: dict[tuple[int, int], IntegerOption] = {
    (SOL_SOCKET, linux.SO_REUSEADDR): _flag("reuse_address"),
    (SOL_SOCKET, linux.SO_BROADCAST): _flag("broadcast"),
    (SOL_SOCKET, linux.SO_DONTROUTE): _flag("dont_route"),
    (SOL_SOCKET, linux.SO_SELECT_ERR_QUEUE): _flag("select_error_queue"),
    (SOL_IP, linux.IP_MTU_DISCOVER): IntegerOption("path_mtu_discovery", 0, 5),
    (SOL_IP, linux.IP_FREEBIND): _flag("freebind"),
    (SOL_IP, linux.IP_RECVERR_RFC4884): IntegerOption("rfc4884", 0, 1),
    (SOL_IP, linux.IP_MULTICAST_TTL): IntegerOption("multicast_ttl", 0, 255, minus_one=1),
    (SOL_IP, linux.IP_MULTICAST_LOOP): _flag("multicast_loop"),
    (SOL_IPV6, linux.IPV6_UNICAST_HOPS): IntegerOption("hop_limit", -1, 255, reads_minus_one_as=64),
    (SOL_IPV6, linux.IPV6_MULTICAST_HOPS): IntegerOption("multicast_hops", -1, 255, reads_minus_one_as=1),
    (SOL_IPV6, linux.IPV6_MULTICAST_LOOP): IntegerOption("multicast_loop6", 0, 1),
    (SOL_IPV6, linux.IPV6_TCLASS): IntegerOption("traffic_class", -1, 255, minus_one=0, reads_minus_one_as=0),
    (SOL_IPV6, linux.IPV6_MTU_DISCOVER): IntegerOption("path_mtu_discovery6", 0, 5),
    (SOL_IPV6, linux.IPV6_DONTFRAG): _flag("dont_fragment6"),
    (SOL_IPV6, linux.IPV6_FLOWINFO_SEND): _flag("flow_information_send"),
    (SOL_IPV6, linux.IPV6_AUTOFLOWLABEL): _flag("auto_flow_label"),
    (SOL_IPV6, linux.IPV6_FREEBIND): _flag("freebind6"),
    (SOL_IPV6, linux.IPV6_RECVERR_RFC4884): IntegerOption("rfc4884_6", 0, 1),
}

RECEIVE_OPTIONS = frozenset(
    {
        (SOL_IP, linux.IP_RECVTTL),
        (SOL_IP, linux.IP_RECVTOS),
        (SOL_IP, linux.IP_PKTINFO),
        (SOL_IP, linux.IP_RECVOPTS),
        (SOL_IP, linux.IP_RETOPTS),
        (SOL_IP, linux.IP_RECVORIGDSTADDR),
        (SOL_IP, linux.IP_RECVFRAGSIZE),
        (SOL_IP, linux.IP_CHECKSUM),
        (SOL_IP, linux.IP_PASSSEC),
        (SOL_IPV6, linux.IPV6_RECVPKTINFO),
        (SOL_IPV6, linux.IPV6_RECVHOPLIMIT),
        (SOL_IPV6, linux.IPV6_RECVTCLASS),
        (SOL_IPV6, linux.IPV6_FLOWINFO),
        (SOL_IPV6, linux.IPV6_RECVHOPOPTS),
        (SOL_IPV6, linux.IPV6_RECVDSTOPTS),
        (SOL_IPV6, linux.IPV6_RECVRTHDR),
        (SOL_IPV6, linux.IPV6_RECVORIGDSTADDR),
        (SOL_IPV6, linux.IPV6_RECVFRAGSIZE),
        (SOL_IPV6, linux.IPV6_RECVPATHMTU),
        (SOL_IPV6, linux.IPV6_2292PKTINFO),
        (SOL_IPV6, linux.IPV6_2292HOPLIMIT),
        (SOL_IPV6, linux.IPV6_2292HOPOPTS),
        (SOL_IPV6, linux.IPV6_2292DSTOPTS),
        (SOL_IPV6, linux.IPV6_2292RTHDR),
    }
)
"""Switches for ancillary data; see `ancillary_receive` for what each delivers."""

UNSUPPORTED = frozenset(
    {
        linux.SO_PASSCRED,
        linux.SO_PASSSEC,
        linux.SO_PEEK_OFF,
        linux.SO_TXREHASH,
        linux.SO_PASSPIDFD,
        linux.SO_PASSRIGHTS,
    }
)
"""SOL_SOCKET options of other kinds of socket: EOPNOTSUPP, to set and to get."""

NOT_EMPTY = frozenset(
    {
        (SOL_IP, linux.IP_FREEBIND),
        (SOL_IP, linux.IP_MINTTL),
        (SOL_IP, linux.IP_MULTICAST_TTL),
        (SOL_IP, linux.IP_MULTICAST_LOOP),
        (SOL_IP, linux.IP_MULTICAST_ALL),
    }
)
"""SOL_IP options that refuse an empty value, EINVAL; for the others it is 0."""

SHORT_IS_ZERO = frozenset(
    {(SOL_IPV6, linux.IPV6_DONTFRAG), (SOL_IPV6, linux.IPV6_AUTOFLOWLABEL), (SOL_IPV6, linux.IPV6_RECVFRAGSIZE)}
)
"""SOL_IPV6 options for which a value of less than four bytes is 0; the others refuse it, EINVAL."""

INERT_OPTIONS: dict[tuple[int, int], IntegerOption] = {
    (SOL_SOCKET, linux.SO_REUSEPORT): _flag(""),
    (SOL_SOCKET, linux.SO_KEEPALIVE): _flag(""),
    (SOL_SOCKET, linux.SO_OOBINLINE): _flag(""),
    (SOL_SOCKET, linux.SO_NO_CHECK): _flag(""),
    (SOL_SOCKET, linux.SO_NOFCS): _flag(""),
    (SOL_SOCKET, linux.SO_BUF_LOCK): IntegerOption("", 0, 3),
    (SOL_SOCKET, linux.SO_RXQ_OVFL): _flag(""),
    (SOL_SOCKET, linux.SO_RCVMARK): _flag(""),
    (SOL_SOCKET, linux.SO_RCVPRIORITY): _flag(""),
    (SOL_SOCKET, linux.SO_WIFI_STATUS): _flag(""),
    (SOL_SOCKET, linux.SO_INCOMING_CPU): IntegerOption(""),
    (SOL_IP, linux.IP_MINTTL): IntegerOption("", 0, 255),
    (SOL_IP, linux.IP_BIND_ADDRESS_NO_PORT): _flag(""),
    (SOL_IP, linux.IP_MULTICAST_ALL): IntegerOption("", 0, 1),
    (SOL_IPV6, linux.IPV6_MINHOPCOUNT): IntegerOption("", 0, 255),
    (SOL_IPV6, linux.IPV6_MULTICAST_ALL): _flag(""),
}
"""Settable and readable, without effect on ping sockets."""

INERT_DEFAULTS = {
    (AF_INET, SOL_IP, linux.IP_MULTICAST_ALL): 1,
    (AF_INET6, SOL_IPV6, linux.IPV6_MULTICAST_ALL): 1,
    (AF_INET, SOL_SOCKET, linux.SO_INCOMING_CPU): -1,
    (AF_INET6, SOL_SOCKET, linux.SO_INCOMING_CPU): -1,
}
"""What the inert options of a family's sockets read before they are set, where it is not 0."""
