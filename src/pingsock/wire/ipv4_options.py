"""What a host does with IPv4 options: check them, fill in its part, route by them, turn them for a reply.

Options are plain bytes here; `pingsock.wire.ipv4_option_values` has them as values. One option is (RFC 791):

    0: type   1: length of the whole option   2: pointer to the next free slot, counted from 1   3...: data

except end of list (0) and no-operation (1), which are single bytes. The data of record route and of source routes are
slots of 4 bytes, so their pointer starts at 4; timestamp has one more byte, overflow count and flag, and starts at 5.

Some facts about Linux, each checked against the kernel by the tests:

* IP_OPTIONS pads with end-of-list, then checks. Bytes behind an end-of-list become zero. Record route, timestamp and
  source route may each occur once. A pointer beyond the end means full, which is fine; a pointer that leaves a slot
  cut by the end is an error.
* Source routes given by a user must be fresh (pointer 4) and hold whole addresses, at least one. On arrival neither
  is looked at.
* Without CAP_NET_RAW, unknown types and unknown timestamp flags are EINVAL and source routes EPERM, but everything
  is checked first: a malformed source route is EINVAL.
* Sender and receiver both record: a packet to ourselves comes back with two slots used.
* A prespecified timestamp slot is filled by the host that has its address; for this, groups, broadcasts, 0.0.0.0 and
  the loopback network count as everybody's own.
* A receiver that finds a timestamp option full counts the overflow, up to 15, and drops the packet at the 16th.

What this means here: `validate_options` is setsockopt, `fill_outgoing` and `first_hop` are the way out,
`record_arrival` is the way in, and `options_for_reply` makes the IP_RETOPTS of what `record_arrival` gave.
"""

from __future__ import annotations

from pingsock.wire.errors import BadPacket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

END_OF_OPTIONS = 0
NO_OPERATION = 1
RECORD_ROUTE = 7
TIMESTAMP = 68
LOOSE_SOURCE_ROUTE = 131
CIPSO = 134
STRICT_SOURCE_ROUTE = 137
ROUTER_ALERT = 148
SOURCE_ROUTES = frozenset({LOOSE_SOURCE_ROUTE, STRICT_SOURCE_ROUTE})

TIMESTAMP_ONLY = 0
TIMESTAMP_AND_ADDRESS = 1
TIMESTAMP_PRESPECIFIED = 3

MAXIMUM_LENGTH = 40
_MAXIMUM_OVERFLOW = 15


def pad_options(options: bytes) -> bytes:
    """Options padded with end-of-list to a multiple of 4. Cannot fail."""
    return options + bytes(-len(options) % 4)


def split_options_untrusted(options: bytes) -> tuple[bytes, ...]:
    """The options one by one; from an end-of-list on, all the rest is the last one.

    :raises BadPacket: an option is cut off or says it is shorter than 2 bytes.
    """
    found = []
    while options:
        length = _option_length_untrusted(options)
        found.append(options[:length])
        options = options[length:]
    return tuple(found)


def _option_length_untrusted(options: bytes) -> int:
    if options[0] == END_OF_OPTIONS:
        return len(options)
    if options[0] == NO_OPERATION:
        return 1
    length = options[1] if len(options) >= 2 else 0
    if not 2 <= length <= len(options):
        raise BadPacket(f"IPv4 option {options[0]} of length {length} with {len(options)} bytes left")
    return length


def validate_options(options: bytes, *, privileged: bool = True, local: Collection[bytes] = ()) -> bytes:
    """The padded form of options a user wants sent: what setsockopt(IP_OPTIONS) does and getsockopt then shows.

    The slot this host will fill is zeroed; `local` are its addresses, which matter for prespecified timestamps only.
    `privileged` is having CAP_NET_RAW. Source routes are let through without it; ask `has_source_route` afterwards.

    :raises BadPacket: where setsockopt says EINVAL.
    """
    if len(options) > MAXIMUM_LENGTH:
        raise BadPacket(f"IPv4 options of {len(options)} bytes; the most is {MAXIMUM_LENGTH}")
    parts = split_options_untrusted(pad_options(options))
    _check_once(parts)
    for option in parts:
        _check(option)
        _check_as_users(option, privileged)
    return b"".join(_ready_to_record(option, local) for option in parts)


def _check_once(parts: tuple[bytes, ...]) -> None:
    for family in ({RECORD_ROUTE}, {TIMESTAMP}, {CIPSO}, SOURCE_ROUTES):
        count = sum(option[0] in family for option in parts)
        if count > 1:
            raise BadPacket(f"IPv4 option {min(family)} occurs {count} times")


def _check(option: bytes) -> None:
    """Raise BadPacket for an option no host accepts, whether from a user or from the network."""
    first_slot, slot = _layout(option)
    if not first_slot:
        if option[0] == ROUTER_ALERT and len(option) < 4:
            raise BadPacket(f"IPv4 router alert of {len(option)} bytes; 4 are needed")
        return
    _check_pointer(option, first_slot)
    pointer = option[2]
    if slot and pointer <= len(option) < pointer + slot - 1:
        raise BadPacket(f"IPv4 option {option[0]} of {len(option)} bytes with its pointer at {pointer}")
    if option[0] == TIMESTAMP and pointer > len(option) and _overflow_is_full(option):
        raise BadPacket("IPv4 timestamp option with its overflow counter full")


def _check_pointer(option: bytes, first_slot: int) -> None:
    if len(option) < first_slot - 1:
        raise BadPacket(f"IPv4 option {option[0]} of {len(option)} bytes; {first_slot - 1} are needed")
    if option[2] < first_slot:
        raise BadPacket(f"IPv4 option {option[0]} with its pointer at {option[2]}; the first slot is at {first_slot}")


def _layout(option: bytes) -> tuple[int, int]:
    """Where the slots of an option start, counted from 1, and bytes of one slot; 0 where it has none or any number."""
    if option[0] == RECORD_ROUTE:
        return 4, 4
    if option[0] in SOURCE_ROUTES:
        return 4, 0
    if option[0] == TIMESTAMP:
        return 5, 4 if _timestamp_flag(option) in _ONE_WORD_FLAGS else 8
    return 0, 0


_ONE_WORD_FLAGS = frozenset(range(16)) - {TIMESTAMP_AND_ADDRESS, TIMESTAMP_PRESPECIFIED}
"""Also of unknown timestamp flags the kernel checks that one word fits."""


def _timestamp_flag(option: bytes) -> int:
    return option[3] & 0xF if len(option) >= 4 else TIMESTAMP_ONLY


def _overflow_is_full(option: bytes) -> bool:
    return option[3] >> 4 == _MAXIMUM_OVERFLOW and _timestamp_flag(option) != TIMESTAMP_PRESPECIFIED


_FREE_FOR_USERS = frozenset(
    {END_OF_OPTIONS, NO_OPERATION, RECORD_ROUTE, TIMESTAMP, LOOSE_SOURCE_ROUTE, STRICT_SOURCE_ROUTE, ROUTER_ALERT}
)
_KNOWN_FLAGS = frozenset({TIMESTAMP_ONLY, TIMESTAMP_AND_ADDRESS, TIMESTAMP_PRESPECIFIED})


def _check_as_users(option: bytes, privileged: bool) -> None:
    kind = option[0]
    if kind in SOURCE_ROUTES and (option[2] != 4 or len(option) < 7 or (len(option) - 3) % 4):
        raise BadPacket(f"IPv4 source route of {len(option)} bytes, pointer {option[2]}; fresh whole hops are needed")
    if kind == CIPSO:
        raise BadPacket("IPv4 security option (CIPSO) without a domain of interpretation")
    if not privileged and kind not in _FREE_FOR_USERS:
        raise BadPacket(f"IPv4 option {kind} needs CAP_NET_RAW")
    has_room = kind == TIMESTAMP and option[2] <= len(option)
    if not privileged and has_room and _timestamp_flag(option) not in _KNOWN_FLAGS:
        raise BadPacket(f"IPv4 timestamp option with flag {_timestamp_flag(option)} needs CAP_NET_RAW")


def has_source_route(options: bytes) -> bool:
    """Whether options hold a loose or strict source route, as far as they can be read. Cannot fail."""
    try:
        return any(option[0] in SOURCE_ROUTES for option in split_options_untrusted(options))
    except BadPacket:
        return False


def first_hop(options: bytes, destination: bytes) -> tuple[bytes, bytes]:
    """The IP destination to send to and the options to send, given the final destination.

    With a source route the first hop becomes the IP destination, the others move up by one and the final destination
    takes the last slot (RFC 791, RFC 1122 section 3.2.1.8); without one nothing changes.

    :raises BadPacket: an option is cut off, or a source route has no hop.
    """
    hop = destination
    parts = list(split_options_untrusted(options))
    for index, option in enumerate(parts):
        if option[0] in SOURCE_ROUTES:
            if len(option) < 7:
                raise BadPacket(f"IPv4 source route of {len(option)} bytes has no hop")
            hop = option[3:7]
            parts[index] = option[:3] + option[7:] + destination
    return hop, b"".join(parts)


def fill_outgoing(options: bytes, address: bytes, now_ms: int, *, local: Collection[bytes] = ()) -> bytes:
    """Valid options with the sending host's slots filled: record route and timestamp, at most one slot each.

    `address` is the host's on the way out, `now_ms` the milliseconds since midnight UT. Prespecified timestamp slots
    are filled where they name `address`, an address in `local` (which should hold the subnet broadcasts too), or one
    that is no host's alone.

    :raises BadPacket: malformed.
    """
    parts = split_options_untrusted(options)
    for option in parts:
        _check(option)
    return b"".join(_recorded(option, address, now_ms, local) for option in parts)


def record_arrival(options: bytes, address: bytes, now_ms: int, *, local: Collection[bytes] = ()) -> bytes:
    """Options of a packet that arrived here, after local processing; arguments as for `fill_outgoing`.

    :raises BadPacket: malformed, for which a host drops the packet and answers with a parameter problem.
    """
    parts = split_options_untrusted(options)
    _check_once(parts)
    for option in parts:
        _check(option)
    filled = [_recorded(_overflow_counted(option), address, now_ms, local) for option in parts]
    return b"".join(bytes(len(option)) if option[0] == END_OF_OPTIONS else option for option in filled)


def _overflow_counted(option: bytes) -> bytes:
    full = option[0] == TIMESTAMP and option[2] > len(option)
    if not full or _timestamp_flag(option) == TIMESTAMP_PRESPECIFIED:
        return option
    return option[:3] + bytes((option[3] + 0x10,)) + option[4:]


def _recorded(option: bytes, address: bytes, now_ms: int, local: Collection[bytes]) -> bytes:
    entry = _entry(option, address, (now_ms & 0xFFFFFFFF).to_bytes(4, "big"), local)
    if not entry:
        return option
    place = option[2] - 1
    pointer = option[2] + len(entry)
    return option[:2] + bytes((pointer & 0xFF,)) + option[3:place] + entry + option[place + len(entry) :]


def _entry(option: bytes, address: bytes, now: bytes, local: Collection[bytes]) -> bytes:
    """What this host writes into the next free slot of an option; b"" if nothing."""
    if option[0] not in {RECORD_ROUTE, TIMESTAMP} or option[2] > len(option):
        return b""
    if option[0] == RECORD_ROUTE:
        return address
    flag = _timestamp_flag(option)
    if flag == TIMESTAMP_ONLY:
        return now
    if flag == TIMESTAMP_AND_ADDRESS:
        return address + now
    slot = _prespecified(option)
    return slot + now if flag == TIMESTAMP_PRESPECIFIED and _is_ours(slot, {address, *local}) else b""


def _prespecified(option: bytes) -> bytes:
    return option[option[2] - 1 : option[2] + 3]


def _is_ours(slot: bytes, ours: Collection[bytes]) -> bool:
    """Whether this host fills a prespecified slot: any address that is not unicast, and those of its own."""
    return slot in ours or 224 <= slot[0] < 240 or slot[0] == 127 or slot in {bytes(4), b"\xff\xff\xff\xff"}


def options_for_reply(
    options: bytes, source: bytes = b"", address: bytes = b"", *, local: Collection[bytes] = ()
) -> bytes:
    """Options for a reply to the packet that carried these, as `record_arrival` left them: what IP_RETOPTS delivers.

    Record route, timestamp and the source route reversed, in this order; all others are dropped. The next free slot
    is zeroed (the kernel reserves it for the replying host). `source` is the packet's: if the recorded route begins
    with it, as some hosts send it, that hop is left out (RFC 1812 section 5.2.6). `address` and `local` tell which
    prespecified timestamp slots are ours.

    :raises BadPacket: malformed, or the next free slot of record route or timestamp is cut by the end of the
        option; the kernel then delivers nothing and sets MSG_CTRUNC.
    """
    parts = split_options_untrusted(options)
    for option in parts:
        first_slot, _ = _layout(option)
        if first_slot:
            _check_pointer(option, first_slot)
    recorders = [option for kind in (RECORD_ROUTE, TIMESTAMP) for option in parts if option[0] == kind]
    routes = [option for option in parts if option[0] in SOURCE_ROUTES]
    turned = [_ready_to_record(option, {address, *local}) for option in recorders]
    turned += [_reversed_route(option, source) for option in routes]
    return pad_options(b"".join(turned))


def _ready_to_record(option: bytes, local: Collection[bytes]) -> bytes:
    """An option with the slot zeroed that this host fills next."""
    if option[0] == END_OF_OPTIONS:
        return bytes(len(option))
    if option[0] == RECORD_ROUTE:
        return _with_next_slot_zeroed(option, 4)
    return _timestamp_ready(option, local) if option[0] == TIMESTAMP else option


def _with_next_slot_zeroed(option: bytes, slot: int) -> bytes:
    pointer = option[2]
    if pointer > len(option):
        return option
    if pointer + slot - 1 > len(option):
        raise BadPacket(f"IPv4 option {option[0]} of {len(option)} bytes has no whole slot at {pointer}")
    return option[: pointer - 1] + bytes(slot) + option[pointer - 1 + slot :]


def _timestamp_ready(option: bytes, ours: Collection[bytes]) -> bytes:
    flag = _timestamp_flag(option)
    if flag == TIMESTAMP_PRESPECIFIED:
        return _prespecified_ready(option, ours)
    if flag in _KNOWN_FLAGS:
        return _with_next_slot_zeroed(option, 4 if flag == TIMESTAMP_ONLY else 8)
    return option


def _prespecified_ready(option: bytes, ours: Collection[bytes]) -> bytes:
    place = option[2] + 3
    if option[2] <= len(option) < place:
        raise BadPacket(f"IPv4 timestamp option of {len(option)} bytes has no whole address at {option[2]}")
    if place + 4 > len(option) or not _is_ours(_prespecified(option), ours):
        return option
    return option[:place] + bytes(4) + option[place + 4 :]


def _reversed_route(option: bytes, source: bytes) -> bytes:
    """A source route for the way back: the hops passed, last first; b"" if none was."""
    end = min(option[2] - 1, len(option))
    hops = [option[place : place + 4] for place in range(end - 4, 2, -4)]
    if hops and hops[-1] == source:
        del hops[-1]
    return bytes((option[0], 3 + 4 * len(hops), 4)) + b"".join(hops) if hops else b""
