"""The sockets `ping` works with: opened in iputils' order, with its words when they cannot be had."""

from __future__ import annotations

import errno
import os
from _socket import AF_INET, AF_INET6

from pingsock.cli.arguments import Refused
from pingsock.sockets.bare import KERNEL_KINDS, open_quickly
from pingsock.sockets.errors import NoPingSocket
from pingsock.tools.destination import OTHER_FAMILY
from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from pingsock.cli.output import Output
    from pingsock.cli.ping_options import Settings
    from pingsock.sockets.choose import PingSocket, Refusals

_FORBIDDEN = (errno.EPERM, errno.EACCES)
_OTHER = {AF_INET: AF_INET6, AF_INET6: AF_INET}
_FAMILY_NAMES = {0: "AF_UNSPEC", AF_INET: "AF_INET", AF_INET6: "AF_INET6"}
_TRAFFIC_CLASSES = {AF_INET: (linux.SOL_IP, linux.IP_TOS), AF_INET6: (linux.SOL_IPV6, linux.IPV6_TCLASS)}
_LOWEST_TRAFFIC_CLASS = -1
"""The default, for IPv6."""


class Sockets:
    """The ping socket of each family, opened when it is needed, or with -v both at once. A context manager.

    `family` is the one family there can be, 0 as long as both are possible.
    """

    def __init__(self, settings: Settings, output: Output) -> None:
        self._settings = settings
        self._output = output
        self._opened: dict[int, PingSocket] = {}
        self._refusals: Refusals = ()
        self.family = settings.family

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        for sock in self._opened.values():
            sock.close()

    def open_first(self, likely: int) -> None:
        """Open the socket of the family the user asked for, else of the likely one, else of any.

        :raises Refused: there is none.
        """
        if self._settings.verbose and self._settings.ident == 0:
            self._output.warn("WARNING: ident 0 => forcing raw socket")
        if self._settings.verbose and not self.family:
            wanted = [AF_INET, AF_INET6]
        else:
            wanted = [self.family or likely or AF_INET]
        refused = [refusal for family in wanted if (refusal := self._try_to_open(family))]
        if not self.family and refused:
            self._settle(wanted, refused)
        if not self._opened:
            raise Refused(f"\n{self._output.program}: ".join(refused[-1]))

    def set_traffic_class(self) -> None:
        """Set what -Q wants, on both sockets as iputils does: IPv6 may refuse what IPv4 takes."""
        wanted = self._settings.traffic_class
        if wanted < _LOWEST_TRAFFIC_CLASS and self.family != AF_INET:
            raise Refused(f"setsockopt: {os.strerror(errno.EINVAL)}")
        for family, sock in self._opened.items() if wanted else ():
            sock.setsockopt(*_TRAFFIC_CLASSES[family], wanted)

    def _settle(self, tried: list[int], refused: list[list[str]]) -> None:
        """Without a socket for one family there is only the other one."""
        missing = tried[0] if tried[0] not in self._opened else tried[-1]
        if len(tried) == 1:
            refused += filter(None, [self._try_to_open(_OTHER[missing])])
        self.family = _OTHER[missing]

    def of(self, family: int, host: str) -> PingSocket:
        """The socket of a family.

        :raises Refused: there is none.
        """
        if family not in self._opened:
            if self._try_to_open(family):
                raise Refused(f"{host}: {OTHER_FAMILY}")
            self.set_traffic_class()
        return self._opened[family]

    def _try_to_open(self, family: int) -> list[str]:
        """What is to be said if it is refused, else nothing."""
        try:
            self._opened[family] = self._open(family)
        except NoPingSocket as refused:
            self._refusals += refused.refusals
            return self._no_ping_socket(family, refused.refusals)
        except OSError as error:
            return self._refusal(error.errno or errno.EIO)
        return []

    def _no_ping_socket(self, family: int, refusals: Refusals) -> list[str]:
        """What iputils says, and why there is none."""
        number = refusals[-1][1].errno or errno.EIO
        told = self._refusal(number)
        if number in _FORBIDDEN:
            from pingsock.sockets.diagnosis import diagnose_refusals  # lazy: reads much of /proc, and only on failure

            told += diagnose_refusals(family, refusals).short().splitlines()
        return told

    def _open(self, family: int) -> PingSocket:
        if self._forces_raw:
            raw: PingSocket = self._open_raw(family)
            return raw
        if self._forced_kind:
            from pingsock.cli.ping_extras import open_socket as open_kind  # lazy: only with --socket

            return open_kind(self._forced_kind, family)
        if self._settings.pair is None:
            return open_quickly(family, self._refusals)
        from pingsock.cli.ping_pairs import open_socket  # lazy: only with --timestamp and the like

        asking: PingSocket = open_socket(self._settings.pair, family, self._refusals)
        return asking

    @property
    def _forces_raw(self) -> bool:
        settings = self._settings
        return settings.ident == 0 or settings.node_query is not None or self._forced_kind == "raw"

    @property
    def _forced_kind(self) -> str:
        return self._settings.extras.socket_kind if self._settings.extras is not None else ""

    def _open_raw(self, family: int) -> Any:
        """No ping socket, but with as much of one as is needed here."""
        from pingsock.sockets.first_settings import set_up
        from pingsock.sockets.raw_echo import RawEchoSocket  # lazy: for two options

        ident = self._settings.ident if self._settings.ident >= 0 else int.from_bytes(os.urandom(2), "big")
        query = self._settings.node_query
        sock: Any
        if query is not None and query.is_asked and family == AF_INET6:
            from pingsock.tools.node_query import NodeQuerySocket  # lazy: only with -N

            sock = NodeQuerySocket(query)
        else:
            sock = RawEchoSocket(family, ident)
        set_up(sock)
        return sock

    def _refusal(self, number: int) -> list[str]:
        """What iputils says to errno `number`."""
        if number not in _FORBIDDEN:
            return [f"socktype: {'SOCK_RAW' if self._forces_raw else 'SOCK_DGRAM'}", f"socket: {os.strerror(number)}"]
        told = ["socktype: SOCK_RAW", f"socket: {os.strerror(errno.EPERM)}"]
        if os.geteuid():
            told.append("=> missing cap_net_raw+p capability or setuid?")
        return told

    def describe(self) -> None:
        """With -v, say which sockets there are."""
        if not self._settings.verbose:
            return
        told = ", ".join(
            f"{name}.fd: {self._descriptor(family)} (socktype: {self._type(family)})"
            for name, family in (("sock4", AF_INET), ("sock6", AF_INET6))
        )
        self._output.warn(f"{told}, hints.ai_family: {_FAMILY_NAMES[self.family]}")

    @property
    def asks_for_scopes(self) -> bool:
        """Whether a link-local address needs its interface said, as iputils sees it: on ping sockets of IPv6."""
        return self.family != AF_INET and self._type(AF_INET6) == "SOCK_DGRAM"

    def _descriptor(self, family: int) -> int:
        return self._opened[family].fileno() if family in self._opened else -1

    def _type(self, family: int) -> str:
        """As iputils would see it: our own layer stands on raw sockets."""
        if family not in self._opened:
            return "0"
        return "SOCK_DGRAM" if self._opened[family].kind in KERNEL_KINDS else "SOCK_RAW"
