"""Extension structures, with and without the checksum that hides what is behind it, and where errors are split."""

from __future__ import annotations

from harness import fuzz

from pingsock.wire import icmp4, icmp6
from pingsock.wire.checksum import with_checksum
from pingsock.wire.errors import BadPacket
from pingsock.wire.extensions import (
    MplsLabel,
    MplsLabelStack,
    build_extensions,
    interface_query,
    parse_extensions_untrusted,
    parse_interface_query_untrusted,
    split_extensions,
)
from pingsock.wire.interfaces import InterfaceByAddress, InterfaceByIndex, InterfaceByName, InterfaceInformation

SEEDS = [
    build_extensions([MplsLabelStack((MplsLabel(16), MplsLabel(17, 1, True, 255)))]),
    build_extensions([InterfaceInformation(2, 1, bytes(4), b"eth0", 1500), InterfaceInformation(0, address=bytes(16))]),
    interface_query(InterfaceByName(b"eth0")),
    interface_query(InterfaceByIndex(1)),
    interface_query(InterfaceByAddress(bytes(4))),
    bytes(128) + build_extensions([MplsLabelStack((MplsLabel(16),))]),
]


def target(data: bytes) -> None:
    _split(data)
    for structure in (data, with_checksum(data) if len(data) >= 4 else data):
        for parse in (parse_extensions_untrusted, parse_interface_query_untrusted):
            try:
                parse(structure)
            except BadPacket:
                pass
    try:
        objects = parse_extensions_untrusted(data, verify_checksum=False)
    except BadPacket:
        return
    assert parse_extensions_untrusted(build_extensions(objects)) == objects


def _split(body: bytes) -> None:
    for length in (0, 16, 32, 255):
        for error in (icmp4.TimeExceeded(0, body, length), icmp6.TimeExceeded(0, body, length)):
            for lenient in (False, True):
                assert b"".join(split_extensions(error, without_length=lenient)) == body


if __name__ == "__main__":
    fuzz(target, SEEDS)
