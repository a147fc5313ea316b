"""Packets from the network into the ping-socket stack: nothing comes out, and every socket goes on working."""

from __future__ import annotations

from harness import fuzz
from hostile_packets import make_stack, read_some, repaired, seeds

STACK, ENDPOINTS = make_stack()


def target(packet: bytes) -> None:
    for each in (packet, repaired(packet)):
        STACK.deliver_untrusted(each, 2, 1)
    for endpoint in ENDPOINTS:
        read_some(endpoint)
        assert 0 <= endpoint.charged <= endpoint.options.receive_buffer + 66_432


if __name__ == "__main__":
    fuzz(target, seeds())
