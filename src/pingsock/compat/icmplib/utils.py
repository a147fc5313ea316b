"""icmplib's helpers: what a text is, and which addresses a name has."""

from __future__ import annotations

import asyncio
import os
import re
from concurrent.futures import ThreadPoolExecutor
from socket import AF_INET, AF_INET6, inet_pton

from pingsock.compat.icmplib.exceptions import NameLookupError
from pingsock.probe.jsonable import address_text
from pingsock.sockets.errors import InvalidArgument
from pingsock.tools.destination import UnknownHost
from pingsock.tools.destination import resolve as look_up
from pingsock.tools.names import THREADS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pingsock.tools.destination import Destination

PID = os.getpid()

FAMILIES = {None: 0, 4: AF_INET, 6: AF_INET6}
_LONGEST_NAME = 253
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z")


def is_hostname(name: str) -> bool:
    """Whether this can be a host name (RFC 1123, section 2.1), perhaps with a dot at its end. TypeError if no str."""
    bare = str.removesuffix(name, ".")
    labels = bare.split(".")
    return len(bare) <= _LONGEST_NAME and all(map(_LABEL.match, labels)) and not labels[-1].isdigit()


def is_ipv4_address(address: str) -> bool:
    """Whether this is an IPv4 address in dotted decimal. TypeError if no str."""
    return _is_address(AF_INET, str.partition(address, "%"))


def is_ipv6_address(address: str) -> bool:
    """Whether this is an IPv6 address (RFC 4291, section 2.2), perhaps with a %zone (RFC 4007). TypeError if no str."""
    return _is_address(AF_INET6, str.partition(address, "%"))


def _is_address(family: int, parts: tuple[str, str, str]) -> bool:
    """`parts` are the literal, "%" and the zone; without a zone the latter two are empty."""
    literal, percent, zone = parts
    if percent and not (zone and family == AF_INET6):
        return False
    try:
        inet_pton(family, literal)
    except (OSError, ValueError):
        return False
    return True


def resolve(name: str, family: int | None = None) -> list[str]:
    """The addresses of a name, or the address itself: IPv4 ones, else IPv6 ones, or those of `family`, 4 or 6.

    :raises NameLookupError: there is none.
    """
    return [address_text(found.address) for found in destinations(name, family)]


async def async_resolve(name: str, family: int | None = None) -> list[str]:
    """As `resolve`, in a thread."""
    return await asyncio.get_running_loop().run_in_executor(None, resolve, name, family)


def destinations(name: str, family: int | None) -> list[Destination]:
    """As `resolve`, as values."""
    if not isinstance(name, str):
        raise InvalidArgument("address", name, "a text")
    if family not in FAMILIES:
        raise InvalidArgument("family", family, "4, 6 or None")
    try:
        found = look_up(name, FAMILIES[family])
    except UnknownHost as error:
        raise NameLookupError(name) from error
    first = [destination for destination in found if destination.family == AF_INET]
    return first or found


def find(address: str, family: int | None) -> list[Destination]:
    """As `destinations`; an address is of its own family, whatever `family` says."""
    return destinations(address, None if is_address(address) else family)


def find_all(addresses: Sequence[str], family: int | None) -> list[Destination]:
    """The first of `find` for each address or name; names are looked up side by side.

    :raises NameLookupError: one of them has no address.
    """
    with ThreadPoolExecutor(THREADS, "pingsock-names") as pool:
        asked = [None if is_address(address) else pool.submit(find, address, family) for address in addresses]
    return [
        (future.result() if future else find(address, family))[0]
        for address, future in zip(addresses, asked, strict=True)
    ]


async def async_find_all(addresses: Sequence[str], family: int | None) -> list[Destination]:
    """As `find_all`, without blocking the event loop."""
    if all(map(is_address, addresses)):
        return find_all(addresses, family)
    return await asyncio.get_running_loop().run_in_executor(None, find_all, addresses, family)


def is_address(text: str) -> bool:
    """Whether no resolver is needed."""
    return isinstance(text, str) and (is_ipv4_address(text) or is_ipv6_address(text))
