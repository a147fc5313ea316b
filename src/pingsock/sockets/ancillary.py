"""What comes beside a packet: the control messages of recvmsg(), as values.

Some facts about them
---------------------

* A time stamp is two numbers. SO_TIMESTAMP, SO_TIMESTAMPNS and SO_TIMESTAMPING make them as wide as the program's
  C `long`, so a 32-bit program gets 8 bytes where a 64-bit one gets 16; the `_NEW` options always make 16. The C
  library of a 32-bit program with 64-bit time may deliver both forms of one stamp.
* SO_TIMESTAMPING delivers three stamps: software, none, hardware. A stamp that was not taken is zero.
* IP_TOS comes as one byte, IPV6_TCLASS as an int.
* In the error queue all items but the last describe the ICMP *error* packet; the last, IP_RECVERR, says what happened
  to ours. A transmit stamp is an entry of that queue too: its origin says so, and the stamp is then that of leaving.
* A control buffer that is too small cuts the item at its end and drops those behind it (MSG_CTRUNC).

What this means here
--------------------

The width of a stamp is read off its length. An item that is shorter than its structure is a `BadPacket`, never a wrong
number; items nobody here asked for are skipped. `CONTROL_BYTES` holds everything this module can read.
"""

from __future__ import annotations

import sys
from _socket import AF_INET, AF_INET6, inet_ntop
from struct import Struct

from pingsock.wire import linux
from pingsock.wire.errors import BadPacket
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Reader = Callable[[bytes, dict[str, Any]], None]

CONTROL_BYTES = 512
"""Size of a control buffer, the second argument of recvmsg(), that has room for every item read here at once."""

_INT = Struct("=i")
_FAMILY = Struct("=H")
_PAIRS = {8: Struct("=2i"), 16: Struct(linux.TIMESPEC_NEW_LAYOUT)}
_TRIPLES = {24: Struct("=6i"), 48: Struct(linux.SCM_TIMESTAMPING_NEW_LAYOUT)}
_PKTINFO = Struct(linux.IN_PKTINFO_LAYOUT)
_PKTINFO6 = Struct(linux.IN6_PKTINFO_LAYOUT)
_EXTENDED_ERROR = Struct(linux.SOCK_EXTENDED_ERR_LAYOUT)
_SOFTWARE_STAMP = Struct("=2q")
"""The beginning of SCM_TIMESTAMPING with 48 bytes."""
_EXTENSIONS = Struct(linux.SOCK_EE_DATA_RFC4884_LAYOUT)
_SOCKADDR = Struct(linux.SOCKADDR_IN_LAYOUT)
_SOCKADDR6 = Struct(linux.SOCKADDR_IN6_LAYOUT)


class ExtendedError(Value):
    """One entry of the error queue: `struct sock_extended_err` and the address behind it (linux/errqueue.h)."""

    errno: int
    """What the entry means as an errno; ENOMSG for a transmit stamp."""
    origin: int
    """SO_EE_ORIGIN_LOCAL (this host refused to send), _ICMP, _ICMP6 or _TIMESTAMPING (a transmit stamp)."""
    type: int = 0
    """Type of the ICMP error."""
    code: int = 0
    """Code of the ICMP error."""
    info: int = 0
    """By origin and type: an MTU in bytes, a pointer into the quote, a redirect's gateway as a number, or for a
    transmit stamp SCM_TSTAMP_SND (it left) or SCM_TSTAMP_SCHED (it entered the queue)."""
    data: int = 0
    """For a transmit stamp with SOF_TIMESTAMPING_OPT_ID the number of the send, from 0; with IP_RECVERR_RFC4884 see
    `extensions_offset`."""
    offender: str = ""
    """Address of the router or host that reported, "" if none did."""
    offender_scope: int = 0
    """Index of the interface of a link-local `offender`."""

    @property
    def gateway(self) -> str:
        """The IPv4 address a redirect (type 5) names; Linux gives it as a number in host byte order."""
        return inet_ntop(AF_INET, self.info.to_bytes(4, "big"))

    @property
    def extensions_offset(self) -> int:
        """Where in the entry's data RFC 4884 extensions begin, 0 if nowhere; only with IP_RECVERR_RFC4884."""
        return self._extensions()[0]

    @property
    def extensions_valid(self) -> bool:
        """The extensions' version, checksum and object lengths are right (RFC 4884, section 7)."""
        offset, flags, _ = self._extensions()
        return offset > 0 and not flags & linux.SO_EE_RFC4884_FLAG_INVALID

    def _extensions(self) -> tuple[int, int, int]:
        offset, flags, reserved = _EXTENSIONS.unpack(self.data.to_bytes(4, sys.byteorder))
        return offset, flags, reserved


class Ancillary(Value):
    """All that came beside one packet. What was not asked for, or not sent, has its default."""

    hop_limit: int = -1
    """TTL or hop limit as it arrived."""
    traffic_class: int = -1
    """TOS or traffic class as it arrived, ECN bits included."""
    flow_label: int = 0
    interface: int = 0
    """Index of the interface it arrived by."""
    destination: str = ""
    """The destination address in its IP header."""
    stamp: int = 0
    """Software time stamp, nanoseconds on CLOCK_REALTIME: of arrival, or of leaving in a transmit stamp's entry."""
    hardware_stamp: int = 0
    """The same by the network card's clock, whose epoch is the card's."""
    fragment_size: int = 0
    """The largest of its fragments in bytes of IP packet, 0 if it came whole."""
    options: bytes = b""
    """IPv4 options as they stood after local processing (IP_RECVOPTS)."""
    return_options: bytes = b""
    """IPv4 options turned round for an answer (IP_RETOPTS)."""
    error: ExtendedError | None = None
    """In the error queue: the entry itself."""


def read_ancillary_untrusted(items: Iterable[tuple[int, int, bytes]]) -> Ancillary:
    """The control messages of one packet, as `recvmsg()` returns them: (level, type, content) each.

    Raises BadPacket if one is shorter than its structure.
    """
    found: dict[str, Any] = {}
    for level, number, content in items:
        read = _READERS.get((level, number))
        if read is not None:
            read(content, found)
    return Ancillary(**found)


def stamp_and_hop_limit(items: list[tuple[int, int, bytes]]) -> tuple[int, int] | None:
    """Both, if these are the items of an ordinary reply: a stamp and the hop limit as Linux of today gives them.

    None if they are others; `read_ancillary_untrusted` tells the same of all, and costs eight times as much.
    """
    if len(items) != 2:
        return None
    (level, number, stamp), (hop_level, hop_number, hop_limit) = items
    if number != linux.SO_TIMESTAMPING or level != linux.SOL_SOCKET or (hop_level, hop_number) not in _HOP_LIMITS:
        return None
    if len(stamp) != 48 or len(hop_limit) != _INT.size:
        return None
    seconds, nanoseconds = _SOFTWARE_STAMP.unpack_from(stamp)
    return seconds * 1_000_000_000 + nanoseconds, _INT.unpack(hop_limit)[0]


def key_and_transmit_stamp(items: list[tuple[int, int, bytes]]) -> tuple[int, int] | None:
    """The number of the send and when it left, if these are the items of an ordinary transmit stamp; None if not."""
    if len(items) != 2:
        return None
    (level, number, stamp), (error_level, error_number, entry) = items
    if number != linux.SO_TIMESTAMPING or level != linux.SOL_SOCKET or (error_level, error_number) not in _ERRORS:
        return None
    if len(stamp) != 48 or len(entry) < _EXTENDED_ERROR.size:
        return None
    _, origin, _, _, _, info, key = _EXTENDED_ERROR.unpack_from(entry)
    if origin != linux.SO_EE_ORIGIN_TIMESTAMPING or info != linux.SCM_TSTAMP_SND:
        return None
    seconds, nanoseconds = _SOFTWARE_STAMP.unpack_from(stamp)
    return key, seconds * 1_000_000_000 + nanoseconds


def parse_extended_error_untrusted(content: bytes) -> ExtendedError:
    """The content of an IP_RECVERR or IPV6_RECVERR item.

        0  errno (4)
        4  origin (1)   type (1)   code (1)   pad (1)
        8  info (4)
       12  data (4)
       16  sockaddr_in or sockaddr_in6 of the offender, or zeros

    Numbers are in the machine's byte order. Raises BadPacket if it is too short or the offender of no known family.
    """
    errno, origin, kind, code, _, info, data = _fields_untrusted(_EXTENDED_ERROR, content, "sock_extended_err")
    offender, scope = _offender_untrusted(content[_EXTENDED_ERROR.size :])
    return ExtendedError(errno, origin, kind, code, info, data, offender, scope)


def _fields_untrusted(layout: Struct, content: bytes, name: str) -> tuple[Any, ...]:
    if len(content) < layout.size:
        raise BadPacket(f"{name} has {len(content)} bytes, needs {layout.size}")
    return layout.unpack_from(content)


def _offender_untrusted(sockaddr: bytes) -> tuple[str, int]:
    family = _FAMILY.unpack_from(sockaddr)[0] if len(sockaddr) >= _FAMILY.size else 0
    if family == linux.AF_UNSPEC:
        return "", 0
    if family == linux.AF_INET:
        return inet_ntop(AF_INET, _fields_untrusted(_SOCKADDR, sockaddr, "sockaddr_in")[2]), 0
    if family == linux.AF_INET6:
        fields = _fields_untrusted(_SOCKADDR6, sockaddr, "sockaddr_in6")
        return inet_ntop(AF_INET6, fields[3]), fields[4]
    raise BadPacket(f"address family {family} of an offender is neither {linux.AF_INET} nor {linux.AF_INET6}")


def _integer(field: str) -> Reader:
    def read_untrusted(content: bytes, found: dict[str, Any]) -> None:
        found[field] = _fields_untrusted(_INT, content, field)[0]

    return read_untrusted


def _opaque(field: str) -> Reader:
    def read(content: bytes, found: dict[str, Any]) -> None:
        found[field] = content

    return read


def _tos_untrusted(content: bytes, found: dict[str, Any]) -> None:
    if not content:
        raise BadPacket("traffic_class has 0 bytes, needs 1")
    found["traffic_class"] = content[0]


def _flow_untrusted(content: bytes, found: dict[str, Any]) -> None:
    if len(content) < 4:
        raise BadPacket(f"flow_label has {len(content)} bytes, needs 4")
    found["flow_label"] = int.from_bytes(content[:4], "big") & 0xFFFFF


def _packet_info_untrusted(content: bytes, found: dict[str, Any]) -> None:
    index, _, destination = _fields_untrusted(_PKTINFO, content, "in_pktinfo")
    found.update(interface=index, destination=inet_ntop(AF_INET, destination))


def _packet_info6_untrusted(content: bytes, found: dict[str, Any]) -> None:
    destination, index = _fields_untrusted(_PKTINFO6, content, "in6_pktinfo")
    found.update(interface=index, destination=inet_ntop(AF_INET6, destination))


def _numbers_untrusted(layouts: dict[int, Struct], content: bytes, name: str) -> tuple[int, ...]:
    if len(content) not in layouts:
        raise BadPacket(f"{name} has {len(content)} bytes, needs {' or '.join(map(str, layouts))}")
    return layouts[len(content)].unpack(content)


def _timeval_untrusted(content: bytes, found: dict[str, Any]) -> None:
    seconds, microseconds = _numbers_untrusted(_PAIRS, content, "timeval")
    found["stamp"] = seconds * 1_000_000_000 + microseconds * 1000


def _timespec_untrusted(content: bytes, found: dict[str, Any]) -> None:
    seconds, nanoseconds = _numbers_untrusted(_PAIRS, content, "timespec")
    found["stamp"] = seconds * 1_000_000_000 + nanoseconds


def _stamps_untrusted(content: bytes, found: dict[str, Any]) -> None:
    numbers = _numbers_untrusted(_TRIPLES, content, "scm_timestamping")
    for field, at in (("stamp", 0), ("hardware_stamp", 4)):
        nanoseconds = numbers[at] * 1_000_000_000 + numbers[at + 1]
        # Zero means "not taken" and must not hide the stamp of a SO_TIMESTAMPNS item before this one.
        if nanoseconds:
            found[field] = nanoseconds


def _error_untrusted(content: bytes, found: dict[str, Any]) -> None:
    found["error"] = parse_extended_error_untrusted(content)


_READERS: dict[tuple[int, int], Reader] = {
    (linux.SOL_SOCKET, linux.SO_TIMESTAMP): _timeval_untrusted,
    (linux.SOL_SOCKET, linux.SO_TIMESTAMP_NEW): _timeval_untrusted,
    (linux.SOL_SOCKET, linux.SO_TIMESTAMPNS): _timespec_untrusted,
    (linux.SOL_SOCKET, linux.SO_TIMESTAMPNS_NEW): _timespec_untrusted,
    (linux.SOL_SOCKET, linux.SO_TIMESTAMPING): _stamps_untrusted,
    (linux.SOL_SOCKET, linux.SO_TIMESTAMPING_NEW): _stamps_untrusted,
    (linux.SOL_IP, linux.IP_PKTINFO): _packet_info_untrusted,
    (linux.SOL_IP, linux.IP_TTL): _integer("hop_limit"),
    (linux.SOL_IP, linux.IP_TOS): _tos_untrusted,
    (linux.SOL_IP, linux.IP_RECVOPTS): _opaque("options"),
    (linux.SOL_IP, linux.IP_RETOPTS): _opaque("return_options"),
    (linux.SOL_IP, linux.IP_RECVFRAGSIZE): _integer("fragment_size"),
    (linux.SOL_IP, linux.IP_RECVERR): _error_untrusted,
    (linux.SOL_IPV6, linux.IPV6_PKTINFO): _packet_info6_untrusted,
    (linux.SOL_IPV6, linux.IPV6_HOPLIMIT): _integer("hop_limit"),
    (linux.SOL_IPV6, linux.IPV6_TCLASS): _integer("traffic_class"),
    (linux.SOL_IPV6, linux.IPV6_FLOWINFO): _flow_untrusted,
    (linux.SOL_IPV6, linux.IPV6_RECVFRAGSIZE): _integer("fragment_size"),
    (linux.SOL_IPV6, linux.IPV6_RECVERR): _error_untrusted,
}
_HOP_LIMITS = ((linux.SOL_IP, linux.IP_TTL), (linux.SOL_IPV6, linux.IPV6_HOPLIMIT))
_ERRORS = ((linux.SOL_IP, linux.IP_RECVERR), (linux.SOL_IPV6, linux.IPV6_RECVERR))
