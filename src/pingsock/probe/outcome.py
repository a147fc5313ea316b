"""The rule that decides what became of a probe.

The rule
--------

1. What was heard of a probe ranks: an echo reply above an ICMP error, an ICMP error above silence. The highest rank
   heard is the outcome, in whatever order things came; of two with the same rank, the first.
2. An outcome is told as soon as it is known, so a higher rank that comes afterwards is told too and *revises* it: a
   reply after an ICMP error, either of them after a timeout.
3. What does not rank higher than the present outcome decides nothing: a second reply is a duplicate, an ICMP error
   after a reply or after another error a note. Redirect and source quench are always notes: the probe went on.
4. A reply is late if it *arrived* after the timeout, by the kernel's stamp; when we came to read it does not matter.
5. Silence is told when the timeout has passed and all that had arrived by then was read. It is *overflow* if the socket
   dropped anything since the probe was sent, since that may have been the reply; *unmeasured* if this process did not
   run for half of the time or more; else *timeout*.
6. A probe that this host refused to send has that as its outcome at once, and none other.
7. Who sends what is never trusted: a reply counts only from the probed address (unless others answer for it, as in
   groups) and with the token of this run. Everything else is a stray and touches no probe.

`WAITING` and so on are the states this walks through; `FREE` is a sequence number not in use.
"""

from __future__ import annotations

from pingsock.probe.records import (
    ICMP_ERROR,
    TIMEOUT,
    Duplicate,
    EchoReply,
    IcmpError,
    Late,
    Note,
    Overflow,
    Reply,
    Timeout,
    Unmeasured,
)

FREE, WAITING, SILENT, ERRED, ANSWERED = range(5)

REVISED = {WAITING: "", SILENT: TIMEOUT, ERRED: ICMP_ERROR, ANSWERED: ""}
"""State -> the outcome that was told, if it can be revised."""
BEFORE = {"": WAITING, TIMEOUT: SILENT, ICMP_ERROR: ERRED}
"""Outcome that the first reply to a probe revises -> the state the probe was in."""

_SOURCE_QUENCH, _REDIRECT = 4, 5


def packet_went_on(icmp_type: int, *, is_ipv4: bool) -> bool:
    """Whether an ICMP message of that type is about a packet that was not dropped (RFC 792)."""
    return is_ipv4 and icmp_type in (_SOURCE_QUENCH, _REDIRECT)


def of_reply(state: int, *, late: bool) -> type[EchoReply]:
    """What a genuine echo reply to a probe in this state is; the probe is ANSWERED then."""
    if state == ANSWERED:
        return Duplicate
    return Late if late else Reply


def of_error(state: int, icmp_type: int, *, is_ipv4: bool) -> type[IcmpError | Note]:
    """What an ICMP message about a probe in this state is; with an IcmpError the probe is ERRED then."""
    decides = state in (WAITING, SILENT) and not packet_went_on(icmp_type, is_ipv4=is_ipv4)
    return IcmpError if decides else Note


def of_silence(*, dropped: bool, absent: int, waited: int) -> type[Timeout]:
    """What it is that nothing was heard for `waited` nanoseconds, of which we did not run for `absent`."""
    if dropped:
        return Overflow
    return Unmeasured if absent and 2 * absent >= waited else Timeout
