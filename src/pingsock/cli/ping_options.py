"""The options of `ping`: one table, from which the command line is read and the usage is written."""

from __future__ import annotations

import _socket

from pingsock.cli.arguments import OptionReader, Refused, WrongUsage, real_number, whole_number
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_LONG_MAX = 2**63 - 1
_INT_MAX = 2**31 - 1
_LONGEST_INTERVAL = _INT_MAX / 1000
_LONGEST_LINGER = (2**32 - 1) / 1_000_000
_SMALLEST_NORMAL = 2.0**-1022
_INFINITY = float("inf")


class Settings:
    """What the user asked for. Times are whole milliseconds, except the deadline."""

    def __init__(self, family: int = 0) -> None:
        self.family = family
        self.count = 0
        self.interval = 1000
        self.linger = 10_000
        self.deadline = 0
        """Seconds; 0 is none."""
        self.size = 56
        self.hop_limit: int | None = None
        self.device = ""
        self.source = ""
        """An address to send from; "" leaves it to the kernel."""
        self.quiet = False
        self.numeric = False
        self.always_names = False
        self.version = False
        self.warnings: list[str] = []
        self.operands: list[str] = []


class Option(Value):
    """One option: its letter, what it does to the settings, and its line of the usage."""

    letter: str
    help: str
    apply: Callable[[Settings, str], None]
    value: str = ""
    """What its value is called in the usage; "" if it takes none."""


def _family(wanted: int) -> Callable[[Settings, str], None]:
    def apply(settings: Settings, _text: str) -> None:
        if settings.family not in (0, wanted):
            raise Refused("only one -4 or -6 option may be specified")
        settings.family = wanted

    return apply


def _whole(field: str, lowest: int, highest: int) -> Callable[[Settings, str], None]:
    def apply(settings: Settings, text: str) -> None:
        setattr(settings, field, whole_number(text, lowest, highest))

    return apply


def _milliseconds(field: str, complaint: str, longest: float) -> Callable[[Settings, str], None]:
    def apply(settings: Settings, text: str) -> None:
        seconds, garbage, out_of_range = real_number(text)
        if not text:
            raise Refused(f"{complaint}: ")
        if garbage or out_of_range:
            settings.warnings += [
                f"option argument contains garbage: {garbage}",
                "this will become fatal error in the future",
            ]
        if seconds and not _SMALLEST_NORMAL <= abs(seconds) < _INFINITY:
            raise Refused(f"{complaint}: {text}: Numerical result out of range")
        if not 0 <= seconds <= longest:
            raise Refused(f"{complaint}: {text}")
        setattr(settings, field, int(seconds * 1000))

    return apply


def _flag(field: str) -> Callable[[Settings, str], None]:
    def apply(settings: Settings, _text: str) -> None:
        setattr(settings, field, True)

    return apply


def _no_names(settings: Settings, _text: str) -> None:
    settings.numeric, settings.always_names = True, False


def _interface_or_source(settings: Settings, text: str) -> None:
    if ":" in text:
        address, _, scope = text.partition("%")
        if not _is_address(_socket.AF_INET6, address):
            raise Refused(f"invalid source address: {text}")
        settings.source, settings.device = address, scope or settings.device
    elif _is_address(_socket.AF_INET, text):
        settings.source = text
    else:
        settings.device = text


def _is_address(family: int, text: str) -> bool:
    try:
        _socket.inet_pton(family, text)
    except (OSError, ValueError):
        return False
    return True


def _usage_wanted(_settings: Settings, _text: str) -> None:
    raise WrongUsage("")


OPTIONS = {
    option.letter: option
    for option in (
        Option("4", "IPv4 only", _family(_socket.AF_INET)),
        Option("6", "IPv6 only", _family(_socket.AF_INET6)),
        Option("c", "stop after that many replies and errors", _whole("count", 1, _LONG_MAX), "count"),
        Option("h", "show this and exit", _usage_wanted),
        Option("H", "look up names even if the destination is an address", _flag("always_names")),
        Option(
            "i",
            "seconds between probes, at least 0.002 for users (default 1)",
            _milliseconds("interval", "bad timing interval", _LONGEST_INTERVAL),
            "interval",
        ),
        Option("I", "send from this address, or by this device only", _interface_or_source, "interface"),
        Option("n", "show addresses, do not look up their names", _no_names),
        Option("q", "show the first line and the summary only", _flag("quiet")),
        Option("s", "bytes of payload (default 56)", _whole("size", 0, _INT_MAX), "size"),
        Option("t", "time to live, or hop limit, of the probes", _whole("hop_limit", 0, 255), "ttl"),
        Option("V", "show the version and exit", _flag("version")),
        Option("w", "stop after so many seconds, or with the first error", _whole("deadline", 0, _INT_MAX), "deadline"),
        Option(
            "W",
            "seconds to wait for the first reply at the end, 0 for ever (default 10)",
            _milliseconds("linger", "bad linger time", _LONGEST_LINGER),
            "timeout",
        ),
    )
}


def read_options(arguments: list[str], settings: Settings) -> None:
    """Enter a command line into the settings. The options take effect in their order, so the first bad one is told.

    :raises Refused: with the text and exit status of iputils.
    """
    valued = [letter for letter, option in OPTIONS.items() if option.value]
    flags = OPTIONS.keys() - valued
    reader = OptionReader(arguments, flags, valued)
    for letter, text in reader:
        OPTIONS[letter].apply(settings, text)
    settings.operands = reader.operands


def usage(program: str) -> str:
    """The usage, for standard error."""
    lines = ["", "Usage", f"  {program} [options] <destination>", "", "Options:"]
    lines.append(f"  {'<destination>':<18} name or address of a host")
    for option in OPTIONS.values():
        shown = f"-{option.letter} <{option.value}>" if option.value else f"-{option.letter}"
        lines.append(f"  {shown:<18} {option.help}")
    return "\n".join(lines) + "\n"
