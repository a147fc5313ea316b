"""How `ping` shows the IP options of a reply: routes and times that hosts on the way wrote down (RFC 791, section 3.1).

Some facts about these options
------------------------------

* Each is a kind, its length, a pointer to the next free byte counted from 1, and slots. The timestamp option has one
  more byte before its slots: how many hosts found no room, and which kind of slots there are.
* A ping socket delivers them turned round as for an answer (IP_RETOPTS), which leaves one slot more than was written.

What this means here
--------------------

Lines are iputils', byte for byte, for what hosts send; and nothing is read behind the end of an option, whatever its
pointer says.
"""

from __future__ import annotations

from _socket import inet_ntoa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.probe.target import SocketAddress

_END, _NOP, _RECORD_ROUTE, _TIMESTAMP, _LOOSE_ROUTE, _STRICT_ROUTE = 0, 1, 7, 68, 131, 137
_ROUTE_START, _STAMPS_START = 4, 5
_TIMES_ONLY = 0
_NOT_STANDARD = 0x80000000


class IpOptionTexts:
    """Shows the options of one reply after another, since a route is shown only when it differs from the last one."""

    def __init__(self, show: Callable[[SocketAddress], str]) -> None:
        self._show = show
        self._last_route = b""

    def text(self, options: bytes) -> str:
        """All options of one reply, to be appended to its line."""
        text = ""
        while options and options[0] != _END:
            if options[0] == _NOP:
                text += "\nNOP"
                options = options[1:]
                continue
            if len(options) < 2 or not 2 <= options[1] <= len(options):
                break
            text += self._option(options[: options[1]])
            options = options[options[1] :]
        return text

    def _option(self, option: bytes) -> str:
        kind = option[0]
        if kind in (_LOOSE_ROUTE, _STRICT_ROUTE):
            return f"\n{'S' if kind == _STRICT_ROUTE else 'L'}SRR: {self._source_route(option)}"
        if kind == _RECORD_ROUTE:
            return self._route(option)
        if kind == _TIMESTAMP:
            return self._times(option)
        return f"\nunknown option {kind:x}"

    def _address(self, packed: bytes) -> str:
        return "\t" + (self._show((inet_ntoa(packed), 0)) if any(packed) else "0.0.0.0")

    def _addresses(self, slots: bytes) -> str:
        whole = range(0, len(slots) - 3, 4)
        return "".join(f"{self._address(slots[at : at + 4])}\n" for at in whole)

    def _source_route(self, option: bytes) -> str:
        """As with iputils it goes by the length, not by the pointer."""
        return self._addresses(option[3:]) if len(option) > _ROUTE_START else ""

    def _route(self, option: bytes) -> str:
        recorded = _recorded(option, _ROUTE_START)
        if not recorded:
            return ""
        if recorded == self._last_route:
            return "\t(same route)"
        self._last_route = recorded
        return "\nRR: " + self._addresses(recorded)

    def _times(self, option: bytes) -> str:
        recorded = _recorded(option, _STAMPS_START)
        if not recorded:
            return ""
        missed, kind = option[3] >> 4, option[3] & 0xF
        text = "\nTS: " + self._stamps(recorded, with_addresses=kind != _TIMES_ONLY)
        return text + (f"Unrecorded hops: {missed}\n" if missed else "")

    def _stamps(self, slots: bytes, *, with_addresses: bool) -> str:
        differences = _Differences()
        text = ""
        width = 8 if with_addresses else 4
        for at in range(0, len(slots) - width + 1, width):
            slot = slots[at : at + width]
            address = self._address(slot[:4]) if with_addresses else ""
            text += f"{address}\t{differences.text(int.from_bytes(slot[-4:], 'big'))}\n"
        return text


class _Differences:
    """Shows times of day in milliseconds: the first as it is, each further one less the one before."""

    def __init__(self) -> None:
        self._last = {True: 0, False: 0}

    def text(self, stamp: int) -> str:
        standard = not stamp & _NOT_STANDARD
        number = stamp & ~_NOT_STANDARD
        last, self._last[standard] = self._last[standard], number
        behind = "" if standard else " not-standard"
        return f"{number - last}{behind}" if last else f"{number} absolute{behind}"


def _recorded(option: bytes, start: int) -> bytes:
    """The slots in use: up to the pointer, or all if that is beyond the end."""
    used = min(option[2], len(option)) - start if len(option) >= start else 0
    return option[start - 1 : start - 1 - (-used // 4) * 4] if used > 0 else b""
