"""`ping -N`: questions as they are sent, answers as they are shown. No kernel answers them, so nobody else is asked."""

from __future__ import annotations

import struct

import pytest

from pingsock.cli.arguments import Refused
from pingsock.cli.ping_node_query import NodeQueryHelp, add, answer_text, help_text
from pingsock.tools.node_query import NodeQuery

NAMES, ADDRESSES_6, ADDRESSES_4 = 2, 3, 4


def asked(*texts: str) -> NodeQuery:
    query = None
    for text in texts:
        query = add(text, query)
    assert query is not None
    return query


@pytest.mark.parametrize(
    ("texts", "query"),
    [
        (["name"], NodeQuery(NAMES)),
        (["fqdn"], NodeQuery(NAMES)),
        (["ipv6-all", "ipv6-global"], NodeQuery(ADDRESSES_6, 2 | 32)),
        (["ipv4-all"], NodeQuery(ADDRESSES_4, 2)),
        (["name", "subject-ipv6=::1"], NodeQuery(NAMES, 0, 0, bytes(15) + b"\1")),
        (["name", "subject-ipv4=10.0.0.9"], NodeQuery(NAMES, 0, 2, bytes([10, 0, 0, 9]))),
        (["name", "subject-name=Host"], NodeQuery(NAMES, 0, 1, b"\4host\0\0")),
        (["name", "subject-name=a.example"], NodeQuery(NAMES, 0, 1, b"\1a\7example\0")),
        (["name", "subject-fqdn=host"], NodeQuery(NAMES, 0, 1, b"\4host\0")),
    ],
)
def test_questions(texts: list[str], query: NodeQuery) -> None:
    assert asked(*texts) == query


@pytest.mark.parametrize(
    ("texts", "asked_for", "before"),
    [
        (["help"], True, ""),
        (["nonsense"], False, ""),
        (["subject-name"], False, ""),
        (["ipv6", "ipv4"], False, "Qtype conflict\n"),
        (["subject-ipv6=::1", "subject-name=a"], False, "Subject type conflict\n"),
    ],
)
def test_what_is_not_understood_gets_help(texts: list[str], asked_for: bool, before: str) -> None:
    with pytest.raises(NodeQueryHelp) as raised:
        asked(*texts)

    assert (raised.value.asked, raised.value.before) == (asked_for, before)
    assert raised.value.status == (0 if asked_for else 2)
    assert "  subject-name=name\n" in help_text()


@pytest.mark.parametrize("name", ["", "a..b", 64 * "a"])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(Refused) as raised:
        asked(f"subject-fqdn={name}")

    assert raised.value.status == 1


def reply(wanted: int, content: bytes, *, code: int = 0, flags: int = 0) -> bytes:
    return struct.pack("!BBHHHH6s", 140, code, 0, wanted, flags, 7, b"secret") + content


TTL = bytes(4)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (reply(NAMES, TTL + b"\1a\7example\0"), " a.example.; seq=7;"),
        (reply(NAMES, TTL + b"\4host\0\0"), " host; seq=7;"),
        (reply(NAMES, TTL + b"\1a\1b\0\1c\xc0\x06"), " a.b., c.b.; seq=7;"),
        (reply(NAMES, TTL + b"\2a\x07\0"), " a\\007.; seq=7;"),
        (reply(NAMES, b"\0\0"), " parse error (too short); seq=7;"),
        (reply(NAMES, TTL + b"\5ab"), " parse error (truncated); seq=7;"),
        (reply(NAMES, TTL + b"\xc0\x04"), " parse error (truncated); seq=7;"),
        (reply(ADDRESSES_4, TTL + b"\1\2\3\4" + TTL + b"\5\6\7\x08"), " 1.2.3.4, 5.6.7.8; seq=7;"),
        (reply(ADDRESSES_6, TTL + bytes(15) + b"\1", flags=1), " ::1 (truncated); seq=7;"),
        (reply(ADDRESSES_6, TTL + b"\1"), " parse error (truncated); seq=7;"),
        (reply(9, b""), " unknown qtype(0x09); seq=7;"),
        (reply(NAMES, b"", code=1), " refused; seq=7;"),
        (reply(NAMES, b"", code=2), " unknown; seq=7;"),
        (reply(NAMES, b"", code=3), " unknown code(03); seq=7;"),
    ],
)
def test_answers(message: bytes, text: str) -> None:
    assert answer_text(message) == text


@pytest.mark.parametrize("size", range(20))
def test_no_answer_is_too_short_to_be_shown(size: int) -> None:
    assert answer_text(reply(NAMES, (TTL + b"\1a\7example\0")[:size])).endswith("; seq=7;")
