"""One run of `ping` towards one address: first line, probes, what is heard, summary, exit status."""

from __future__ import annotations

import os
from _socket import AF_INET6, inet_aton

from pingsock.cli import ping_texts
from pingsock.cli.interrupts import Interrupts
from pingsock.cli.ping_lines import Lines
from pingsock.cli.ping_setup import USERS_INTERVAL, Setup
from pingsock.probe.clock import MILLISECOND, SECOND
from pingsock.probe.records import EchoReply
from pingsock.probe.target import ProbeOptions, Target
from pingsock.sockets.bare import KERNEL_KINDS
from pingsock.tools.ping import TIME_BYTES, Interruption, PingPlan, PingRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pingsock.cli.names import Names
    from pingsock.cli.output import Output
    from pingsock.cli.ping_options import Settings
    from pingsock.probe.target import SocketAddress
    from pingsock.sockets.choose import PingSocket
    from pingsock.tools.destination import Destination

    ShowAddress = Callable[[SocketAddress], str]

_IP_OPTIONS_BYTES = 40
_FAILED = 2
"""Exit status: the socket failed in the middle of the run, so it says nothing of the host."""


class Session:
    """One run. `hops` are the IPv4 hosts given before the destination."""

    def __init__(
        self,
        settings: Settings,
        host: str,
        destination: Destination,
        sock: PingSocket,
        output: Output,
        hops: Sequence[str] = (),
    ) -> None:
        self._settings = settings
        self._destination = destination
        self._sock = sock
        self._output = output
        self._ipv6 = destination.family == AF_INET6
        literal = ":" in host if self._ipv6 else is_ipv4_literal(host)
        self._host = host if self._ipv6 or literal else destination.canonical_name
        self._names = settings.always_names or not (settings.numeric or literal)
        self._setup = Setup(settings, destination, sock, output, hops)
        self._asks_node = self._ipv6 and settings.node_query is not None and settings.node_query.is_asked
        self._timed: dict[str, int] = {}
        self._closing: Callable[[], str] = str
        self._failed = False

    def run(self) -> int:
        """Ping, print, and return the exit status.

        :raises Refused: with iputils' text.
        :raises Unreachable: likewise, but there may be another address.
        """
        self._setup.before_first_line()
        interrupts = Interrupts()
        try:
            return self._run(interrupts)
        finally:
            interrupts.close()

    def _run(self, interrupts: Interrupts) -> int:
        names = self._resolver(interrupts)
        show = names.show if names else numeric_address
        self._tell_first_line(show)
        self._setup.after_first_line()
        run = self._begin(interrupts)
        if names:
            names.spare_ns = run.spare_ns
        try:
            self._tell_records(run, self._teller(run, show), interrupts)
        except OSError as error:
            # Nothing is wrong with what was measured until now.
            self._failed = True
            self._tell_failure(error)
        self._tell_summary(run)
        if self._settings.verbose and self._timed:
            self._output.warn(ping_texts.timing(self._timed))
        return self._status(run)

    def _tell_records(self, run: PingRun, tell: Callable[[object], None], interrupts: Interrupts) -> None:
        for record in run.records():
            tell(record)
            if self._settings.verbose and isinstance(record, EchoReply):
                self._timed[record.timed] = self._timed.get(record.timed, 0) + 1
            if isinstance(record, Interruption):
                interrupts.clear()
            self._obey(interrupts, run)

    def _tell_failure(self, error: OSError) -> None:
        self._output.warn(error.strerror or str(error))

    def _begin(self, interrupts: Interrupts) -> PingRun:
        return PingRun(self._sock, self._plan(), interrupts.descriptor)

    def _tell_first_line(self, show: ShowAddress) -> None:
        self._output.write(self._header(show))

    def _tell_summary(self, run: PingRun) -> None:
        self._output.write(self._summary(run))

    def _resolver(self, interrupts: Interrupts) -> Names | None:
        if not self._names:
            return None
        from pingsock.cli.names import Names  # lazy: not for numeric output

        return Names(interrupts.descriptor)

    def _teller(self, run: PingRun, show: ShowAddress) -> Callable[[object], None]:
        if self._settings.flood:
            from pingsock.cli.ping_flood import Flood  # lazy: only with -f

            return Flood(self._settings, self._output, run).tell
        if self._asks_node:
            from pingsock.cli.ping_node_lines import NodeLines  # lazy: only with -N

            lines: type[Lines] = NodeLines
        elif self._settings.pair is not None:
            from pingsock.cli.ping_pairs import PairLines  # lazy: only with --timestamp and the like

            lines = PairLines
        else:
            lines = Lines
        verbose = self._settings.verbose
        told = lines(
            self._settings,
            self._destination,
            self._output,
            run,
            show,
            marks_duplicates=verbose or not self._setup.is_group,
            # iputils does not know what the kernel chose.
            shows_ident=verbose and (self._settings.ident >= 0 or self._sock.kind not in KERNEL_KINDS),
        )
        self._closing = told.closing
        return told.tell

    def _header(self, show: ShowAddress) -> str:
        settings = self._settings
        shows_source = settings.device is not None or settings.strict_source
        return ping_texts.header(
            ipv6=self._ipv6,
            host=self._host,
            address=numeric_address(self._destination.address if self._ipv6 else self._setup.address),
            size=settings.size,
            source=(show if self._ipv6 else numeric_address)(self._setup.source) if shows_source else "",
            device=settings.device or "",
            options=_IP_OPTIONS_BYTES if settings.has_ip_options else 0,
            flow_label=self._setup.flow_label,
        )

    def _plan(self) -> PingPlan:
        settings, destination = self._settings, self._destination
        others = destination.answered_by_others or self._setup.is_group
        return PingPlan(
            Target(
                self._host,
                destination.family,
                self._setup.address,
                others,
                ProbeOptions(size=self._probe_size, payload=settings.pattern),
            ),
            settings.count,
            settings.interval * MILLISECOND,
            settings.deadline * SECOND,
            settings.linger * MILLISECOND,
            settings.preload,
            (USERS_INTERVAL * MILLISECOND if os.getuid() else 0) if settings.adaptive else -1,
            settings.outstanding,
            settings.flood,
            wants_options=settings.has_ip_options,
        )

    @property
    def _probe_size(self) -> int:
        if self._asks_node:
            # A query has no room for the time, so there are no round trips, as in iputils.
            return 0
        if self._settings.pair is not None:
            # The size of what leaves in place of the probe is its own.
            return TIME_BYTES
        return self._settings.size

    def _obey(self, interrupts: Interrupts, run: PingRun) -> None:
        if interrupts.status_wanted:
            interrupts.status_wanted = False
            self._output.warn_plainly(ping_texts.status(run.tally, timed=run.timed))
        if interrupts.ended or self._output.unread:
            run.stop()

    def _summary(self, run: PingRun) -> str:
        summary = ping_texts.summary(
            run.tally,
            host=self._host,
            elapsed=run.elapsed,
            timed=run.timed,
            unpaced=not self._settings.paced or not run.interval,
        )
        return summary + self._closing()

    def _status(self, run: PingRun) -> int:
        if self._failed:
            return _FAILED
        received = run.tally.received
        return int(not received or bool(self._settings.deadline and received < self._settings.count))


def is_ipv4_literal(host: str) -> bool:
    """Whether the C library takes this for an IPv4 address, "127.1" too."""
    try:
        inet_aton(host)
    except (OSError, ValueError):
        return False
    return True


def numeric_address(address: SocketAddress) -> str:
    """An address without a name, an IPv6 one with its scope."""
    if len(address) == 4 and address[3]:
        from pingsock.cli.names import numeric  # lazy: only for scoped addresses

        return numeric(address)
    return str(address[0])
