"""Served sockets on the bed, across processes and users: a service of its own, its clients an ordinary user."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar, cast

from bed.actor import Actor, remote_actor
from bed.bed import errno_of
from bed.child import Credentials, in_child
from bed.kinds import NetworkBed
from bed.running import ORDINARY, RunningService
from pingsock.service.client import connect_service
from pingsock.sockets.served import ServedPingSocket
from pingsock.stack.policy import EVERYBODY, GroupRange

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from bed.families import Family
    from bed.subject import Subject

T = TypeVar("T")

GROUP_RANGE = "ipv4.ping_group_range"
"""Of the service's configuration; the kernel's does not count for it."""


class ServiceBed(NetworkBed):
    """Served by a `pingsockd` over raw sockets in the namespace of the tests."""

    kind = "served"

    def __init__(self) -> None:
        super().__init__()
        self._range: GroupRange = EVERYBODY
        try:
            self.service = RunningService(self._configuration())
        except AssertionError:
            super().close()
            raise
        self.start_settling()

    def _configuration(self) -> str:
        return (
            f'[access]\ngroup_range = "{self._range.low} {self._range.high}"\n'
            "[permit]\nhand_over = false\n[quota]\nsockets = 65535\nqueued_bytes = 1099511627776\n"
        )

    def open(self, ip: Family) -> Subject:
        return cast("Subject", ServedPingSocket(ip.af, self.service.connect()))

    def _open_as_we_are(self, ip: Family) -> Subject:
        return cast("Subject", ServedPingSocket(ip.af, connect_service(self.service.path)))

    def create(self, family: int, type_: int, protocol: int) -> Any:
        return ServedPingSocket(family, self.service.connect(), kind=type_, proto=protocol)

    def unprivileged(self, function: Callable[[Callable[[Family], Subject]], T]) -> T:
        return in_child(lambda: function(self._open_as_we_are), ORDINARY)

    def actor(self, who: Credentials) -> contextlib.AbstractContextManager[Actor]:
        return remote_actor(self._open_as_we_are, who)

    def may_open(self, ip: Family, group_range: tuple[int, int], who: Credentials) -> int:
        with self.sysctl(GROUP_RANGE, "{} {}".format(*group_range)):
            return in_child(lambda: errno_of(self._open_and_close, ip), who)

    def _open_and_close(self, ip: Family) -> None:
        self._open_as_we_are(ip).close()

    def idents_taken(self, spare: Collection[int]) -> contextlib.AbstractContextManager[None]:
        raise NotImplementedError("65,535 connections need more descriptors than a process has")

    def proc_net(self, ip: Family) -> str:
        raise NotImplementedError("a service shows its sockets in its status")

    def read_sysctl(self, name: str) -> str:
        return str(self._range) if name == GROUP_RANGE else super().read_sysctl(name)

    def write_sysctl(self, name: str, value: str) -> None:
        if name != GROUP_RANGE:
            super().write_sysctl(name, value)
            return
        self._range = self._range.written(value)
        self.service.reload(self._configuration())

    def close(self) -> None:
        self.stop_settling()
        self.service.close()
        super().close()
