"""Our messages and the kernel's answers to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pingsock.wire import icmp4, icmp6
from pingsock.wire.extensions import interface_query
from pingsock.wire.icmp4 import parse_icmp4_untrusted
from pingsock.wire.icmp6 import parse_icmp6_untrusted
from pingsock.wire.interfaces import InterfaceByAddress, InterfaceByIndex, InterfaceByName
from pingsock.wire.quote import parse_quote4_untrusted, parse_quote6_untrusted

from .kernel_program import kernel_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .kernel_program import Ask

LOOPBACK, LOOPBACK6 = bytes((127, 0, 0, 1)), bytes(15) + b"\1"
DATA = bytes(range(57))


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    with kernel_program("icmp_kernel.py") as program:
        yield program


def ask4(ask: Ask, message: icmp4.Icmp4Message) -> icmp4.Icmp4Message:
    return parse_icmp4_untrusted(bytes.fromhex(ask(f"4 {message.to_bytes().hex()}")))


def ask6(ask: Ask, message: icmp6.Icmp6Message) -> icmp6.Icmp6Message:
    answer = ask(f"6 {message.to_bytes(LOOPBACK6, LOOPBACK6).hex()}")
    return parse_icmp6_untrusted(bytes.fromhex(answer), LOOPBACK6, LOOPBACK6)


def test_echo_is_answered(ask: Ask) -> None:
    assert ask4(ask, icmp4.EchoRequest(0x1234, 7, DATA)) == icmp4.EchoReply(0x1234, 7, DATA)
    assert ask6(ask, icmp6.EchoRequest(0x1234, 7, DATA)) == icmp6.EchoReply(0x1234, 7, DATA)


def test_timestamp_is_answered(ask: Ask) -> None:
    reply = ask4(ask, icmp4.TimestampRequest(1, 2, 3))
    assert isinstance(reply, icmp4.TimestampReply)
    assert (reply.identifier, reply.sequence, reply.originate) == (1, 2, 3)
    assert reply.receive == reply.transmit < 86_400_000


@pytest.mark.parametrize(
    "interface",
    [InterfaceByName(b"lo"), InterfaceByIndex(1), InterfaceByAddress(LOOPBACK), InterfaceByAddress(LOOPBACK6)],
    ids=repr,
)
def test_an_extended_echo_about_the_loopback_is_answered(
    ask: Ask, interface: InterfaceByName | InterfaceByIndex | InterfaceByAddress
) -> None:
    data = interface_query(interface)
    reply = icmp4.ExtendedEchoReply(1, 2, 0, 0, True, True, True, data)
    assert ask4(ask, icmp4.ExtendedEchoRequest(1, 2, True, data)) == reply
    reply6 = icmp6.ExtendedEchoReply(1, 2, 0, 0, True, True, True, data)
    assert ask6(ask, icmp6.ExtendedEchoRequest(1, 2, True, data)) == reply6


def test_an_extended_echo_about_no_interface_says_so(ask: Ask) -> None:
    data = interface_query(InterfaceByName(b"nowhere"))
    assert ask4(ask, icmp4.ExtendedEchoRequest(1, 2, True, data)) == icmp4.ExtendedEchoReply(1, 2, 2, data=data)


def test_a_closed_port_quotes_the_datagram(ask: Ask) -> None:
    error = parse_icmp4_untrusted(bytes.fromhex(ask("port 4")))
    assert isinstance(error, icmp4.DestinationUnreachable)
    assert error.code == 3
    quote = parse_quote4_untrusted(error.body)
    assert (quote.source, quote.destination, quote.protocol, quote.hop_limit) == (LOOPBACK, LOOPBACK, 17, 64)
    assert quote.transport[:4] == bytes.fromhex("1092 0009")
    assert quote.transport.endswith(b"knock")


def test_a_closed_port_quotes_the_datagram_on_ipv6(ask: Ask) -> None:
    error = parse_icmp6_untrusted(bytes.fromhex(ask("port 6")), LOOPBACK6, LOOPBACK6)
    assert isinstance(error, icmp6.DestinationUnreachable)
    assert error.code == 4
    quote = parse_quote6_untrusted(error.body)
    assert (quote.source, quote.destination, quote.protocol, quote.hop_limit) == (LOOPBACK6, LOOPBACK6, 17, 64)
    assert quote.transport[:4] == bytes.fromhex("1092 0009")
