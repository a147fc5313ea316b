"""`pingsock ping`: ping(8) of iputils 20250605, to the letter where programs may read it."""

from __future__ import annotations

import errno
import os
from _socket import AF_INET, AF_INET6, if_nametoindex, inet_aton, inet_pton

from pingsock.cli import ping_texts
from pingsock.cli.arguments import Refused, WrongUsage
from pingsock.cli.interrupts import Interrupts, obey_as_c_programs_do
from pingsock.cli.output import Output
from pingsock.cli.ping_options import Settings, read_options, usage
from pingsock.probe.clock import MILLISECOND, SECOND
from pingsock.probe.outcome import packet_went_on
from pingsock.probe.records import Duplicate, EchoReply, IcmpReport, SendFailure
from pingsock.probe.target import ProbeOptions, Target
from pingsock.sockets.bare import open_quickly
from pingsock.sockets.errors import NoPingSocket
from pingsock.tools.destination import Destination, UnknownHost, resolve, source_towards
from pingsock.tools.ping import TIME_BYTES, PingPlan, PingRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.probe.target import SocketAddress
    from pingsock.sockets.choose import PingSocket
    from pingsock.tools.ping import Happening

    ShowAddress = Callable[[SocketAddress], str]

_LARGEST_SIZES = {AF_INET: 65507, AF_INET6: 65527}
_FAMILY_OF_NAME = {"4": AF_INET, "6": AF_INET6}
_ICMP_HEADER = 8
_MOST_MILLISECONDS = 2**31 - 1
_USERS_INTERVAL = 2
_USERS_GROUP_INTERVAL = 1000
_TRY_NEXT_ADDRESS = (errno.EHOSTUNREACH, errno.ENETUNREACH)
_LINK_LOCAL_WARNING = (
    "Warning: IPv6 link-local address on ICMP datagram socket may require ifname or scope-id"
    " => use: address%<ifname|scope-id>"
)


def main(arguments: list[str], name: str = "ping") -> int:
    """Run ping with these arguments, called by `name`; returns the exit status."""
    obey_as_c_programs_do()
    output = Output(name)
    try:
        status = _run(arguments, name, output)
    except WrongUsage as refusal:
        if refusal.text:
            output.warn(refusal.text)
        output.warn_plainly(usage(name))
        status = refusal.status
    except Refused as refusal:
        output.warn(refusal.text)
        status = refusal.status
    return output.close(status)


def _run(arguments: list[str], name: str, output: Output) -> int:
    settings = Settings(_FAMILY_OF_NAME.get(name[-1:], 0))
    try:
        read_options(arguments, settings)
    finally:
        for line in settings.warnings:
            output.warn(line)
    if settings.version:
        from pingsock import __version__  # lazy: one attribute, seldom wanted

        # gping and others refuse a ping whose version does not name iputils.
        output.write(f"pingsock {__version__} (iputils-compatible)\n")
        return 0
    if os.environ.get("IPUTILS_PING_PTR_LOOKUP") == "0":
        settings.numeric = True
        if not settings.quiet:
            output.warn("WARNING: reverse DNS resolution (PTR lookup) disabled, enforce with -H")
    return _ping_first_reachable(settings, _only_operand(settings), output)


def _only_operand(settings: Settings) -> str:
    if not settings.operands:
        raise Refused("usage error: Destination address required")
    # Several hosts are a source route, which the kernel grants to nobody without CAP_NET_RAW.
    if len(settings.operands) > 1:
        raise WrongUsage("only one destination can be given")
    return settings.operands[0]


def _ping_first_reachable(settings: Settings, host: str, output: Output) -> int:
    _check_size(settings, host)
    _warn_of_missing_scope(host, output)
    try:
        destinations = resolve(host, settings.family)
    except UnknownHost as unknown:
        raise Refused(str(unknown)) from unknown
    for destination in destinations[:-1]:
        try:
            return _ping(settings, host, destination, output)
        except _Unreachable:
            continue
    try:
        return _ping(settings, host, destinations[-1], output)
    except _Unreachable as unreachable:
        raise unreachable.refusal from unreachable


class _Unreachable(Exception):
    """One address of the host cannot be pinged from here; another one perhaps can."""

    def __init__(self, refusal: Refused) -> None:
        self.refusal = refusal
        super().__init__(refusal)


def _check_size(settings: Settings, host: str) -> None:
    largest = _LARGEST_SIZES.get(_family_of_literal(host) or settings.family, max(_LARGEST_SIZES.values()))
    if settings.size > largest:
        raise Refused(f"invalid -s value: '{settings.size}': out of range: 0 <= value <= {largest}", 1)


def _family_of_literal(host: str) -> int:
    for family in _LARGEST_SIZES:
        try:
            inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return family
    return 0


def _warn_of_missing_scope(host: str, output: Output) -> None:
    if _family_of_literal(host) == AF_INET6 and Destination(AF_INET6, (host, 0, 0, 0), host).is_link_local:
        output.warn(_LINK_LOCAL_WARNING)


def _ping(settings: Settings, host: str, destination: Destination, output: Output) -> int:
    with _open(destination.family, output) as sock:
        session = _Session(settings, host, destination, sock, output)
        session.set_up()
        return session.run()


def _open(family: int, output: Output) -> PingSocket:
    try:
        return open_quickly(family)
    except NoPingSocket as refused:
        last = refused.refusals[-1][1].errno if refused.refusals else errno.EPERM
        if last not in (errno.EPERM, errno.EACCES):
            raise _Unreachable(Refused(f"socket: {os.strerror(last or errno.EIO)}")) from refused
        raise Refused(_no_permission(family, output.program)) from refused


def _no_permission(family: int, program: str) -> str:
    from pingsock.sockets.diagnosis import diagnose  # lazy: reads much of /proc, and only on failure

    lines = [
        "socktype: SOCK_RAW",
        f"socket: {os.strerror(errno.EPERM)}",
        "=> missing cap_net_raw+p capability or setuid?",
        *diagnose(family).short().splitlines(),
    ]
    return f"\n{program}: ".join(lines)


class _Session:
    """One run of ping towards one address."""

    def __init__(
        self, settings: Settings, host: str, destination: Destination, sock: PingSocket, output: Output
    ) -> None:
        self._settings = settings
        self._destination = destination
        self._sock = sock
        self._output = output
        self._ipv6 = destination.family == AF_INET6
        literal = ":" in host if self._ipv6 else _is_ipv4_literal(host)
        self._host = host if self._ipv6 or literal else destination.canonical_name
        self._names = settings.always_names or not (settings.numeric or literal)
        self._show = _numeric
        self._source: SocketAddress = ("",)
        self._address = destination.address

    # Before the first line is printed

    def set_up(self) -> None:
        """Choose the source and set the socket's options."""
        if self._settings.device:
            self._bind_to_device()
        self._choose_source()
        if self._address[0] == "0.0.0.0":
            self._address = (self._source[0], 0)
        if self._destination.is_group:
            self._prepare_for_group()
        if self._settings.source:
            self._bind()
        if self._settings.hop_limit is not None:
            self._set_hop_limit(self._settings.hop_limit)

    def _bind_to_device(self) -> None:
        from pingsock.tools.settings import bind_to_device  # lazy: only with -I

        device = self._settings.device
        if self._ipv6:
            self._address = self._with_scope(self._address, _interface_index(device))
        try:
            bind_to_device(self._sock, device)
        except OSError as error:
            raise Refused(f"SO_BINDTODEVICE {device}: {error.strerror}") from error

    def _with_scope(self, address: SocketAddress, index: int) -> SocketAddress:
        if Destination(AF_INET6, address, "").is_link_local and not address[3]:
            return *address[:3], index
        return address

    def _choose_source(self) -> None:
        device, wanted = self._settings.device, self._settings.source
        if wanted and (":" in wanted) == self._ipv6:
            self._source = (wanted, 0, 0, 0) if self._ipv6 else (wanted, 0)
            if self._ipv6 and device:
                self._source = self._with_scope(self._source, _interface_index(device))
            return
        try:
            self._source = source_towards(self._destination.replace(address=self._address), device)
        except OSError as error:
            raise self._connect_refused(error) from error
        if device:
            self._check_source_is_on(device)

    def _connect_refused(self, error: OSError) -> Exception:
        if error.errno == errno.EACCES and not self._ipv6:
            return Refused("Do you want to ping broadcast? Then -b. If not, check your local firewall rules")
        refusal = Refused(f"connect: {error.strerror}")
        return _Unreachable(refusal) if error.errno in _TRY_NEXT_ADDRESS else refusal

    def _check_source_is_on(self, device: str) -> None:
        from pingsock.tools.settings import device_has_address  # lazy: only with -I

        if not device_has_address(device, self._destination.family, self._source[0]):
            self._output.warn(f"Warning: source address might be selected on device other than: {device}")

    def _prepare_for_group(self) -> None:
        from pingsock.tools.settings import keep_whole  # lazy: only for groups

        if os.getuid() and self._settings.interval < _USERS_GROUP_INTERVAL:
            kind = "multicast" if self._ipv6 else "broadcast"
            raise Refused(
                f"minimal interval for {kind} ping for user must be >= {_USERS_GROUP_INTERVAL} ms,"
                f" use -i {_USERS_GROUP_INTERVAL // 1000} (or higher)"
            )
        keep_whole(self._sock)

    def _bind(self) -> None:
        try:
            self._sock.bind(self._source)
        except OSError as error:
            raise Refused(f"bind{' icmp socket' if self._ipv6 else ''}: {error.strerror}") from error

    def _set_hop_limit(self, hop_limit: int) -> None:
        from pingsock.tools.settings import set_hop_limit  # lazy: only with -t

        try:
            set_hop_limit(self._sock, hop_limit)
        except OSError as error:
            what = "can't set unicast hop limit" if self._ipv6 else "cannot set unicast time-to-live"
            raise Refused(f"{what}: {error.strerror}") from error

    # The ping itself

    def run(self) -> int:
        """Ping, print, and return the exit status."""
        interrupts = Interrupts()
        try:
            return self._run(interrupts)
        finally:
            interrupts.close()

    def _run(self, interrupts: Interrupts) -> int:
        if self._names:
            from pingsock.cli.names import Names  # lazy: not for numeric output

            self._show = Names(interrupts.descriptor).show
        self._output.write(self._header())
        self._check_interval()
        run = PingRun(self._sock, self._plan(), interrupts.descriptor)
        for record in run.records():
            if not self._settings.quiet:
                self._print(record, timed=run.timed)
            self._obey(interrupts, run)
        self._output.write(self._summary(run))
        return self._status(run)

    def _header(self) -> str:
        shows_source = self._settings.device or self._settings.source
        return ping_texts.header(
            ipv6=self._ipv6,
            host=self._host,
            address=_numeric(self._destination.address if self._ipv6 else self._address),
            size=self._settings.size,
            source=(self._show if self._ipv6 else _numeric)(self._source) if shows_source else "",
            device=self._settings.device,
        )

    def _check_interval(self) -> None:
        # iputils checks this after its first line.
        interval = self._settings.interval
        if os.getuid() and interval < _USERS_INTERVAL:
            raise Refused(
                f"cannot flood, minimal interval for user must be >= {_USERS_INTERVAL} ms,"
                f" use -i {_USERS_INTERVAL / 1000} (or higher)"
            )
        if interval >= _MOST_MILLISECONDS:
            raise Refused(f"illegal preload and/or interval: {interval}")

    def _plan(self) -> PingPlan:
        settings, destination = self._settings, self._destination
        options = ProbeOptions(size=settings.size)
        return PingPlan(
            Target(self._host, destination.family, self._address, destination.answered_by_others, options),
            settings.count,
            settings.interval * MILLISECOND,
            settings.deadline * SECOND,
            settings.linger * MILLISECOND,
        )

    def _obey(self, interrupts: Interrupts, run: PingRun) -> None:
        interrupts.clear()
        if interrupts.status_wanted:
            interrupts.status_wanted = False
            self._output.warn_plainly(ping_texts.status(run.tally, timed=run.timed))
        if interrupts.ended or self._output.unread:
            run.stop()

    def _print(self, record: Happening, *, timed: bool) -> None:
        if isinstance(record, EchoReply):
            self._output.write(self._reply(record, timed))
        elif isinstance(record, IcmpReport):
            self._output.write(self._reported(record))
        elif isinstance(record, SendFailure):
            from pingsock.cli.icmp_texts import send_failure  # lazy: only when something failed

            self._output.warn(send_failure(self._destination.family, record.errno, record.mtu))

    def _reply(self, record: EchoReply, timed: bool) -> str:
        payload = record.message[_ICMP_HEADER : _ICMP_HEADER + self._settings.size]
        altered = record.altered_at
        return ping_texts.reply(
            size=len(record.message),
            source=self._show(record.source),
            sequence=record.sequence,
            hop_limit=record.hop_limit,
            microseconds=record.round_trip_ns // 1000 if timed else None,
            truncated=record.truncated,
            duplicate=isinstance(record, Duplicate) and not self._destination.is_group,
            other_source=record.other_source,
            wrong_data=ping_texts.wrong_data(payload, altered & 0xFF, altered) if altered >= TIME_BYTES else "",
        )

    def _reported(self, record: IcmpReport) -> str:
        from pingsock.cli.icmp_texts import icmp_message  # lazy: only when something failed

        family = self._destination.family
        text = icmp_message(family, record.type, record.code, record.info, lambda host: self._show((host, 0)))
        colon = ":" if packet_went_on(record.type, is_ipv4=not self._ipv6) else ""
        return f"From {self._show(record.reporter)}{colon} icmp_seq={record.sequence} {text}\n"

    def _summary(self, run: PingRun) -> str:
        return ping_texts.summary(
            run.tally,
            host=self._host,
            elapsed=run.elapsed,
            timed=run.timed,
            unpaced=not self._settings.interval,
        )

    def _status(self, run: PingRun) -> int:
        received = run.tally.received
        return int(not received or bool(self._settings.deadline and received < self._settings.count))


def _is_ipv4_literal(host: str) -> bool:
    try:
        inet_aton(host)
    except (OSError, ValueError):
        return False
    return True


def _numeric(address: SocketAddress) -> str:
    if len(address) == 4 and address[3]:
        from pingsock.cli.names import numeric  # lazy: only for scoped addresses

        return numeric(address)
    return str(address[0])


def _interface_index(device: str) -> int:
    try:
        return if_nametoindex(device)
    except (OSError, ValueError) as error:
        raise Refused(f"unknown iface: {device}") from error
