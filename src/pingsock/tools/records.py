"""What can become of a probe, and what else a socket may say: the records `pingsock.tools.ping` yields.

Sequence numbers are those on the wire, 16 bits. Addresses are socket addresses as the `socket` module gives them.
"""

from __future__ import annotations

from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    SocketAddress = tuple[Any, ...]

BETWEEN_KERNEL_STAMPS = "kernel"
"""Round trip = the kernel's receive stamp minus its transmit stamp."""
TO_KERNEL_STAMP = "receive"
"""Round trip by our monotonic clock, less the time the reply waited for us, which the kernel's receive stamp tells."""
BY_OUR_CLOCK = "clock"
"""Round trip by our monotonic clock alone; the time until we were scheduled is in it."""


class Record(Value):
    """Base of all records."""


class Reply(Record):
    """The first echo reply to one of our probes."""

    sequence: int
    source: SocketAddress
    """Who answered."""
    message: bytes
    """The whole ICMP message as received."""
    hop_limit: int
    """TTL or hop limit as it arrived, -1 if the socket did not tell."""
    round_trip: int
    """Nanoseconds."""
    timed: str
    """How the round trip was measured: BETWEEN_KERNEL_STAMPS, TO_KERNEL_STAMP or BY_OUR_CLOCK."""
    other_source: bool = False
    """It came from another address than the probe went to."""
    truncated: bool = False
    """It has fewer bytes than the probe."""
    altered_at: int = -1
    """Index in the payload of the first byte that is not what was sent (the time at its start is not looked at);
    -1 if none."""


class Duplicate(Reply):
    """One more echo reply to a probe that had one."""


class Stray(Record):
    """An echo reply to nothing we sent: its sequence number is not one of ours."""

    sequence: int
    source: SocketAddress


class ReportedError(Record):
    """An ICMP error about one of our probes, and who sent it."""

    sequence: int
    reporter: SocketAddress
    family: int
    """AF_INET or AF_INET6: whose numbers `type` and `code` are."""
    type: int
    code: int
    info: int
    """Path MTU in bytes, or the pointer of a parameter problem; for an IPv4 redirect the new gateway as a number."""


class Note(ReportedError):
    """An ICMP message about one of our probes that is no failure, since the probe went on: redirect, source quench."""


class SendFailure(Record):
    """A probe that this host refused to send; nothing left."""

    sequence: int
    errno: int
    mtu: int = 0
    """With EMSGSIZE the MTU that was exceeded, bytes of IP packet; 0 if unknown."""


class Interruption(Record):
    """The descriptor given as `waker` became readable; whoever gave it knows why."""
