from __future__ import annotations

import ctypes
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pingsock.cli.arguments import OptionReader, Refused, WrongUsage, real_number, whole_number

LIBC = ctypes.CDLL(None)
LIBC.strtod.restype = ctypes.c_double
LIBC.strtod.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p)]


def read(*arguments: str) -> tuple[list[tuple[str, str]], list[str]]:
    reader = OptionReader(list(arguments), "nq", "ci")
    return list(reader), reader.operands


@pytest.mark.parametrize(
    ("arguments", "options", "operands"),
    [
        (["-n", "host"], [("n", "")], ["host"]),
        (["-nq", "host"], [("n", ""), ("q", "")], ["host"]),
        (["-c3", "host"], [("c", "3")], ["host"]),
        (["-nc3", "host"], [("n", ""), ("c", "3")], ["host"]),
        (["-c", "-3", "host"], [("c", "-3")], ["host"]),
        (["-c", "--", "host"], [("c", "--")], ["host"]),
        (["host", "-n"], [("n", "")], ["host"]),
        (["--", "-n"], [], ["-n"]),
        (["-n", "--", "-q", "--"], [("n", "")], ["-q", "--"]),
        (["-"], [], ["-"]),
        (["a", "-", "b", "-q", "c"], [("q", "")], ["a", "-", "b", "c"]),
        (["-c", ""], [("c", "")], []),
        ([], [], []),
    ],
)
def test_getopts_habits(arguments: list[str], options: list[tuple[str, str]], operands: list[str]) -> None:
    assert read(*arguments) == (options, operands)


def test_posixly_correct_ends_options_at_the_first_operand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSIXLY_CORRECT", "")

    assert read("-n", "host", "-q") == ([("n", "")], ["host", "-q"])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-Z"], "invalid option -- 'Z'"),
        (["--help"], "invalid option -- '-'"),
        (["-nZ"], "invalid option -- 'Z'"),
        (["-c"], "option requires an argument -- 'c'"),
        (["-nc"], "option requires an argument -- 'c'"),
    ],
)
def test_what_is_no_option_is_told_in_getopts_words(arguments: list[str], text: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        read(*arguments)

    assert caught.value.text == text
    assert caught.value.status == 2


def test_options_before_a_bad_one_take_effect_first() -> None:
    seen: list[tuple[str, str]] = []
    with pytest.raises(WrongUsage):
        seen.extend(OptionReader(["-n", "-Z"], "n", ""))

    assert seen == [("n", "")]


@pytest.mark.parametrize(
    ("text", "number"), [("5", 5), (" \t5", 5), ("+5", 5), ("-5", -5), ("0005", 5), ("0" * 5000, 0)]
)
def test_whole_numbers(text: str, number: int) -> None:
    assert whole_number(text, -10, 10) == number


@pytest.mark.parametrize("text", ["", " ", "-", "+", "x", "5x", "5 ", "0x5", "1.5", "1_0", "\u0661", "++5", "-+5"])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(Refused) as caught:
        whole_number(text, 0, 10)

    assert caught.value.text == f"invalid argument: '{text}'"
    assert caught.value.status == 1


@pytest.mark.parametrize("text", ["11", "-1", "9223372036854775807", "-9223372036854775808"])
def test_whole_numbers_out_of_range(text: str) -> None:
    with pytest.raises(Refused, match="out of range: 0 <= value <= 10"):
        whole_number(text, 0, 10)


@pytest.mark.parametrize("text", ["9223372036854775808", "-9223372036854775809", "9" * 10000])
def test_whole_numbers_no_long_can_hold(text: str) -> None:
    with pytest.raises(Refused, match="Numerical result out of range"):
        whole_number(text, 0, 10)


def c_strtod(text: str) -> tuple[float, int]:
    rest = ctypes.c_char_p()
    content = ctypes.create_string_buffer(text.encode())
    number = LIBC.strtod(ctypes.cast(content, ctypes.c_char_p), ctypes.byref(rest))
    return number, len(text.encode()) - len(rest.value or b"")


NUMBERISH = st.text(alphabet="0123456789.eExXpP+-infatyINF \tgz_()", max_size=14)


@given(NUMBERISH)
@example("0x")
@example("0x.p1")
@example("1e+")
@example(".e1")
@example("-infinityx")
@example("nan")
@example("-NaN(a_1)x")
@example("nan()")
@example("nan(1")
@example("nan(1 2)")
@example("inf(1)")
@example("1e400")
@example("0x1p-1080")
def test_real_numbers_are_those_of_the_c_library(text: str) -> None:
    number, rest, _ = real_number(text)
    expected, used = c_strtod(text)

    assert len(text) - len(rest) == used
    assert math.isnan(number) if math.isnan(expected) else number == expected


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1e-400", "1e-310", "0x1p99999", "0xep99999", "0x.1p-1080"])
def test_numbers_no_double_can_hold_are_told(text: str) -> None:
    assert real_number(text)[2]


@pytest.mark.parametrize("text", ["0", "0.0e-400", "0x0p-9999", "1e308", "inf", "nan", "x", "", "0xe5"])
def test_other_numbers_are_in_range(text: str) -> None:
    assert not real_number(text)[2]


def test_a_long_text_costs_no_more_than_its_length() -> None:
    assert real_number("1" * 200_000)[0] == math.inf
    assert real_number("x" * 200_000) == (0.0, "x" * 200_000, False)
