from __future__ import annotations

from socket import AF_INET, AF_INET6
from typing import Any

import pytest

from pingsock.wire import icmp4, icmp6, types


@pytest.mark.parametrize(
    ("family", "icmp_type", "name"),
    [
        (AF_INET, 0, "Echo Reply"),
        (AF_INET, 25, "Reserved (for Robustness Experiment)"),
        (AF_INET, 43, "Extended Echo Reply"),
        (AF_INET, 77, "type 77"),
        (AF_INET6, 2, "Packet Too Big"),
        (AF_INET6, 77, "type 77"),
    ],
)
def test_types_have_the_names_of_the_registry(family: int, icmp_type: int, name: str) -> None:
    assert types.type_name(family, icmp_type) == name


@pytest.mark.parametrize(
    ("family", "icmp_type", "code", "name"),
    [
        (AF_INET, 3, 13, "Communication Administratively Prohibited"),
        (AF_INET, 3, 99, "code 99"),
        (AF_INET, 8, 0, "code 0"),
        (AF_INET6, 1, 6, "reject route to destination"),
        (AF_INET6, 161, 4, "Multiple Interfaces Satisfy Query"),
    ],
)
def test_codes_have_the_names_of_the_registry(family: int, icmp_type: int, code: int, name: str) -> None:
    assert types.code_name(family, icmp_type, code) == name


def test_every_destination_unreachable_code_is_named() -> None:
    assert sorted(types.ICMP4_CODE_NAMES[3]) == list(range(16))
    assert sorted(types.ICMP6_CODE_NAMES[1]) == list(range(9))


def test_names_are_given_only_to_named_types() -> None:
    assert types.ICMP4_CODE_NAMES.keys() <= types.ICMP4_TYPE_NAMES.keys()
    assert types.ICMP6_CODE_NAMES.keys() <= types.ICMP6_TYPE_NAMES.keys()


@pytest.mark.parametrize("icmp_type", range(256))
def test_errors_are_the_types_that_quote(icmp_type: int) -> None:
    assert types.is_error(AF_INET, icmp_type) == (icmp_type in {3, 4, 5, 11, 12})
    assert types.is_error(AF_INET6, icmp_type) == (icmp_type < 128)


def test_requests_and_replies_have_classes_of_the_same_types() -> None:
    pairs4: dict[Any, Any] = {
        icmp4.EchoRequest: icmp4.EchoReply,
        icmp4.TimestampRequest: icmp4.TimestampReply,
        icmp4.InformationRequest: icmp4.InformationReply,
        icmp4.AddressMaskRequest: icmp4.AddressMaskReply,
        icmp4.ExtendedEchoRequest: icmp4.ExtendedEchoReply,
    }
    assert {request.type: reply.type for request, reply in pairs4.items()} == types.ICMP4_REPLY_TO
    pairs6: dict[Any, Any] = {icmp6.EchoRequest: icmp6.EchoReply, icmp6.ExtendedEchoRequest: icmp6.ExtendedEchoReply}
    assert {request.type: reply.type for request, reply in pairs6.items()} == types.ICMP6_REPLY_TO


def test_neighbour_states_have_the_names_of_rfc_8335() -> None:
    assert [types.neighbor_state_name(state) for state in (1, 2, 6, 7)] == [
        "Incomplete",
        "Reachable",
        "Failed",
        "state 7",
    ]
