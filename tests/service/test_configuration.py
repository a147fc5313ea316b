"""The configuration of a service: what it means, and how its mistakes are told."""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_pton

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingsock.service.configuration import (
    KEYS,
    BadConfiguration,
    Configuration,
    line_of,
    load_configuration,
    parse_configuration,
)
from pingsock.stack.policy import GroupRange

PACKAGED = Path(__file__).parents[2] / "packaging" / "pingsockd.toml"


def test_by_default_nobody_may_and_all_else_is_as_the_kernel_has_it() -> None:
    configuration = parse_configuration("")
    assert not configuration.lets_in(0, 0, (1, 1000))
    assert configuration.leaves_all_to_the_kernel
    assert configuration == Configuration()


@pytest.mark.parametrize(
    ("access", "who", "allowed"),
    [
        ('group_range = "1000 1999"', (5, 1000, ()), True),
        ('group_range = "1000 1999"', (5, 5, (7, 1999)), True),
        ('group_range = "1000 1999"', (1000, 999, (2000,)), False),
        ('group_range = "1 0"', (0, 0, (0, 1)), False),
        ("users = [5]", (5, 5, ()), True),
        ("users = [5]", (6, 5, (5,)), False),
        ('users = ["root"]', (0, 0, ()), True),
        ('group_range = "0 4294967294"\ndenied_users = [5]', (5, 5, ()), False),
        ("users = [5]\ndenied_users = [5]", (5, 5, ()), False),
    ],
)
def test_who_may_open_sockets(access: str, who: tuple[int, int, tuple[int, ...]], allowed: bool) -> None:
    assert parse_configuration(f"[access]\n{access}").lets_in(*who) is allowed


@pytest.mark.parametrize(
    "text",
    [
        "permit.hand_over = false",
        'permit.messages = ["echo"]',
        'permit.destinations = ["0.0.0.0/0", "::/0"]',
        'permit.denied_destinations = ["10.0.0.0/8"]',
        "permit.broadcast = false",
        "permit.multicast = false",
        "quota.packets_per_second = 10",
    ],
)
def test_what_a_kernel_socket_would_not_keep_forbids_handing_one_over(text: str) -> None:
    assert not parse_configuration(text).leaves_all_to_the_kernel


def test_what_a_kernel_socket_keeps_or_cannot_do_anyway_does_not() -> None:
    text = 'permit.messages = ["echo", "extended-echo", "timestamp"]\nquota = {sockets = 5, queued_bytes = 4096}'
    assert parse_configuration(text).leaves_all_to_the_kernel


@pytest.mark.parametrize(
    ("family", "prefix", "inside", "outside"),
    [
        (AF_INET, "10.8.0.0/13", "10.15.255.255", "10.16.0.0"),
        (AF_INET, "192.0.2.1/32", "192.0.2.1", "192.0.2.2"),
        (AF_INET6, "2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"),
        (AF_INET6, "::1/128", "::1", "::"),
    ],
)
def test_prefixes(family: int, prefix: str, inside: str, outside: str) -> None:
    found = parse_configuration(f'permit.destinations = ["{prefix}"]').destinations
    assert found is not None
    assert found[0].contains(family, inet_pton(family, inside))
    assert not found[0].contains(family, inet_pton(family, outside))
    assert not found[0].contains(AF_INET + AF_INET6 - family, bytes(16))


MISTAKES = [
    ("[access]\nusers = [", "f:2: not TOML: Invalid value"),
    ("\nx = \n", "f:2: not TOML: Invalid value"),
    ("[acces]\n", "f:1: acces: unknown table; there are access, audit, permit, quota"),
    ("access = 1", "f:1: access: must be a table"),
    ("\n[access]\n# x\n user = []", "f:4: access.user: unknown key; there are denied_users, group_range, users"),
    ("[access]\nusers = [\n1,\n'nobody-knows']\n", "f:2: access.users: this host knows no user 'nobody-knows'"),
    ("access.users = [4294967295]", "f:1: access.users: 4294967295 is no user id"),
    ("access.users = 1", "f:1: access.users: must be a list of users, not 1"),
    ("access.users = [1.5]", "f:1: access.users: a user is a name or a number, not 1.5"),
    ("\naccess = {group_range = '1'}", "f:2: access.group_range: must be two groups like"),
    ("access.group_range = '1 4294967295'", "f:1: access.group_range: must be two groups like"),
    ("access.group_range = [1, 2]", "f:1: access.group_range: must be two groups like"),
    ("[permit]\n\nmessages = ['echo', 'redirect']", "f:3: permit.messages: unknown message 'redirect'; there are"),
    ("[permit]\nbroadcast = 1", "f:2: permit.broadcast: must be true or false, not 1"),
    ("[permit]\ndestinations = ['10.0.0.1/8']", "f:2: permit.destinations: '10.0.0.1/8' is no prefix like"),
    ("[permit]\ndestinations = [5]", "f:2: permit.destinations: 5 is no prefix like"),
    ("[quota]\nsockets = 0", "f:2: quota.sockets: must be a whole number from 1 to 65535, not 0"),
    ("[quota]\nsockets = true", "f:2: quota.sockets: must be a whole number from 1 to 65535, not True"),
    ('[audit]\na = """\n[quota]\nsockets = 0\n"""\n[quota]\nsockets = 0', "f:2: audit.a: unknown key"),
    ('[access]\nusers = []\n[quota]\nsockets = """\nx\n"""', "f:4: quota.sockets: must be a whole number"),
]


@pytest.mark.parametrize(("text", "complaint"), MISTAKES)
def test_a_mistake_is_told_with_file_line_and_key(text: str, complaint: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        parse_configuration(text, "f")
    assert str(caught.value).startswith(complaint)


@given(st.lists(st.sampled_from(["", "# x", "[quota]", "a = 1", "b = [\n1,\n2]", "'c' = '''\nx\n'''"]), max_size=9))
def test_a_key_is_on_the_line_where_its_statement_begins(lines: list[str]) -> None:
    above = "[audit]\n" + "".join(f"{line}\n" for line in lines if line.startswith("#") or not line)
    text = f"{above}wanted = [\n1\n]\n"
    assert line_of(text, ["audit", "wanted"]) == above.count("\n") + 1


def test_a_mistake_at_the_end_of_a_long_file_is_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    prefixes = "".join(f'  "10.{number // 256}.{number % 256}.0/24",\n' for number in range(2000))
    text = f"[permit]\ndestinations = [\n{prefixes}]\n# sockets, so many\n[quota]\nsockets = 0\n"
    parsed: list[str] = []
    loads = tomllib.loads

    def counted(text: str) -> dict[str, object]:
        parsed.append(text)
        return loads(text)

    monkeypatch.setattr(tomllib, "loads", counted)
    with pytest.raises(BadConfiguration) as caught:
        parse_configuration(text, "f")
    assert (caught.value.line, caught.value.key) == (2006, "quota.sockets")
    assert len(parsed) < 5


@pytest.mark.parametrize("name", ['"s\\u006fckets"', "'sockets'", '"sockets"'])
def test_a_key_is_found_however_it_is_written(name: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        parse_configuration(f"[quota]\nqueued_bytes = 4096\n\n{name} = 0\npackets_per_second = 5\n", "f")
    assert (caught.value.line, caught.value.key) == (4, "quota.sockets")


@given(st.text(max_size=60))
def test_any_text_is_a_configuration_or_a_mistake_that_is_told(text: str) -> None:
    with contextlib.suppress(BadConfiguration):
        parse_configuration(text)


def test_a_file_that_is_no_text_or_too_long_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pingsockd.toml"
    file.write_bytes(b"\n\n\xff")
    with pytest.raises(BadConfiguration, match=r"pingsockd.toml:3: not UTF-8"):
        load_configuration(os.fspath(file))
    file.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(BadConfiguration, match="more than 1048576 bytes"):
        load_configuration(os.fspath(file))


def test_the_packaged_configuration_is_one() -> None:
    configuration = load_configuration(os.fspath(PACKAGED))
    assert configuration.owner_exclusive_idents
    assert configuration.group_range == GroupRange()


DOCUMENTED = Path(__file__).parents[2] / "docs" / "service.md"


def test_the_documentation_has_every_key_and_its_default() -> None:
    table = DOCUMENTED.read_text().partition("## Configuration")[2].partition("### ")[0]
    named = set(re.findall(r"`(\w+\.\w+)`", table))
    assert named == {f"{name}.{key}" for name, keys in KEYS.items() for key in keys}
    defaults = Configuration()
    for field, key in (("sockets", "quota.sockets"), ("queued_bytes", "quota.queued_bytes")):
        assert f"| `{key}` | {getattr(defaults, field)} |" in table
    assert f"| `audit.refusals_per_minute` | {defaults.refusals_per_minute} |" in table


def test_the_packaged_configuration_names_every_key_with_its_default() -> None:
    text = PACKAGED.read_text()
    uncommented = re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE)
    named = set(re.findall(r"^(\w+) = ", uncommented, re.MULTILINE))
    assert named == {key for keys in KEYS.values() for key in keys}
    permits_all = uncommented.replace("owner_exclusive_idents = true", "owner_exclusive_idents = false")
    said = parse_configuration(permits_all.replace('destinations = ["0.0.0.0/0", "::/0"]', "", 1))
    assert said == Configuration()
