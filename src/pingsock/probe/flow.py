"""A flow: the probes of one target, and what their packets have in common."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, if_nametoindex, inet_pton
from errno import ENODEV
from struct import Struct

from pingsock.probe.target import DEFAULT_OPTIONS
from pingsock.wire import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.probe.target import ProbeOptions, SocketAddress, Target

    ControlItem = tuple[int, int, bytes]
    SocketSettings = tuple[int, bool, bool, str, int]

TOKEN_BYTES = 8
_INT = Struct("=i")
_PKTINFO = Struct(linux.IN_PKTINFO_LAYOUT)
_PKTINFO6 = Struct(linux.IN6_PKTINFO_LAYOUT)
_COUNTING = bytes(range(256))
_CHARGES = ((100, 832), (600, 1280), (1400, 2304))
"""Bytes of payload up to which -> bytes charged to the receive buffer."""
_FRAGMENT_PAYLOAD, _FRAGMENT_CHARGE = 1400, 2304


class Flow:
    """The probes of one target."""

    __slots__ = ("control", "payload", "settings", "target")

    def __init__(self, target: Target, payload: bytes) -> None:
        self.target = target
        self.payload = payload
        """What each probe carries behind its ICMP header."""
        self.control = control_items(target)
        self.settings = socket_settings(target)


def fill_payload(token: bytes, options: ProbeOptions) -> bytes:
    """The payload: the token, as much of it as there is room for, and the pattern behind it.

    Byte n of the payload is byte n modulo its length of the pattern, so that a token does not shift it.
    """
    pattern = options.payload or _COUNTING
    whole = pattern * (options.size // len(pattern) + 1)
    return (token + whole[len(token) :])[: options.size]


def socket_settings(target: Target) -> SocketSettings:
    """What a socket must be set to for the target, because it cannot travel with a packet.

    Family, never fragment, broadcast allowed; source, since IPv6 ping sockets check the one in IPV6_PKTINFO and then
    ignore it; and the bytes of the largest payload that is charged as much as this one, so that a few large replies do
    not take the room of many small ones.
    """
    options = target.options
    source = _scoped(options.source, options.interface) if target.family == AF_INET6 else ""
    return int(target.family), options.dont_fragment, options.broadcast, source, largest_alike(options.size)


def charge(size: int) -> int:
    """What a reply with so many bytes of payload is charged to a receive buffer, at most."""
    for largest, charged in _CHARGES:
        if size <= largest:
            return charged
    return -(-size // _FRAGMENT_PAYLOAD) * _FRAGMENT_CHARGE


def largest_alike(size: int) -> int:
    """The most bytes of payload that are charged as much as `size`."""
    for largest, _ in _CHARGES:
        if size <= largest:
            return largest
    return -(-size // _FRAGMENT_PAYLOAD) * _FRAGMENT_PAYLOAD


def _scoped(source: str, interface: int) -> str:
    """A source address with the interface as its scope, if it is link-local and has none (RFC 4007, section 11)."""
    if not (source and interface) or "%" in source:
        return source
    first, second = inet_pton(AF_INET6, source)[:2]
    return f"{source}%{interface}" if first == 0xFE and second & 0xC0 == 0x80 else source


def source_address(source: str) -> SocketAddress:
    """A source address, perhaps with a scope, as `socket.bind` takes it, which passes over a scope in the text.

    :raises OSError: ENODEV, there is no interface of that name.
    """
    address, percent, scope = source.partition("%")
    if not percent:
        return address, 0
    try:
        return address, 0, 0, int(scope) if scope.isdecimal() else if_nametoindex(scope)
    except OSError as error:
        raise OSError(ENODEV, f"no interface {scope}") from error


def control_items(target: Target) -> tuple[ControlItem, ...]:
    """What travels with each packet as ancillary data."""
    if target.options is DEFAULT_OPTIONS:
        return ()
    return _items4(target.options) if target.family == AF_INET else _items6(target.options)


def _items4(options: ProbeOptions) -> tuple[ControlItem, ...]:
    items: list[ControlItem] = []
    if options.hop_limit is not None:
        items.append((linux.SOL_IP, linux.IP_TTL, _INT.pack(options.hop_limit)))
    if options.traffic_class is not None:
        items.append((linux.SOL_IP, linux.IP_TOS, _INT.pack(options.traffic_class)))
    if options.source or options.interface:
        source = inet_pton(AF_INET, options.source or "0.0.0.0")
        items.append((linux.SOL_IP, linux.IP_PKTINFO, _PKTINFO.pack(options.interface, source, bytes(4))))
    return tuple(items)


def _items6(options: ProbeOptions) -> tuple[ControlItem, ...]:
    items: list[ControlItem] = []
    if options.hop_limit is not None:
        items.append((linux.SOL_IPV6, linux.IPV6_HOPLIMIT, _INT.pack(options.hop_limit)))
    if options.traffic_class is not None:
        items.append((linux.SOL_IPV6, linux.IPV6_TCLASS, _INT.pack(options.traffic_class)))
    if options.interface:
        items.append((linux.SOL_IPV6, linux.IPV6_PKTINFO, _PKTINFO6.pack(bytes(16), options.interface)))
    return tuple(items)
