"""`pingsock ping`: ping(8) of iputils 20250605, to the letter where programs may read it."""

from __future__ import annotations

import os
from _socket import AF_INET, AF_INET6, inet_pton

from pingsock.cli.arguments import Refused, WrongUsage
from pingsock.cli.interrupts import obey_as_c_programs_do
from pingsock.cli.output import Output
from pingsock.cli.ping_options import Settings, read_options
from pingsock.cli.ping_session import Session
from pingsock.cli.ping_setup import Unreachable
from pingsock.cli.ping_sockets import Sockets
from pingsock.tools.destination import OTHER_FAMILY, Destination, UnknownHost, resolve

_LARGEST_SIZES = {AF_INET: 65507, AF_INET6: 65527}
_IP_OPTIONS_BYTES = 40
_FAMILY_OF_NAME = {"4": AF_INET, "6": AF_INET6}
_MOST_OPERANDS, _MOST_TIMED_OPERANDS = 10, 5
_TIMES_GIVEN = 3
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
        from pingsock.cli.ping_usage import usage  # lazy: only for mistakes

        if refusal.text:
            output.warn(refusal.text)
        output.warn_plainly(usage(name))
        status = refusal.status
    except Refused as refusal:
        _tell(refusal, output)
        status = refusal.status
    except OSError as error:
        # What this process may have of descriptors or memory is used up, or a service is lost: anywhere, at any time.
        output.warn(error.strerror or str(error))
        status = 2
    return output.close(status)


def _tell(refusal: Refused, output: Output) -> None:
    if refusal.text:
        output.warn(refusal.text)
        return
    from pingsock.cli.ping_node_query import NodeQueryHelp, help_text  # lazy: only with a mistaken -N

    if isinstance(refusal, NodeQueryHelp):
        if refusal.warning:
            output.warn(refusal.warning)
        output.write(refusal.before + help_text() if refusal.asked else refusal.before)
        if not refusal.asked:
            output.warn_plainly(help_text())


def _run(arguments: list[str], name: str, output: Output) -> int:
    settings = Settings(_FAMILY_OF_NAME.get(name[-1:], 0))
    try:
        read_options(arguments, settings)
        if settings.extras is not None:
            from pingsock.cli.ping_extras import check as check_extras  # lazy: only with options iputils does not have

            check_extras(settings, settings.extras)
    finally:
        for line in () if settings.extras is not None and settings.extras.json else settings.notices:
            output.write(line)
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
    if not settings.operands:
        raise Refused("usage error: Destination address required")
    if settings.pair is not None:
        from pingsock.cli.ping_pairs import check  # lazy: only with --timestamp and the like

        check(settings, settings.pair)
    with Sockets(settings, output) as sockets:
        return _ping_first_reachable(settings, sockets, output)


def _ping_first_reachable(settings: Settings, sockets: Sockets, output: Output) -> int:
    host = settings.operands[-1]
    sockets.open_first(family_of_literal(host))
    _check_size(settings, sockets.family, host)
    sockets.describe()
    sockets.set_traffic_class()
    if sockets.asks_for_scopes:
        _warn_of_missing_scope(host, output)
    destinations = _resolved(host)
    for number, destination in enumerate(destinations):
        is_last = number == len(destinations) - 1
        if settings.verbose:
            _describe(destination, "" if number else destination.canonical_name, output)
        if sockets.family not in (0, destination.family):
            if is_last:
                raise Refused(f"{host}: {OTHER_FAMILY}")
            continue
        try:
            return _ping(settings, destination, sockets, output)
        except Unreachable as unreachable:
            if is_last:
                raise unreachable.refusal from unreachable
    raise AssertionError("a host that is resolved has an address")


def _resolved(host: str, family: int = 0) -> list[Destination]:
    try:
        return resolve(host, family, strictly=bool(family))
    except UnknownHost as unknown:
        raise Refused(str(unknown)) from unknown


def _describe(destination: Destination, canonical_name: str, output: Output) -> None:
    family = "AF_INET" if destination.family == AF_INET else "AF_INET6"
    output.warn(f"ai->ai_family: {family}, ai->ai_canonname: '{canonical_name}'")


def _check_size(settings: Settings, family: int, host: str) -> None:
    family = family_of_literal(host) or family
    largest = _LARGEST_SIZES.get(family, max(_LARGEST_SIZES.values()))
    # That several operands are a source route is found out later, in iputils too.
    if family == AF_INET and (settings.record_route or settings.timestamp_kind is not None):
        largest -= _IP_OPTIONS_BYTES
    if settings.size > largest:
        raise Refused(f"invalid -s value: '{settings.size}': out of range: 0 <= value <= {largest}", 1)


def family_of_literal(host: str) -> int:
    """AF_INET or AF_INET6 if the host is an address in full, else 0."""
    for family in _LARGEST_SIZES:
        try:
            inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return family
    return 0


def _warn_of_missing_scope(host: str, output: Output) -> None:
    if family_of_literal(host) == AF_INET6 and Destination(AF_INET6, (host, 0, 0, 0), host).is_link_local:
        output.warn(_LINK_LOCAL_WARNING)


def _ping(settings: Settings, destination: Destination, sockets: Sockets, output: Output) -> int:
    hops = _hops(settings, destination.family)
    sock = sockets.of(destination.family, settings.operands[-1])
    session: type[Session] = Session
    if settings.extras is not None:
        from pingsock.cli.ping_extended import ExtendedSession  # lazy: only with options that iputils does not have

        session = ExtendedSession
    return session(settings, settings.operands[-1], destination, sock, output, hops).run()


def _hops(settings: Settings, family: int) -> list[str]:
    """The addresses of the hosts before the last one.

    :raises WrongUsage: there must not be any, or not so many.
    """
    names = settings.operands[:-1]
    if not names:
        return []
    most = _MOST_OPERANDS
    if settings.timestamp_kind is not None:
        most = _MOST_TIMED_OPERANDS if settings.timestamp_kind == _TIMES_GIVEN else 1
    if family == AF_INET6 or settings.record_route or len(settings.operands) > most:
        raise WrongUsage("")
    return [_hop(name) for name in names]


def _hop(name: str) -> str:
    address: str = _resolved(name, AF_INET)[0].address[0]
    return address
