"""What `ping` shows of IP options, floods, and values it is given."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import pytest

from pingsock.cli import ping_texts, ping_values
from pingsock.cli.arguments import Refused, c_int
from pingsock.cli.ip_option_texts import IpOptionTexts
from pingsock.cli.ping_flood import Flood
from pingsock.cli.ping_options import Settings, read_options
from pingsock.probe.records import IcmpError, Note, Reply, SendFailure
from pingsock.probe.tally import Tally
from pingsock.probe.target import Target
from pingsock.tools.ping import Corrupted, Sent, Unanswered

A, B = b"\x0a\0\0\1", b"\x0a\0\0\2"
TARGET = Target("10.0.0.9", 2, ("10.0.0.9", 0))


def shown(*options: bytes) -> list[str]:
    texts = IpOptionTexts(lambda address: str(address[0]))
    return [texts.text(each) for each in options]


def record_route(pointer: int, slots: bytes) -> bytes:
    return bytes([7, 3 + len(slots), pointer]) + slots


@pytest.mark.parametrize(
    ("option", "text"),
    [
        (b"", ""),
        (b"\0", ""),
        (b"\1\1", "\nNOP\nNOP"),
        (b"\x99\4\0\0", "\nunknown option 99"),
        (b"\x07", ""),
        (b"\x07\x01", ""),
        (b"\x07\x2c" + bytes(4), ""),
        (record_route(4, A + B), ""),
        (record_route(8, A + B), "\nRR: \t10.0.0.1\n"),
        (record_route(12, A + bytes(4)), "\nRR: \t10.0.0.1\n\t0.0.0.0\n"),
        (record_route(255, A + B), "\nRR: \t10.0.0.1\n\t10.0.0.2\n"),
        (b"\x83\x0b\x04" + A + B, "\nLSRR: \t10.0.0.1\n\t10.0.0.2\n"),
        (b"\x89\x07\x04" + A, "\nSSRR: \t10.0.0.1\n"),
        (b"\x83\x03\x04", "\nLSRR: "),
    ],
)
def test_options(option: bytes, text: str) -> None:
    assert shown(option) == [text]


def test_a_route_is_shown_again_only_when_it_changes() -> None:
    there, back = record_route(12, A + B), record_route(12, B + A)

    assert [text[:5] for text in shown(there, there, back, there)] == ["\nRR: ", "\t(sam", "\nRR: ", "\nRR: "]


def stamps(pointer: int, flags: int, *numbers: int) -> bytes:
    return bytes([68, 4 + 4 * len(numbers), pointer, flags]) + struct.pack(f"!{len(numbers)}I", *numbers)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        (stamps(5, 0, 1, 2), ""),
        (stamps(13, 0, 1000, 1007), "\nTS: \t1000 absolute\n\t7\n"),
        (stamps(17, 0, 1000, 0x80000005, 1003), "\nTS: \t1000 absolute\n\t5 absolute not-standard\n\t3\n"),
        (stamps(13, 0x30, 9, 9), "\nTS: \t9 absolute\n\t0\nUnrecorded hops: 3\n"),
        (stamps(13, 1, 0x0A000001, 7), "\nTS: \t10.0.0.1\t7 absolute\n"),
        (stamps(21, 1, 0x0A000001, 7, 0x0A000002, 9), "\nTS: \t10.0.0.1\t7 absolute\n\t10.0.0.2\t2\n"),
        (b"\x44\x04\x05\x00", ""),
    ],
)
def test_time_stamps(option: bytes, text: str) -> None:
    assert shown(option) == [text]


@pytest.mark.parametrize("size", range(40))
def test_options_cut_off_anywhere_are_no_trouble(size: int) -> None:
    for option in (record_route(40, A * 9), stamps(41, 0, *range(9)), stamps(37, 1, *range(8))):
        shown(option[:size], option[size:], bytes([option[0], 40, 255]) + option[3:size])


# Floods


def flooded(*records: object, arguments: str = "-f", columns: int = 80, transmitted: int = 0) -> str:
    settings = Settings()
    read_options(arguments.split(), settings)
    written: list[str] = []
    tally = Tally()
    tally.transmitted = transmitted
    flood = Flood(settings, SimpleNamespace(write=written.append), SimpleNamespace(tally=tally))  # type: ignore[arg-type]
    flood._columns = columns
    for record in records:
        flood.tell(record)
    return "".join(written)


REPLY = Reply(TARGET, 1, 1, 0, ("10.0.0.9", 0), b"", 64, 1000, "kernel")
ERROR = IcmpError(TARGET, 1, 1, 0, ("10.0.0.1", 0), 3, 1, 0)
QUENCH = Note(TARGET, 1, 1, 0, ("10.0.0.1", 0), 4, 0, 0)
FAILURE = SendFailure(TARGET, 1, 1, 0, 1)


def test_a_flood_shows_what_is_missing() -> None:
    assert flooded(Sent(1), REPLY, Sent(2), Sent(3), ERROR, QUENCH, FAILURE) == ".\b \b..\bEE"
    assert flooded(Corrupted(REPLY)) == "\bC"
    assert flooded(REPLY, arguments="-fa") == "\b \b\a"
    assert flooded(Unanswered(7), arguments="-fqO") == "no answer yet for icmp_seq=7\n"
    assert flooded(Sent(1), REPLY, ERROR, arguments="-fq") == ""


def test_a_flood_does_not_fill_the_screen() -> None:
    assert flooded(Sent(1), arguments="-f -l 90", transmitted=79) == "."
    assert flooded(Sent(1), arguments="-f -l 90", transmitted=80) == ""


# Values


@pytest.mark.parametrize(
    ("text", "base", "result"),
    [
        ("", 10, (0, "")),
        ("12", 10, (12, "")),
        (" -7x", 10, (-7, "x")),
        ("+5", 10, (5, "")),
        ("x", 10, (0, "x")),
        ("-", 10, (0, "-")),
        ("fF", 16, (255, "")),
        ("0x1g", 16, (1, "g")),
        ("0x", 16, (0, "x")),
        ("2147483648", 10, (-(2**31), "")),
        ("99999999999999999999", 10, (-1, "")),
        ("-99999999999999999999", 10, (0, "")),
        ("9" * 5000, 10, (-1, "")),
    ],
)
def test_c_integers(text: str, base: int, result: tuple[int, str]) -> None:
    assert c_int(text, base) == result


@pytest.mark.parametrize(
    ("text", "pattern", "notice"),
    [
        ("ff", b"\xff", "PATTERN: 0xff\n"),
        ("fff", b"\xff\x0f", "PATTERN: 0xff0f\n"),
        ("", b"\0", "PATTERN: 0x\n"),
        (
            "00112233445566778899aabbccddeeff99",
            bytes(range(0, 256, 17)),
            f"PATTERN: 0x{bytes(range(0, 256, 17)).hex()}\n",
        ),
    ],
)
def test_patterns(text: str, pattern: bytes, notice: str) -> None:
    settings = Settings()
    ping_values.pattern(settings, text)

    assert settings.pattern == pattern
    assert settings.notices == [notice]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-p", "12xy"], "patterns must be specified as hex digits: xy"),
        (["-F", "0x100000"], "flow value is greater than 20 bits: 0x100000"),
        (["-F", "-1"], "flow value is greater than 20 bits: -1"),
        (["-F", "7z"], "bad value for flowinfo: 7z"),
        (["-Q", "0x100"], "the decimal value of TOS bits must be in range 0-255: 256"),
        (["-Q", "1.5"], "bad TOS value: 1.5"),
        (["-M", "maybe"], "invalid -M argument: maybe"),
        (["-T", "maybe"], "invalid timestamp type: maybe"),
        (["-R", "-T", "maybe"], "only one of -T or -R may be used"),
        (["-T", "tsonly", "-R"], "only one of -T or -R may be used"),
        (["-I", "1:2"], "invalid source address: 1:2"),
    ],
)
def test_values_that_are_refused(arguments: list[str], text: str) -> None:
    with pytest.raises(Refused) as raised:
        read_options(arguments, Settings())

    assert (raised.value.text, raised.value.status) == (text, 2)


def test_an_interface_and_a_source_of_each_family() -> None:
    settings = Settings()
    read_options(["-I", "10.0.0.1", "-I", "fe80::1%eth0", "-I", ""], settings)

    assert (settings.source4, settings.source6, settings.device) == ("10.0.0.1", "fe80::1", "")
    assert settings.strict_source


# Texts


def test_the_first_line_shows_options_and_flow_label() -> None:
    facts = {"host": "h", "address": "a", "size": 56, "source": "", "device": ""}

    assert ping_texts.header(ipv6=False, options=40, **facts) == "PING h (a) 56(124) bytes of data.\n"  # type: ignore[arg-type]
    assert ping_texts.header(ipv6=True, flow_label=0x45, **facts) == "PING h (a) , flow 0x00045, 56 data bytes\n"  # type: ignore[arg-type]


def test_a_reply_with_all_there_can_be() -> None:
    line = ping_texts.reply(
        size=64,
        source="h (a)",
        said=" icmp_seq=1",
        hop_limit=64,
        microseconds=123_456,
        ident=7,
        precise=True,
        duplicate=True,
        corrupted=True,
        other_source=True,
        behind="\a",
    )

    assert line == (
        "64 bytes from h (a): icmp_seq=1 ident=7 ttl=64 time=123.456 ms (DUP!) (BAD CHECKSUM!) (DIFFERENT ADDRESS!)\a\n"
    )


def test_corrupted_replies_stand_between_duplicates_and_errors() -> None:
    tally = Tally()
    tally.transmitted, tally.duplicates, tally.corrupted, tally.failures = 2, 1, 3, 1

    assert "0 received, +1 duplicates, +3 corrupted, +1 errors, 100% packet loss" in ping_texts.summary(
        tally, host="h", elapsed=0, timed=True, unpaced=False
    )


def test_how_round_trips_were_measured() -> None:
    assert ping_texts.timing({"kernel": 3, "clock": 1}) == (
        "round trips: 3 between the kernel's stamps, 1 by this program's clock"
    )
