"""Command-line arguments as C programs read them: getopt(3), and numbers as iputils checks them.

`argparse` costs more than all of ping, and does not know getopt's habits: flags in one word (-nq), values glued on
(-c3), options behind operands, "--" as the end, and the C library's sentences.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_BLANKS = " \t\n\v\f\r"
_DIGITS = "0123456789"
_HEX_DIGITS = _DIGITS + "abcdefABCDEF"
_SMALLEST_NORMAL = 2.0**-1022
_INFINITY = float("inf")
NO_VALUE, VALUE, OPTIONAL_VALUE = 0, 1, 2
"""What may stand behind an option with a name, with the numbers of getopt_long(3). An optional one only glued on."""


class Refused(Exception):
    """An argument is refused: what to say (without the program's name), and the exit status."""

    def __init__(self, text: str, status: int = 2) -> None:
        self.text = text
        self.status = status
        super().__init__(text, status)


class WrongUsage(Refused):
    """The command line is not understood at all; the usage is to be shown after the text, if there is one."""


class OptionReader:
    """Iterates over (letter, value) of a command line in order; afterwards `operands` are known.

    `flags` and `valued` are the letters without and with a value. Options with a name, `--name`, come as (name, value);
    `takes` tells of a name what may stand behind it (NO_VALUE and so on), None if there is no such name.

    :raises WrongUsage: an unknown letter or name, no value where one is needed, or one where none belongs.
    """

    def __init__(
        self,
        arguments: list[str],
        flags: Collection[str],
        valued: Collection[str],
        takes: Callable[[str], int | None] = lambda _name: None,
    ) -> None:
        self.operands: list[str] = []
        self._waiting = arguments[::-1]
        self._flags = flags
        self._valued = valued
        self._takes = takes
        self._options_first = "POSIXLY_CORRECT" in os.environ

    def __iter__(self) -> Iterator[tuple[str, str]]:
        while self._waiting:
            word = self._waiting.pop()
            if word == "--":
                self._rest_are_operands()
            elif word.startswith("-") and word != "-":
                yield from self._options_of(word[1:])
            else:
                self.operands.append(word)
                if self._options_first:
                    self._rest_are_operands()

    def _rest_are_operands(self) -> None:
        self.operands += self._waiting[::-1]
        self._waiting.clear()

    def _options_of(self, letters: str) -> Iterator[tuple[str, str]]:
        if letters[0] == "-":
            name, glued, text = letters[1:].partition("=")
            takes = self._takes(name)
            if takes is not None:
                yield name, self._value_of(name, takes, text if glued else None)
                return
        for at, letter in enumerate(letters):
            if letter in self._flags:
                yield letter, ""
            elif letter in self._valued:
                yield letter, letters[at + 1 :] or self._next_word(letter)
                return
            else:
                raise WrongUsage(f"invalid option -- '{letter}'")

    def _value_of(self, name: str, takes: int, glued: str | None) -> str:
        if takes == NO_VALUE and glued is not None:
            raise WrongUsage(f"option '--{name}' doesn't allow an argument")
        if takes == OPTIONAL_VALUE and glued == "":
            raise WrongUsage(f"option '--{name}=' requires an argument")
        if takes != VALUE or glued is not None:
            return glued or ""
        if not self._waiting:
            raise WrongUsage(f"option '--{name}' requires an argument")
        return self._waiting.pop()

    def _next_word(self, letter: str) -> str:
        if not self._waiting:
            raise WrongUsage(f"option requires an argument -- '{letter}'")
        return self._waiting.pop()


def whole_number(text: str, lowest: int, highest: int) -> int:
    """A decimal number. As with iputils, what it refuses ends the program with status 1."""
    unsigned = text.lstrip(_BLANKS)
    negative = unsigned[:1] == "-"
    digits = unsigned[1:] if unsigned[:1] in ("-", "+") else unsigned
    if not digits or digits.strip(_DIGITS):
        raise Refused(f"invalid argument: '{text}'", 1)
    significant = digits.lstrip("0") or "0"
    # A C long has at most 19 digits; int() of a very long text would raise.
    number = int(significant) if len(significant) <= 19 else 2**63
    if number > 2**63 - 1 + negative:
        raise Refused(f"invalid argument: '{text}': Numerical result out of range", 1)
    number = -number if negative else number
    if not lowest <= number <= highest:
        raise Refused(f"invalid argument: '{text}': out of range: {lowest} <= value <= {highest}", 1)
    return number


def real_number(text: str) -> tuple[float, str, bool]:
    """The number a text begins with, in the C locale; what stands behind it; and whether no double can hold it.

    Decimal, hexadecimal ("0x1.8p3"), "inf", "nan" and "nan(WORD)", as strtod(3); 0.0 if the text begins with none.
    """
    start = len(text) - len(text.lstrip(_BLANKS))
    sign_ends = start + (text[start : start + 1] in ("-", "+"))
    word = _word_at(text[sign_ends : sign_ends + 8].lower())
    if word:
        end = sign_ends + len(word)
        return float(text[start:sign_ends] + word), text[_remark_end(text, end) if word == "nan" else end :], False
    end = _hexadecimal_end(text, sign_ends) or _decimal_end(text, sign_ends)
    if not end:
        return 0.0, text, False
    number = _double(text[start:end])
    is_zero = _is_zero(text[sign_ends:end].lower())
    return number, text[end:], not (is_zero or _SMALLEST_NORMAL <= abs(number) < _INFINITY)


def _is_zero(lower: str) -> bool:
    """Whether the digits say zero, however small the double has become."""
    exponent = "p" if lower.startswith("0x") else "e"
    return not lower.partition(exponent)[0].strip("0.x")


def _word_at(lower: str) -> str:
    return next((word for word in ("infinity", "inf", "nan") if lower.startswith(word)), "")


def _remark_end(text: str, at: int) -> int:
    """Where a word in brackets, which may stand behind "nan", ends; `at` itself if there is none."""
    word, bracket, _ = text[at + 1 :].partition(")")
    is_remark = text[at : at + 1] == "(" and bracket and word.isascii() and f"a{word}".replace("_", "a").isalnum()
    return at + len(word) + 2 if is_remark else at


def _decimal_end(text: str, at: int) -> int:
    end = _mantissa_end(text, at, _DIGITS)
    return _exponent_end(text, end, "e") if end else 0


def _hexadecimal_end(text: str, at: int) -> int:
    if text[at : at + 2].lower() != "0x":
        return 0
    end = _mantissa_end(text, at + 2, _HEX_DIGITS)
    return _exponent_end(text, end, "p") if end else 0


def _mantissa_end(text: str, at: int, digits: str) -> int:
    """Where digits with at most one point among them end; 0 if there is no digit."""
    point = seen = False
    while at < len(text) and (text[at] in digits or (text[at] == "." and not point)):
        point = point or text[at] == "."
        seen = seen or text[at] != "."
        at += 1
    return at if seen else 0


def _exponent_end(text: str, at: int, mark: str) -> int:
    """Where an exponent that begins at `at` ends; `at` itself if there is none."""
    if text[at : at + 1].lower() != mark:
        return at
    end = at + 1 + (text[at + 1 : at + 2] in ("-", "+"))
    first = end
    while text[end : end + 1] in _DIGITS and end < len(text):
        end += 1
    return end if end > first else at


def _double(text: str) -> float:
    try:
        return float.fromhex(text) if "x" in text.lower() else float(text)
    except OverflowError:
        return -_INFINITY if text.startswith("-") else _INFINITY


def c_int(text: str, base: int) -> tuple[int, str]:
    """The whole number a text begins with, as (int) strtol(3) of 64-bit C has it, and what stands behind it.

    `base` is 10 or 16, which may have 0x in front. 0 and all of the text if it begins with no number.
    """
    start = len(text) - len(text.lstrip(_BLANKS))
    sign_ends = start + (text[start : start + 1] in ("-", "+"))
    digits = _DIGITS if base == 10 else _HEX_DIGITS
    first = sign_ends + 2 * (base == 16 and text[sign_ends : sign_ends + 2].lower() == "0x")
    # "0x" with no digit behind it is the number 0.
    first = first if text[first : first + 1] and text[first] in digits else sign_ends
    end = first
    while end < len(text) and text[end] in digits:
        end += 1
    if end == first:
        return 0, text
    # What no `long` can hold is its greatest or least value, of which an `int` has the lowest 32 bits.
    number = int(text[first:end], base) if end - first < 4000 else 2**63
    number = max(-(2**63), -number) if text[start] == "-" else min(number, 2**63 - 1)
    return (number + 2**31) % 2**32 - 2**31, text[end:]
