"""icmplib's results and messages."""

from __future__ import annotations

import os
from itertools import pairwise
from socket import AF_INET, AF_INET6

from pingsock.compat.icmplib.exceptions import ERRORS, ICMPError, describe
from pingsock.wire import types

_ECHO_REPLIES = {(4, types.ICMP4_ECHO_REPLY), (6, types.ICMP6_ECHO_REPLY)}
_FAMILIES = {4: AF_INET, 6: AF_INET6}


class ICMPRequest:
    """An echo request for the `send` of a socket.

    :param id: replaced by the socket's own identifier, which the kernel chooses, when it is sent.
    :param payload: random bytes, `payload_size` of them, if None or empty.
    :param ttl: TTL or hop limit.
    """

    __slots__ = ("_destination", "_id", "_payload", "_payload_size", "_sequence", "_time", "_traffic_class", "_ttl")

    def __init__(
        self,
        destination: str,
        id: int,  # noqa: A002 - icmplib's name
        sequence: int,
        payload: bytes | None = None,
        payload_size: int = 56,
        ttl: int = 64,
        traffic_class: int = 0,
    ) -> None:
        self._destination = destination
        self._id = id & 0xFFFF
        self._sequence = sequence & 0xFFFF
        self._payload = payload
        self._payload_size = len(payload) if payload else payload_size
        self._ttl = ttl
        self._traffic_class = traffic_class
        self._time = 0.0

    def __repr__(self) -> str:
        return f"<ICMPRequest [{self._destination}]>"

    @property
    def destination(self) -> str:
        """The address it goes to."""
        return self._destination

    @property
    def id(self) -> int:
        """Its identifier; the socket's once it was sent."""
        return self._id

    @property
    def sequence(self) -> int:
        """Its sequence number."""
        return self._sequence

    @property
    def payload(self) -> bytes:
        """Its payload; new random bytes each time if none was given."""
        return self._payload or os.urandom(self._payload_size)

    @property
    def payload_size(self) -> int:
        """Bytes of payload."""
        return self._payload_size

    @property
    def ttl(self) -> int:
        """Its TTL or hop limit."""
        return self._ttl

    @property
    def traffic_class(self) -> int:
        """Its TOS or traffic class."""
        return self._traffic_class

    @property
    def time(self) -> float:
        """When it was sent, seconds since 1970; 0 before."""
        return self._time

    def _was_sent(self, identifier: int, time: float) -> None:
        self._id = identifier
        self._time = time


class ICMPReply:
    """An ICMP message that arrived: an echo reply, or an error about a request.

    :param family: 4 or 6.
    """

    __slots__ = ("_bytes_received", "_code", "_family", "_id", "_sequence", "_source", "_time", "_type")

    def __init__(
        self,
        source: str,
        family: int,
        id: int,  # noqa: A002 - icmplib's name
        sequence: int,
        type: int,  # noqa: A002 - icmplib's name
        code: int,
        bytes_received: int,
        time: float,
    ) -> None:
        self._source = source
        self._family = family
        self._id = id
        self._sequence = sequence
        self._type = type
        self._code = code
        self._bytes_received = bytes_received
        self._time = time

    def __repr__(self) -> str:
        return f"<ICMPReply [{self._source}]>"

    def raise_for_status(self) -> None:
        """Do nothing if it is an echo reply.

        :raises DestinationUnreachable: as it says.
        :raises TimeExceeded: as it says.
        :raises ICMPError: it is something else.
        """
        kind = self._family, self._type
        if kind in _ECHO_REPLIES:
            return
        error = ERRORS.get(kind)
        if error is not None:
            raise error(self)
        raise ICMPError(describe(_FAMILIES[self._family], self._type, self._code), self)

    @property
    def source(self) -> str:
        """Who sent it."""
        return self._source

    @property
    def id(self) -> int:
        """The identifier of the request."""
        return self._id

    @property
    def sequence(self) -> int:
        """The sequence number of the request."""
        return self._sequence

    @property
    def type(self) -> int:
        """Its ICMP type."""
        return self._type

    @property
    def code(self) -> int:
        """Its ICMP code."""
        return self._code

    @property
    def bytes_received(self) -> int:
        """Bytes of ICMP message; 0 for an error, of which a ping socket does not tell the size."""
        return self._bytes_received

    @property
    def time(self) -> float:
        """When it arrived, seconds since 1970; this less the request's `time` is the round trip."""
        return self._time


class Host:
    """What became of the requests to one address. Times are milliseconds."""

    __slots__ = ("_address", "_packets_sent", "_rtts")

    def __init__(self, address: str, packets_sent: int, rtts: list[float]) -> None:
        self._address = address
        self._packets_sent = packets_sent
        self._rtts = rtts

    def __repr__(self) -> str:
        return f"<Host [{self._address}]>"

    def __str__(self) -> str:
        return (
            f"{self._address}: {self.packets_received} of {self._packets_sent} answered ({self.packet_loss:.0%} lost), "
            f"round trips {self.min_rtt} / {self.avg_rtt} / {self.max_rtt} ms, jitter {self.jitter} ms"
        )

    @property
    def address(self) -> str:
        """The address that was probed; of a hop, the one that answered."""
        return self._address

    @property
    def min_rtt(self) -> float:
        """The shortest round trip; 0.0 without any."""
        return round(min(self._rtts, default=0.0), 3)

    @property
    def avg_rtt(self) -> float:
        """The mean round trip; 0.0 without any."""
        return round(sum(self._rtts) / len(self._rtts), 3) if self._rtts else 0.0

    @property
    def max_rtt(self) -> float:
        """The longest round trip; 0.0 without any."""
        return round(max(self._rtts, default=0.0), 3)

    @property
    def rtts(self) -> list[float]:
        """All round trips, in the order the replies arrived."""
        return self._rtts

    @property
    def packets_sent(self) -> int:
        """Requests that left this host."""
        return self._packets_sent

    @property
    def packets_received(self) -> int:
        """Requests that were answered in time."""
        return len(self._rtts)

    @property
    def packet_loss(self) -> float:
        """The share that was not answered, 0 ... 1, in hundredths; 0.0 if nothing was sent."""
        if not self._packets_sent:
            return 0.0
        return round(1 - len(self._rtts) / self._packets_sent, 2)

    @property
    def jitter(self) -> float:
        """The mean difference of successive round trips; 0.0 with fewer than two."""
        steps = [abs(after - before) for before, after in pairwise(self._rtts)]
        return round(sum(steps) / len(steps), 3) if steps else 0.0

    @property
    def is_alive(self) -> bool:
        """Whether it answered."""
        return len(self._rtts) > 0


class Hop(Host):
    """What became of the requests with one time to live.

    :param distance: that time to live.
    """

    __slots__ = ("_distance",)

    def __init__(self, address: str, packets_sent: int, rtts: list[float], distance: int) -> None:
        super().__init__(address, packets_sent, rtts)
        self._distance = distance

    def __repr__(self) -> str:
        return f"<Hop {self._distance} [{self._address}]>"

    def __str__(self) -> str:
        return f"#{self._distance} {super().__str__()}"

    @property
    def distance(self) -> int:
        """How many hops away it is."""
        return self._distance
