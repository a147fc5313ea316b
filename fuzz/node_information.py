"""Node information: any bytes parse or are a BadPacket, and what parses is written back unchanged."""

from __future__ import annotations

from harness import fuzz

from pingsock.wire.errors import BadPacket
from pingsock.wire.node_information import (
    ADDRESSES_4,
    ADDRESSES_6,
    NAMES,
    NodeInformationQuery,
    NodeInformationReply,
    NodeName,
    parse_addresses_untrusted,
    parse_names_untrusted,
    parse_node_information_untrusted,
)

NONCE = bytes(range(8))
WHOLE, PART = NodeName((b"host", b"example")), NodeName((b"host",), is_whole=False)
POINTERS = b"\1a\7example\0\1b\xc0\x06\xc0\x04"
SEEDS = [
    NodeInformationQuery(0, ADDRESSES_6, 2, NONCE, bytes(16)).to_bytes(),
    NodeInformationQuery(1, NAMES, 0, NONCE, PART.to_bytes()).to_bytes(),
    NodeInformationReply(0, NAMES, 0, NONCE, bytes(4) + PART.to_bytes() + WHOLE.to_bytes()).to_bytes(),
    NodeInformationReply(0, NAMES, 0, NONCE, bytes(4) + POINTERS).to_bytes(),
    NodeInformationReply(0, ADDRESSES_4, 1, NONCE, bytes(16)).to_bytes(),
    NodeInformationReply(0, ADDRESSES_6, 0, NONCE, bytes(40)).to_bytes(),
]


def target(message: bytes) -> None:
    try:
        parsed = parse_node_information_untrusted(message)
    except BadPacket:
        return
    assert parsed.to_bytes() == message[:2] + bytes(2) + message[4:]
    for wanted, size in ((ADDRESSES_4, 4), (ADDRESSES_6, 16)):
        addresses, is_all = parse_addresses_untrusted(wanted, parsed.data)
        assert all(len(address) == size for address in addresses)
        assert is_all == ((4 + size) * len(addresses) == len(parsed.data))
    try:
        names, _is_all = parse_names_untrusted(parsed.data)
    except BadPacket:
        return
    for name in names:
        written = NodeName(name.labels, is_whole=False).to_bytes()
        assert parse_names_untrusted(bytes(4) + written) == ((NodeName(name.labels, is_whole=False),), True)


if __name__ == "__main__":
    fuzz(target, SEEDS)
