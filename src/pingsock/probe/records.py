"""What can become of a probe, and what else is heard: the records a prober yields.

An `Outcome` says what became of one probe. Each probe has one, and another for each time that something is heard which
tells more (`pingsock.probe.outcome` has the rule); its `revises` names the kind of outcome it takes the place of. The
rest is told as it happens and decides nothing.

No record is falsy, whatever it says.
"""

from __future__ import annotations

from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.probe.target import SocketAddress, Target

BETWEEN_KERNEL_STAMPS = "kernel"
"""Round trip = the kernel's receive stamp minus its transmit stamp."""
TO_KERNEL_STAMP = "receive"
"""Round trip by our monotonic clock, less the time the reply waited for us, which the kernel's receive stamp tells."""
INTERPOLATED = "interpolated"
"""As TO_KERNEL_STAMP, for probes many of which one system call sent: evenly spread over the time of that call."""
BY_OUR_CLOCK = "clock"
"""Round trip by our monotonic clock alone; the time until we were scheduled is in it."""


TIMEOUT, ICMP_ERROR = "timeout", "icmp_error"
"""What an outcome may revise. A Timeout includes Overflow and Unmeasured."""


class Record(Value):
    """Something that was heard of a target or of one of its probes."""

    target: Target
    number: int
    """Which of the target's probes, from 1; 0 if the record is about none."""
    sequence: int
    """Its 16-bit sequence number on the wire."""
    sent: int
    """When it was sent: nanoseconds since 1970, 0 if it was not."""


class Outcome(Record):
    """What became of one probe."""


class EchoReply(Record):
    """A genuine echo reply to a probe: Reply, Late or Duplicate."""

    source: SocketAddress
    """Who answered."""
    message: bytes
    """The whole ICMP message as received."""
    hop_limit: int
    """TTL or hop limit as it arrived, -1 if the socket did not tell."""
    round_trip_ns: int
    timed: str
    """How the round trip was measured: BETWEEN_KERNEL_STAMPS, TO_KERNEL_STAMP or BY_OUR_CLOCK."""
    other_source: bool = False
    """It came from another address than the probe went to."""
    truncated: bool = False
    """It has fewer bytes than the probe."""
    altered_at: int = -1
    """Index in the payload of the first byte that is not what was sent, -1 if none."""
    revises: str = ""
    """The outcome told before, which this takes the place of: TIMEOUT or ICMP_ERROR; "" if there was none."""

    @property
    def round_trip(self) -> float:
        """Seconds."""
        return self.round_trip_ns / 1e9


class Reply(EchoReply, Outcome):
    """The first echo reply to a probe, within its timeout."""


class Late(EchoReply, Outcome):
    """The first echo reply to a probe, if it arrived after the timeout."""


class IcmpReport(Record):
    """An ICMP message about a probe, and who sent it: IcmpError or Note."""

    reporter: SocketAddress
    type: int
    code: int
    info: int
    """Path MTU in bytes, or the pointer of a parameter problem; for an IPv4 redirect the new gateway as a number."""
    round_trip_ns: int = -1
    """From the probe's sending to the arrival of the message; -1 if not measured."""
    timed: str = ""
    """How that was measured, as in an EchoReply."""


class IcmpError(IcmpReport, Outcome):
    """An ICMP error about a probe."""

    revises: str = ""
    """TIMEOUT if that was told before, else ""."""


class SendFailure(Outcome):
    """A probe that this host refused to send; nothing left."""

    errno: int
    mtu: int = 0
    """With EMSGSIZE the MTU that was exceeded, bytes of IP packet; 0 if unknown."""


class Timeout(Outcome):
    """Nothing was heard of a probe within its timeout."""

    waited_ns: int


class Overflow(Timeout):
    """Nothing was heard, but the socket's receive buffer overflowed meanwhile: the reply may have been in it."""


class Unmeasured(Timeout):
    """Nothing was heard, but this process did not run for half of that time or more."""


class Skipped(Record):
    """Probes that were due and not sent, because this process did not run, or there was no room for them."""

    count: int


class Duplicate(EchoReply):
    """One more echo reply to a probe that had one."""


class Note(IcmpReport):
    """An ICMP message that decides nothing: redirect, source quench, or an error about a probe that has its outcome."""


class Stray(Value):
    """An echo reply that answers none of our probes. Never counted for a target."""

    sequence: int
    source: SocketAddress
    message: bytes
    reason: str
    """UNKNOWN_SEQUENCE, OTHER_SOURCE, OTHER_TOKEN or NO_ECHO_REPLY."""


UNKNOWN_SEQUENCE = "sequence number of no probe"
OTHER_SOURCE = "from another address than was probed"
OTHER_TOKEN = "payload of another sender"
NO_ECHO_REPLY = "no echo reply with code 0"


class Unresolved(Value):
    """A host that has no address to send to."""

    host: str
    """As the user wrote it."""
    reason: str
    """As the C library says it, or what is wrong with the name."""


class Summary(Value):
    """All that became of one target."""

    target: Target
    statistics: Statistics


if TYPE_CHECKING:
    from pingsock.probe.statistics import Statistics
