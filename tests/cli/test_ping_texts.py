from __future__ import annotations

import errno
import socket

import pytest

from pingsock.cli import icmp_texts, ping_texts
from pingsock.cli.icmp_texts import icmp_message, send_failure
from pingsock.probe.tally import Tally


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "0.000"),
        (7, "0.007"),
        (268, "0.268"),
        (999, "0.999"),
        (1000, "1.00"),
        (1004, "1.00"),
        (1005, "1.01"),
        (9994, "9.99"),
        (9995, "10.0"),
        (10049, "10.0"),
        (10050, "10.1"),
        (99949, "99.9"),
        (99950, "100"),
        (100499, "100"),
        (100500, "101"),
        (1007333, "1007"),
    ],
)
def test_times_have_three_digits_that_count(microseconds: int, text: str) -> None:
    assert ping_texts.round_trip(microseconds) == text


def test_headers() -> None:
    def header(**changes: object) -> str:
        facts = {"ipv6": False, "host": "h.test", "address": "10.0.0.9", "size": 56, "source": "", "device": ""}
        return ping_texts.header(**facts | changes)  # type: ignore[arg-type]

    assert header() == "PING h.test (10.0.0.9) 56(84) bytes of data.\n"
    assert header(source="10.0.0.1") == "PING h.test (10.0.0.9) from 10.0.0.1 : 56(84) bytes of data.\n"
    assert header(source="10.0.0.1", device="eth0").endswith(" from 10.0.0.1 eth0: 56(84) bytes of data.\n")
    assert header(ipv6=True, address="::1", size=0) == "PING h.test (::1) 0 data bytes\n"


def reply(**changes: object) -> str:
    facts = {"size": 64, "source": "10.0.0.9", "said": " icmp_seq=1", "hop_limit": 61, "microseconds": 268}
    return ping_texts.reply(**facts | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "64 bytes from 10.0.0.9: icmp_seq=1 ttl=61 time=0.268 ms\n"),
        ({"microseconds": None}, "64 bytes from 10.0.0.9: icmp_seq=1 ttl=61\n"),
        ({"hop_limit": -1}, "64 bytes from 10.0.0.9: icmp_seq=1 time=0.268 ms\n"),
        ({"duplicate": True}, "64 bytes from 10.0.0.9: icmp_seq=1 ttl=61 time=0.268 ms (DUP!)\n"),
        (
            {"duplicate": True, "other_source": True},
            "64 bytes from 10.0.0.9: icmp_seq=1 ttl=61 time=0.268 ms (DUP!) (DIFFERENT ADDRESS!)\n",
        ),
        (
            {"size": 40, "truncated": True, "duplicate": True},
            "40 bytes from 10.0.0.9: icmp_seq=1 ttl=61 (truncated)\n",
        ),
    ],
)
def test_reply_lines(changes: dict[str, object], line: str) -> None:
    assert reply(**changes) == line


def test_wrong_data_is_shown_whole_after_the_line() -> None:
    payload = bytes(range(16)) + bytes(range(16, 20)) + b"\xeb" + bytes(range(21, 56))
    first = "10 11 12 13 eb " + "".join(f"{byte:x} " for byte in range(0x15, 0x30))
    second = "30 31 32 33 34 35 36 37 "

    assert reply(behind=ping_texts.wrong_data(payload, 0x14, 20)) == (
        "64 bytes from 10.0.0.9: icmp_seq=1 ttl=61 time=0.268 ms"
        f"\nwrong data byte #20 should be 0x14 but was 0xeb\n#16\t{first}\n#48\t{second}\n"
    )


def tally(*microseconds: int, transmitted: int, **counts: int) -> Tally:
    made = Tally()
    made.transmitted, made.received = transmitted, len(microseconds)
    for each in microseconds:
        made.round_trips.add(each)
    for name, count in counts.items():
        setattr(made, name, count)
    return made


def summary(made: Tally, **changes: object) -> list[str]:
    facts = {"host": "h.test", "elapsed": 406_400_000, "timed": True, "unpaced": False}
    return ping_texts.summary(made, **facts | changes).split("\n")  # type: ignore[arg-type]


def test_the_summary_of_replies() -> None:
    assert summary(tally(268, 109, 112, transmitted=3)) == [
        "",
        "--- h.test ping statistics ---",
        "3 packets transmitted, 3 received, 0% packet loss, time 406ms",
        "rtt min/avg/max/mdev = 0.109/0.163/0.268/0.074 ms",
        "",
    ]


def test_the_summary_of_nothing_received_has_an_empty_last_line() -> None:
    assert summary(tally(transmitted=3, reported_errors=2, failures=1))[2:] == [
        "3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 406ms",
        "",
        "",
    ]


def test_the_summary_of_nothing_sent_has_no_loss() -> None:
    assert summary(tally(transmitted=0))[2] == "0 packets transmitted, 0 received"


def test_the_summary_with_everything() -> None:
    made = tally(107, 107, transmitted=3, duplicates=2, reported_errors=1, pipe=3)

    assert summary(made, unpaced=True)[2:4] == [
        "3 packets transmitted, 2 received, +2 duplicates, +1 errors, 33.3333% packet loss, time 406ms",
        "rtt min/avg/max/mdev = 0.107/0.107/0.107/0.000 ms, pipe 3, ipg/ewma 203.200/0.107 ms",
    ]


def test_the_pipe_alone_stands_without_a_comma() -> None:
    assert summary(tally(1, 1, transmitted=2, pipe=2), timed=False)[3] == "pipe 2"


@pytest.mark.parametrize(
    ("transmitted", "received", "loss"),
    [(3, 2, "33.3333%"), (7, 6, "14.2857%"), (1_000_000, 999_999, "0.0001%"), (8_100_000, 7_100_000, "12.3457%")],
)
def test_loss_has_six_digits(transmitted: int, received: int, loss: str) -> None:
    made = Tally()
    made.transmitted, made.received = transmitted, received

    assert f", {loss} packet loss" in summary(made)[2]


@pytest.mark.parametrize(
    ("elapsed", "text"), [(0, "0ms"), (499_999, "0ms"), (500_000, "1ms"), (1_999_600_000, "2000ms")]
)
def test_the_time_is_rounded_to_milliseconds(elapsed: int, text: str) -> None:
    assert summary(tally(transmitted=1), elapsed=elapsed)[2].endswith(f", time {text}")


def test_the_status_line() -> None:
    assert ping_texts.status(tally(transmitted=3), timed=True) == "\r0/3 packets, 100% loss\n"
    assert ping_texts.status(tally(100, 300, transmitted=3), timed=True) == (
        "\r2/3 packets, 33% loss, min/avg/ewma/max = 0.100/0.200/0.125/0.300 ms\n"
    )


@pytest.mark.parametrize(
    ("kind", "code", "info", "text"),
    [
        (3, 0, 0, "Destination Net Unreachable"),
        (3, 1, 0, "Destination Host Unreachable"),
        (3, 4, 1400, "Frag needed and DF set (mtu = 1400)"),
        (3, 15, 0, "Precedence Cutoff"),
        (3, 16, 0, "Dest Unreachable, Bad Code: 16"),
        (4, 0, 0, "Source Quench"),
        (5, 0, 0x0A0900FD, "Redirect Network(New nexthop: 10.9.0.253)"),
        (5, 1, 0x0A0900FD, "Redirect Host(New nexthop: 10.9.0.253)"),
        (5, 9, 0, "Redirect, Bad Code: 9(New nexthop: 0.0.0.0)"),
        (11, 0, 0, "Time to live exceeded"),
        (11, 1, 0, "Frag reassembly time exceeded"),
        (11, 2, 0, "Time exceeded, Bad Code: 2"),
        (12, 0, 20, "Parameter problem: pointer = 20"),
        (77, 0, 0, "Bad ICMP type: 77"),
    ],
)
def test_icmpv4_messages(kind: int, code: int, info: int, text: str) -> None:
    assert icmp_message(socket.AF_INET, kind, code, info) == text


@pytest.mark.parametrize(
    ("kind", "code", "info", "text"),
    [
        (1, 0, 0, "Destination unreachable: No route"),
        (1, 6, 0, "Destination unreachable: Reject route to destination"),
        (1, 7, 0, "Destination unreachable: Unknown code 7"),
        (2, 0, 1280, "Packet too big: mtu=1280"),
        (2, 3, 1280, "Packet too big: mtu=1280, code=3"),
        (3, 0, 0, "Time exceeded: Hop limit"),
        (3, 1, 0, "Time exceeded: Defragmentation failure"),
        (3, 2, 0, "Time exceeded: code 2"),
        (4, 0, 6, "Parameter problem: Wrong header field at 6"),
        (4, 1, 6, "Parameter problem: Unknown header at 6"),
        (4, 2, 2**32 - 1, "Parameter problem: Unknown option at 4294967295"),
        (4, 9, 6, "Parameter problem: code 9 at 6"),
        (100, 0, 0, "unknown icmp type: 100"),
    ],
)
def test_icmpv6_messages(kind: int, code: int, info: int, text: str) -> None:
    assert icmp_message(socket.AF_INET6, kind, code, info) == text


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_every_type_and_code_has_words(family: int) -> None:
    for kind in range(256):
        for code in range(256):
            assert "{" not in icmp_message(family, kind, code, 2**32 - 1)


def test_a_new_gateway_is_shown_by_name() -> None:
    assert icmp_message(socket.AF_INET, 5, 1, 0x0A000001, "gw.test ({})".format).endswith(
        "(New nexthop: gw.test (10.0.0.1))"
    )


@pytest.mark.parametrize(
    ("family", "number", "mtu", "text"),
    [
        (socket.AF_INET, errno.EMSGSIZE, 1400, "local error: message too long, mtu=1400"),
        (socket.AF_INET6, errno.EMSGSIZE, 1400, "local error: message too long, mtu: 1400"),
        (socket.AF_INET, errno.EMSGSIZE, 0, "sendmsg: Message too long"),
        (socket.AF_INET, errno.EPERM, 0, "sendmsg: Operation not permitted (a local firewall rule dropped it)"),
        (socket.AF_INET, errno.EINVAL, 0, "sendmsg: Invalid argument"),
    ],
)
def test_failed_sends(family: int, number: int, mtu: int, text: str) -> None:
    assert send_failure(family, number, mtu) == text


def test_the_tables_hold_no_code_twice() -> None:
    for table in (icmp_texts.IPV4, icmp_texts.IPV6):
        for sentence in table.values():
            assert len(set(sentence.codes.values())) == len(sentence.codes)
