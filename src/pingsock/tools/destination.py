"""Where a ping goes: from a name to addresses, and the source this host would use towards one.

Some facts about names
----------------------

* Python's own getaddrinfo() encodes a text with its IDNA codec, which costs a dozen imports and raises UnicodeError for
  labels the C library merely does not find. Bytes go through untouched.
* glibc translates international names itself if asked (AI_IDN); other C libraries refuse the unknown flag.
* getaddrinfo() forgets the scope of a link-local literal when asked for one family only.

What this means here
--------------------

Names are passed as the bytes the user gave, as a rule for every family at once, with glibc's flags; a C library that
does not know these is asked again without. Whatever goes wrong is an `UnknownHost`.
"""

from __future__ import annotations

import errno
import os
from _socket import AF_INET, AF_INET6, AI_CANONNAME, EAI_BADFLAGS, SOCK_DGRAM, gaierror, getaddrinfo, inet_pton, socket

from pingsock.sockets.errors import PingsockError
from pingsock.wire import linux
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.probe.target import SocketAddress

_AI_IDN = 0x40
_AI_CANONIDN = 0x80
_FLAGS = (AI_CANONNAME | _AI_IDN | _AI_CANONIDN, AI_CANONNAME, 0)
_NOT_KNOWN = "Name or service not known"
OTHER_FAMILY = "Address family for hostname not supported"
_PROBE_PORT = 1025


class UnknownHost(PingsockError):
    """A name has no address, or none of the family asked for."""

    name: str
    reason: str
    """As the C library says it."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(name, reason)

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class Destination(Value):
    """One address of a host."""

    family: int
    """AF_INET or AF_INET6."""
    address: SocketAddress
    """As `socket.sendto` takes it, port 0."""
    canonical_name: str
    """The host's official name; the name as given if the C library tells none."""

    @property
    def packed(self) -> bytes:
        """The address, 4 or 16 bytes."""
        return inet_pton(self.family, self.address[0])

    @property
    def is_group(self) -> bool:
        """Whether it is a multicast address."""
        first = self.packed[0]
        return 224 <= first <= 239 if self.family == AF_INET else first == 0xFF

    @property
    def is_link_local(self) -> bool:
        """Whether it is an IPv6 address, unicast or group, that means nothing without an interface."""
        first, second = self.packed[:2]
        unicast, group = first == 0xFE and second & 0xC0 == 0x80, first == 0xFF and second & 15 == 2
        return self.family == AF_INET6 and (unicast or group)

    @property
    def answered_by_others(self) -> bool:
        """Whether other addresses reply.

        So it is for a group, a subnet-router anycast address (RFC 4291, section 2.6.1), and the unspecified address,
        which stands for one of this host's own.
        """
        return self.is_group or not any(self.packed if self.family == AF_INET else self.packed[8:])


def resolve(name: str, family: int = 0, *, strictly: bool = False) -> list[Destination]:
    """The addresses of `name`, a name or a literal, in the resolver's order; of `family` only, unless that is 0.

    `strictly` does not ask for others at all, which may end with another reason. Blocks as long as the C library's
    resolver does.

    :raises UnknownHost: there is none.
    """
    found = _look_up(name, family if strictly else 0)
    chosen = [destination for destination in found if family in (0, destination.family)]
    if not chosen:
        raise UnknownHost(name, OTHER_FAMILY)
    return chosen


def _look_up(name: str, family: int) -> list[Destination]:
    if "\0" in name:
        raise UnknownHost(name, _NOT_KNOWN)
    for flags in _FLAGS:
        try:
            answers = getaddrinfo(os.fsencode(name), None, family, SOCK_DGRAM, linux.IPPROTO_UDP, flags)
        except gaierror as error:
            if error.errno != EAI_BADFLAGS:
                raise UnknownHost(name, error.strerror or _NOT_KNOWN) from error
        except UnicodeError:
            # An official name that is not UTF-8; the last round does not ask for it.
            continue
        else:
            return [
                Destination(kind, (str(address[0]), *address[1:]), answers[0][3] or name)
                for kind, _, _, _, address in answers
                if kind in (AF_INET, AF_INET6)
            ]
    raise UnknownHost(name, _NOT_KNOWN)


def source_towards(destination: Destination, prepare: Callable[[socket], object] | None = None) -> SocketAddress:
    """The address this host would send from. `prepare` sets on a UDP socket what the route depends on.

    :raises OSError: as connect(2) says it, e.g. ENETUNREACH without a route, EACCES if it is prohibited or a broadcast
        address; and what `prepare` raises.
    """
    probe = socket(destination.family, SOCK_DGRAM)
    try:
        if prepare is not None:
            prepare(probe)
        host, _, *rest = destination.address
        probe.connect((host, _PROBE_PORT, *rest))
        source: SocketAddress = probe.getsockname()
        return source[0], 0, *source[2:]
    finally:
        probe.close()


def is_broadcast(destination: Destination) -> bool:
    """Whether the kernel refuses to send there to a socket without SO_BROADCAST, for that reason."""
    if destination.family != AF_INET:
        return False
    try:
        source_towards(destination)
    except OSError as error:
        return error.errno == errno.EACCES
    return False
