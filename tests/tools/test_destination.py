from __future__ import annotations

import socket

import pytest

from pingsock.tools import destination
from pingsock.tools.destination import Destination, UnknownHost, resolve


def test_a_literal_needs_no_resolver() -> None:
    assert resolve("127.0.0.1") == [Destination(socket.AF_INET, ("127.0.0.1", 0), "127.0.0.1")]
    assert resolve("::1") == [Destination(socket.AF_INET6, ("::1", 0, 0, 0), "::1")]


@pytest.mark.parametrize(("text", "address"), [("127.1", "127.0.0.1"), ("0x7f000001", "127.0.0.1"), ("0", "0.0.0.0")])
def test_old_spellings_of_ipv4_are_understood(text: str, address: str) -> None:
    assert resolve(text)[0].address == (address, 0)


def test_a_scope_is_kept_even_for_one_family() -> None:
    index = socket.if_nametoindex("lo")

    assert resolve("fe80::1%lo", socket.AF_INET6)[0].address[3] == index


@pytest.mark.parametrize(
    "name",
    [
        "a\0b",
        "\0",
        "a" * 64 + ".invalid",
        ".".join(["a" * 63] * 5) + ".invalid",
        "x" * 5000,
        "a..b.invalid",
        ".",
        "\udcff.invalid",
        "%",
        "1.2.3.4.5",
    ],
)
def test_whatever_is_no_name_is_an_unknown_host(name: str) -> None:
    with pytest.raises(UnknownHost) as caught:
        resolve(name)

    assert caught.value.name == name
    assert caught.value.reason


def test_an_address_of_the_other_family_is_named_as_such() -> None:
    with pytest.raises(UnknownHost, match=r"^::1: Address family for hostname not supported$"):
        resolve("::1", socket.AF_INET)


def test_a_c_library_that_does_not_know_the_idn_flags_is_asked_without(monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = socket.getaddrinfo, []

    def strict(host: bytes, port: None, family: int, kind: int, protocol: int, flags: int) -> object:
        asked.append(flags)
        if flags & ~socket.AI_CANONNAME:
            raise socket.gaierror(socket.EAI_BADFLAGS, "Bad value for ai_flags")
        return real(host, port, family, kind, protocol, flags)

    monkeypatch.setattr(destination, "getaddrinfo", strict)

    assert resolve("127.0.0.1")[0].address == ("127.0.0.1", 0)
    assert asked[-1] == socket.AI_CANONNAME


def test_an_official_name_that_is_no_text_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def garbled(host: bytes, port: None, family: int, kind: int, protocol: int, flags: int) -> object:
        if flags:
            b"\xff".decode()
        return real(host, port, family, kind, protocol, flags)

    monkeypatch.setattr(destination, "getaddrinfo", garbled)

    assert resolve("127.0.0.1")[0].canonical_name == "127.0.0.1"


@pytest.mark.parametrize(
    ("address", "group", "link_local", "by_others"),
    [
        ("10.0.0.1", False, False, False),
        ("224.0.0.1", True, False, True),
        ("239.255.255.255", True, False, True),
        ("240.0.0.1", False, False, False),
        ("fd00::1", False, False, False),
        ("fd00:1::", False, False, True),
        ("fe80::1", False, True, False),
        ("fec0::1", False, False, False),
        ("ff02::1", True, True, True),
        ("ff05::1", True, False, True),
    ],
)
def test_kinds_of_addresses_are_told_apart(address: str, group: bool, link_local: bool, by_others: bool) -> None:
    found = resolve(address)[0]

    assert (found.is_group, found.is_link_local, found.answered_by_others) == (group, link_local, by_others)
