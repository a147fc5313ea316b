"""The ping-socket layer: what net/ipv4/ping.c and net/ipv6/ping.c are in a kernel, without a kernel.

Theory of operation
-------------------
A `Stack` owns the table of idents and makes `Endpoint`s, one a socket. It never waits, looks at no clock and does no
I/O: packets come in by `deliver_untrusted`, go out through the `Network` it was given, and the system calls of a
socket are methods of its endpoint that return or raise OSError at once. Who drives it (a service, a test) serialises
all calls; there are no locks here. Given the same calls and the same `random`, it does the same.

    who      which file
    -------  ----------------------------------------------------------------------------
    idents   idents.py: the shared table, allocation, sharing
    names    naming.py: bind, connect, disconnect
    routes   routing.py: what the options ask for
    out      send.py, with ancillary_send.py (overrides) and pathmtu.py (sizes)
    in       demux.py, with errnos.py (what an error means) and errorqueue.py
    read     endpoint.py, with ancillary_receive.py
    options  options.py (state and tables), sockopt_get.py, sockopt_set.py with one file a level,
             memberships.py, extension_headers.py
    filters  bpf.py, bpf_check.py
    policy   policy.py (who and what), pairs.py (which messages)
    show     procfs.py: the text of /proc/net/icmp
"""

from __future__ import annotations

from errno import EACCES, ENOMSG, EPROTONOSUPPORT, ESOCKTNOSUPPORT

from pingsock.stack import demux
from pingsock.stack.endpoint import Endpoint
from pingsock.stack.errorqueue import ErrorEntry
from pingsock.stack.failure import failure
from pingsock.stack.idents import IdentTable
from pingsock.stack.options import Options
from pingsock.stack.pairs import PairTable
from pingsock.stack.policy import Credentials, Policy
from pingsock.stack.sockaddr import pack_in, pack_in6
from pingsock.wire import linux
from pingsock.wire.linux import AF_INET, AF_INET6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, KeysView

    from pingsock.stack.network import Network

MAXIMUM_AWAITED_STAMPS = 65536
"""Transmit stamps that may be outstanding; the oldest is given up beyond, so that lost ones cost no memory."""


class Stack:
    """All ping sockets of one host (or one namespace)."""

    def __init__(self, network: Network, random: Callable[[int], int], policy: Policy | None = None) -> None:
        """`random(n)` gives a number from 0 to n - 1; `policy` is Linux with the range open to all unless given.

        ValueError if the policy names an unknown message pair.
        """
        self.network = network
        self.random = random
        self.idents = IdentTable(random(65536), random(64))
        self.apply_policy(policy or Policy())
        self.on_idents_changed: Callable[[KeysView[int]], None] | None = None
        """Told all idents in use when they change, so that a link can filter."""
        self._awaited: dict[int, tuple[Endpoint, int, bool]] = {}
        self._next_stamp_key = 0
        self._next_number = 1

    def apply_policy(self, policy: Policy) -> None:
        """Let another policy rule from now on. ValueError if it names an unknown message pair.

        As in the kernel a changed group range does not touch sockets that are open; nor does any other change.
        """
        self.pairs = PairTable(policy.pairs)
        self.policy = policy
        self.idents.owner_exclusive = policy.owner_exclusive_idents

    def socket(self, family: int, kind: int, protocol: int, credentials: Credentials) -> Endpoint:
        """A new socket, as socket(2) makes one from these arguments.

        EPROTONOSUPPORT or ESOCKTNOSUPPORT for what is no ping socket, EACCES outside the group range.
        """
        if kind not in KNOWN_KINDS:
            raise failure(ESOCKTNOSUPPORT)
        if kind != linux.SOCK_DGRAM or PROTOCOLS.get(family) != protocol:
            raise failure(EPROTONOSUPPORT)
        if not self.policy.group_range.allows(credentials):
            raise failure(EACCES)
        sysctl = self.network.sysctl
        discovery = linux.IP_PMTUDISC_DONT if sysctl("ipv4.ip_no_pmtu_disc") else linux.IP_PMTUDISC_WANT
        options = Options(sysctl("core.rmem_default"), sysctl("core.wmem_default"), discovery)
        number, self._next_number = self._next_number, self._next_number + 1
        return Endpoint(self, family, credentials, options, number)

    def forget(self, endpoint: Endpoint) -> None:
        """A closed socket's ident is free at once."""
        self.idents.release(endpoint)
        self.idents_changed()

    def idents_changed(self) -> None:
        """Tell the link which idents matter now."""
        if self.on_idents_changed is not None:
            self.on_idents_changed(self.idents.idents())

    def deliver_untrusted(self, packet: bytes, interface: int, stamp: int, fragment_size: int = 0) -> None:
        """See `Receiver.deliver_untrusted`. Cannot fail."""
        demux.deliver_untrusted(self, packet, interface, stamp, fragment_size)

    # Transmit time stamps

    def expect_stamp(self, endpoint: Endpoint, number: int | None, flags: int) -> int:
        """A key for the stamps of a packet about to be sent, 0 if `flags` ask for none that software takes.

        `number` is what their entries will say (None: the next).
        """
        if number is None:
            number = endpoint.stamp_number
            endpoint.stamp_number = number + 1 & 0xFFFFFFFF
        if not flags & (linux.SOF_TIMESTAMPING_TX_SOFTWARE | linux.SOF_TIMESTAMPING_TX_SCHED):
            return 0
        self._next_stamp_key += 1
        if len(self._awaited) >= MAXIMUM_AWAITED_STAMPS:
            del self._awaited[next(iter(self._awaited))]
        self._awaited[self._next_stamp_key] = (endpoint, number, bool(flags & linux.SOF_TIMESTAMPING_TX_SOFTWARE))
        return self._next_stamp_key

    def transmitted(self, stamp_key: int, stamp: int, scheduled: bool, packet: bytes) -> None:
        """See `Receiver.transmitted`: an entry of the error queue, without a pending error."""
        endpoint, number, until_sent = self._awaited.get(stamp_key, (None, 0, False))
        if not (scheduled and until_sent):
            self._awaited.pop(stamp_key, None)
        if endpoint is None or endpoint.closed:
            return
        flags = endpoint.options.timestamping
        entry = ErrorEntry(
            ENOMSG,
            linux.SO_EE_ORIGIN_TIMESTAMPING,
            info=linux.SCM_TSTAMP_SCHED if scheduled else linux.SCM_TSTAMP_SND,
            data=number if flags & linux.SOF_TIMESTAMPING_OPT_ID else 0,
            payload=b"" if flags & linux.SOF_TIMESTAMPING_OPT_TSONLY else packet,
            offender=_stamp_offender(endpoint, packet),
            stamp=stamp,
        )
        endpoint.queue_error(entry, len(entry.payload))


PROTOCOLS = {AF_INET: linux.IPPROTO_ICMP, AF_INET6: linux.IPPROTO_ICMPV6}
KNOWN_KINDS = (linux.SOCK_STREAM, linux.SOCK_DGRAM, linux.SOCK_RAW)
"""Kinds of socket that the Internet families know at all."""


def _stamp_offender(endpoint: Endpoint, packet: bytes) -> bytes:
    """Our own source address: always for IPv6, for IPv4 with OPT_CMSG only."""
    if endpoint.family == AF_INET6:
        return pack_in6(packet[8:24])
    return pack_in(packet[12:16]) if endpoint.options.timestamping & linux.SOF_TIMESTAMPING_OPT_CMSG else b""
